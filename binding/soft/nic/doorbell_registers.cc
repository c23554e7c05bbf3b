#include "nic/doorbell_registers.h"

#include <algorithm>

namespace soft {

void DoorbellRegisters::add(const void* address, const void* record, Watch* watch) {
  const auto* bytes = static_cast<const uint8_t*>(address);
  auto at =
      std::find_if(registers_.begin(), registers_.end(), [bytes](const auto& one) { return one->address == bytes; });
  if (at == registers_.end()) {
    at = registers_.insert(at, std::make_unique<Register>());
    (*at)->address = bytes;
    for (uint32_t i = 0; bytes != nullptr && i < words_; ++i) {
      (*at)->seen[i] = __atomic_load_n(reinterpret_cast<const uint64_t*>(bytes + i * stride_), __ATOMIC_ACQUIRE);
    }
  }
  watch->at = at->get();
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
