// A NIC on an interface of this machine, for tests in network namespaces of their own.
#pragma once

#include <poll.h>

#include <cstdlib>

#include "frames.h"

// A card on an interface, with a queue that receives every frame, or what rules lead to it.
struct End {
  explicit End(const char* interface, bool everything = true) : cq(card.nic, 64), memory(card.nic, card.pd, 1 << 16) {
    int error = 0;
    auto wire = soft::makeInterfaceWire(interface, &error);
    EQUAL(error, 0);
    EQUAL(card.nic.connect(1, wire), 0);
    qp = card.rawQp(cq, cq);
    qp->bringUp();
    if (everything) card.everythingTo(*qp);
    for (size_t i = 0; i < 16; ++i) qp->receive({memory.sge(i * 2048, 2048)});
  }
  void send(const Bytes& frame, uint8_t checksums = 0) {
    std::copy(frame.begin(), frame.end(), memory.bytes.begin() + 40000);
    qp->send(Wqe(MLX5_OPCODE_SEND, 0).eth(checksums).data(memory.sge(40000, static_cast<uint32_t>(frame.size()))));
    card.step();
  }
  // Sleeps on the wire's descriptors until one is ready.
  void sleep() {
    std::vector<pollfd> waiting;
    for (const int descriptor : card.nic.descriptors()) waiting.push_back({descriptor, POLLIN, 0});
    EQUAL(waiting.size(), 2);  // the interface's frames, and its link events
    if (poll(waiting.data(), 2, 10000) < 1) failAt(__FILE__, __LINE__, "nothing came");
    card.step();
  }
  // Sleeps until a frame comes that begins with `destination`; other frames are not the test's.
  Bytes wait(const Bytes& destination) {
    for (;;) {
      while (const uint8_t* cqe = cq.poll()) {
        EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_SEND);
        checks = cqe[28];
        const size_t slot = wqeCounter(cqe) % 16;
        const uint8_t* at = memory.bytes.data() + slot * 2048;
        const Bytes frame(at, at + byteCount(cqe));
        qp->receive({memory.sge(slot * 2048, 2048)});
        if (std::equal(destination.begin(), destination.end(), frame.begin())) return frame;
      }
      sleep();
    }
  }
  // Sleeps until the port has raised these events, in this order, and no other.
  void expect(const std::vector<soft::AsyncEventType>& types) {
    const auto& events = card.events.events;
    while (events.size() < types.size()) sleep();
    EQUAL(events.size(), types.size());
    for (size_t i = 0; i < types.size(); ++i) {
      CHECK(events[i].type == types[i]);
      EQUAL(events[i].number, 1);
    }
    card.events.events.clear();
  }

  Card card;
  Cq cq;
  Region memory;
  std::unique_ptr<Qp> qp;
  int checks = 0;
};

inline void shell(const std::string& command) { EQUAL(system(command.c_str()), 0); }
