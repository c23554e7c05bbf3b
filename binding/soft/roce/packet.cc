#include "roce/packet.h"

#include <cstring>

namespace soft {
namespace roce {

namespace {

// Which extended headers an opcode has, in the order in which they lie in the packet (kernel include/rdma/ib_pack.h).
enum : uint8_t { kHasDeth = 1, kHasReth = 2, kHasAtomicEth = 4, kHasAeth = 8, kHasAtomicAck = 16, kHasImmediate = 32 };
constexpr uint8_t kUnknown = 0xff;

uint8_t extendedHeaders(uint8_t opcode) {
  const uint8_t operation = opcode & kOperationMask;
  const uint8_t service = opcode & kServiceMask;
  if (service == kServiceUd) {
    if (operation == kSendOnly) return kHasDeth;
    return operation == kSendOnlyImmediate ? kHasDeth | kHasImmediate : kUnknown;
  }
  if (service != kServiceRc && service != kServiceUc) return kUnknown;
  if (service == kServiceUc && operation > kWriteOnlyImmediate) return kUnknown;
  switch (operation) {
    case kSendFirst:
    case kSendMiddle:
    case kSendLast:
    case kSendOnly:
    case kWriteMiddle:
    case kWriteLast:
    case kReadResponseMiddle: return 0;
    case kSendLastImmediate:
    case kSendOnlyImmediate:
    case kWriteLastImmediate:
    case kSendLastInvalidate:
    case kSendOnlyInvalidate: return kHasImmediate;
    case kWriteFirst:
    case kWriteOnly:
    case kReadRequest: return kHasReth;
    case kWriteOnlyImmediate: return kHasReth | kHasImmediate;
    case kReadResponseFirst:
    case kReadResponseLast:
    case kReadResponseOnly:
    case kAcknowledge: return kHasAeth;
    case kAtomicAcknowledge: return kHasAeth | kHasAtomicAck;
    case kCompareSwap:
    case kFetchAdd: return kHasAtomicEth;
    default: return kUnknown;
  }
}

size_t headerBytes(uint8_t headers) {
  return Bth::kSize + (headers & kHasDeth ? Deth::kSize : 0) + (headers & kHasReth ? Reth::kSize : 0) +
         (headers & kHasAtomicEth ? AtomicEth::kSize : 0) + (headers & kHasAeth ? Aeth::kSize : 0) +
         (headers & kHasAtomicAck ? kAtomicAckSize : 0) + (headers & kHasImmediate ? kImmediateSize : 0);
}

void takeAddresses(const uint8_t* ip, uint8_t version, Packet* packet) {
  packet->ip = ip;
  packet->ipVersion = version;
  if (version == 6) {
    std::memcpy(packet->sourceGid.data(), ip + 8, 16);
    std::memcpy(packet->destinationGid.data(), ip + 24, 16);
    return;
  }
  packet->sourceGid[10] = packet->sourceGid[11] = 0xff;
  packet->destinationGid[10] = packet->destinationGid[11] = 0xff;
  std::memcpy(packet->sourceGid.data() + 12, ip + 12, 4);
  std::memcpy(packet->destinationGid.data() + 12, ip + 16, 4);
}

}  // namespace

bool parsePacket(const uint8_t* frame, const Layers& layers, Packet* packet) {
  const size_t start = layers.l4 + 8;
  if (layers.end < start + Bth::kSize + kIcrcSize) return false;
  if (load16(frame + layers.l4 + 4) != layers.end - layers.l4) return false;  // the UDP length
  const uint8_t* at = frame + start;
  const uint8_t* end = frame + layers.end - kIcrcSize;

  packet->opcode = at[0];
  const uint8_t headers = extendedHeaders(packet->opcode);
  if (headers == kUnknown || (at[1] & 0x0f) != 0) return false;  // transport version 0
  const uint32_t pad = at[1] >> 4 & 3;
  if (static_cast<size_t>(end - at) < headerBytes(headers) + pad) return false;
  packet->solicited = (at[1] & Bth::kSolicited) != 0;
  packet->pkey = load16(at + 2);
  packet->destinationQpn = load24(at + 5);
  packet->ackRequest = (at[8] & Bth::kAckRequest) != 0;
  packet->psn = load24(at + 9);
  at += Bth::kSize;

  if (headers & kHasDeth) {
    packet->qkey = load32(at);
    packet->sourceQpn = load24(at + 5);
    at += Deth::kSize;
  }
  if (headers & kHasReth) {
    packet->address = load64(at);
    packet->rkey = load32(at + 8);
    packet->length = load32(at + 12);
    at += Reth::kSize;
  }
  if (headers & kHasAtomicEth) {
    packet->address = load64(at);
    packet->rkey = load32(at + 8);
    packet->swapOrAdd = load64(at + 12);
    packet->compare = load64(at + 20);
    at += AtomicEth::kSize;
  }
  if (headers & kHasAeth) {
    packet->syndrome = at[0];
    packet->msn = load24(at + 1);
    at += Aeth::kSize;
  }
  if (headers & kHasAtomicAck) {
    packet->original = load64(at);
    at += kAtomicAckSize;
  }
  if (headers & kHasImmediate) {
    packet->immediate = at;
    at += kImmediateSize;
  }
  packet->payload = at;
  packet->payloadLength = static_cast<uint32_t>(end - at) - pad;
  takeAddresses(frame + layers.l3, layers.ipVersion, packet);
  return true;
}

}  // namespace roce
}  // namespace soft
