// Frames through a socket whose datagrams are frames: a system call for many of them.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <memory>

#include "wire/frame_queue.h"

namespace soft {

class DatagramBatch {
 public:
  static constexpr size_t kBatch = 32;
  static constexpr size_t kControl = 64;
  static constexpr size_t kMaxPrefix = 16;

  // Datagrams of up to `room` bytes, of which the first `prefix` are the socket's own; sent as zeroes.
  explicit DatagramBatch(size_t room = FrameQueue::kMaxFrame, size_t prefix = 0)
      : room_(room), prefix_(prefix), bytes_(new uint8_t[kBatch * room]) {}

  // Sends what the queue holds. Returns how many went; −1 with errno when the first was refused, which may then be
  // popped.
  int send(int descriptor, FrameQueue& queue);

  // Sends what is left in the queue when its owner goes, for a few seconds at most: a NIC sends what a program gave it,
  // also when the program ends at once. A frame that is refused for another reason than a full socket is dropped.
  void finish(int descriptor, FrameQueue& queue);

  // Receives up to kBatch frames; −1 with errno. prefix(i), frame(i), length(i) and header(i) say what came.
  int receive(int descriptor);

  const uint8_t* prefix(size_t i) const { return bytes_.get() + i * room_; }
  uint8_t* frame(size_t i) { return bytes_.get() + i * room_ + prefix_; }
  size_t length(size_t i) const { return messages_[i].msg_len < prefix_ ? 0 : messages_[i].msg_len - prefix_; }
  msghdr& header(size_t i) { return messages_[i].msg_hdr; }

 private:
  size_t room_, prefix_;
  std::unique_ptr<uint8_t[]> bytes_;
  mmsghdr messages_[kBatch];
  iovec vectors_[kBatch][2];
  alignas(8) uint8_t control_[kBatch][kControl];
};

}  // namespace soft
