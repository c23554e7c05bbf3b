// The link of an interface, by the kernel's messages about its changes (rtnetlink(7)).
#pragma once

#include <cstdint>
#include <string>

#include "wire/netlink.h"

struct ifreq;

namespace soft {

class InterfaceLink {
 public:
  // Follows the interface with this index. An errno or 0.
  int open(int index);
  // Readable when there is news.
  int descriptor() const { return news_.descriptor(); }

  // Reads the messages up to the next change; whether there was one. So a link that went down and came up between two
  // calls is seen to do both.
  bool next();

  // Whether frames go through: switched on, and a carrier. False once the interface is gone.
  bool up() const { return up_; }
  // Bytes of the largest IP packet.
  uint32_t mtu() const { return mtu_; }

 private:
  bool read(const uint8_t* messages, uint32_t length);
  bool ask();
  bool become(bool up, uint32_t mtu);

  NetlinkSocket news_;
  int index_ = 0;
  bool up_ = false;
  uint32_t mtu_ = 0;
};

// An ioctl of netdevice(7) about the interface of that name: an errno, or 0.
int askInterface(const std::string& name, unsigned long request, ifreq* answer);

// Whether frames go through an interface now.
bool interfaceRuns(const std::string& name);

}  // namespace soft
