// The receiving end of a packet queue's rings: free frames from the fill ring for recvmmsg(2) or PACKET_MMAP to write
// to, and received frames for the receive ring.
#pragma once

#include <napi.h>

#include <cstdint>
#include <vector>

#include "ethernet/arena_frames.h"
#include "ring/shared_ring.h"

namespace ethernet {

class PacketInlet {
 public:
  PacketInlet(Napi::Object options, const ArenaFrames& frames, uint32_t batch)
      : frames(frames),
        batch(batch),
        fill_(options.Env(), options.Get("fill"), "fill", AddressRecord::kWords),
        receive_(options.Env(), options.Get("receive"), "receive", DescriptorRecord::kWords),
        prepared_(batch) {}

  // How many frames can be received now, at most a batch. Or a negative errno: -ERANGE when JavaScript's indices cannot
  // be true, -EFAULT when the next record of the fill ring names no frame of the arena (it is then skipped).
  int prepare();
  // The address for frame `i` of those: frames.room() bytes.
  uint8_t* place(uint32_t i) const { return frames.bytes(frames.addressOf(prepared_[i])); }
  // Frame `i` was received.
  void deliver(uint32_t i, const FrameMetadata& metadata);
  // Publishes the first `count`, which were received, at once.
  void publish(uint32_t count);

  const ArenaFrames& frames;
  const uint32_t batch;
  uint64_t truncated = 0;

 private:
  SharedRing fill_;
  SharedRing receive_;
  // Frames that were taken from the fill ring and not received into yet, and how many: they stay ready for the next
  // call.
  std::vector<uint32_t> prepared_;
  uint32_t preparedCount_ = 0;
};

}  // namespace ethernet
