// UC and UD: their guarantees, and the errors that they leave to their users.
#include "peers.h"

using namespace soft;

namespace {

PeersOptions of(QueuePairType type) {
  PeersOptions options;
  options.type = type;
  return options;
}

}  // namespace

TEST(uc_sends_and_writes_without_answers) {
  Peers peers(of(QueuePairType::uc));
  const Bytes data = pattern(5000);
  peers.b.qp->receive({peers.b.memory.sge(0, 8192)});
  peers.b.qp->receive({});
  peers.a.qp->write(immediate(Wqe(MLX5_OPCODE_SEND_IMM).data(peers.a.put(data)), 0xabcd));
  peers.a.qp->write(immediate(
      remote(MLX5_OPCODE_RDMA_WRITE_IMM, peers.b.at(10000), peers.b.memory.key).data(peers.a.put(data)), 0xef01));
  peers.a.qp->write(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(20000), peers.b.memory.key).data(peers.a.put(data)));
  peers.a.qp->ring();
  peers.settle();
  for (uint16_t i = 0; i < 3; ++i) peers.sent(peers.a, i);
  const uint8_t* first = peers.next(peers.b.receiveCq);
  EQUAL(cqeOpcode(first), MLX5_CQE_RESP_SEND_IMM);
  EQUAL(byteCount(first), 5000);
  HEX(first + 36, 4, "0000abcd");
  const uint8_t* second = peers.next(peers.b.receiveCq);
  EQUAL(cqeOpcode(second), MLX5_CQE_RESP_WR_IMM);
  for (const size_t at : {0, 10000, 20000}) CHECK(peers.b.bytes(at, 5000) == data);
  CHECK(peers.operations(1).empty());
  EQUAL(peers.wire->seen[0].frame[kBth] >> 5, 1);
}

TEST(uc_loses_the_message_that_lost_a_packet_and_no_other) {
  for (const int lost : {0, 2, 4}) {  // the first, a middle, the last of five
    Peers peers(of(QueuePairType::uc));
    for (int i = 0; i < 3; ++i) peers.b.qp->receive({peers.b.memory.sge(static_cast<size_t>(i) * 8192, 8192)});
    int count = 0;
    peers.wire->script = [&](int, const Bytes&) {
      return count++ == 5 + lost ? ScriptedWire::Fate::drop : ScriptedWire::Fate::deliver;
    };
    for (int i = 0; i < 3; ++i) {
      peers.a.qp->write(Wqe(MLX5_OPCODE_SEND)
                            .data(peers.a.put(pattern(5000, static_cast<uint8_t>(i)), static_cast<size_t>(i) * 8192)));
    }
    peers.a.qp->ring();
    peers.settle();
    for (uint16_t i = 0; i < 3; ++i) peers.sent(peers.a, i);  // the sender does not know
    // The second receive, half filled perhaps, takes the third message.
    EQUAL(wqeCounter(peers.next(peers.b.receiveCq)), 0);
    EQUAL(wqeCounter(peers.next(peers.b.receiveCq)), 1);
    peers.silent(peers.b.receiveCq);
    CHECK(peers.b.bytes(0, 5000) == pattern(5000, 0));
    CHECK(peers.b.bytes(8192, 5000) == pattern(5000, 2));
  }
}

TEST(uc_drops_what_it_may_not_write_and_has_no_reads) {
  Peers peers(of(QueuePairType::uc));
  peers.a.qp->write(
      remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(0), peers.b.memory.key ^ 1).data(peers.a.put(pattern(8))));
  peers.a.qp->write(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(64), peers.b.memory.key).data(peers.a.put(pattern(8))));
  peers.a.qp->ring();
  peers.sent(peers.a, 0);
  peers.sent(peers.a, 1);
  peers.settle();
  EQUAL(*peers.b.at(0), 0);
  CHECK(peers.b.bytes(64, 8) == pattern(8));
  CHECK(peers.b.qp->state() == QueuePairState::rts);
  peers.a.qp->write(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key).data(peers.a.memory.sge(0, 8)));
  peers.a.qp->write(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.a.qp->ring();
  peers.failed(peers.a, 2, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  peers.failed(peers.a, 3, MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  CHECK(peers.a.qp->state() == QueuePairState::sqe);
  // Its receive half works on, and RTS is one step away.
  peers.a.qp->receive({peers.a.memory.sge(4096, 64)});
  peers.b.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8, 9)));
  EQUAL(cqeOpcode(peers.next(peers.a.receiveCq)), MLX5_CQE_RESP_SEND);
  CHECK(peers.a.bytes(4096, 8) == pattern(8, 9));
  EQUAL(peers.a.qp->modify(QueuePairState::rts), 0);
  peers.b.qp->receive({peers.b.memory.sge(128, 64)});
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8, 3)));
  peers.sent(peers.a, 4);
  peers.settle();
  CHECK(peers.b.bytes(128, 8) == pattern(8, 3));
}

TEST(a_datagram_has_its_headers_in_front) {
  Peers peers(of(QueuePairType::ud));
  const Bytes data = pattern(100);
  peers.b.qp->receive({peers.b.memory.sge(0, 40), peers.b.memory.sge(100, 1000)});
  peers.a.qp->send(immediate(datagram(MLX5_OPCODE_SEND_IMM, mapped(2), macOf(2), peers.b.qp->number, kQkey), 0x51525354)
                       .inlined(data));
  peers.sent(peers.a, 0);
  const uint8_t* got = peers.next(peers.b.receiveCq);
  EQUAL(cqeOpcode(got), MLX5_CQE_RESP_SEND_IMM);
  EQUAL(byteCount(got), 140);
  HEX(got + 24, 4, "12000040");  // a global routing header, of IPv4 (MLX5_CQE_ROCE_L3_HEADER_TYPE_IPV4); the sender
  HEX(got + 36, 4, "51525354");
  // IPv4 in the last 20 of 40 bytes: traffic class 0x20, hop limit 7.
  HEX(peers.b.at(0), 20, std::string(40, '0'));
  HEX(peers.b.at(20), 10, "4520" "009c" "0000" "4000" "0711");
  HEX(peers.b.at(32), 8, "0a000001" "0a000002");
  CHECK(peers.b.bytes(100, 100) == data);
  // BTH of a UD send only with immediate data, DETH, ImmDt.
  const Bytes& frame = peers.wire->seen[0].frame;
  HEX(&frame[34], 4, "c123" "12b7");
  HEX(&frame[kBth], 24, "65" "40" "ffff" "00" "000041" "00" "fffffd" "01234567" "00000040" "51525354");

  peers.b.qp->receive({peers.b.memory.sge(0, 1000)});
  peers.a.qp->send(datagram(MLX5_OPCODE_SEND, linkLocal(2), macOf(2), peers.b.qp->number, kQkey, 1).inlined(data));
  const uint8_t* second = peers.next(peers.b.receiveCq);
  EQUAL(byteCount(second), 140);
  HEX(second + 24, 4, "11000040");  // of IPv6
  HEX(peers.b.at(0), 8, "62000000" "0084" "1107");
  BYTES(peers.b.at(8), linkLocal(1).data(), 16);
  BYTES(peers.b.at(24), linkLocal(2).data(), 16);
  CHECK(peers.b.bytes(40, 100) == data);
}

TEST(datagrams_without_the_key_or_without_a_receive_are_dropped) {
  Peers peers(of(QueuePairType::ud));
  peers.a.qp->write(datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), peers.b.qp->number, kQkey).inlined(pattern(8)));
  peers.a.qp->ring();
  peers.sent(peers.a, 0);
  peers.settle();
  EQUAL(peers.card.counters(2).receiveNoBuffer, 1);
  peers.b.qp->receive({peers.b.memory.sge(0, 1000)});
  peers.a.qp->write(datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), peers.b.qp->number, kQkey + 1).inlined(pattern(8)));
  peers.a.qp->write(datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), 0x999, kQkey).inlined(pattern(8)));
  peers.a.qp->write(datagram(MLX5_OPCODE_SEND, mapped(7), macOf(2), peers.b.qp->number, kQkey).inlined(pattern(8)));
  // A controlled key: the queue pair's own is used, which is b's too.
  peers.a.qp->write(
      datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), peers.b.qp->number, 0x80000000).inlined(pattern(16)));
  peers.a.qp->ring();
  for (uint16_t i = 0; i < 4; ++i) peers.sent(peers.a, static_cast<uint16_t>(2 + 2 * i));
  EQUAL(byteCount(peers.next(peers.b.receiveCq)), 56);
  peers.silent(peers.b.receiveCq);
}

TEST(a_datagram_too_long_for_its_receive_or_for_the_port) {
  Peers peers(of(QueuePairType::ud));
  peers.b.qp->receive({peers.b.memory.sge(0, 47)});
  peers.a.qp->send(datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), peers.b.qp->number, kQkey).inlined(pattern(8)));
  peers.sent(peers.a, 0);
  peers.settle();
  peers.silent(peers.b.receiveCq);
  for (uint32_t i = 0; i < 64; ++i) EQUAL(*peers.b.at(i), 0);
  CHECK(peers.b.qp->state() == QueuePairState::rts);
  EQUAL(peers.card.counters(2).receiveTooLong, 1);
  peers.a.qp->send(datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), peers.b.qp->number, kQkey).inlined(pattern(7)));
  peers.sent(peers.a, 2);
  const uint8_t* cqe = peers.next(peers.b.receiveCq);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_SEND);
  EQUAL(wqeCounter(cqe), 0);
  EQUAL(byteCount(cqe), 47);

  peers.a.qp->send(
      datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), peers.b.qp->number, kQkey).data(peers.a.put(pattern(4097))));
  peers.failed(peers.a, 4, MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR);
  CHECK(peers.a.qp->state() == QueuePairState::sqe);
}

TEST(malformed_datagram_wqes) {
  const auto fails = [](const Wqe& wqe) {
    Peers peers(of(QueuePairType::ud));
    peers.a.qp->send(wqe);
    peers.failed(peers.a, 0, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
    CHECK(peers.wire->seen.empty());
  };
  fails(Wqe(MLX5_OPCODE_SEND));
  fails(Wqe(MLX5_OPCODE_RDMA_WRITE));
  fails(datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), 0x41, kQkey, 5));  // no such GID
}

// Which header, which MAC, which members: one lookup, with the same answer for attaching and for sending.
TEST(a_group_of_either_family) {
  struct Row {
    Gid group;
    uint8_t gidIndex;  // of the sender's GID of that family
    const char* frame;
  };
  const Row rows[] = {
      // 239.129.2.3: the low 23 bits (RFC 1112); IPv4 from 10.0.0.1.
      {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 239, 129, 2, 3},
       0,
       "01005e010203"
       "0800"
       "0a000001"
       "ef810203"},
      // ff0e::ffff:239.129.2.3 is no IPv4 group: the last four bytes (RFC 2464).
      {{0xff, 0x0e, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 239, 129, 2, 3},
       1,
       "3333ef810203"
       "86dd"
       "fe800000000000000000"
       "00fffe000001"
       "ff0e0000000000000000"
       "ffffef810203"},
      {{0xff, 0x0e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34},
       1,
       "333300001234"
       "86dd"
       "fe800000000000000000"
       "00fffe000001"
       "ff0e0000000000000000"
       "000000001234"},
  };
  for (const Row& row : rows) {
    Peers peers(of(QueuePairType::ud));
    const bool ipv4 = row.gidIndex == 0;
    EQUAL(peers.card.nic.attachMulticast(peers.b.qp->number, row.group), 0);
    EQUAL(peers.card.nic.attachMulticast(peers.b.qp->number, row.group), 0);  // attached twice, detached once
    peers.b.qp->receive({peers.b.memory.sge(0, 1000)});
    peers.a.qp->send(datagram(MLX5_OPCODE_SEND, row.group, {}, 0xffffff, kQkey, row.gidIndex).inlined(pattern(20)));
    peers.sent(peers.a, 0);
    EQUAL(byteCount(peers.next(peers.b.receiveCq)), 60);
    CHECK(peers.b.bytes(40, 20) == pattern(20));
    const Bytes& frame = peers.wire->seen[0].frame;
    const size_t addresses = ipv4 ? 26 : 22;
    Bytes shown(frame.begin(), frame.begin() + 6);
    shown.insert(shown.end(), frame.begin() + 12, frame.begin() + 14);
    shown.insert(shown.end(), frame.begin() + static_cast<long>(addresses),
                 frame.begin() + static_cast<long>(addresses + (ipv4 ? 8 : 32)));
    HEX(shown.data(), shown.size(), row.frame);
    // With the other family's header it would be another group's datagram, or without a member.
    peers.a.qp->send(datagram(MLX5_OPCODE_SEND, row.group, {}, 0xffffff, kQkey, static_cast<uint8_t>(1 - row.gidIndex))
                         .inlined(pattern(20)));
    peers.failed(peers.a, 2, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
    EQUAL(peers.wire->seen.size(), 1);
    EQUAL(peers.card.nic.detachMulticast(peers.b.qp->number, row.group), 0);
    EQUAL(peers.card.nic.detachMulticast(peers.b.qp->number, row.group), EINVAL);
  }
}

TEST(what_is_no_group_cannot_be_attached) {
  Peers peers(of(QueuePairType::ud));
  const Gid none[] = {mapped(1),
                      linkLocal(1),
                      {},
                      {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 239, 1, 2, 3},
                      {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 223, 255, 255, 255},
                      {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 240, 0, 0, 0}};
  for (const Gid& gid : none) EQUAL(peers.card.nic.attachMulticast(peers.b.qp->number, gid), EINVAL);
  // As many groups, and members of one, as ibv_query_device(3) announces.
  Gid group{0xff, 0x0e};
  for (int i = 0; i < 1024; ++i) {
    store16(&group[14], static_cast<uint16_t>(i));
    EQUAL(peers.card.nic.attachMulticast(peers.b.qp->number, group), 0);
  }
  EQUAL(peers.card.nic.attachMulticast(peers.a.qp->number, group), 0);
  group[2] = 1;
  EQUAL(peers.card.nic.attachMulticast(peers.a.qp->number, group), ENOMEM);
  group[2] = 0;
  std::vector<std::unique_ptr<Qp>> members;
  for (int i = 2; i < 240; ++i) {
    members.push_back(peers.create(peers.a, 0));
    EQUAL(peers.card.nic.attachMulticast(members.back()->number, group), 0);
  }
  members.push_back(peers.create(peers.a, 0));
  EQUAL(peers.card.nic.attachMulticast(members.back()->number, group), ENOMEM);
}

TEST(a_group_gets_one_copy_each) {
  Peers peers(of(QueuePairType::ud));
  const Gid group{0xff, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34};
  auto second = peers.create(peers.b, 0);
  auto third = peers.create(peers.b, 0);
  for (Qp* qp : {second.get(), third.get()}) peers.bringUp(*qp, 2, 0);
  EQUAL(peers.card.nic.attachMulticast(peers.b.qp->number, group), 0);
  EQUAL(peers.card.nic.attachMulticast(second->number, group), 0);
  peers.b.qp->receive({peers.b.memory.sge(0, 1000)});
  second->receive({peers.b.memory.sge(1000, 1000)});
  third->receive({peers.b.memory.sge(2000, 1000)});
  const Wqe wqe = datagram(MLX5_OPCODE_SEND, group, {}, 0xffffff, kQkey, 1).inlined(pattern(20));
  peers.a.qp->send(wqe);
  peers.settle();
  HEX(&peers.wire->seen[0].frame[0], 6, "333300001234");  // RFC 2464
  CHECK(peers.b.receiveCq.poll() != nullptr && peers.b.receiveCq.poll() != nullptr);
  peers.silent(peers.b.receiveCq);
  CHECK(peers.b.bytes(40, 20) == pattern(20) && peers.b.bytes(1040, 20) == pattern(20));
  EQUAL(*peers.b.at(2040), 0);
  // A member at the sender's own port, even the sender itself.
  EQUAL(peers.card.nic.attachMulticast(peers.a.qp->number, group), 0);
  peers.a.qp->receive({peers.a.memory.sge(0, 1000)});
  peers.a.qp->send(wqe);
  peers.settle();
  EQUAL(byteCount(peers.a.receiveCq.poll()), 60);
  peers.silent(peers.a.receiveCq);
  CHECK(peers.a.bytes(40, 20) == pattern(20));
  EQUAL(peers.card.nic.detachMulticast(second->number, group), 0);
}
