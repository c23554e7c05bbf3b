// Failures: error CQEs, flushes, events.
#include "frames.h"

using namespace soft;

namespace {

void expectSendError(Loop& loop, const Wqe& wqe, int expectedSyndrome, int vendor) {
  const Sge good = loop.put(ethernet(0x88b5, pattern(50)));
  loop.qp->write(wqe);
  loop.qp->write(Wqe(MLX5_OPCODE_SEND, 0).eth().data(good));
  loop.qp->ring();
  loop.card.step(2);
  const uint8_t* cqe = loop.sendCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ_ERR);
  EQUAL(syndrome(cqe), expectedSyndrome);
  EQUAL(vendorSyndrome(cqe), vendor);
  EQUAL(wqeCounter(cqe), 0);
  EQUAL(load32(cqe + 32), kUserIndex);
  EQUAL(load24(cqe + 57), loop.qp->number);
  cqe = loop.sendCq.poll();  // unsignaled, but flushed
  CHECK(cqe != nullptr);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ_ERR);
  EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  EQUAL(vendorSyndrome(cqe), 0xf9);
  EQUAL(loop.qp->state(), QueuePairState::sqe);
  EQUAL(loop.card.counters().transmitFrames, 0);
  CHECK(loop.sendCq.poll() == nullptr);
}

}  // namespace

TEST(an_unknown_key_is_a_protection_error) {
  Loop loop;
  Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  sge.key = 0x00ffff00;
  expectSendError(loop, Wqe(MLX5_OPCODE_SEND).eth().data(sge), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, 0x51);
}

TEST(the_invalid_key_is_never_a_region) {
  Loop loop;
  Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  sge.key = MLX5_INVALID_LKEY;
  expectSendError(loop, Wqe(MLX5_OPCODE_SEND).eth().data(sge), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, 0x51);
}

TEST(a_stale_key_is_a_protection_error) {
  Loop loop;
  uint32_t old = 0;
  {
    Region region(loop.card.nic, loop.card.pd, 64);
    old = region.key;
    EQUAL(loop.card.nic.destroyMemoryRegion(region.key), 0);
  }
  Region next(loop.card.nic, loop.card.pd, 64);
  EQUAL(next.key >> 8, old >> 8);
  expectSendError(loop, Wqe(MLX5_OPCODE_SEND).eth().data({next.bytes.data(), 64, old}),
                  MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, 0x51);
}

TEST(a_byte_past_the_region_is_a_protection_error) {
  Loop loop;
  Region region(loop.card.nic, loop.card.pd, 100);
  expectSendError(loop, Wqe(MLX5_OPCODE_SEND).eth().data(region.sge(37, 64)), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, 0x51);
}

TEST(an_address_that_wraps_is_a_protection_error) {
  Loop loop;
  Region region(loop.card.nic, loop.card.pd, 100);
  const Sge sge{reinterpret_cast<const uint8_t*>(~uintptr_t{0} - 10), 64, region.key};
  expectSendError(loop, Wqe(MLX5_OPCODE_SEND).eth().data(sge), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, 0x51);
}

TEST(a_length_of_zero_means_two_gigabytes) {
  Loop loop;
  Region region(loop.card.nic, loop.card.pd, 100);
  expectSendError(loop, Wqe(MLX5_OPCODE_SEND).eth().data(region.sge(0, 0)), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, 0x51);
}

TEST(a_region_of_another_domain_is_a_protection_error) {
  Loop loop;
  uint32_t other = 0;
  EQUAL(loop.card.nic.allocateProtectionDomain(&other), 0);
  Region region(loop.card.nic, other, 100);
  expectSendError(loop, Wqe(MLX5_OPCODE_SEND).eth().data(region.sge(0, 64)), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, 0x51);
  EQUAL(loop.card.nic.freeProtectionDomain(other), EBUSY);
}

TEST(too_short_and_too_long_frames_are_length_errors) {
  Loop shortLoop;
  expectSendError(shortLoop, Wqe(MLX5_OPCODE_SEND).eth().data(shortLoop.memory.sge(0, 13)),
                  MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, 0x52);
  Loop longLoop;
  expectSendError(longLoop, Wqe(MLX5_OPCODE_SEND).eth().data(longLoop.memory.sge(0, 10001)),
                  MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, 0x52);
}

TEST(opcodes_and_segments_that_make_no_sense_are_operation_errors) {
  // RDMA_WRITE, ATOMIC_CS, UMR, nothing, nothing.
  for (const int opcode : {0x08, 0x11, 0x25, 0x2a, 0xff}) {
    Loop loop;
    expectSendError(loop, Wqe(static_cast<uint8_t>(opcode)).eth().data(loop.memory.sge(0, 64)),
                    MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, 0x68);
  }
  Loop none;  // nothing behind the control segment
  expectSendError(none, Wqe(MLX5_OPCODE_SEND), MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, 0x68);
  Loop inlineTooLong;
  Wqe wqe(MLX5_OPCODE_SEND);
  wqe.eth().inlined(Bytes(60));
  store32(&wqe.bytes[32], 61 | MLX5_INLINE_SEG);
  expectSendError(inlineTooLong, wqe, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, 0x68);
  Loop headerTooLong;
  Wqe header(MLX5_OPCODE_SEND);
  header.eth().data(headerTooLong.memory.sge(0, 64));
  store16(&header.bytes[28], 1000);
  expectSendError(headerTooLong, header, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, 0x68);
}

TEST(a_wqe_of_size_zero_and_one_for_another_queue_are_operation_errors) {
  for (const uint32_t qpnDs : {0x40u << 8, 0x41u << 8 | 3}) {
    Loop loop;
    Bytes bytes = Wqe(MLX5_OPCODE_SEND).eth().data(loop.memory.sge(0, 64)).bytes;
    store32(&bytes[4], qpnDs);
    loop.qp->writeRaw(bytes);
    loop.qp->ring();
    loop.card.step();
    const uint8_t* cqe = loop.sendCq.poll();
    CHECK(cqe != nullptr);
    EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  }
}

TEST(a_doorbell_past_the_ring_ends_in_an_error_and_not_in_a_crash) {
  Loop loop;
  loop.qp->doorbell[1] = __builtin_bswap32(0xffff);
  loop.card.step(3);
  const uint8_t* cqe = loop.sendCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ_ERR);
}

TEST(after_sqe_the_queue_sends_again) {
  Loop loop;
  loop.qp->send(Wqe(0xff));
  loop.card.step(2);
  CHECK(loop.sendCq.poll() != nullptr);
  EQUAL(loop.qp->state(), QueuePairState::sqe);
  loop.post();
  EQUAL(loop.qp->modify(QueuePairState::rts), 0);
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50)))));
  loop.card.step();
  EQUAL(cqeOpcode(loop.sendCq.poll()), MLX5_CQE_REQ);
  EQUAL(cqeOpcode(loop.receiveCq.poll()), MLX5_CQE_RESP_SEND);
}

TEST(a_receive_buffer_too_small_is_a_length_error_and_flushes_the_queue) {
  Loop loop;
  loop.qp->receive({loop.memory.sge(Loop::kReceive, 63)});
  loop.post();
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50)))));
  loop.card.step(2);
  const uint8_t* cqe = loop.receiveCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_ERR);
  EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR);
  cqe = loop.receiveCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  EQUAL(wqeCounter(cqe), 1);
  EQUAL(loop.qp->state(), QueuePairState::err);
}

TEST(a_region_without_local_write_receives_nothing) {
  Loop loop;
  Region readOnly(loop.card.nic, loop.card.pd, 2048, 0);
  loop.qp->receive({readOnly.sge(0, 2048)});
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50)))));
  loop.card.step();
  const uint8_t* cqe = loop.receiveCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
  CHECK(readOnly.bytes == Bytes(2048));
}

TEST(to_err_flushes_what_is_posted_and_what_comes_later) {
  Loop loop;
  loop.post(2);
  EQUAL(loop.qp->modify(QueuePairState::err), 0);
  loop.qp->send(Wqe(MLX5_OPCODE_SEND, 0).eth().data(loop.memory.sge(0, 64)));
  loop.card.step();
  loop.post();
  loop.card.step();
  for (int i = 0; i < 3; ++i) {
    const uint8_t* cqe = loop.receiveCq.poll();
    CHECK(cqe != nullptr);
    EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_ERR);
    EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
    EQUAL(wqeCounter(cqe), i);
  }
  EQUAL(syndrome(loop.sendCq.poll()), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  EQUAL(loop.card.counters().transmitFrames, 0);
}

TEST(a_completion_queue_that_overruns_says_so_and_takes_its_queue_pair_along) {
  Loop loop(false, 0, 64, 4);
  const Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  for (int i = 0; i < 4; ++i) loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.card.step();
  CHECK(loop.card.events.events.empty());
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.card.step(2);
  CHECK(loop.card.events.has(AsyncEventType::cqError, loop.sendCq.number));
  CHECK(loop.card.events.has(AsyncEventType::qpFatal, loop.qp->number));
  EQUAL(loop.card.events.events.size(), 2);
  EQUAL(loop.qp->state(), QueuePairState::err);
  for (int i = 0; i < 4; ++i) EQUAL(cqeOpcode(loop.sendCq.poll()), MLX5_CQE_REQ);
  CHECK(loop.sendCq.poll() == nullptr);
}

TEST(device_gone_flushes_everything_and_refuses_commands) {
  Loop loop;
  loop.post();
  loop.card.nic.fail();
  loop.card.step();
  CHECK(loop.card.events.has(AsyncEventType::deviceFatal, 0));
  EQUAL(syndrome(loop.receiveCq.poll()), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(loop.memory.sge(0, 64)));
  loop.card.step();
  EQUAL(syndrome(loop.sendCq.poll()), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  uint32_t number;
  EQUAL(loop.card.nic.allocateProtectionDomain(&number), EIO);
  EQUAL(loop.card.nic.destroyMemoryRegion(loop.memory.key), 0);
  CHECK(!loop.card.nic.linkUp(1));
}

TEST(a_port_that_is_down_loses_frames_and_raises_events) {
  Loop loop;
  EQUAL(loop.card.nic.setLink(1, false), 0);
  CHECK(loop.card.events.has(AsyncEventType::portError, 1));
  const Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  loop.post();
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.card.step();
  EQUAL(cqeOpcode(loop.sendCq.poll()), MLX5_CQE_REQ);
  CHECK(loop.receiveCq.poll() == nullptr);
  EQUAL(loop.card.nic.setLink(1, true), 0);
  CHECK(loop.card.events.has(AsyncEventType::portActive, 1));
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.card.step();
  CHECK(loop.receiveCq.poll() != nullptr);
}

TEST(objects_in_use_are_not_destroyed) {
  Loop loop;
  EQUAL(loop.card.nic.destroyCompletionQueue(loop.sendCq.number), EBUSY);
  EQUAL(loop.card.nic.destroyQueuePair(loop.qp->number), EBUSY);  // a flow rule refers to it
  EQUAL(loop.card.nic.freeProtectionDomain(loop.card.pd), EBUSY);
  EQUAL(loop.card.nic.destroyFlow(1), 0);
  EQUAL(loop.card.nic.destroyFlow(1), ENOENT);
  EQUAL(loop.card.nic.destroyQueuePair(loop.qp->number), 0);
  EQUAL(loop.card.nic.destroyCompletionQueue(loop.sendCq.number), 0);
}

TEST(absurd_attributes_are_refused) {
  Card card;
  uint32_t number = 0;
  Bytes memory(4096);
  CompletionQueueAttributes cq;
  cq.buffer = memory.data();
  cq.doorbell = memory.data();
  for (const uint32_t entries : {0u, 3u, 1u << 23, ~0u}) {
    cq.entries = entries;
    EQUAL(card.nic.createCompletionQueue(cq, &number), EINVAL);
  }
  cq.entries = 16;
  cq.cqeSize = 32;
  EQUAL(card.nic.createCompletionQueue(cq, &number), EINVAL);
  MemoryRegionAttributes region;
  region.pd = card.pd;
  region.iova = ~uint64_t{0} - 5;
  region.length = 100;
  EQUAL(card.nic.createMemoryRegion(region, &number), EINVAL);
  region.iova = 0;
  region.access = IBV_ACCESS_REMOTE_WRITE;  // needs local write
  EQUAL(card.nic.createMemoryRegion(region, &number), EINVAL);
  region.access = 0;
  region.pd = 77;
  EQUAL(card.nic.createMemoryRegion(region, &number), EINVAL);
  FlowRule rule;
  rule.port = 2;
  EQUAL(card.nic.createFlow(rule, &number), EINVAL);
  rule.port = 1;
  rule.qpn = 0x123456;
  EQUAL(card.nic.createFlow(rule, &number), EINVAL);
}
