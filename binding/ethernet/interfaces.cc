#include "ethernet/interfaces.h"

#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "error.h"

namespace ethernet {
namespace {

struct ControlSocket {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ~ControlSocket() {
    if (fd >= 0) close(fd);
  }
};

// netdevice(7). False when the interface went away meanwhile.
bool ask(Napi::Env env, int fd, unsigned long what, const char* name, ifreq* request) {
  *request = {};
  strncpy(request->ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, what, request) == 0) return true;
  if (errno == ENODEV) return false;
  throwErrno(env, errno, "ioctl", name);
}

}  // namespace

Napi::Value interfaces(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const ControlSocket control;
  if (control.fd < 0) throwErrno(env, errno, "socket");
  // Not getifaddrs(3), which leaves out the links that have no hardware address.
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> list(::if_nameindex(), if_freenameindex);
  if (!list) throwErrno(env, errno, "if_nameindex");

  Napi::Array result = Napi::Array::New(env);
  uint32_t count = 0;
  for (const struct if_nameindex* entry = list.get(); entry->if_index != 0; entry++) {
    ifreq flags, mtu, address;
    if (!ask(env, control.fd, SIOCGIFFLAGS, entry->if_name, &flags) ||
        !ask(env, control.fd, SIOCGIFMTU, entry->if_name, &mtu) ||
        !ask(env, control.fd, SIOCGIFHWADDR, entry->if_name, &address)) {
      continue;
    }
    const uint16_t type = address.ifr_hwaddr.sa_family;
    const bool ethernet = type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK;
    Napi::Uint8Array mac = Napi::Uint8Array::New(env, ethernet ? ETH_ALEN : 0);
    if (ethernet) memcpy(mac.Data(), address.ifr_hwaddr.sa_data, ETH_ALEN);
    Napi::Object item = Napi::Object::New(env);
    item.Set("name", Napi::String::New(env, entry->if_name));
    item.Set("index", Napi::Number::New(env, entry->if_index));
    item.Set("type", Napi::Number::New(env, type));
    item.Set("flags", Napi::Number::New(env, static_cast<uint16_t>(flags.ifr_flags)));
    item.Set("mtu", Napi::Number::New(env, mtu.ifr_mtu));
    item.Set("mac", mac);
    result.Set(count++, item);
  }
  return result;
}

}  // namespace ethernet
