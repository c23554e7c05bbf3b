// A frame from the wire: parsing, steering, and scattering into the memory of a receive WQE.
#include "nic/checksum.h"
#include "nic/engine.h"
#include "nic/icrc.h"

namespace soft {

namespace {

bool isGroup(const uint8_t* frame) { return (frame[0] & 1) != 0; }

constexpr uint32_t kBatch = 256;
constexpr size_t kMinFrame = 14;

CqeL4 l4Type(const uint8_t* frame, const Layers& layers) {
  if (layers.l4 == 0 || layers.fragment) return CqeL4::none;
  if (layers.protocol == kProtocolUdp) return CqeL4::udp;
  if (layers.protocol != kProtocolTcp || layers.end < layers.l4 + 20) return CqeL4::none;
  const uint32_t header = (frame[layers.l4 + 12] >> 4) * 4u;
  const bool acknowledges = (frame[layers.l4 + 13] & 0x10) != 0;
  if (!acknowledges) return CqeL4::tcpNoAck;
  return layers.end > layers.l4 + header ? CqeL4::tcpAckData : CqeL4::tcpAckNoData;
}

}  // namespace

bool RawTarget::hears(const QueuePair& sender, bool group) const {
  return transportDomain != sender.target.transportDomain || (group ? ownGroups : ownUnicast);
}

Receiver* RawTarget::pick(const uint8_t* frame, const Layers& layers, PacketHash* hash) const {
  if (!rss) return direct;
  *hash = hashPacket(rss->toeplitz, rss->fields, frame, layers);
  const std::vector<WorkQueue*>& queues = rss->table->queues;
  return &queues[hash->value & (queues.size() - 1)]->receiver;
}

// What the entry tells of a frame beside where it lies.
[[gnu::always_inline]] inline void Engine::describe(Port& port, const Receiver& receiver, const PacketHash& hash,
                                                    const uint8_t* frame, size_t length, const Layers& layers,
                                                    const ChecksumStatus& checks, Cqe* cqe) {
  const uint8_t l3 = layers.ipVersion == 4   ? MLX5_CQE_L3_HDR_TYPE_IPV4
                     : layers.ipVersion == 6 ? MLX5_CQE_L3_HDR_TYPE_IPV6
                                             : MLX5_CQE_L3_HDR_TYPE_NONE;
  const int ok = MLX5_CQE_L2_OK | (checks.l3Ok ? MLX5_CQE_L3_OK : 0) | (checks.l4Ok ? MLX5_CQE_L4_OK : 0);
  const CqeL4 l4 = l4Type(frame, layers);
  cqe->setChecks(static_cast<uint8_t>(ok), l3, l4);
  if ((layers.ipVersion != 0 && !checks.l3Ok) || (l4 != CqeL4::none && !checks.l4Ok))
    ++port.counters.receiveChecksumBad;
  if (receiver.cq->wantsChecksum()) cqe->setChecksum(checksumFold(checksumAdd(frame + layers.l3, length - layers.l3)));
  if (hash.type != 0) cqe->setHash(hash.value, hash.type);
}

[[gnu::always_inline]] inline void Engine::deliverNow(Port& port, const CompiledRule& rule, const uint8_t* frame,
                                                      size_t length, const Layers& layers,
                                                      const ChecksumStatus& checks) {
  if (rule.target == nullptr) {
    ++port.counters.receiveRuleDropped;
    return;
  }
  PacketHash hash;
  Receiver& receiver = rule.target->rss ? *rule.target->pick(frame, layers, &hash) : *rule.target->direct;
  if (!receiver.plain()) return deliverChanged(port, rule, receiver, hash, frame, length, layers, checks);
  receiver.queue.prefetchAhead(memory_);
  ReceiveWqe wqe;
  if (!receiver.open || !receiver.queue.take(&wqe)) return undelivered(port, receiver);
  const ScatterResult result = wqe.scatter(memory_, receiver.pd, frame, length);
  if (result != ScatterResult::ok) return scatterError(receiver, wqe.index, result);
  Cqe cqe(MLX5_CQE_RESP_SEND, false, receiver.userIndex, rule.rule.tag & 0xffffff, wqe.index);
  cqe.setByteCount(static_cast<uint32_t>(length));
  describe(port, receiver, hash, frame, length, layers, checks, &cqe);
  complete(receiver.cq, cqe, receiver.queuePair);
}

void Engine::deliver(Port& port, const CompiledRule& rule, const uint8_t* frame, size_t length, const Layers& layers,
                     const ChecksumStatus& checks) {
  deliverNow(port, rule, frame, length, layers, checks);
}

[[gnu::always_inline]] inline void Engine::receiveFrame(Port& port, const uint8_t* frame, size_t length) {
  ++port.counters.receiveFrames;
  port.counters.receiveBytes += length;
  if (length < kMinFrame) {  // a runt: it has no Ethernet header
    ++port.counters.receiveUnmatched;
    return;
  }
  Layers layers;
  parseLayers(frame, length, 0, &layers);
  const bool roce = roceQps_ != 0 && layers.protocol == kProtocolUdp && layers.l4 != 0 && !layers.fragment &&
                    !layers.truncated && layers.end >= layers.l4 + 8 && load16(frame + layers.l4 + 2) == kPortRoce;
  // A sniffer gets a copy of what goes to a queue pair of a transport, too, and before that queue pair acts on it
  // (drivers/infiniband/hw/mlx5/fs.c, create_sniffer_rule: a table of the port's own, before all others).
  const bool sniffed = roce && port.steering.sniffs();
  if (sniffed) {
    const ChecksumStatus checks = checkChecksums(frame, layers);
    for (const CompiledRule& sniffer : port.steering.sniffers()) deliver(port, sniffer, frame, length, layers, checks);
  }
  if (roce && roce::receiveFrame(*this, port, frame, length, layers)) return;
  const CompiledRule* sole =
      port.steering.sole(FlowKey::destination(frame, layers.etherType), FlowKey::source(frame, layers.vlanTag));
  if (sole != nullptr) return deliverNow(port, *sole, frame, length, layers, checkChecksums(frame, layers));
  if (port.steering.empty() || !steer(port, frame, length, layers, sniffed, nullptr)) ++port.counters.receiveUnmatched;
}

bool Engine::drain(Port& port, FrameQueue* queue) {
  if (queue == nullptr) return false;
  uint32_t done = 0;
  size_t length;
  while (done < kBatch) {
    const uint8_t* frame = queue->front(&length);
    if (frame == nullptr) break;
    if (port.linkUp) receiveFrame(port, frame, length);
    queue->pop(length);
    ++done;
  }
  return done != 0;
}

// Hands the frame to those that the rules lead to: of a frame from the wire to all, of one that a queue pair of this
// port sends to those that it may reach, and where sniffers have it already, to others. Whether a rule matched.
bool Engine::steer(Port& port, const uint8_t* frame, size_t length, const Layers& layers, bool sniffed,
                   const QueuePair* sender) {
  FlowKey key, innerKey;
  extractKey(frame, layers, port.steering.outerWords(), &key);
  const FlowKey* inner = nullptr;
  if (port.steering.inspectsInner()) {
    if (const size_t at = vxlanInner(frame, layers)) {
      Layers innerLayers;
      parseLayers(frame, layers.end, at, &innerLayers);
      extractKey(frame, innerLayers, port.steering.innerWords(), &innerKey);
      inner = &innerKey;
    }
  }
  const ChecksumStatus checks = checkChecksums(frame, layers);
  return port.steering.match(key, inner, [&](const CompiledRule& rule) {
    if (sniffed && rule.rule.type == FlowType::sniffer) return;
    if (sender != nullptr && rule.target != nullptr && !rule.target->hears(*sender, isGroup(frame))) return;
    deliver(port, rule, frame, length, layers, checks);
  });
}

// Local loopback. The kernel enables it in the port's vport for the second context, or for a queue pair that asks for
// its own frames (drivers/infiniband/hw/mlx5/main.c, mlx5_ib_enable_lb); what is for a group goes to others on the port
// as well as out, what is for the port's own address stays inside; a TIR hears none of its own transport domain but
// where self_lb_block lets it. Which frames a card turns back is told nowhere: that it is these two kinds is inferred
// from rdma-core's tests of flows, which between two contexts send to a group, "must be multicast" (tests/utils.py).
// Returns whether the frame still leaves.
bool Engine::loopBack(const QueuePair& sender, const uint8_t* frame, size_t length) {
  Port& port = *sender.port;
  if (port.wire->loops()) return true;
  const bool group = isGroup(frame);
  if (!group && std::memcmp(frame, port.attributes.mac.data(), 6) != 0) return true;
  ++port.counters.receiveFrames;
  port.counters.receiveBytes += length;
  Layers layers;
  parseLayers(frame, length, 0, &layers);
  if (!steer(port, frame, length, layers, false, &sender)) ++port.counters.receiveUnmatched;
  return group;
}

// No WQE is posted for a frame.
void Engine::undelivered(Port& port, Receiver& receiver) {
  ++port.counters.receiveNoBuffer;
  if (receiver.queue.lost()) receiverLost(receiver);
}

void Engine::scatterError(Receiver& receiver, uint16_t index, ScatterResult result) {
  if (result == ScatterResult::tooLong) {
    receiverError(receiver, index, MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, VendorSyndrome::localLength);
  } else {
    receiverError(receiver, index, MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, VendorSyndrome::localProtection);
  }
}

// A frame for a striding queue, or one that is delivered without its tag or with its check sequence.
void Engine::deliverChanged(Port& port, const CompiledRule& rule, Receiver& receiver, const PacketHash& hash,
                            const uint8_t* frame, size_t length, const Layers& layers, const ChecksumStatus& checks) {
  const bool strip = receiver.stripVlan && layers.vlan;
  const size_t skipped = strip ? 4 : 0;  // the tag, behind the two addresses
  const size_t size = length - skipped;
  const size_t written = size + (receiver.scatterFcs ? 4 : 0);
  StrideAllocator& strides = receiver.strides;
  if (!strides.used()) receiver.queue.prefetchAhead(memory_);
  ReceiveWqe wqe;
  if (!receiver.open || !(strides.used() ? openStrides(receiver, written) : receiver.queue.take(&wqe))) {
    return undelivered(port, receiver);
  }
  uint64_t at = 0;
  ScatterResult result = ScatterResult::ok;
  if (strides.used()) {
    wqe = strides.wqe();
    at = strides.offset();
    // For a whole WQE, or for the 16 bits that byte_cnt has for it.
    if (!strides.hasRoom(written) || written > 0xffff) result = ScatterResult::tooLong;
  }
  const auto scatter = [&](const uint8_t* bytes, size_t count) {
    if (result == ScatterResult::ok) result = wqe.scatter(memory_, receiver.pd, at, bytes, count);
    at += count;
  };
  constexpr uint8_t kZeroes[2] = {};
  if (strides.shift() != 0) scatter(kZeroes, strides.shift());
  if (strip) {
    scatter(frame, 12);
    scatter(frame + 16, size - 12);
  } else {
    scatter(frame, size);
  }
  if (receiver.scatterFcs) {
    uint8_t sequence[4];
    const uint32_t crc = crc32(frame, length);
    for (int i = 0; i < 4; ++i) sequence[i] = static_cast<uint8_t>(crc >> (8 * i));  // IEEE 802.3, 3.2.9
    scatter(sequence, 4);
  }
  if (result != ScatterResult::ok) return scatterError(receiver, wqe.index, result);
  // sop_drop_qpn of a raw packet carries the flow tag, not the QP (libmlx5 mlx5_cq_read_flow_tag; the kernel's default
  // is 0).
  Cqe cqe(MLX5_CQE_RESP_SEND, false, receiver.userIndex, rule.rule.tag & 0xffffff,
          strides.used() ? strides.next() : wqe.index);
  cqe.setByteCount(static_cast<uint32_t>(written));
  if (strides.used()) {
    const uint16_t count = strides.needed(written);
    cqe.setStrides(wqe.index, count);
    strides.take(count);
  }
  describe(port, receiver, hash, frame, length, layers, checks, &cqe);
  if (strip) cqe.setStrippedVlan(layers.vlanTag);
  complete(receiver.cq, cqe, receiver.queuePair);
}

// Room for a frame in a striding queue. False when it needs a WQE that is not posted: then the open one is kept for a
// shorter frame (inferred).
bool Engine::openStrides(Receiver& receiver, uint64_t bytes) {
  StrideAllocator& strides = receiver.strides;
  if (strides.hasRoom(bytes)) return true;
  ReceiveWqe wqe;
  if (!receiver.queue.take(&wqe)) return false;
  if (strides.isOpen()) {
    Cqe filler(MLX5_CQE_RESP_SEND, false, receiver.userIndex, 0, strides.next());
    filler.setFiller();
    filler.setStrides(strides.wqe().index, strides.left());
    complete(receiver.cq, filler, receiver.queuePair);
  }
  strides.open(wqe);
  return true;
}

void Engine::receiverLost(Receiver& receiver) {
  if (receiver.queuePair != nullptr) return activate(*receiver.queuePair);
  failWorkQueue(*receiver.workQueue);
}

void Engine::failWorkQueue(WorkQueue& wq) {
  if (wq.state != WorkQueueState::ready) return;
  wq.state = WorkQueueState::err;
  wq.receiver.open = false;
  flushFromNowOn(wq.receiver);
  events_.asynchronous({AsyncEventType::wqFatal, wq.number, wq.cookie});
}

void Engine::receiverError(Receiver& receiver, uint16_t index, uint8_t syndrome, VendorSyndrome vendor) {
  receiver.strides.close();
  if (receiver.queuePair != nullptr) {
    completeReceiveError(*receiver.queuePair, index, syndrome, vendor);
    toError(*receiver.queuePair);
    return;
  }
  WorkQueue& wq = *receiver.workQueue;
  Cqe cqe = Cqe::error(MLX5_CQE_RESP_ERR, syndrome, vendor, 0, receiver.userIndex, wq.number, index);
  complete(receiver.cq, cqe, nullptr);
  failWorkQueue(wq);
}

}  // namespace soft
