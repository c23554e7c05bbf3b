#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "bell.h"
#include "mlx5/queue_pair_rings.h"
#include "ring/shared_ring.h"
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

  // What it shares with JavaScript: `control` has records::kControlWords.
  struct Shared {
    SharedMemory control;
    SharedRing sends, receives;
  };

  QueuePair(ProtectionDomain& domain, CompletionQueue& sendQueue, CompletionQueue& receiveQueue, const Sizes& sizes,
            Shared shared);

  int release(const char** syscall) override;

  // Posts the requests of both rings, receives first, each in one call of the provider. Returns how many the provider
  // accepted: if fewer than there were, the control words say why the first was refused. A refused request is taken out
  // of its ring, unless another try can succeed; those behind it stay.
  uint32_t submit();
  // submit() as a function for hot code. `control` are the control words, where the count goes.
  Napi::Value submitBell(Napi::Env env, Napi::Value control) {
    return submitBell_.bind(env, *this, control, records::kControlWords);
  }

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

  ProtectionDomain& domain;
  CompletionQueue& sendQueue;
  CompletionQueue& receiveQueue;
  ibv_qp* ibv = nullptr;
  uint32_t number = 0;  // good after `ibv` is destroyed
  // Only where the device's rings lie in memory of JavaScript's.
  std::unique_ptr<mlx5::QueuePairRings> rings;
  uint32_t maxInline = 0;  // what the provider granted
  // Maximum bytes that the elements of a request may send, write or read together; and that one element of a receive
  // states to the device, since no message is longer. Below 2^31: bit 31 of byte_count in struct mlx5_wqe_data_seg says
  // that the data follow inline (MLX5_INLINE_SEG, mlx5dv.h); mlx4 has the same.
  uint32_t longestMessage = 0, longestReceive = 0;

  static constexpr uint32_t kReceiveName = 1u << 31;  // tells a receive's wr_id from a send's

 private:
  // JavaScript drives the device's rings: submit() posts nothing.
  bool handedOver() const { return rings && rings->taken(); }
  uint32_t postSends(uint32_t available);
  uint32_t postReceives(uint32_t available);
  // Takes `accepted` requests out of a ring, and tells of one that was refused behind them.
  uint32_t take(SharedRing& ring, uint32_t accepted);
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

  struct Refused {
    int error;  // positive errno; 0: none was refused
    records::Refusal reason;
    uint32_t detail;
  };

  const Sizes sizes_;
  Shared shared_;
  Refused refused_{};
  WorkQueue send_, receive_;
  uint32_t unsignaled_ = 0;  // accepted since the last signalled one
  bool suspect_ = false;
  RequestList<ibv_send_wr> sends_;
  RequestList<ibv_recv_wr> receives_;
  std::vector<Group> groups_;

  static void ringSubmit(QueuePair& pair, int32_t* control) {
    control[records::kSubmitted] = static_cast<int32_t>(pair.submit());
  }
  Bell<QueuePair, ringSubmit> submitBell_;
};

}  // namespace verbs
