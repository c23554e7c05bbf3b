#include "roce/transport.h"

#include <algorithm>
#include <cstring>

#include "nic/engine.h"
#include "nic/icrc.h"
#include "roce/connection.h"
#include "roce/datagram.h"
#include "roce/packet.h"

namespace soft {
namespace roce {

namespace {

bool icrcGood(const uint8_t* frame, const Layers& layers) {
  const size_t end = layers.end - kIcrcSize;
  uint32_t icrc;
  std::memcpy(&icrc, frame + end, kIcrcSize);
  return icrc == invariantCrc(frame, layers, end);
}

void deliver(Engine& engine, QueuePair* qp, Port& port, const Packet& packet) {
  if (qp == nullptr || qp->transport == nullptr || qp->port != &port || !qp->receives()) return;
  qp->transport->receive(packet);
  engine.heard(*qp);
}

}  // namespace

std::unique_ptr<Transport> makeTransport(Engine& engine, QueuePair& qp) {
  if (qp.type == QueuePairType::ud) return std::make_unique<Datagram>(engine, qp);
  return std::make_unique<Connection>(engine, qp);
}

bool receiveFrame(Engine& engine, Port& port, const uint8_t* frame, size_t, const Layers& layers) {
  const bool group = (frame[layers.l2] & 1) != 0;
  if (!group && std::memcmp(frame + layers.l2, port.attributes.mac.data(), 6) != 0) return false;
  Packet packet;
  if (!parsePacket(frame, layers, &packet)) return false;
  const bool multicast = packet.destinationQpn == kMulticastQpn;
  if (!multicast && !port.hasGid(packet.destinationGid)) return false;
  ++port.counters.receiveSteeredRoce;
  if (!icrcGood(frame, layers)) {
    ++port.counters.receiveIcrcBad;
    return true;
  }
  // The partition: its lower 15 bits (IBTA 9.6, 10.9).
  if ((packet.pkey & 0x7fff) != (Bth::kDefaultPkey & 0x7fff)) return true;
  if (!multicast) {
    deliver(engine, engine.queuePair(packet.destinationQpn), port, packet);
    return true;
  }
  for (QueuePair* qp : engine.queuePairs()) {
    const std::vector<Gid>& groups = qp->multicast;
    if (std::find(groups.begin(), groups.end(), packet.destinationGid) == groups.end()) continue;
    deliver(engine, qp, port, packet);
  }
  return true;
}

}  // namespace roce
}  // namespace soft
