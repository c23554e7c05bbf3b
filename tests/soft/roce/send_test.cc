// RC: sends, writes, reads and atomic operations over a wire that loses nothing.
#include "peers.h"

using namespace soft;

TEST(a_send_its_acknowledgement_and_both_completions_byte_by_byte) {
  Peers peers;
  const Bytes data = pattern(5);
  peers.b.qp->receive({peers.b.memory.sge(100, 64)});
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(data)));
  peers.settle();
  CHECK(peers.b.bytes(100, 5) == data);

  EQUAL(peers.wire->seen.size(), 2);
  const Bytes& request = peers.wire->seen[0].frame;
  // Ethernet, IPv4 (traffic class 0x60, hop limit 3), UDP from a port of the flow label 0x12345, BTH: SEND_ONLY, 3
  // bytes of padding and the migrated bit, default partition, queue pair 0x41, acknowledge, PSN; the payload, padding.
  HEX(request.data(), 14, "020000000002" "020000000001" "0800");
  HEX(&request[14], 10, "4560" "0034" "0000" "4000" "0311");
  HEX(&request[26], 8, "0a000001" "0a000002");
  EQUAL(slowSum(Bytes(&request[14], &request[34])), 0);
  HEX(&request[34], 8, "e341" "12b7" "0020" "0000");
  HEX(&request[42], 12, "04" "70" "ffff" "00" "000041" "80" "fffffd");
  HEX(&request[54], 8, "01080f161d" "000000");
  EQUAL(request.size(), 66);
  // ACKNOWLEDGE to 0x40, PSN, AETH: no credits, MSN 1.
  const Bytes& answer = peers.wire->seen[1].frame;
  HEX(&answer[42], 16, "11" "40" "ffff" "00" "000040" "00" "fffffd" "1f" "000001");

  const uint8_t* sent = peers.a.sendCq.poll();
  CHECK(sent != nullptr);
  HEX(sent + 32, 4, "0000abcd");
  HEX(sent + 56, 8, "0a000040" "0000" "00" "00");
  const uint8_t* got = peers.b.receiveCq.poll();
  CHECK(got != nullptr);
  HEX(got + 24, 4, "00000040");  // flags_rqpn: the source
  HEX(got + 32, 16, "0000abcd" "00000000" "00000000" "00000005");           // uidx, immediate, byte count
  HEX(got + 56, 8, "00000041" "0000" "00" "20");
  peers.silent(peers.a.sendCq);
  peers.silent(peers.b.receiveCq);
}

TEST(messages_of_every_size_around_the_path_mtu_arrive_whole) {
  for (const uint32_t mtu : {256u, 1024u, 4096u}) {
    PeersOptions options;
    options.mtu = mtu;
    Peers peers(options);
    uint16_t index = 0;
    for (const uint32_t size : {0u, 1u, 2u, 3u, 4u, mtu - 1, mtu, mtu + 1, 2 * mtu, 3 * mtu + 7, 70000u}) {
      const Bytes data = pattern(size, static_cast<uint8_t>(size));
      peers.b.qp->receive({peers.b.memory.sge(0, 100000)});
      Wqe wqe(MLX5_OPCODE_SEND);
      if (size != 0) wqe.data(peers.a.put(data));
      peers.wire->seen.clear();
      peers.a.qp->send(wqe);
      const uint8_t* got = peers.next(peers.b.receiveCq);
      EQUAL(cqeOpcode(got), MLX5_CQE_RESP_SEND);
      EQUAL(byteCount(got), size);
      CHECK(peers.b.bytes(0, size) == data);
      peers.sent(peers.a, index++);
      EQUAL(peers.operations(0).size(), size == 0 ? 1 : (size + mtu - 1) / mtu);
    }
  }
}

TEST(elements_and_inline_data_are_gathered_and_scattered) {
  Peers peers;
  const Bytes data = pattern(3000);
  const Sge sge = peers.a.put(data);
  peers.b.qp->receive({peers.b.memory.sge(0, 1), peers.b.memory.sge(100, 2000), peers.b.memory.sge(3000, 4000)});
  Wqe wqe(MLX5_OPCODE_SEND);
  wqe.data({sge.at, 7, sge.key}).inlined(Bytes(data.begin() + 7, data.begin() + 40)).data({sge.at + 40, 2960, sge.key});
  peers.a.qp->send(wqe);
  peers.settle();
  EQUAL(byteCount(peers.b.receiveCq.poll()), 3000);
  CHECK(peers.b.bytes(0, 1) + peers.b.bytes(100, 2000) + peers.b.bytes(3000, 999) == data);
}

TEST(immediate_data_and_the_solicited_event) {
  Peers peers;
  peers.b.qp->receive({peers.b.memory.sge(0, 64)});
  peers.b.qp->receive({peers.b.memory.sge(0, 64)});
  peers.b.receiveCq.arm(0, true);
  peers.a.qp->send(immediate(Wqe(MLX5_OPCODE_SEND_IMM).inlined(pattern(9)), 0xcafe0001));
  peers.settle();
  const uint8_t* got = peers.b.receiveCq.poll();
  EQUAL(cqeOpcode(got), MLX5_CQE_RESP_SEND_IMM);
  HEX(got + 36, 4, "cafe0001");
  CHECK(peers.card.events.completions.empty());
  peers.a.qp->send(
      immediate(Wqe(MLX5_OPCODE_SEND_IMM, MLX5_WQE_CTRL_CQ_UPDATE | MLX5_WQE_CTRL_SOLICITED).inlined(pattern(9)), 7));
  peers.settle();
  EQUAL(peers.card.events.completions.size(), 1);
  EQUAL(peers.card.events.completions[0], peers.b.receiveCq.number);
}

TEST(a_write_needs_no_receive_and_with_immediate_takes_one) {
  Peers peers;
  const Bytes data = pattern(2500);
  peers.a.qp->send(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(77), peers.b.memory.key).data(peers.a.put(data)));
  peers.sent(peers.a, 0);
  CHECK(peers.b.bytes(77, 2500) == data);
  CHECK(peers.operations(0) == (std::vector<int>{kWriteFirst, kWriteMiddle, kWriteLast}));
  peers.silent(peers.b.receiveCq);

  peers.b.qp->receive({});
  peers.a.qp->send(immediate(
      remote(MLX5_OPCODE_RDMA_WRITE_IMM, peers.b.at(5000), peers.b.memory.key).data(peers.a.put(data)), 0x01020304));
  peers.sent(peers.a, 1);
  const uint8_t* got = peers.next(peers.b.receiveCq);
  EQUAL(cqeOpcode(got), MLX5_CQE_RESP_WR_IMM);
  EQUAL(byteCount(got), 2500);
  HEX(got + 36, 4, "01020304");
  CHECK(peers.b.bytes(5000, 2500) == data);
}

TEST(an_empty_write_and_an_empty_read_need_no_key) {
  Peers peers;
  peers.a.qp->write(remote(MLX5_OPCODE_RDMA_WRITE, nullptr, 0));
  peers.a.qp->write(remote(MLX5_OPCODE_RDMA_READ, nullptr, 0));
  peers.a.qp->ring();
  peers.sent(peers.a, 0);
  peers.sent(peers.a, 1);
}

TEST(reads_of_many_packets_and_many_at_once) {
  Peers peers;
  const Bytes data = pattern(60000);
  std::copy(data.begin(), data.end(), peers.b.memory.bytes.begin());
  for (uint32_t i = 0; i < 10; ++i) {  // four may be outstanding
    peers.a.qp->write(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(i * 6000), peers.b.memory.key)
                          .data(peers.a.memory.sge(i * 6000, 1))
                          .data(peers.a.memory.sge(i * 6000 + 1, 5999)));
  }
  peers.a.qp->ring();
  for (uint16_t i = 0; i < 10; ++i) {
    const uint8_t* cqe = peers.next(peers.a.sendCq);
    EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ);
    EQUAL(byteCount(cqe), 6000);
    EQUAL(load32(cqe + 56) >> 24, MLX5_OPCODE_RDMA_READ);
  }
  CHECK(peers.a.bytes(0, 60000) == data);
}

TEST(no_more_reads_are_outstanding_than_agreed) {
  PeersOptions options;
  options.maxReads = 2;
  Peers peers(options);
  int outstanding = 0, most = 0;
  peers.wire->script = [&](int from, const Bytes& frame) {
    if (from == 0 && operationOf(frame) == kReadRequest) most = std::max(most, ++outstanding);
    if (from == 1 && operationOf(frame) == kReadResponseOnly) --outstanding;
    return ScriptedWire::Fate::deliver;
  };
  for (uint32_t i = 0; i < 8; ++i) {
    peers.a.qp->write(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key).data(peers.a.memory.sge(0, 8)));
  }
  peers.a.qp->ring();
  for (uint16_t i = 0; i < 8; ++i) peers.sent(peers.a, i);
  EQUAL(most, 2);
}

TEST(compare_and_swap_and_fetch_and_add) {
  Peers peers;
  const uint64_t initial = 0x1122334455667788;
  std::memcpy(peers.b.at(8), &initial, 8);
  const auto value = [&](Side& side, size_t offset) {
    uint64_t result;
    std::memcpy(&result, side.at(offset), 8);
    return result;
  };
  peers.a.qp->send(atomic(MLX5_OPCODE_ATOMIC_FA, peers.b.at(8), peers.b.memory.key, 5).data(peers.a.memory.sge(0, 8)));
  peers.sent(peers.a, 0);
  EQUAL(value(peers.a, 0), initial);
  EQUAL(value(peers.b, 8), initial + 5);
  peers.a.qp->send(
      atomic(MLX5_OPCODE_ATOMIC_CS, peers.b.at(8), peers.b.memory.key, 99, initial).data(peers.a.memory.sge(16, 8)));
  peers.sent(peers.a, 1);  // differs: memory stays, and the response holds its value
  EQUAL(value(peers.a, 16), initial + 5);
  EQUAL(value(peers.b, 8), initial + 5);
  peers.a.qp->send(atomic(MLX5_OPCODE_ATOMIC_CS, peers.b.at(8), peers.b.memory.key, 99, initial + 5)
                       .data(peers.a.memory.sge(24, 8)));
  peers.sent(peers.a, 2);
  EQUAL(value(peers.a, 24), initial + 5);
  EQUAL(value(peers.b, 8), 99);
}

TEST(unsignaled_work_completes_in_silence_and_in_order) {
  Peers peers;
  const Sge sge = peers.a.put(pattern(100));
  for (int i = 0; i < 3; ++i) peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
  peers.a.qp->write(Wqe(MLX5_OPCODE_SEND, 0).data(sge));
  peers.a.qp->write(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key, 0).data(peers.a.memory.sge(0, 8)));
  peers.a.qp->write(Wqe(MLX5_OPCODE_SEND, 0).data(sge).data(sge).data(sge).data(sge));  // two blocks
  peers.a.qp->write(Wqe(MLX5_OPCODE_SEND).data(sge));
  peers.a.qp->ring();
  peers.sent(peers.a, 4);
  peers.silent(peers.a.sendCq);
}

TEST(a_fenced_send_waits_for_the_reads_before_it) {
  Peers peers;
  peers.b.qp->receive({peers.b.memory.sge(5000, 64)});
  const uint64_t value = 0xfeedface;
  std::memcpy(peers.b.at(0), &value, 8);
  // The fenced send carries the bytes that the read fetches.
  peers.a.qp->write(remote(MLX5_OPCODE_RDMA_READ, peers.b.at(0), peers.b.memory.key).data(peers.a.memory.sge(0, 8)));
  peers.a.qp->write(
      Wqe(MLX5_OPCODE_SEND, MLX5_WQE_CTRL_CQ_UPDATE | MLX5_WQE_CTRL_FENCE).data(peers.a.memory.sge(0, 8)));
  peers.a.qp->ring();
  peers.sent(peers.a, 0);
  peers.sent(peers.a, 1);
  BYTES(peers.b.at(5000), reinterpret_cast<const uint8_t*>(&value), 8);
}

TEST(over_ipv6_and_between_queue_pairs_of_one_port) {
  PeersOptions options;
  options.ipv6 = true;
  Peers peers(options);
  const Bytes data = pattern(3000);
  peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
  peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(data)));
  peers.sent(peers.a, 0);
  CHECK(peers.b.bytes(0, 3000) == data);
  const Bytes& frame = peers.wire->seen[0].frame;
  HEX(&frame[12], 10, "86dd" "66012345" "0418" "1103");

  Peers loop;
  auto other = loop.create(loop.b, 0);
  auto own = loop.create(loop.a, 0);
  loop.bringUp(*own, 1, other->number, 1);
  loop.bringUp(*other, 1, own->number, 1);
  other->receive({loop.b.memory.sge(0, 4096)});
  own->send(Wqe(MLX5_OPCODE_SEND).data(loop.a.put(data)));
  loop.sent(loop.a, 0);
  CHECK(loop.b.bytes(0, 3000) == data);
  EQUAL(loop.wire->seen.size(), 0);  // the message never left the NIC
}
