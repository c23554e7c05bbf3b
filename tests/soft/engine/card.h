// A NIC for hand-stepped tests: queues in this program's own memory, WQEs written and CQEs read by hand.
#pragma once

#include <infiniband/verbs.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <memory>

#include "nic/bytes.h"
#include "nic/nic.h"
#include "nic/wqe.h"
#include "test.h"

using Bytes = std::vector<uint8_t>;

struct Recorder : soft::Events {
  void completion(uint32_t cqn, void*) override { completions.push_back(cqn); }
  void asynchronous(const soft::AsyncEvent& event) override { events.push_back(event); }
  bool has(soft::AsyncEventType type, uint32_t number) const {
    for (const soft::AsyncEvent& event : events) {
      if (event.type == type && event.number == number) return true;
    }
    return false;
  }
  std::vector<uint32_t> completions;
  void notice(const std::string& words) override { notices.push_back(words); }
  std::vector<soft::AsyncEvent> events;
  std::vector<std::string> notices;
};

struct Cq {
  Cq(soft::Nic& nic, uint32_t entries, uint32_t size = 64, const void* bell = nullptr,
     soft::CqeCompression compression = soft::CqeCompression::none, uint64_t (*clock)() = nullptr)
      : entries(entries), size(size), ring(entries * size) {
    for (uint32_t i = 0; i < entries; ++i) ring[(i + 1) * size - 1] = MLX5_CQE_INVALID << 4;
    soft::CompletionQueueAttributes attributes;
    attributes.buffer = ring.data();
    attributes.entries = entries;
    attributes.cqeSize = size;
    attributes.doorbell = doorbell;
    attributes.bell = bell;
    attributes.compression = compression;
    attributes.clock = clock;
    EQUAL(nic.createCompletionQueue(attributes, &number), 0);
  }
  // The next CQE's 64 bytes, as libmlx5's next_cqe_sw finds it; null when there is none.
  const uint8_t* poll() {
    const uint8_t* cqe = &ring[(index & (entries - 1)) * size + size - 64];
    if (cqe[63] >> 4 == MLX5_CQE_INVALID || (cqe[63] & 1) != ((index & entries) != 0)) return nullptr;
    ++index;
    doorbell[0] = __builtin_bswap32(index & indexMask);
    return cqe;
  }
  void arm(uint32_t sequence, bool solicited = false) {
    doorbell[1] = __builtin_bswap32(sequence << 28 | (solicited ? MLX5_CQ_DB_REQ_NOT_SOL : 0) | (index & 0xffffff));
  }

  uint32_t entries, size, number = 0, index = 0;
  uint32_t indexMask = 0xffffff;  // what the driver writes of its index
  Bytes ring;
  alignas(64) uint32_t doorbell[2] = {};
};

inline int cqeOpcode(const uint8_t* cqe) { return cqe[63] >> 4; }
inline uint32_t byteCount(const uint8_t* cqe) { return soft::load32(cqe + 44); }
inline uint16_t wqeCounter(const uint8_t* cqe) { return soft::load16(cqe + 60); }
inline int syndrome(const uint8_t* cqe) { return cqe[55]; }
inline int vendorSyndrome(const uint8_t* cqe) { return cqe[54]; }

struct Sge {
  const uint8_t* at;
  uint32_t length;
  uint32_t key;
};

// A send WQE under construction.
struct Wqe {
  Wqe(uint8_t opcode, uint8_t flags = MLX5_WQE_CTRL_CQ_UPDATE) : bytes(16) {
    bytes[3] = opcode;
    bytes[11] = flags;
  }
  Wqe& eth(uint8_t checksums = 0, const Bytes& header = {}, uint16_t mss = 0) {
    Bytes segment(header.size() <= 2 ? 16 : 16 + ((header.size() - 2 + 15) & ~size_t{15}));
    segment[4] = checksums;
    soft::store16(&segment[6], mss);
    soft::store16(&segment[12], static_cast<uint16_t>(header.size()));
    std::copy(header.begin(), header.end(), segment.begin() + 14);
    return append(segment);
  }
  Wqe& insertVlan(uint16_t tag) {
    soft::store16(&bytes[16 + 12], soft::kEthInsertVlan);
    soft::store16(&bytes[16 + 14], tag);
    return *this;
  }
  Wqe& data(const Sge& sge) {
    Bytes segment(16);
    soft::store32(&segment[0], sge.length);
    soft::store32(&segment[4], sge.key);
    soft::store64(&segment[8], reinterpret_cast<uint64_t>(sge.at));
    return append(segment);
  }
  Wqe& inlined(const Bytes& data) {
    Bytes segment((4 + data.size() + 15) & ~size_t{15});
    soft::store32(&segment[0], static_cast<uint32_t>(data.size()) | MLX5_INLINE_SEG);
    std::copy(data.begin(), data.end(), segment.begin() + 4);
    return append(segment);
  }
  Wqe& append(const Bytes& segment) {
    bytes.insert(bytes.end(), segment.begin(), segment.end());
    return *this;
  }
  Bytes bytes;
};

struct Region {
  Region(soft::Nic& nic, uint32_t pd, size_t size, uint32_t access = IBV_ACCESS_LOCAL_WRITE) : bytes(size) {
    soft::MemoryRegionAttributes attributes;
    attributes.pd = pd;
    attributes.base = bytes.data();
    attributes.iova = reinterpret_cast<uint64_t>(bytes.data());
    attributes.length = size;
    attributes.access = access;
    EQUAL(nic.createMemoryRegion(attributes, &key), 0);
  }
  Sge sge(size_t offset, uint32_t length) const { return {bytes.data() + offset, length, key}; }
  Bytes bytes;
  uint32_t key = 0;
};

struct Qp {
  Qp(soft::Nic& nic, soft::QueuePairAttributes attributes, uint32_t sqBlocks, uint32_t rqCount, uint32_t stride)
      : nic(nic), sqBlocks(sqBlocks), rqCount(rqCount), stride(stride), sq(sqBlocks * 64), rq(rqCount << stride) {
    attributes.sq = {sq.data(), sqBlocks, &doorbell[1], attributes.sq.bell, attributes.sq.ownBell};
    attributes.rq.buffer = rq.data();
    attributes.rq.count = attributes.srq != 0 ? 0 : rqCount;
    attributes.rq.strideShift = stride;
    attributes.rq.doorbell = &doorbell[0];
    EQUAL(nic.createQueuePair(attributes, &number), 0);
  }
  int modify(soft::QueuePairState state, uint8_t port = 1) {
    soft::QueuePairChange change;
    change.mask = IBV_QP_STATE;
    change.state = state;
    if (state == soft::QueuePairState::init) {
      change.mask |= IBV_QP_PORT;
      change.port = port;
    }
    return nic.modifyQueuePair(number, change);
  }
  void bringUp(uint8_t port = 1) {
    EQUAL(modify(soft::QueuePairState::init, port), 0);
    EQUAL(modify(soft::QueuePairState::rtr), 0);
    EQUAL(modify(soft::QueuePairState::rts), 0);
  }
  soft::QueuePairState state() {
    soft::QueuePairStatus status;
    EQUAL(nic.queryQueuePair(number, &status), 0);
    return status.state;
  }
  // Writes the WQE to the ring, as libmlx5 does; ring() rings.
  void write(Wqe wqe) {
    const size_t segments = wqe.bytes.size() / 16;
    soft::store16(&wqe.bytes[1], produced);
    soft::store32(&wqe.bytes[4], number << 8 | static_cast<uint32_t>(segments));
    writeRaw(wqe.bytes);
  }
  void writeRaw(const Bytes& bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) sq[(produced % sqBlocks * 64 + i) % sq.size()] = bytes[i];
    produced += static_cast<uint16_t>((bytes.size() + 63) / 64);
  }
  void ring() { __atomic_store_n(&doorbell[1], __builtin_bswap32(produced), __ATOMIC_RELEASE); }
  void send(const Wqe& wqe) {
    write(wqe);
    ring();
  }
  void receive(std::initializer_list<Sge> sges) {
    uint8_t* at = &rq[(posted % rqCount) << stride];
    uint32_t left = (1u << stride) / 16;
    for (const Sge& sge : sges) {
      soft::store32(at, sge.length);
      soft::store32(at + 4, sge.key);
      soft::store64(at + 8, reinterpret_cast<uint64_t>(sge.at));
      at += 16;
      --left;
    }
    if (left != 0) {
      soft::store32(at, 0);
      soft::store32(at + 4, MLX5_INVALID_LKEY);
      soft::store64(at + 8, 0);
    }
    ++posted;
    __atomic_store_n(&doorbell[0], __builtin_bswap32(posted), __ATOMIC_RELEASE);
  }

  soft::Nic& nic;
  uint32_t sqBlocks, rqCount, stride, number = 0;
  uint16_t produced = 0, posted = 0;
  Bytes sq, rq;
  alignas(64) uint32_t doorbell[2] = {};
};

constexpr uint32_t kUserIndex = 0x00abcd;
constexpr soft::Mac kMac{0x02, 0, 0, 0, 0, 1};

struct Card {
  explicit Card(size_t ports = 1, uint32_t minimumInline = 0) : Card(attributes(ports, minimumInline)) {}
  explicit Card(const soft::NicAttributes& attributes) : nic(attributes, events) {
    EQUAL(nic.allocateProtectionDomain(&pd), 0);
  }
  static soft::NicAttributes attributes(size_t ports, uint32_t minimumInline) {
    soft::NicAttributes result;
    result.strict = true;
    result.minimumInlineHeader = minimumInline;
    for (size_t i = 0; i < ports; ++i) {
      soft::PortAttributes port;
      port.mac = kMac;
      port.mac[5] = static_cast<uint8_t>(i + 1);
      result.ports.push_back(port);
    }
    return result;
  }
  soft::PortCounters counters(uint8_t port = 1) {
    soft::PortCounters result;
    EQUAL(nic.counters(port, &result), 0);
    return result;
  }
  std::unique_ptr<Qp> rawQp(Cq& send, Cq& receive, bool stripVlan = false, uint32_t blocks = 16, uint32_t wqes = 16,
                            uint32_t stride = 6, const void* bell = nullptr) {
    soft::QueuePairAttributes attributes;
    attributes.sq.bell = bell;
    attributes.type = soft::QueuePairType::rawPacket;
    attributes.pd = pd;
    attributes.sendCq = send.number;
    attributes.receiveCq = receive.number;
    attributes.userIndex = kUserIndex;
    attributes.stripVlan = stripVlan;
    return std::make_unique<Qp>(nic, attributes, blocks, wqes, stride);
  }
  uint32_t flow(const soft::FlowRule& rule) {
    uint32_t number = 0;
    EQUAL(nic.createFlow(rule, &number), 0);
    return number;
  }
  uint32_t everythingTo(const Qp& qp, uint8_t port = 1) {
    soft::FlowRule rule;
    rule.port = port;
    rule.type = soft::FlowType::allDefault;
    rule.qpn = qp.number;
    return flow(rule);
  }
  void step(int times = 1) {
    for (int i = 0; i < times; ++i) nic.step(now += 1000);
  }

  Recorder events;
  soft::Nic nic;
  uint32_t pd = 0;
  uint64_t now = 0;
};

// A raw packet QP on a loop wire, which returns every frame, with memory of its own.
struct Loop {
  explicit Loop(bool stripVlan = false, uint32_t minimumInline = 0, uint32_t cqeSize = 64, uint32_t cqEntries = 64)
      : card(1, minimumInline),
        sendCq(card.nic, cqEntries, cqeSize),
        receiveCq(card.nic, cqEntries, cqeSize),
        memory(card.nic, card.pd, 1 << 17) {
    EQUAL(card.nic.connect(1, soft::makeLoopWire()), 0);
    qp = card.rawQp(sendCq, receiveCq, stripVlan);
    qp->bringUp();
    card.everythingTo(*qp);
  }
  Sge put(const Bytes& data, size_t offset = 0) {
    std::copy(data.begin(), data.end(), memory.bytes.begin() + static_cast<long>(offset));
    return memory.sge(offset, static_cast<uint32_t>(data.size()));
  }
  const uint8_t* received(size_t slot = 0) const { return memory.bytes.data() + kReceive + slot * 2048; }
  void post(size_t count = 1) {
    for (size_t i = 0; i < count; ++i) qp->receive({memory.sge(kReceive + slots++ % 16 * 2048, 2048)});
  }
  // Sends one frame and returns the received one.
  Bytes round(const Wqe& wqe) {
    const size_t slot = slots % 16;
    post();
    qp->send(wqe);
    card.step();
    const uint8_t* done = sendCq.poll();
    CHECK(done != nullptr);
    EQUAL(cqeOpcode(done), MLX5_CQE_REQ);
    last = receiveCq.poll();
    CHECK(last != nullptr);
    EQUAL(cqeOpcode(last), MLX5_CQE_RESP_SEND);
    return Bytes(received(slot), received(slot) + byteCount(last));
  }

  static constexpr size_t kReceive = 1 << 16;
  Card card;
  Cq sendCq, receiveCq;
  Region memory;
  std::unique_ptr<Qp> qp;
  size_t slots = 0;
  const uint8_t* last = nullptr;
};
