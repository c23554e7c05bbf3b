// Posting: records become work requests.
//
// JavaScript can write anything into the rings, at any time, from any thread. So each record is copied once, and only
// the copy is checked and used: its handles are looked up, its offsets compared with their regions.
#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "environment.h"
#include "verbs/address_handle.h"
#include "verbs/memory_region.h"
#include "verbs/queue_pair.h"
#include "verbs/verbs.h"

namespace verbs {
namespace {

uint64_t pairOfWords(uint32_t low, uint32_t high) { return static_cast<uint64_t>(high) << 32 | low; }

constexpr uint32_t kMaxElements = 255;
constexpr uint32_t kMaxRecord = records::kSendElements + kMaxElements * records::kElementWords;

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
  refused_ = {error, reason, detail};
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

uint32_t QueuePair::postSends(uint32_t available) {
  if (ibv->state < IBV_QPS_RTS) {
    refuse(EINVAL, records::kWrongState, ibv->state);
    return 0;
  }
  const uint32_t words = records::kSendElements + sizes_.maxSendSge * records::kElementWords;
  const uint32_t room = std::min(available, send_.free());
  const uint32_t stretch = std::max(1u, sizes_.maxSendWr / 2);
  const uint64_t owner = static_cast<uint64_t>(id) << 32;
  uint32_t built = 0;
  uint32_t unsignaled = unsignaled_;
  for (; built < room; built++) {
    uint32_t record[kMaxRecord];
    shared_.sends.copy(built, record, words);
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

uint32_t QueuePair::postReceives(uint32_t available) {
  if (ibv->state == IBV_QPS_RESET) {
    refuse(EINVAL, records::kWrongState, ibv->state);
    return 0;
  }
  const uint32_t words = records::kReceiveElements + sizes_.maxReceiveSge * records::kElementWords;
  const uint32_t room = std::min(available, receive_.free());
  const uint64_t owner = static_cast<uint64_t>(id) << 32 | kReceiveName;
  uint32_t built = 0;
  for (; built < room; built++) {
    uint32_t record[kMaxRecord];
    shared_.receives.copy(built, record, words);
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

uint32_t QueuePair::take(SharedRing& ring, uint32_t accepted) {
  uint32_t taken = accepted;
  if (refused_.error) {
    uint32_t* control = shared_.control.words();
    if (control[records::kRefusedErrno] == 0) {
      control[records::kRefusedErrno] = static_cast<uint32_t>(refused_.error);
      control[records::kRefusedReason] = refused_.reason;
      control[records::kRefusedDetail] = refused_.detail;
      control[records::kRefusedCookie] = ring.read(accepted, records::kSendCookie);
      control[records::kRefusedReceive] = &ring == &shared_.receives;
    }
    const bool retriable = refused_.reason == records::kWrongState ||
                           (refused_.reason == records::kByProvider && refused_.error == ENOMEM);
    if (!retriable) taken++;
    refused_ = {};
  }
  ring.consume(taken);
  return accepted;
}

uint32_t QueuePair::submit() {
  if (handedOver()) return 0;
  shared_.control.words()[records::kRefusedErrno] = 0;
  // An index that JavaScript overwrote with an impossible one counts as an empty ring, until the next publish().
  uint32_t available;
  uint32_t accepted = 0;
  if (shared_.receives.available(&available) && available) {
    accepted = take(shared_.receives, postReceives(available));
  }
  if (shared_.sends.available(&available) && available) accepted += take(shared_.sends, postSends(available));
  return accepted;
}

namespace {

// submitBell(pair, control): a function that leaves in the control words how many requests the device accepted
Napi::Value submitBell(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).handle<QueuePair>(info, 0, "queue pair").submitBell(info.Env(), info[1]);
}

}  // namespace

void initializePost(Napi::Env env, Napi::Object exports) {
  exports.Set("submitBell", Napi::Function::New<submitBell>(env, "submitBell"));
}

}  // namespace verbs
