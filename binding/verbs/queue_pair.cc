#include "verbs/queue_pair.h"

#include <arpa/inet.h>
#include <sched.h>

#include <algorithm>

#include "argument.h"
#include "clock.h"
#include "verbs/address_handle.h"
#include "verbs/verbs.h"

namespace verbs {

QueuePair::QueuePair(ProtectionDomain& domain, CompletionQueue& sendQueue, CompletionQueue& receiveQueue,
                     const Sizes& sizes, Shared shared)
    : Handle(kKind, {&domain, &sendQueue, &receiveQueue}),
      domain(domain),
      sendQueue(sendQueue),
      receiveQueue(receiveQueue),
      sizes_(sizes),
      shared_(std::move(shared)),
      send_(sizes.maxSendWr),
      receive_(sizes.maxReceiveWr),
      sends_(sizes.maxSendWr, sizes.maxSendSge),
      receives_(sizes.maxReceiveWr, sizes.maxReceiveSge) {}

int QueuePair::release(const char** syscall) {
  if (!handedOver()) drain();
  else if (sendQueue.ring) rings->awaitSends(*sendQueue.ring);
  // The kernel does not destroy a member of a group (EBUSY): where a detach fails, ibv_destroy_qp reports it.
  for (const Group& group : groups_) ibv_detach_mcast(ibv, &group.gid, group.lid);
  groups_.clear();
  *syscall = "ibv_destroy_qp";
  const int error = ibv_destroy_qp(ibv);
  if (error) return error;
  // The queue pair was all that used the parent domain: nothing can refuse.
  if (rings) rings->memory.close(syscall);
  afterReset();
  sendQueue.giveCredits(sizes_.maxSendWr);
  receiveQueue.giveCredits(sizes_.maxReceiveWr);
  return 0;
}

int QueuePair::attachMulticast(const ibv_gid& gid, uint16_t lid) {
  for (const Group& group : groups_) {
    if (group.is(gid, lid)) return 0;  // as in the kernel: attaching a member again does nothing
  }
  const int error = ibv_attach_mcast(ibv, &gid, lid);
  if (error == 0) groups_.push_back({gid, lid});
  return error;
}

int QueuePair::detachMulticast(const ibv_gid& gid, uint16_t lid) {
  const int error = ibv_detach_mcast(ibv, &gid, lid);
  if (error) return error;
  groups_.erase(std::remove_if(groups_.begin(), groups_.end(), [&](const Group& group) { return group.is(gid, lid); }),
                groups_.end());
  return 0;
}

void QueuePair::drain() {
  // SoftRoCE before Linux 6.2 can hang in ibv_destroy_qp while requests are in flight: move to ERR, which flushes them,
  // and wait briefly for the flushes. Completions of other queue pairs that arrive meanwhile are kept for their poller.
  if (send_.outstanding() + receive_.outstanding() == 0 || ibv->state == IBV_QPS_RESET) return;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  if (ibv_modify_qp(ibv, &attributes, IBV_QP_STATE)) return;
  // An unsignalled request that succeeded generates no completion: stop when nothing is outstanding, or when nothing
  // has changed for 20 ms.
  uint32_t before = 0;
  uint64_t quiet = monotonicNanoseconds();
  const uint64_t deadline = quiet + 2000000000u;
  for (;;) {
    sendQueue.drainInto(*this);
    if (&receiveQueue != &sendQueue) receiveQueue.drainInto(*this);
    const uint32_t outstanding = send_.outstanding() + receive_.outstanding();
    if (outstanding == 0) return;
    const uint64_t now = monotonicNanoseconds();
    if (outstanding != before) quiet = now;
    before = outstanding;
    if (now > deadline || now - quiet > 20000000u) return;
    sched_yield();
  }
}

void QueuePair::afterReset() {
  sendQueue.purge(*this);
  if (&receiveQueue != &sendQueue) receiveQueue.purge(*this);
  send_.reset();
  receive_.reset();
  unsignaled_ = 0;
  suspect_ = false;
  shared_.sends.drop();
  shared_.receives.drop();
  publish();
}

bool QueuePair::retire(uint32_t name, bool success, uint32_t* cookie, uint32_t* opcode) {
  const bool isReceive = name & kReceiveName;
  bool wanted = true;
  if (!(isReceive ? receive_ : send_).retire(name & ~kReceiveName, cookie, opcode, &wanted)) return false;
  if (!success) suspect_ = true;
  publish();
  // A request that only postSend() signalled is reported to the caller only if it failed.
  return wanted || !success;
}

void QueuePair::publish() {
  uint32_t* control = shared_.control.words();
  control[records::kSendOutstanding] = send_.outstanding();
  control[records::kReceiveOutstanding] = receive_.outstanding();
}

namespace {

Environment& environmentOf(const Napi::CallbackInfo& info) { return Environment::of(info.Env()); }

QueuePair& pairOf(const Napi::CallbackInfo& info) {
  return environmentOf(info).handle<QueuePair>(info, 0, "queue pair");
}

// createQueuePair(domain, sendQueue, receiveQueue, { type, maxSendWr, … }, { control, send, receive }, memory, card):
// ibv_create_qp(3), or mlx5dv_create_qp(3) for what `card` asks for (mlx5::QueuePairRequest). `memory`, if given, is
// for the device's own rings: see mlx5/ring_memory.h. If it is too small the result is { handle: 0, lacking: bytes }.
// { handle, number, and the capabilities that the provider granted }
Napi::Value createQueuePair(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Environment& environment = environmentOf(info);
  // Options first: a getter may run JavaScript that closes what a handle stands for.
  Napi::Object options = argument::object(env, info[3], "options");
  QueuePair::Sizes sizes;
  sizes.maxSendWr = argument::field<uint32_t>(options, "maxSendWr");
  sizes.maxReceiveWr = argument::field<uint32_t>(options, "maxReceiveWr");
  sizes.maxSendSge = argument::field<uint32_t>(options, "maxSendSge");
  sizes.maxReceiveSge = argument::field<uint32_t>(options, "maxReceiveSge");
  sizes.maxInline = argument::field<uint32_t>(options, "maxInline");
  const auto type = static_cast<ibv_qp_type>(argument::field<uint32_t>(options, "type"));
  const auto longestMessage = argument::field<uint32_t>(options, "longestMessage");
  const auto longestReceive = argument::field<uint32_t>(options, "longestReceive");
  if (longestMessage > INT32_MAX || longestReceive > INT32_MAX) {
    throwArgumentRange(env, "longestMessage", "below 2^31");
  }
  if (sizes.maxSendWr == 0 || sizes.maxSendWr > WorkQueue::kMaxCapacity) {
    throwArgumentRange(env, "maxSendWr", "from 1 to 2^24");
  }
  if (sizes.maxReceiveWr == 0 || sizes.maxReceiveWr > WorkQueue::kMaxCapacity) {
    throwArgumentRange(env, "maxReceiveWr", "from 1 to 2^24");
  }
  if (sizes.maxSendSge == 0 || sizes.maxSendSge > 255) throwArgumentRange(env, "maxSendSge", "from 1 to 255");
  if (sizes.maxReceiveSge == 0 || sizes.maxReceiveSge > 255) throwArgumentRange(env, "maxReceiveSge", "from 1 to 255");
  mlx5::QueuePairRequest card;
  if (!info[6].IsUndefined()) {
    Napi::Object asked = argument::object(env, info[6], "card");
    card.cardFlags = argument::field<uint32_t>(asked, "cardFlags");
    card.flags = argument::field<uint32_t>(asked, "flags");
    card.maxTsoHeader = argument::field<uint32_t>(asked, "maxTsoHeader");
    if (card.maxTsoHeader > UINT16_MAX) throwArgumentRange(env, "maxTsoHeader", "at most 65535");
  }
  Napi::Object rings = argument::object(env, info[4], "rings");
  QueuePair::Shared shared{
      SharedMemory(env, rings.Get("control"), "control"),
      SharedRing(env, rings.Get("send"), "send", records::sendWords(sizes.maxSendSge)),
      SharedRing(env, rings.Get("receive"), "receive", records::receiveWords(sizes.maxReceiveSge))};
  if (!shared.control.aligned(4) || shared.control.length() / sizeof(uint32_t) < records::kControlWords) {
    throwArgumentRange(env, "control", "as long as the control words");
  }
  ProtectionDomain& domain = environment.handle<ProtectionDomain>(info, 0, "domain");
  CompletionQueue& sendQueue = environment.handle<CompletionQueue>(info, 1, "send completion queue");
  CompletionQueue& receiveQueue = environment.handle<CompletionQueue>(info, 2, "receive completion queue");
  if (&sendQueue.context != &domain.context || &receiveQueue.context != &domain.context) {
    throwArgumentRange(env, "cq", "a completion queue of the domain's own context");
  }

  auto pair = std::make_unique<QueuePair>(domain, sendQueue, receiveQueue, sizes, std::move(shared));
  pair->longestMessage = longestMessage;
  pair->longestReceive = longestReceive;
  if (!info[5].IsUndefined()) {
    pair->rings = std::make_unique<mlx5::QueuePairRings>(SharedMemory(env, info[5], "memory"));
  }
  if (!sendQueue.takeCredits(sizes.maxSendWr)) {
    throwErrno(env, ENOSPC, "ibv_create_qp",
               "the send completion queue has " + std::to_string(sendQueue.freeCredits()) + " of " +
                   std::to_string(sendQueue.entries()) + " places left and maxSendWr is " +
                   std::to_string(sizes.maxSendWr) + ": create it larger, or this queue pair smaller");
  }
  if (!receiveQueue.takeCredits(sizes.maxReceiveWr)) {
    const uint32_t left = receiveQueue.freeCredits();  // after the sends, if they complete in the same queue
    sendQueue.giveCredits(sizes.maxSendWr);
    throwErrno(env, ENOSPC, "ibv_create_qp",
               "the receive completion queue has " + std::to_string(left) + " of " +
                   std::to_string(receiveQueue.entries()) + " places left and maxReceiveWr is " +
                   std::to_string(sizes.maxReceiveWr) + ": create it larger, or this queue pair smaller");
  }
  ibv_qp_init_attr attributes{};
  attributes.qp_context = pair.get();
  attributes.send_cq = sendQueue.ibv;
  attributes.recv_cq = receiveQueue.ibv;
  attributes.qp_type = type;
  attributes.cap = {sizes.maxSendWr, sizes.maxReceiveWr, sizes.maxSendSge, sizes.maxReceiveSge, sizes.maxInline};
  const char* syscall = "ibv_create_qp";
  int error = pair->rings ? pair->rings->memory.open(domain.ibv, true, &syscall) : 0;
  if (!error) {
    ibv_pd* parent = pair->rings ? pair->rings->memory.domain() : domain.ibv;
    syscall = card.unusual() ? "mlx5dv_create_qp" : "ibv_create_qp";
    pair->ibv = card.unusual() ? mlx5::createQueuePair(domain.context.ibv, parent, &attributes, card)
                               : ibv_create_qp(parent, &attributes);
    if (!pair->ibv) error = errno;
  }
  if (error) {
    sendQueue.giveCredits(sizes.maxSendWr);
    receiveQueue.giveCredits(sizes.maxReceiveWr);
    if (pair->rings) {
      const char* ignored;
      pair->rings->memory.close(&ignored);
      if (pair->rings->memory.lacking()) return mlx5::lacking(env, pair->rings->memory);
    }
    throwErrno(env, error, syscall);
  }
  pair->maxInline = attributes.cap.max_inline_data;

  const uint32_t number = pair->ibv->qp_num;
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", environment.open(std::move(pair)));
  result.Set("number", Napi::Number::New(env, number));
  result.Set("maxSendWr", Napi::Number::New(env, attributes.cap.max_send_wr));
  result.Set("maxReceiveWr", Napi::Number::New(env, attributes.cap.max_recv_wr));
  result.Set("maxSendSge", Napi::Number::New(env, attributes.cap.max_send_sge));
  result.Set("maxReceiveSge", Napi::Number::New(env, attributes.cap.max_recv_sge));
  result.Set("maxInline", Napi::Number::New(env, attributes.cap.max_inline_data));
  return result;
}

// modifyQueuePair(pair, attributes): ibv_modify_qp(3). Sets each attribute that is present, and its bit in the mask.
void modifyQueuePair(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object attributes = argument::object(env, info[1], "attributes");
  ibv_qp_attr attr{};
  int mask = 0;
  const auto take = [&](const char* name, int bit, auto* field) {
    if (attributes.Get(name).IsUndefined()) return;
    *field = static_cast<std::decay_t<decltype(*field)>>(argument::field<uint32_t>(attributes, name));
    mask |= bit;
  };
  take("state", IBV_QP_STATE, &attr.qp_state);
  take("currentState", IBV_QP_CUR_STATE, &attr.cur_qp_state);
  take("access", IBV_QP_ACCESS_FLAGS, &attr.qp_access_flags);
  take("pkeyIndex", IBV_QP_PKEY_INDEX, &attr.pkey_index);
  take("port", IBV_QP_PORT, &attr.port_num);
  take("qkey", IBV_QP_QKEY, &attr.qkey);
  take("pathMtu", IBV_QP_PATH_MTU, &attr.path_mtu);
  take("timeout", IBV_QP_TIMEOUT, &attr.timeout);
  take("retryCount", IBV_QP_RETRY_CNT, &attr.retry_cnt);
  take("rnrRetry", IBV_QP_RNR_RETRY, &attr.rnr_retry);
  take("rqPsn", IBV_QP_RQ_PSN, &attr.rq_psn);
  take("maxRdAtomic", IBV_QP_MAX_QP_RD_ATOMIC, &attr.max_rd_atomic);
  take("minRnrTimer", IBV_QP_MIN_RNR_TIMER, &attr.min_rnr_timer);
  take("sqPsn", IBV_QP_SQ_PSN, &attr.sq_psn);
  take("maxDestRdAtomic", IBV_QP_MAX_DEST_RD_ATOMIC, &attr.max_dest_rd_atomic);
  take("destQpNum", IBV_QP_DEST_QPN, &attr.dest_qp_num);
  if (!attributes.Get("addressVector").IsUndefined()) {
    attr.ah_attr = addressVector(env, attributes.Get("addressVector"), "addressVector");
    mask |= IBV_QP_AV;
  }
  QueuePair& pair = pairOf(info);  // only now: a getter among the attributes may have closed it
  const int error = ibv_modify_qp(pair.ibv, &attr, mask);
  if (error) throwErrno(env, error, "ibv_modify_qp", mask & IBV_QP_AV ? wayOf(attr.ah_attr, error) : "");
  if (mask & IBV_QP_STATE && attr.qp_state == IBV_QPS_RESET) pair.afterReset();
}

// queryQueuePair(pair): ibv_query_qp(3)
Napi::Value queryQueuePair(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  QueuePair& pair = pairOf(info);
  ibv_qp_attr attr{};
  ibv_qp_init_attr initial{};
  const int all = IBV_QP_STATE | IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
                  IBV_QP_QKEY | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                  IBV_QP_RQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER | IBV_QP_SQ_PSN |
                  IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_CAP | IBV_QP_DEST_QPN;
  const int error = ibv_query_qp(pair.ibv, &attr, all, &initial);
  if (error) throwErrno(env, error, "ibv_query_qp");
  Napi::Object result = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) { result.Set(name, Napi::Number::New(env, value)); };
  set("state", attr.qp_state);
  set("access", attr.qp_access_flags);
  set("pkeyIndex", attr.pkey_index);
  set("port", attr.port_num);
  set("qkey", attr.qkey);
  set("pathMtu", attr.path_mtu);
  set("timeout", attr.timeout);
  set("retryCount", attr.retry_cnt);
  set("rnrRetry", attr.rnr_retry);
  set("rqPsn", attr.rq_psn);
  set("sqPsn", attr.sq_psn);
  set("maxRdAtomic", attr.max_rd_atomic);
  set("maxDestRdAtomic", attr.max_dest_rd_atomic);
  set("minRnrTimer", attr.min_rnr_timer);
  set("destQpNum", attr.dest_qp_num);
  set("sqDraining", attr.sq_draining);
  set("maxSendWr", attr.cap.max_send_wr);
  set("maxRecvWr", attr.cap.max_recv_wr);
  set("maxSendSge", attr.cap.max_send_sge);
  set("maxRecvSge", attr.cap.max_recv_sge);
  set("maxInlineData", attr.cap.max_inline_data);
  char gid[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, attr.ah_attr.grh.dgid.raw, gid, sizeof gid);
  Napi::Object vector = Napi::Object::New(env);
  vector.Set("gid", gid);
  vector.Set("gidIndex", Napi::Number::New(env, attr.ah_attr.grh.sgid_index));
  vector.Set("hopLimit", Napi::Number::New(env, attr.ah_attr.grh.hop_limit));
  vector.Set("trafficClass", Napi::Number::New(env, attr.ah_attr.grh.traffic_class));
  vector.Set("flowLabel", Napi::Number::New(env, attr.ah_attr.grh.flow_label));
  vector.Set("serviceLevel", Napi::Number::New(env, attr.ah_attr.sl));
  vector.Set("lid", Napi::Number::New(env, attr.ah_attr.dlid));
  vector.Set("port", Napi::Number::New(env, attr.ah_attr.port_num));
  result.Set("addressVector", vector);
  return result;
}

// attachMulticast(pair, gid, lid), detachMulticast(pair, gid, lid): ibv_attach_mcast(3)
template <int (QueuePair::*operation)(const ibv_gid&, uint16_t)>
void multicast(const Napi::CallbackInfo& info, const char* syscall) {
  const std::string text = argument::string(info.Env(), info[1], "gid");
  ibv_gid gid;
  if (inet_pton(AF_INET6, text.c_str(), gid.raw) != 1) throwArgumentRange(info.Env(), "gid", "a GID such as ff0e::1");
  const uint32_t lid = argument::uint32(info, 2, "lid");
  if (lid > 0xffff) throwArgumentRange(info.Env(), "lid", "from 0 to 65535");
  const int error = (pairOf(info).*operation)(gid, static_cast<uint16_t>(lid));
  if (error) throwErrno(info.Env(), error, syscall, "the group " + text);
}

void attachMulticast(const Napi::CallbackInfo& info) {
  multicast<&QueuePair::attachMulticast>(info, "ibv_attach_mcast");
}

void detachMulticast(const Napi::CallbackInfo& info) {
  multicast<&QueuePair::detachMulticast>(info, "ibv_detach_mcast");
}

// settled(pair): whether every send that generates a completion has completed; the completions stay for the next polls
Napi::Value settled(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), pairOf(info).settled()); }

}  // namespace

void initializeQueuePair(Napi::Env env, Napi::Object exports) {
  exports.Set("createQueuePair", Napi::Function::New(env, createQueuePair, "createQueuePair"));
  exports.Set("modifyQueuePair", Napi::Function::New(env, modifyQueuePair, "modifyQueuePair"));
  exports.Set("attachMulticast", Napi::Function::New(env, attachMulticast, "attachMulticast"));
  exports.Set("detachMulticast", Napi::Function::New(env, detachMulticast, "detachMulticast"));
  exports.Set("settled", Napi::Function::New(env, settled, "settled"));
  exports.Set("queryQueuePair", Napi::Function::New(env, queryQueuePair, "queryQueuePair"));
}

}  // namespace verbs
