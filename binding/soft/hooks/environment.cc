#include "hooks/environment.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace soft::environment {
namespace {

// No specification has it: what belongs to which is seen even where a program inside changes IBVERBS_SOFT.
constexpr char kBetween = '\n';

}  // namespace

Devices devices() {
  const char* value = getenv("IBVERBS_SOFT");
  Devices asked{value ? value : "", {}};
  if (asked.specification == "0") asked.specification.clear();
  if (asked.specification == "1") asked.specification = "loop";
  const char* card = getenv("IBVERBS_SOFT_CARD");
  const size_t length = asked.specification.size();
  if (length && card && asked.specification.compare(0, length, card, strnlen(card, length)) == 0 &&
      card[length] == kBetween) {
    asked.card = card + length + 1;
  }
  return asked;
}

std::string cardValue(const Devices& devices) { return devices.specification + kBetween + devices.card; }

int claim(const std::string& card) {
  // A name in the abstract namespace (unix(7)): the kernel gives it to one, and takes it back however that one ends.
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char byte : card) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int length =
      snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "ibverbs-soft-%016llx", (unsigned long long)hash);
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<size_t>(length));
  if (::bind(descriptor, reinterpret_cast<sockaddr*>(&address), size) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

}  // namespace soft::environment
