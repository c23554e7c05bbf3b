#include "ethernet/af_packet/timestamp.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace ethernet {
namespace {

ifreq requestOf(const char* interface, void* data) {
  ifreq request{};
  snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
  request.ifr_data = static_cast<char*>(data);
  return request;
}

}  // namespace

int timestampAbilities(int fd, const char* interface, TimestampAbilities* abilities) {
  ethtool_ts_info info{};
  info.cmd = ETHTOOL_GET_TS_INFO;
  ifreq request = requestOf(interface, &info);
  if (ioctl(fd, SIOCETHTOOL, &request)) return errno;
  *abilities = {info.so_timestamping, info.rx_filters};
  return 0;
}

int DeviceTimestamps::start(int fd, const char* interface) {
  ifreq request = requestOf(interface, &before_);
  // A driver without SIOCGHWTSTAMP cannot report its setting: it is taken for off.
  if (ioctl(fd, SIOCGHWTSTAMP, &request)) before_ = {};
  if (before_.rx_filter == HWTSTAMP_FILTER_ALL) return 0;
  hwtstamp_config wanted = before_;
  wanted.rx_filter = HWTSTAMP_FILTER_ALL;
  request = requestOf(interface, &wanted);
  if (ioctl(fd, SIOCSHWTSTAMP, &request)) return errno;
  snprintf(interface_, IFNAMSIZ, "%s", interface);
  changed_ = true;
  // The driver writes back what it really does.
  if (wanted.rx_filter == HWTSTAMP_FILTER_ALL) return 0;
  stop();
  return EOPNOTSUPP;
}

void DeviceTimestamps::stop() {
  if (!changed_) return;
  changed_ = false;
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  ifreq request = requestOf(interface_, &before_);
  ioctl(fd, SIOCSHWTSTAMP, &request);
  close(fd);
}

}  // namespace ethernet
