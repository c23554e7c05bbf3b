// An interface of this machine as the wire: what the port sends leaves there, what arrives there comes to the port
// (packet(7)); its link is the port's.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "nic/bytes.h"
#include "nic/checksum.h"
#include "nic/segmentation.h"
#include "wire/datagrams.h"
#include "wire/interface_link.h"
#include "wire/kernel_filter.h"
#include "wire/wire.h"

namespace soft {

namespace {

// struct virtio_net_hdr and VIRTIO_NET_HDR_* of linux/virtio_net.h, which has a member named `class` and so is not C++.
struct VirtioNetHeader {
  uint8_t flags, gsoType;
  uint16_t headerLength, gsoSize, checksumStart, checksumOffset;  // host order on a packet socket
};
static_assert(sizeof(VirtioNetHeader) == 10, "no padding");
constexpr uint8_t kNeedsChecksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
constexpr uint8_t kGsoEcn = 0x80;      // VIRTIO_NET_HDR_GSO_ECN

constexpr size_t kLargest = 1 << 17;  // more than the 64 KB that the kernel gives a NIC to segment (GSO)
constexpr uint64_t kRetry = 100000;   // a full device queue raises no event: look again after 100 µs
constexpr uint64_t kNews = 1000000;   // under traffic the kernel is asked for news of the link every millisecond

// What is left of an IP packet for the payload: all of RoCE's headers that a packet may have, as rxe counts them
// (RXE_MAX_HDR_LENGTH; eth_mtu_int_to_enum of rxe_param.h: the largest enum ibv_mtu that fits, and 256 at least).
constexpr uint32_t kHeaders = 80;
uint32_t payloadOf(uint32_t interfaceMtu) {
  uint32_t payload = 4096;
  while (payload > 256 && interfaceMtu < payload + kHeaders) payload /= 2;
  return payload;
}

class InterfaceWire : public Wire {
 public:
  explicit InterfaceWire(int index) : filter_(index) {}
  ~InterfaceWire() override {
    if (descriptor_ < 0) return;
    if (link_.up()) batch_.finish(descriptor_, transmit_);
    close(descriptor_);
  }
  // An errno or 0.
  int open(int index);

  WireEnd end(int index) override { return index == 0 ? WireEnd{&transmit_, &receive_} : WireEnd{}; }
  void descriptors(std::vector<int>* list) const override {
    list->push_back(descriptor_);
    list->push_back(link_.descriptor());
  }
  bool leavesProcess() const override { return true; }
  uint64_t deadline() const override { return retryAt_; }
  bool up() const override { return link_.up(); }
  uint32_t mtu() const override { return payloadOf(link_.mtu()); }
  int take(uint32_t number, const FlowMatch& outer, const FlowMatch& inner) override {
    return filter_.keep(number, outer, inner);
  }
  void giveBack(uint32_t number) override { filter_.giveBack(number); }

  bool step(uint64_t now) override {
    const bool sent = send(now);
    const bool moved = receive() || sent;
    if (moved && now - newsAt_ < kNews) return true;
    newsAt_ = now;
    return link_.next() || moved;
  }

 private:
  bool send(uint64_t now) {
    retryAt_ = kNever;
    if (transmit_.empty()) return false;
    if (!link_.up()) {
      transmit_.clear();
      return true;
    }
    const int sent = batch_.send(descriptor_, transmit_);
    if (sent < 0) {
      const bool full = errno == EAGAIN || errno == ENOBUFS;
      // The interface is down, or the frame exceeds the MTU: dropped, as a NIC drops it.
      if (!full && errno != EINTR) transmit_.pop();
      if (full) {
        retryAt_ = now + kRetry;
        return false;
      }
      return true;
    }
    if (!transmit_.empty()) retryAt_ = now + kRetry;
    return sent != 0;
  }

  bool receive() {
    const int count = batch_.receive(descriptor_);
    if (count <= 0) return false;
    for (int i = 0; i < count; ++i) {
      if (!(batch_.header(i).msg_flags & MSG_TRUNC))
        accept(batch_.prefix(i), batch_.frame(i), batch_.length(i), batch_.header(i));
    }
    return true;
  }

  // The kernel hands these frames over as to a NIC that offloads: checksums to complete, many segments in one
  // (PACKET_VNET_HDR tells), the VLAN tag beside the frame (PACKET_AUXDATA). They go on as that NIC would put them on
  // the wire.
  void accept(const uint8_t* prefix, uint8_t* frame, size_t length, msghdr& header) {
    if (length < 14) return;
    VirtioNetHeader offloads;
    std::memcpy(&offloads, prefix, sizeof offloads);
    tpacket_auxdata auxiliary{};
    for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
      if (item->cmsg_level == SOL_PACKET && item->cmsg_type == PACKET_AUXDATA) {
        std::memcpy(&auxiliary, CMSG_DATA(item), sizeof auxiliary);
      }
    }
    if ((offloads.gsoType & ~kGsoEcn) != 0) {
      segment(frame, length, offloads.gsoSize, auxiliary);
      return;
    }
    const size_t start = offloads.checksumStart, field = start + offloads.checksumOffset;
    if ((offloads.flags & kNeedsChecksum) && start < length && field + 2 <= length) {
      uint16_t sum = static_cast<uint16_t>(~checksumFold(checksumAdd(frame + start, length - start)));
      if (sum == 0) sum = 0xffff;  // the same to TCP, and to UDP not "none"
      std::memcpy(frame + field, &sum, 2);
    }
    deliver(frame, length, auxiliary);
  }

  void segment(const uint8_t* frame, size_t length, uint32_t size, const tpacket_auxdata& auxiliary) {
    Layers layers;
    parseLayers(frame, length, 0, &layers);
    if (layers.l4 == 0 || layers.truncated || layers.end < layers.l4 + 20) return;
    const uint32_t header = layers.l4 + (layers.protocol == kProtocolTcp ? (frame[layers.l4 + 12] >> 4) * 4u : 8u);
    if (header >= layers.end) return;
    const Segmenter segmenter(frame, header, layers.end - header, size);
    if (!segmenter.valid() || header + size > sizeof segment_) return;
    for (uint64_t done = 0; done < layers.end - header;) {
      const uint32_t payload = segmenter.payload(done);
      segmenter.writeHeader(segment_, done);
      std::memcpy(segment_ + header, frame + header + done, payload);
      Layers own;
      parseLayers(segment_, header + payload, 0, &own);
      writeChecksums(segment_, own, true, true);
      deliver(segment_, header + payload, auxiliary);
      done += payload;
    }
  }

  void deliver(const uint8_t* frame, size_t length, const tpacket_auxdata& auxiliary) {
    if (length > FrameQueue::kMaxFrame) return;
    const bool tagged = (auxiliary.tp_status & TP_STATUS_VLAN_VALID) != 0;  // the kernel takes the tag out: put it back
    uint8_t* room = receive_.reserve(length + 4);
    if (room == nullptr) return;
    if (!tagged) {
      std::memcpy(room, frame, length);
      receive_.commit(length);
      return;
    }
    std::memcpy(room, frame, 12);
    store16(room + 12, auxiliary.tp_status & TP_STATUS_VLAN_TPID_VALID ? auxiliary.tp_vlan_tpid : kEtherTypeVlan);
    store16(room + 14, auxiliary.tp_vlan_tci);
    std::memcpy(room + 16, frame + 12, length - 12);
    receive_.commit(length + 4);
  }

  int descriptor_ = -1;
  InterfaceLink link_;
  KernelFilter filter_;
  uint64_t newsAt_ = 0;
  uint64_t retryAt_ = kNever;
  FrameQueue transmit_, receive_;
  DatagramBatch batch_{sizeof(VirtioNetHeader) + kLargest, sizeof(VirtioNetHeader)};
  uint8_t segment_[FrameQueue::kMaxFrame];
};

int InterfaceWire::open(int index) {
  if (const int error = link_.open(index)) return error;
  // Protocol 0 until it is bound: nothing of other interfaces gets in.
  descriptor_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor_ < 0) return errno;
  const int one = 1, room = 4 << 20;
  packet_mreq promiscuous{};
  promiscuous.mr_ifindex = index;
  promiscuous.mr_type = PACKET_MR_PROMISC;
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = index;
  const bool good = setsockopt(descriptor_, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) == 0 &&
                    setsockopt(descriptor_, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) == 0 &&
                    setsockopt(descriptor_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) == 0 &&
                    setsockopt(descriptor_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) == 0 &&
                    bind(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  if (!good) return errno;
  setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);  // as much of it as the system allows
  return 0;
}

}  // namespace

std::shared_ptr<Wire> makeInterfaceWire(const std::string& name, int* error) {
  const unsigned index = if_nametoindex(name.c_str());
  auto wire = std::make_shared<InterfaceWire>(static_cast<int>(index));
  *error = index == 0 ? ENODEV : wire->open(static_cast<int>(index));
  return *error == 0 ? wire : nullptr;
}

}  // namespace soft
