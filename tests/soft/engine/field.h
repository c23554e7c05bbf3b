// What tests of where frames go share.
#pragma once

#include "frames.h"

// A sender and several receivers, each with a queue of its own.
struct Field {
  explicit Field(size_t receivers) : cq(card.nic, 256), memory(card.nic, card.pd, 1 << 18) {
    EQUAL(card.nic.connect(1, soft::makeLoopWire()), 0);
    sender = card.rawQp(cq, cq, false, 16, 16);
    sender->bringUp();
    for (size_t i = 0; i < receivers; ++i) {
      queues.push_back(std::make_unique<Cq>(card.nic, 64));
      qps.push_back(card.rawQp(cq, *queues.back()));
      qps.back()->bringUp();
      for (size_t k = 0; k < 16; ++k) qps.back()->receive({memory.sge(4096 + (i * 16 + k) * 2048, 2048)});
    }
  }
  soft::FlowRule to(size_t receiver) {
    soft::FlowRule rule;
    rule.qpn = qps[receiver]->number;
    return rule;
  }
  // Sends a frame; the string holds how many each receiver got.
  std::string send(const Bytes& frame) {
    std::copy(frame.begin(), frame.end(), memory.bytes.begin());
    sender->send(Wqe(MLX5_OPCODE_SEND, 0).eth().data(memory.sge(0, static_cast<uint32_t>(frame.size()))));
    card.step();
    std::string got;
    for (auto& queue : queues) {
      int count = 0;
      while (const uint8_t* cqe = queue->poll()) {
        EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_SEND);
        tag = soft::load24(cqe + 57);
        ++count;
      }
      got += std::to_string(count);
    }
    return got;
  }

  Card card;
  Cq cq;
  Region memory;
  std::unique_ptr<Qp> sender;
  std::vector<std::unique_ptr<Cq>> queues;
  std::vector<std::unique_ptr<Qp>> qps;
  uint32_t tag = 0;
};
