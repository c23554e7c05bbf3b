// Timestamps that a device puts on the frames it receives (Documentation/networking/timestamping.rst in the kernel).
#pragma once

#include <linux/net_tstamp.h>
#include <net/if.h>

#include <cstdint>

namespace ethernet {

// What a device can stamp: bits of SOF_TIMESTAMPING_* and of 1 << HWTSTAMP_FILTER_*.
struct TimestampAbilities {
  uint32_t stamps = 0;
  uint32_t receiveFilters = 0;
};

// ETHTOOL_GET_TS_INFO. Returns 0 or a positive errno.
int timestampAbilities(int fd, const char* interface, TimestampAbilities* abilities);

// Has a device timestamp every frame that it receives, for as long as this lives; its end restores the setting before.
class DeviceTimestamps {
 public:
  ~DeviceTimestamps() { stop(); }
  // Returns 0 or a positive errno of SIOCSHWTSTAMP, which needs CAP_NET_ADMIN.
  int start(int fd, const char* interface);
  void stop();

 private:
  bool changed_ = false;
  char interface_[IFNAMSIZ] = {};
  hwtstamp_config before_{};
};

}  // namespace ethernet
