// A NIC on soft0, whose kernel must not see what rules took, and another kernel on soft1 that talks to both of them
// (interface_peer.h). Run by tests/soft/interface.test.ts in a namespace of each test's own.
#include <linux/capability.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "interface_peer.h"
#include "wire/netlink.h"

using namespace soft;

namespace {

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
