// A raw packet send queue: from WQE to frame on the wire.
#include <algorithm>

#include "nic/checksum.h"
#include "nic/engine.h"
#include "nic/limits.h"
#include "nic/segmentation.h"

namespace soft {

namespace {

constexpr uint32_t kBatch = 64;            // WQEs of one queue before the next queue has its turn
constexpr uint32_t kPrefetched = 16;       // blocks of the ring that are asked for ahead
constexpr uint64_t kMaxFrame = 9978 + 22;  // a ConnectX' largest MTU, Ethernet header and two tags
constexpr uint64_t kMinFrame = 14;         // nothing shorter has an Ethernet header; padding is the wire's business

void applyChecksums(uint8_t* frame, size_t length, uint8_t flags) {
  Layers outer;
  parseLayers(frame, length, 0, &outer);
  if (flags & (kEthInnerL3Checksum | kEthInnerL4Checksum)) {
    if (const size_t at = vxlanInner(frame, outer)) {
      Layers inner;
      parseLayers(frame, outer.end, at, &inner);
      writeChecksums(frame, inner, flags & kEthInnerL3Checksum, flags & kEthInnerL4Checksum);
    }
  }
  writeChecksums(frame, outer, flags & kEthL3Checksum, flags & kEthL4Checksum);
}

}  // namespace

bool GatherList::copy(uint8_t* to, uint64_t offset, uint64_t length) const {
  for (uint32_t i = 0; i < count && length != 0; ++i) {
    const Piece& piece = pieces[i];
    if (offset >= piece.length) {
      offset -= piece.length;
      continue;
    }
    const uint64_t part = std::min(length, piece.length - offset);
    if (!guardedCopy(to, piece.at + offset, part)) return false;
    to += part;
    length -= part;
    offset = 0;
  }
  return true;
}

SendResult Engine::gather(const QueuePair& qp, const SendWqe& wqe, uint32_t offset, GatherList* list) {
  list->count = 0;
  list->total = 0;
  while (offset + SendWqe::kSegment <= wqe.size()) {
    const DataSegment segment(wqe.bytes + offset);
    GatherList::Piece& piece = list->pieces[list->count++];
    if (segment.isInline()) {
      piece.at = wqe.bytes + offset + 4;
      piece.length = segment.inlineLength();
      if (offset + 4 + piece.length > wqe.size()) return SendResult::badWqe();
      offset += (4 + static_cast<uint32_t>(piece.length) + 15) & ~15u;
    } else {
      piece.length = segment.bytes();
      piece.at = memory_.translate(segment.lkey, segment.address, piece.length, qp.pd, kAccessLocalRead);
      if (piece.at == nullptr) {
        return SendResult::failed(MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, VendorSyndrome::localProtection);
      }
      offset += SendWqe::kSegment;
    }
    list->total += piece.length;
  }
  return {};
}

// A frame that lies in one piece.
inline SendResult Engine::emitPiece(QueuePair& qp, uint8_t checksums, const GatherList::Piece& piece) {
  if (piece.length < kMinFrame || piece.length > kMaxFrame) {
    return SendResult::failed(MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, VendorSyndrome::localLength);
  }
  Port& port = *qp.port;
  if (!port.ready()) return {};  // no carrier: gone, as on a cable that was pulled
  FrameQueue& wire = *port.end.transmit;
  uint8_t* frame = wire.reserve(piece.length);
  if (frame == nullptr) {
    waitForWire();
    return SendResult::stalled();
  }
  if (!guardedCopy(frame, piece.at, piece.length)) return SendResult::noAccess();
  if (checksums != 0) applyChecksums(frame, piece.length, checksums);
  if (leaves(qp, frame, piece.length)) wire.commit(piece.length);
  ++port.counters.transmitFrames;
  port.counters.transmitBytes += piece.length;
  return {};
}

// What nearly all are: one frame that lies in one piece, to be sent as it is. Nothing comes between two looks at a WQE
// in one step, so that its memory is looked up once: ahead, to ask for it, and then to send from there.
inline bool Engine::isOnePiece(const QueuePair& qp, const SendWqe& wqe, GatherList::Piece* piece) const {
  constexpr uint32_t kSegments = EthSegment::kStart / 16 + 2;
  if (wqe.opcode() != MLX5_OPCODE_SEND || wqe.segments != kSegments || !EthSegment::isPlainIn(wqe) ||
      attributes_.minimumInlineHeader != 0) {
    return false;
  }
  const DataSegment segment(wqe.bytes + EthSegment::kStart + 16);
  if (segment.isInline()) return false;
  piece->length = segment.bytes();
  piece->at = memory_.translate(segment.lkey, segment.address, piece->length, qp.pd, kAccessLocalRead);
  return true;
}

bool Engine::transmitFrames(QueuePair& qp) {
  uint16_t backlog = qp.sendBacklog();
  if (backlog == 0) return false;
  const auto* ring = static_cast<const uint8_t*>(qp.sq.buffer);
  const auto prefetchBlock = [&](uint32_t index) { prefetch(ring + size_t{index & (qp.sq.count - 1)} * 64); };
  for (uint32_t i = 0; i < kPrefetched && i < backlog; ++i) prefetchBlock(qp.sendHead + i);
  // What was posted is the NIC's, so that it may be read before its turn (a card fetches WQEs ahead, too).
  uint32_t read = 0;
  GatherList::Piece pieces[kAhead];
  bool onePiece[kAhead];
  uint16_t readHead = qp.sendHead, unread = backlog;
  const auto readNext = [&] {
    SendWqe& wqe = ahead_[read % kAhead];
    if (!qp.fetch(&wqe, readHead)) {
      unread = 0;
      return;
    }
    const uint16_t blocks = static_cast<uint16_t>(std::min<uint32_t>(wqe.blocks, unread));
    for (uint32_t i = 0; i < blocks; ++i) prefetchBlock(readHead + kPrefetched + i);
    readHead += blocks;
    unread -= blocks;
    GatherList::Piece& piece = pieces[read % kAhead];
    bool& one = onePiece[read % kAhead];
    one = isOnePiece(qp, wqe, &piece);
    if (one) {
      prefetch(piece.at);
    } else {
      prefetchPayload(wqe);
    }
    ++read;
  };
  while (read < kAhead && unread != 0) readNext();
  for (uint32_t i = 0; i < read; ++i) {
    SendWqe& wqe = ahead_[i % kAhead];
    const uint32_t blocks = wqe.blocks;
    SendResult result;
    if (blocks > backlog || blocks > qp.sq.count || wqe.queuePair() != qp.number) {
      result = SendResult::badWqe();
    } else if (!onePiece[i % kAhead]) {
      result = transmitFrame(qp, wqe);
    } else if (pieces[i % kAhead].at == nullptr) {
      result = SendResult::noAccess();
    } else {
      result = emitPiece(qp, EthSegment::checksumsIn(wqe), pieces[i % kAhead]);
    }
    if (result.kind == SendResult::Kind::stalled) return i != 0;
    const uint16_t index = qp.sendHead;
    const uint16_t taken = static_cast<uint16_t>(std::min<uint32_t>(blocks, backlog));
    qp.sendHead += taken;
    backlog -= taken;
    qp.segmented = 0;
    if (result.kind == SendResult::Kind::failed) {
      completeSendError(qp, wqe.opcode(), index, result.syndrome, result.vendor);
      toSendError(qp);
      return true;
    }
    if (wqe.signaled()) complete(qp.sendCq, Cqe::request(wqe.opcode(), qp.userIndex, qp.number, index), &qp);
    // A completion queue overran, or the queue pair's own frame was too long for its receive.
    if (qp.state != QueuePairState::rts) return true;
    if (read < kBatch && unread != 0) readNext();
  }
  return true;
}

void Engine::prefetchPayload(const SendWqe& wqe) const {
  const uint32_t at = EthSegment::endIn(wqe);
  if (at + SendWqe::kSegment > wqe.size()) return;
  const DataSegment segment(wqe.bytes + at);
  if (segment.isInline()) return;
  prefetch(memory_.guess(segment.lkey, segment.address));
}

SendResult Engine::transmitFrame(QueuePair& qp, const SendWqe& wqe) {
  const uint8_t opcode = wqe.opcode();
  if (opcode == MLX5_OPCODE_NOP) return {};
  const bool enhanced = wqe.enhancedMultiPacket();
  if (opcode != MLX5_OPCODE_SEND && opcode != MLX5_OPCODE_TSO && !enhanced) return SendResult::badWqe();
  if (wqe.size() < EthSegment::kStart + 16) return SendResult::badWqe();
  const EthSegment eth(wqe);
  if (eth.end > wqe.size()) return SendResult::badWqe();
  const bool many = enhanced || wqe.multiPacket();
  // A tag that is to be inserted stands where the inline header would: there is none then. The kernel and DPDK write
  // the tag into the inline header instead where eth_min_inline asks for one (en_tx.c, mlx5e_txwqe_build_eseg).
  if (!many && eth.inlineLength < attributes_.minimumInlineHeader) return SendResult::badWqe();
  GatherList list;
  const SendResult gathered = gather(qp, wqe, eth.end, &list);
  if (gathered.kind != SendResult::Kind::done) return gathered;
  if (many) return transmitManyFrames(qp, wqe, eth, list);
  if (opcode == MLX5_OPCODE_TSO) return transmitSegments(qp, wqe, eth, list);
  return emitFrame(qp, eth, list, 0, list.total);
}

// The inline header, and `length` bytes of the list from `offset` on.
inline SendResult Engine::emitFrame(QueuePair& qp, const EthSegment& eth, const GatherList& list, uint64_t offset,
                                    uint64_t payload) {
  const uint64_t length = eth.inlineLength + payload;
  if (length < kMinFrame || length > kMaxFrame) {
    return SendResult::failed(MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, VendorSyndrome::localLength);
  }
  Port& port = *qp.port;
  if (!port.ready()) return {};
  const uint64_t tag = eth.insertVlan ? 4 : 0;
  uint8_t* frame = port.end.transmit->reserve(length + tag);
  if (frame == nullptr) {
    waitForWire();
    return SendResult::stalled();
  }
  if (eth.inlineLength != 0) std::memcpy(frame + tag, eth.inlineHeader, eth.inlineLength);
  if (!list.copy(frame + tag + eth.inlineLength, offset, payload)) return SendResult::noAccess();
  if (eth.insertVlan) {
    std::memmove(frame, frame + tag, 12);
    store16(frame + 12, kEtherTypeVlan);
    store16(frame + 14, eth.vlanTag);
  }
  if (eth.checksums != 0) applyChecksums(frame, length + tag, eth.checksums);
  if (leaves(qp, frame, length + tag)) port.end.transmit->commit(length + tag);
  ++port.counters.transmitFrames;
  port.counters.transmitBytes += length + tag;
  return {};
}

// One Ethernet segment for all frames. Of the enhanced form each data segment, a pointer or inline data, is a frame; of
// the older one what the data segments name is cut every `mss` bytes (DPDK: mlx5_tx.h, mlx5_tx_burst_empw_inline;
// kernel: en_tx.c, mlx5e_tx_mpwqe_session_start). Neither has an inline header or a tag to insert: no driver writes
// one, and what a card does with it is not told, so it is refused here. Inferred, too, that nothing is sent of a WQE
// with a bad segment, but that of one whose frame has a bad length those before it are.
SendResult Engine::transmitManyFrames(QueuePair& qp, const SendWqe& wqe, const EthSegment& eth,
                                      const GatherList& list) {
  if (eth.inlineLength != 0 || eth.insertVlan || list.count == 0) return SendResult::badWqe();
  if (attributes_.minimumInlineHeader != 0) {
    for (uint32_t i = 0; i < list.count; ++i) {
      if (!wqe.holds(list.pieces[i].at)) return SendResult::badWqe();
    }
  }
  if (!wqe.enhancedMultiPacket()) {
    if (eth.mss == 0 || list.total % eth.mss != 0 || list.total > SendWqe::kMaxSegments * kMaxFrame) {
      return SendResult::badWqe();
    }
    for (; qp.segmented < list.total; qp.segmented += eth.mss) {
      const SendResult result = emitFrame(qp, eth, list, qp.segmented, eth.mss);
      if (result.kind != SendResult::Kind::done) return result;
    }
    return {};
  }
  for (; qp.segmented < list.count; ++qp.segmented) {  // here it counts frames that are out
    if (qp.segmented + kAhead < list.count) prefetch(list.pieces[qp.segmented + kAhead].at);
    const SendResult result = emitPiece(qp, eth.checksums, list.pieces[qp.segmented]);
    if (result.kind != SendResult::Kind::done) return result;
  }
  return {};
}

SendResult Engine::transmitSegments(QueuePair& qp, const SendWqe&, const EthSegment& eth, const GatherList& list) {
  Segmenter segmenter(eth.inlineHeader, eth.inlineLength, list.total, eth.mss);
  if (!segmenter.valid()) return SendResult::badWqe();
  if (eth.inlineLength + eth.mss > kMaxFrame || list.total > kMaxTso) {
    return SendResult::failed(MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, VendorSyndrome::localLength);
  }
  Port& port = *qp.port;
  if (!port.ready()) return {};
  while (qp.segmented < list.total) {
    const uint32_t payload = segmenter.payload(qp.segmented);
    const size_t length = eth.inlineLength + payload;
    uint8_t* frame = port.end.transmit->reserve(length);
    if (frame == nullptr) {  // goes on here when there is room
      waitForWire();
      return SendResult::stalled();
    }
    segmenter.writeHeader(frame, qp.segmented);
    if (!list.copy(frame + eth.inlineLength, qp.segmented, payload)) return SendResult::noAccess();
    if (eth.checksums != 0) applyChecksums(frame, length, eth.checksums);
    if (leaves(qp, frame, length)) port.end.transmit->commit(length);
    ++port.counters.transmitFrames;
    port.counters.transmitBytes += length;
    qp.segmented += payload;
  }
  return {};
}

}  // namespace soft
