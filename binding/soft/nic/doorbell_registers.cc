#include "nic/doorbell_registers.h"

#include <algorithm>

namespace soft {

void DoorbellRegisters::baseline(Register& at) {
  for (uint32_t i = 0; at.address != nullptr && i < words_; ++i) {
    at.seen[i] = __atomic_load_n(reinterpret_cast<const uint64_t*>(at.address + i * stride_), __ATOMIC_ACQUIRE);
  }
}

uint8_t DoorbellRegisters::naming(const Register& at, uint32_t number) const {
  uint8_t parts = 0;
  for (uint32_t i = 0; i < words_; ++i) {
    if (static_cast<uint32_t>(__builtin_bswap64(at.seen[i])) >> shift_ == number)
      parts |= static_cast<uint8_t>(1u << i);
  }
  return parts;
}

void DoorbellRegisters::forgetRings(Watch* watch) {
  if (!watch->alone) return;
  baseline(*watch->at);
  watch->unknown = naming(*watch->at, watch->number);
  watch->caught = false;
}

void DoorbellRegisters::add(const void* address, const void* record, Watch* watch, bool own) {
  const auto* bytes = static_cast<const uint8_t*>(address);
  auto at =
      std::find_if(registers_.begin(), registers_.end(), [bytes](const auto& one) { return one->address == bytes; });
  if (at == registers_.end()) {
    at = registers_.insert(at, std::make_unique<Register>());
    (*at)->address = bytes;
    baseline(**at);
    watch->alone = own && bytes != nullptr;
    watch->unknown = watch->alone ? naming(**at, watch->number) : 0;
  }
  watch->at = at->get();
  for (Entry& entry : watch->at->entries) {
    if (!entry.watch->alone) continue;
    entry.watch->alone = false;
    entry.heeded = ~entry.heeded;  // its record counts from now on: it is news, told or not
  }
  watch->index = watch->at->entries.size();
  watch->at->entries.push_back({record, 0, watch});
  heed(*watch);
  ++total_;
  stir();
}

void DoorbellRegisters::remove(Watch* watch) {
  Register* at = watch->at;
  if (at == nullptr) return;
  Entry& hole = at->entries[watch->index];
  hole = at->entries.back();
  hole.watch->index = watch->index;
  at->entries.pop_back();
  watch->at = nullptr;
  --total_;
  // The one that filled the hole may have been ahead of the cursor, and is behind it now.
  if (at->suspects != 0) at->suspects = at->entries.size();
  sweptHere_ = 0;
  stir();
  if (!at->entries.empty()) return;
  registers_.erase(
      std::find_if(registers_.begin(), registers_.end(), [at](const auto& one) { return one.get() == at; }));
}

}  // namespace soft
