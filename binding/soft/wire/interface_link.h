// The link of an interface, as the kernel tells of it while it changes (rtnetlink(7)).
#pragma once

#include <cstdint>

namespace soft {

class InterfaceLink {
 public:
  ~InterfaceLink();

  // Follows the interface with this index. An errno or 0.
  int open(int index);
  // Readable when there is news.
  int descriptor() const { return descriptor_; }

  // Takes note of what was told; whether anything about the link changed. A link that went down and came up since the
  // last look is seen to have done so: each call goes as far as the next change.
  bool next();

  // Whether frames go through: switched on, and a carrier. False once the interface is gone.
  bool up() const { return up_; }
  // Bytes of the largest IP packet.
  uint32_t mtu() const { return mtu_; }

 private:
  bool read(const uint8_t* messages, uint32_t length);
  bool ask();
  bool become(bool up, uint32_t mtu);

  int descriptor_ = -1;
  int index_ = 0;
  bool up_ = false;
  uint32_t mtu_ = 0;
};

}  // namespace soft
