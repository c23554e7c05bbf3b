// Two queue pairs, one on each port of a NIC, and the wire between the ports.
#pragma once

#include "frames.h"
#include "roce/headers.h"
#include "scripted_wire.h"

using soft::QueuePairState;
using soft::QueuePairType;
using namespace soft::roce;

constexpr uint32_t kEverything = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
                                 IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND;
constexpr uint32_t kQkey = 0x1234567;

inline soft::Gid mapped(uint8_t last) { return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last}; }
inline soft::Gid linkLocal(uint8_t last) { return {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, last}; }
inline soft::Mac macOf(uint8_t port) {
  soft::Mac mac = kMac;
  mac[5] = port;
  return mac;
}

// The further segments of a WQE: behind the control segment, in this order.
inline Wqe remote(uint8_t opcode, const uint8_t* address, uint32_t rkey, uint8_t flags = MLX5_WQE_CTRL_CQ_UPDATE) {
  Wqe wqe(opcode, flags);
  Bytes segment(16);
  soft::store64(&segment[0], reinterpret_cast<uint64_t>(address));
  soft::store32(&segment[8], rkey);
  return wqe.append(segment);
}
inline Wqe atomic(uint8_t opcode, const uint8_t* address, uint32_t rkey, uint64_t swapOrAdd, uint64_t compare = 0) {
  Bytes segment(16);
  soft::store64(&segment[0], swapOrAdd);
  soft::store64(&segment[8], compare);
  return remote(opcode, address, rkey).append(segment);
}
inline Wqe immediate(Wqe wqe, uint32_t value) {
  soft::store32(&wqe.bytes[12], value);
  return wqe;
}
// mlx5_wqe_datagram_seg with a whole address vector.
inline Wqe datagram(uint8_t opcode, const soft::Gid& to, const soft::Mac& mac, uint32_t qpn, uint32_t qkey,
                    uint8_t gidIndex = 0) {
  Wqe wqe(opcode);
  Bytes av(48);
  soft::store32(&av[0], qkey);
  soft::store32(&av[8], 0x80000000 | qpn);
  soft::store16(&av[14], 0xc123);  // rlid: the UDP source port
  std::copy(mac.begin(), mac.end(), av.begin() + 20);
  av[26] = 0x20;  // traffic class
  av[27] = 7;     // hop limit
  soft::store32(&av[28], uint32_t{gidIndex} << 20);
  std::copy(to.begin(), to.end(), av.begin() + 32);
  return wqe.append(av);
}

struct Side {
  Side(Card& card, uint32_t access, uint32_t cqEntries = 256, uint32_t cqeSize = 64)
      : sendCq(card.nic, cqEntries, cqeSize),
        receiveCq(card.nic, cqEntries, cqeSize),
        memory(card.nic, card.pd, 1 << 20, access) {}
  Sge put(const Bytes& data, size_t offset = 0) {
    std::copy(data.begin(), data.end(), memory.bytes.begin() + static_cast<long>(offset));
    return memory.sge(offset, static_cast<uint32_t>(data.size()));
  }
  uint8_t* at(size_t offset) { return memory.bytes.data() + offset; }
  Bytes bytes(size_t offset, size_t length) { return Bytes(at(offset), at(offset) + length); }

  Cq sendCq, receiveCq;
  Region memory;
  std::unique_ptr<Qp> qp;
};

struct PeersOptions {
  QueuePairType type = QueuePairType::rc;
  uint32_t mtu = 1024;
  uint32_t access = kEverything;  // of the queue pairs
  uint32_t memoryAccess = kEverything;
  uint8_t maxReads = 4;
  uint8_t timeout = 10;  // 4.194304 ms
  uint8_t retryCount = 7;
  uint8_t rnrRetry = 7;
  uint8_t minRnrTimer = 1;  // 10 µs
  bool ipv6 = false;
  uint32_t psn = 0xfffffd;  // so that every test goes through 0
  uint32_t blocks = 64, wqes = 64;
  uint32_t srq = 0;  // of b
  bool scatterReceives = false, scatterRequests = false;
  uint32_t cqeSize = 64;
};

struct Peers {
  explicit Peers(const PeersOptions& options = {})
      : options(options),
        card(2),
        wire(std::make_shared<ScriptedWire>()),
        a(card, options.memoryAccess, 256, options.cqeSize),
        b(card, options.memoryAccess, 256, options.cqeSize) {
    EQUAL(card.nic.connect(1, wire, 0), 0);
    EQUAL(card.nic.connect(2, wire, 1), 0);
    for (uint8_t port = 1; port <= 2; ++port) {
      EQUAL(card.nic.setGid(port, 0, mapped(port)), 0);
      EQUAL(card.nic.setGid(port, 1, linkLocal(port)), 0);
    }
    a.qp = create(a, 0);
    b.qp = create(b, options.srq);
    if (options.type == QueuePairType::ud) {
      bringUp(*a.qp, 1, 0);
      bringUp(*b.qp, 2, 0);
    } else {
      bringUp(*a.qp, 1, b.qp->number);
      bringUp(*b.qp, 2, a.qp->number);
    }
    card.events.events.clear();
  }

  std::unique_ptr<Qp> create(Side& side, uint32_t srq) {
    soft::QueuePairAttributes attributes;
    attributes.type = options.type;
    attributes.pd = card.pd;
    attributes.sendCq = side.sendCq.number;
    attributes.receiveCq = side.receiveCq.number;
    attributes.userIndex = kUserIndex;
    attributes.srq = srq;
    attributes.scatterReceives = options.scatterReceives;
    attributes.scatterRequests = options.scatterRequests;
    return std::make_unique<Qp>(card.nic, attributes, options.blocks, options.wqes, 6);
  }

  int change(Qp& qp, QueuePairState state, uint8_t port, uint8_t peerPort, uint32_t peerQpn) {
    soft::QueuePairChange change;
    change.mask = IBV_QP_STATE;
    change.state = state;
    const bool connected = options.type != QueuePairType::ud;
    if (state == QueuePairState::init) {
      change.mask |= IBV_QP_PORT | (connected ? IBV_QP_ACCESS_FLAGS : IBV_QP_QKEY);
      change.port = port;
      change.accessFlags = options.access;
      change.qkey = kQkey;
    } else if (state == QueuePairState::rtr && connected) {
      change.mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
                     IBV_QP_MIN_RNR_TIMER;
      change.address.sourceGid = options.ipv6 ? linkLocal(port) : mapped(port);
      change.address.destinationGid = options.ipv6 ? linkLocal(peerPort) : mapped(peerPort);
      change.address.destinationMac = macOf(peerPort);
      change.address.trafficClass = 0x60;
      change.address.hopLimit = 3;
      change.address.flowLabel = 0x12345;
      change.pathMtu = options.mtu;
      change.destinationQpn = peerQpn;
      change.receivePsn = options.psn;
      change.maxDestinationReadAtomic = options.maxReads;
      change.minRnrTimer = options.minRnrTimer;
    } else if (state == QueuePairState::rts) {
      change.mask |= IBV_QP_SQ_PSN;
      change.sendPsn = options.psn;
      if (connected) {
        change.mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
        change.timeout = options.timeout;
        change.retryCount = options.retryCount;
        change.rnrRetry = options.rnrRetry;
        change.maxReadAtomic = options.maxReads;
      }
    }
    return card.nic.modifyQueuePair(qp.number, change);
  }

  void bringUp(Qp& qp, uint8_t port, uint32_t peerQpn, uint8_t peerPort = 0) {
    if (peerPort == 0) peerPort = static_cast<uint8_t>(3 - port);
    for (const QueuePairState state : {QueuePairState::init, QueuePairState::rtr, QueuePairState::rts}) {
      EQUAL(change(qp, state, port, peerPort, peerQpn), 0);
    }
  }

  // Steps until no frame moves any more; timers do not advance.
  void settle() {
    for (int i = 0; i < 100000; ++i) {
      if (!card.nic.step(card.now += 100) && !wire->release()) return;
    }
    failAt(__FILE__, __LINE__, "it never comes to rest");
  }

  // Steps on, through the timers, until `done`.
  template <typename Done>
  void run(Done done) {
    for (int i = 0; i < 1000000; ++i) {
      if (done()) return;
      if (card.nic.step(card.now += 100) || wire->release()) continue;
      const uint64_t deadline = card.nic.deadline();
      if (deadline == soft::kNever) failAt(__FILE__, __LINE__, "nothing moves and no timer runs");
      card.now = std::max(card.now, deadline);
    }
    failAt(__FILE__, __LINE__, "it never comes to an end");
  }

  const uint8_t* next(Cq& cq) {
    const uint8_t* cqe = nullptr;
    run([&] { return (cqe = cq.poll()) != nullptr; });
    return cqe;
  }
  void sent(Side& side, uint16_t index) {
    const uint8_t* cqe = next(side.sendCq);
    if (cqeOpcode(cqe) != MLX5_CQE_REQ)
      failAt(__FILE__, __LINE__, "failed with syndrome " + std::to_string(syndrome(cqe)));
    EQUAL(wqeCounter(cqe), index);
  }
  void failed(Side& side, uint16_t index, int expected) {
    const uint8_t* cqe = next(side.sendCq);
    EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ_ERR);
    EQUAL(syndrome(cqe), expected);
    EQUAL(wqeCounter(cqe), index);
  }
  void receiveFailed(Side& side, uint16_t index, int expected) {
    const uint8_t* cqe = next(side.receiveCq);
    EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_ERR);
    EQUAL(syndrome(cqe), expected);
    EQUAL(wqeCounter(cqe), index);
  }
  void silent(Cq& cq) { CHECK(cq.poll() == nullptr); }

  // The packets that end `from` sent: their operations.
  std::vector<int> operations(int from) const {
    std::vector<int> list;
    for (const Seen& seen : wire->seen) {
      if (seen.from == from) list.push_back(operationOf(seen.frame));
    }
    return list;
  }

  PeersOptions options;
  Card card;
  std::shared_ptr<ScriptedWire> wire;
  Side a, b;
};
