#include "nic/steering.h"

#include <algorithm>

namespace soft {

namespace {

void compileKey(const FlowFields& value, const FlowFields& mask, uint8_t base, CompiledRule* rule) {
  // A TCI in the specification means that there is a tag (kernel: cvlan_tag is set with first_vid).
  FlowFields wanted = value, looked = mask;
  if (mask.vlanTag != 0) wanted.vlanPresent = looked.vlanPresent = 1;
  FlowKey valueKey, maskKey;
  packFields(wanted, &valueKey);
  packFields(looked, &maskKey);
  for (uint8_t i = 0; i < FlowKey::kWords; ++i) {
    if (maskKey.words[i] == 0) continue;
    rule->words.push_back({static_cast<uint8_t>(base + i), maskKey.words[i], valueKey.words[i] & maskKey.words[i]});
    rule->bits += static_cast<uint32_t>(__builtin_popcountll(maskKey.words[i]));
  }
}

int rank(FlowType type) {
  switch (type) {
    case FlowType::normal: return 0;
    case FlowType::multicastDefault: return 1;
    default: return 2;
  }
}

// The order of the rules. Of two rules of one priority that match the same frame, the more specific one comes first;
// ConnectX leaves that order open, here it is defined.
bool before(const CompiledRule& left, const CompiledRule& right) {
  const int leftRank = rank(left.rule.type), rightRank = rank(right.rule.type);
  if (leftRank != rightRank) return leftRank < rightRank;
  if (left.rule.priority != right.rule.priority) return left.rule.priority < right.rule.priority;
  return left.bits > right.bits;
}

}  // namespace

bool CompiledRule::matches(const FlowKey& outer, const FlowKey* inner) const {
  for (const Word& word : words) {
    const bool inside = word.index >= FlowKey::kWords;
    if (inside && inner == nullptr) return false;
    const uint64_t key = inside ? inner->words[word.index - FlowKey::kWords] : outer.words[word.index];
    if ((key & word.mask) != word.value) return false;
  }
  return true;
}

bool CompiledRule::sameMatch(const CompiledRule& other) const {
  return rule.type == other.rule.type && rule.priority == other.rule.priority && words == other.words;
}

void Steering::add(const FlowRule& rule, RawTarget* target, uint32_t number) {
  CompiledRule compiled;
  compiled.rule = rule;
  compiled.target = target;
  compiled.number = number;
  FlowMatch outer = rule.outer;
  if (rule.type == FlowType::multicastDefault) outer.mask.destinationMac[0] = outer.value.destinationMac[0] = 1;
  if (rule.type == FlowType::normal || rule.type == FlowType::multicastDefault) {
    compileKey(outer.value, outer.mask, 0, &compiled);
    compileKey(rule.inner.value, rule.inner.mask, FlowKey::kWords, &compiled);
  }
  const bool inner = !compiled.words.empty() && compiled.words.back().index >= FlowKey::kWords;
  innerRules_ += inner ? 1 : 0;
  if (rule.type == FlowType::sniffer) {
    sniffers_.push_back(std::move(compiled));
    return;
  }
  // Alike ones stand together, so that a frame finds them all (sameMatch).
  auto at = std::upper_bound(rules_.begin(), rules_.end(), compiled, before);
  for (auto i = rules_.begin(); i != rules_.end(); ++i) {
    if (i->sameMatch(compiled)) at = i + 1;
  }
  rules_.insert(at, std::move(compiled));
  indexFirstWords();
}

void Steering::indexFirstWords() {
  firstWords_.clear();
  for (const CompiledRule& rule : rules_) {
    const bool outer = !rule.words.empty() && rule.words[0].index < FlowKey::kWords;
    firstWords_.push_back(outer ? rule.words[0] : CompiledRule::Word{0, 0, 0});
  }
}

bool Steering::remove(uint32_t number, RawTarget** target) {
  for (std::vector<CompiledRule>* list : {&rules_, &sniffers_}) {
    for (auto i = list->begin(); i != list->end(); ++i) {
      if (i->number != number) continue;
      if (!i->words.empty() && i->words.back().index >= FlowKey::kWords) --innerRules_;
      *target = i->target;
      list->erase(i);
      indexFirstWords();
      return true;
    }
  }
  return false;
}

}  // namespace soft
