// RC over a wire that loses, repeats and reorders: retransmission, timeouts, "receiver not ready".
#include <map>
#include <random>

#include "peers.h"

using namespace soft;

namespace {

// Drops the `number`th packet (from 0) that `from` sends with this operation.
void dropOne(Peers& peers, int from, int operation, int number = 0) {
  peers.wire->script = [from, operation, number, count = 0](int sender, const Bytes& frame) mutable {
    const bool one = sender == from && operationOf(frame) == operation && count++ == number;
    return one ? ScriptedWire::Fate::drop : ScriptedWire::Fate::deliver;
  };
}

}  // namespace

TEST(a_lost_packet_is_named_by_the_responder_and_sent_again) {
  Peers peers;
  const Bytes data = pattern(5000);
  peers.b.qp->receive({peers.b.memory.sge(0, 8192)});
  dropOne(peers, 0, kSendMiddle, 1);
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(data)));
  peers.settle();  // no timer is involved
  peers.sent(peers.a, 0);
  CHECK(peers.b.bytes(0, 5000) == data);
  // One NAK for all packets behind the gap: PSN sequence error, with the PSN of the missing packet.
  int refusals = 0;
  for (const Seen& seen : peers.wire->seen) {
    if (seen.from != 1 || operationOf(seen.frame) != kAcknowledge || aethOf(seen.frame) != 0x60) continue;
    ++refusals;
    EQUAL(psnOf(seen.frame), 0xffffff);
  }
  EQUAL(refusals, 1);
}

TEST(a_lost_acknowledgement_costs_one_timeout_and_nothing_is_received_twice) {
  Peers peers;
  for (int i = 0; i < 2; ++i) peers.b.qp->receive({peers.b.memory.sge(0, 64)});
  dropOne(peers, 1, kAcknowledge);
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.settle();
  peers.silent(peers.a.sendCq);
  const uint64_t sentAt = peers.wire->seen[0].time;
  EQUAL(peers.card.nic.deadline(), sentAt + 4096 * 1024);  // timeout 10
  peers.sent(peers.a, 0);
  CHECK(peers.b.receiveCq.poll() != nullptr);
  peers.silent(peers.b.receiveCq);
  EQUAL(peers.operations(0).size(), 2);
  EQUAL(peers.card.nic.deadline(), kNever);
}

TEST(silence_ends_after_retry_cnt_repetitions) {
  PeersOptions options;
  options.retryCount = 3;
  Peers peers(options);
  peers.wire->script = [](int, const Bytes&) { return ScriptedWire::Fate::drop; };
  const Sge sge = peers.a.put(pattern(8));
  for (int i = 0; i < 3; ++i) peers.a.qp->write(Wqe(MLX5_OPCODE_SEND, 0).data(sge));
  peers.a.qp->ring();
  peers.failed(peers.a, 0, MLX5_CQE_SYNDROME_TRANSPORT_RETRY_EXC_ERR);
  EQUAL(peers.wire->seen.size(), 3 * 4);
  for (size_t i = 0; i < 9; i += 3) {
    const uint64_t waited = peers.wire->seen[i + 3].time - peers.wire->seen[i].time;
    CHECK(waited >= 4096 * 1024 && waited <= 4096 * 1024 + 200);  // run() steps by 100 ns
  }
  peers.failed(peers.a, 1, MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  peers.failed(peers.a, 2, MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  CHECK(peers.a.qp->state() == QueuePairState::err);
  // The only timer left is the look for receives that are posted in ERR.
  EQUAL(peers.card.nic.deadline(), peers.card.now + 10'000'000);
}

TEST(without_a_timeout_it_waits_for_ever) {
  PeersOptions options;
  options.timeout = 0;
  Peers peers(options);
  peers.wire->script = [](int, const Bytes&) { return ScriptedWire::Fate::drop; };
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.settle();
  EQUAL(peers.card.nic.deadline(), kNever);
  peers.card.now += 1000000000000;
  peers.settle();
  EQUAL(peers.wire->seen.size(), 1);
}

TEST(progress_renews_the_retries) {
  PeersOptions options;
  options.retryCount = 1;
  options.mtu = 256;
  Peers peers(options);
  // The first copy of every packet is lost.
  std::map<uint32_t, int> times;
  peers.wire->script = [&](int from, const Bytes& frame) {
    return from == 0 && times[psnOf(frame)]++ == 0 ? ScriptedWire::Fate::drop : ScriptedWire::Fate::deliver;
  };
  const Bytes data = pattern(256 * 5);
  peers.b.qp->receive({peers.b.memory.sge(0, 8192)});
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(data)));
  peers.sent(peers.a, 0);
  CHECK(peers.b.bytes(0, data.size()) == data);
}

TEST(a_receiver_that_is_not_ready_is_asked_again_after_its_delay) {
  PeersOptions options;
  options.minRnrTimer = 12;  // 0.64 ms
  Peers peers(options);
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.settle();
  EQUAL(peers.wire->seen.size(), 2);
  EQUAL(aethOf(peers.wire->seen[1].frame), 0x20 | 12);
  const uint64_t refusedAt = peers.card.nic.deadline() - 640000;
  CHECK(refusedAt > 0 && refusedAt <= peers.card.now);
  peers.b.qp->receive({peers.b.memory.sge(0, 64)});
  peers.card.now = refusedAt + 640000 - 1000;
  peers.card.nic.step(peers.card.now);
  EQUAL(peers.wire->seen.size(), 2);  // not yet
  peers.sent(peers.a, 0);
  EQUAL(peers.operations(0).size(), 2);
  CHECK(peers.b.receiveCq.poll() != nullptr);
}

TEST(rnr_retry_counts_and_seven_is_for_ever) {
  PeersOptions options;
  options.rnrRetry = 2;
  Peers peers(options);
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.failed(peers.a, 0, MLX5_CQE_SYNDROME_RNR_RETRY_EXC_ERR);
  EQUAL(peers.operations(0).size(), 3);
  CHECK(peers.a.qp->state() == QueuePairState::err);
  CHECK(peers.b.qp->state() == QueuePairState::rts);

  Peers patient;  // 7
  patient.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  patient.run([&] { return patient.operations(0).size() == 100; });
  patient.b.qp->receive({patient.b.memory.sge(0, 64)});
  patient.sent(patient.a, 0);
}

TEST(a_write_with_immediate_waits_for_a_receive_too) {
  Peers peers;
  const Bytes data = pattern(2000);
  peers.a.qp->send(
      immediate(remote(MLX5_OPCODE_RDMA_WRITE_IMM, peers.b.at(0), peers.b.memory.key).data(peers.a.put(data)), 5));
  peers.settle();
  peers.silent(peers.a.sendCq);
  peers.b.qp->receive({});
  peers.sent(peers.a, 0);
  EQUAL(byteCount(peers.next(peers.b.receiveCq)), 2000);
  CHECK(peers.b.bytes(0, 2000) == data);
}

TEST(of_a_read_only_what_is_missing_is_asked_for_again) {
  for (const int lost : {kReadResponseFirst, kReadResponseMiddle, kReadResponseLast}) {
    Peers peers;
    const Bytes data = pattern(4000);
    std::copy(data.begin(), data.end(), peers.b.memory.bytes.begin());
    dropOne(peers, 1, lost);
    peers.a.qp->send(
        remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key).data(peers.a.memory.sge(0, 4000)));
    peers.sent(peers.a, 0);
    CHECK(peers.a.bytes(0, 4000) == data);
    std::vector<const Bytes*> requests;
    for (const Seen& seen : peers.wire->seen) {
      if (seen.from == 0) requests.push_back(&seen.frame);
    }
    EQUAL(requests.size(), 2);
    const uint32_t before = lost == kReadResponseFirst ? 0 : lost == kReadResponseMiddle ? 1 : 3;
    EQUAL(psnOf(*requests[1]), (0xfffffd + before) & 0xffffff);
    EQUAL(load64(&(*requests[1])[kBth + 12]), reinterpret_cast<uint64_t>(peers.b.at(before * 1024)));
    EQUAL(load32(&(*requests[1])[kBth + 24]), 4000 - before * 1024);
  }
}

TEST(an_atomic_operation_whose_answer_is_lost_is_done_once) {
  Peers peers;
  const uint64_t value = 40;
  std::memcpy(peers.b.at(0), &value, 8);
  dropOne(peers, 1, kAtomicAcknowledge);
  peers.a.qp->send(atomic(MLX5_OPCODE_ATOMIC_FA, peers.b.at(0), peers.b.memory.key, 2).data(peers.a.memory.sge(0, 8)));
  peers.sent(peers.a, 0);
  EQUAL(peers.operations(0).size(), 2);
  uint64_t got, now;
  std::memcpy(&got, peers.a.at(0), 8);
  std::memcpy(&now, peers.b.at(0), 8);
  EQUAL(got, 40);
  EQUAL(now, 42);
}

TEST(an_acknowledgement_behind_a_read_says_that_its_response_was_lost) {
  Peers peers;
  peers.b.qp->receive({peers.b.memory.sge(4096, 64)});
  dropOne(peers, 1, kReadResponseOnly);
  peers.a.qp->write(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key).data(peers.a.memory.sge(0, 8)));
  peers.a.qp->write(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.a.qp->ring();
  const uint64_t before = peers.card.now;
  peers.settle();
  CHECK(peers.card.now - before < 4096 * 1024);  // no timer expired
  peers.sent(peers.a, 0);
  peers.sent(peers.a, 1);
}

TEST(a_corrupt_packet_is_a_lost_one) {
  Peers peers;
  peers.b.qp->receive({peers.b.memory.sge(0, 64)});
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  // Each byte of the packet in turn, except those that routers change, and the Ethernet header.
  peers.settle();
  peers.sent(peers.a, 0);
  Bytes next = peers.wire->seen[0].frame;
  store24(&next[kBth + 9], 0xfffffe);  // the expected PSN; the ICRC is now wrong
  peers.wire->inject(0, next);
  peers.settle();
  EQUAL(peers.card.counters(2).receiveIcrcBad, 1);
  for (size_t at = kBth; at < next.size(); ++at) {
    if (at == kBth + 4) continue;  // FECN, BECN, reserved
    Bytes corrupt = peers.wire->seen[0].frame;
    corrupt[at] ^= 0x10;
    peers.wire->inject(0, corrupt);
  }
  const size_t packets = peers.wire->seen.size();
  peers.settle();
  EQUAL(peers.wire->seen.size(), packets);  // no response
  CHECK(peers.b.qp->state() == QueuePairState::rts);
}

// Everything at once. The test asserts every byte, every completion in order, every addition exactly once.
TEST(random_work_over_a_bad_wire) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    PeersOptions options;
    options.mtu = seed % 2 == 0 ? 256 : 1024;
    options.psn = 0xffff00;
    Peers peers(options);
    std::mt19937 random(seed);
    peers.wire->script = [&](int, const Bytes&) {
      const uint32_t dice = random() % 100;
      if (dice < 4) return ScriptedWire::Fate::drop;
      if (dice < 8) return ScriptedWire::Fate::duplicate;
      return dice < 12 ? ScriptedWire::Fate::hold : ScriptedWire::Fate::deliver;
    };
    constexpr size_t kSlot = 4096, kReads = 1 << 18, kAtomics = 1 << 19;
    std::vector<Bytes> sends;
    uint64_t added = 0;
    uint32_t receives = 0;
    const Bytes source = pattern(1 << 17, static_cast<uint8_t>(seed));
    peers.a.put(source);
    const Bytes theirs = pattern(1 << 17, static_cast<uint8_t>(seed + 100));
    std::copy(theirs.begin(), theirs.end(), peers.b.memory.bytes.begin() + kReads);
    for (int round = 0; round < 12; ++round) {
      struct Expected {
        int kind;
        size_t slot, offset, size;
        uint64_t before;
      };
      std::vector<Expected> expected;
      const uint16_t first = peers.a.qp->produced;
      std::vector<uint16_t> indices;
      for (size_t slot = 0; slot < 8; ++slot) {
        const int kind = static_cast<int>(random() % 4);
        const size_t size = 1 + random() % 4000, offset = random() % 100000;
        indices.push_back(peers.a.qp->produced);
        switch (kind) {
          case 0:
            peers.b.qp->receive({peers.b.memory.sge(receives++ % 32 * kSlot, kSlot)});
            peers.a.qp->write(Wqe(MLX5_OPCODE_SEND).data(peers.a.memory.sge(offset, static_cast<uint32_t>(size))));
            sends.push_back(
                Bytes(source.begin() + static_cast<long>(offset), source.begin() + static_cast<long>(offset + size)));
            break;
          case 1:
            peers.a.qp->write(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at((1 << 17) + slot * kSlot), peers.b.memory.key)
                                  .data(peers.a.memory.sge(offset, static_cast<uint32_t>(size))));
            break;
          case 2:
            peers.a.qp->write(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(kReads + offset), peers.b.memory.key)
                                  .data(peers.a.memory.sge(kReads + slot * kSlot, static_cast<uint32_t>(size))));
            break;
          default:
            peers.a.qp->write(atomic(MLX5_OPCODE_ATOMIC_FA, peers.b.at(kAtomics), peers.b.memory.key, size)
                                  .data(peers.a.memory.sge(kAtomics + slot * 8, 8)));
        }
        expected.push_back({kind, slot, offset, size, added});
        if (kind == 3) added += size;
      }
      CHECK(first != peers.a.qp->produced);
      peers.a.qp->ring();
      for (const uint16_t index : indices) peers.sent(peers.a, index);
      for (const Expected& work : expected) {
        const Bytes own(source.begin() + static_cast<long>(work.offset),
                        source.begin() + static_cast<long>(work.offset + work.size));
        if (work.kind == 1) CHECK(peers.b.bytes((1 << 17) + work.slot * kSlot, work.size) == own);
        if (work.kind == 2) {
          CHECK(peers.a.bytes(kReads + work.slot * kSlot, work.size) == peers.b.bytes(kReads + work.offset, work.size));
        }
        if (work.kind == 3)
          BYTES(peers.a.at(kAtomics + work.slot * 8), reinterpret_cast<const uint8_t*>(&work.before), 8);
      }
      size_t slot = receives - sends.size();
      for (const Bytes& data : sends) {
        const uint8_t* got = peers.b.receiveCq.poll();
        CHECK(got != nullptr);
        EQUAL(byteCount(got), data.size());
        CHECK(peers.b.bytes(slot++ % 32 * kSlot, data.size()) == data);
      }
      sends.clear();
      peers.silent(peers.b.receiveCq);
      BYTES(peers.b.at(kAtomics), reinterpret_cast<const uint8_t*>(&added), 8);
    }
  }
}
