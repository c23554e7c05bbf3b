// Whether the NIC's thread shares its processor, told by the gaps between its looks at the clock.
#include "driver/crowding.h"

#include "test.h"

using namespace soft;

TEST(a_gap_of_a_slice_means_a_crowd_for_a_while) {
  Crowding crowding;
  uint64_t now = 1'000'000'000'000;
  crowding.look(now);
  CHECK(!crowding.crowded());
  crowding.look(now += Crowding::kSlice - 1);
  CHECK(!crowding.crowded());
  crowding.look(now += Crowding::kSlice);
  CHECK(crowding.crowded());
  for (const uint64_t end = now + Crowding::kShortest; now + 1000 < end;) {
    crowding.look(now += 1000);
    CHECK(crowding.crowded());
  }
  crowding.look(now += 1000);
  CHECK(!crowding.crowded());
}

TEST(a_crowd_that_comes_again_is_believed_for_longer) {
  Crowding crowding;
  uint64_t now = 1'000'000'000'000;
  crowding.look(now);
  uint64_t expected = Crowding::kShortest;
  for (int i = 0; i < 10; ++i) {
    crowding.look(now += Crowding::kSlice);
    crowding.slept(now += expected - 1);
    crowding.look(now);
    CHECK(crowding.crowded());
    crowding.look(++now);
    CHECK(!crowding.crowded());
    expected = std::min(2 * expected, Crowding::kLongest);
  }
  EQUAL(expected, Crowding::kLongest);
  // Long after it, it is as at first.
  crowding.slept(now += Crowding::kLongest);
  crowding.look(now += Crowding::kSlice);
  crowding.slept(now += Crowding::kShortest);
  crowding.look(now);
  CHECK(!crowding.crowded());
}

TEST(a_sleep_is_no_gap_but_oversleeping_is) {
  Crowding crowding;
  uint64_t now = 1'000'000'000'000;
  crowding.look(now);
  crowding.slept(now + 10 * Crowding::kSlice);
  crowding.look(now += 5 * Crowding::kSlice);  // woken before its time
  CHECK(!crowding.crowded());
  crowding.slept(now += 10 * Crowding::kSlice);
  crowding.look(now += Crowding::kSlice - 1);
  CHECK(!crowding.crowded());
  crowding.slept(now += 10 * Crowding::kSlice);
  crowding.look(now += Crowding::kSlice);
  CHECK(crowding.crowded());
}
