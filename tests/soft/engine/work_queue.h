// A card whose port leads to one work queue, striding or not.
#pragma once

#include "frames.h"

// A work queue behind an RSS queue pair, its ring written by hand.
struct Wq {
  Wq(Card& card, Cq& cq, const soft::Striding& striding = {}, uint32_t count = 128, uint32_t shift = 5,
     uint32_t userIndex = kUserIndex)
      : card(card), count(count), shift(shift), prefix(striding.logStrideBytes != 0 ? 16 : 0), ring(count << shift) {
    soft::WorkQueueAttributes attributes;
    attributes.pd = card.pd;
    attributes.cq = cq.number;
    attributes.ring = {ring.data(), count, shift, &doorbell, false};
    attributes.striding = striding;
    attributes.userIndex = userIndex;
    EQUAL(card.nic.createWorkQueue(attributes, &number), 0);
    EQUAL(card.nic.modifyWorkQueue(number, soft::WorkQueueState::ready), 0);
    EQUAL(card.nic.createIndirectionTable({number}, &table), 0);
    soft::RssQueuePairAttributes rss;
    rss.pd = card.pd;
    rss.indirectionTable = table;
    rss.fields = 3;  // MLX5_RX_HASH_SRC_IPV4, MLX5_RX_HASH_DST_IPV4
    rss.key = pattern(40, 0x6d);
    EQUAL(card.nic.createRssQueuePair(rss, &qpn), 0);
    soft::FlowRule rule;
    rule.type = soft::FlowType::allDefault;
    rule.qpn = qpn;
    flow = card.flow(rule);
  }
  void write(std::initializer_list<Sge> sges) {
    uint8_t* at = &ring[(posted % count) << shift] + prefix;
    uint32_t left = ((1u << shift) - prefix) / 16;
    for (const Sge& sge : sges) {
      soft::store32(at, sge.length);
      soft::store32(at + 4, sge.key);
      soft::store64(at + 8, reinterpret_cast<uint64_t>(sge.at));
      at += 16;
      --left;
    }
    if (left != 0) soft::store32(at + 4, MLX5_INVALID_LKEY);
    ++posted;
  }
  void post(std::initializer_list<Sge> sges) {
    write(sges);
    __atomic_store_n(&doorbell, __builtin_bswap32(posted), __ATOMIC_RELEASE);
  }

  Card& card;
  uint32_t count, shift, prefix, number = 0, table = 0, qpn = 0, flow = 0;
  uint16_t posted = 0;
  Bytes ring;
  alignas(64) uint32_t doorbell = 0;
};

struct WorkQueueBed {
  explicit WorkQueueBed(uint32_t cqes = 256, uint32_t cqeSize = 64,
                        soft::CqeCompression compression = soft::CqeCompression::none,
                        const soft::Striding& striding = {}, size_t bytes = 1 << 18)
      : cq(card.nic, cqes, cqeSize, nullptr, compression), memory(card.nic, card.pd, bytes) {
    EQUAL(card.nic.connect(1, wire), 0);
    wq = std::make_unique<Wq>(card, cq, striding);
  }
  // Puts a frame on the wire: the next step receives it.
  void arrive(const Bytes& frame) {
    uint8_t* room = wire->end(0).receive->reserve(frame.size());
    CHECK(room != nullptr);
    std::copy(frame.begin(), frame.end(), room);
    wire->end(0).receive->commit(frame.size());
  }

  Card card;
  std::shared_ptr<soft::Wire> wire = soft::makeLoopWire();
  Cq cq;
  Region memory;
  std::unique_ptr<Wq> wq;
};

// A UDP datagram whose frame has `length` bytes, from 10.0.0.`host`: that tells the hash.
inline Bytes datagram(size_t length, uint8_t host = 1) {
  const Bytes payload = pattern(length - 42, static_cast<uint8_t>(length + host));
  return ethernet(0x0800, ipv4(17, udp(1, 2, payload), {10, 0, 0, host}, kTo, true));
}
