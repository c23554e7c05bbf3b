// Offloads: checksums computed and checked, segmentation.
#include "frames.h"
#include "nic/checksum.h"

using namespace soft;

namespace {

constexpr uint8_t kL3Ok = MLX5_CQE_L3_OK, kL4Ok = MLX5_CQE_L4_OK, kL2Ok = MLX5_CQE_L2_OK;

int ok(const uint8_t* cqe) { return cqe[28]; }
int l3Type(const uint8_t* cqe) { return cqe[29] >> 2 & 3; }
int l4Type(const uint8_t* cqe) { return cqe[29] >> 4 & 7; }

Bytes goodUdp(size_t size) {
  const Bytes payload = pattern(size);
  return ethernet(
      0x0800, ipv4(17, udp(1000, 2000, payload, l4Sum(17, kFrom, kTo, udp(1000, 2000, payload))), kFrom, kTo, true));
}

}  // namespace

TEST(a_sum_is_that_of_its_words_wherever_it_begins_and_ends) {
  Bytes bytes(2200);
  uint32_t random = 1;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>((random = random * 1664525 + 1013904223) >> 24);
  std::fill(bytes.begin() + 300, bytes.begin() + 900, 0xff);  // as many carries as there can be
  for (size_t from = 0; from < 70; ++from) {
    uint64_t words = 0;
    for (size_t length = 0; length < 2100; ++length) {
      // Of an odd number the last byte counts as the first of a word (RFC 1071, section 1: padded with a zero).
      const uint64_t sum = words + (length % 2 != 0 ? uint64_t{bytes[from + length - 1]} : 0);
      EQUAL(checksumFold(checksumAdd(&bytes[from], length)), checksumFold(sum));
      if (length % 2 != 0) words += uint64_t{bytes[from + length]} << 8 | bytes[from + length - 1];
    }
  }
}

TEST(udp_over_ipv4_checksums_are_computed) {
  for (const size_t size : {1, 22, 23, 1000, 1471}) {
    Loop loop;
    const Bytes frame = ethernet(0x0800, ipv4(17, udp(1000, 2000, pattern(size), 0xdead)));
    CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth(0xc0).data(loop.put(frame))) == goodUdp(size));
    EQUAL(ok(loop.last), kL2Ok | kL3Ok | kL4Ok);
    EQUAL(l3Type(loop.last), MLX5_CQE_L3_HDR_TYPE_IPV4);
    EQUAL(l4Type(loop.last), 2);
  }
}

TEST(without_the_flags_nothing_is_touched_and_the_receiver_sees_bad_checksums) {
  Loop loop;
  const Bytes frame = ethernet(0x0800, ipv4(17, udp(1000, 2000, pattern(100), 0xdead)));
  CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth(0).data(loop.put(frame))) == frame);
  EQUAL(ok(loop.last), kL2Ok);
  CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth(MLX5_ETH_WQE_L3_CSUM).data(loop.put(frame))).size() == frame.size());
  EQUAL(ok(loop.last), kL2Ok | kL3Ok);
  EQUAL(loop.card.counters().receiveChecksumBad, 2);
}

TEST(tcp_over_ipv6_checksums_are_computed_behind_extension_headers_and_tags) {
  Loop loop;
  const Bytes from(16, 0x20), to(16, 0x30), payload = pattern(333);
  const Bytes options{6, 0, 1, 4, 0, 0, 0, 0};  // hop-by-hop, then TCP
  const uint16_t sum = l4Sum(6, from, to, tcp(1, 2, 3, 0x10, payload));
  const Bytes frame = tagged(5, 0x86dd, ipv6(0, options + tcp(1, 2, 3, 0x10, payload, 0xdead), from, to));
  const Bytes good = tagged(5, 0x86dd, ipv6(0, options + tcp(1, 2, 3, 0x10, payload, sum), from, to));
  CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth(0xc0).data(loop.put(frame))) == good);
  EQUAL(ok(loop.last), kL2Ok | kL3Ok | kL4Ok);
  EQUAL(l3Type(loop.last), MLX5_CQE_L3_HDR_TYPE_IPV6);
  EQUAL(l4Type(loop.last), 4);  // ACK and data
}

TEST(every_single_bit_error_is_seen) {
  Loop loop;
  const Bytes good = goodUdp(20);
  for (size_t byte = 14; byte < good.size(); ++byte) {
    if (byte == 14 || byte == 16 || byte == 17 || byte == 20 || byte == 21 || byte == 23 || byte == 38 || byte == 39) {
      continue;  // version, lengths, fragment and protocol: then it is another packet
    }
    Bytes bad = good;
    bad[byte] ^= 0x10;
    loop.round(Wqe(MLX5_OPCODE_SEND).eth(0).data(loop.put(bad)));
    const bool header = byte < 34;
    CHECK(((ok(loop.last) & kL3Ok) == 0) == header);
    const bool covered = byte >= 34 || byte >= 26;  // addresses are in the pseudo header
    CHECK(((ok(loop.last) & kL4Ok) == 0) == covered);
  }
}

TEST(udp_without_a_checksum_counts_as_good_and_other_protocols_as_unknown) {
  Loop loop;
  loop.round(
      Wqe(MLX5_OPCODE_SEND).eth(0).data(loop.put(ethernet(0x0800, ipv4(17, udp(1, 2, pattern(9)), kFrom, kTo, true)))));
  EQUAL(ok(loop.last), kL2Ok | kL3Ok | kL4Ok);
  loop.round(Wqe(MLX5_OPCODE_SEND).eth(0).data(loop.put(ethernet(0x0800, ipv4(1, pattern(40), kFrom, kTo, true)))));
  EQUAL(ok(loop.last), kL2Ok | kL3Ok);
  EQUAL(l4Type(loop.last), 0);
}

TEST(headers_that_lie_about_their_length_have_no_good_checksums) {
  Loop loop;
  Bytes frame = goodUdp(20);
  store16(&frame[16], 1000);
  loop.round(Wqe(MLX5_OPCODE_SEND).eth(0xc0).data(loop.put(frame)));
  EQUAL(ok(loop.last), kL2Ok);
  EQUAL(l3Type(loop.last), MLX5_CQE_L3_HDR_TYPE_IPV4);
  Bytes v6 = ethernet(0x86dd, ipv6(17, udp(1, 2, pattern(20))));
  store16(&v6[18], 68);  // 40 too many
  loop.round(Wqe(MLX5_OPCODE_SEND).eth(0xc0).data(loop.put(v6)));
  EQUAL(ok(loop.last), kL2Ok);
  EQUAL(l3Type(loop.last), MLX5_CQE_L3_HDR_TYPE_IPV6);
  frame = goodUdp(20);
  frame[14] = 0x4f;  // options up to the end
  loop.round(Wqe(MLX5_OPCODE_SEND).eth(0xc0).data(loop.put(frame)));
  CHECK((ok(loop.last) & kL4Ok) == 0);
}

TEST(inner_checksums_of_vxlan_are_computed) {
  Loop loop;
  const Bytes payload = pattern(64);
  const Bytes vxlan = Bytes{8, 0, 0, 0, 0, 0x12, 0x34, 0};
  const auto build = [&](uint16_t inner, bool innerIp, uint16_t outer, bool outerIp) {
    return ethernet(
        0x0800,
        ipv4(17,
             udp(7777, 4789, vxlan + ethernet(0x0800, ipv4(17, udp(1000, 2000, payload, inner), kFrom, kTo, innerIp)),
                 outer),
             kTo, kFrom, outerIp));
  };
  const uint16_t sum = l4Sum(17, kFrom, kTo, udp(1000, 2000, payload));
  Bytes got = loop.round(Wqe(MLX5_OPCODE_SEND)
                             .eth(kEthInnerL3Checksum | kEthInnerL4Checksum | kEthL3Checksum)
                             .data(loop.put(build(0xdead, false, 0, false))));
  CHECK(got == build(sum, true, 0, true));
}

TEST(a_tso_wqe_becomes_segments) {
  Loop loop;
  const Bytes payload = pattern(3500);
  const Bytes header = ethernet(0x0800, ipv4(6, tcp(80, 90, 1000, 0x19, {}), kFrom, kTo));  // FIN, PSH, ACK
  loop.post(4);
  const Sge sge = loop.put(payload);
  loop.qp->send(
      Wqe(MLX5_OPCODE_TSO).eth(0xc0, header, 1000).data({sge.at, 1500, sge.key}).data({sge.at + 1500, 2000, sge.key}));
  loop.card.step();
  const uint8_t* sent = loop.sendCq.poll();
  CHECK(sent != nullptr);
  EQUAL(sent[56], MLX5_OPCODE_TSO);
  CHECK(loop.sendCq.poll() == nullptr);
  for (size_t i = 0; i < 4; ++i) {
    const uint8_t* cqe = loop.receiveCq.poll();
    CHECK(cqe != nullptr);
    const Bytes part(payload.begin() + static_cast<long>(i * 1000),
                     payload.begin() + static_cast<long>(i == 3 ? 3500 : i * 1000 + 1000));
    const uint8_t flags = i == 3 ? 0x19 : 0x10;
    Bytes segment = tcp(80, 90, static_cast<uint32_t>(1000 + i * 1000), flags, part);
    store16(&segment[16], l4Sum(6, kFrom, kTo, segment));
    Bytes ip = ipv4(6, segment, kFrom, kTo);
    store16(&ip[4], static_cast<uint16_t>(0x1234 + i));
    store16(&ip[10], slowSum(Bytes(ip.begin(), ip.begin() + 20)));
    const Bytes expected = ethernet(0x0800, ip);
    EQUAL(byteCount(cqe), expected.size());
    BYTES(loop.received(i), expected.data(), expected.size());
    EQUAL(ok(cqe), kL2Ok | kL3Ok | kL4Ok);
  }
}

TEST(tso_over_ipv6_sets_the_payload_length) {
  Loop loop;
  loop.post(2);
  const Bytes header = ethernet(0x86dd, ipv6(6, tcp(80, 90, 0xffffff00, 0x10, {})));
  loop.qp->send(Wqe(MLX5_OPCODE_TSO).eth(0xc0, header, 300).data(loop.put(pattern(400))));
  loop.card.step();
  for (size_t i = 0; i < 2; ++i) {
    const uint8_t* cqe = loop.receiveCq.poll();
    CHECK(cqe != nullptr);
    EQUAL(ok(cqe), kL2Ok | kL3Ok | kL4Ok);
    EQUAL(load16(loop.received(i) + 18), i == 0 ? 320 : 120);
    EQUAL(load32(loop.received(i) + 14 + 40 + 4), i == 0 ? 0xffffff00u : 0x2cu);
  }
}

TEST(tso_of_what_cannot_be_segmented_is_an_operation_error) {
  const Bytes good = ethernet(0x0800, ipv4(6, tcp(80, 90, 1, 0x10, {})));
  Bytes fragment = good;
  fragment[20] = 0x20;
  const Bytes other = ethernet(0x88b5, pattern(40));
  const std::pair<Bytes, uint16_t> cases[] = {
      {good, 0}, {fragment, 100}, {other, 100}, {Bytes(good.begin(), good.end() - 4), 100}};
  for (const auto& [header, mss] : cases) {
    Loop loop;
    loop.qp->send(Wqe(MLX5_OPCODE_TSO).eth(0xc0, header, mss).data(loop.put(pattern(400))));
    loop.card.step();
    const uint8_t* cqe = loop.sendCq.poll();
    CHECK(cqe != nullptr);
    EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
    EQUAL(loop.card.counters().transmitFrames, 0);
  }
}
