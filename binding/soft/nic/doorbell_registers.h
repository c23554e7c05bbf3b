// Finds which of thousands of idle queues was rung. A driver rings in two places: it writes its queue's doorbell
// record, in memory that is the queue's own, and then a register of its context's pages, which many queues share.
// Looking at every record in every step would cost as much as there are queues; looking at the registers costs as much
// as there are registers, which are few.
//
// A register is only a hint: the next queue that rings there overwrites it. So one that changed names a queue, which is
// looked at in the same step, and makes all queues that ring there suspects: their records are walked through, some a
// step. A slow sweep over all records finds what no register shows (a word equal to the one that stood there); the NIC
// does not sleep before it has gone round since its last work.
//
// A register where one queue alone rings can be more than a hint: each change of it is told to that queue (strict.cc).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "nic/bytes.h"

namespace soft {

class DoorbellRegisters {
  struct Register;

 public:
  // A queue's place among those that share its register: a member of the queue.
  struct Watch {
    explicit Watch(uint32_t number) : number(number) {}
    // Whether every ring of this queue can be seen. Not while a word of the register names it that was there before its
    // time: the same word again would be no change.
    bool judged() const { return alone && unknown == 0; }

    uint32_t number;
    Register* at = nullptr;  // null: not watched
    size_t index = 0;
    bool alone = false;   // nobody else ever rang there in its time
    uint8_t unknown = 0;  // a bit for each word that names it from before
    bool caught = false;  // its writer waited at the register's door: `record` is what its record said then
    uint32_t record = 0;
  };
  // What a register was written with: the word in the processor's byte order, and which of the register's words it is.
  struct Told {
    uint64_t word;
    uint32_t part;
    const uint8_t* at;
  };

  // `words`: 8-byte words of one register that are written by turns, `stride` bytes apart; `shift`: where in a word the
  // queue's number begins.
  DoorbellRegisters(uint32_t words, uint32_t stride, uint32_t shift) : words_(words), stride_(stride), shift_(shift) {}

  // `record` is the queue's own word. Where no register is known (null) it is looked at in every step. `own`: where no
  // other queue rings there, the register is the queue's word.
  void add(const void* at, const void* record, Watch* watch, bool own = false);
  void remove(Watch* watch);
  // The queue begins anew: what its register holds is not news, and says nothing.
  void forgetRings(Watch* watch);

  // The queue's record has been read up to here: what is written from now on is news.
  void heed(const Watch& watch) {
    Entry& entry = watch.at->entries[watch.index];
    entry.gone = !loadDoorbell(entry.record, &entry.heeded);
  }

  // Looks at the registers. Calls ring(number) for queues that may have been rung, and tell(watch, told) where one
  // queue alone rings.
  template <typename Ring, typename Tell>
  void look(Ring ring, Tell tell) {
    for (const std::unique_ptr<Register>& known : registers_) {
      Register& at = *known;
      if (at.address == nullptr) {
        examine(at, at.entries.size(), ring);
        continue;
      }
      for (uint32_t i = 0; i < words_; ++i) {
        const uint64_t word =
            __atomic_load_n(reinterpret_cast<const uint64_t*>(at.address + i * stride_), __ATOMIC_ACQUIRE);
        if (word == at.seen[i]) continue;
        at.seen[i] = word;
        at.suspects = at.entries.size();
        ++at.changes;
        stir();
        const uint64_t value = __builtin_bswap64(word);
        ring(static_cast<uint32_t>(value) >> shift_);
        if (at.entries.size() == 1 && at.entries[0].watch->alone)
          tell(*at.entries[0].watch, Told{value, i, at.address + i * stride_});
      }
    }
  }

  // Goes on through the suspects, or where there are none with the sweep: `budget` records at most.
  template <typename Ring>
  void walk(size_t budget, Ring ring) {
    for (const std::unique_ptr<Register>& known : registers_) {
      if (budget == 0) return;
      Register& at = *known;
      const size_t count = std::min(at.suspects, budget);
      if (count == 0) continue;
      examine(at, count, ring);
      at.suspects -= count;
      budget -= count;
    }
    while (budget != 0 && unswept_ != 0) {
      if (turn_ >= registers_.size()) turn_ = 0;
      Register& at = *registers_[turn_];
      const size_t count = std::min({at.entries.size() - sweptHere_, budget, unswept_});
      examine(at, count, ring);
      sweptHere_ += count;
      unswept_ -= count;
      budget -= count;
      if (sweptHere_ == at.entries.size()) {
        sweptHere_ = 0;
        ++turn_;
      }
    }
  }

  // Calls each(watch, record) for the queues that ring alone in a register of the `size` bytes at `from`.
  template <typename Each>
  void within(const void* from, size_t size, Each each) {
    for (const std::unique_ptr<Register>& known : registers_) {
      if (!inside(*known, from, size) || known->entries.size() != 1 || !known->entries[0].watch->alone) continue;
      each(*known->entries[0].watch, known->entries[0].record);
    }
  }
  // Whether `at` lies in a register where one queue alone rings, behind the first word of a part: a WQE is copied
  // there.
  bool amidst(const void* at) const {
    const auto* byte = static_cast<const uint8_t*>(at);
    return std::any_of(registers_.begin(), registers_.end(), [&](const auto& one) {
      return one->address != nullptr && byte >= one->address && byte < one->address + words_ * stride_ &&
             one->entries.size() == 1 && one->entries[0].watch->alone && !inside(*one, at, 1);
    });
  }
  // How often the registers there were seen to change.
  uint32_t changesWithin(const void* from, size_t size) const {
    uint32_t sum = 0;
    for (const std::unique_ptr<Register>& known : registers_) {
      if (inside(*known, from, size)) sum += known->changes;
    }
    return sum;
  }

  // The sweep begins anew: there was work.
  void stir() { unswept_ = total_; }
  // Whether every record was looked at since.
  bool settled() const { return unswept_ == 0; }

 private:
  struct Entry {
    const void* record;
    uint32_t heeded;
    Watch* watch;
    bool gone = false;  // the record's memory
  };
  struct Register {
    const uint8_t* address;
    uint64_t seen[2];
    std::vector<Entry> entries;
    size_t cursor = 0;
    size_t suspects = 0;  // how many from the cursor on are to be looked at
    uint32_t changes = 0;
  };

  // Whether one of a register's words is among the `size` bytes at `from`, or `from` (`size` 1) in one of them.
  bool inside(const Register& at, const void* from, size_t size) const {
    const auto* begin = static_cast<const uint8_t*>(from);
    for (uint32_t i = 0; at.address != nullptr && i < words_; ++i) {
      const uint8_t* word = at.address + i * stride_;
      if (word < begin + size && begin < word + sizeof(uint64_t)) return true;
    }
    return false;
  }
  void baseline(Register& at);
  uint8_t naming(const Register& at, uint32_t number) const;

  template <typename Ring>
  void examine(Register& at, size_t count, Ring ring) {
    for (; count != 0; --count) {
      if (at.cursor >= at.entries.size()) at.cursor = 0;
      Entry& entry = at.entries[at.cursor++];
      if (entry.gone) continue;
      uint32_t now;
      if (!loadDoorbell(entry.record, &now)) {
        entry.gone = true;  // its owner finds that out, once
      } else if (now == entry.heeded) {
        continue;
      }
      entry.heeded = now;
      ring(entry.watch->number);
    }
  }

  const uint32_t words_, stride_, shift_;
  std::vector<std::unique_ptr<Register>> registers_;
  size_t total_ = 0;
  size_t unswept_ = 0;
  size_t turn_ = 0;       // the sweep: which register,
  size_t sweptHere_ = 0;  // and how many of its records
};

}  // namespace soft
