// What the NIC finds once and uses again: the rule that got the frame before, the room in a completion queue, where a
// frame lies. It must be forgotten where that is no longer so.
#include "field.h"
#include "nic/checksum.h"

using namespace soft;

namespace {

const Bytes kFrame = ethernet(0x88b5, pattern(50));

MemoryRegionAttributes over(const Card& card, Bytes& bytes, const Sge& addresses) {
  MemoryRegionAttributes attributes;
  attributes.pd = card.pd;
  attributes.base = bytes.data();
  attributes.iova = reinterpret_cast<uint64_t>(addresses.at);
  attributes.length = bytes.size();
  attributes.access = IBV_ACCESS_LOCAL_WRITE;
  return attributes;
}

FlowRule toItsAddress(FlowRule rule, uint16_t priority) {
  rule.priority = priority;
  std::copy(kFrame.begin(), kFrame.begin() + 6, rule.outer.value.destinationMac.begin());
  rule.outer.mask.destinationMac.fill(0xff);
  return rule;
}

}  // namespace

TEST(a_region_that_goes_or_changes_between_two_frames_is_seen_by_the_next) {
  Loop loop;
  Region region(loop.card.nic, loop.card.pd, 64);
  region.bytes = kFrame;
  const Sge sge{loop.memory.bytes.data(), 64, region.key};  // any address: what counts is where the region says it lies
  EQUAL(loop.card.nic.changeMemoryRegion(region.key, over(loop.card, region.bytes, sge), &region.key), 0);
  CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(sge)) == kFrame);
  Bytes other = ethernet(0x88b5, pattern(50, 99));
  EQUAL(loop.card.nic.changeMemoryRegion(region.key, over(loop.card, other, sge), &region.key), 0);
  EQUAL(region.key, sge.key);
  CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(sge)) == other);
  // The same key again, after as many others as there are tags.
  for (int i = 0; i < 256; ++i) {
    EQUAL(loop.card.nic.destroyMemoryRegion(region.key), 0);
    EQUAL(loop.card.nic.createMemoryRegion(over(loop.card, region.bytes, sge), &region.key), 0);
  }
  EQUAL(region.key, sge.key);
  CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(sge)) == kFrame);
  EQUAL(loop.card.nic.destroyMemoryRegion(region.key), 0);
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.card.step();
  const uint8_t* cqe = loop.sendCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
}

TEST(a_region_that_changes_between_two_receives_is_seen_by_the_next) {
  Loop loop;
  Bytes first(2048), second(2048);
  const Sge sge{loop.memory.bytes.data(), 2048, 0};
  uint32_t key = 0;
  EQUAL(loop.card.nic.createMemoryRegion(over(loop.card, first, sge), &key), 0);
  for (int i = 0; i < 10; ++i) loop.qp->receive({{sge.at, 2048, key}});
  const Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().inlined(kFrame);
  const auto sendOne = [&] {
    loop.qp->send(wqe);
    loop.card.step();
    const uint8_t* cqe = loop.receiveCq.poll();
    CHECK(cqe != nullptr);
    return cqeOpcode(cqe);
  };
  EQUAL(sendOne(), MLX5_CQE_RESP_SEND);
  CHECK(std::equal(kFrame.begin(), kFrame.end(), first.begin()));
  first.assign(2048, 0);
  EQUAL(loop.card.nic.changeMemoryRegion(key, over(loop.card, second, sge), &key), 0);
  EQUAL(sendOne(), MLX5_CQE_RESP_SEND);
  CHECK(first == Bytes(2048));
  CHECK(std::equal(kFrame.begin(), kFrame.end(), second.begin()));
  EQUAL(loop.card.nic.destroyMemoryRegion(key), 0);
  EQUAL(sendOne(), MLX5_CQE_RESP_ERR);
}

TEST(a_rule_that_comes_or_goes_between_two_frames_is_seen_by_the_next) {
  Field field(3);
  const uint32_t low = field.card.flow(toItsAddress(field.to(0), 9));
  CHECK(field.send(kFrame) == "100");
  CHECK(field.send(kFrame) == "100");
  const uint32_t high = field.card.flow(toItsAddress(field.to(1), 1));
  CHECK(field.send(kFrame) == "010");
  EQUAL(field.card.nic.destroyFlow(high), 0);
  CHECK(field.send(kFrame) == "100");
  const uint32_t alike = field.card.flow(toItsAddress(field.to(1), 9));
  CHECK(field.send(kFrame) == "110");
  EQUAL(field.card.nic.destroyFlow(alike), 0);
  FlowRule sniffer = field.to(2);
  sniffer.type = FlowType::sniffer;
  const uint32_t sniffs = field.card.flow(sniffer);
  CHECK(field.send(kFrame) == "101");
  EQUAL(field.card.nic.destroyFlow(sniffs), 0);
  CHECK(field.send(kFrame) == "100");
  FlowRule through = toItsAddress(field.to(1), 0);
  through.dontTrap = true;
  const uint32_t lets = field.card.flow(through);
  CHECK(field.send(kFrame) == "110");
  EQUAL(field.card.nic.destroyFlow(lets), 0);
  FlowRule deeper = toItsAddress(field.to(1), 0);  // looks behind the Ethernet header
  deeper.outer.value.ipVersion = 4;
  deeper.outer.mask.ipVersion = 0xf;
  field.card.flow(deeper);
  CHECK(field.send(kFrame) == "100");
  CHECK(field.send(ethernet(0x0800, ipv4(17, udp(1, 2, pattern(20))))) == "010");
  EQUAL(field.card.nic.destroyFlow(low), 0);
  CHECK(field.send(kFrame) == "000");
}

TEST(frames_to_several_addresses_by_turns_find_each_its_own_rule) {
  Field field(3);
  for (uint8_t i = 0; i < 3; ++i) {
    FlowRule rule = field.to(i);
    rule.outer.value.destinationMac = {2, 0, 0, 0, 0, static_cast<uint8_t>(1 + i)};
    rule.outer.mask.destinationMac.fill(0xff);
    if (i == 1) {  // the source counts, too
      rule.outer.value.sourceMac = {2, 0, 0, 0, 0, 9};
      rule.outer.mask.sourceMac.fill(0xff);
    }
    field.card.flow(rule);
  }
  for (int turn = 0; turn < 2; ++turn) {
    CHECK(field.send(ethernet(0x88b5, pattern(50), {2, 0, 0, 0, 0, 1})) == "100");
    CHECK(field.send(ethernet(0x88b5, pattern(50), {2, 0, 0, 0, 0, 3})) == "001");
    Bytes second = ethernet(0x88b5, pattern(50), {2, 0, 0, 0, 0, 2});
    CHECK(field.send(second) == "010");
    second[11] = 8;
    CHECK(field.send(second) == "000");
    CHECK(field.send(ethernet(0x88b5, pattern(50), {2, 0, 0, 0, 0, 4})) == "000");
  }
}

TEST(a_queue_pair_that_was_reset_between_two_frames_begins_anew) {
  Loop loop;
  CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(kFrame))) == kFrame);
  loop.post(8);  // stay behind
  EQUAL(loop.qp->modify(QueuePairState::reset), 0);
  loop.qp->produced = loop.qp->posted = 0;
  loop.qp->doorbell[0] = loop.qp->doorbell[1] = 0;
  loop.qp->bringUp();
  std::fill(loop.memory.bytes.begin() + Loop::kReceive, loop.memory.bytes.end(), uint8_t{0});
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(kFrame)));
  loop.card.step();
  CHECK(loop.sendCq.poll() != nullptr);
  CHECK(loop.receiveCq.poll() == nullptr);  // what was posted before is forgotten
  EQUAL(loop.card.counters().receiveNoBuffer, 1);
  loop.slots = 12;
  const Bytes other = ethernet(0x88b5, pattern(50, 99));
  CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(other))) == other);
  EQUAL(wqeCounter(loop.last), 0);
}

TEST(an_internet_checksum_of_any_length_and_alignment_is_that_of_the_slow_way) {
  Bytes bytes(3000);
  uint32_t random = 1;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>((random = random * 1664525 + 1013904223) >> 24);
  for (const uint8_t fill : {uint8_t{0}, uint8_t{0xff}, uint8_t{1}}) {
    if (fill != 1) std::fill(bytes.begin() + 1000, bytes.begin() + 2200, fill);
    for (size_t length = 0; length < 1600; length += length < 300 ? 1 : 37) {
      for (size_t from = 0; from < 40; from += 3) {
        const Bytes part(bytes.begin() + static_cast<long>(900 + from),
                         bytes.begin() + static_cast<long>(900 + from + length));
        const uint16_t sum = checksumFold(checksumAdd(part.data(), part.size()));
        const uint16_t expected = static_cast<uint16_t>(~slowSum(part));
        EQUAL(sum % 0xffff, __builtin_bswap16(expected) % 0xffff);
        EQUAL(sum == 0, expected == 0);
      }
    }
  }
}
