// The headers of a RoCEv2 packet: InfiniBand's transport behind UDP (InfiniBand Architecture Specification, "IBTA"
// below, volume 1, chapter 9; annex A17 for RoCEv2). On the wire:
//
//   Ethernet 14 │ IPv4 20 or IPv6 40 │ UDP 8, port 4791 │ BTH 12 │ extended headers │ payload │ pad 0…3 │ ICRC 4
//
// All fields are big-endian. Which extended headers follow the BTH says its opcode.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nic/bytes.h"

namespace soft {
namespace roce {

// The upper three bits of the opcode: which transport service (IBTA 9.2; kernel include/rdma/ib_pack.h, IB_OPCODE_*).
enum Service : uint8_t { kServiceRc = 0x00, kServiceUc = 0x20, kServiceUd = 0x60 };
constexpr uint8_t kServiceMask = 0xe0;
constexpr uint8_t kOperationMask = 0x1f;

// The lower five bits: which operation, and which packet of its message (the same header).
enum Operation : uint8_t {
  kSendFirst = 0x00,
  kSendMiddle = 0x01,
  kSendLast = 0x02,
  kSendLastImmediate = 0x03,
  kSendOnly = 0x04,
  kSendOnlyImmediate = 0x05,
  kWriteFirst = 0x06,
  kWriteMiddle = 0x07,
  kWriteLast = 0x08,
  kWriteLastImmediate = 0x09,
  kWriteOnly = 0x0a,
  kWriteOnlyImmediate = 0x0b,
  kReadRequest = 0x0c,
  kReadResponseFirst = 0x0d,
  kReadResponseMiddle = 0x0e,
  kReadResponseLast = 0x0f,
  kReadResponseOnly = 0x10,
  kAcknowledge = 0x11,
  kAtomicAcknowledge = 0x12,
  kCompareSwap = 0x13,
  kFetchAdd = 0x14,
  kSendLastInvalidate = 0x16,
  kSendOnlyInvalidate = 0x17,
};

// Base transport header (IBTA 9.2).
struct Bth {
  static constexpr size_t kSize = 12;
  static constexpr uint16_t kDefaultPkey = 0xffff;  // full member of the default partition (IBTA 10.9)
  static constexpr uint8_t kSolicited = 0x80;       // byte 1: SE
  static constexpr uint8_t kMigration = 0x40;       //         M: "migrated", the state without automatic path migration
  static constexpr uint8_t kAckRequest = 0x80;      // byte 8: A

  static void write(uint8_t* to, uint8_t opcode, bool solicited, uint8_t pad, uint32_t destinationQpn, bool ackRequest,
                    uint32_t psn) {
    to[0] = opcode;
    to[1] = static_cast<uint8_t>((solicited ? kSolicited : 0) | kMigration | pad << 4);  // TVer 0
    store16(to + 2, kDefaultPkey);
    to[4] = 0;  // FECN, BECN, reserved: not under the ICRC
    store24(to + 5, destinationQpn);
    to[8] = ackRequest ? kAckRequest : 0;
    store24(to + 9, psn);
  }
};

// RDMA extended transport header (IBTA 9.3, "RETH"): where a write goes, where a read comes from.
struct Reth {
  static constexpr size_t kSize = 16;
  static void write(uint8_t* to, uint64_t address, uint32_t rkey, uint32_t length) {
    store64(to, address);
    store32(to + 8, rkey);
    store32(to + 12, length);
  }
};

// Atomic extended transport header (IBTA 9.3, "AtomicETH").
struct AtomicEth {
  static constexpr size_t kSize = 28;
  static void write(uint8_t* to, uint64_t address, uint32_t rkey, uint64_t swapOrAdd, uint64_t compare) {
    store64(to, address);
    store32(to + 8, rkey);
    store64(to + 12, swapOrAdd);
    store64(to + 20, compare);
  }
};

// ACK extended transport header (IBTA 9.3, "AETH"), its syndromes IBTA 9.7.5, table 43.
struct Aeth {
  static constexpr size_t kSize = 4;
  // Bits 6..5 say what it is, 4..0 credits, RNR timer or NAK code.
  static constexpr uint8_t kKindMask = 0x60;
  static constexpr uint8_t kAck = 0x00;
  static constexpr uint8_t kRnrNak = 0x20;
  static constexpr uint8_t kNak = 0x60;
  static constexpr uint8_t kNoCredits = 0x1f;  // "no end-to-end flow control": RNR NAKs do that work

  static void write(uint8_t* to, uint8_t syndrome, uint32_t msn) {
    to[0] = syndrome;
    store24(to + 1, msn);
  }
};

// NAK codes (IBTA table 44).
enum NakCode : uint8_t {
  kNakSequence = 0,
  kNakInvalidRequest = 1,
  kNakRemoteAccess = 2,
  kNakRemoteOperation = 3,
};

// Immediate data and the invalidate header ("ImmDt", "IETH"): four bytes each.
constexpr size_t kImmediateSize = 4;
// The answer to an atomic operation carries what was there before ("AtomicAckETH").
constexpr size_t kAtomicAckSize = 8;
// Datagram extended transport header ("DETH"): queue key, then the sender's queue pair.
struct Deth {
  static constexpr size_t kSize = 8;
  static void write(uint8_t* to, uint32_t qkey, uint32_t sourceQpn) {
    store32(to, qkey);
    store32(to + 4, sourceQpn);
  }
};

constexpr size_t kIcrcSize = 4;
constexpr uint32_t kMulticastQpn = 0xffffff;  // IBTA 9.6
// The global routing header, or its stand-in, in front of each received datagram (ibv_post_recv(3)).
constexpr size_t kGrhSize = 40;

}  // namespace roce
}  // namespace soft
