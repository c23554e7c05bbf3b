// One command as it is written to a uverbs device file: the headers taken off, the lengths checked, the request copied.
//
// Two shapes (rdma/ib_user_verbs.h): the old one counts words of 4 bytes and the address of the response is the
// request's own first member; the extended one (IB_USER_VERBS_CMD_FLAG_EXTENDED) counts words of 8 bytes, keeps the
// driver's part (rdma/mlx5-abi.h) apart, and has the address in its header.
#pragma once

#include <rdma/ib_user_verbs.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "uverbs/user_memory.h"

namespace soft::uverbs {

struct Nothing {};

template <typename T>
constexpr size_t wireSize() {
  return std::is_empty<T>::value ? 0 : sizeof(T);
}

class Command {
 public:
  // Parses what was written. 0 or the errno that ib_uverbs_write (uverbs_main.c) gives.
  int parse(uint64_t address, size_t length);

  uint32_t number() const { return number_; }
  bool extended() const { return extended_; }

  // The request's core part, which must be there whole but for what `T` has gained since (extended commands: zero), and
  // the driver's, whose rest is zero when the caller's library is older. EINVAL when the core is too short.
  template <typename Core>
  int request(Core* core) const {
    return request(core, static_cast<Nothing*>(nullptr));
  }
  template <typename Core, typename Driver>
  int request(Core* core, Driver* driver) const {
    memset(static_cast<void*>(core), 0, sizeof(Core));
    const size_t size = wireSize<Core>();
    if (!extended_ && core_.size() < size) return EINVAL;
    if (extended_ && core_.size() < std::min(size, minimumExtended_)) return EINVAL;
    memcpy(static_cast<void*>(core), core_.data(), std::min(size, core_.size()));
    if (driver) {
      memset(static_cast<void*>(driver), 0, sizeof(Driver));
      const std::vector<uint8_t>& from = extended_ ? driver_ : core_;
      const size_t skip = extended_ ? 0 : size;
      memcpy(static_cast<void*>(driver), from.data() + skip, std::min(wireSize<Driver>(), from.size() - skip));
    }
    return 0;
  }
  // What follows the first `skip` bytes of the core part: flow specifications, work queue handles.
  const uint8_t* tail(size_t skip) const { return core_.data() + std::min(skip, core_.size()); }
  size_t tailSize(size_t skip) const { return core_.size() - std::min(skip, core_.size()); }
  size_t driverSize(size_t coreSize) const {
    return extended_ ? driver_.size() : core_.size() - std::min(coreSize, core_.size());
  }

  // Writes the response, as much of it as the caller has room for. ENOSPC when the core part does not fit (old
  // commands), EFAULT when the address is bad.
  template <typename Core>
  int respond(const Core& core) const {
    return respond(core, Nothing{});
  }
  template <typename Core, typename Driver>
  int respond(const Core& core, const Driver& driver) const {
    return write(&core, wireSize<Core>(), &driver, wireSize<Driver>());
  }
  // How much of a driver's response of type T the caller has room for: its response_length.
  uint32_t driverRoom(size_t coreSize, size_t driverSize) const;
  uint32_t coreRoom(size_t coreSize) const { return static_cast<uint32_t>(std::min(coreSize, responseSize_)); }

 private:
  int write(const void* core, size_t coreSize, const void* driver, size_t driverSize) const;

  uint32_t number_ = 0;
  bool extended_ = false;
  std::vector<uint8_t> core_, driver_;
  uint64_t response_ = 0;
  size_t responseSize_ = 0, driverResponseSize_ = 0;
  // Every extended command's first structure had at least this much.
  static constexpr size_t minimumExtended_ = 8;
};

// The name of a command, for the log: "CREATE_CQ", "EX_CREATE_FLOW".
const char* commandName(uint32_t number, bool extended);

}  // namespace soft::uverbs
