// Memory that disappears under a reliable connection: its owner decides how the request ends.
#include <sys/mman.h>

#include "nic/fault_handler.h"
#include "peers.h"

using namespace soft;

namespace {

// A page of memory that a key names, and that disappears a moment later.
struct Gone {
  explicit Gone(Peers& peers) {
    keepFaultHandler();
    at = static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MemoryRegionAttributes attributes;
    attributes.pd = peers.card.pd;
    attributes.base = at;
    attributes.iova = reinterpret_cast<uint64_t>(at);
    attributes.length = kSize;
    attributes.access = kEverything;
    EQUAL(peers.card.nic.createMemoryRegion(attributes, &key), 0);
  }
  ~Gone() { munmap(at, kSize); }
  void protect(int protection) { EQUAL(mprotect(at, kSize, protection), 0); }
  Sge sge(uint32_t length) const { return {at, length, key}; }

  static constexpr size_t kSize = 1 << 16;
  uint8_t* at;
  uint32_t key = 0;
};

void expectSend(Peers& peers, int expected) {
  const uint8_t* cqe = peers.next(peers.a.sendCq);
  CHECK(cqe != nullptr);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ_ERR);
  EQUAL(syndrome(cqe), expected);
}

}  // namespace

TEST(a_request_from_memory_that_is_gone_is_a_local_protection_error) {
  for (const uint8_t opcode : {uint8_t{MLX5_OPCODE_SEND}, uint8_t{MLX5_OPCODE_RDMA_WRITE}}) {
    Peers peers;
    Gone gone(peers);
    peers.b.qp->receive({peers.b.memory.sge(0, 8192)});
    Wqe wqe = opcode == MLX5_OPCODE_SEND ? Wqe(opcode) : remote(opcode, peers.b.at(0), peers.b.memory.key);
    gone.protect(PROT_NONE);
    peers.a.qp->send(wqe.data(gone.sge(5000)));
    expectSend(peers, MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
    EQUAL(static_cast<int>(peers.a.qp->state()), static_cast<int>(QueuePairState::err));
  }
}

TEST(a_read_into_memory_that_is_gone_is_a_local_protection_error) {
  Peers peers;
  Gone gone(peers);
  gone.protect(PROT_READ);
  peers.a.qp->send(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key).data(gone.sge(5000)));
  expectSend(peers, MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
}

TEST(what_is_asked_of_a_peers_memory_that_is_gone_is_a_remote_access_error) {
  for (const uint8_t opcode : {uint8_t{MLX5_OPCODE_RDMA_WRITE}, uint8_t{MLX5_OPCODE_RDMA_READ},
                               uint8_t{MLX5_OPCODE_ATOMIC_FA}, uint8_t{MLX5_OPCODE_ATOMIC_CS}}) {
    Peers peers;
    Gone gone(peers);
    gone.protect(PROT_NONE);
    const bool isAtomic = opcode == MLX5_OPCODE_ATOMIC_FA || opcode == MLX5_OPCODE_ATOMIC_CS;
    Wqe wqe = isAtomic ? atomic(opcode, gone.at, gone.key, 1, 2) : remote(opcode, gone.at, gone.key);
    peers.a.qp->send(wqe.data(peers.a.memory.sge(0, isAtomic ? 8 : 5000)));
    expectSend(peers, MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR);
    CHECK(peers.card.events.has(AsyncEventType::qpAccessError, peers.b.qp->number));
    EQUAL(static_cast<int>(peers.b.qp->state()), static_cast<int>(QueuePairState::err));
  }
}

TEST(a_send_into_memory_that_is_gone_is_a_protection_error_there_and_an_operation_error_here) {
  Peers peers;
  Gone gone(peers);
  peers.b.qp->receive({gone.sge(8192)});
  gone.protect(PROT_NONE);
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.memory.sge(0, 5000)));
  expectSend(peers, MLX5_CQE_SYNDROME_REMOTE_OP_ERR);
  const uint8_t* cqe = peers.b.receiveCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
}

TEST(a_shared_receive_queue_whose_ring_is_gone_raises_its_event) {
  Peers probe;
  void* ring = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  alignas(64) uint32_t record = __builtin_bswap32(4);
  SharedReceiveQueueAttributes attributes;
  attributes.pd = probe.card.pd;
  attributes.ring.buffer = ring;
  attributes.ring.count = 64;
  attributes.ring.strideShift = 6;
  attributes.ring.doorbell = &record;
  uint32_t srqn = 0;
  EQUAL(probe.card.nic.createSharedReceiveQueue(attributes, &srqn), 0);
  QueuePairAttributes pair;
  pair.type = QueuePairType::rc;
  pair.pd = probe.card.pd;
  pair.sendCq = probe.b.sendCq.number;
  pair.receiveCq = probe.b.receiveCq.number;
  pair.srq = srqn;
  Qp shared(probe.card.nic, pair, 16, 0, 6);
  probe.bringUp(shared, 2, probe.a.qp->number);
  EQUAL(probe.a.qp->modify(QueuePairState::reset), 0);
  probe.bringUp(*probe.a.qp, 1, shared.number);
  keepFaultHandler();
  EQUAL(mprotect(ring, 8192, PROT_NONE), 0);
  probe.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(probe.a.memory.sge(0, 100)));
  expectSend(probe, MLX5_CQE_SYNDROME_REMOTE_OP_ERR);
  CHECK(probe.card.events.has(AsyncEventType::srqError, srqn));
  CHECK(probe.card.events.has(AsyncEventType::qpFatal, shared.number));
  munmap(ring, 8192);
}
