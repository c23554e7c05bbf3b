// RC: invalid requests, on either side; and the fate of the remaining work.
#include "peers.h"

using namespace soft;

namespace {

// The requester's completion, both states, the responder's event; the responder's memory is unchanged.
void refused(Peers& peers, const Wqe& wqe, int syndrome, AsyncEventType event) {
  const Bytes before = peers.b.memory.bytes;
  peers.a.qp->send(wqe);
  peers.failed(peers.a, 0, syndrome);
  CHECK(peers.a.qp->state() == QueuePairState::err);
  CHECK(peers.b.qp->state() == QueuePairState::err);
  CHECK(peers.card.events.has(event, peers.b.qp->number));
  CHECK(peers.b.memory.bytes == before);
  peers.silent(peers.a.sendCq);
}

constexpr int kAccess = MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR;
constexpr int kRequest = MLX5_CQE_SYNDROME_REMOTE_INVAL_REQ_ERR;

}  // namespace

TEST(a_remote_key_that_does_not_allow_it_is_refused) {
  for (const uint8_t opcode : {MLX5_OPCODE_RDMA_WRITE, MLX5_OPCODE_RDMA_READ, MLX5_OPCODE_ATOMIC_FA}) {
    const auto wqe = [&](Peers& peers, const uint8_t* address, uint32_t rkey) {
      return (opcode == MLX5_OPCODE_ATOMIC_FA ? atomic(opcode, address, rkey, 1) : remote(opcode, address, rkey))
          .data(peers.a.memory.sge(0, 8));
    };
    {
      Peers peers;  // no such key
      refused(peers, wqe(peers, peers.b.at(0), peers.b.memory.key ^ 0x100000), kAccess, AsyncEventType::qpAccessError);
    }
    {
      Peers peers;  // the tag is another
      refused(peers, wqe(peers, peers.b.at(0), peers.b.memory.key ^ 1), kAccess, AsyncEventType::qpAccessError);
    }
    {
      Peers peers;  // beyond the end, before the beginning
      refused(peers, wqe(peers, peers.b.at((1 << 20)), peers.b.memory.key), kAccess, AsyncEventType::qpAccessError);
    }
    {
      Peers peers;
      refused(peers, wqe(peers, peers.b.at(0) - 8, peers.b.memory.key), kAccess, AsyncEventType::qpAccessError);
    }
    {
      PeersOptions options;  // the region does not allow it
      options.memoryAccess = IBV_ACCESS_LOCAL_WRITE;
      Peers peers(options);
      refused(peers, wqe(peers, peers.b.at(0), peers.b.memory.key), kAccess, AsyncEventType::qpAccessError);
    }
    {
      PeersOptions options;  // the queue pair does not allow it
      options.access = IBV_ACCESS_LOCAL_WRITE;
      Peers peers(options);
      refused(peers, wqe(peers, peers.b.at(0), peers.b.memory.key), kRequest, AsyncEventType::qpRequestError);
    }
    {
      Peers peers;  // another protection domain's
      uint32_t other;
      EQUAL(peers.card.nic.allocateProtectionDomain(&other), 0);
      Region foreign(peers.card.nic, other, 4096, kEverything);
      refused(peers, wqe(peers, foreign.bytes.data(), foreign.key), kAccess, AsyncEventType::qpAccessError);
    }
  }
}

TEST(a_write_that_begins_well_and_ends_outside_writes_nothing) {
  Peers peers;
  peers.a.put(pattern(8192));
  refused(peers,
          remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at((1 << 20) - 8191), peers.b.memory.key)
              .data(peers.a.memory.sge(0, 8192)),
          kAccess, AsyncEventType::qpAccessError);
}

TEST(a_misaligned_atomic_operation_is_an_invalid_request) {
  Peers peers;
  refused(peers, atomic(MLX5_OPCODE_ATOMIC_FA, peers.b.at(4), peers.b.memory.key, 1).data(peers.a.memory.sge(0, 8)),
          kRequest, AsyncEventType::qpRequestError);
}

TEST(more_reads_than_the_responder_agreed_to_are_an_invalid_request) {
  Peers peers;
  QueuePairChange change;  // lowers the responder's limit without the requester's knowledge
  Peers strict([] {
    PeersOptions options;
    options.maxReads = 0;
    return options;
  }());
  strict.a.qp->send(remote(MLX5_OPCODE_RDMA_READ, strict.b.at(0), strict.b.memory.key).data(strict.a.memory.sge(0, 8)));
  strict.failed(strict.a, 0, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);  // the requester itself may have none outstanding
  change.mask = IBV_QP_MAX_DEST_RD_ATOMIC;
  change.maxDestinationReadAtomic = 0;
  EQUAL(peers.card.nic.modifyQueuePair(peers.b.qp->number, change), 0);
  refused(peers, remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key).data(peers.a.memory.sge(0, 8)),
          kRequest, AsyncEventType::qpRequestError);
}

TEST(a_region_that_goes_while_it_is_read_ends_the_read) {
  Peers peers;
  bool gone = false;
  peers.wire->script = [&](int from, const Bytes& frame) {
    gone = gone || (from == 1 && operationOf(frame) == kReadResponseFirst);
    return ScriptedWire::Fate::deliver;
  };
  peers.a.qp->send(
      remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key).data(peers.a.memory.sge(0, 1 << 19)));
  peers.run([&] { return gone; });
  EQUAL(peers.card.nic.destroyMemoryRegion(peers.b.memory.key), 0);
  peers.failed(peers.a, 0, kAccess);
  CHECK(peers.card.events.has(AsyncEventType::qpAccessError, peers.b.qp->number));
}

TEST(a_message_longer_than_its_receive_fails_on_both_sides) {
  Peers peers;
  peers.b.qp->receive({peers.b.memory.sge(0, 1500)});
  peers.b.qp->receive({peers.b.memory.sge(0, 1500)});
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(pattern(1501))));
  peers.failed(peers.a, 0, kRequest);
  peers.receiveFailed(peers.b, 0, MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR);
  peers.receiveFailed(peers.b, 1, MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  for (size_t i = 1024; i < 4096; ++i) EQUAL(*peers.b.at(i), 0);  // the packet that does not fit is not written in part
}

TEST(a_receive_with_a_bad_key_is_the_responders_own_fault) {
  Peers peers;
  peers.b.qp->receive({{peers.b.at(0), 64, peers.b.memory.key ^ 1}});
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.failed(peers.a, 0, MLX5_CQE_SYNDROME_REMOTE_OP_ERR);
  peers.receiveFailed(peers.b, 0, MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
  CHECK(peers.b.qp->state() == QueuePairState::err);
}

TEST(local_faults_come_in_their_turn_and_the_rest_is_flushed) {
  const auto fails = [](const Wqe& wqe, int syndrome) {
    Peers peers;
    peers.b.qp->receive({peers.b.memory.sge(0, 64)});
    peers.a.qp->write(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));  // completed before the fault is reported
    peers.a.qp->write(wqe);
    peers.a.qp->write(Wqe(MLX5_OPCODE_SEND, 0).inlined(pattern(8)));
    peers.a.qp->ring();
    peers.sent(peers.a, 0);
    peers.failed(peers.a, 1, syndrome);
    const uint8_t* cqe = peers.next(peers.a.sendCq);
    EQUAL(syndrome == 0 ? 0 : ::syndrome(cqe), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
    CHECK(peers.a.qp->state() == QueuePairState::err);
    CHECK(peers.b.qp->state() == QueuePairState::rts);
    EQUAL(peers.operations(0).size(), 1);
    // Later requests are flushed too.
    peers.a.qp->send(Wqe(MLX5_OPCODE_SEND, 0).inlined(pattern(8)));
    EQUAL(::syndrome(peers.next(peers.a.sendCq)), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  };
  static uint8_t somewhere[64];
  fails(Wqe(MLX5_OPCODE_SEND).data({somewhere, 64, 0x12300}), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
  fails(Wqe(0x3e), MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  fails(Wqe(MLX5_OPCODE_RDMA_WRITE), MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);  // no address
  fails(remote(MLX5_OPCODE_ATOMIC_CS, somewhere, 1), MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  fails(remote(MLX5_OPCODE_RDMA_READ, somewhere, 1).data({somewhere, 0, 1}),
        MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR);  // 2 GB
  fails(atomic(MLX5_OPCODE_ATOMIC_FA, somewhere, 1, 1).data({somewhere, 4, 1}), MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR);
}

TEST(a_read_into_memory_that_may_not_be_written_fails_locally) {
  Peers peers;
  Region readOnly(peers.card.nic, peers.card.pd, 4096, 0);
  peers.a.qp->send(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key).data(readOnly.sge(0, 8)));
  peers.failed(peers.a, 0, MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
}

TEST(to_err_flushes_what_is_under_way_on_both_queues) {
  Peers peers;
  peers.wire->script = [](int, const Bytes& frame) {
    return operationOf(frame) == kSendLast ? ScriptedWire::Fate::drop : ScriptedWire::Fate::deliver;
  };
  for (int i = 0; i < 3; ++i) peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
  const Sge sge = peers.a.put(pattern(2000));
  for (int i = 0; i < 3; ++i) peers.a.qp->write(Wqe(MLX5_OPCODE_SEND, 0).data(sge));
  peers.a.qp->ring();
  peers.settle();
  EQUAL(peers.a.qp->modify(QueuePairState::err), 0);
  EQUAL(peers.b.qp->modify(QueuePairState::err), 0);
  for (uint16_t i = 0; i < 3; ++i) peers.failed(peers.a, i, MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  for (uint16_t i = 0; i < 3; ++i) peers.receiveFailed(peers.b, i, MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  peers.silent(peers.a.sendCq);
  peers.silent(peers.b.receiveCq);
}

TEST(reset_forgets_and_the_queue_pair_serves_again) {
  Peers peers;
  peers.a.qp->send(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), 1).data(peers.a.memory.sge(0, 8)));
  peers.failed(peers.a, 0, kAccess);
  for (Side* side : {&peers.a, &peers.b}) {
    EQUAL(side->qp->modify(QueuePairState::reset), 0);
    side->qp->produced = side->qp->posted = 0;
    side->qp->doorbell[0] = side->qp->doorbell[1] = 0;
  }
  peers.bringUp(*peers.a.qp, 1, peers.b.qp->number);
  peers.bringUp(*peers.b.qp, 2, peers.a.qp->number);
  const Bytes data = pattern(3000);
  peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(data)));
  peers.sent(peers.a, 0);
  CHECK(peers.b.bytes(0, 3000) == data);
}

TEST(a_completion_queue_that_overruns_takes_its_queue_pair_along) {
  Peers peers;
  Cq small(peers.card.nic, 4);
  QueuePairAttributes attributes;
  attributes.type = QueuePairType::rc;
  attributes.pd = peers.card.pd;
  attributes.sendCq = attributes.receiveCq = small.number;
  Qp qp(peers.card.nic, attributes, 16, 16, 6);
  peers.bringUp(qp, 1, peers.b.qp->number);
  peers.b.qp->modify(QueuePairState::reset);
  peers.b.qp->doorbell[0] = peers.b.qp->doorbell[1] = 0;
  peers.bringUp(*peers.b.qp, 2, qp.number);
  for (int i = 0; i < 6; ++i) qp.write(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(0), peers.b.memory.key));
  qp.ring();
  peers.settle();
  CHECK(peers.card.events.has(AsyncEventType::cqError, small.number));
  CHECK(peers.card.events.has(AsyncEventType::qpFatal, qp.number));
  CHECK(qp.state() == QueuePairState::err);
}

TEST(sqd_finishes_what_was_begun_says_so_and_starts_nothing_new) {
  Peers peers;
  peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
  peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
  bool lose = true;
  peers.wire->script = [&](int, const Bytes&) { return lose ? ScriptedWire::Fate::drop : ScriptedWire::Fate::deliver; };
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.settle();
  QueuePairChange change;
  change.mask = IBV_QP_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY;
  change.state = QueuePairState::sqd;
  EQUAL(peers.card.nic.modifyQueuePair(peers.a.qp->number, change), 0);
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.settle();
  CHECK(!peers.card.events.has(AsyncEventType::sendQueueDrained, peers.a.qp->number));
  lose = false;
  peers.sent(peers.a, 0);
  peers.settle();
  CHECK(peers.card.events.has(AsyncEventType::sendQueueDrained, peers.a.qp->number));
  peers.silent(peers.a.sendCq);
  EQUAL(peers.a.qp->modify(QueuePairState::rts), 0);
  peers.sent(peers.a, 1);
}

TEST(a_ring_written_over_while_it_is_worked_on_ends_in_an_error) {
  Peers peers;
  peers.wire->script = [](int, const Bytes&) { return ScriptedWire::Fate::drop; };
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(pattern(5000))));
  peers.settle();
  peers.a.qp->sq[3] = MLX5_OPCODE_RDMA_READ;  // before the retransmission
  peers.failed(peers.a, 0, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);

  Peers longer;
  longer.wire->script = peers.wire->script;
  longer.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(longer.a.put(pattern(5000))));
  longer.settle();
  store32(&longer.a.qp->sq[16], 6000);
  longer.failed(longer.a, 0, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
}

TEST(packets_of_strangers_are_not_taken) {
  Peers peers;
  auto stranger = peers.create(peers.a, 0);
  peers.bringUp(*stranger, 1, peers.b.qp->number);
  EQUAL(peers.card.nic.setGid(1, 0, mapped(9)), 0);
  QueuePairChange change;
  change.mask = IBV_QP_AV;
  change.address.sourceGid = mapped(9);  // not the peer that b is connected to
  change.address.destinationGid = mapped(2);
  change.address.destinationMac = macOf(2);
  EQUAL(peers.card.nic.modifyQueuePair(stranger->number, change), 0);
  stranger->send(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(0), peers.b.memory.key).data(peers.a.put(pattern(8))));
  peers.settle();
  EQUAL(peers.wire->seen.size(), 1);
  EQUAL(*peers.b.at(0), 0);
}
