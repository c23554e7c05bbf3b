// Packets and WQEs that no device would send. Their effects must stay within the regions: run with ENGINE_SANITIZE too.
#include <random>

#include "nic/icrc.h"
#include "peers.h"

using namespace soft;

namespace {

// Puts the right ICRC at the end of a frame, so that the receiver examines the bytes before it.
void seal(Bytes& frame) {
  Layers layers;
  parseLayers(frame.data(), frame.size(), 0, &layers);
  if (layers.l4 == 0 || layers.end < layers.l4 + 24) return;
  const uint32_t icrc = invariantCrc(frame.data(), layers, layers.end - 4);
  std::memcpy(&frame[layers.end - 4], &icrc, 4);
}

}  // namespace

TEST(packets_with_any_header_touch_nothing_that_they_may_not) {
  for (const QueuePairType type : {QueuePairType::rc, QueuePairType::uc, QueuePairType::ud}) {
    std::mt19937_64 random(static_cast<uint64_t>(type));
    for (int round = 0; round < 300; ++round) {
      PeersOptions options;
      options.type = type;
      Peers peers(options);
      peers.wire->script = [&](int, Bytes) { return ScriptedWire::Fate::deliver; };
      for (int i = 0; i < 8; ++i) peers.b.qp->receive({peers.b.memory.sge(4096, 2048)});
      const Bytes& memory = peers.b.memory.bytes;
      uint32_t psn = options.psn;
      for (int i = 0; i < 40; ++i) {
        Bytes bth(12 + 28 + random() % 1100);
        for (uint8_t& byte : bth) byte = static_cast<uint8_t>(random());
        const uint8_t service = type == QueuePairType::rc ? 0 : type == QueuePairType::uc ? 0x20 : 0x60;
        const bool wild = random() % 4 == 0;
        bth[0] = wild ? static_cast<uint8_t>(random()) : service | random() % 0x18;
        bth[1] = static_cast<uint8_t>(random() % 4 << 4);
        store16(&bth[2], 0xffff);
        store24(&bth[5], peers.b.qp->number);
        store24(&bth[9], (psn + (random() % 4 == 0 ? random() % 20 : 0)) & 0xffffff);
        // The right values in some of the address headers.
        if (random() % 2 == 0) store64(&bth[12], reinterpret_cast<uint64_t>(memory.data()) + random() % (1 << 20));
        if (random() % 2 == 0) store32(&bth[20], peers.b.memory.key);
        if (random() % 2 == 0) store32(&bth[24], static_cast<uint32_t>(random() % 3000));
        if (type == QueuePairType::ud && random() % 2 == 0) store32(&bth[12], kQkey);
        Bytes frame = Bytes{2, 0, 0, 0, 0, 2} + Bytes{2, 0, 0, 0, 0, 1} + be16(0x0800) +
                      ipv4(17, udp(0xc000, 4791, bth + Bytes(4)), {10, 0, 0, 1}, {10, 0, 0, 2}, true);
        if (random() % 8 == 0) frame.resize(frame.size() - random() % 60);
        seal(frame);
        peers.wire->inject(0, frame);
        psn += random() % 2;
        peers.settle();
        if (peers.b.qp->state() == QueuePairState::err) break;
      }
    }
  }
}

TEST(any_wqe_ends_in_a_completion) {
  for (const QueuePairType type : {QueuePairType::rc, QueuePairType::uc, QueuePairType::ud}) {
    std::mt19937_64 random(77 + static_cast<uint64_t>(type));
    for (int round = 0; round < 600; ++round) {
      PeersOptions options;
      options.type = type;
      options.rnrRetry = 0;
      Peers peers(options);
      for (int i = 0; i < 4; ++i) peers.b.qp->receive({peers.b.memory.sge(4096, 2048)});
      Bytes wqe(64 * (1 + random() % 4));
      for (uint8_t& byte : wqe) byte = static_cast<uint8_t>(random() % 3 == 0 ? random() : 0);
      constexpr uint8_t kOpcodes[] = {0, 1, 8, 9, 10, 11, 14, 16, 17, 18, 37};
      wqe[3] = random() % 8 == 0 ? static_cast<uint8_t>(random()) : kOpcodes[random() % sizeof kOpcodes];
      wqe[7] = static_cast<uint8_t>(random() % 8 == 0 ? random() : random() % (wqe.size() / 16 + 1));
      wqe[11] = MLX5_WQE_CTRL_CQ_UPDATE;
      for (size_t at = 16; at + 16 <= wqe.size(); at += 16) {  // segments with plausible contents
        switch (random() % 5) {
          case 0:
            store32(&wqe[at], static_cast<uint32_t>(random() % 5000));
            store32(&wqe[at + 4], peers.a.memory.key);
            store64(&wqe[at + 8], reinterpret_cast<uint64_t>(peers.a.at(random() % (1 << 20))));
            break;
          case 1:
            store64(&wqe[at], reinterpret_cast<uint64_t>(peers.b.at(random() % (1 << 20))));
            store32(&wqe[at + 8], peers.b.memory.key);
            break;
          case 2: store32(&wqe[at], MLX5_INLINE_SEG | static_cast<uint32_t>(random() % 100)); break;
          default: break;
        }
      }
      peers.a.qp->writeRaw(wqe);
      peers.a.qp->ring();
      CHECK(peers.next(peers.a.sendCq) != nullptr);
      peers.settle();
    }
  }
}
