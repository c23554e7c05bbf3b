// Memory keys: which memory the NIC may touch, for whom, and how. Every address in a WQE or a packet goes through here.
#pragma once

#include <cstdint>
#include <vector>

#include "nic/attributes.h"

namespace soft {

// IBV_ACCESS_* of verbs.h.
enum : uint32_t {
  kAccessLocalRead = 0,
  kAccessLocalWrite = 1 << 0,
  kAccessRemoteWrite = 1 << 1,
  kAccessRemoteRead = 1 << 2,
  kAccessRemoteAtomic = 1 << 3,
  kAccessWindowBind = 1 << 4,
};

struct alignas(64) MemoryKey {  // a power of two: its place in the table is a shift, not a division, per element
  uint8_t* base = nullptr;
  uint64_t iova = 0;
  uint64_t length = 0;
  uint32_t pd = 0;
  uint32_t access = 0;
  uint32_t boundTo = 0;   // a window: the region's index
  uint32_t boundQpn = 0;  // a type 2 window: the only QP that it serves
  uint32_t windows = 0;   // a region: how many windows are bound to it
  uint8_t tag = 0;        // the low byte of the key
  bool used = false;
  bool window = false;
  bool open = false;  // a window that is not bound, or was invalidated, is not
  WindowType windowType = WindowType::type1;
};

class MemoryTable {
 public:
  int create(const MemoryRegionAttributes& attributes, uint32_t* mkey);
  int change(uint32_t mkey, const MemoryRegionAttributes& attributes, uint32_t* newMkey);
  int createWindow(uint32_t pd, WindowType type, uint32_t* rkey);
  int destroy(uint32_t mkey, bool window);
  bool uses(uint32_t pd) const;

  // Where `length` bytes at `address` lie, or null when the key is unknown, of another PD, too short, or without
  // `access`.
  uint8_t* translate(uint32_t key, uint64_t address, uint64_t length, uint32_t pd, uint32_t access) const {
    const uint32_t index = key >> 8;
    if (index >= count_) return nullptr;
    const MemoryKey& entry = first_[index];
    if (!entry.open || entry.tag != static_cast<uint8_t>(key) || entry.pd != pd) return nullptr;
    if ((entry.access & access) != access) return nullptr;
    // An address below iova wraps to an offset behind every region: create() bounds iova + length, as a window's bind
    // does.
    const uint64_t offset = address - entry.iova;
    if (length > entry.length || offset > entry.length - length) return nullptr;
    return entry.base + offset;
  }

  // Where it would lie, unchecked: for prefetches, which do no harm wherever they lead.
  const void* guess(uint32_t key, uint64_t address) const {
    const uint32_t index = key >> 8;
    if (index >= count_) return nullptr;
    const MemoryKey& entry = first_[index];
    return reinterpret_cast<const void*>(reinterpret_cast<uint64_t>(entry.base) + (address - entry.iova));
  }

  // For a remote key: the same, and a type 2 window must be bound to `qpn`.
  uint8_t* translateRemote(uint32_t key, uint64_t address, uint64_t length, uint32_t pd, uint32_t access,
                           uint32_t qpn) const {
    const uint32_t index = key >> 8;
    if (index < keys_.size() && keys_[index].boundQpn != 0 && keys_[index].boundQpn != qpn) return nullptr;
    return translate(key, address, length, pd, access);
  }

  MemoryKey* find(uint32_t key) {
    const uint32_t index = key >> 8;
    return index < keys_.size() && keys_[index].used && keys_[index].tag == static_cast<uint8_t>(key) ? &keys_[index]
                                                                                                      : nullptr;
  }
  // A window by its index alone: of type 2, the low byte of the key is its owner's (ibv_inc_rkey(3)).
  MemoryKey* findWindow(uint32_t key) {
    const uint32_t index = key >> 8;
    if (index >= keys_.size() || !keys_[index].used || !keys_[index].window) return nullptr;
    return keys_[index].windowType == WindowType::type2 ? &keys_[index] : find(key);
  }
  // A peer's SEND_WITH_INV: closes a type 2 window that is bound to `qpn`. False when `key` is none.
  bool invalidate(uint32_t key, uint32_t pd, uint32_t qpn);
  void unbind(MemoryKey& window);
  void bind(MemoryKey& window, uint32_t regionKey);

 private:
  int allocate(uint32_t* index);

  // Where the keys lie and how many they are: what each look-up starts with.
  void moved() {
    first_ = keys_.data();
    count_ = static_cast<uint32_t>(keys_.size());
  }

  std::vector<MemoryKey> keys_{2};  // index 1 would make MLX5_INVALID_LKEY (0x100) a valid key: never used
  std::vector<uint32_t> free_;
  const MemoryKey* first_ = keys_.data();
  uint32_t count_ = 2;
};

}  // namespace soft
