#include "ethernet/interfaces.h"

#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "error.h"

namespace ethernet {

Napi::Value interfaces(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  ifaddrs* first = nullptr;
  // glibc and musl give every link one AF_PACKET entry, whether it is up and has addresses or not.
  if (getifaddrs(&first)) throwErrno(env, errno, "getifaddrs");
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(first, freeifaddrs);

  struct Socket {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ~Socket() {
      if (fd >= 0) close(fd);
    }
  } control;
  if (control.fd < 0) throwErrno(env, errno, "socket");

  Napi::Array result = Napi::Array::New(env);
  uint32_t count = 0;
  for (const ifaddrs* entry = list.get(); entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_PACKET) continue;
    const auto* link = reinterpret_cast<const sockaddr_ll*>(entry->ifa_addr);
    ifreq request{};
    strncpy(request.ifr_name, entry->ifa_name, IFNAMSIZ - 1);
    if (ioctl(control.fd, SIOCGIFMTU, &request)) {
      if (errno == ENODEV) continue;  // it went away since getifaddrs
      throwErrno(env, errno, "ioctl", std::string("SIOCGIFMTU ") + entry->ifa_name);
    }
    const size_t length = std::min<size_t>(link->sll_halen, sizeof link->sll_addr);
    Napi::Uint8Array mac = Napi::Uint8Array::New(env, length);
    memcpy(mac.Data(), link->sll_addr, length);
    Napi::Object item = Napi::Object::New(env);
    item.Set("name", Napi::String::New(env, entry->ifa_name));
    item.Set("index", Napi::Number::New(env, link->sll_ifindex));
    item.Set("type", Napi::Number::New(env, link->sll_hatype));
    item.Set("flags", Napi::Number::New(env, entry->ifa_flags));
    item.Set("mtu", Napi::Number::New(env, request.ifr_mtu));
    item.Set("mac", mac);
    result.Set(count++, item);
  }
  return result;
}

}  // namespace ethernet
