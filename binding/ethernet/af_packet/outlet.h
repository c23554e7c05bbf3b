// Sending by sendmmsg(2), one system call a batch, from the queue's transmit ring. Completions come in order: a record
// that is consumed is completed, and its upper address word is then a status, 0 or the errno with which the frame was
// refused.
#pragma once

#include <napi.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <vector>

#include "ethernet/af_packet/metadata.h"
#include "ring/shared_ring.h"

namespace ethernet {

class PacketOutlet {
 public:
  PacketOutlet(Napi::Object options, const ArenaFrames& frames, uint32_t batch);

  // Sends by this socket, whose frames have a virtio-net header before them or get one when the first frame needs it.
  void use(int fd, bool headers) {
    fd_ = fd;
    withHeaders_ = headers;
  }

  // Sends what is in the transmit ring, without waiting. Returns 0 when none is left, else the negative errno that
  // stopped it: -ERANGE when JavaScript's index cannot be true, -EFAULT when a record names no part of a frame, else
  // sendmmsg(2)'s.
  int transmit();

 private:
  static constexpr uint32_t kParts = 4;

  bool prepare(uint32_t i);
  void finish(uint32_t i, uint32_t frame, uint32_t options);
  int send(uint32_t count);
  void refuse(int error);
  bool isNeverTaken();

  const ArenaFrames& frames_;
  const uint32_t batch_;
  int fd_ = -1;
  bool withHeaders_ = false;
  // A frame of the batch needs a virtio-net header.
  bool needHeaders_ = false;
  SharedRing transmit_;
  // How often the next frame has been tried in vain, while none of the socket's frames was queued, and since when.
  uint32_t tries_ = 0;
  uint64_t firstTry_ = 0;
  // Made once, so that a batch allocates nothing.
  std::vector<mmsghdr> messages_;
  std::vector<iovec> parts_;  // of each message: the virtio-net header, the frame (its addresses, a VLAN tag, the rest)
  std::vector<virtio_net_hdr> headers_;
  std::vector<std::array<uint8_t, 4>> tags_;
};

}  // namespace ethernet
