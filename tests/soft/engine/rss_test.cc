// Receive side scaling: which of several work queues gets a frame.
#include <rdma/mlx5-abi.h>

#include "field.h"
#include "nic/toeplitz.h"

using namespace soft;

namespace {

// Microsoft, "Verifying the RSS hash calculation": the key and the published results.
const uint8_t kKey[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
                          0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
                          0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

struct Vector {
  Bytes source, destination;
  uint16_t sourcePort, destinationPort;
  uint32_t withPorts, addressesOnly;
};

const std::vector<Vector>& vectors() {
  static const std::vector<Vector> list{
      {{66, 9, 149, 187}, {161, 142, 100, 80}, 2794, 1766, 0x51ccc178, 0x323e8fc2},
      {{199, 92, 111, 2}, {65, 69, 140, 83}, 14230, 4739, 0xc626b0ea, 0xd718262a},
      {{24, 19, 198, 95}, {12, 22, 207, 184}, 12898, 38024, 0x5c2b394a, 0xd2d0a5de},
      {{38, 27, 205, 30}, {209, 142, 163, 6}, 48228, 2217, 0xafc7327f, 0x82989176},
      {{153, 39, 163, 191}, {202, 188, 127, 2}, 44251, 1303, 0x10e828a2, 0x5d1809c5},
      {be32(0x3ffe2501) + be32(0x02001fff) + be32(0) + be32(7), be32(0x3ffe2501) + be32(0x02000003) + be32(0) + be32(1),
       2794, 1766, 0x40207d3d, 0x2cc18cd5},
      {be32(0x3ffe0501) + be32(0x00080000) + be32(0x026097ff) + be32(0xfe40efab),
       be32(0xff020000) + be32(0) + be32(0) + be32(1), 14230, 4739, 0xdde51bbf, 0x0f0c461c},
      {be32(0x3ffe1900) + be32(0x45450003) + be32(0x0200f8ff) + be32(0xfe2167cf),
       be32(0xfe800000) + be32(0) + be32(0x0200f8ff) + be32(0xfe2167cf), 44251, 38024, 0x02d1feef, 0x4b61e985},
  };
  return list;
}

}  // namespace

TEST(toeplitz_gives_the_published_results) {
  const Toeplitz toeplitz(kKey);
  for (const Vector& vector : vectors()) {
    const Bytes addresses = vector.source + vector.destination;
    const Bytes all = addresses + be16(vector.sourcePort) + be16(vector.destinationPort);
    EQUAL(toeplitz.hash(addresses.data(), addresses.size()), vector.addressesOnly);
    EQUAL(toeplitz.hash(all.data(), all.size()), vector.withPorts);
  }
}

namespace {

// Four work queues behind one RSS QP.
struct Spread {
  explicit Spread(uint64_t fields) : field(0) {
    std::vector<uint32_t> wqns;
    for (size_t i = 0; i < 4; ++i) {
      queues.push_back(std::make_unique<Cq>(field.card.nic, 64));
      rings.push_back(std::make_unique<std::array<uint8_t, 64 * 16>>());
      doorbells.push_back(std::make_unique<uint32_t>(0));
      WorkQueueAttributes attributes;
      attributes.pd = field.card.pd;
      attributes.cq = queues[i]->number;
      attributes.userIndex = static_cast<uint32_t>(100 + i);
      attributes.ring = {rings[i]->data(), 64, 4, doorbells[i].get(), false};
      uint32_t wqn = 0;
      EQUAL(field.card.nic.createWorkQueue(attributes, &wqn), 0);
      EQUAL(field.card.nic.modifyWorkQueue(wqn, WorkQueueState::ready), 0);
      wqns.push_back(wqn);
      for (size_t k = 0; k < 64; ++k) {
        uint8_t* at = rings[i]->data() + k * 16;
        store32(at, 2048);
        store32(at + 4, field.memory.key);
        store64(at + 8, reinterpret_cast<uint64_t>(field.memory.bytes.data() + 4096 + i * 2048));
      }
      *doorbells[i] = __builtin_bswap32(64);
    }
    wq = wqns[0];
    EQUAL(field.card.nic.createIndirectionTable(wqns, &table), 0);
    RssQueuePairAttributes attributes;
    attributes.pd = field.card.pd;
    attributes.indirectionTable = table;
    attributes.fields = fields;
    attributes.key.assign(kKey, kKey + 40);
    EQUAL(field.card.nic.createRssQueuePair(attributes, &qpn), 0);
    FlowRule rule;
    rule.type = FlowType::allDefault;
    rule.qpn = qpn;
    flow = field.card.flow(rule);
  }
  // The queue that received the frame, with its CQE.
  size_t send(const Bytes& frame, const uint8_t** cqe) {
    field.send(frame);
    size_t found = 99;
    for (size_t i = 0; i < 4; ++i) {
      if (const uint8_t* entry = queues[i]->poll()) {
        EQUAL(found, 99);
        found = i;
        *cqe = entry;
        EQUAL(load32(entry + 32), 100 + i);
      }
    }
    return found;
  }
  Field field;
  std::vector<std::unique_ptr<Cq>> queues;
  std::vector<std::unique_ptr<std::array<uint8_t, 64 * 16>>> rings;
  std::vector<std::unique_ptr<uint32_t>> doorbells;
  uint32_t table = 0, qpn = 0, flow = 0, wq = 0;
};

}  // namespace

TEST(receive_side_scaling_spreads_by_the_published_hashes) {
  Spread v4(MLX5_RX_HASH_SRC_IPV4 | MLX5_RX_HASH_DST_IPV4 | MLX5_RX_HASH_SRC_PORT_TCP | MLX5_RX_HASH_DST_PORT_TCP);
  Spread v6(MLX5_RX_HASH_SRC_IPV6 | MLX5_RX_HASH_DST_IPV6 | MLX5_RX_HASH_SRC_PORT_UDP | MLX5_RX_HASH_DST_PORT_UDP);
  for (const Vector& vector : vectors()) {
    const uint8_t* cqe = nullptr;
    if (vector.source.size() == 4) {
      const Bytes segment = tcp(vector.sourcePort, vector.destinationPort, 1, 0x10, {});
      EQUAL(v4.send(ethernet(0x0800, ipv4(6, segment, vector.source, vector.destination)), &cqe), vector.withPorts & 3);
      EQUAL(load32(cqe + 12), vector.withPorts);
      EQUAL(cqe[16], 0x55);  // IPv4 and TCP, both ends
      const Bytes datagram = udp(vector.sourcePort, vector.destinationPort, pattern(9));
      EQUAL(v4.send(ethernet(0x0800, ipv4(17, datagram, vector.source, vector.destination)), &cqe),
            vector.addressesOnly & 3);
      EQUAL(load32(cqe + 12), vector.addressesOnly);
      EQUAL(cqe[16], 0x05);
    } else {
      const Bytes datagram = udp(vector.sourcePort, vector.destinationPort, pattern(9));
      EQUAL(v6.send(ethernet(0x86dd, ipv6(17, datagram, vector.source, vector.destination)), &cqe),
            vector.withPorts & 3);
      EQUAL(load32(cqe + 12), vector.withPorts);
      EQUAL(cqe[16], 0xaa);
    }
  }
  const uint8_t* cqe = nullptr;
  EQUAL(v4.send(ethernet(0x88b5, pattern(50)), &cqe), 0);  // nothing to hash: the first queue
  EQUAL(load32(cqe + 12), 0);
}

TEST(objects_behind_an_rss_queue_pair_are_in_use) {
  Spread spread(MLX5_RX_HASH_SRC_IPV4);
  Nic& nic = spread.field.card.nic;
  EQUAL(nic.destroyWorkQueue(spread.wq), EBUSY);
  EQUAL(nic.destroyIndirectionTable(spread.table), EBUSY);
  EQUAL(nic.destroyQueuePair(spread.qpn), EBUSY);
  EQUAL(nic.destroyFlow(spread.flow), 0);
  EQUAL(nic.destroyQueuePair(spread.qpn), 0);
  EQUAL(nic.destroyIndirectionTable(spread.table), 0);
  EQUAL(nic.destroyWorkQueue(spread.wq), 0);
}

TEST(a_work_queue_in_error_is_flushed_and_says_so) {
  Spread spread(0);
  const uint8_t* cqe = nullptr;
  uint8_t* first = spread.rings[0]->data();
  store32(first + 4, 0x00ffff00);
  spread.field.send(ethernet(0x88b5, pattern(50)));
  cqe = spread.queues[0]->poll();
  CHECK(cqe != nullptr);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_ERR);
  EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
  CHECK(spread.field.card.events.has(AsyncEventType::wqFatal, spread.wq));
  spread.field.card.step();
  for (int i = 1; i < 64; ++i) {
    cqe = spread.queues[0]->poll();
    CHECK(cqe != nullptr);
    EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
    EQUAL(wqeCounter(cqe), i);
  }
}
