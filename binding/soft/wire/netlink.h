// Conversations with the kernel (netlink(7)): messages built up attribute by attribute, sent together, and answered.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace soft {

class NetlinkSocket {
 public:
  NetlinkSocket() = default;
  ~NetlinkSocket();
  NetlinkSocket(const NetlinkSocket&) = delete;
  NetlinkSocket& operator=(const NetlinkSocket&) = delete;

  // With a protocol of NETLINK_*, and a member of these groups. An errno or 0.
  int open(int protocol, uint32_t groups = 0);
  int descriptor() const { return descriptor_; }
  bool isOpen() const { return descriptor_ >= 0; }
  // The address that the kernel knows this socket by.
  uint32_t port() const;

  void begin(uint16_t type, uint16_t flags);
  template <typename Part>
  void fixed(const Part& part) {
    append(&part, sizeof part);
  }
  void put(uint16_t attribute, const void* data, size_t length);
  void put(uint16_t attribute, const std::string& text) { put(attribute, text.c_str(), text.size() + 1); }
  void putBig32(uint16_t attribute, uint32_t value);  // as nf_tables has its numbers
  // What is put until it is closed again lies within this attribute.
  size_t nest(uint16_t attribute);
  void close(size_t nested);

  // Sends all that was begun and reads up to the last acknowledgement that was asked for (NLM_F_ACK), or to the first
  // error: that, or 0. Other messages go to `answer`.
  int exchange(const std::function<void(const nlmsghdr&)>& answer = nullptr);

 private:
  void append(const void* data, size_t length);
  void finish();

  int descriptor_ = -1;
  uint32_t sequence_ = 0, first_ = 1, last_ = 0;  // of the messages: all so far, the first begun, the last acknowledged
  std::vector<uint8_t> bytes_;
  size_t message_ = SIZE_MAX;  // where the one begins that is being built
};

// Calls visit(type, data, length) for each attribute in a piece of a message.
void netlinkAttributes(const void* from, size_t length,
                       const std::function<void(uint16_t type, const uint8_t* data, size_t length)>& visit);

}  // namespace soft
