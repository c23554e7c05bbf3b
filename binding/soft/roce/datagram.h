// A UD queue pair: each WQE is one packet to the address that it names itself (mlx5_wqe_datagram_seg).
#pragma once

#include "nic/engine.h"
#include "roce/packet.h"
#include "roce/path.h"
#include "roce/transport.h"

namespace soft {
namespace roce {

class Datagram : public Transport {
 public:
  Datagram(Engine& engine, QueuePair& qp) : engine_(engine), qp_(qp) {}

  bool transmit() override;
  void receive(const Packet& packet) override;
  void modified(const QueuePairChange& change) override;
  void abandon(bool) override {}  // nothing outlives the call that it was begun in
  uint32_t sendPsn() const override { return psn_; }
  uint32_t receivePsn() const override { return 0; }

 private:
  SendResult send(const SendWqe& wqe);

  Engine& engine_;
  QueuePair& qp_;
  uint32_t psn_ = 0;
};

}  // namespace roce
}  // namespace soft
