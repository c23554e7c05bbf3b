// Posting: records become work requests.
//
// JavaScript can write anything into the rings, at any time, from any thread. So each record is copied once, and only
// the copy is checked and used: its handles are looked up, its offsets compared with their regions.
#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "hot_call.h"
#include "verbs/address_handle.h"
#include "verbs/memory_region.h"
#include "verbs/queue_pair.h"
#include "verbs/verbs.h"

namespace verbs {
namespace {

uint64_t pairOfWords(uint32_t low, uint32_t high) { return static_cast<uint64_t>(high) << 32 | low; }

constexpr uint32_t kMaxElements = 255;
constexpr uint32_t kMaxRecord = records::sendWords(kMaxElements);

// Reads each word exactly once, whatever another thread does to it meanwhile.
void copyRecord(uint32_t* to, const uint32_t* from, uint32_t words) {
  const volatile uint32_t* shared = from;
  for (uint32_t i = 0; i < words; i++) to[i] = shared[i];
}

// The ibv_wc_opcode of a request that buildSend() accepts.
uint8_t completionOpcode(ibv_wr_opcode opcode) {
  switch (opcode) {
    case IBV_WR_RDMA_WRITE:
    case IBV_WR_RDMA_WRITE_WITH_IMM: return IBV_WC_RDMA_WRITE;
    case IBV_WR_RDMA_READ: return IBV_WC_RDMA_READ;
    case IBV_WR_ATOMIC_CMP_AND_SWP: return IBV_WC_COMP_SWAP;
    case IBV_WR_ATOMIC_FETCH_AND_ADD: return IBV_WC_FETCH_ADD;
    default: return IBV_WC_SEND;
  }
}

}  // namespace

bool QueuePair::refuse(int error, records::Refusal reason, uint32_t detail) {
  uint32_t* control = block_.words();
  control[records::kRefusedErrno] = static_cast<uint32_t>(error);
  control[records::kRefusedReason] = reason;
  control[records::kRefusedDetail] = detail;
  return false;
}

bool QueuePair::buildElements(const uint32_t* record, uint32_t count, bool written, uint32_t most, ibv_sge* elements,
                              uint64_t* total) {
  HandleTable& handles = domain.context.environment.handles;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t* element = record + i * records::kElementWords;
    auto* region = static_cast<MemoryRegion*>(handles.find(element[records::kElementRegion], Kind::MemoryRegion));
    if (!region) return refuse(EINVAL, records::kStaleRegion, i);
    if (&region->domain != &domain) return refuse(EINVAL, records::kForeignRegion, i);
    if (written && !(region->access & IBV_ACCESS_LOCAL_WRITE)) return refuse(EINVAL, records::kNotWritable, i);
    const uint64_t offset = pairOfWords(element[records::kElementOffsetLow], element[records::kElementOffsetHigh]);
    const uint32_t length = element[records::kElementLength];
    if (!region->contains(offset, length)) return refuse(EINVAL, records::kOutOfBounds, i);
    elements[i].addr = reinterpret_cast<uintptr_t>(region->memory.data()) + offset;
    elements[i].length = std::min(length, most);
    elements[i].lkey = region->ibv->lkey;
    *total += length;
  }
  return true;
}

bool QueuePair::buildSend(const uint32_t* record, ibv_send_wr* request, ibv_sge* elements) {
  const uint32_t head = record[records::kSendHead];
  const uint32_t opcode = head & 0xff;
  const uint32_t flags = head >> 8 & 0xff;
  const uint32_t count = head >> 16;
  if (count > sizes_.maxSendSge) return refuse(EINVAL, records::kTooManySges, count);

  ibv_send_wr* const next = request->next;
  std::memset(request, 0, sizeof *request);
  request->next = next;
  uint64_t total = 0;
  const bool needsReply =
      opcode == IBV_WR_RDMA_READ || opcode == IBV_WR_ATOMIC_CMP_AND_SWP || opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
  if (!buildElements(record + records::kSendElements, count, needsReply, UINT32_MAX, elements, &total)) return false;
  if (total > longestMessage) {
    return refuse(EMSGSIZE, records::kTooLong, static_cast<uint32_t>(std::min<uint64_t>(total, UINT32_MAX)));
  }
  request->sg_list = elements;
  request->num_sge = static_cast<int>(count);
  request->opcode = static_cast<ibv_wr_opcode>(opcode);
  request->send_flags =
      flags & (IBV_SEND_FENCE | IBV_SEND_SIGNALED | IBV_SEND_SOLICITED | IBV_SEND_INLINE | IBV_SEND_IP_CSUM);
  if (flags & IBV_SEND_IP_CSUM && ibv->qp_type != IBV_QPT_RAW_PACKET) return refuse(EINVAL, records::kNoChecksum);
  if (flags & IBV_SEND_INLINE && total > maxInline) {
    return refuse(EINVAL, records::kInlineTooLong, static_cast<uint32_t>(std::min<uint64_t>(total, UINT32_MAX)));
  }

  const uint64_t remote = pairOfWords(record[records::kSendRemoteLow], record[records::kSendRemoteHigh]);
  switch (opcode) {
    case IBV_WR_SEND_WITH_IMM: request->imm_data = htonl(record[records::kSendImmediate]); break;
    case IBV_WR_SEND: break;
    case IBV_WR_RDMA_WRITE_WITH_IMM:
    case IBV_WR_RDMA_WRITE:
    case IBV_WR_RDMA_READ:
      request->imm_data = htonl(record[records::kSendImmediate]);
      request->wr.rdma.remote_addr = remote;
      request->wr.rdma.rkey = record[records::kSendRkey];
      break;
    case IBV_WR_ATOMIC_CMP_AND_SWP:
    case IBV_WR_ATOMIC_FETCH_AND_ADD:
      if (total != 8) return refuse(EINVAL, records::kBadAtomic);
      // libmlx5 sets the length of each element to 8, whatever the request says (providers/mlx5/qp.c,
      // set_data_ptr_seg_atomic): the first takes all 8 bytes, and overwrites what follows it. Of the other providers,
      // only rxe is known to fill elements in order.
      for (uint32_t i = 0; i < count && !domain.context.isRxe; i++) {
        if (elements[i].length % 8) return refuse(EINVAL, records::kBadAtomic, 1);
      }
      request->wr.atomic.remote_addr = remote;
      request->wr.atomic.rkey = record[records::kSendRkey];
      request->wr.atomic.compare_add = pairOfWords(record[records::kSendCompareLow], record[records::kSendCompareHigh]);
      request->wr.atomic.swap = pairOfWords(record[records::kSendSwapLow], record[records::kSendSwapHigh]);
      break;
    default: return refuse(EINVAL, records::kBadOpcode, opcode);
  }
  // An operation that the queue pair's type does not have must be refused here: a provider that writes the request into
  // its ring before it checks (rxe does) would leave it there.
  const bool oneSided = opcode != IBV_WR_SEND && opcode != IBV_WR_SEND_WITH_IMM;
  const bool raw = ibv->qp_type == IBV_QPT_RAW_PACKET;
  if ((raw && opcode != IBV_WR_SEND) || (ibv->qp_type == IBV_QPT_UD && oneSided) ||
      (ibv->qp_type == IBV_QPT_UC && needsReply) || (needsReply && flags & IBV_SEND_INLINE)) {
    return refuse(EINVAL, records::kBadOpcode, opcode);
  }
  if (ibv->qp_type == IBV_QPT_UD) {
    auto* address = static_cast<AddressHandle*>(
        domain.context.environment.handles.find(record[records::kSendAddressHandle], Kind::AddressHandle));
    if (!address || &address->domain != &domain) return refuse(EINVAL, records::kBadAddressHandle);
    request->wr.ud.ah = address->ibv;
    request->wr.ud.remote_qpn = record[records::kSendRemoteQpn];
    request->wr.ud.remote_qkey = record[records::kSendRemoteQkey];
  }
  return true;
}

uint32_t QueuePair::postSend(uint32_t first, uint32_t count) {
  refuse(0, records::kNotRefused);
  if (ibv->state < IBV_QPS_RTS) {
    refuse(EINVAL, records::kWrongState, ibv->state);
    return 0;
  }
  const uint32_t words = records::sendWords(sizes_.maxSendSge);
  const uint32_t* ring = block_.words() + records::kControlWords;
  const uint32_t room = std::min(count, send_.free());
  const uint32_t stretch = std::max(1u, sizes_.maxSendWr / 2);
  const uint64_t owner = static_cast<uint64_t>(id) << 32;
  uint32_t built = 0;
  uint32_t unsignaled = unsignaled_;
  for (; built < room; built++) {
    uint32_t record[kMaxRecord];
    copyRecord(record, ring + static_cast<size_t>((first + built) % sizes_.maxSendWr) * words, words);
    ibv_send_wr& request = sends_[built];
    if (!buildSend(record, &request, sends_.elements(built))) break;
    const bool wanted = request.send_flags & IBV_SEND_SIGNALED;
    // The next signalled completion retires the unsignalled requests before it, so one must come every half queue.
    if (wanted || unsignaled + 1 >= stretch) {
      request.send_flags |= IBV_SEND_SIGNALED;
      unsignaled = 0;
    } else {
      unsignaled++;
    }
    send_.write(built, record[records::kSendCookie], completionOpcode(request.opcode), wanted,
                request.send_flags & IBV_SEND_SIGNALED);
    request.wr_id = owner | send_.name(built);
  }
  if (built == 0) return 0;
  int error;
  const uint32_t accepted = sends_.post(ibv, built, &error);
  if (error) {
    refuse(error, records::kByProvider);
    for (unsignaled = unsignaled_, built = 0; built < accepted; built++) {
      unsignaled = sends_[built].send_flags & IBV_SEND_SIGNALED ? 0 : unsignaled + 1;
    }
  }
  unsignaled_ = unsignaled;
  send_.accept(accepted);
  publish();
  return accepted;
}

uint32_t QueuePair::postReceive(uint32_t first, uint32_t count) {
  refuse(0, records::kNotRefused);
  if (ibv->state == IBV_QPS_RESET) {
    refuse(EINVAL, records::kWrongState, ibv->state);
    return 0;
  }
  const uint32_t words = records::receiveWords(sizes_.maxReceiveSge);
  const uint32_t* ring = block_.words() + records::kControlWords +
                         static_cast<size_t>(sizes_.maxSendWr) * records::sendWords(sizes_.maxSendSge);
  const uint32_t room = std::min(count, receive_.free());
  const uint64_t owner = static_cast<uint64_t>(id) << 32 | kReceiveName;
  uint32_t built = 0;
  for (; built < room; built++) {
    uint32_t record[kMaxRecord];
    copyRecord(record, ring + static_cast<size_t>((first + built) % sizes_.maxReceiveWr) * words, words);
    const uint32_t elements = record[records::kReceiveHead];
    if (elements > sizes_.maxReceiveSge) {
      refuse(EINVAL, records::kTooManySges, elements);
      break;
    }
    uint64_t total = 0;
    if (!buildElements(record + records::kReceiveElements, elements, true, longestReceive, receives_.elements(built),
                       &total)) {
      break;
    }
    receive_.write(built, record[records::kReceiveCookie], IBV_WC_RECV, true, true);
    receives_[built].wr_id = owner | receive_.name(built);
    receives_[built].num_sge = static_cast<int>(elements);
  }
  if (built == 0) return 0;
  int error;
  const uint32_t accepted = receives_.post(ibv, built, &error);
  if (error) refuse(error, records::kByProvider);
  receive_.accept(accepted);
  publish();
  if (accepted && domain.context.isRxe && (suspect_ || ibv->state == IBV_QPS_ERR)) ringInError();
  return accepted;
}

// Posting a receive to rxe only writes to memory that it shares, without a system call. In ERR it must be flushed, but
// rxe of Linux 6.1 does not look there until something wakes its responder, and a poller would wait for ever. Another
// transition to ERR wakes it.
void QueuePair::ringInError() {
  ibv_qp_attr attributes{};
  ibv_qp_init_attr initial{};
  if (ibv_query_qp(ibv, &attributes, IBV_QP_STATE, &initial)) return;
  suspect_ = attributes.qp_state == IBV_QPS_ERR;
  if (suspect_) ibv_modify_qp(ibv, &attributes, IBV_QP_STATE);
}

uint32_t QueuePair::submit() {
  // Read once: JavaScript may change them meanwhile. postReceive and postSend check their arguments.
  const volatile uint32_t* control = block_.words();
  const uint32_t receiveFirst = control[records::kReceiveFirst] % WorkQueue::kMaxCapacity;
  const uint32_t receives = control[records::kReceivePending];
  const uint32_t sendFirst = control[records::kSendFirst] % WorkQueue::kMaxCapacity;
  const uint32_t sends = control[records::kSendPending];
  uint32_t accepted = 0;
  if (receives) {
    accepted = postReceive(receiveFirst, receives);
    if (accepted < receives) return accepted;
  }
  return sends ? accepted + postSend(sendFirst, sends) : accepted;
}

namespace {

// postSend(pair, first, count), postReceive(pair, first, count): how many requests the device accepted
int32_t postSend(Environment& environment, const uint32_t* numbers) {
  QueuePair& pair = environment.handle<QueuePair>(numbers[0], "queue pair");
  return static_cast<int32_t>(pair.postSend(numbers[1] % WorkQueue::kMaxCapacity, numbers[2]));
}

int32_t postReceive(Environment& environment, const uint32_t* numbers) {
  QueuePair& pair = environment.handle<QueuePair>(numbers[0], "queue pair");
  return static_cast<int32_t>(pair.postReceive(numbers[1] % WorkQueue::kMaxCapacity, numbers[2]));
}

// submit(pair): how many requests the device accepted
int32_t submit(Environment& environment, const uint32_t* numbers) {
  return static_cast<int32_t>(environment.handle<QueuePair>(numbers[0], "queue pair").submit());
}

}  // namespace

void initializePost(Napi::Env env, Napi::Object exports) {
  hot_call::define<3, postSend>(env, exports, "postSend");
  hot_call::define<3, postReceive>(env, exports, "postReceive");
  hot_call::define<1, submit>(env, exports, "submit");
}

}  // namespace verbs
