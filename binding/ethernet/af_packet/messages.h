// Receiving by recvmmsg(2): one system call a batch, also when there is nothing.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "ethernet/af_packet/inlet.h"
#include "ethernet/af_packet/metadata.h"

namespace ethernet {

class PacketMessages {
 public:
  PacketMessages(PacketInlet& inlet);

  // How many frames were received, or a negative errno: PacketInlet::prepare()'s, or recvmmsg(2)'s.
  int receive(int fd);

  // Super-frames that the kernel dropped because a virtio-net header cannot describe them.
  uint64_t undescribed = 0;

 private:
  PacketMetadata metadataOf(uint32_t i) const;

  PacketInlet& inlet_;
  // Made once, so that a batch allocates nothing.
  std::vector<mmsghdr> messages_;
  std::vector<iovec> parts_;  // of each message: the virtio-net header, the frame
  std::vector<virtio_net_hdr> headers_;
  std::vector<uint8_t> names_;
  std::vector<uint64_t> controls_;
  // How many frames have their address in parts_.
  uint32_t placed_ = 0;
};

}  // namespace ethernet
