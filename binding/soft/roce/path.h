// The way to a peer: the Ethernet, IP and UDP headers that all packets to it begin with, made once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nic/attributes.h"
#include "nic/packet.h"

namespace soft {

class Engine;
class FrameQueue;
struct Port;

namespace roce {

class Path {
 public:
  static constexpr size_t kMaxHeaders = 14 + 40 + 8;

  // `udpSource`: see udpSourcePort().
  void set(const PathAddress& address, const Mac& own, uint16_t udpSource);

  // Writes the headers of a packet whose UDP payload, the ICRC included, has `length` bytes. Returns where that begins.
  size_t write(uint8_t* frame, size_t length) const;

  const uint8_t* destinationMac() const { return headers_; }
  size_t size() const { return layers_.l4 + 8; }
  const Layers& layers() const { return layers_; }

 private:
  uint8_t headers_[kMaxHeaders] = {};
  Layers layers_;  // where they lie, for the ICRC
};

// The source port spreads connections over paths: of the flow label, or of both queue pair numbers when there is none
// (rdma-core's ibv_flow_label_to_udp_sport(3); kernel: rdma_calc_flow_label).
uint16_t udpSourcePort(uint32_t flowLabel, uint32_t localQpn, uint32_t remoteQpn);

// One packet, written straight into the queue in front of the wire.
class PacketWriter {
 public:
  // Room for a packet with `length` bytes of transport headers and payload (without padding and ICRC). False while the
  // queue is full. While the link is down the packet is written and lost, as it would be behind a pulled cable.
  bool open(Engine& engine, Port& port, const Path& path, size_t length);
  // Where the BTH begins.
  uint8_t* bth() const { return frame_ + path_->size(); }
  uint8_t pad() const { return pad_; }
  // Pads, computes the ICRC, and hands the packet to the wire.
  void commit();

 private:
  const Path* path_ = nullptr;
  Port* port_ = nullptr;
  FrameQueue* queue_ = nullptr;
  uint8_t* frame_ = nullptr;
  size_t length_ = 0;  // of the transport's part
  uint8_t pad_ = 0;
};

}  // namespace roce
}  // namespace soft
