// A received packet, taken apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nic/attributes.h"
#include "nic/packet.h"
#include "roce/headers.h"

namespace soft {
namespace roce {

struct Packet {
  uint8_t service() const { return opcode & kServiceMask; }
  uint8_t operation() const { return opcode & kOperationMask; }

  uint8_t opcode = 0;
  bool solicited = false;
  bool ackRequest = false;
  uint16_t pkey = 0;
  uint32_t destinationQpn = 0;
  uint32_t psn = 0;

  // Of the extended headers, those that the opcode says are there.
  uint64_t address = 0;  // RETH, AtomicETH
  uint32_t rkey = 0;
  uint32_t length = 0;  // RETH: of the whole message
  uint64_t swapOrAdd = 0;
  uint64_t compare = 0;
  uint8_t syndrome = 0;  // AETH
  uint32_t msn = 0;
  uint64_t original = 0;  // AtomicAckETH
  uint32_t qkey = 0;      // DETH
  uint32_t sourceQpn = 0;
  const uint8_t* immediate = nullptr;  // ImmDt or IETH, as it lies in the packet

  const uint8_t* payload = nullptr;  // without the padding
  uint32_t payloadLength = 0;

  // Where it came from: the addresses as GIDs, IPv4 ones mapped (RFC 4291, 2.5.5.2), and the IP header itself.
  Gid sourceGid{};
  Gid destinationGid{};
  const uint8_t* ip = nullptr;
  uint8_t ipVersion = 0;
};

// Takes apart the UDP payload of a frame. False when it is no InfiniBand packet: too short, an opcode that does not
// exist.
bool parsePacket(const uint8_t* frame, const Layers& layers, Packet* packet);

}  // namespace roce
}  // namespace soft
