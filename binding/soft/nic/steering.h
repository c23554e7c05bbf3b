// Flow steering: which queue gets a frame. A port's rules are kept in the order in which they are asked: normal rules
// by priority, then the default for multicast, then the default for everything; sniffers stand beside and get a copy.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "nic/attributes.h"
#include "nic/packet.h"

namespace soft {

class RawTarget;

// A rule as it is compared: only the words that its mask touches.
struct CompiledRule {
  bool matches(const FlowKey& outer, const FlowKey* inner) const;
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
  uint32_t bits = 0;  // how specific it is
};

class Steering {
 public:
  void add(const FlowRule& rule, RawTarget* target, uint32_t number);
  bool remove(uint32_t number, RawTarget** target);
  bool inspectsInner() const { return innerRules_ != 0; }
  bool empty() const { return rules_.empty() && sniffers_.empty(); }

  // Calls visit(rule) for each rule that gets the frame. Two rules that match exactly alike both do (the kernel gives
  // one table entry two destinations); behind a DONT_TRAP rule the search goes on. Returns whether any did.
  template <typename Visit>
  bool match(const FlowKey& outer, const FlowKey* inner, Visit visit) const {
    for (const CompiledRule& sniffer : sniffers_) visit(sniffer);
    bool found = false;
    const size_t count = firstWords_.size();  // rules_ has as many, but must divide by their size to know it
    for (size_t i = 0; i < count; ++i) {
      const CompiledRule::Word& first = firstWords_[i];
      if ((outer.words[first.index] & first.mask) != first.value) continue;
      const CompiledRule& rule = rules_[i];
      if (!rule.matches(outer, inner)) continue;
      found = true;
      visit(rule);
      while (i + 1 < count && rules_[i + 1].sameMatch(rule)) visit(rules_[++i]);
      if (!rule.rule.dontTrap) break;
    }
    return found;
  }

 private:
  void indexFirstWords();

  std::vector<CompiledRule> rules_;
  std::vector<CompiledRule::Word> firstWords_;  // of each rule, side by side: most rules are told apart by it
  std::vector<CompiledRule> sniffers_;
  uint32_t innerRules_ = 0;
};

}  // namespace soft
