// Striding receive queues: many frames in the memory of one WQE.
#include <random>

#include "decompressor.h"

using namespace soft;

namespace {

constexpr uint32_t kFiller = 1u << 31;

uint16_t wqeId(const uint8_t* cqe) { return load16(cqe + 2); }

// Eight strides of 64 bytes a WQE.
constexpr Striding kSmall{6, 3, false};
constexpr uint32_t kBytes = 512;

void postStrides(WorkQueueBed& bed, uint32_t count = 1) {
  for (uint32_t i = 0; i < count; ++i) bed.wq->post({bed.memory.sge(bed.wq->posted % 256u * kBytes, kBytes)});
}

void expect(const uint8_t* cqe, uint16_t wqe, uint16_t stride, uint32_t count, uint32_t bytes) {
  CHECK(cqe != nullptr);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_SEND);
  EQUAL(wqeId(cqe), wqe);
  EQUAL(wqeCounter(cqe), stride);
  EQUAL(byteCount(cqe), count << 16 | bytes);
}

}  // namespace

TEST(frames_share_a_wqe_each_in_strides_of_its_own) {
  WorkQueueBed bed(64, 64, CqeCompression::none, kSmall);
  postStrides(bed, 2);
  const size_t sizes[] = {60, 64, 65, 200};
  for (const size_t size : sizes) bed.arrive(datagram(size));
  bed.card.step();
  expect(bed.cq.poll(), 0, 0, 1, 60);
  expect(bed.cq.poll(), 0, 1, 1, 64);
  expect(bed.cq.poll(), 0, 2, 2, 65);
  expect(bed.cq.poll(), 0, 4, 4, 200);
  CHECK(bed.cq.poll() == nullptr);
  size_t at = 0;
  for (const size_t size : sizes) {
    BYTES(bed.memory.bytes.data() + at, datagram(size).data(), size);
    at += (size + 63) / 64 * 64;
  }
  // The WQE is used up to its last stride: no filler.
  bed.arrive(datagram(60));
  bed.card.step();
  expect(bed.cq.poll(), 1, 0, 1, 60);
}

TEST(a_frame_that_does_not_fit_begins_the_next_wqe_and_a_filler_gives_up_the_rest) {
  WorkQueueBed bed(64, 64, CqeCompression::none, kSmall);
  postStrides(bed, 2);
  bed.arrive(datagram(400));
  bed.arrive(datagram(65));
  bed.card.step();
  expect(bed.cq.poll(), 0, 0, 7, 400);
  const uint8_t* filler = bed.cq.poll();
  CHECK(filler != nullptr);
  EQUAL(byteCount(filler), kFiller | 1 << 16);
  EQUAL(wqeId(filler), 0);
  EQUAL(wqeCounter(filler), 7);
  EQUAL(load32(filler + 32), kUserIndex);
  expect(bed.cq.poll(), 1, 0, 2, 65);
  BYTES(bed.memory.bytes.data() + kBytes, datagram(65).data(), 65);
}

TEST(two_zeroes_come_before_each_frame_where_the_queue_asks_for_them) {
  WorkQueueBed bed(64, 64, CqeCompression::none, {6, 3, true});
  std::fill_n(bed.memory.bytes.begin(), kBytes, 0xee);
  postStrides(bed);
  bed.arrive(datagram(62));
  bed.arrive(datagram(63));
  bed.card.step();
  expect(bed.cq.poll(), 0, 0, 1, 62);
  expect(bed.cq.poll(), 0, 1, 2, 63);  // 65 bytes
  BYTES(bed.memory.bytes.data() + 2, datagram(62).data(), 62);
  BYTES(bed.memory.bytes.data() + 64 + 2, datagram(63).data(), 63);
  EQUAL(bed.memory.bytes[0] | bed.memory.bytes[1] | bed.memory.bytes[64] | bed.memory.bytes[65], 0);
  EQUAL(bed.memory.bytes[64 + 2 + 63], 0xee);
}

TEST(without_a_wqe_for_it_a_frame_is_dropped_and_a_shorter_one_takes_what_is_left) {
  WorkQueueBed bed(64, 64, CqeCompression::none, kSmall);
  postStrides(bed);
  bed.arrive(datagram(400));
  bed.arrive(datagram(65));
  bed.arrive(datagram(60));
  bed.card.step();
  expect(bed.cq.poll(), 0, 0, 7, 400);
  expect(bed.cq.poll(), 0, 7, 1, 60);
  CHECK(bed.cq.poll() == nullptr);
  EQUAL(bed.card.counters().receiveNoBuffer, 1);
}

TEST(a_frame_longer_than_a_wqe_is_a_length_error_and_what_is_posted_is_flushed) {
  WorkQueueBed bed(64, 64, CqeCompression::none, kSmall);
  postStrides(bed, 3);
  bed.arrive(datagram(60));
  bed.arrive(datagram(513));
  bed.card.step();
  expect(bed.cq.poll(), 0, 0, 1, 60);
  EQUAL(byteCount(bed.cq.poll()), kFiller | 7 << 16);
  const uint8_t* error = bed.cq.poll();
  EQUAL(cqeOpcode(error), MLX5_CQE_RESP_ERR);
  EQUAL(syndrome(error), MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR);
  EQUAL(wqeCounter(error), 1);
  CHECK(bed.card.events.has(AsyncEventType::wqFatal, bed.wq->number));
  bed.card.step();
  const uint8_t* flushed = bed.cq.poll();
  EQUAL(syndrome(flushed), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  EQUAL(wqeCounter(flushed), 2);
  bed.card.step(3);
  CHECK(bed.cq.poll() == nullptr);
}

TEST(a_wqe_that_is_open_when_its_queue_goes_to_error_is_flushed) {
  WorkQueueBed bed(64, 64, CqeCompression::none, kSmall);
  postStrides(bed, 2);
  bed.arrive(datagram(60));
  bed.card.step();
  expect(bed.cq.poll(), 0, 0, 1, 60);
  EQUAL(bed.card.nic.modifyWorkQueue(bed.wq->number, WorkQueueState::err), 0);
  bed.card.step();
  for (uint16_t i = 0; i < 2; ++i) {
    const uint8_t* flushed = bed.cq.poll();
    EQUAL(syndrome(flushed), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
    EQUAL(wqeCounter(flushed), i);
  }
  CHECK(bed.cq.poll() == nullptr);
}

TEST(a_queue_that_is_reset_begins_with_its_first_wqe) {
  WorkQueueBed bed(64, 64, CqeCompression::none, kSmall);
  for (int round = 0; round < 2; ++round) {
    postStrides(bed, 2);
    bed.arrive(datagram(60));
    bed.card.step();
    expect(bed.cq.poll(), 0, 0, 1, 60);
    EQUAL(bed.card.nic.modifyWorkQueue(bed.wq->number, WorkQueueState::reset), 0);
    bed.wq->posted = 0;
    bed.wq->doorbell = 0;
    EQUAL(bed.card.nic.modifyWorkQueue(bed.wq->number, WorkQueueState::ready), 0);
  }
}

TEST(memory_shorter_than_the_strides_is_a_length_error_where_it_ends) {
  WorkQueueBed bed(64, 64, CqeCompression::none, kSmall);
  bed.wq->post({bed.memory.sge(0, 100)});
  bed.arrive(datagram(60));
  bed.arrive(datagram(60));
  bed.card.step();
  expect(bed.cq.poll(), 0, 0, 1, 60);
  EQUAL(syndrome(bed.cq.poll()), MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR);
}

TEST(a_bad_key_of_a_striding_queue_is_a_protection_error) {
  WorkQueueBed bed(64, 64, CqeCompression::none, kSmall);
  Sge bad = bed.memory.sge(0, kBytes);
  bad.key ^= 0x5500;
  bed.wq->post({bad});
  bed.arrive(datagram(60));
  bed.card.step();
  const uint8_t* error = bed.cq.poll();
  EQUAL(syndrome(error), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
  EQUAL(wqeCounter(error), 0);
}

TEST(shapes_that_no_striding_queue_has_are_refused) {
  WorkQueueBed bed;
  const auto create = [&](const Striding& striding, uint32_t shift) {
    WorkQueueAttributes attributes;
    attributes.pd = bed.card.pd;
    attributes.cq = bed.cq.number;
    attributes.ring = {bed.wq->ring.data(), 16, shift, &bed.wq->doorbell, false};
    attributes.striding = striding;
    uint32_t number = 0;
    const int error = bed.card.nic.createWorkQueue(attributes, &number);
    if (error == 0) EQUAL(bed.card.nic.destroyWorkQueue(number), 0);
    return error;
  };
  EQUAL(create({6, 3, false}, 5), 0);
  EQUAL(create({13, 16, true}, 5), 0);
  EQUAL(create({5, 9, false}, 5), EINVAL);
  EQUAL(create({14, 9, false}, 5), EINVAL);
  EQUAL(create({6, 2, false}, 5), EINVAL);
  EQUAL(create({6, 17, false}, 5), EINVAL);
  EQUAL(create({6, 9, false}, 4), EINVAL);  // no scatter entry behind mlx5_wqe_srq_next_seg
}

TEST(any_mix_of_frames_is_found_in_its_strides_compressed_or_not) {
  constexpr CqeCompression kFormats[] = {CqeCompression::none, CqeCompression::hash, CqeCompression::checksum,
                                         CqeCompression::checksumStride};
  for (uint32_t seed = 0; seed < 24; ++seed) {
    std::mt19937 random(seed);
    const CqeCompression format = kFormats[seed % 4];
    const Striding striding{6, 3, seed % 8 >= 4};
    const uint32_t shift = striding.shift ? 2 : 0;
    WorkQueueBed bed(512, 64, format, striding);
    Decompressor reader(bed.cq, format);
    uint16_t wqe = 0;
    uint32_t stride = 0, fillers = 0;
    for (int round = 0; round < 200; ++round) {
      std::vector<Bytes> frames;
      const size_t count = random() % 40;
      for (size_t i = 0; i < count; ++i) {
        frames.push_back(datagram(60 + random() % (random() % 4 == 0 ? 440 : 60), static_cast<uint8_t>(1 + i % 3)));
        bed.arrive(frames.back());
      }
      while (static_cast<uint16_t>(bed.wq->posted - wqe) < 100) postStrides(bed);
      bed.card.step();
      for (const Bytes& frame : frames) {
        const uint32_t needed = static_cast<uint32_t>((frame.size() + shift + 63) / 64);
        if (stride != 0 && stride + needed > 8) {
          const Bytes filler = reader.poll();
          CHECK(!filler.empty());
          EQUAL(byteCount(filler.data()), kFiller | (8 - stride) << 16);
          EQUAL(wqeId(filler.data()), wqe);
          ++wqe;
          stride = 0;
          ++fillers;
        }
        const Bytes cqe = reader.poll();
        CHECK(!cqe.empty());
        expect(cqe.data(), wqe, static_cast<uint16_t>(stride), needed, static_cast<uint32_t>(frame.size()));
        BYTES(bed.memory.bytes.data() + wqe % 256u * kBytes + stride * 64 + shift, frame.data(), frame.size());
        stride += needed;
        if (stride == 8) {
          stride = 0;
          ++wqe;
        }
      }
      CHECK(reader.poll().empty());
    }
    CHECK(fillers > 100);
    EQUAL(reader.sessions.empty(), format == CqeCompression::none);
    EQUAL(bed.card.counters().receiveNoBuffer, 0);
  }
}
