// An open device with memory, of the unmodified libibverbs and libmlx5: tests/soft/libmlx5.test.ts runs the tests on it
// with libibverbs_soft.so preloaded.
#pragma once

#include <infiniband/verbs.h>

#include <algorithm>

#include "frames.h"

constexpr size_t kBuffer = 1 << 17;

// An open device, a domain and memory: the first half to send from, the second to receive into, 2048 bytes a slot.
struct Device {
  Device() {
    int count = 0;
    ibv_device** list = ibv_get_device_list(&count);
    CHECK(list != nullptr && count >= 1);
    context = ibv_open_device(list[0]);
    CHECK(context != nullptr);
    ibv_free_device_list(list);
    pd = ibv_alloc_pd(context);
    CHECK(pd != nullptr);
    memory = static_cast<uint8_t*>(aligned_alloc(4096, kBuffer));
    std::memset(memory, 0, kBuffer);
    mr = ibv_reg_mr(pd, memory, kBuffer,
                    IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_MW_BIND);
    CHECK(mr != nullptr);
  }
  ~Device() {
    EQUAL(ibv_dereg_mr(mr), 0);
    EQUAL(ibv_dealloc_pd(pd), 0);
    EQUAL(ibv_close_device(context), 0);
    free(memory);
  }
  ibv_sge sge(size_t offset, size_t length) const {
    return {reinterpret_cast<uint64_t>(memory) + offset, static_cast<uint32_t>(length), mr->lkey};
  }
  ibv_sge put(const Bytes& bytes, size_t offset = 0) {
    std::copy(bytes.begin(), bytes.end(), memory + offset);
    return sge(offset, bytes.size());
  }
  static size_t slot(size_t i) { return kBuffer / 2 + i * 2048; }

  ibv_context* context = nullptr;
  ibv_pd* pd = nullptr;
  ibv_mr* mr = nullptr;
  uint8_t* memory = nullptr;
};
