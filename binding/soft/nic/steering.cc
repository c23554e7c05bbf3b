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

// Multiplicative hashing (Knuth, The Art of Computer Programming 6.4): the upper bits of the product are the good ones.
uint64_t mix(uint64_t hash, uint64_t word) {
  const uint64_t product = (hash ^ word) * 0x9e3779b97f4a7c15;
  return product ^ product >> 32;
}

}  // namespace

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
    indexed_ = false;
    return;
  }
  // Alike ones stand together, so that a frame finds them all (sameMatch).
  auto at = std::upper_bound(rules_.begin(), rules_.end(), compiled, before);
  for (auto i = rules_.begin(); i != rules_.end(); ++i) {
    if (i->sameMatch(compiled)) at = i + 1;
  }
  rules_.insert(at, std::move(compiled));
  indexed_ = false;
}

bool Steering::Shape::sameBits(const std::vector<CompiledRule::Word>& other) const {
  return std::equal(words.begin(), words.end(), other.begin(), other.end(),
                    [](const auto& one, const auto& two) { return one.index == two.index && one.mask == two.mask; });
}

// Of what the frame has where the rules look; false when it lacks the inner headers that they look at.
bool Steering::Shape::hash(const FlowKey& outer, const FlowKey* inner, uint64_t* hash) const {
  uint64_t mixed = 0;
  for (const CompiledRule::Word& word : words) {
    const bool inside = word.index >= FlowKey::kWords;
    if (inside && inner == nullptr) return false;
    mixed = mix(mixed, (inside ? inner->words[word.index - FlowKey::kWords] : outer.words[word.index]) & word.mask);
  }
  *hash = mixed;
  return true;
}

// Once after each change, when the next frame comes: a table that is being filled is not read.
void Steering::index() {
  shapes_.clear();
  words_ = 0;
  masks_[0] = masks_[1] = 0;
  sole_ = nullptr;
  for (uint32_t i = 0; i < rules_.size(); ++i) {
    for (const CompiledRule::Word& word : rules_[i].words) {
      words_ |= 1u << word.index;
      if (word.index < 2) masks_[word.index] |= word.mask;
    }
    rules_[i].nextIsAlike = i + 1 < rules_.size() && rules_[i + 1].sameMatch(rules_[i]);
    if (i != 0 && rules_[i - 1].nextIsAlike) continue;
    auto shape = std::find_if(shapes_.begin(), shapes_.end(),
                              [&](const Shape& known) { return known.sameBits(rules_[i].words); });
    if (shape == shapes_.end()) {
      shape = shapes_.insert(shape, Shape{});
      shape->words = rules_[i].words;
    }
    shape->rules.push_back(i);
  }
  for (Shape& shape : shapes_) {
    shape.first = shape.rules[0];
    shape.only = shape.rules.size() == 1;
    uint32_t bits = 1;
    while ((size_t{1} << bits) < 2 * shape.rules.size()) ++bits;
    shape.shift = 64 - bits;
    shape.slots.assign(size_t{1} << bits, 0);
    for (uint32_t i = 0; i < shape.rules.size(); ++i) {
      uint64_t hash = 0;
      for (const CompiledRule::Word& word : rules_[shape.rules[i]].words) hash = mix(hash, word.value);
      size_t slot = hash >> shape.shift;
      while (shape.slots[slot] != 0) slot = (slot + 1) & (shape.slots.size() - 1);
      shape.slots[slot] = i + 1;
    }
  }
  ethernetAlone_ = words_ < 1u << 2 && sniffers_.empty();
  indexed_ = true;
}

void Steering::findSole(uint64_t first, uint64_t second) {
  FlowKey key;
  key.words[0] = soleWords_[0] = first;
  key.words[1] = soleWords_[1] = second;
  const uint32_t found = find(key, nullptr, 0);
  const bool one = found != kNone && !rules_[found].nextIsAlike && !rules_[found].rule.dontTrap;
  sole_ = one ? &rules_[found] : nullptr;
}

uint32_t Steering::find(const Shape& shape, const FlowKey& outer, const FlowKey* inner, uint32_t from) const {
  uint64_t hash;
  if (!shape.hash(outer, inner, &hash)) return kNone;
  // Rules of several priorities may ask for the same: all that do are in this run of slots, in their order.
  for (size_t slot = hash >> shape.shift; shape.slots[slot] != 0; slot = (slot + 1) & (shape.slots.size() - 1)) {
    const uint32_t rule = shape.rules[shape.slots[slot] - 1];
    if (rule >= from && rules_[rule].matches(outer, inner)) return rule;
  }
  return kNone;
}

bool Steering::remove(uint32_t number, RawTarget** target) {
  for (std::vector<CompiledRule>* list : {&rules_, &sniffers_}) {
    for (auto i = list->begin(); i != list->end(); ++i) {
      if (i->number != number) continue;
      if (!i->words.empty() && i->words.back().index >= FlowKey::kWords) --innerRules_;
      *target = i->target;
      list->erase(i);
      indexed_ = false;
      return true;
    }
  }
  return false;
}

}  // namespace soft
