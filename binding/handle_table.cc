#include "handle_table.h"

#include <algorithm>
#include <unordered_set>

uint32_t HandleTable::open(std::unique_ptr<Handle>& handle) {
  // A slot is reused only when many are free, so that generations wrap as late as possible.
  uint32_t index;
  if (free_.size() > 1024 || (slots_.size() > kIndexMask && !free_.empty())) {
    index = free_.front();
    free_.pop_front();
  } else if (slots_.size() <= kIndexMask) {
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    return 0;
  }
  Slot& slot = slots_[index];
  slot.generation = slot.generation + 1 < kGenerations ? slot.generation + 1 : 1;
  handle->id = slot.generation << kIndexBits | index;
  handle->sequence = ++sequence_;
  for (Handle* parent : handle->parents) parent->children++;
  count_++;
  slot.handle = std::move(handle);
  return slot.handle->id;
}

int HandleTable::closeOne(Handle* handle, const char** syscall) {
  const int error = handle->release(syscall);
  if (error) return error;
  const uint32_t index = handle->id & kIndexMask;
  for (Handle* parent : handle->parents) parent->children--;
  slots_[index].handle.reset();
  free_.push_back(index);
  count_--;
  return 0;
}

int HandleTable::close(Handle* handle, const char** syscall) {
  if (handle->children == 0) return closeOne(handle, syscall);

  std::vector<Handle*> younger;
  for (const Slot& slot : slots_) {
    if (slot.handle && slot.handle->sequence >= handle->sequence) younger.push_back(slot.handle.get());
  }
  std::sort(younger.begin(), younger.end(), [](Handle* a, Handle* b) { return a->sequence < b->sequence; });
  // Parents are older than their children, so one pass from the oldest finds every descendant.
  std::unordered_set<Handle*> doomed{handle};
  std::vector<Handle*> order{handle};
  for (Handle* candidate : younger) {
    if (doomed.count(candidate)) continue;
    for (Handle* parent : candidate->parents) {
      if (doomed.count(parent)) {
        doomed.insert(candidate);
        order.push_back(candidate);
        break;
      }
    }
  }
  int first = 0;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    // A child that could not be closed still points at its parents: they stay open with it.
    if ((*it)->children > 0) continue;
    const char* failed = nullptr;
    const int error = closeOne(*it, &failed);
    if (error && !first) {
      first = error;
      *syscall = failed;
    }
  }
  return first;
}

void HandleTable::closeAll() {
  std::vector<Handle*> all;
  for (const Slot& slot : slots_) {
    if (slot.handle) all.push_back(slot.handle.get());
  }
  std::sort(all.begin(), all.end(), [](Handle* a, Handle* b) { return a->sequence > b->sequence; });
  for (Handle* handle : all) {
    if (handle->children > 0) continue;  // a child could not be closed, and points at it
    const char* syscall;
    // The environment is torn down: what cannot be closed is left to the kernel, which frees it with the process.
    closeOne(handle, &syscall);
  }
}
