// The two sides at the same time: a thread that steps, one that sends and polls, one that creates and destroys.
#include <atomic>
#include <thread>

#include "frames.h"

using namespace soft;

TEST(objects_come_and_go_under_traffic) {
  Loop loop;
  std::atomic<bool> stop{false};
  std::thread stepper([&] {
    uint64_t now = 0;
    while (!stop.load()) {
      if (!loop.card.nic.step(now += 1000)) std::this_thread::yield();
    }
  });
  std::thread creator([&] {
    for (int i = 0; i < 200; ++i) {
      Cq cq(loop.card.nic, 16);
      Region region(loop.card.nic, loop.card.pd, 4096);
      auto qp = loop.card.rawQp(cq, cq);
      qp->bringUp();
      FlowRule rule;
      rule.qpn = qp->number;
      rule.outer.value.etherType = 0x9999;
      rule.outer.mask.etherType = 0xffff;
      const uint32_t flow = loop.card.flow(rule);
      qp->receive({region.sge(0, 2048)});
      qp->send(Wqe(MLX5_OPCODE_SEND, 0).eth().inlined(ethernet(0x9999, pattern(50))));
      EQUAL(loop.card.nic.destroyFlow(flow), 0);
      EQUAL(loop.card.nic.destroyQueuePair(qp->number), 0);
      EQUAL(loop.card.nic.destroyCompletionQueue(cq.number), 0);
      EQUAL(loop.card.nic.destroyMemoryRegion(region.key), 0);
    }
  });
  const Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  // The driver's side of a CQE: its last word is read first, and acquires the rest.
  const auto poll = [](Cq& cq) {
    const uint8_t* cqe = &cq.ring[(cq.index & (cq.entries - 1)) * cq.size];
    const uint8_t own =
        static_cast<uint8_t>(__atomic_load_n(reinterpret_cast<const uint64_t*>(cqe + 56), __ATOMIC_ACQUIRE) >> 56);
    if (own >> 4 == MLX5_CQE_INVALID || (own & 1) != ((cq.index & cq.entries) != 0)) return false;
    ++cq.index;
    __atomic_store_n(&cq.doorbell[0], __builtin_bswap32(cq.index & 0xffffff), __ATOMIC_RELEASE);
    return true;
  };
  int sent = 0, received = 0;
  for (int i = 0; i < 2000; ++i) {
    loop.post();
    loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
    while (!poll(loop.sendCq)) std::this_thread::yield();
    ++sent;
    while (!poll(loop.receiveCq)) std::this_thread::yield();
    ++received;
  }
  creator.join();
  stop = true;
  stepper.join();
  EQUAL(sent, 2000);
  EQUAL(received, 2000);
  CHECK(loop.card.events.events.empty());
}
