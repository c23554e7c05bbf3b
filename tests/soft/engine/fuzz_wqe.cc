// Fuzzes everything that a program can write where the NIC reads: WQEs, receive WQEs, SRQ links, doorbell records, and
// the frames on the wire. No input may cause a crash, undefined behaviour, a changed byte outside a region that allows
// it, or a CQE that libmlx5 could not read.
//
// The input is a program of small operations, so that most inputs get past the first check (see Program).
#include "work_queue.h"

namespace {

using namespace soft;

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return at_ >= size_; }
  uint8_t byte() { return empty() ? 0 : data_[at_++]; }
  uint16_t half() { return static_cast<uint16_t>(byte() << 8 | byte()); }
  uint32_t word() { return uint32_t{half()} << 16 | half(); }
  uint64_t wide() { return uint64_t{word()} << 32 | word(); }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

constexpr size_t kRegion = 8192;
constexpr uint8_t kCanary = 0xa5;

// Memory, the middle of which is registered.
struct Guarded {
  Guarded(Nic& nic, uint32_t pd, uint32_t access)
      : bytes(3 * kRegion, kCanary), writable((access & IBV_ACCESS_LOCAL_WRITE) != 0) {
    MemoryRegionAttributes attributes;
    attributes.pd = pd;
    attributes.base = middle();
    attributes.iova = reinterpret_cast<uint64_t>(middle());
    attributes.length = kRegion;
    attributes.access = access;
    EQUAL(nic.createMemoryRegion(attributes, &key), 0);
  }
  uint8_t* middle() { return bytes.data() + kRegion; }
  void verify() const {
    for (size_t i = 0; i < bytes.size(); ++i) {
      const bool inside = i >= kRegion && i < 2 * kRegion;
      if (bytes[i] != kCanary && !(inside && writable)) std::abort();
    }
  }
  Bytes bytes;
  bool writable;
  uint32_t key = 0;
};

constexpr int kAllAccess = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
                           IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND;

class Program {
 public:
  // The first byte says what there is: bit 0 a bad wire, bits 1 and 2 whether completions are compressed and how, bit 3
  // a striding receive queue in the place of a raw packet queue pair's.
  explicit Program(Input& input)
      : input_(input),
        shape_(input.byte()),
        cq_(card_.nic, 256, 64, nullptr, static_cast<CqeCompression>(shape_ >> 1 & 3)),
        free_(card_.nic, card_.pd, kAllAccess),
        readOnly_(card_.nic, card_.pd, IBV_ACCESS_REMOTE_READ),
        srqRing_(16 * 64) {
    LinkOptions link;
    link.loop = true;
    if (shape_ & 1) {
      link.direction[0].loss = link.direction[0].duplicate = link.direction[0].reorder = 0.1;
    }
    wire_ = makeLinkWire(link);
    EQUAL(card_.nic.connect(1, wire_), 0);
    gid_ = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1};
    EQUAL(card_.nic.setGid(1, 0, gid_), 0);
    uint32_t other;
    EQUAL(card_.nic.allocateProtectionDomain(&other), 0);
    foreign_ = std::make_unique<Guarded>(card_.nic, other, 0);
    EQUAL(card_.nic.createMemoryWindow(card_.pd, WindowType::type2, &window_), 0);
    SharedReceiveQueueAttributes srq;
    srq.pd = card_.pd;
    srq.ring = {srqRing_.data(), 16, 6, &srqDoorbell_, false};
    for (uint32_t i = 0; i < 16; ++i) store16(&srqRing_[i * 64 + 2], static_cast<uint16_t>((i + 1) % 16));
    EQUAL(card_.nic.createSharedReceiveQueue(srq, &srq_), 0);
    for (const QueuePairType type :
         {QueuePairType::rawPacket, QueuePairType::rc, QueuePairType::rc, QueuePairType::ud, QueuePairType::uc}) {
      QueuePairAttributes attributes;
      attributes.type = type;
      attributes.pd = card_.pd;
      attributes.sendCq = attributes.receiveCq = cq_.number;
      attributes.userIndex = static_cast<uint32_t>(qps_.size());
      if (qps_.size() == 2) attributes.srq = srq_;
      qps_.push_back(std::make_unique<Qp>(card_.nic, attributes, 16, 16, 6));
    }
    for (size_t i = 0; i < qps_.size(); ++i) bringUp(i);
    if (shape_ & 8) {
      wq_ = std::make_unique<Wq>(card_, cq_, Striding{6, 3, (shape_ & 16) != 0}, 16, 6);
    } else {
      card_.everythingTo(*qps_[0]);
    }
    FlowRule inner;  // so that the rule looks into tunnels
    inner.qpn = qps_[0]->number;
    inner.inner.value.destinationPort = inner.inner.mask.destinationPort = 6;
    card_.flow(inner);
  }

  void run() {
    for (int i = 0; i < 64 && !input_.empty(); ++i) operation();
    for (int i = 0; i < 8; ++i) step();
    for (const auto& qp : qps_) (void)qp->state();
    free_.verify();
    readOnly_.verify();
    foreign_->verify();
  }

 private:
  void bringUp(size_t index) {
    static constexpr size_t kPeer[] = {0, 2, 1, 3, 4};
    QueuePairChange change;
    change.mask = IBV_QP_STATE | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS | IBV_QP_QKEY | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                  IBV_QP_RQ_PSN | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_MAX_DEST_RD_ATOMIC |
                  IBV_QP_MIN_RNR_TIMER | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_AV;
    change.port = 1;
    change.accessFlags = kAllAccess;
    change.qkey = 0x11111111;
    change.pathMtu = 256;
    change.destinationQpn = qps_[kPeer[index]]->number;
    change.maxReadAtomic = change.maxDestinationReadAtomic = 4;
    change.minRnrTimer = 1;
    change.timeout = 1;
    change.retryCount = change.rnrRetry = 2;
    change.address.destinationGid = change.address.sourceGid = gid_;
    change.address.destinationMac = kMac;
    for (const QueuePairState state : {QueuePairState::init, QueuePairState::rtr, QueuePairState::rts}) {
      change.state = state;
      EQUAL(card_.nic.modifyQueuePair(qps_[index]->number, change), 0);
    }
  }

  void operation() {
    const uint8_t code = input_.byte();
    const size_t index = code >> 4 & 7;
    Qp& qp = *qps_[index % qps_.size()];
    switch (code & 15) {
      case 0:
      case 1:
      case 2: postTemplate(qp); break;
      case 3:
      case 4: postSend(qp); break;
      case 5:
      case 6:
        if (wq_ != nullptr && (code & 0x80) != 0) {
          postStrides();
        } else {
          postReceive(qp);
        }
        break;
      case 7:
      case 8: step(); break;
      case 9: qp.doorbell[input_.byte() & 1] = __builtin_bswap32(input_.half()); break;
      case 10: inject(); break;
      case 11: {
        QueuePairChange change;
        change.mask = IBV_QP_STATE;
        change.state = static_cast<QueuePairState>(input_.byte() % 7);
        if (card_.nic.modifyQueuePair(qp.number, change) == 0 && change.state == QueuePairState::reset) {
          qp.doorbell[0] = qp.doorbell[1] = 0;
          qp.produced = qp.posted = 0;
          bringUp(index % qps_.size());
        }
        break;
      }
      case 12: qp.ring(); break;
      case 13: postShared(); break;
      case 14: cq_.doorbell[input_.byte() & 1] = __builtin_bswap32(input_.word()); break;
      default:
        while (cq_.poll() != nullptr) continue;
        break;
    }
  }

  uint32_t key() {
    switch (input_.byte() % 8) {
      case 0: return readOnly_.key;
      case 1: return foreign_->key;
      case 2: return window_ + (input_.byte() & 1);
      case 3: return input_.word();
      default: return free_.key;
    }
  }
  uint64_t address() {
    const uint8_t kind = input_.byte();
    if (kind == 0) return input_.wide();
    Guarded& where = kind & 1 ? readOnly_ : free_;
    // Mostly inside; sometimes just beyond an end.
    return reinterpret_cast<uint64_t>(kind & 8 ? where.middle() : free_.middle()) + input_.half() % kRegion -
           (kind & 0x10 ? 64 : 0);
  }
  uint32_t length() {
    switch (input_.byte() % 4) {
      case 0: return input_.word();
      case 1: return input_.half();
      default: return input_.byte() * 4u;
    }
  }
  Bytes pointer() {
    Bytes segment(16);
    store32(&segment[0], length());
    store32(&segment[4], key());
    store64(&segment[8], address());
    return segment;
  }
  Bytes random(size_t count) {
    Bytes bytes(count);
    for (uint8_t& byte : bytes) byte = input_.byte();
    return bytes;
  }

  void postSend(Qp& qp) {
    static constexpr uint8_t kOpcodes[] = {0x0a, 0x0a, 0x0e, 0x08, 0x09, 0x0b, 0x10, 0x11,
                                           0x12, 0x01, 0x25, 0x00, 0x14, 0x1b, 0x29};
    const uint8_t choice = input_.byte();
    Wqe wqe(choice & 0x80 ? choice : kOpcodes[choice % sizeof kOpcodes], input_.byte());
    std::memcpy(&wqe.bytes[12], random(4).data(), 4);
    if ((choice & 0x40) && wqe.bytes[3] == 0x25) store32(&wqe.bytes[12], window_);
    for (int parts = input_.byte() % 8; parts > 0; --parts) {
      switch (input_.byte() % 7) {
        case 0: wqe.append(random(16)); break;
        case 1: {
          Bytes data = random(input_.byte());
          const size_t at = wqe.bytes.size();
          wqe.inlined(data);
          if (input_.byte() == 0) store32(&wqe.bytes[at], input_.word() | MLX5_INLINE_SEG);
          break;
        }
        case 2: {
          Bytes header = random(input_.byte() % 80);
          const size_t at = wqe.bytes.size();
          wqe.eth(input_.byte(), header, input_.half());
          if (input_.byte() == 0) store16(&wqe.bytes[at + 12], input_.half());
          break;
        }
        case 3: {  // remote address
          Bytes segment(16);
          store64(&segment[0], address());
          store32(&segment[8], key());
          wqe.append(segment);
          break;
        }
        case 4: {  // address vector (mlx5_wqe_av)
          Bytes av(48);
          store32(&av[0], input_.byte() & 1 ? 0x11111111 : input_.word());
          store32(&av[8], MLX5_EXTENDED_UD_AV | (input_.byte() & 1 ? qps_[3]->number : input_.word() & 0xffffff));
          std::copy(kMac.begin(), kMac.end(), av.begin() + 20);
          av[27] = 64;
          std::copy(gid_.begin(), gid_.end(), av.begin() + 32);
          wqe.append(av);
          break;
        }
        default: wqe.append(pointer()); break;
      }
    }
    if (wqe.bytes.size() > 63 * 16) wqe.bytes.resize(63 * 16);
    if (input_.byte() == 0) {
      std::memcpy(&wqe.bytes[0], random(8).data(), 8);
      qp.writeRaw(wqe.bytes);
    } else {
      qp.write(wqe);
    }
    if (input_.byte() & 3) qp.ring();
  }

  // A valid WQE, with up to three bytes of it changed.
  void postTemplate(Qp& qp) {
    const uint8_t choice = input_.byte();
    Wqe wqe = choice % 3 == 0 ? datagram() : choice & 1 ? frame(choice) : message(choice);
    for (int changes = input_.byte() % 4; changes > 0; --changes) {
      uint8_t& at = wqe.bytes[input_.half() % wqe.bytes.size()];
      at = static_cast<uint8_t>(at + input_.byte());
    }
    qp.write(wqe);
    qp.ring();
  }
  Sge sge(size_t offset, uint32_t size) { return {free_.middle() + offset, size, free_.key}; }
  Wqe frame(uint8_t choice) {
    const uint8_t flags = input_.byte();
    const Bytes inner = ethernet(0x0800, ipv4(17, udp(5, 6, pattern(20))));
    switch (choice >> 4) {
      case 0:
        return Wqe(MLX5_OPCODE_TSO)
            .eth(flags, ethernet(0x0800, ipv4(6, tcp(1, 2, 3, 0x19, {}))), 100)
            .data(sge(0, 777));
      case 1:
        return Wqe(MLX5_OPCODE_TSO)
            .eth(flags, tagged(5, 0x86dd, ipv6(6, tcp(1, 2, 3, 0x19, {}))), 100)
            .data(sge(0, 300))
            .data(sge(500, 50));
      case 2: return Wqe(MLX5_OPCODE_TSO).eth(flags, ethernet(0x0800, ipv4(17, udp(1, 2, {}))), 64).data(sge(9, 200));
      case 3:
        return Wqe(MLX5_OPCODE_SEND)
            .eth(flags)
            .inlined(ethernet(0x0800, ipv4(17, udp(1, 4789, Bytes{8, 0, 0, 0, 0, 0, 1, 0} + inner))));
      case 4:
        return Wqe(MLX5_OPCODE_SEND)
            .eth(flags)
            .inlined(tagged(5, 0x86dd, ipv6(0, Bytes{6, 0, 1, 4, 0, 0, 0, 0} + tcp(1, 2, 3, 4, pattern(9)))));
      case 5:
        return Wqe(MLX5_OPCODE_SEND)
            .eth(flags)
            .insertVlan(7)
            .inlined(ethernet(0x0800, ipv4(6, tcp(1, 2, 3, 4, pattern(9)))));
      // RoCE by hand, from a raw packet queue: a request to the RC queue pair.
      case 6: return Wqe(MLX5_OPCODE_SEND).eth(flags).inlined(ethernet(0x0800, ipv4(17, udp(49152, 4791, random(40)))));
      case 7: {
        Wqe wqe = Wqe(kOpcodeEnhancedMultiPacket, flags).eth(flags).inlined(inner);
        for (uint32_t i = input_.byte() % 12; i != 0; --i) wqe.data(sge(i * 300, 60 + input_.byte()));
        return wqe;
      }
      case 8: {
        Wqe wqe = Wqe(MLX5_OPCODE_TSO, flags).eth(flags, {}, 60);
        wqe.bytes[0] = kModifierMultiPacket;
        for (uint32_t i = input_.byte() % 6; i != 0; --i) wqe.data(sge(i * 300, 60));
        return wqe;
      }
      default: return Wqe(MLX5_OPCODE_SEND).eth(flags, pattern(18)).data(sge(0, 100));
    }
  }
  Bytes remote(size_t offset) {
    Bytes segment(16);
    store64(&segment[0], reinterpret_cast<uint64_t>(free_.middle() + offset));
    store32(&segment[8], free_.key);
    return segment;
  }
  Wqe message(uint8_t choice) {
    Wqe wqe(0);
    switch (choice >> 5) {
      case 0: return Wqe(MLX5_OPCODE_SEND_IMM).data(sge(0, 700));
      case 1: return Wqe(MLX5_OPCODE_RDMA_WRITE_IMM).append(remote(2000)).data(sge(0, 600)).data(sge(600, 30));
      case 2: return Wqe(MLX5_OPCODE_RDMA_READ).append(remote(100)).data(sge(3000, 900));
      case 3: return Wqe(MLX5_OPCODE_ATOMIC_CS).append(remote(64)).append(Bytes(16, kCanary)).data(sge(4096, 8));
      case 4: return Wqe(MLX5_OPCODE_ATOMIC_FA).append(remote(72)).append(Bytes(16, 1)).data(sge(4104, 8));
      case 5: return Wqe(MLX5_OPCODE_SEND).data(sge(0, 0)).inlined(pattern(77));
      default: return bind((choice & 0x20) != 0);
    }
  }
  // libmlx5's set_bind_wr: UMR control, mkey context, klm.
  Wqe bind(bool open) {
    Wqe wqe(MLX5_OPCODE_UMR);
    store32(&wqe.bytes[12], window_);
    Bytes control(48), context(64), klm(64);
    control[0] = MLX5_WQE_UMR_CTRL_FLAG_INLINE | (open ? 0 : MLX5_WQE_UMR_CTRL_FLAG_CHECK_QPN);
    if (!open) context[0] = MLX5_WQE_MKEY_CONTEXT_FREE;
    context[2] = 0x7c;
    store32(&context[4], window_);
    store64(&context[16], reinterpret_cast<uint64_t>(free_.middle()));
    store64(&context[24], 1000);
    store32(&klm[4], free_.key);
    store64(&klm[8], reinterpret_cast<uint64_t>(free_.middle()));
    return wqe.append(control).append(context).append(klm);
  }
  Wqe datagram() {
    Bytes av(48);
    store32(&av[0], 0x11111111);
    store32(&av[8], MLX5_EXTENDED_UD_AV | qps_[3]->number);
    std::copy(kMac.begin(), kMac.end(), av.begin() + 20);
    av[27] = 64;
    std::copy(gid_.begin(), gid_.end(), av.begin() + 32);
    return Wqe(MLX5_OPCODE_SEND_IMM).append(av).data(sge(0, input_.byte()));
  }

  void postReceive(Qp& qp) {
    uint8_t* at = &qp.rq[(qp.posted % 16u) << 6];
    if (input_.byte() & 1) {  // a rule that matches every frame
      store32(at, 2048);
      store32(at + 4, free_.key);
      store64(at + 8, reinterpret_cast<uint64_t>(free_.middle()) + (input_.byte() & 3) * 2048);
      store32(at + 20, MLX5_INVALID_LKEY);
    } else {
      for (int i = 0; i < 4; ++i) std::memcpy(at + i * 16, (input_.byte() == 0 ? random(16) : pointer()).data(), 16);
    }
    ++qp.posted;
    qp.doorbell[0] = __builtin_bswap32(qp.posted);
  }

  void postStrides() {
    if (input_.byte() & 3) {
      wq_->post({sge((input_.byte() & 15) * 512, 512)});
      return;
    }
    uint8_t* at = &wq_->ring[(wq_->posted % 16u) << 6];
    for (int i = 0; i < 4; ++i) std::memcpy(at + i * 16, (input_.byte() == 0 ? random(16) : pointer()).data(), 16);
    ++wq_->posted;
    wq_->doorbell = __builtin_bswap32(wq_->posted + (input_.byte() == 0 ? input_.half() : 0));
  }

  void postShared() {
    uint8_t* at = &srqRing_[(input_.byte() & 15) * 64];
    if (input_.byte() == 0) std::memcpy(at, random(16).data(), 16);
    for (int i = 1; i < 4; ++i) std::memcpy(at + i * 16, pointer().data(), 16);
    srqDoorbell_ = __builtin_bswap32(++srqPosted_);
  }

  void inject() {
    const Bytes frame = random(input_.half() % 1600);
    uint8_t* room = wire_->end(0).receive->reserve(frame.size());
    if (room == nullptr) return;
    std::copy(frame.begin(), frame.end(), room);
    wire_->end(0).receive->commit(frame.size());
  }

  void step() {
    card_.now += 20000;
    card_.nic.step(card_.now);
    (void)card_.nic.deadline();
    if (card_.events.events.size() > 1000 || card_.events.completions.size() > 1000) std::abort();
  }

  Input& input_;
  const uint8_t shape_;
  Card card_;
  std::shared_ptr<Wire> wire_;
  Gid gid_;
  Cq cq_;
  Guarded free_, readOnly_;
  std::unique_ptr<Guarded> foreign_;
  uint32_t window_ = 0, srq_ = 0;
  Bytes srqRing_;
  alignas(4) uint32_t srqDoorbell_ = 0;
  uint16_t srqPosted_ = 0;
  std::vector<std::unique_ptr<Qp>> qps_;
  std::unique_ptr<Wq> wq_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  auto program = std::make_unique<Program>(input);
  program->run();
  return 0;
}
