// Compressed completions: what lies in the ring, which entries go together, and where a session ends.
#include <random>

#include "decompressor.h"

using namespace soft;

namespace {

constexpr CqeCompression kFormats[] = {CqeCompression::hash, CqeCompression::checksum, CqeCompression::checksumStride};
constexpr uint8_t kUntouched = MLX5_CQE_INVALID << 4;

// Posts `count` receives of 256 bytes each, one behind the other.
void postReceives(WorkQueueBed& bed, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) bed.wq->post({bed.memory.sge(bed.wq->posted % 512u * 256, 256)});
}

// The sum that CHECKSUM_COMPLETE has, of what follows the Ethernet header: RFC 1071, not complemented.
uint16_t sumBehindEthernet(const Bytes& frame) {
  return static_cast<uint16_t>(~slowSum(Bytes(frame.begin() + 14, frame.end())));
}

}  // namespace

TEST(eleven_entries_are_a_title_and_two_mini_arrays) {
  WorkQueueBed bed(32, 64, CqeCompression::hash);
  postReceives(bed, 11);
  for (uint8_t i = 0; i < 11; ++i) bed.arrive(datagram(60 + i));
  bed.card.step();
  const uint8_t* ring = bed.cq.ring.data();
  // The title: format 3, the number of entries for a byte count, the first one's counter.
  EQUAL(ring[63], MLX5_CQE_RESP_SEND << 4 | 3 << 2);
  EQUAL(load32(ring + 44), 11);
  EQUAL(load16(ring + 60), 0);
  EQUAL(load32(ring + 32), kUserIndex);
  EQUAL(load64(ring + 48), bed.card.now);
  EQUAL(ring[28], MLX5_CQE_L2_OK | MLX5_CQE_L3_OK | MLX5_CQE_L4_OK);
  // One entry behind it eight minis, and eight behind it three.
  const uint32_t hash = load32(ring + 12);
  CHECK(hash != 0);
  for (uint32_t i = 0; i < 11; ++i) {
    const uint8_t* mini = i < 8 ? ring + 64 + i * 8 : ring + 8 * 64 + (i - 8) * 8;
    EQUAL(load32(mini), hash);
    EQUAL(load32(mini + 4), 60 + i);
  }
  for (size_t i = 3 * 8; i < 64; ++i) EQUAL(ring[8 * 64 + i], 0);
  // Those between are left out, and nothing is written behind the session.
  for (const size_t hole : {2, 3, 4, 5, 6, 7, 9, 10, 11}) {
    for (size_t i = 0; i < 63; ++i) EQUAL(ring[hole * 64 + i], 0);
    EQUAL(ring[hole * 64 + 63], kUntouched);
  }
}

TEST(each_format_tells_what_it_says) {
  for (const CqeCompression format : kFormats) {
    WorkQueueBed bed(64, 64, format);
    Decompressor reader(bed.cq, format);
    postReceives(bed, 20);
    std::vector<Bytes> frames;
    for (uint8_t i = 0; i < 20; ++i) frames.push_back(datagram(60 + i * 3, static_cast<uint8_t>(1 + i % 4)));
    for (const Bytes& frame : frames) bed.arrive(frame);
    bed.card.step();
    std::vector<uint32_t> hashes;
    for (uint32_t i = 0; i < 20; ++i) {
      const Bytes cqe = reader.poll();
      CHECK(!cqe.empty());
      EQUAL(byteCount(cqe.data()), frames[i].size());
      EQUAL(wqeCounter(cqe.data()), i);
      BYTES(bed.memory.bytes.data() + i * 256, frames[i].data(), frames[i].size());
      hashes.push_back(load32(&cqe[12]));
      const uint16_t sum = load16(&cqe[20]);
      EQUAL(sum, format == CqeCompression::hash ? 0 : sumBehindEthernet(frames[i]));
    }
    CHECK(reader.poll().empty());
    EQUAL(reader.sessions.size(), 1);
    if (format != CqeCompression::hash) continue;
    for (uint32_t i = 0; i < 20; ++i) {
      EQUAL(hashes[i], hashes[i % 4]);
      EQUAL(hashes[i] == hashes[(i + 1) % 4], false);
    }
  }
}

TEST(the_checksum_begins_behind_the_tags) {
  WorkQueueBed bed(64, 64, CqeCompression::checksum);
  Decompressor reader(bed.cq, CqeCompression::checksum);
  postReceives(bed, 2);
  const Bytes inner = ipv4(17, udp(1, 2, pattern(31)), kFrom, kTo, true);
  for (int i = 0; i < 2; ++i) bed.arrive(tagged(5, 0x0800, inner));
  bed.card.step();
  for (int i = 0; i < 2; ++i) {
    const Bytes cqe = reader.poll();
    EQUAL(load16(&cqe[20]), static_cast<uint16_t>(~slowSum(inner)));
  }
}

TEST(a_session_may_have_any_length_up_to_the_most_and_begin_anywhere) {
  for (uint32_t count = 1; count <= 70; ++count) {
    WorkQueueBed bed(128, 64, CqeCompression::hash);
    Decompressor reader(bed.cq, CqeCompression::hash);
    uint16_t next = 0;
    for (int round = 0; round < 5; ++round) {
      postReceives(bed, count);
      for (uint32_t i = 0; i < count; ++i) bed.arrive(datagram(60 + i));
      bed.card.step();
      for (uint32_t i = 0; i < count; ++i) {
        const Bytes cqe = reader.poll();
        CHECK(!cqe.empty());
        EQUAL(byteCount(cqe.data()), 60 + i);
        EQUAL(wqeCounter(cqe.data()), next++);
      }
      CHECK(reader.poll().empty());
    }
    // One entry is never compressed; more than 64 are two sessions, and so are those on both sides of the ring's end.
    std::vector<uint32_t> expected;
    uint32_t at = 0;
    for (int round = 0; round < 5; ++round) {
      for (uint32_t left = count; left != 0;) {
        const uint32_t session = std::min({left, 64u, 128 - at % 128});
        if (session > 1) expected.push_back(session);
        at += session;
        left -= session;
      }
    }
    CHECK(reader.sessions == expected);
  }
}

TEST(a_session_ends_where_the_ring_does) {
  for (uint32_t before = 0; before < 32; ++before) {
    WorkQueueBed bed(32, 64, CqeCompression::hash);
    Decompressor reader(bed.cq, CqeCompression::hash);
    for (uint32_t i = 0; i < before; ++i) {
      postReceives(bed, 1);
      bed.arrive(datagram(60));
      bed.card.step();
      CHECK(!reader.poll().empty());
    }
    postReceives(bed, 32);
    for (uint32_t i = 0; i < 32; ++i) bed.arrive(datagram(60 + i));
    bed.card.step();
    for (uint32_t i = 0; i < 32; ++i) {
      const Bytes cqe = reader.poll();
      EQUAL(byteCount(cqe.data()), 60 + i);
      EQUAL(cqe[63] & 1, before + i >= 32 ? 1 : 0);
    }
    CHECK(reader.poll().empty());
    std::vector<uint32_t> expected;
    for (const uint32_t count : {32 - before, before}) {
      if (count > 1) expected.push_back(count);
    }
    CHECK(reader.sessions == expected);
  }
}

TEST(an_entry_of_128_bytes_has_all_of_it_in_its_second_half) {
  WorkQueueBed bed(32, 128, CqeCompression::hash);
  Decompressor reader(bed.cq, CqeCompression::hash);
  postReceives(bed, 20);
  for (uint32_t i = 0; i < 20; ++i) bed.arrive(datagram(60 + i));
  bed.card.step();
  for (uint32_t i = 0; i < 32; ++i) {
    for (uint32_t byte = 0; byte < 64; ++byte) EQUAL(bed.cq.ring[i * 128 + byte], 0);
  }
  for (uint32_t i = 0; i < 20; ++i) EQUAL(byteCount(reader.poll().data()), 60 + i);
  CHECK(reader.poll().empty());
  EQUAL(reader.sessions.size(), 1);
}

TEST(what_the_title_tells_must_be_true_of_all) {
  WorkQueueBed bed(64, 64, CqeCompression::hash);
  Decompressor reader(bed.cq, CqeCompression::hash);
  FlowRule rule;  // frames to one port carry a tag
  rule.qpn = bed.wq->qpn;
  rule.outer.value.destinationPort = 7;
  rule.outer.mask.destinationPort = 0xffff;
  rule.tagged = true;
  rule.tag = 0x1234;
  bed.card.flow(rule);
  const Bytes plain = datagram(60), toTagged = ethernet(0x0800, ipv4(17, udp(1, 7, pattern(20)), kFrom, kTo, true));
  const Bytes bad = ethernet(0x0800, ipv4(17, udp(1, 2, pattern(20), 0xdead), kFrom, kTo, true));
  const Bytes acknowledgement = ethernet(0x0800, ipv4(6, tcp(1, 2, 3, 0x10, {}), kFrom, kTo, true));
  const std::vector<Bytes> frames{plain, plain, toTagged, toTagged, plain, plain, bad, bad, acknowledgement, plain};
  postReceives(bed, 20);
  for (const Bytes& frame : frames) bed.arrive(frame);
  bed.card.step();
  for (size_t i = 0; i < frames.size(); ++i) {
    const Bytes cqe = reader.poll();
    EQUAL(byteCount(cqe.data()), frames[i].size());
    EQUAL(load32(&cqe[56]), frames[i] == toTagged ? 0x1234 : 0);
    EQUAL((cqe[28] & MLX5_CQE_L4_OK) != 0, frames[i] != bad && frames[i] != acknowledgement);
    EQUAL(cqe[29] >> 4, frames[i] == acknowledgement ? 3 : 2);
  }
  CHECK((reader.sessions == std::vector<uint32_t>{2, 2, 2, 2}));
}

TEST(an_error_ends_a_session_and_stands_by_itself) {
  WorkQueueBed bed(64, 64, CqeCompression::hash);
  Decompressor reader(bed.cq, CqeCompression::hash);
  postReceives(bed, 3);
  Sge bad = bed.memory.sge(0, 256);
  bad.key ^= 0x5500;
  bed.wq->post({bad});
  for (int i = 0; i < 4; ++i) bed.arrive(datagram(60));
  bed.card.step();
  for (uint32_t i = 0; i < 3; ++i) EQUAL(wqeCounter(reader.poll().data()), i);
  const Bytes error = reader.poll();
  EQUAL(error[63], MLX5_CQE_RESP_ERR << 4);
  EQUAL(syndrome(error.data()), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
  EQUAL(wqeCounter(error.data()), 3);
  CHECK((reader.sessions == std::vector<uint32_t>{3}));
}

TEST(requests_are_not_compressed) {
  Card card;
  EQUAL(card.nic.connect(1, makeLoopWire()), 0);
  Cq cq(card.nic, 64, 64, nullptr, CqeCompression::hash);
  Region memory(card.nic, card.pd, 4096);
  const auto qp = card.rawQp(cq, cq);
  qp->bringUp();
  for (int i = 0; i < 10; ++i) qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 60)));
  card.step();
  for (int i = 0; i < 10; ++i) {
    const uint8_t* cqe = cq.poll();
    CHECK(cqe != nullptr);
    EQUAL(cqe[63], MLX5_CQE_REQ << 4);
  }
}

TEST(a_full_queue_keeps_the_session_that_filled_it) {
  WorkQueueBed bed(16, 64, CqeCompression::hash);
  Decompressor reader(bed.cq, CqeCompression::hash);
  postReceives(bed, 20);
  for (int i = 0; i < 17; ++i) bed.arrive(datagram(60));
  bed.card.step();
  CHECK(bed.card.events.has(AsyncEventType::cqError, bed.cq.number));
  for (uint32_t i = 0; i < 16; ++i) EQUAL(wqeCounter(reader.poll().data()), i);
}

TEST(a_session_is_in_the_ring_when_its_event_comes) {
  WorkQueueBed bed(64, 64, CqeCompression::hash);
  Decompressor reader(bed.cq, CqeCompression::hash);
  postReceives(bed, 20);
  for (uint32_t sequence = 0; sequence < 4; ++sequence) {
    bed.cq.arm(sequence);
    for (int i = 0; i < 5; ++i) bed.arrive(datagram(60));
    bed.card.step();
    EQUAL(bed.card.events.completions.size(), sequence + 1);
    for (int i = 0; i < 5; ++i) CHECK(!reader.poll().empty());
    CHECK(reader.poll().empty());
  }
}

TEST(a_work_queue_that_is_reset_begins_a_session_of_its_own) {
  WorkQueueBed bed(64, 64, CqeCompression::hash);
  Decompressor reader(bed.cq, CqeCompression::hash);
  for (int round = 0; round < 3; ++round) {
    postReceives(bed, 3);
    for (int i = 0; i < 3; ++i) bed.arrive(datagram(60));
    bed.card.step();
    for (uint32_t i = 0; i < 3; ++i) EQUAL(wqeCounter(reader.poll().data()), i);
    EQUAL(bed.card.nic.modifyWorkQueue(bed.wq->number, WorkQueueState::reset), 0);
    bed.wq->posted = 0;
    bed.wq->doorbell = 0;
    EQUAL(bed.card.nic.modifyWorkQueue(bed.wq->number, WorkQueueState::ready), 0);
  }
  CHECK((reader.sessions == std::vector<uint32_t>{3, 3, 3}));
}

TEST(any_mix_of_frames_is_read_back_whole) {
  for (uint32_t seed = 0; seed < 24; ++seed) {
    std::mt19937 random(seed);
    const CqeCompression format = kFormats[seed % 3];
    WorkQueueBed bed(1u << (3 + random() % 6), seed % 2 == 0 ? 64 : 128, format);
    Decompressor reader(bed.cq, format,
                        seed % 4 < 2 ? Decompressor::Invalidates::asKernel : Decompressor::Invalidates::asDpdk);
    std::vector<std::pair<uint16_t, Bytes>> waiting;
    uint32_t next = 0;
    for (int round = 0; round < 120; ++round) {
      const size_t room = std::min<size_t>(bed.cq.entries, 100) - (next - reader.index);
      for (size_t count = room == 0 ? 0 : random() % (room + 1); count != 0; --count) {
        postReceives(bed, 1);
        const uint32_t size = 60 + random() % 190;
        const Bytes frame = random() % 8 == 0 ? ethernet(0x88b5, pattern(size - 14))
                                              : datagram(size, static_cast<uint8_t>(1 + random() % 3));
        bed.arrive(frame);
        waiting.emplace_back(static_cast<uint16_t>(next++), frame);
      }
      bed.card.step();
      // It may leave off within a session.
      for (size_t count = random() % (waiting.size() + 1); count != 0; --count) {
        const Bytes cqe = reader.poll();
        CHECK(!cqe.empty());
        const auto [counter, frame] = waiting.front();
        EQUAL(wqeCounter(cqe.data()), counter);
        EQUAL(byteCount(cqe.data()), frame.size());
        BYTES(bed.memory.bytes.data() + counter % 512u * 256, frame.data(), frame.size());
        EQUAL(cqe[29] >> 4, frame[12] == 8 && frame[13] == 0 ? 2 : 0);
        if (format != CqeCompression::hash) EQUAL(load16(&cqe[20]), sumBehindEthernet(frame));
        waiting.erase(waiting.begin());
      }
    }
    CHECK(bed.card.events.events.empty());
    CHECK(reader.sessions.size() > 10);
  }
}
