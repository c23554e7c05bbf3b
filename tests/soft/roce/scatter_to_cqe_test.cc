// Scatter to CQE: short messages and responses come with their completion, and their place in memory stays as it is
// until the driver copies them there (libmlx5 cq.c, mlx5_copy_to_recv_wqe and mlx5_copy_to_send_wqe).
#include <random>

#include "peers.h"

using namespace soft;

namespace {

PeersOptions inlining(uint32_t cqeSize, QueuePairType type = QueuePairType::rc) {
  PeersOptions options;
  options.type = type;
  options.cqeSize = cqeSize;
  options.scatterReceives = options.scatterRequests = true;
  return options;
}

uint32_t roomOf(uint32_t cqeSize) { return cqeSize == 128 ? 64 : 32; }
int formatOf(const uint8_t* cqe) { return cqe[63] >> 2 & 3; }

// What an entry brings: MLX5_INLINE_SCATTER_32 in its own first bytes, …_64 in the 64 before it. Empty: nothing.
Bytes brought(const uint8_t* cqe, uint32_t cqeSize) {
  if (formatOf(cqe) == 0) return {};
  EQUAL(formatOf(cqe), cqeSize == 128 ? 2 : 1);
  const uint8_t* from = cqeSize == 128 ? cqe - 64 : cqe;
  return Bytes(from, from + byteCount(cqe));
}

}  // namespace

TEST(a_message_with_room_in_its_entry_comes_there_and_a_longer_one_in_memory) {
  for (const QueuePairType type : {QueuePairType::rc, QueuePairType::uc}) {
    for (const uint32_t cqeSize : {64u, 128u}) {
      Peers peers(inlining(cqeSize, type));
      uint16_t index = 0;
      for (const uint32_t size : {0u, 1u, 31u, 32u, 33u, 63u, 64u, 65u, 300u}) {
        const Bytes data = pattern(size, static_cast<uint8_t>(size + 1)), blank(size, 0);
        std::fill_n(peers.b.at(0), 512, 0);
        peers.b.qp->receive({peers.b.memory.sge(0, 20), peers.b.memory.sge(20, 400)});
        Wqe wqe(MLX5_OPCODE_SEND_IMM);
        if (size != 0) wqe.data(peers.a.put(data));
        peers.a.qp->send(immediate(wqe, 0x11223344 + size));
        const uint8_t* got = peers.next(peers.b.receiveCq);
        EQUAL(cqeOpcode(got), MLX5_CQE_RESP_SEND_IMM);
        EQUAL(byteCount(got), size);
        EQUAL(load32(got + 36), 0x11223344 + size);
        EQUAL(wqeCounter(got), index);
        const bool inlined = size != 0 && size <= roomOf(cqeSize);
        CHECK(brought(got, cqeSize) == (inlined ? data : Bytes{}));
        CHECK(peers.b.bytes(0, size) == (inlined ? blank : data));
        peers.sent(peers.a, index++);
      }
    }
  }
}

TEST(a_response_with_room_in_its_entry_comes_there) {
  for (const uint32_t cqeSize : {64u, 128u}) {
    Peers peers(inlining(cqeSize));
    for (const uint32_t size : {1u, 32u, 33u, 64u, 65u, 1500u}) {
      const Bytes data = pattern(size, static_cast<uint8_t>(size)), blank(size, 0);
      peers.b.put(data, 4096);
      std::fill_n(peers.a.at(0), size, 0);
      peers.a.qp->send(
          remote(MLX5_OPCODE_RDMA_READ, peers.b.at(4096), peers.b.memory.key).data(peers.a.memory.sge(0, size)));
      const uint8_t* done = peers.next(peers.a.sendCq);
      EQUAL(cqeOpcode(done), MLX5_CQE_REQ);
      EQUAL(byteCount(done), size);
      const bool inlined = size <= roomOf(cqeSize);
      CHECK(brought(done, cqeSize) == (inlined ? data : Bytes{}));
      CHECK(peers.a.bytes(0, size) == (inlined ? blank : data));
    }
    uint64_t before = 0x1122334455667788;
    std::memcpy(peers.b.at(4096), &before, 8);
    std::fill_n(peers.a.at(0), 8, 0);
    peers.a.qp->send(
        atomic(MLX5_OPCODE_ATOMIC_FA, peers.b.at(4096), peers.b.memory.key, 5).data(peers.a.memory.sge(0, 8)));
    const uint8_t* done = peers.next(peers.a.sendCq);
    const Bytes original = brought(done, cqeSize);
    EQUAL(original.size(), 8);
    CHECK(std::memcmp(original.data(), &before, 8) == 0);
    CHECK(peers.a.bytes(0, 8) == Bytes(8, 0));
    std::memcpy(&before, peers.b.at(4096), 8);
    EQUAL(before, 0x112233445566778d);
  }
}

TEST(a_response_without_an_entry_of_its_own_goes_to_memory) {
  Peers peers(inlining(64));
  const Bytes data = pattern(16);
  peers.b.put(data, 4096);
  peers.a.qp->send(
      remote(MLX5_OPCODE_RDMA_READ, peers.b.at(4096), peers.b.memory.key, 0).data(peers.a.memory.sge(0, 16)));
  peers.a.qp->send(Wqe(MLX5_OPCODE_NOP));
  const uint8_t* done = peers.next(peers.a.sendCq);
  EQUAL(formatOf(done), 0);
  CHECK(peers.a.bytes(0, 16) == data);
}

TEST(a_receive_for_an_inline_message_is_checked_like_any_other) {
  for (const bool tooShort : {true, false}) {
    Peers peers(inlining(64));
    Sge sge = peers.b.memory.sge(0, tooShort ? 10 : 64);
    if (!tooShort) sge.key ^= 0x5500;
    peers.b.qp->receive({sge});
    peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(pattern(20))));
    peers.receiveFailed(peers.b, 0, tooShort ? MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR : MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
    CHECK(peers.b.bytes(0, 64) == Bytes(64, 0));
  }
}

TEST(a_write_with_an_immediate_goes_to_its_memory) {
  Peers peers(inlining(64));
  const Bytes data = pattern(16);
  peers.b.qp->receive({peers.b.memory.sge(0, 64)});
  peers.a.qp->send(
      immediate(remote(MLX5_OPCODE_RDMA_WRITE_IMM, peers.b.at(4096), peers.b.memory.key), 7).data(peers.a.put(data)));
  const uint8_t* got = peers.next(peers.b.receiveCq);
  EQUAL(cqeOpcode(got), MLX5_CQE_RESP_WR_IMM);
  EQUAL(formatOf(got), 0);
  CHECK(peers.b.bytes(4096, 16) == data);
}

TEST(any_mix_of_short_and_long_messages_arrives_once_each_way) {
  for (uint32_t seed = 0; seed < 8; ++seed) {
    std::mt19937 random(seed);
    const uint32_t cqeSize = seed % 2 == 0 ? 64 : 128;
    Peers peers(inlining(cqeSize));
    uint16_t index = 0;
    for (int round = 0; round < 300; ++round) {
      const uint32_t size = 1 + random() % (random() % 4 == 0 ? 3000 : 70);
      const Bytes data = pattern(size, static_cast<uint8_t>(random()));
      if (random() % 2 == 0) {
        peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
        peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(data)));
        const uint8_t* got = peers.next(peers.b.receiveCq);
        const Bytes inlined = brought(got, cqeSize);
        CHECK((inlined.empty() ? peers.b.bytes(0, size) : inlined) == data);
        EQUAL(inlined.empty(), size > roomOf(cqeSize));
        peers.sent(peers.a, index);
      } else {
        peers.b.put(data, 8192);
        peers.a.qp->send(
            remote(MLX5_OPCODE_RDMA_READ, peers.b.at(8192), peers.b.memory.key).data(peers.a.memory.sge(8192, size)));
        const uint8_t* done = peers.next(peers.a.sendCq);
        EQUAL(wqeCounter(done), index);
        const Bytes inlined = brought(done, cqeSize);
        CHECK((inlined.empty() ? peers.a.bytes(8192, size) : inlined) == data);
        EQUAL(inlined.empty(), size > roomOf(cqeSize));
      }
      index = peers.a.qp->produced;
    }
  }
}
