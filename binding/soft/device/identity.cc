#include "device/identity.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "nic/gid.h"
#include "wire/neighbour.h"

namespace soft {
namespace {

Gid linkLocal(const Mac& mac) {
  return {0xfe,   0x80,   0,    0,    0,      0,      0,     0, static_cast<uint8_t>(mac[0] ^ 2),
          mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
}

// The address that macOf() leads back from (nic/gid.h).
Gid ipv4Mapped(const Mac& mac) { return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, mac[2], mac[3], mac[4], mac[5]}; }

}  // namespace

PortIdentity portIdentity(const Mac& mac) {
  PortIdentity port;
  port.mac = mac;
  std::vector<Gid> addresses{linkLocal(mac)};
  if (mac[0] == 2 && mac[1] == 0) addresses.push_back(ipv4Mapped(mac));
  for (const Gid& gid : addresses) port.gids.push_back({gid, false});
  return port;
}

void putOnInterface(const std::string& interface, PortIdentity* port) {
  port->interface = interface;
  for (const Gid& gid : interfaceGids(interface)) {
    const auto known =
        std::find_if(port->gids.begin(), port->gids.end(), [&](const GidEntry& entry) { return entry.gid == gid; });
    if (known == port->gids.end()) port->gids.push_back({gid, true});
    else known->kernel = true;
  }
}

int resolveMac(const PortIdentity& port, size_t gidIndex, const Gid& gid, Mac* mac) {
  if (std::any_of(port.gids.begin(), port.gids.end(), [&](const GidEntry& own) { return own.gid == gid; })) {
    *mac = port.mac;
    return 0;
  }
  if (port.gids[gidIndex].kernel && !isGroup(gid)) return resolveNeighbour(port.interface, gid, mac);
  return macOf(gid, mac) ? 0 : EHOSTUNREACH;
}

Mac randomMac() {
  uint8_t host[3];
  if (getrandom(host, sizeof host, 0) != static_cast<ssize_t>(sizeof host)) std::fill_n(host, sizeof host, 1);
  // Neither 10.x.x.0 nor 10.x.x.255: some programs take those for a network's own.
  const auto last = static_cast<uint8_t>(1 + host[2] % 254);
  return {2, 0, 10, host[0], host[1], last};
}

std::string macText(const Mac& mac) {
  char text[18];
  snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

uint64_t guidOf(const Mac& mac) {
  const uint8_t bytes[8] = {mac[0], mac[1], mac[2], 0x03, 0x00, mac[3], mac[4], mac[5]};
  uint64_t guid = 0;
  for (const uint8_t byte : bytes) guid = guid << 8 | byte;
  return guid;
}

}  // namespace soft
