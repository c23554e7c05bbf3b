// Handles of one kind of object of an open device file: what the commands of rdma/ib_user_verbs.h call pd_handle,
// cq_handle and so on.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "uverbs/quota.h"

namespace soft::uverbs {

template <typename T>
class Table {
 public:
  explicit Table(Quota& quota) : quota_(quota) {}

  // False when the device has as many as it may have: then nothing is to be created.
  Place reserve() { return Place(quota_); }

  uint32_t add(std::shared_ptr<T> object, Place& place) {
    place.keep();
    if (free_.empty()) {
      objects_.push_back(std::move(object));
      return static_cast<uint32_t>(objects_.size() - 1);
    }
    const uint32_t handle = free_.back();
    free_.pop_back();
    objects_[handle] = std::move(object);
    return handle;
  }

  // Null when there is none.
  std::shared_ptr<T> find(uint32_t handle) const { return handle < objects_.size() ? objects_[handle] : nullptr; }

  // `handle` is one that find() knows.
  void remove(uint32_t handle) {
    objects_[handle].reset();
    free_.push_back(handle);
    quota_.giveBack();
  }

  template <typename Visit>
  void clear(Visit visit) {
    for (auto& object : objects_) {
      if (!object) continue;
      visit(*object);
      quota_.giveBack();
    }
    objects_.clear();
    free_.clear();
  }

 private:
  Quota& quota_;
  std::vector<std::shared_ptr<T>> objects_;
  std::vector<uint32_t> free_;
};

}  // namespace soft::uverbs
