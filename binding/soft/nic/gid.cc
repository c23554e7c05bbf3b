#include "nic/gid.h"

#include <cstring>

namespace soft {

bool isIpv4(const Gid& gid) {
  static constexpr uint8_t kPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(gid.data(), kPrefix, sizeof kPrefix) == 0;
}

bool isGroup(const Gid& gid) { return isIpv4(gid) ? gid[12] >> 4 == 0xe : gid[0] == 0xff; }

bool macOf(const Gid& gid, Mac* mac) {
  if (isGroup(gid)) {
    if (isIpv4(gid)) *mac = {0x01, 0x00, 0x5e, static_cast<uint8_t>(gid[13] & 0x7f), gid[14], gid[15]};
    else *mac = {0x33, 0x33, gid[12], gid[13], gid[14], gid[15]};
    return true;
  }
  if (isIpv4(gid)) {
    *mac = {0x02, 0x00, gid[12], gid[13], gid[14], gid[15]};
    return true;
  }
  if (gid[11] != 0xff || gid[12] != 0xfe) return false;
  *mac = {static_cast<uint8_t>(gid[8] ^ 2), gid[9], gid[10], gid[13], gid[14], gid[15]};
  return true;
}

}  // namespace soft
