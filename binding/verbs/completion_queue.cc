#include "verbs/completion_queue.h"

#include <arpa/inet.h>

#include <algorithm>

#include "argument.h"
#include "clock.h"
#include "hot_call.h"
#include "verbs/protection_domain.h"
#include "verbs/queue_pair.h"
#include "verbs/records.h"
#include "verbs/rxe_ring.h"
#include "verbs/verbs.h"

namespace verbs {
namespace {

// ibv_ack_cq_events takes a mutex, so events are acknowledged this many at a time (ibv_get_cq_event(3)).
constexpr uint32_t kAcknowledge = 64;

}  // namespace

CompletionQueue::CompletionQueue(Context& context, ProtectionDomain* domain, uint32_t batch, SharedMemory columns,
                                 bool stamped)
    : Handle(kKind, domain ? std::vector<Handle*>{&context, domain} : std::vector<Handle*>{&context}),
      context(context),
      stamped(stamped),
      batch_(batch),
      columns_(std::move(columns)) {}

int CompletionQueue::release(const char** syscall) {
  // ibv_destroy_cq waits until every event that was read is acknowledged.
  if (unacknowledged_) ibv_ack_cq_events(ibv, unacknowledged_);
  unacknowledged_ = 0;
  // From here on JavaScript polls through the bell, which rings nothing, and reads the ring no more: it is unmapped.
  watched_ = false;
  if (int32_t* mailbox = pollBell_.mailbox()) mailbox[1] = 0;
  *syscall = "ibv_destroy_cq";
  const int error = ibv_destroy_cq(ibv);
  if (!error && ring) ring->tellGone();
  // The queue was all that used the parent domain: nothing can refuse.
  if (!error && ring) ring->memory.close(syscall);
  if (!error) columns_.release();
  return error;
}

Napi::Value CompletionQueue::pollBell(Napi::Env env, Napi::Value mailbox) {
  if (int32_t* before = pollBell_.mailbox()) before[1] = 0;
  const Napi::Value bell = pollBell_.bind(env, *this, mailbox, 2);
  pollBell_.mailbox()[1] = watched_;
  return bell;
}

void CompletionQueue::publish() {
  uint32_t* control = columns_.words() + static_cast<size_t>(batch_) * records::kCompletionColumns;
  control[records::kKept] = static_cast<uint32_t>(kept_.size());
}

void CompletionQueue::eventRead() {
  armed_ = Armed::no;
  if (ring) ring->eventRead();
  if (++unacknowledged_ < kAcknowledge) return;
  ibv_ack_cq_events(ibv, unacknowledged_);
  unacknowledged_ = 0;
}

int CompletionQueue::arm(bool solicitedOnly) {
  const Armed wanted = solicitedOnly ? Armed::solicitedOnly : Armed::any;
  if (armed_ >= wanted) return 0;
  // libmlx5 arms with a consumer index of its own, which stands still once the ring is JavaScript's.
  if (ring && ring->handedOver()) return EBUSY;
  const int error = ibv_req_notify_cq(ibv, solicitedOnly);
  if (!error) armed_ = wanted;
  return error;
}

int CompletionQueue::pollDevice(int most, uint64_t* stamps) {
  if (ring && ring->handedOver()) return 0;
  return stamped ? pollStamped(most, stamps) : ibv_poll_cq(ibv, most, polled_);
}

// ibv_poll_cq(3) tells no timestamps: ibv_start_poll (ibv_create_cq_ex(3)) does.
int CompletionQueue::pollStamped(int most, uint64_t* stamps) {
  auto* queue = reinterpret_cast<ibv_cq_ex*>(ibv);
  ibv_poll_cq_attr attributes{};
  const int error = ibv_start_poll(queue, &attributes);
  if (error) return error == ENOENT ? 0 : -error;
  int count = 0;
  do {
    ibv_wc& completion = polled_[count];
    completion.wr_id = queue->wr_id;
    completion.status = queue->status;
    completion.qp_num = ibv_wc_read_qp_num(queue);
    if (completion.status != IBV_WC_SUCCESS) {
      completion.vendor_err = ibv_wc_read_vendor_err(queue);
    } else {
      completion.opcode = ibv_wc_read_opcode(queue);
      completion.byte_len = ibv_wc_read_byte_len(queue);
      completion.wc_flags = ibv_wc_read_wc_flags(queue);
      if (completion.wc_flags & IBV_WC_WITH_IMM) completion.imm_data = ibv_wc_read_imm_data(queue);
      completion.src_qp = ibv_wc_read_src_qp(queue);
      completion.slid = static_cast<uint16_t>(ibv_wc_read_slid(queue));
      completion.sl = ibv_wc_read_sl(queue);
      completion.dlid_path_bits = ibv_wc_read_dlid_path_bits(queue);
    }
    // An error's entry has something else there (mlx5_err_cqe).
    if (stamps) stamps[count] = completion.status == IBV_WC_SUCCESS ? ibv_wc_read_completion_ts(queue) : 0;
    count++;
    // Whatever ends this poll, the next one tells it.
  } while (count < most && ibv_next_poll(queue) == 0);
  ibv_end_poll(queue);
  return count;
}

int CompletionQueue::next(int most, uint64_t* stamps) {
  if (kept_.empty()) return pollDevice(most, stamps);
  int count = 0;
  for (; count < most && !kept_.empty(); count++) {
    if (stamps) stamps[count] = 0;  // kept without
    polled_[count] = kept_.front();
    kept_.pop_front();
  }
  publish();
  return count;
}

bool CompletionQueue::deliver(const ibv_wc& completion, uint32_t row) {
  // wr_id is the queue pair's handle and the request's name. Handles are never pointers: a stale one finds nothing.
  Handle* found = context.environment.handles.find(static_cast<uint32_t>(completion.wr_id >> 32), Kind::QueuePair);
  if (!found) return false;
  uint32_t cookie = 0, opcode = 0;
  const bool success = completion.status == IBV_WC_SUCCESS;
  auto* pair = static_cast<QueuePair*>(found);
  if (!pair->retire(static_cast<uint32_t>(completion.wr_id), success, &cookie, &opcode)) return false;

  uint32_t* columns = columns_.words() + row;
  const auto set = [&](records::Completion column, uint32_t value) { columns[column * batch_] = value; };
  set(records::kCookie, cookie);
  set(records::kStatus, completion.status);
  // A raw packet's completion has the flow tag where others have the QP number (mlx5_cqe64, sop_drop_qpn).
  const bool raw = pair->ibv->qp_type == IBV_QPT_RAW_PACKET;
  set(records::kQpn, raw ? pair->ibv->qp_num : completion.qp_num);
  set(records::kVendorError, completion.vendor_err);
  set(records::kOpcode, success ? static_cast<uint32_t>(completion.opcode) : opcode);
  set(records::kByteLength, success ? completion.byte_len : 0);
  set(records::kImmediate, success && (completion.wc_flags & IBV_WC_WITH_IMM) ? ntohl(completion.imm_data) : 0);
  set(records::kFlags, success ? completion.wc_flags : 0);
  set(records::kSourceQpn, success ? completion.src_qp : 0);
  set(records::kFlowTag, success && raw && completion.opcode == IBV_WC_RECV ? completion.qp_num & 0xffffff : 0);
  set(records::kPath, completion.slid | static_cast<uint32_t>(completion.sl) << 16 |
                          static_cast<uint32_t>(completion.dlid_path_bits) << 24);
  return true;
}

int32_t CompletionQueue::poll() {
  if (ring && ring->handedOver()) return kHandedOver;
  uint64_t stamps[kChunk];
  uint32_t row = 0;
  while (row < batch_) {
    const int wanted = static_cast<int>(std::min<uint32_t>(kChunk, batch_ - row));
    const int got = next(wanted, stamped ? stamps : nullptr);
    if (got < 0) return row ? static_cast<int32_t>(row) : -EIO;
    for (int i = 0; i < got; i++) {
      const bool delivered = deliver(polled_[i], row);
      polled_[i] = {};
      if (!delivered) continue;
      if (stamped) {
        uint32_t* column = columns_.words() + stampsAt(batch_) + row;
        column[0] = static_cast<uint32_t>(stamps[i]);
        column[batch_] = static_cast<uint32_t>(stamps[i] >> 32);
      }
      row++;
    }
    if (got < wanted) break;
  }
  return static_cast<int32_t>(row);
}

int32_t CompletionQueue::pollFor(uint64_t nanoseconds) {
  int32_t count = poll();
  if (count) return count;
  const uint64_t deadline = monotonicNanoseconds() + nanoseconds;
  do {
    // The clock costs about as much as a poll: read it every 16 polls.
    for (int i = 0; i < 16; i++) {
      count = poll();
      if (count) return count;
    }
  } while (monotonicNanoseconds() < deadline);
  return 0;
}

template <typename Take>
void CompletionQueue::forAll(Take take) {
  int got;
  while ((got = pollDevice(kChunk)) > 0) {
    for (int i = 0; i < got; i++) {
      take(polled_[i]);
      polled_[i] = {};
    }
  }
}

template <typename OfPair>
void CompletionQueue::sift(uint32_t pair, OfPair ofPair) {
  std::deque<ibv_wc> others;
  const auto take = [&](const ibv_wc& completion) {
    if (static_cast<uint32_t>(completion.wr_id >> 32) == pair) {
      ofPair(completion);
    } else {
      others.push_back(completion);
    }
  };
  for (const ibv_wc& completion : kept_) take(completion);
  forAll(take);
  kept_.swap(others);
  publish();
}

void CompletionQueue::purge(const QueuePair& pair) {
  if (ring && ring->handedOver()) ring->clean(pair.number);
  sift(pair.id, [](const ibv_wc&) {});
}

uint32_t CompletionQueue::hold(const QueuePair& pair) {
  forAll([&](const ibv_wc& completion) { kept_.push_back(completion); });
  publish();
  return static_cast<uint32_t>(std::count_if(kept_.begin(), kept_.end(), [&](const ibv_wc& completion) {
    return static_cast<uint32_t>(completion.wr_id >> 32) == pair.id && !(completion.wr_id & QueuePair::kReceiveName);
  }));
}

void CompletionQueue::drainInto(QueuePair& pair) {
  sift(pair.id, [&](const ibv_wc& completion) {
    uint32_t cookie, opcode;
    pair.retire(static_cast<uint32_t>(completion.wr_id), completion.status == IBV_WC_SUCCESS, &cookie, &opcode);
  });
}

namespace {

// What a completion tells (ibv_create_cq_ex(3)).
uint64_t toldBy(const CompletionQueue& queue) {
  return IBV_WC_STANDARD_FLAGS | (queue.stamped ? static_cast<uint64_t>(IBV_WC_EX_WITH_COMPLETION_TIMESTAMP) : 0);
}

ibv_cq* createStamped(CompletionQueue& queue, int entries) {
  ibv_cq_init_attr_ex attributes{};
  attributes.cqe = static_cast<uint32_t>(entries);
  attributes.cq_context = &queue;
  attributes.channel = queue.context.channel;
  attributes.wc_flags = toldBy(queue);
  ibv_cq_ex* created = ibv_create_cq_ex(queue.context.ibv, &attributes);
  return created ? ibv_cq_ex_to_cq(created) : nullptr;
}

CompletionQueue& queueOf(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).handle<CompletionQueue>(info, 0, "completion queue");
}

// What mlx5dv_create_cq(3) may be asked for: { entryBytes, format, padded }, of which 0 is the usual.
void cardOptions(Napi::Env env, const Napi::Value& given, mlx5dv_cq_init_attr* attributes) {
  if (given.IsUndefined()) return;
  Napi::Object options = argument::object(env, given, "options");
  if (const auto bytes = argument::field<uint32_t>(options, "entryBytes")) {
    attributes->comp_mask |= MLX5DV_CQ_INIT_ATTR_MASK_CQE_SIZE;
    attributes->cqe_size = static_cast<uint16_t>(bytes);
  }
  if (const auto format = argument::field<uint32_t>(options, "format")) {
    attributes->comp_mask |= MLX5DV_CQ_INIT_ATTR_MASK_COMPRESSED_CQE;
    attributes->cqe_comp_res_format = static_cast<uint8_t>(format);
  }
  if (argument::field<uint32_t>(options, "padded")) {
    attributes->comp_mask |= MLX5DV_CQ_INIT_ATTR_MASK_FLAGS;
    attributes->flags = MLX5DV_CQ_INIT_ATTR_FLAGS_CQE_PAD;
  }
}

// Creates the queue with its ring in memory of JavaScript's. Undefined, or what lacks.
Napi::Value createOverMemory(const Napi::CallbackInfo& info, ProtectionDomain& domain, CompletionQueue& queue,
                             int entries) {
  Napi::Env env = info.Env();
  mlx5dv_cq_init_attr more{};
  cardOptions(env, info[7], &more);
  // libmlx5's own poll reads no compressed completions.
  const bool unreadable = more.comp_mask & MLX5DV_CQ_INIT_ATTR_MASK_COMPRESSED_CQE;
  queue.ring = std::make_unique<mlx5::CompletionQueueRing>(SharedMemory(env, info[6], "memory"), unreadable);
  mlx5::RingMemory& memory = queue.ring->memory;
  const char* syscall;
  int error = memory.open(domain.ibv, false, &syscall);
  if (!error) {
    ibv_cq_init_attr_ex attributes{};
    attributes.cqe = static_cast<uint32_t>(entries);
    attributes.cq_context = &queue;
    attributes.channel = queue.context.channel;
    attributes.wc_flags = toldBy(queue);
    attributes.comp_mask = IBV_CQ_INIT_ATTR_MASK_PD;
    attributes.parent_domain = memory.domain();
    syscall = more.comp_mask != 0 ? "mlx5dv_create_cq" : "ibv_create_cq_ex";
    ibv_cq_ex* created = more.comp_mask != 0 ? mlx5dv_create_cq(queue.context.ibv, &attributes, &more)
                                             : ibv_create_cq_ex(queue.context.ibv, &attributes);
    if (created) queue.ibv = ibv_cq_ex_to_cq(created);
    else error = errno;
  }
  if (!error) return env.Undefined();
  const char* ignored;
  memory.close(&ignored);
  if (memory.lacking()) return mlx5::lacking(env, memory);
  throwErrno(env, error, syscall, std::to_string(entries) + " entries");
}

// createCompletionQueue(context, entries, batch, block, stamped, domain, memory, options): ibv_create_cq(3), and of a
// stamped queue ibv_create_cq_ex(3). `memory`, if given, is for the device's own ring (mlx5/ring_memory.h), by way of
// that protection domain; if it is too small the result is { handle: 0, lacking: bytes }. { handle, entries, and, for
// rxe, ring }
Napi::Value createCompletionQueue(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Environment& environment = Environment::of(env);
  Context& context = environment.handle<Context>(info, 0, "context");
  const int entries = argument::integer<int>(env, info[1], "entries");
  const uint32_t batch = argument::uint32(info, 2, "batch");
  SharedMemory block(env, info[3], "block");
  const bool stamped = argument::boolean(env, info[4], "stamped");
  const size_t words = CompletionQueue::blockWords(batch, stamped);
  if (batch == 0 || block.length() / sizeof(uint32_t) < words || !block.aligned(4)) {
    throwArgumentRange(env, "block", "as large as the columns and the control words");
  }
  ProtectionDomain* domain = nullptr;
  if (!info[6].IsUndefined()) {
    domain = &environment.handle<ProtectionDomain>(info, 5, "domain");
    if (&domain->context != &context) throwArgumentRange(env, "domain", "of the queue's own context");
  }
  auto queue = std::make_unique<CompletionQueue>(context, domain, batch, std::move(block), stamped);
  if (domain) {
    const Napi::Value lacking = createOverMemory(info, *domain, *queue, entries);
    if (!lacking.IsUndefined()) return lacking;
  }
  const std::vector<UverbsMapping> before = context.isRxe ? uverbsMappings() : std::vector<UverbsMapping>();
  if (!queue->ibv && stamped) {
    queue->ibv = createStamped(*queue, entries);
    if (!queue->ibv) throwErrno(env, errno, "ibv_create_cq_ex", std::to_string(entries) + " entries with timestamps");
  }
  if (!queue->ibv) queue->ibv = ibv_create_cq(context.ibv, entries, queue.get(), context.channel, 0);
  if (!queue->ibv) throwErrno(env, errno, "ibv_create_cq", std::to_string(entries) + " entries");
  Napi::Object result = Napi::Object::New(env);
  if (const void* ring = context.isRxe ? newRxeRing(before, queue->ibv) : nullptr) {
    Napi::ArrayBuffer head = rxeRingHead(env, ring);
    if (!head.IsEmpty()) {
      queue->watchRing();
      result.Set("ring", head);
    }
  }
  result.Set("entries", Napi::Number::New(env, queue->entries()));
  result.Set("handle", environment.open(std::move(queue)));
  return result;
}

CompletionQueue& queueOf(Environment& environment, uint32_t id) {
  return environment.handle<CompletionQueue>(id, "completion queue");
}

int32_t checked(Environment& environment, int32_t count) {
  if (count < 0) throwErrno(environment.env(), -count, "ibv_poll_cq");
  return count;
}

// pollBell(queue, mailbox): a function that leaves the count, or a negative errno, in the mailbox (ibv_poll_cq(3))
Napi::Value pollBell(const Napi::CallbackInfo& info) { return queueOf(info).pollBell(info.Env(), info[1]); }

// pollFor(queue, microseconds)
int32_t pollFor(Environment& environment, const uint32_t* numbers) {
  return checked(environment, queueOf(environment, numbers[0]).pollFor(1000ull * numbers[1]));
}

// arm(queue, solicitedOnly): ibv_req_notify_cq(3). 0
int32_t arm(Environment& environment, const uint32_t* numbers) {
  const int error = queueOf(environment, numbers[0]).arm(numbers[1] != 0);
  if (error) throwErrno(environment.env(), error, "ibv_req_notify_cq");
  return 0;
}

// freeCredits(queue): places that no queue pair has taken
Napi::Value freeCredits(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), queueOf(info).freeCredits());
}

}  // namespace

void initializeCompletionQueue(Napi::Env env, Napi::Object exports) {
  exports.Set("createCompletionQueue", Napi::Function::New(env, createCompletionQueue, "createCompletionQueue"));
  exports.Set("pollBell", Napi::Function::New<pollBell>(env, "pollBell"));
  hot_call::define<2, pollFor>(env, exports, "pollFor");
  hot_call::define<2, arm>(env, exports, "arm");
  exports.Set("freeCredits", Napi::Function::New(env, freeCredits, "freeCredits"));
}

}  // namespace verbs
