// Objects by number. A number comes back only after all the others have had their turn: a late packet or a late
// doorbell for a dead queue should not find a live one.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace soft {

template <typename T>
class Table {
 public:
  explicit Table(uint32_t first) : first_(first) {}

  // The number that the next insert() gets; 0 when all 2^24 are taken.
  uint32_t allocate() {
    if (free_.size() > kRest || (entries_.size() + first_ > kMax && !free_.empty())) {
      const uint32_t number = free_.front();
      free_.pop_front();
      return number;
    }
    if (entries_.size() + first_ > kMax) return 0;
    entries_.emplace_back();
    return first_ + static_cast<uint32_t>(entries_.size()) - 1;
  }

  T* insert(uint32_t number, std::unique_ptr<T> object) {
    entries_[number - first_] = std::move(object);
    return entries_[number - first_].get();
  }

  T* find(uint32_t number) const {
    const uint32_t index = number - first_;  // wraps for numbers below the first
    return index < entries_.size() ? entries_[index].get() : nullptr;
  }

  std::unique_ptr<T> remove(uint32_t number) {
    free_.push_back(number);
    return std::move(entries_[number - first_]);
  }

 private:
  static constexpr uint32_t kMax = 0xfffffe;
  static constexpr size_t kRest = 256;

  uint32_t first_;
  std::vector<std::unique_ptr<T>> entries_;
  std::deque<uint32_t> free_;
};

}  // namespace soft
