// The RDMA transports of the NIC: what makes messages of WQEs and packets of messages, and back. Each RC, UC or UD
// queue pair has one; the engine (nic/engine.h) owns the queue pair itself, its rings, its state and its completions.
//
//   WQE → requester → packets → wire → responder → memory, receive WQE, CQE
//            ↑________________ acknowledgements ______↓           (RC alone)
//
// All of it runs inside Engine::step, on one thread, and asks no clock: Engine::now().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "nic/attributes.h"
#include "nic/packet.h"
#include "wire/wire.h"

namespace soft {

class Engine;
struct Port;
struct QueuePair;

namespace roce {

struct Packet;

class Transport {
 public:
  virtual ~Transport() = default;

  // Sends what can be sent: new WQEs from qp.sendHead on, retransmissions that are due, answers. Called once a step in
  // every state but RESET, because the answer to a last bad packet still has to leave in ERR. Returns whether it did
  // anything.
  virtual bool transmit() = 0;

  // A packet to this queue pair, whole and with a good ICRC. Only while the queue pair receives().
  virtual void receive(const Packet& packet) = 0;

  // After ibv_modify_qp: qp.state and qp.attributes are already the new ones.
  virtual void modified(const QueuePairChange& change) = 0;

  // On the way to ERR (to SQE: only the send half): gives back everything taken and not completed, so that the engine
  // flushes it: qp.sendHead returns to the oldest uncompleted WQE, a receive WQE in use is completed as flushed.
  virtual void abandon(bool receiveToo) = 0;

  // When transmit() has something to do of itself (retransmission, end of an RNR wait).
  virtual uint64_t deadline() const { return kNever; }

  // The PSNs that ibv_query_qp reports.
  virtual uint32_t sendPsn() const = 0;
  virtual uint32_t receivePsn() const = 0;
};

// For a queue pair of type rc, uc or ud that was just created. Allocates all that it will ever need.
std::unique_ptr<Transport> makeTransport(Engine& engine, QueuePair& qp);

// A frame for UDP port 4791. Returns whether it was RoCE for one of this port's GIDs, and so is not raw packet QPs'.
bool receiveFrame(Engine& engine, Port& port, const uint8_t* frame, size_t length, const Layers& layers);

}  // namespace roce
}  // namespace soft
