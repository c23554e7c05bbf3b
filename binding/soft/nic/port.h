// A port: its end of the wire, its addresses, its flow rules and what it has counted.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "nic/attributes.h"
#include "nic/events.h"
#include "nic/steering.h"
#include "wire/wire.h"

namespace soft {

struct Port {
  ~Port() { unplug(); }

  void unplug();

  bool ready() const { return end.transmit != nullptr && linkUp; }

  // Asked once a step, not for each packet.
  void readMtu() { mtu = std::min(attributes.mtu, wire->mtu()); }

  // What a rule matches is not for the kernel's own stack, where the port is plugged into one of its interfaces: until
  // it is given back.
  void take(uint32_t rule, const FlowMatch& outer, const FlowMatch& inner, Events& events);
  void giveBack(uint32_t rule);
  void giveAllBack();
  // The same of what the RDMA engine takes, while there are queue pairs that it serves.
  void takeRoce(Events& events);
  void giveRoceBack();

  bool hasGid(const Gid& gid) const {
    for (const auto& [index, own] : gids) {
      if (own == gid) return true;
    }
    return false;
  }

  uint8_t number = 0;
  PortAttributes attributes;
  std::shared_ptr<Wire> wire;
  int wireEnd = 0;
  WireEnd end;
  FrameQueue loopback{1u << 18};  // from the port to itself: RDMA between two QPs of one machine
  bool linkUp = true;
  bool carrier = false;  // what the wire said last
  uint32_t mtu = 4096;   // the largest RDMA payload: what the port is set to, or less where the wire carries less
  std::map<uint32_t, Gid> gids;
  Steering steering;
  std::set<uint32_t> taken;  // the rules whose frames the wire keeps from others
  bool sharing = false;      // that it cannot do so was told
  PortCounters counters;
};

}  // namespace soft
