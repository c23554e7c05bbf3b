// Flow rules: which queue pair gets a frame.
#include "nic/steering.h"

#include "field.h"

using namespace soft;

namespace {

void expect(int line, const std::string& actual, const std::string& expected) {
  if (actual != expected) failAt(__FILE__, line, "received " + actual + ", expected " + expected);
}
#define GOT(actual, expected) expect(__LINE__, actual, expected)

const Bytes kFrom6(16, 0x20), kTo6(16, 0x30);

template <typename Array>
void setBytes(Array& value, Array& mask, const Bytes& bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    value[i] = bytes[i];
    mask[i] = 0xff;
  }
}

template <typename T>
void setField(FlowRule& rule, T FlowFields::* field, T value, T mask = static_cast<T>(~T{0})) {
  rule.outer.value.*field = value;
  rule.outer.mask.*field = mask;
}

}  // namespace

TEST(a_frame_that_no_rule_wants_is_lost) {
  Field field(1);
  GOT(field.send(ethernet(0x88b5, pattern(50))), "0");
  EQUAL(field.card.counters().receiveUnmatched, 1);
}

TEST(rules_look_at_addresses_types_and_tags) {
  Field field(5);
  FlowRule mac = field.to(0);
  setBytes(mac.outer.value.destinationMac, mac.outer.mask.destinationMac, {2, 0, 0, 0, 0, 0x11});
  field.card.flow(mac);
  FlowRule type = field.to(1);
  setField(type, &FlowFields::etherType, uint16_t{0x88b5});
  type.priority = 1;
  field.card.flow(type);
  FlowRule vlan = field.to(2);
  setField(vlan, &FlowFields::vlanTag, uint16_t{7}, uint16_t{0xfff});
  field.card.flow(vlan);
  FlowRule source = field.to(3);
  setBytes(source.outer.value.sourceMac, source.outer.mask.sourceMac, {2, 0, 0, 0, 0, 9});
  source.priority = 2;
  field.card.flow(source);
  FlowRule zero = field.to(4);  // VLAN 0 is a tag too
  setField(zero, &FlowFields::vlanTag, uint16_t{0}, uint16_t{0xfff});
  field.card.flow(zero);
  GOT(field.send(ethernet(0x88b5, pattern(50), {2, 0, 0, 0, 0, 0x11})), "10000");
  GOT(field.send(ethernet(0x88b5, pattern(50))), "01000");
  GOT(field.send(tagged(0xa007, 0x88b5, pattern(50))), "00100");
  GOT(field.send(tagged(8, 0x88b6, pattern(50))), "00010");
  GOT(field.send(tagged(0x2000, 0x88b6, pattern(50))), "00001");
  GOT(field.send(ethernet(0x88b6, pattern(50))), "00010");
}

TEST(rules_look_at_ipv4_ipv6_tcp_and_udp) {
  Field field(4);
  FlowRule v4 = field.to(0);
  setField(v4, &FlowFields::ipVersion, uint8_t{4});
  setBytes(v4.outer.value.destinationIp, v4.outer.mask.destinationIp, kTo);
  v4.priority = 1;
  field.card.flow(v4);
  FlowRule v6 = field.to(1);
  setField(v6, &FlowFields::ipVersion, uint8_t{6});
  setBytes(v6.outer.value.sourceIp, v6.outer.mask.sourceIp, kFrom6);
  v6.priority = 1;
  field.card.flow(v6);
  FlowRule udpRule = field.to(2);
  setField(udpRule, &FlowFields::protocol, uint8_t{17});
  setField(udpRule, &FlowFields::destinationPort, uint16_t{2000});
  field.card.flow(udpRule);
  FlowRule tcpRule = field.to(3);
  setField(tcpRule, &FlowFields::protocol, uint8_t{6});
  setField(tcpRule, &FlowFields::sourcePort, uint16_t{80});
  field.card.flow(tcpRule);
  GOT(field.send(ethernet(0x0800, ipv4(17, udp(1, 2, pattern(20))))), "1000");
  GOT(field.send(ethernet(0x0800, ipv4(17, udp(1, 2, pattern(20)), kFrom, {10, 0, 0, 3}))), "0000");
  GOT(field.send(ethernet(0x86dd, ipv6(17, udp(1, 2, pattern(20)), kFrom6, kTo6))), "0100");
  GOT(field.send(ethernet(0x0800, ipv4(17, udp(1, 2000, pattern(20))))), "0010");
  GOT(field.send(ethernet(0x86dd, ipv6(17, udp(1, 2000, pattern(20))))), "0010");
  GOT(field.send(ethernet(0x0800, ipv4(6, tcp(80, 2000, 1, 2, {})))), "0001");
  GOT(field.send(ethernet(0x0800, ipv4(6, tcp(81, 2000, 1, 2, {})))), "1000");
}

TEST(rules_match_headers_that_promise_more_than_follows) {
  Field field(1);
  FlowRule rule = field.to(0);
  setField(rule, &FlowFields::ipVersion, uint8_t{6});
  setField(rule, &FlowFields::destinationPort, uint16_t{2000});
  field.card.flow(rule);
  Bytes frame = ethernet(0x86dd, ipv6(17, udp(1, 2000, pattern(20))));
  store16(&frame[18], 68);
  GOT(field.send(frame), "1");
  store16(&frame[18], 0xffff);
  GOT(field.send(frame), "1");
}

TEST(rules_look_into_vxlan) {
  Field field(2);
  FlowRule vni = field.to(0);
  setField(vni, &FlowFields::tunnelId, uint32_t{0x123456}, uint32_t{0xffffff});
  vni.priority = 1;
  field.card.flow(vni);
  FlowRule inner = field.to(1);
  inner.outer = vni.outer;
  inner.inner.value.destinationPort = 2000;
  inner.inner.mask.destinationPort = 0xffff;
  field.card.flow(inner);
  const auto packet = [](uint32_t vni24, uint16_t port) {
    const Bytes header = Bytes{8, 0, 0, 0} + be32(vni24 << 8);
    return ethernet(0x0800, ipv4(17, udp(7, 4789, header + ethernet(0x0800, ipv4(17, udp(1000, port, pattern(20)))))));
  };
  GOT(field.send(packet(0x123456, 1)), "10");
  GOT(field.send(packet(0x123456, 2000)), "01");
  GOT(field.send(packet(0x123457, 2000)), "00");
}

TEST(priority_decides_then_the_defaults_and_drop_and_tag_act) {
  Field field(3);
  FlowRule all = field.to(0);
  all.type = FlowType::allDefault;
  field.card.flow(all);
  FlowRule multicast = field.to(1);
  multicast.type = FlowType::multicastDefault;
  field.card.flow(multicast);
  GOT(field.send(ethernet(0x88b5, pattern(50))), "100");
  GOT(field.send(ethernet(0x88b5, pattern(50), {1, 0, 0x5e, 0, 0, 1})), "010");
  FlowRule tag = field.to(2);
  setField(tag, &FlowFields::etherType, uint16_t{0x88b5});
  tag.priority = 5;
  tag.tagged = true;
  tag.tag = 0xabcdef;
  field.card.flow(tag);
  GOT(field.send(ethernet(0x88b5, pattern(50))), "001");
  EQUAL(field.tag, 0xabcdef);
  FlowRule drop;
  setField(drop, &FlowFields::etherType, uint16_t{0x88b5});
  drop.drop = true;
  drop.priority = 4;
  const uint32_t number = field.card.flow(drop);
  GOT(field.send(ethernet(0x88b5, pattern(50))), "000");
  EQUAL(field.card.counters().receiveRuleDropped, 1);
  EQUAL(field.card.nic.destroyFlow(number), 0);
  GOT(field.send(ethernet(0x88b5, pattern(50))), "001");
}

TEST(equal_rules_share_a_sniffer_copies_and_dont_trap_lets_through) {
  Field field(4);
  for (size_t i = 0; i < 2; ++i) {
    FlowRule rule = field.to(i);
    setField(rule, &FlowFields::etherType, uint16_t{0x88b5});
    field.card.flow(rule);
  }
  GOT(field.send(ethernet(0x88b5, pattern(50))), "1100");
  FlowRule sniffer = field.to(2);
  sniffer.type = FlowType::sniffer;
  field.card.flow(sniffer);
  GOT(field.send(ethernet(0x88b5, pattern(50))), "1110");
  GOT(field.send(ethernet(0x88b6, pattern(50))), "0010");
  FlowRule trap = field.to(3);
  setField(trap, &FlowFields::etherType, uint16_t{0x88b5});
  setBytes(trap.outer.value.sourceMac, trap.outer.mask.sourceMac, {2, 0, 0, 0, 0, 9});
  trap.dontTrap = true;
  field.card.flow(trap);
  GOT(field.send(ethernet(0x88b5, pattern(50))), "1111");
}

namespace {

// The order of the rules in words (steering.h), without any table: which of them get a frame, by number.
struct OneByOne {
  struct Entry {
    FlowRule rule;
    uint32_t number;
    FlowKey value, mask;
    uint32_t bits = 0;
    bool wants(const FlowKey& key) const {
      for (uint32_t i = 0; i < FlowKey::kWords; ++i) {
        if ((key.words[i] & mask.words[i]) != value.words[i]) return false;
      }
      return true;
    }
    bool alike(const Entry& other) const {
      return rule.priority == other.rule.priority && std::memcmp(&value, &other.value, sizeof value) == 0 &&
             std::memcmp(&mask, &other.mask, sizeof mask) == 0;
    }
  };
  void add(const FlowRule& rule, uint32_t number) {
    Entry entry{rule, number, {}, {}};
    packFields(rule.outer.value, &entry.value);
    packFields(rule.outer.mask, &entry.mask);
    for (uint32_t i = 0; i < FlowKey::kWords; ++i) {
      entry.value.words[i] &= entry.mask.words[i];
      entry.bits += static_cast<uint32_t>(__builtin_popcountll(entry.mask.words[i]));
    }
    auto at = entries.end();
    for (auto i = entries.begin(); i != entries.end(); ++i) {
      if (i->alike(entry)) at = i + 1;
    }
    if (at == entries.end()) {
      at = std::find_if(entries.begin(), entries.end(), [&](const Entry& other) {
        return other.rule.priority != rule.priority ? other.rule.priority > rule.priority : other.bits < entry.bits;
      });
    }
    entries.insert(at, entry);
  }
  std::string match(const FlowKey& key) const {
    std::string got;
    for (auto i = entries.begin(); i != entries.end(); ++i) {
      if (!i->wants(key)) continue;
      const Entry& first = *i;
      got += std::to_string(i->number) + " ";
      for (; i + 1 != entries.end() && (i + 1)->alike(first); ++i) got += std::to_string((i + 1)->number) + " ";
      if (!first.rule.dontTrap) break;
    }
    return got;
  }
  std::vector<Entry> entries;
};

}  // namespace

TEST(any_number_of_rules_of_any_shape_are_found_in_the_order_of_one_by_one) {
  uint32_t random = 1, found = 0;
  const auto draw = [&random](uint32_t count) {
    random = random * 1664525 + 1013904223;
    return (random >> 8) % count;
  };
  const auto fields = [&draw](FlowFields& value, FlowFields& mask) {
    const auto some = [&draw] { return draw(3) == 0; };
    if (some()) setBytes(value.destinationMac, mask.destinationMac, {2, 0, 0, 0, 0, static_cast<uint8_t>(draw(3))});
    if (some()) value.etherType = static_cast<uint16_t>(0x88b5 + draw(2)), mask.etherType = 0xffff;
    if (some()) value.destinationPort = static_cast<uint16_t>(draw(4)), mask.destinationPort = draw(2) ? 0xffff : 1;
    if (some()) setBytes(value.sourceIp, mask.sourceIp, {10, 0, 0, static_cast<uint8_t>(draw(3))});
  };
  for (int round = 0; round < 50; ++round) {
    Steering steering;
    OneByOne reference;
    const uint32_t count = 1 + draw(120);
    for (uint32_t change = 0; change < 2 * count; ++change) {
      if (change >= count && draw(2) == 0 && !reference.entries.empty()) {
        const auto gone = reference.entries.begin() + draw(static_cast<uint32_t>(reference.entries.size()));
        RawTarget* target;
        CHECK(steering.remove(gone->number, &target));
        reference.entries.erase(gone);
      } else {
        FlowRule rule;
        rule.priority = static_cast<uint16_t>(draw(4));
        rule.dontTrap = draw(4) == 0;
        fields(rule.outer.value, rule.outer.mask);
        steering.add(rule, nullptr, change + 1);
        reference.add(rule, change + 1);
      }
      if (change < count - 1) continue;
      for (int frame = 0; frame < 8; ++frame) {
        FlowFields value, ignored;
        fields(value, ignored);
        FlowKey key;
        packFields(value, &key);
        std::string got;
        const bool any =
            steering.match(key, nullptr, [&](const CompiledRule& rule) { got += std::to_string(rule.number) + " "; });
        expect(__LINE__, got, reference.match(key));
        EQUAL(any, !got.empty());
        found += any ? 1 : 0;
      }
    }
  }
  CHECK(found > 1000);
}

TEST(two_ports_have_rules_of_their_own) {
  Card card(2);
  auto wire = makePairWire();
  EQUAL(card.nic.connect(1, wire, 0), 0);
  EQUAL(card.nic.connect(2, wire, 1), 0);
  Cq cq1(card.nic, 16), cq2(card.nic, 16);
  auto one = card.rawQp(cq1, cq1), two = card.rawQp(cq2, cq2);
  one->bringUp(1);
  two->bringUp(2);
  card.everythingTo(*one, 1);
  card.everythingTo(*two, 2);
  Region memory(card.nic, card.pd, 8192);
  one->receive({memory.sge(0, 2048)});
  two->receive({memory.sge(2048, 2048)});
  one->send(Wqe(MLX5_OPCODE_SEND, 0).eth().data(memory.sge(4096, 64)));
  card.step();
  CHECK(cq1.poll() == nullptr);
  EQUAL(byteCount(cq2.poll()), 64);
  EQUAL(card.counters(1).transmitFrames, 1);
  EQUAL(card.counters(2).receiveFrames, 1);
}
