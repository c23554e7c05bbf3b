// The limits of one device, as ibv_query_device(3) reports and the commands enforce them. They are of the order of a
// ConnectX's own; memory is the real bound.
#pragma once

#include <cstdint>

namespace soft::uverbs {
namespace limits {

constexpr uint32_t kQueuePairs = 1 << 17;
constexpr uint32_t kCompletionQueues = 1 << 20;
constexpr uint32_t kCompletions = 1 << 22;
constexpr uint16_t kModerationCount = 0xffff, kModerationPeriod = 0xfff;  // MLX5_MAX_CQ_COUNT, MLX5_MAX_CQ_PERIOD (µs)
constexpr uint32_t kMemoryRegions = 1 << 22;
constexpr uint32_t kProtectionDomains = 1 << 20;
constexpr uint32_t kSharedReceiveQueues = 1 << 20;
constexpr uint32_t kReceiveRequests = 1 << 15;
constexpr uint32_t kSendBlocks = 1 << 15;          // WQE basic blocks of 64 bytes
constexpr uint16_t kSendDescriptorBytes = 1008;    // the six bits of a control segment count 63 units of 16 bytes
constexpr uint16_t kReceiveDescriptorBytes = 512;  // 32 scatter entries
constexpr uint32_t kSge = 30;
constexpr uint32_t kSharedReceiveSge = kReceiveDescriptorBytes / 16 - 1;  // mlx5_wqe_srq_next_seg takes one
constexpr uint32_t kAddressHandles = 1 << 24;
constexpr uint32_t kIndirectionTables = 1 << 20;
constexpr uint32_t kFlows = 1 << 22;
constexpr uint32_t kReadsAndAtomics = 16;
constexpr uint32_t kIndirectionTable = 1 << 11;
constexpr uint32_t kBlueFlameRegisters = 512;  // MLX5_MAX_BFREGS of libmlx5

constexpr uint32_t kDynamicRegisters = 512;  // of thread domains

// Completion vectors: mlx5_core has an event queue a processor (mlx5_irq_table_create, pci_irq.c). One thread serves
// all of them here; two at least, so that a program meets a second one on every machine.
uint32_t completionVectors();

}  // namespace limits
}  // namespace soft::uverbs
