// Handles are numbers, as file descriptors are: a slot and a generation. JavaScript can pass any number at all,
// and gets an error for one that is stale, foreign or of another kind.
//
// A child names its parents when it is opened. Closing a handle closes its descendants first, newest first; the end of
// the environment closes everything the same way.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

enum class Kind : uint8_t {
  Context,
  ProtectionDomain,
  MemoryRegion,
  CompletionQueue,
  QueuePair,
  AddressHandle,
  PacketSocket,
  NetlinkSocket,
  XdpSocket,
  Flow,
  RawPacketQueue,
  LinkWatch,
  WorkQueue,
  IndirectionTable,
  RssQueuePair,
};

class Handle {
 public:
  Handle(Kind kind, std::vector<Handle*> parents) : kind(kind), parents(std::move(parents)) {}
  virtual ~Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  // Releases what the handle stands for. Returns 0, or the positive errno of the call that refused (the handle then
  // stays open), with that call's name in `*syscall`.
  virtual int release(const char** syscall) = 0;

  const Kind kind;
  const std::vector<Handle*> parents;
  uint32_t id = 0;
  uint64_t sequence = 0;
  uint32_t children = 0;
};

class HandleTable {
 public:
  // Takes ownership and returns the new handle's id; 0, taking nothing, when all 2^20 slots are in use.
  uint32_t open(std::unique_ptr<Handle>& handle);

  Handle* find(uint32_t id, Kind kind) const {
    const uint32_t index = id & kIndexMask;
    if (index >= slots_.size()) return nullptr;
    Handle* handle = slots_[index].handle.get();
    return handle && handle->id == id && handle->kind == kind ? handle : nullptr;
  }

  // Closes a handle and, before it, its descendants. Returns 0 or the first errno.
  int close(Handle* handle, const char** syscall);
  void closeAll();

  // How many handles are open, for tests that count leaks.
  uint32_t count() const { return count_; }

 private:
  struct Slot {
    std::unique_ptr<Handle> handle;
    uint32_t generation = 0;
  };

  // An id fits a Smi (31 bits), so that passing one never allocates.
  static constexpr uint32_t kIndexBits = 20;
  static constexpr uint32_t kIndexMask = (1u << kIndexBits) - 1;
  static constexpr uint32_t kGenerations = 1u << (30 - kIndexBits);

  int closeOne(Handle* handle, const char** syscall);

  std::vector<Slot> slots_;
  std::deque<uint32_t> free_;  // first in, first out: a stale id stays recognisable for as long as possible
  uint64_t sequence_ = 0;
  uint32_t count_ = 0;
};
