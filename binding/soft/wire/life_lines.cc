#include "wire/life_lines.h"

#include <unistd.h>

#include <atomic>

namespace soft {

namespace {

// Three a wire. A child keeps one that finds no place here: then the peer notices only the end of both processes.
constexpr int kPlaces = 256;
std::atomic<int> places[kPlaces];  // 0: free; descriptor + 1

}  // namespace

void LifeLines::add(int descriptor) {
  for (std::atomic<int>& place : places) {
    int free = 0;
    if (place.compare_exchange_strong(free, descriptor + 1)) return;
  }
}

void LifeLines::remove(int descriptor) {
  for (std::atomic<int>& place : places) {
    int own = descriptor + 1;
    if (place.compare_exchange_strong(own, 0)) return;
  }
}

void LifeLines::cut() {
  for (std::atomic<int>& place : places) {
    const int own = place.exchange(0);
    if (own != 0) close(own - 1);
  }
}

}  // namespace soft
