// A ring of descriptors between TypeScript (lib/ring/ring.ts) and the binding, laid out like the kernel's AF_XDP rings
// (linux/if_xdp.h): a producer index and a consumer index, each on a cache line of its own, then the records.
// Indices count up and wrap at 2^32; a record's place is its index modulo the capacity, a power of two.
//
// JavaScript can write anything into this memory at any moment, from other threads too. So the binding keeps its own
// index private, accepts the other side's only where it is possible, and reads each word of a record once.
#pragma once

#include <napi.h>

#include <cstdint>

#include "shared_memory.h"

class SharedRing {
 public:
  static constexpr uint32_t kProducer = 0;
  static constexpr uint32_t kConsumer = 16;
  static constexpr uint32_t kRecords = 32;

  SharedRing(Napi::Env env, Napi::Value words, const char* name, uint32_t recordWords)
      : memory_(env, words, name), recordWords_(recordWords) {
    const size_t count = memory_.length() / sizeof(uint32_t);
    const size_t capacity = count > kRecords ? (count - kRecords) / recordWords : 0;
    if (!memory_.aligned(sizeof(uint32_t)) || capacity == 0 || (capacity & (capacity - 1)) != 0 ||
        capacity > 1u << 30) {
      throwArgumentRange(env, name, "a ring whose capacity is a power of two");
    }
    capacity_ = static_cast<uint32_t>(capacity);
  }

  // The consumer's end: how many records wait; false when the producer's index cannot be true.
  bool available(uint32_t* count) const {
    *count = load(kProducer, __ATOMIC_ACQUIRE) - position_;
    return *count <= capacity_;
  }
  uint32_t read(uint32_t ahead, uint32_t word) const {
    return load(wordOf(position_ + ahead) + word, __ATOMIC_RELAXED);
  }
  // Reads the first `count` words of a record.
  void copy(uint32_t ahead, uint32_t* to, uint32_t count) const {
    const uint32_t first = wordOf(position_ + ahead);
    for (uint32_t i = 0; i < count; i++) to[i] = load(first + i, __ATOMIC_RELAXED);
  }
  void consume(uint32_t count) { advance(kConsumer, count); }
  // Takes every record that waits, whatever the producer's index is.
  void drop() { advance(kConsumer, load(kProducer, __ATOMIC_ACQUIRE) - position_); }

  // The producer's end: how many records fit; false when the consumer's index cannot be true.
  bool room(uint32_t* count) const {
    const uint32_t used = position_ - load(kConsumer, __ATOMIC_ACQUIRE);
    *count = capacity_ - used;
    return used <= capacity_;
  }
  void write(uint32_t ahead, uint32_t word, uint32_t value) {
    __atomic_store_n(memory_.words() + wordOf(position_ + ahead) + word, value, __ATOMIC_RELAXED);
  }
  void produce(uint32_t count) { advance(kProducer, count); }

 private:
  uint32_t load(uint32_t word, int order) const { return __atomic_load_n(memory_.words() + word, order); }
  uint32_t wordOf(uint32_t index) const { return kRecords + (index & (capacity_ - 1)) * recordWords_; }
  void advance(uint32_t word, uint32_t count) {
    position_ += count;
    __atomic_store_n(memory_.words() + word, position_, __ATOMIC_RELEASE);
  }

  SharedMemory memory_;
  uint32_t recordWords_;
  uint32_t capacity_ = 0;
  uint32_t position_ = 0;
};
