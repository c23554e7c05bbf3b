// What a NIC's rules match and what its interface's kernel is kept from, field by field (interface_peer.h). Run by
// tests/soft/interface.test.ts in a namespace of its own.
#include <linux/if_packet.h>
#include <net/if.h>

#include "interface_peer.h"

using namespace soft;

namespace {

void set(FlowMatch& match, uint8_t FlowFields::* field, uint8_t value, uint8_t mask = 0xff) {
  match.value.*field = value & mask;
  match.mask.*field = mask;
}
void set(FlowMatch& match, uint16_t FlowFields::* field, uint16_t value, uint16_t mask = 0xffff) {
  match.value.*field = value & mask;
  match.mask.*field = mask;
}
void set(FlowMatch& match, uint32_t FlowFields::* field, uint32_t value, uint32_t mask) {
  match.value.*field = value & mask;
  match.mask.*field = mask;
}
template <typename Array>
void set(FlowMatch& match, Array FlowFields::* field, const Bytes& value) {
  std::copy(value.begin(), value.end(), (match.value.*field).begin());
  std::fill_n((match.mask.*field).begin(), value.size(), 0xff);
}

// Bytes that this kernel's IP sees.
long received() { return counter("Ip", "InReceives") + counter("Ip6", "InReceives"); }

}  // namespace

// The same frame for every field that a rule may look at, with a rule that wants what it has and one that wants another
// value there: NIC and nf_tables must agree.
TEST(the_kernel_is_kept_from_exactly_what_rules_match) {
  // One processor, so that frames stay in order on their way through the kernel.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  EQUAL(sched_setaffinity(0, sizeof one, &one), 0);
  Peer peer;
  End end("soft0", false);
  Socket server(SOCK_DGRAM);
  server.listen(8888);
  const auto marker = peer.socket(SOCK_DGRAM);
  EQUAL(marker->connectTo(kHere, 8888), 0);
  marker->send("first");  // which also resolves the address
  CHECK(server.receive() == "first");
  int raw = -1;
  sockaddr_ll out{};
  peer.within([&] {
    raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    out.sll_family = AF_PACKET;
    out.sll_ifindex = static_cast<int>(if_nametoindex("soft1"));
    EQUAL(bind(raw, reinterpret_cast<sockaddr*>(&out), sizeof out), 0);
  });
  const Bytes from4{10, 9, 0, 2}, to4{10, 9, 0, 1};
  const Bytes from6{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
      to6{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3};
  const auto frameOf = [&](uint16_t type, const Bytes& payload) { return kHereMac + kThereMac + be16(type) + payload; };
  const Bytes datagram = udp(5000, 2000, pattern(40));
  Bytes v4 = frameOf(0x0800, ipv4(17, datagram, from4, to4));
  v4[15] = 0x28;
  store16(&v4[24], 0);
  store16(&v4[24], slowSum(Bytes(v4.begin() + 14, v4.begin() + 34)));
  Bytes v6 = frameOf(0x86dd, ipv6(17, datagram, from6, to6));
  store32(&v6[14], 0x62812345);
  const Bytes segment = frameOf(0x0800, ipv4(6, tcp(80, 2001, 1, 0x10, {}), from4, to4, true));
  const Bytes priority = kHereMac + kThereMac + be16(0x8100) + be16(0x2000) + Bytes(v4.begin() + 12, v4.end());
  const Bytes inside4 = ethernet(0x0800, ipv4(17, udp(5, 6, pattern(20))), {2, 0, 0, 0, 0, 0x77});
  const Bytes inside6 = ethernet(0x86dd, ipv6(6, tcp(7, 8, 1, 2, {})), {2, 0, 0, 0, 0, 0x77});
  const Bytes vxlan = be32(0x08000000) + be32(0x123456 << 8);
  const Bytes tunnel4 = frameOf(0x0800, ipv4(17, udp(1, 4789, vxlan + inside4), from4, to4, true));
  const Bytes tunnel6 = frameOf(0x0800, ipv4(17, udp(1, 4789, vxlan + inside6), from4, to4, true));

  struct Row {
    Bytes frame;
    bool inner;
    void (*apply)(FlowMatch& match, int off);  // off: 0, or what makes the rule want another value
  };
#define ROW(frame, ...)                                      \
  {                                                          \
    frame, false, [](FlowMatch& m, int off) { __VA_ARGS__; } \
  }
#define INNER(frame, ...)                                   \
  {                                                         \
    frame, true, [](FlowMatch& m, int off) { __VA_ARGS__; } \
  }
  using F = FlowFields;
#define V(type, value) static_cast<type>((value) + off)
  const std::vector<Row> rows {
    ROW(v4, set(m, &F::destinationMac, {2, 0, 0, 0, 0, V(uint8_t, 1)})),
        ROW(v4, set(m, &F::sourceMac, {2, 0, 0, 0, 0, V(uint8_t, 2)})),
        ROW(v4, set(m, &F::etherType, V(uint16_t, 0x0800))), ROW(v6, set(m, &F::etherType, V(uint16_t, 0x86dd))),
        ROW(priority, set(m, &F::vlanPresent, V(uint8_t, 1), 1)), ROW(v4, set(m, &F::vlanPresent, V(uint8_t, 0), 1)),
        ROW(priority, set(m, &F::vlanPresent, 1);
            set(m, &F::vlanTag, static_cast<uint16_t>(0x2000 + (off << 13)), 0xe000)),
        ROW(priority, set(m, &F::ipVersion, 4); set(m, &F::destinationPort, V(uint16_t, 2000));
            set(m, &F::protocol, 17)),
        ROW(v4, set(m, &F::ipVersion, static_cast<uint8_t>(off ? 6 : 4))),
        ROW(v6, set(m, &F::ipVersion, static_cast<uint8_t>(off ? 4 : 6))),
        ROW(v4, set(m, &F::ipVersion, 4); set(m, &F::sourceIp, {10, 9, 0, V(uint8_t, 2)})),
        ROW(v4, set(m, &F::ipVersion, 4); set(m, &F::destinationIp, {10, 9, 0, V(uint8_t, 1)})),
        ROW(v4, set(m, &F::ipVersion, 4); set(m, &F::trafficClass, static_cast<uint8_t>(0x28 + off * 4), 0xfc)),
        ROW(v4, set(m, &F::ipVersion, 4); set(m, &F::hopLimit, V(uint8_t, 64))),
        ROW(v4, set(m, &F::ipVersion, 4); set(m, &F::ipFlags, V(uint8_t, 2), 7)),
        ROW(v6, set(m, &F::ipVersion, 6); set(m, &F::trafficClass, V(uint8_t, 0x28))),
        ROW(v6, set(m, &F::ipVersion, 6); set(m, &F::flowLabel, 0x12345u + static_cast<uint32_t>(off), 0xfffff)),
        ROW(v6, set(m, &F::ipVersion, 6); set(m, &F::hopLimit, V(uint8_t, 64))),
        ROW(v6, set(m, &F::ipVersion, 6);
            set(m, &F::sourceIp, {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, V(uint8_t, 2)})),
        ROW(v6, set(m, &F::ipVersion, 6);
            set(m, &F::destinationIp, {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, V(uint8_t, 3)})),
        ROW(v4, set(m, &F::protocol, V(uint8_t, 17))), ROW(v6, set(m, &F::protocol, V(uint8_t, 17))),
        ROW(v4, set(m, &F::protocol, 17); set(m, &F::sourcePort, V(uint16_t, 5000))),
        ROW(v4, set(m, &F::protocol, 17); set(m, &F::destinationPort, V(uint16_t, 2000))),
        ROW(v6, set(m, &F::protocol, 17); set(m, &F::destinationPort, V(uint16_t, 2000))),
        ROW(segment, set(m, &F::protocol, 6); set(m, &F::destinationPort, V(uint16_t, 2001))),
        ROW(segment, set(m, &F::protocol, 6); set(m, &F::tcpFlags, static_cast<uint8_t>(0x10 >> off), 0x10)),
        ROW(tunnel4, set(m, &F::protocol, 17); set(m, &F::destinationPort, 4789);
            set(m, &F::tunnelId, 0x123456u + static_cast<uint32_t>(off), 0xffffff)),
        INNER(tunnel4, set(m, &F::destinationMac, {2, 0, 0, 0, 0, V(uint8_t, 0x77)})),
        INNER(tunnel4, set(m, &F::sourceMac, {2, 0, 0, 0, 0, V(uint8_t, 9)})),
        INNER(tunnel4, set(m, &F::etherType, V(uint16_t, 0x0800))),
        INNER(tunnel4, set(m, &F::ipVersion, 4); set(m, &F::destinationIp, {10, 0, 0, V(uint8_t, 2)})),
        INNER(tunnel4, set(m, &F::ipVersion, 4); set(m, &F::protocol, V(uint8_t, 17))),
        INNER(tunnel4, set(m, &F::ipVersion, 4); set(m, &F::protocol, 17); set(m, &F::destinationPort, V(uint16_t, 6))),
        INNER(tunnel6, set(m, &F::ipVersion, 6); set(m, &F::protocol, 6); set(m, &F::sourcePort, V(uint16_t, 7))),
        INNER(tunnel6, set(m, &F::ipVersion, 6); set(m, &F::sourceIp, Bytes(15, 0x20) + Bytes{V(uint8_t, 0x20)})),
  };
  end.card.step();  // what came before is nobody's
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const int off : {0, 1}) {
      FlowRule rule;
      rule.qpn = end.qp->number;
      rows[i].apply(rows[i].inner ? rule.inner : rule.outer, off);
      const uint32_t number = end.card.flow(rule);
      const long before = received();
      const Bytes& frame = rows[i].frame;
      EQUAL(send(raw, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
      if (off == 0) CHECK(end.wait(kHereMac) == frame);
      EQUAL(end.card.nic.destroyFlow(number), 0);  // else a rule for all frames takes the marker, too
      marker->send("marker");
      CHECK(server.receive() == "marker");
      if (received() - before != 1 + off)
        failAt(__FILE__, __LINE__,
               "row " + std::to_string(i) + (off ? ", another value: " : ": ") + std::to_string(received() - before));
      end.card.step();
      CHECK(end.cq.poll() == nullptr);
    }
  }
  close(raw);
}
