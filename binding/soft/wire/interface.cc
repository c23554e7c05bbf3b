// An interface of this machine as the wire: what the port sends leaves there, what arrives there comes to the port
// (packet(7)).
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
#include "wire/datagrams.h"
#include "wire/wire.h"

namespace soft {

namespace {

constexpr uint64_t kRetry = 100000;  // a full device queue raises no event: look again after 100 µs

class InterfaceWire : public Wire {
 public:
  explicit InterfaceWire(int descriptor) : descriptor_(descriptor) {}
  ~InterfaceWire() override { close(descriptor_); }

  WireEnd end(int index) override { return index == 0 ? WireEnd{&transmit_, &receive_} : WireEnd{}; }
  int descriptor() const override { return descriptor_; }
  uint64_t deadline() const override { return retryAt_; }

  bool step(uint64_t now) override {
    const bool sent = send(now);
    return receive() || sent;
  }

 private:
  bool send(uint64_t now) {
    retryAt_ = kNever;
    if (transmit_.empty()) return false;
    const int sent = batch_.send(descriptor_, transmit_);
    if (sent < 0) {
      const bool full = errno == EAGAIN || errno == ENOBUFS;
      // Down, or a frame longer than the MTU: gone, as a NIC loses it.
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
    for (int i = 0; i < count; ++i) accept(batch_.frame(i), batch_.length(i), batch_.header(i));
    return true;
  }

  void accept(uint8_t* frame, size_t length, msghdr& header) {
    if ((header.msg_flags & MSG_TRUNC) || length < 14) return;  // a GRO frame longer than any MTU: ethtool turns that off
    tpacket_auxdata auxiliary{};
    for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
      if (item->cmsg_level == SOL_PACKET && item->cmsg_type == PACKET_AUXDATA) {
        std::memcpy(&auxiliary, CMSG_DATA(item), sizeof auxiliary);
      }
    }
    if (auxiliary.tp_status & TP_STATUS_CSUMNOTREADY) {  // from a local socket: its checksum was left to "the NIC"
      Layers layers;
      parseLayers(frame, length, 0, &layers);
      writeChecksums(frame, layers, false, true);
    }
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

  int descriptor_;
  uint64_t retryAt_ = kNever;
  FrameQueue transmit_, receive_;
  DatagramBatch batch_;
};

}  // namespace

std::shared_ptr<Wire> makeInterfaceWire(const std::string& name, int* error) {
  const unsigned index = if_nametoindex(name.c_str());
  if (index == 0) {
    *error = ENODEV;
    return nullptr;
  }
  // Protocol 0 until it is bound: nothing of other interfaces gets in.
  const int descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    *error = errno;
    return nullptr;
  }
  const int one = 1, room = 4 << 20;
  packet_mreq promiscuous{};
  promiscuous.mr_ifindex = static_cast<int>(index);
  promiscuous.mr_type = PACKET_MR_PROMISC;
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(index);
  const bool good =
      setsockopt(descriptor, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) == 0 &&
      setsockopt(descriptor, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) == 0 &&
      setsockopt(descriptor, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) == 0 &&
      bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  if (!good) {
    *error = errno;
    close(descriptor);
    return nullptr;
  }
  setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);  // as much of it as the system allows
  return std::make_shared<InterfaceWire>(descriptor);
}

}  // namespace soft
