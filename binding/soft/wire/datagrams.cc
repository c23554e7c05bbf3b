#include "wire/datagrams.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace soft {

namespace {

// finish() waits so often, one or two milliseconds each time.
constexpr int kFinishWaits = 2000;

}  // namespace

int DatagramBatch::send(int descriptor, FrameQueue& queue) {
  int sent = 0;
  while (!queue.empty()) {
    const uint8_t* frames[kBatch];
    size_t lengths[kBatch];
    const size_t count = queue.list(frames, lengths, kBatch);
    std::memset(messages_, 0, sizeof messages_[0] * count);
    for (size_t i = 0; i < count; ++i) {
      static uint8_t zeroes[kMaxPrefix];
      vectors_[i][0] = {zeroes, prefix_};
      vectors_[i][1] = {const_cast<uint8_t*>(frames[i]), lengths[i]};
      messages_[i].msg_hdr.msg_iov = vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 2;
    }
    const int done = sendmmsg(descriptor, messages_, static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done <= 0) return sent != 0 ? sent : -1;
    for (int i = 0; i < done; ++i) queue.pop();
    sent += done;
    if (static_cast<size_t>(done) < count) break;
  }
  return sent;
}

void DatagramBatch::finish(int descriptor, FrameQueue& queue) {
  for (int waits = 0; !queue.empty() && waits < kFinishWaits;) {
    if (send(descriptor, queue) > 0) continue;
    if (errno == EAGAIN || errno == ENOBUFS) {
      // poll(2) does not wait where the device's queue is full, and not the socket's buffer.
      pollfd room{descriptor, POLLOUT, 0};
      if (poll(&room, 1, 1) > 0) usleep(1000);
      ++waits;
    } else if (errno != EINTR) {
      queue.pop();
    }
  }
}

int DatagramBatch::receive(int descriptor) {
  for (size_t i = 0; i < kBatch; ++i) {
    vectors_[i][0] = {bytes_.get() + i * room_, room_};
    messages_[i] = {};
    messages_[i].msg_hdr.msg_iov = vectors_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
    messages_[i].msg_hdr.msg_control = control_[i];
    messages_[i].msg_hdr.msg_controllen = kControl;
  }
  return recvmmsg(descriptor, messages_, kBatch, MSG_DONTWAIT, nullptr);
}

}  // namespace soft
