#include "device/identity.h"

#include <sys/random.h>

#include <algorithm>

namespace soft {
namespace {

Gid linkLocal(const Mac& mac) {
  return {0xfe, 0x80, 0,    0,    0,      0,      0,     0, static_cast<uint8_t>(mac[0] ^ 2), mac[1],
          mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
}

// ::ffff:a.b.c.d, as RoCE writes an IPv4 address in a GID (InfiniBand Architecture, annex A17).
Gid ipv4Mapped(const Mac& mac) {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, mac[2], mac[3], mac[4], mac[5]};
}

}  // namespace

PortIdentity portIdentity(const Mac& mac) {
  PortIdentity port;
  port.mac = mac;
  std::vector<Gid> addresses{linkLocal(mac)};
  if (mac[0] == 2 && mac[1] == 0) addresses.push_back(ipv4Mapped(mac));
  for (const Gid& gid : addresses) port.gids.push_back({gid});
  return port;
}

Mac randomMac() {
  uint8_t host[3];
  if (getrandom(host, sizeof host, 0) != static_cast<ssize_t>(sizeof host)) std::fill_n(host, sizeof host, 1);
  // Neither 10.x.x.0 nor 10.x.x.255: some programs take those for a network's own.
  const auto last = static_cast<uint8_t>(1 + host[2] % 254);
  return {2, 0, 10, host[0], host[1], last};
}

bool macOf(const Gid& gid, Mac* mac) {
  const auto isZero = [](uint8_t byte) { return byte == 0; };
  if (gid[0] == 0xff) {
    // RoCE writes an IPv4 group as ff0e::ffff:a.b.c.d; its MAC is 01:00:5e and the low 23 bits (RFC 1112).
    if (std::all_of(gid.begin() + 2, gid.begin() + 10, isZero) && gid[10] == 0xff && gid[11] == 0xff) {
      *mac = {1, 0, 0x5e, static_cast<uint8_t>(gid[13] & 0x7f), gid[14], gid[15]};
    } else {
      *mac = {0x33, 0x33, gid[12], gid[13], gid[14], gid[15]};
    }
    return true;
  }
  if (std::all_of(gid.begin(), gid.begin() + 10, isZero) && gid[10] == 0xff && gid[11] == 0xff) {
    *mac = {2, 0, gid[12], gid[13], gid[14], gid[15]};
    return true;
  }
  if (gid[11] == 0xff && gid[12] == 0xfe) {
    *mac = {static_cast<uint8_t>(gid[8] ^ 2), gid[9], gid[10], gid[13], gid[14], gid[15]};
    return true;
  }
  return false;
}

}  // namespace soft
