// The records that cross the native boundary, as words of 32 bits in a SharedArrayBuffer. lib/verbs/request/records.ts
// states the same in TypeScript; kRecordVersion (binding/addon.cc) changes with any change here.
//
// A queue pair shares control words and two rings (ring/shared_ring.h), of send and of receive requests. A completion
// queue shares one block: a column of `batch` words for each field of a completion, then control words.
#pragma once

#include <cstdint>

namespace records {

// Written by native code, read by JavaScript. Native code keeps its own copy: what JavaScript writes here is ignored.
enum Control : uint32_t {
  kSendOutstanding,  // accepted by the device and not yet retired by a completion
  kReceiveOutstanding,
  kRefusedErrno,   // of the first request that the last submit refused: positive errno, 0 if none
  kRefusedReason,  // a Refusal
  kRefusedDetail,  // what Refusal says
  kRefusedCookie,
  kRefusedReceive,     // 1 for a receive, 0 for a send
  kSubmitted,          // how many requests the device accepted at the last submit
  kControlWords = 16,  // one cache line
};

// Why a request was refused before or by ibv_post_send / ibv_post_recv. lib/verbs/request/refusal.ts has the words.
enum Refusal : uint32_t {
  kNotRefused,
  kByProvider,     // the errno is the provider's
  kWrongState,     // detail: the queue pair's state
  kBadOpcode,      // detail: the opcode
  kTooManySges,    // detail: how many
  kStaleRegion,    // detail: index of the scatter/gather element
  kForeignRegion,  // detail: index of the element: a region of another protection domain
  kOutOfBounds,    // detail: index of the element
  kInlineTooLong,  // detail: the bytes asked for
  kBadAddressHandle,
  kBadAtomic,    // detail: 0 when the length is not 8, 1 when the 8 bytes are not one element and the device needs that
  kNoChecksum,   // IBV_SEND_IP_CSUM on a queue pair that does not send raw packets
  kTooLong,      // detail: the bytes asked for
  kNotWritable,  // detail: index of the element: a region without IBV_ACCESS_LOCAL_WRITE
};

// A send request. 64-bit values are two words, the low one first. Datagrams and atomics share words: no queue pair has
// both, and so a request of one element is one cache line.
enum Send : uint32_t {
  kSendHead,  // ibv_wr_opcode | ibv_send_flags << 8 | number of elements << 16
  kSendCookie,
  kSendImmediate,  // in host order
  kSendRkey,
  kSendRemoteLow,  // remote address
  kSendRemoteHigh,
  kSendAddressHandle,                    // UD: a handle
  kSendRemoteQpn,                        // UD
  kSendRemoteQkey,                       // UD
  kSendCompareLow = kSendAddressHandle,  // compare value, or the value to add
  kSendCompareHigh,
  kSendSwapLow,
  kSendSwapHigh,
  kSendElements = 12,  // first element
};

enum Receive : uint32_t {
  kReceiveHead,  // number of elements
  kReceiveCookie = kSendCookie,
  kReceiveElements = 4,  // first element
};

// A scatter/gather element.
enum Element : uint32_t {
  kElementRegion,     // a handle
  kElementOffsetLow,  // from the region's first byte
  kElementOffsetHigh,
  kElementLength,
  kElementWords,
};

// Words of a record that can have so many elements, a power of two.
constexpr uint32_t wordsOf(uint32_t first, uint32_t maxElements) {
  uint32_t words = 1;
  while (words < first + maxElements * kElementWords) words *= 2;
  return words;
}
constexpr uint32_t sendWords(uint32_t maxElements) { return wordsOf(kSendElements, maxElements); }
constexpr uint32_t receiveWords(uint32_t maxElements) { return wordsOf(kReceiveElements, maxElements); }

// Columns of a completion. On a status other than success only cookie, status, QP number and vendor error are valid.
enum Completion : uint32_t {
  kCookie,
  kStatus,  // ibv_wc_status
  kOpcode,  // ibv_wc_opcode
  kByteLength,
  kImmediate,  // in host order
  kFlags,      // ibv_wc_flags
  kQpn,
  kSourceQpn,
  kVendorError,
  kFlowTag,  // of the flow rule that a raw packet matched; 0 without one
  kPath,     // a UD receive's source LID | service level << 16 | destination path bits << 24
  kCompletionColumns = 16,
};

// Control words of a completion queue, behind its columns: written by native code, read by JavaScript.
enum QueueControl : uint32_t {
  kKept,  // completions kept in native code, which the device's ring does not show
  kQueueControlWords = 16,
};

}  // namespace records
