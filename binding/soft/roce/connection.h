// An RC or UC queue pair: a requester and a responder towards one peer.
#pragma once

#include "roce/requester.h"
#include "roce/responder.h"
#include "roce/transport.h"

namespace soft {
namespace roce {

class Connection : public Transport {
 public:
  Connection(Engine& engine, QueuePair& qp);

  bool transmit() override;
  void receive(const Packet& packet) override;
  void modified(const QueuePairChange& change) override;
  void abandon(bool receiveToo) override;
  uint64_t deadline() const override { return requester_.deadline(); }
  uint32_t sendPsn() const override { return requester_.psn(); }
  uint32_t receivePsn() const override { return responder_.psn(); }

 private:
  QueuePair& qp_;
  const bool reliable_;
  uint32_t pathMtu_ = 1024;
  Path path_;
  Requester requester_;
  Responder responder_;
};

}  // namespace roce
}  // namespace soft
