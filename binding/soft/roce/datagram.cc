#include "roce/datagram.h"

#include <infiniband/verbs.h>

#include <algorithm>
#include <cstring>

#include "nic/gid.h"
#include "roce/psn.h"

namespace soft {
namespace roce {

namespace {

constexpr uint32_t kBatch = 64;
constexpr uint32_t kControlledQkey = 1u << 31;

// mlx5_wqe_av as libmlx5 fills it for RoCE (mlx5_create_ah, _set_datagram_seg).
struct AddressVector {
  explicit AddressVector(const uint8_t* from)
      : qkey(load32(from)), qpn(load24(from + 9)), udpSource(load16(from + offsetof(mlx5_wqe_av, rlid))) {
    std::memcpy(address.destinationMac.data(), from + offsetof(mlx5_wqe_av, rmac), 6);
    address.trafficClass = from[offsetof(mlx5_wqe_av, tclass)];
    address.hopLimit = from[offsetof(mlx5_wqe_av, hop_limit)];
    const uint32_t word = load32(from + offsetof(mlx5_wqe_av, grh_gid_fl));
    gidIndex = word >> 20 & 0xff;
    address.flowLabel = word & 0xfffff;
    std::memcpy(address.destinationGid.data(), from + offsetof(mlx5_wqe_av, rgid), 16);
  }

  uint32_t qkey;
  uint32_t qpn;
  uint16_t udpSource;
  uint32_t gidIndex;
  PathAddress address;
};

}  // namespace

void Datagram::modified(const QueuePairChange& change) {
  if ((change.mask & IBV_QP_STATE) && qp_.state == QueuePairState::reset) psn_ = 0;
  if (change.mask & IBV_QP_SQ_PSN) psn_ = qp_.attributes.sendPsn;
}

bool Datagram::transmit() {
  if (qp_.state != QueuePairState::rts || qp_.port == nullptr) return false;
  uint16_t backlog = qp_.sendBacklog();
  if (backlog == 0) return false;
  SendWqe wqe;
  bool worked = false;
  for (uint32_t i = 0; i < kBatch && backlog != 0; ++i) {
    if (!qp_.fetch(&wqe, qp_.sendHead)) break;
    const uint32_t blocks = wqe.blocks;
    const SendResult result = blocks > backlog || blocks > qp_.sq.count ? SendResult::badWqe() : send(wqe);
    if (result.kind == SendResult::Kind::stalled) break;
    worked = true;
    const uint16_t index = qp_.sendHead;
    const uint16_t taken = static_cast<uint16_t>(std::min<uint32_t>(blocks, backlog));
    qp_.sendHead = static_cast<uint16_t>(qp_.sendHead + taken);
    backlog = static_cast<uint16_t>(backlog - taken);
    if (result.kind == SendResult::Kind::failed) {
      engine_.completeSendError(qp_, wqe.opcode(), index, result.syndrome, result.vendor);
      engine_.toSendError(qp_);
      break;
    }
    if (wqe.signaled()) engine_.completeSend(qp_, wqe.opcode(), index);
    if (qp_.state != QueuePairState::rts) break;
  }
  return worked;
}

SendResult Datagram::send(const SendWqe& wqe) {
  constexpr uint32_t kData = SendWqe::kSegment + sizeof(mlx5_wqe_datagram_seg);
  const uint8_t opcode = wqe.opcode();
  if (opcode == MLX5_OPCODE_NOP) return {};
  const bool immediate = opcode == MLX5_OPCODE_SEND_IMM;
  if ((opcode != MLX5_OPCODE_SEND && !immediate) || wqe.size() < kData) return SendResult::badWqe();
  AddressVector vector(wqe.bytes + SendWqe::kSegment);
  const auto own = qp_.port->gids.find(vector.gidIndex);
  if (own == qp_.port->gids.end() || !sameFamily(own->second, vector.address.destinationGid))
    return SendResult::badWqe();
  vector.address.sourceGid = own->second;

  GatherList list;
  const SendResult gathered = engine_.gather(qp_, wqe, kData, &list);
  if (gathered.kind != SendResult::Kind::done) return gathered;
  if (list.total > qp_.port->mtu) {  // one packet, or none (IBTA 9.8)
    return SendResult::failed(MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, VendorSyndrome::localLength);
  }
  Path path;
  path.set(vector.address, qp_.port->attributes.mac,
           vector.udpSource != 0 ? vector.udpSource : udpSourcePort(vector.address.flowLabel, qp_.number, vector.qpn));
  PacketWriter packet;
  const size_t headers = Bth::kSize + Deth::kSize + (immediate ? kImmediateSize : 0);
  if (!packet.open(engine_, *qp_.port, path, headers + list.total)) return SendResult::stalled();
  uint8_t* to = packet.bth();
  Bth::write(to, kServiceUd | (immediate ? kSendOnlyImmediate : kSendOnly), wqe.solicited(), packet.pad(), vector.qpn,
             false, psn_);
  // A WQE may not choose a controlled key: the top bit asks for the queue pair's own (IBTA 10.2, "controlled Q_Key").
  Deth::write(to + Bth::kSize, vector.qkey & kControlledQkey ? qp_.attributes.qkey : vector.qkey, qp_.number);
  if (immediate) std::memcpy(to + Bth::kSize + Deth::kSize, wqe.immediate(), kImmediateSize);
  if (!list.copy(to + headers, 0, list.total)) return SendResult::noAccess();
  packet.commit();
  psn_ = psnAdd(psn_, 1);
  return {};
}

void Datagram::receive(const Packet& packet) {
  if (packet.service() != kServiceUd || packet.qkey != qp_.attributes.qkey) return;  // IBTA 9.6
  ReceiveWqe wqe;
  if (!qp_.receiveQueue().peek(&wqe)) {
    ++qp_.port->counters.receiveNoBuffer;
    return;
  }
  // What does not fit is dropped in silence, and the receive waits for one that does: else anybody who knows the queue
  // key could stop the queue pair.
  if (kGrhSize + packet.payloadLength > wqe.capacity()) {
    ++qp_.port->counters.receiveTooLong;
    return;
  }
  engine_.takeReceive(qp_, &wqe);
  // In front of the datagram, 40 bytes: the IPv6 header, or 20 unused ones and the IPv4 header (annex A17).
  uint8_t grh[kGrhSize] = {};
  if (packet.ipVersion == 6) {
    std::memcpy(grh, packet.ip, kGrhSize);
  } else {
    std::memcpy(grh + 20, packet.ip, 20);
  }
  const uint32_t pd = qp_.srq != nullptr ? qp_.srq->pd : qp_.pd;
  ScatterResult result = wqe.scatter(engine_.memory(), pd, 0, grh, kGrhSize);
  if (result == ScatterResult::ok) {
    result = wqe.scatter(engine_.memory(), pd, kGrhSize, packet.payload, packet.payloadLength);
  }
  if (result != ScatterResult::ok) {
    engine_.completeReceiveError(qp_, wqe.index, MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, VendorSyndrome::localProtection);
    engine_.toError(qp_);
    return;
  }
  Cqe cqe(packet.immediate != nullptr ? MLX5_CQE_RESP_SEND_IMM : MLX5_CQE_RESP_SEND, packet.solicited, qp_.userIndex,
          qp_.number, wqe.index);
  cqe.setByteCount(static_cast<uint32_t>(kGrhSize) + packet.payloadLength);
  if (packet.immediate != nullptr) cqe.setImmediate(packet.immediate);
  cqe.setSource(packet.ipVersion == 6 ? CqeL3::ipv6 : CqeL3::ipv4, packet.sourceQpn);
  engine_.complete(qp_.receiver.cq, cqe, &qp_);
}

}  // namespace roce
}  // namespace soft
