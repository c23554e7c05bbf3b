#include "nic/memory_region.h"

#include <cerrno>

namespace soft {

namespace {

constexpr uint32_t kMaxKeys = 1u << 24;

}  // namespace

int MemoryTable::allocate(uint32_t* index) {
  if (!free_.empty()) {
    *index = free_.back();
    free_.pop_back();
  } else {
    if (keys_.size() >= kMaxKeys) return ENOSPC;
    *index = static_cast<uint32_t>(keys_.size());
    keys_.emplace_back();
    moved();
  }
  const uint8_t tag = keys_[*index].tag;
  keys_[*index] = MemoryKey{};
  keys_[*index].tag = static_cast<uint8_t>(tag + 1);  // a key of the one before is stale, not this one's
  keys_[*index].used = true;
  return 0;
}

int MemoryTable::create(const MemoryRegionAttributes& attributes, uint32_t* mkey) {
  if (attributes.length > ~uint64_t{0} - attributes.iova) return EINVAL;
  const bool remoteWrites = (attributes.access & (kAccessRemoteWrite | kAccessRemoteAtomic)) != 0;
  if (remoteWrites && !(attributes.access & kAccessLocalWrite)) return EINVAL;  // ibv_reg_mr(3)
  uint32_t index;
  if (const int error = allocate(&index)) return error;
  MemoryKey& key = keys_[index];
  key.base = static_cast<uint8_t*>(attributes.base);
  key.iova = attributes.iova;
  key.length = attributes.length;
  key.pd = attributes.pd;
  key.access = attributes.access;
  key.open = true;
  *mkey = index << 8 | key.tag;
  return 0;
}

int MemoryTable::change(uint32_t mkey, const MemoryRegionAttributes& attributes, uint32_t* newMkey) {
  MemoryKey* key = find(mkey);
  if (key == nullptr || key->window) return ENOENT;
  if (key->windows != 0) return EBUSY;
  if (attributes.length > ~uint64_t{0} - attributes.iova) return EINVAL;
  key->base = static_cast<uint8_t*>(attributes.base);
  key->iova = attributes.iova;
  key->length = attributes.length;
  key->pd = attributes.pd;
  key->access = attributes.access;
  *newMkey = mkey;  // mlx5_ib changes a region in place by UMR where it can, and keeps its key
  return 0;
}

int MemoryTable::createWindow(uint32_t pd, WindowType type, uint32_t* rkey) {
  uint32_t index;
  if (const int error = allocate(&index)) return error;
  MemoryKey& key = keys_[index];
  key.pd = pd;
  key.window = true;
  key.windowType = type;
  *rkey = index << 8 | key.tag;
  return 0;
}

void MemoryTable::unbind(MemoryKey& window) {
  if (window.boundTo != 0) --keys_[window.boundTo].windows;
  window.boundTo = 0;
  window.boundQpn = 0;
  window.open = false;
}

bool MemoryTable::invalidate(uint32_t key, uint32_t pd, uint32_t qpn) {
  MemoryKey* window = find(key);
  if (window == nullptr || !window->window || !window->open || window->pd != pd || window->boundQpn != qpn)
    return false;
  unbind(*window);
  return true;
}

void MemoryTable::bind(MemoryKey& window, uint32_t regionKey) {
  window.boundTo = regionKey >> 8;
  window.open = true;
  ++keys_[window.boundTo].windows;
}

int MemoryTable::destroy(uint32_t mkey, bool window) {
  const uint32_t index = mkey >> 8;
  // A window's tag is its owner's to change (ibv_inc_rkey): the index names it.
  if (index >= keys_.size() || !keys_[index].used || keys_[index].window != window) return ENOENT;
  MemoryKey& key = keys_[index];
  if (!window && key.tag != static_cast<uint8_t>(mkey)) return ENOENT;
  if (key.windows != 0) return EBUSY;
  if (window) unbind(key);
  key.used = key.open = false;
  free_.push_back(index);
  return 0;
}

bool MemoryTable::uses(uint32_t pd) const {
  for (const MemoryKey& key : keys_) {
    if (key.used && key.pd == pd) return true;
  }
  return false;
}

}  // namespace soft
