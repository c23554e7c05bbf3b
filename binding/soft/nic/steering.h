// Flow steering: which queue gets a frame. A port's rules are kept in the order in which they are asked: normal rules
// by priority, then the default for multicast, then the default for everything; sniffers stand beside and get a copy.
// A frame is not compared with each: rules that look at the same bits share a hash table.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "nic/attributes.h"
#include "nic/packet.h"

namespace soft {

class RawTarget;

// A rule as it is compared: only the words that its mask touches.
struct CompiledRule {
  bool matches(const FlowKey& outer, const FlowKey* inner) const {
    for (const Word& word : words) {
      const bool inside = word.index >= FlowKey::kWords;
      if (inside && inner == nullptr) return false;
      const uint64_t key = inside ? inner->words[word.index - FlowKey::kWords] : outer.words[word.index];
      if ((key & word.mask) != word.value) return false;
    }
    return true;
  }
  bool sameMatch(const CompiledRule& other) const;

  struct Word {
    uint8_t index;  // of the outer key's words, or kWords + of the inner one's
    uint64_t mask;
    uint64_t value;
    bool operator==(const Word& other) const {
      return index == other.index && mask == other.mask && value == other.value;
    }
  };
  std::vector<Word> words;
  FlowRule rule;
  RawTarget* target = nullptr;  // null: drop
  uint32_t number = 0;
  uint32_t bits = 0;         // how specific it is
  bool nextIsAlike = false;  // the next rule matches exactly what this one does
};

class Steering {
 public:
  void add(const FlowRule& rule, RawTarget* target, uint32_t number);
  bool remove(uint32_t number, RawTarget** target);
  bool inspectsInner() const { return innerRules_ != 0; }
  // The words of the outer key that rules look at, and of the inner one: a bit for each.
  uint32_t outerWords() {
    if (!indexed_) index();
    return words_ & ((1u << FlowKey::kWords) - 1);
  }
  uint32_t innerWords() {
    if (!indexed_) index();
    return words_ >> FlowKey::kWords;
  }
  bool empty() const { return rules_.empty() && sniffers_.empty(); }
  bool sniffs() const { return !sniffers_.empty(); }
  const std::vector<CompiledRule>& sniffers() const { return sniffers_; }

  // Where rules look at nothing but the Ethernet header and there is no sniffer: the one rule that gets a frame with
  // these first two words of its key. Null where that is not so, or there are several such rules, or none. The answer
  // is kept until another header is asked for, or the rules change.
  const CompiledRule* sole(uint64_t addressAndType, uint64_t sourceAndTag) {
    if (!indexed_) index();
    if (!ethernetAlone_) return nullptr;
    const uint64_t first = addressAndType & masks_[0], second = sourceAndTag & masks_[1];
    if (sole_ == nullptr || first != soleWords_[0] || second != soleWords_[1]) findSole(first, second);
    return sole_;
  }

  // Calls visit(rule) for each rule that gets the frame. Two rules that match exactly alike both do (the kernel gives
  // one table entry two destinations); behind a DONT_TRAP rule the search goes on. Returns whether any did.
  template <typename Visit>
  bool match(const FlowKey& outer, const FlowKey* inner, Visit visit) {
    for (const CompiledRule& sniffer : sniffers_) visit(sniffer);
    if (!indexed_) index();
    uint32_t from = 0;
    for (;;) {
      const uint32_t found = find(outer, inner, from);
      if (found == kNone) return from != 0;
      from = found;
      do visit(rules_[from]);
      while (rules_[from++].nextIsAlike);
      if (!rules_[found].rule.dontTrap) return true;
    }
  }

 private:
  static constexpr uint32_t kNone = ~0u;

  // Rules that look at the same bits. A frame has one value there, so of any number of such rules one look in a table
  // finds those that it matches.
  struct Shape {
    bool sameBits(const std::vector<CompiledRule::Word>& words) const;
    bool hash(const FlowKey& outer, const FlowKey* inner, uint64_t* hash) const;

    uint32_t first = 0;                     // the first of its rules
    bool only = false;                      // and the only one
    std::vector<CompiledRule::Word> words;  // of its first rule
    std::vector<uint32_t> rules;            // in order: only the first of those that match exactly alike
    std::vector<uint32_t> slots;            // open addressing, twice as many as there are rules: places in `rules`, + 1
    uint32_t shift = 0;                     // of the hash, to a slot
  };

  void index();
  void findSole(uint64_t first, uint64_t second);
  // The first rule from `from` on that the frame matches.
  uint32_t find(const FlowKey& outer, const FlowKey* inner, uint32_t from) const {
    uint32_t first = kNone;
    for (const Shape& shape : shapes_) {
      if (shape.first >= first) break;  // so are all rules of those behind it
      if (shape.only) {
        if (shape.first >= from && rules_[shape.first].matches(outer, inner)) first = shape.first;
      } else {
        first = std::min(first, find(shape, outer, inner, from));
      }
    }
    return first;
  }
  uint32_t find(const Shape& shape, const FlowKey& outer, const FlowKey* inner, uint32_t from) const;

  std::vector<CompiledRule> rules_;
  std::vector<Shape> shapes_;  // those with the earliest rules first
  bool indexed_ = true;        // the shapes are those of the rules
  std::vector<CompiledRule> sniffers_;
  uint32_t innerRules_ = 0;
  uint32_t words_ = 0;  // of both keys, as in CompiledRule::Word
  // Of the first two words what rules look at, and what sole() was asked for and found.
  uint64_t masks_[2] = {};
  bool ethernetAlone_ = false;
  uint64_t soleWords_[2] = {};
  const CompiledRule* sole_ = nullptr;
};

}  // namespace soft
