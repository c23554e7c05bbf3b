// The engine must not allocate memory once its objects exist.
#include <cstdlib>
#include <new>

#include "peers.h"

namespace {

bool counting = false;
size_t allocations = 0;

}  // namespace

void* operator new(size_t size) {
  if (counting) ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

using namespace soft;

TEST(work_under_way_asks_for_no_memory) {
  for (const QueuePairType type : {QueuePairType::rc, QueuePairType::uc, QueuePairType::ud}) {
    PeersOptions options;
    options.type = type;
    Peers peers(options);
    // A pair wire of the engine's own: the scripted one records frames, and so allocates.
    const auto pair = makePairWire();
    EQUAL(peers.card.nic.connect(1, pair, 0), 0);
    EQUAL(peers.card.nic.connect(2, pair, 1), 0);
    for (int round = 0; round < 20; ++round) {
      for (int i = 0; i < 8; ++i) {
        peers.b.qp->receive({peers.b.memory.sge(0, 8192)});
        Wqe wqe(MLX5_OPCODE_SEND);
        if (type == QueuePairType::ud) {
          wqe = datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), peers.b.qp->number, kQkey);
        } else if (type == QueuePairType::rc && i % 2 == 0) {
          wqe = remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key);
        }
        peers.a.qp->write(wqe.data(peers.a.memory.sge(0, type == QueuePairType::ud ? 1000 : 5000)));
      }
      peers.a.qp->ring();
      counting = round != 0;  // the first round brings events of the new wire, which the test itself stores
      for (int i = 0; i < 200; ++i) peers.card.nic.step(peers.card.now += 100);
      counting = false;
      int done = 0;
      while (const uint8_t* cqe = peers.a.sendCq.poll()) {
        EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ);
        ++done;
      }
      EQUAL(done, 8);
      while (peers.b.receiveCq.poll() != nullptr) continue;
    }
    EQUAL(allocations, 0);
  }
}
