// A length of 2^31 and more, as a program can write it into its WQE: bit 31 means that the data follow inline, so they
// are the WQE's own bytes. Whatever the other 31 bits hold, the NIC reads nothing outside the WQE: the ring lies
// between two unreadable pages.
#include <sys/mman.h>
#include <unistd.h>

#include "peers.h"

using namespace soft;

namespace {

// Memory that ends at a page boundary, with an inaccessible page after it and one before it.
class Fenced {
 public:
  explicit Fenced(size_t size) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    inner_ = (size + page_ - 1) / page_ * page_;
    base_ = static_cast<uint8_t*>(mmap(nullptr, inner_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(base_ != MAP_FAILED);
    EQUAL(mprotect(base_ + page_, inner_, PROT_READ | PROT_WRITE), 0);
    begin = base_ + page_ + inner_ - size;
  }
  ~Fenced() { munmap(base_, inner_ + 2 * page_); }
  uint8_t* begin;

 private:
  size_t page_, inner_;
  uint8_t* base_;
};

constexpr uint32_t kBlocks = 64;

// The send ring of a queue pair, fenced: 63 WQEs without work, and a send in the last block.
struct FencedRing {
  explicit FencedRing(Peers& peers, QueuePairType type) : peers(peers), ring(kBlocks * 64) {
    QueuePairAttributes attributes;
    attributes.type = type;
    attributes.pd = peers.card.pd;
    attributes.sendCq = peers.a.sendCq.number;
    attributes.sq = {ring.begin, kBlocks, &doorbell};
    EQUAL(peers.card.nic.createQueuePair(attributes, &number), 0);
    for (const QueuePairState state : {QueuePairState::init, QueuePairState::rtr, QueuePairState::rts}) {
      QueuePairChange change;
      change.mask = IBV_QP_STATE | IBV_QP_PORT;
      change.state = state;
      change.port = 1;
      EQUAL(peers.card.nic.modifyQueuePair(number, change), 0);
    }
    for (uint32_t block = 0; block < kBlocks; ++block) {
      ring.begin[block * 64 + 3] = MLX5_OPCODE_NOP;
      store32(ring.begin + block * 64 + 4, number << 8 | 1);
    }
  }
  ~FencedRing() { EQUAL(peers.card.nic.destroyQueuePair(number), 0); }

  // Every segment of the last block is an element with this length.
  void send(uint32_t segments, uint32_t length) {
    uint8_t* last = ring.begin + (kBlocks - 1) * 64;
    last[3] = MLX5_OPCODE_SEND;
    last[11] = MLX5_WQE_CTRL_CQ_UPDATE;
    store32(last + 4, number << 8 | segments);
    for (uint32_t at = 16; at < 64; at += 16) store32(last + at, length);
    __atomic_store_n(&doorbell, __builtin_bswap32(kBlocks), __ATOMIC_RELEASE);
    peers.settle();
  }

  Peers& peers;
  Fenced ring;
  alignas(64) uint32_t doorbell = 0;
  uint32_t number = 0;
};

}  // namespace

TEST(a_write_whose_length_has_bit_31_writes_bytes_of_its_own_wqe_and_no_others) {
  for (const uint32_t length : {0u, 8u, 12u}) {
    Peers peers;
    std::fill(peers.b.at(0), peers.b.at(64), 0xee);
    Wqe wqe = remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(0), peers.b.memory.key);
    wqe.data({peers.a.at(0), length | MLX5_INLINE_SEG, peers.a.memory.key});
    const Bytes own(wqe.bytes.end() - 12, wqe.bytes.end());
    peers.a.qp->send(wqe);
    peers.sent(peers.a, 0);
    BYTES(peers.b.at(0), own.data(), length);
    for (uint32_t i = length; i < 64; ++i) EQUAL(*peers.b.at(i), 0xee);
  }
}

TEST(a_length_with_bit_31_that_reaches_beyond_its_wqe_is_an_operation_error) {
  for (const uint32_t length : {13u, 64u, 4096u, 0x40000000u, 0x7ffffff0u, 0x7fffffffu}) {
    for (const int opcode : {MLX5_OPCODE_SEND, MLX5_OPCODE_RDMA_WRITE, MLX5_OPCODE_RDMA_WRITE_IMM}) {
      Peers peers;
      std::fill(peers.b.at(0), peers.b.at(4096), 0xee);
      peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
      const auto code = static_cast<uint8_t>(opcode);
      Wqe wqe = opcode == MLX5_OPCODE_SEND ? Wqe(code) : remote(code, peers.b.at(0), peers.b.memory.key);
      peers.a.qp->send(wqe.data({peers.a.at(0), length | MLX5_INLINE_SEG, peers.a.memory.key}));
      peers.failed(peers.a, 0, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
      peers.settle();
      for (uint32_t i = 0; i < 4096; ++i) EQUAL(*peers.b.at(i), 0xee);
      peers.silent(peers.b.receiveCq);
    }
  }
}

TEST(an_inline_element_at_the_end_of_the_ring_reads_nothing_behind_it) {
  for (const QueuePairType type : {QueuePairType::rc, QueuePairType::uc, QueuePairType::ud, QueuePairType::rawPacket}) {
    // 63: the largest `ds`, which wraps to the ring's beginning.
    for (const uint32_t segments : {2u, 4u, 5u, 63u}) {
      for (const uint32_t length : {0u, 12u, 13u, 60u, 1000u, 0x7fffffffu}) {
        Peers peers;
        FencedRing sender(peers, type);
        sender.send(segments, length | MLX5_INLINE_SEG);
        // The other tests check the outcome; a UD request of 4 segments has an address and no element.
        if (length != 0x7fffffff || (type == QueuePairType::ud && segments == 4)) continue;
        const uint8_t* cqe = peers.a.sendCq.poll();
        CHECK(cqe != nullptr);
        EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ_ERR);
        EQUAL(wqeCounter(cqe), kBlocks - 1);
      }
    }
  }
}

TEST(a_receive_whose_element_has_bit_31_takes_the_message_it_is_given) {
  Peers peers;
  peers.b.qp->receive({peers.b.memory.sge(0, 0x80000008)});
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(pattern(5000))));
  peers.sent(peers.a, 0);
  const uint8_t* cqe = peers.next(peers.b.receiveCq);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_SEND);
  EQUAL(byteCount(cqe), 5000);
  BYTES(peers.b.at(0), pattern(5000).data(), 5000);
}
