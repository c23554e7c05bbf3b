#include "ethernet/af_packet/ring.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "error.h"

namespace ethernet {
namespace {

constexpr uint32_t kCacheLine = 64;
constexpr uint32_t kLargestBlock = 1 << 17;
// tpacket_rcv in the kernel: the header and the sender's address, then at least 16 bytes from where the frame may begin
// to its network header, aligned, with the virtio-net header before the frame.
constexpr uint32_t kBeforeFrame =
    TPACKET_ALIGN(TPACKET2_HDRLEN + 16) + static_cast<uint32_t>(sizeof(virtio_net_hdr)) - ETH_HLEN;

uint32_t powerOfTwo(uint32_t atLeast) {
  uint32_t size = 1;
  while (size < atLeast) size *= 2;
  return size;
}

template <typename T>
T read(const uint8_t* slot, size_t offset) {
  return __atomic_load_n(reinterpret_cast<const T*>(slot + offset), __ATOMIC_RELAXED);
}

}  // namespace

void PacketRing::open(Napi::Env env, int fd, uint32_t bytes, uint32_t payload) {
  const int version = TPACKET_V2;
  if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version)) {
    throwErrno(env, errno, "setsockopt", "PACKET_VERSION");
  }
  // An odd number of cache lines: slots a power of two apart would all lie in the same few sets of the cache.
  const uint32_t lines = (kBeforeFrame + payload + kCacheLine - 1) / kCacheLine | 1;
  slotSize_ = lines * kCacheLine;
  const uint32_t page = static_cast<uint32_t>(sysconf(_SC_PAGESIZE));
  blockSize_ = powerOfTwo(std::max({page, slotSize_, std::min(bytes, kLargestBlock)}));
  slotsPerBlock_ = blockSize_ / slotSize_;
  const uint32_t blocks = std::max(1u, bytes / blockSize_);
  slots_ = blocks * slotsPerBlock_;
  tpacket_req request{blockSize_, blocks, slotSize_, slots_};
  if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request)) {
    throwErrno(env, errno, "setsockopt", "PACKET_RX_RING");
  }
  // A frame that is longer than a slot but fits its frame of the arena comes by the socket's queue as well.
  const int whole = inlet_.frames.room() > slotSize_ - kBeforeFrame;
  if (setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, &whole, sizeof whole)) {
    throwErrno(env, errno, "setsockopt", "PACKET_COPY_THRESH");
  }
  try {
    mapping_.open(env, fd, size_t{blockSize_} * blocks, 0, "PACKET_RX_RING");
  } catch (...) {
    request = {};
    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request);
    throw;
  }
}

Napi::Value PacketRing::words(Napi::Env env) const { return mapping_.words(env); }

int PacketRing::receive(int fd) {
  const int count = inlet_.prepare();
  if (count < 0) return count;
  uint32_t taken = 0;
  bool bad = false;
  while (taken < static_cast<uint32_t>(count) && !bad) {
    uint8_t* from = slot(next_);
    auto* statusWord = reinterpret_cast<uint32_t*>(from);
    const uint32_t status = __atomic_load_n(statusWord, __ATOMIC_ACQUIRE);
    if (!(status & TP_STATUS_USER)) break;
    PacketMetadata metadata;
    bad = !take(fd, from, status, inlet_.place(taken), &metadata);
    // The bad header is reported by the next call: the frames taken before it are good.
    if (bad && taken > 0) break;
    if (!bad) inlet_.deliver(taken++, metadata);
    __atomic_store_n(statusWord, uint32_t{TP_STATUS_KERNEL}, __ATOMIC_RELEASE);
    if (++next_ == slots_) next_ = 0;
  }
  if (taken > 0) {
    inlet_.publish(taken);
    return static_cast<int>(taken);
  }
  if (bad) return -EBADMSG;
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length)) error = errno;
  return -error;
}

// False when the header cannot be true.
bool PacketRing::take(int fd, const uint8_t* slot, uint32_t status, uint8_t* place, PacketMetadata* metadata) const {
  constexpr size_t kAddress = TPACKET_ALIGN(sizeof(tpacket2_hdr));
  const uint32_t original = read<uint32_t>(slot, offsetof(tpacket2_hdr, tp_len));
  const uint32_t there = read<uint32_t>(slot, offsetof(tpacket2_hdr, tp_snaplen));
  const uint32_t begin = read<uint16_t>(slot, offsetof(tpacket2_hdr, tp_mac));
  if (begin < TPACKET2_HDRLEN + sizeof(virtio_net_hdr) || begin > slotSize_ || there > slotSize_ - begin) return false;
  metadata->original = original;
  metadata->flags = uint32_t{read<uint8_t>(slot, kAddress + offsetof(sockaddr_ll, sll_pkttype))} % 8
                    << FrameRecord::kPacketTypeShift;
  metadata->add(status, read<uint16_t>(slot, offsetof(tpacket2_hdr, tp_vlan_tpid)),
                read<uint16_t>(slot, offsetof(tpacket2_hdr, tp_vlan_tci)));
  if (status & stamped) {
    metadata->seconds = read<uint32_t>(slot, offsetof(tpacket2_hdr, tp_sec));
    metadata->nanoseconds = read<uint32_t>(slot, offsetof(tpacket2_hdr, tp_nsec));
  }
  if (!(status & TP_STATUS_COPY) || !takeWhole(fd, original, place, metadata)) {
    virtio_net_hdr header;
    memcpy(&header, slot + begin - sizeof header, sizeof header);
    metadata->add(header);
    metadata->length = std::min(there, inlet_.frames.room());
    memcpy(place, slot + begin, metadata->length);
  }
  if (metadata->original > metadata->length) metadata->flags |= FrameRecord::kTruncated;
  return true;
}

// Takes the frame of `length` bytes from the socket's queue, where it lies whole. Frames before it there belong to
// slots whose status was overwritten. False when it is not there.
bool PacketRing::takeWhole(int fd, uint32_t length, uint8_t* place, PacketMetadata* metadata) const {
  virtio_net_hdr header{};
  iovec parts[] = {{&header, sizeof header}, {place, inlet_.frames.room()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  for (;;) {
    const ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC);
    if (received < 0) return false;
    if (static_cast<size_t>(received) - sizeof header != length) continue;
    metadata->add(header);
    metadata->length = std::min(length, inlet_.frames.room());
    return true;
  }
}

}  // namespace ethernet
