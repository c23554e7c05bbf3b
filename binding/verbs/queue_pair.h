#pragma once

#include <cstring>
#include <vector>

#include "shared_memory.h"
#include "verbs/completion_queue.h"
#include "verbs/protection_domain.h"
#include "verbs/records.h"
#include "verbs/request_list.h"
#include "verbs/work_queue.h"

namespace verbs {

class QueuePair : public Handle {
 public:
  static constexpr Kind kKind = Kind::QueuePair;

  struct Sizes {
    uint32_t maxSendWr, maxReceiveWr, maxSendSge, maxReceiveSge, maxInline;
  };

  QueuePair(ProtectionDomain& domain, CompletionQueue& sendQueue, CompletionQueue& receiveQueue, const Sizes& sizes,
            SharedMemory block);

  int release(const char** syscall) override;

  // Posts `count` records of the send (receive) ring, beginning with record `first`, in one call of the provider.
  // Returns how many the provider accepted; if fewer, the control words say why it refused the next one.
  uint32_t postSend(uint32_t first, uint32_t count);
  uint32_t postReceive(uint32_t first, uint32_t count);
  // Posts both, receives first, in the ranges that the control words name. Stops at the first refusal: a result below
  // the sum of the two counts says that there was one.
  uint32_t submit();

  // Retires the request of a completion and the older unsignalled ones. False if the caller must not see the
  // completion.
  bool retire(uint32_t name, bool success, uint32_t* cookie, uint32_t* opcode);

  // Whether every send that generates a completion has completed, polled or not.
  bool settled() { return send_.signaled() <= sendQueue.hold(*this); }

  // ibv_attach_mcast(3), ibv_detach_mcast(3): an errno or 0. release() leaves the groups that remain.
  int attachMulticast(const ibv_gid& gid, uint16_t lid);
  int detachMulticast(const ibv_gid& gid, uint16_t lid);

  // Something failed: the device may have moved the queue pair to ERR.
  void suspect() { suspect_ = true; }

  // After a transition to RESET: releases all requests and drops the completions that were not polled.
  void afterReset();

  const Sizes& sizes() const { return sizes_; }

  // How many words the shared block needs.
  static size_t blockWords(const Sizes& sizes) {
    return records::kControlWords + sizes.maxSendWr * static_cast<size_t>(records::sendWords(sizes.maxSendSge)) +
           sizes.maxReceiveWr * static_cast<size_t>(records::receiveWords(sizes.maxReceiveSge));
  }

  ProtectionDomain& domain;
  CompletionQueue& sendQueue;
  CompletionQueue& receiveQueue;
  ibv_qp* ibv = nullptr;
  uint32_t maxInline = 0;  // what the provider granted
  // Maximum bytes that the elements of a request may send, write or read together; and that one element of a receive
  // states to the device, since no message is longer. Below 2^31: bit 31 of byte_count in struct mlx5_wqe_data_seg says
  // that the data follow inline (MLX5_INLINE_SEG, mlx5dv.h); mlx4 has the same.
  uint32_t longestMessage = 0, longestReceive = 0;

  static constexpr uint32_t kReceiveName = 1u << 31;  // tells a receive's wr_id from a send's

 private:
  bool buildSend(const uint32_t* record, ibv_send_wr* request, ibv_sge* elements);
  // Limits the length of each element to `most`.
  bool buildElements(const uint32_t* record, uint32_t count, bool written, uint32_t most, ibv_sge* elements,
                     uint64_t* total);
  bool refuse(int error, records::Refusal reason, uint32_t detail = 0);
  void publish();
  void drain();
  void ringInError();

  struct Group {
    ibv_gid gid;
    uint16_t lid;
    bool is(const ibv_gid& other, uint16_t otherLid) const {
      return memcmp(gid.raw, other.raw, sizeof gid.raw) == 0 && lid == otherLid;
    }
  };

  const Sizes sizes_;
  SharedMemory block_;
  WorkQueue send_, receive_;
  uint32_t unsignaled_ = 0;  // accepted since the last signalled one
  bool suspect_ = false;
  RequestList<ibv_send_wr> sends_;
  RequestList<ibv_recv_wr> receives_;
  std::vector<Group> groups_;
};

}  // namespace verbs
