// A NIC on soft0 (10.9.0.1), whose kernel must not see what rules took, and another kernel on soft1 (10.9.0.2) that
// talks to both of them. Run by tests/soft/interface.test.ts in a namespace of each test's own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "interface_end.h"
#include "wire/netlink.h"

using namespace soft;

namespace {

constexpr uint32_t kHere = 0x0a090001, kThere = 0x0a090002;
const Bytes kHereMac{2, 0, 0, 0, 0, 1}, kThereMac{2, 0, 0, 0, 0, 2};

sockaddr_in address(uint32_t host, uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  result.sin_addr.s_addr = htonl(host);
  return result;
}

// A socket of a kernel's.
class Socket {
 public:
  explicit Socket(int type) : descriptor(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    CHECK(descriptor >= 0);
    const timeval limit{10, 0};
    EQUAL(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  }
  ~Socket() { close(descriptor); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void listen(uint16_t port) {
    const sockaddr_in own = address(INADDR_ANY, port);
    EQUAL(bind(descriptor, reinterpret_cast<const sockaddr*>(&own), sizeof own), 0);
  }
  int connectTo(uint32_t host, uint16_t port) {
    const sockaddr_in to = address(host, port);
    return connect(descriptor, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ? 0 : errno;
  }
  void send(const std::string& text) {
    EQUAL(::send(descriptor, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  // The next datagram, or the errno in words.
  std::string receive(int flags = 0) {
    char text[2048];
    const ssize_t length = recv(descriptor, text, sizeof text, flags);
    return length < 0 ? strerror(errno) : std::string(text, static_cast<size_t>(length));
  }
  // How a connect(2) ended.
  std::string connected() {
    pollfd waiting{descriptor, POLLOUT, 0};
    EQUAL(poll(&waiting, 1, 10000), 1);
    int error = -1;
    socklen_t length = sizeof error;
    EQUAL(getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length), 0);
    return error == 0 ? "connected" : strerror(error);
  }

  int descriptor;
};

// The kernel at the other end: a network namespace of its own, which ends with this process.
class Peer {
 public:
  Peer() : home_(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
    EQUAL(unshare(CLONE_NEWNET), 0);
    there_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    EQUAL(setns(home_, CLONE_NEWNET), 0);
    shell("ip link set soft1 address 02:00:00:00:00:02 netns /proc/" + std::to_string(getpid()) + "/fd/" +
          std::to_string(there_));
    within([] {
      shell("echo 1 > /proc/sys/net/ipv6/conf/soft1/disable_ipv6");  // it would announce itself
      shell("ip addr add 10.9.0.2/24 dev soft1 && ip link set soft1 up");
    });
    shell("ip link set soft0 down && ip link set soft0 address 02:00:00:00:00:01 && ip link set soft0 up");
    shell("until ip link show soft0 | grep -q 'state UP'; do :; done");
    shell("ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev soft0");  // to which a reset or an ICMP would go
  }
  ~Peer() {
    close(there_);
    close(home_);
  }
  template <typename Work>
  void within(Work work) {
    EQUAL(setns(there_, CLONE_NEWNET), 0);
    work();
    EQUAL(setns(home_, CLONE_NEWNET), 0);
  }
  std::unique_ptr<Socket> socket(int type) {
    std::unique_ptr<Socket> made;
    within([&] { made = std::make_unique<Socket>(type); });
    return made;
  }

 private:
  int home_, there_ = -1;
};

// A counter of /proc/net/snmp, or of snmp6.
long counter(const std::string& group, const std::string& name) {
  std::ifstream file("/proc/net/snmp");
  std::string names, values, word;
  while (std::getline(file, names) && std::getline(file, values)) {
    std::istringstream name_(names), value(values);
    long number = 0;
    name_ >> word;
    if (word != group + ":") continue;
    value >> word;
    while (name_ >> word && value >> number) {
      if (word == name) return number;
    }
  }
  std::ifstream six("/proc/net/snmp6");
  long number = 0;
  while (six >> word >> number) {
    if (word == group + name) return number;
  }
  failAt(__FILE__, __LINE__, "no counter " + group + name);
  return 0;
}

// What this kernel sent in answer to what it should not have seen.
long answers() { return counter("Icmp", "OutDestUnreachs") + counter("Tcp", "OutRsts") + counter("Udp", "NoPorts"); }

// How many tables of nf_tables there are.
int tables() {
  NetlinkSocket nf;
  EQUAL(nf.open(NETLINK_NETFILTER), 0);
  nf.begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, NLM_F_DUMP);
  nf.fixed(nfgenmsg{NFPROTO_NETDEV, NFNETLINK_V0, 0});
  int count = 0, done = 0;
  nf.exchange([&](const nlmsghdr& message) {
    count += message.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE);
    done += message.nlmsg_type == NLMSG_DONE;
  });
  EQUAL(done, 1);
  return count;
}

FlowRule port(const End& end, uint8_t protocol, uint16_t number) {
  FlowRule rule;
  rule.qpn = end.qp->number;
  rule.outer.value.protocol = protocol;
  rule.outer.mask.protocol = 0xff;
  rule.outer.value.destinationPort = number;
  rule.outer.mask.destinationPort = 0xffff;
  return rule;
}

std::string payload(const Bytes& frame) { return std::string(frame.begin() + 42, frame.end()); }

// A frame of the kernel's back to it: addresses and ports change places, so that its checksums stay right.
Bytes turned(Bytes frame) {
  std::swap_ranges(frame.begin(), frame.begin() + 6, frame.begin() + 6);
  std::swap_ranges(frame.begin() + 26, frame.begin() + 30, frame.begin() + 30);
  std::swap_ranges(frame.begin() + 34, frame.begin() + 36, frame.begin() + 36);
  return frame;
}

}  // namespace

TEST(a_datagram_that_a_rule_took_comes_once_and_the_kernel_answers_nothing) {
  Peer peer;
  End end("soft0", false);
  end.card.flow(port(end, 17, 7777));
  const long before = answers();
  const auto client = peer.socket(SOCK_DGRAM);
  EQUAL(client->connectTo(kHere, 7777), 0);
  for (const char* text : {"one", "two"}) {
    client->send(text);
    const Bytes frame = end.wait(kHereMac);
    CHECK(payload(frame) == text);
    end.send(turned(frame));
    CHECK(client->receive() == text);  // and not that the port is unreachable
  }
  CHECK(end.cq.poll() == nullptr);
  EQUAL(answers(), before);
}

TEST(a_connection_that_a_rule_took_is_not_reset_by_the_kernel) {
  Peer peer;
  End end("soft0", false);
  end.card.flow(port(end, 6, 7777));
  const long before = answers();
  const auto client = peer.socket(SOCK_STREAM | SOCK_NONBLOCK);
  EQUAL(client->connectTo(kHere, 7777), EINPROGRESS);
  const Bytes syn = end.wait(kHereMac);
  EQUAL(syn[47], 2);
  CHECK(end.cq.poll() == nullptr);
  const uint32_t next = load32(&syn[38]) + 1;
  Bytes answer = tcp(7777, load16(&syn[34]), 1, 0x12, {});
  store32(&answer[8], next);
  const Bytes here{10, 9, 0, 1}, there{10, 9, 0, 2};
  store16(&answer[16], l4Sum(6, here, there, answer));
  Bytes frame = kThereMac + kHereMac + be16(0x0800) + ipv4(6, answer, here, there, true);
  end.send(frame);
  CHECK(client->connected() == "connected");
  EQUAL(answers(), before);
}

TEST(what_no_rule_took_reaches_the_kernel_once) {
  Peer peer;
  End end("soft0", false);
  end.card.flow(port(end, 17, 7777));
  FlowRule beside = port(end, 17, 8889);
  beside.dontTrap = true;
  end.card.flow(beside);
  FlowRule sniffer;
  sniffer.type = FlowType::sniffer;
  sniffer.qpn = end.qp->number;
  const uint32_t sniffing = end.card.flow(sniffer);
  for (const uint16_t number : {uint16_t{8888}, uint16_t{8889}}) {
    Socket server(SOCK_DGRAM);
    server.listen(number);
    const auto client = peer.socket(SOCK_DGRAM);
    EQUAL(client->connectTo(kHere, number), 0);
    for (const char* text : {"one", "two"}) {
      client->send(text);
      CHECK(payload(end.wait(kHereMac)) == text);
      if (number == 8889 && sniffing != 0) CHECK(payload(end.wait(kHereMac)) == text);  // the sniffer's and the rule's
      CHECK(server.receive() == text);
    }
    CHECK(server.receive(MSG_DONTWAIT) == strerror(EAGAIN));
  }
  EQUAL(end.card.nic.destroyFlow(sniffing), 0);
}

TEST(the_defaults_take_nothing_from_the_kernel) {
  Peer peer;
  End end("soft0", false);
  for (const FlowType type : {FlowType::allDefault, FlowType::multicastDefault}) {
    FlowRule rule;
    rule.type = type;
    rule.qpn = end.qp->number;
    const uint32_t number = end.card.flow(rule);
    EQUAL(tables(), 0);
    EQUAL(end.card.nic.destroyFlow(number), 0);
  }
}

TEST(a_rule_that_is_gone_takes_nothing) {
  Peer peer;
  End end("soft0", false);
  const uint32_t first = end.card.flow(port(end, 17, 7777));
  const uint32_t second = end.card.flow(port(end, 17, 7778));
  EQUAL(tables(), 1);
  EQUAL(end.card.nic.destroyFlow(first), 0);
  const auto client = peer.socket(SOCK_DGRAM);
  EQUAL(client->connectTo(kHere, 7777), 0);
  client->send("one");
  CHECK(client->receive() == strerror(ECONNREFUSED));
  const auto other = peer.socket(SOCK_DGRAM);
  EQUAL(other->connectTo(kHere, 7778), 0);
  other->send("two");
  CHECK(payload(end.wait(kHereMac)) == "two");
  EQUAL(end.card.nic.destroyFlow(second), 0);
  EQUAL(tables(), 0);
  end.card.flow(port(end, 17, 7779));
  EQUAL(tables(), 1);
  end.card.nic.fail();  // unplugged: whoever still has it open keeps nothing from the kernel
  EQUAL(tables(), 0);
}

TEST(without_the_capability_both_get_the_frames_and_it_is_told_once) {
  Peer peer;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2];
  EQUAL(syscall(SYS_capget, &header, sets), 0);
  sets[0].effective &= ~(1u << CAP_NET_ADMIN);
  EQUAL(syscall(SYS_capset, &header, sets), 0);
  End end("soft0", false);
  end.card.flow(port(end, 17, 7777));
  end.card.flow(port(end, 17, 7778));
  EQUAL(end.card.events.notices.size(), 1);
  CHECK(end.card.events.notices[0] ==
        "the kernel's own stack also gets, and may answer, the frames of queue pairs and flow rules: Operation not "
        "permitted (keeping them from it takes CAP_NET_ADMIN)");
  Socket server(SOCK_DGRAM);
  server.listen(7777);
  const auto client = peer.socket(SOCK_DGRAM);
  EQUAL(client->connectTo(kHere, 7777), 0);
  client->send("one");
  CHECK(payload(end.wait(kHereMac)) == "one");
  CHECK(server.receive() == "one");
}

// Two processes on one interface, each with a rule of its own; and what is left of one that was killed.
TEST(a_killed_process_leaves_nothing_behind) {
  Peer peer;
  int ready[2];
  EQUAL(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    End end("soft0", false);
    end.card.flow(port(end, 17, 7778));
    end.card.flow(port(end, 6, 7778));
    EQUAL(write(ready[1], "x", 1), 1);
    for (;;) pause();
  }
  char byte;
  EQUAL(read(ready[0], &byte, 1), 1);
  End end("soft0", false);
  end.card.flow(port(end, 17, 7777));
  EQUAL(tables(), 2);
  const auto one = peer.socket(SOCK_DGRAM), two = peer.socket(SOCK_DGRAM);
  EQUAL(one->connectTo(kHere, 7777), 0);
  EQUAL(two->connectTo(kHere, 7778), 0);
  const long before = answers();
  two->send("to the child");
  one->send("to us");
  CHECK(payload(end.wait(kHereMac)) == "to us");
  EQUAL(answers(), before);
  EQUAL(kill(child, SIGKILL), 0);
  EQUAL(waitpid(child, nullptr, 0), child);
  EQUAL(tables(), 1);
  two->send("to nobody");
  CHECK(two->receive() == strerror(ECONNREFUSED));
  const auto stream = peer.socket(SOCK_STREAM | SOCK_NONBLOCK);
  EQUAL(stream->connectTo(kHere, 7778), EINPROGRESS);
  CHECK(stream->connected() == strerror(ECONNREFUSED));
  one->send("still to us");
  CHECK(payload(end.wait(kHereMac)) == "still to us");
}

TEST(datagrams_of_the_rdma_engine_are_not_for_the_kernel) {
  Peer peer;
  End end("soft0", false);
  Gid gid{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 9, 0, 1};
  EQUAL(end.card.nic.setGid(1, 0, gid), 0);
  EQUAL(tables(), 0);
  const auto client = peer.socket(SOCK_DGRAM);
  EQUAL(client->connectTo(kHere, 4791), 0);
  client->send("one");
  CHECK(client->receive() == strerror(ECONNREFUSED));
  QueuePairAttributes attributes;
  attributes.type = QueuePairType::ud;
  attributes.pd = end.card.pd;
  attributes.sendCq = attributes.receiveCq = end.cq.number;
  auto ud = std::make_unique<Qp>(end.card.nic, attributes, 16u, 16u, 6u);
  EQUAL(tables(), 1);
  const long before = answers();
  client->send("two");
  // Behind it comes what the kernel does see.
  Socket server(SOCK_DGRAM);
  server.listen(8888);
  const auto other = peer.socket(SOCK_DGRAM);
  EQUAL(other->connectTo(kHere, 8888), 0);
  other->send("three");
  CHECK(server.receive() == "three");
  EQUAL(answers(), before);
  EQUAL(end.card.nic.destroyQueuePair(ud->number), 0);
  EQUAL(tables(), 0);
}

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
