// The engine behind Nic: the tables of objects, and one step of all their work. Single-threaded: Nic holds the lock.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nic/checksum.h"
#include "nic/completion_queue.h"
#include "nic/doorbell_registers.h"
#include "nic/events.h"
#include "nic/memory_region.h"
#include "nic/nic.h"
#include "nic/queue_pair.h"
#include "nic/table.h"

namespace soft {

// How the work on one WQE ended.
struct alignas(4) SendResult {  // one register
  enum class Kind : uint8_t { done, stalled, failed };
  Kind kind = Kind::done;
  uint8_t syndrome = 0;  // MLX5_CQE_SYNDROME_*
  VendorSyndrome vendor = VendorSyndrome::none;

  static SendResult stalled() { return {Kind::stalled, 0, VendorSyndrome::none}; }
  static SendResult failed(uint8_t syndrome, VendorSyndrome vendor) { return {Kind::failed, syndrome, vendor}; }
  static SendResult noAccess() { return failed(MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, VendorSyndrome::localProtection); }
  static SendResult badWqe() { return failed(MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, VendorSyndrome::badWqe); }
};

// The memory that a send WQE names, translated and checked: what the NIC gathers.
struct GatherList {
  struct Piece {
    const uint8_t* at;
    uint64_t length;
  };
  // Copies `length` bytes from `offset` on. False when some of that memory is gone.
  [[nodiscard]] bool copy(uint8_t* to, uint64_t offset, uint64_t length) const;

  Piece pieces[SendWqe::kMaxSegments];
  uint32_t count = 0;
  uint64_t total = 0;
};

class Engine {
 public:
  Engine(const NicAttributes& attributes, Events& events);
  ~Engine();

  bool step(uint64_t now);
  uint64_t deadline();
  bool judges(const void* bell, size_t size);
  // What a writer that waits at a register's door is about to do (nic.h).
  BellState atDoor(const void* address, size_t size);
  void stored(const void* address, size_t size);
  uint32_t rings(const void* address, size_t size) const;
  bool settled() const { return queues_.settled() && arms_.settled(); }
  void stir() {
    queues_.stir();
    arms_.stir();
  }

  // Control operations (nic.h), in control.cc.
  int connect(uint8_t port, std::shared_ptr<Wire> wire, int end);
  int setLink(uint8_t port, bool up);
  int setGid(uint8_t port, uint32_t index, const Gid& gid);
  Port* port(uint8_t number);
  void allocateTransportDomain(uint32_t* number);
  void freeTransportDomain() { --transportDomains_; }
  int allocateProtectionDomain(uint32_t* pdn);
  int freeProtectionDomain(uint32_t pdn);
  int createMemoryRegion(const MemoryRegionAttributes& attributes, uint32_t* mkey);
  int changeMemoryRegion(uint32_t mkey, const MemoryRegionAttributes& attributes, uint32_t* newMkey);
  int createMemoryWindow(uint32_t pd, WindowType type, uint32_t* rkey);
  int createCompletionQueue(const CompletionQueueAttributes& attributes, uint32_t* cqn);
  int resizeCompletionQueue(uint32_t cqn, void* buffer, uint32_t entries, uint32_t cqeSize);
  int moderateCompletionQueue(uint32_t cqn, uint16_t count, uint16_t period);
  int destroyCompletionQueue(uint32_t cqn);
  int createSharedReceiveQueue(const SharedReceiveQueueAttributes& attributes, uint32_t* srqn);
  SharedReceiveQueue* sharedReceiveQueue(uint32_t srqn) { return srqs_.find(srqn); }
  int destroySharedReceiveQueue(uint32_t srqn);
  int createQueuePair(const QueuePairAttributes& attributes, uint32_t* qpn);
  int createRssQueuePair(const RssQueuePairAttributes& attributes, uint32_t* qpn);
  int modifyQueuePair(uint32_t qpn, const QueuePairChange& change);
  int queryQueuePair(uint32_t qpn, QueuePairStatus* status);
  int destroyQueuePair(uint32_t qpn);
  int attachMulticast(uint32_t qpn, const Gid& gid, bool attach);
  int createWorkQueue(const WorkQueueAttributes& attributes, uint32_t* wqn);
  int modifyWorkQueue(uint32_t wqn, WorkQueueState state);
  WorkQueue* workQueue(uint32_t wqn) { return wqs_.find(wqn); }
  int destroyWorkQueue(uint32_t wqn);
  int createIndirectionTable(const std::vector<uint32_t>& wqns, uint32_t* number);
  int destroyIndirectionTable(uint32_t number);
  int createFlow(const FlowRule& rule, uint32_t* number);
  int destroyFlow(uint32_t number);
  void fail();
  bool failed() const { return failed_; }
  std::vector<int> descriptors() const;
  bool leavesProcess() const;
  MemoryTable& memory() { return memory_; }

  // For the transports (roce/).
  QueuePair* queuePair(uint32_t qpn) { return qps_.find(qpn); }
  const std::vector<QueuePair*>& queuePairs() const { return qpList_; }
  uint64_t now() const { return now_; }
  // Where a frame for `destinationMac` goes: the wire, or back to the port itself; null while the link is down.
  FrameQueue* outgoing(Port& port, const uint8_t* destinationMac);
  // Writes a CQE, with its time, within this step; on overrun raises the events, and the QP that it was for is lost.
  [[gnu::always_inline]] void complete(CompletionQueue* cq, Cqe cqe, QueuePair* qp) {
    if (!cqe.isError()) cqe.setTimestamp(cq->stamp(now_));
    if (cq->holdsAll()) writeCompletions(*cq);
    // A message that somebody waits for: the first of a step is not held.
    const bool atOnce = !cq->touched && cq->holdsNone() && qp != nullptr && qp->transport != nullptr;
    if (!(atOnce ? cq->write(cqe) : cq->hold(cqe, qp != nullptr ? qp->number : 0))) return completionLost(*cq, qp);
    touch(*cq);
  }
  // With `response`, that many bytes come in the entry itself.
  void completeSend(QueuePair& qp, uint8_t wqeOpcode, uint16_t index, uint32_t byteCount = 0,
                    const uint8_t* response = nullptr);
  void completeSendError(QueuePair& qp, uint8_t wqeOpcode, uint16_t index, uint8_t syndrome, VendorSyndrome vendor);
  void completeReceiveError(QueuePair& qp, uint16_t index, uint8_t syndrome, VendorSyndrome vendor);
  // Takes a receive WQE of the QP's own queue or its SRQ, with the SRQ's limit event.
  bool takeReceive(QueuePair& qp, ReceiveWqe* wqe);
  void raise(AsyncEventType type, const QueuePair& qp) { events_.asynchronous({type, qp.number, qp.cookie}); }
  // To ERR: what is posted is flushed by the next step.
  void toError(QueuePair& qp);
  // To SQE: the same for the send queue alone. InfiniBand 10.3.1: where a send queue fails, an RC queue pair is in
  // error as a whole, one of another type in its send queue only.
  void toSendError(QueuePair& qp);
  // A packet for it was taken: what it has to answer leaves in this step.
  void heard(QueuePair& qp);
  // It has more to send than the wire has room for: it is asked again in every step.
  void waitForWire() { blocked_ = true; }
  // Reads the data segments from `offset` on into a list of checked pieces.
  SendResult gather(const QueuePair& qp, const SendWqe& wqe, uint32_t offset, GatherList* list);
  // Binds or invalidates a memory window (MLX5_OPCODE_UMR), in umr.cc.
  SendResult configureKey(QueuePair& qp, const SendWqe& wqe);

 private:
  // What registers tell where the doorbell records alone do not count, in strict.cc.
  void lookAtRegisters();
  void beginRings(QueuePair& qp);
  void tell(QueuePair& qp, const DoorbellRegisters::Told& told);
  void tell(CompletionQueue& cq, const DoorbellRegisters::Told& told);
  bool copiedAsPosted(QueuePair& qp, const DoorbellRegisters::Told& told, uint16_t index, uint32_t segments,
                      uint32_t* wrong);
  void violate(QueuePair& qp, const std::string& words);
  void violate(CompletionQueue& cq, const std::string& words);
  void tellViolations();

  // Which queues have something to do, in activity.cc.
  void activate(QueuePair& qp);
  void forget(QueuePair& qp);
  void lose(QueuePair& qp);
  void touch(CompletionQueue& cq) {
    if (cq.touched) return;
    cq.touched = true;
    touched_.push_back(&cq);
  }
  void flushFromNowOn(Receiver& receiver);
  void flushNoMore(Receiver& receiver);
  bool stepActive();
  bool flushLate();
  bool walk(bool busy);
  void answer();
  void writeCompletions(CompletionQueue& cq);
  void writeCompletions();
  void raiseCompletions();
  void setTimer(QueuePair& qp);
  void expireTimers();

  void completionLost(CompletionQueue& cq, QueuePair* qp);
  bool stepQueuePair(QueuePair& qp);
  bool flush(QueuePair& qp);
  bool flushSends(QueuePair& qp);
  bool flushReceives(Receiver& receiver);

  // Raw packet QPs: ethernet_transmit.cc, ethernet_receive.cc.
  bool transmitFrames(QueuePair& qp);
  void prefetchPayload(const SendWqe& wqe) const;
  SendResult transmitFrame(QueuePair& qp, const SendWqe& wqe);
  bool isOnePiece(const QueuePair& qp, const SendWqe& wqe, GatherList::Piece* piece) const;
  SendResult emitPiece(QueuePair& qp, uint8_t checksums, const GatherList::Piece& piece);
  SendResult emitFrame(QueuePair& qp, const EthSegment& eth, const GatherList& list, uint64_t offset, uint64_t payload);
  SendResult transmitManyFrames(QueuePair& qp, const SendWqe& wqe, const EthSegment& eth, const GatherList& list);
  SendResult transmitSegments(QueuePair& qp, const SendWqe& wqe, const EthSegment& eth, const GatherList& list);
  bool drain(Port& port, FrameQueue* queue);
  void receiveFrame(Port& port, const uint8_t* frame, size_t length);
  bool steer(Port& port, const uint8_t* frame, size_t length, const Layers& layers, bool sniffed,
             const QueuePair* sender);
  // Whether a frame that a raw packet queue pair sends goes out on the wire, having given it to others of its port.
  bool leaves(const QueuePair& sender, const uint8_t* frame, size_t length) {
    return (transportDomains_ < 2 && selfLoopbacks_ == 0) || loopBack(sender, frame, length);
  }
  bool loopBack(const QueuePair& sender, const uint8_t* frame, size_t length);
  void deliverNow(Port& port, const CompiledRule& rule, const uint8_t* frame, size_t length, const Layers& layers,
                  const ChecksumStatus& checks);
  void deliver(Port& port, const CompiledRule& rule, const uint8_t* frame, size_t length, const Layers& layers,
               const ChecksumStatus& checks);
  void deliverChanged(Port& port, const CompiledRule& rule, Receiver& receiver, const PacketHash& hash,
                      const uint8_t* frame, size_t length, const Layers& layers, const ChecksumStatus& checks);
  void describe(Port& port, const Receiver& receiver, const PacketHash& hash, const uint8_t* frame, size_t length,
                const Layers& layers, const ChecksumStatus& checks, Cqe* cqe);
  void undelivered(Port& port, Receiver& receiver);
  void scatterError(Receiver& receiver, uint16_t index, ScatterResult result);
  bool openStrides(Receiver& receiver, uint64_t bytes);
  void receiverLost(Receiver& receiver);
  void failWorkQueue(WorkQueue& wq);
  void receiverError(Receiver& receiver, uint16_t index, uint8_t syndrome, VendorSyndrome vendor);

  int modifyState(QueuePair& qp, const QueuePairChange& change);
  QueuePair* list(uint32_t qpn, std::unique_ptr<QueuePair> qp);
  void resetQueuePair(QueuePair& qp);
  int checkRing(const ReceiveRing& ring, bool optional) const;

  Events& events_;
  NicAttributes attributes_;
  std::vector<std::unique_ptr<Port>> ports_;
  MemoryTable memory_;
  Table<uint32_t> pds_;  // the shared receive queues of each
  Table<CompletionQueue> cqs_;
  Table<SharedReceiveQueue> srqs_;
  Table<QueuePair> qps_;
  Table<WorkQueue> wqs_;
  Table<IndirectionTable> indirections_;
  Table<uint8_t> flows_;  // the port of each
  std::vector<QueuePair*> qpList_;
  std::vector<WorkQueue*> wqList_;
  uint32_t transportDomains_ = 0, lastTransportDomain_ = 0;
  uint32_t selfLoopbacks_ = 0;  // queue pairs that hear frames of their own transport domain
  uint32_t roceQps_ = 0;        // while there is none, RoCE frames are like any other

  // A blue flame register: two halves by turns, each begins with a control segment.
  DoorbellRegisters queues_{2, 256, 8};
  DoorbellRegisters arms_{1, 0, 0};  // MLX5_CQ_DOORBELL: the arm word and the CQ's number
  std::vector<QueuePair*> active_;   // had work lately
  std::vector<QueuePair*> heard_;    // had a packet in this step
  std::vector<Receiver*> late_;      // in error: what is posted there is flushed
  size_t lateTurn_ = 0;
  std::vector<CompletionQueue*> touched_;  // have a new entry, or were armed
  struct Timer {
    uint64_t time;
    uint32_t qpn;
    bool operator<(const Timer& other) const { return time > other.time; }  // the earliest on top of a heap
  };
  std::vector<Timer> timers_;
  std::vector<std::string> violations_;  // of this step
  bool blocked_ = false;

  uint64_t now_ = 0;
  bool failed_ = false;
  SendWqe wqe_;  // scratch: the WQE that is being worked on
  static constexpr uint32_t kAhead = 4;
  SendWqe ahead_[kAhead];  // the same, and those behind it: raw packet queues read ahead
};

}  // namespace soft
