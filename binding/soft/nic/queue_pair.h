// Queue pairs and the other objects that receive messages.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "nic/attributes.h"
#include "nic/completion_queue.h"
#include "nic/doorbell_registers.h"
#include "nic/limits.h"
#include "nic/port.h"
#include "nic/receive_queue.h"
#include "nic/stride_allocator.h"
#include "nic/toeplitz.h"
#include "nic/wqe.h"
#include "roce/transport.h"

namespace soft {

struct QueuePair;
struct WorkQueue;

// Where received messages go: the receive half of a QP, or a work queue.
struct Receiver {
  Receiver(const ReceiveRing& ring, const Striding& striding, CompletionQueue* cq, uint32_t pd, uint32_t userIndex)
      : queue(ring, false, striding.logStrideBytes != 0), strides(striding), cq(cq), pd(pd), userIndex(userIndex) {}

  void reset() {
    queue.reset();
    strides.close();
  }

  // Whether a frame takes a WQE of its own and goes there as it came.
  bool plain() const { return !strides.used() && !stripVlan && !scatterFcs; }

  ReceiveQueue queue;
  StrideAllocator strides;
  CompletionQueue* cq;
  uint32_t pd;
  uint32_t userIndex;
  bool open = false;  // takes frames: a QP from RTR on, a ready work queue
  bool stripVlan = false;
  bool scatterFcs = false;
  bool late = false;               // in error: what is still posted is flushed
  QueuePair* queuePair = nullptr;  // one of the two
  WorkQueue* workQueue = nullptr;
};

struct IndirectionTable {
  std::vector<WorkQueue*> queues;  // a power of two
  uint32_t users = 0;
};

struct Rss {
  Rss(const uint8_t* key, uint64_t fields, IndirectionTable* table) : toeplitz(key), fields(fields), table(table) {}
  Toeplitz toeplitz;
  uint64_t fields;
  IndirectionTable* table;
};

// What a flow rule leads to (a TIR, in ConnectX' words): one receiver, or one of a table by hash.
class RawTarget {
 public:
  Receiver* pick(const uint8_t* frame, const Layers& layers, PacketHash* hash) const;
  // Whether it takes what a queue pair of its own port sends.
  bool hears(const QueuePair& sender, bool group) const;

  Receiver* direct = nullptr;
  std::unique_ptr<Rss> rss;
  uint32_t rules = 0;  // how many lead here
  uint32_t transportDomain = 0;
  bool ownUnicast = false, ownGroups = false;  // hears frames of its own transport domain
};

struct SharedReceiveQueue {
  SharedReceiveQueue(uint32_t number, const SharedReceiveQueueAttributes& attributes)
      : number(number),
        queue(attributes.ring, true, true),
        pd(attributes.pd),
        limit(attributes.limit),
        cookie(attributes.cookie) {}

  uint32_t number;
  ReceiveQueue queue;
  uint32_t pd;
  uint32_t limit;  // event when fewer are posted; then 0
  void* cookie;
  uint32_t users = 0;
  bool failed = false;  // srqError was raised: its memory is gone
};

struct WorkQueue {
  WorkQueue(uint32_t number, const WorkQueueAttributes& attributes, CompletionQueue* cq)
      : number(number),
        receiver(attributes.ring, attributes.striding, cq, attributes.pd, attributes.userIndex),
        cookie(attributes.cookie) {
    receiver.workQueue = this;
    receiver.stripVlan = attributes.stripVlan;
    receiver.scatterFcs = attributes.scatterFcs;
  }

  uint32_t number;
  Receiver receiver;
  WorkQueueState state = WorkQueueState::reset;
  void* cookie;
  uint32_t users = 0;  // indirection tables
};

// What a queue pair's own register told (strict.cc).
struct Rings {
  uint16_t told = 0;            // the block behind the last WQE that it told of
  uint8_t copies[2][256] = {};  // what its halves held at the last look: a WQE may have been copied there (BlueFlame)
  // The WQE that each half told of last, as posted: the rest of its copy may come after the look.
  uint8_t coming[2][256] = {};
  bool unseen[2] = {};  // a ring of the other half was missed, and perhaps one of this half before it
};

struct QueuePair {
  QueuePair(uint32_t number, const QueuePairAttributes& attributes, CompletionQueue* sendCq, CompletionQueue* receiveCq,
            SharedReceiveQueue* srq);
  ~QueuePair();

  bool receives() const { return state >= QueuePairState::rtr && state != QueuePairState::err; }
  // WQEs that were posted to the send queue and not looked at, in basic blocks.
  uint16_t sendBacklog() {
    if (sq.count == 0 || sendLost) return 0;
    uint32_t posted;
    sendLost = !loadDoorbell(sq.doorbell, &posted);
    if (sendLost) return 0;
    const auto backlog = static_cast<uint16_t>(posted - sendHead);
    return watch.judged() ? std::min(backlog, rung()) : backlog;
  }
  // Of those, at most as many as its register told of. What is flushed was posted, whatever was told.
  uint16_t rung() const {
    if (state == QueuePairState::sqe || state == QueuePairState::err) return 0xffff;
    const auto ahead = static_cast<uint16_t>(rings->told - sendHead);
    return ahead > kMaxWqes ? uint16_t{0} : ahead;  // behind: sends that were flushed, untold
  }
  // Copies the WQE at `index`. False when the ring's memory is gone: the queue pair is lost.
  bool fetch(SendWqe* wqe, uint16_t index) {
    sendLost = sendLost || !wqe->fetch(sq.buffer, sq.count, index);
    return !sendLost;
  }
  bool lost() const { return sendLost || (srq != nullptr ? srq->queue : receiver.queue).lost(); }
  ReceiveQueue& receiveQueue() { return srq != nullptr ? srq->queue : receiver.queue; }

  uint32_t number;
  QueuePairType type;
  QueuePairState state = QueuePairState::reset;
  bool scatterReceives, scatterRequests;
  bool rssOnly = false;  // an RSS QP: nothing but a target of flow rules
  uint32_t pd;
  uint32_t userIndex;
  void* cookie;
  CompletionQueue* sendCq;
  SharedReceiveQueue* srq;
  SendRing sq;
  uint16_t sendHead = 0;  // the next block to look at
  // Of a WQE of many frames that the wire had no room for: what is out, payload bytes of a TSO WQE, frames of an
  // enhanced multi-packet one.
  uint32_t segmented = 0;
  bool sendLost = false;  // the memory of its send ring or of its record is gone
  bool fatal = false;     // qpFatal was raised for that
  bool lastWqeReported = false;
  bool established = false;  // communicationEstablished was raised
  Receiver receiver;
  RawTarget target;
  Port* port = nullptr;
  QueuePairChange attributes;
  std::vector<Gid> multicast;
  std::unique_ptr<roce::Transport> transport;  // RC, UC and UD

  // The engine's: where it is in the list of all, and whether in those of queue pairs that have something to do.
  size_t place = 0;
  DoorbellRegisters::Watch watch;
  bool active = false;
  std::unique_ptr<Rings> rings;  // where its watch is alone
  bool heard = false;            // a packet came for it in this step
  uint32_t idle = 0;             // steps in which it was looked at and had nothing to do
  uint64_t timer = kNever;       // the time that the engine's clock has for it
};

}  // namespace soft
