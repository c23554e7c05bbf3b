#include "ethernet/af_packet/outlet.h"

#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

#include "clock.h"
#include "ethernet/system_call.h"

namespace ethernet {
namespace {

// So often, and for so many nanoseconds, is a frame tried that a queueing discipline does not take, before it is
// refused.
constexpr uint32_t kTries = 20;
constexpr uint64_t kPatience = 1000000000;

// ENOMEM of a frame whose header leaves work to the kernel: its segments or its checksum could not be made, because the
// frame is not what the header says (__dev_queue_xmit returns ENOMEM for what validate_xmit_skb has dropped). It would
// be dropped again and again.
bool isFramesOwnFault(int error, const virtio_net_hdr& header) {
  const bool unfinished = header.flags != 0 || header.gso_type != VIRTIO_NET_HDR_GSO_NONE;
  return error == EMSGSIZE || error == EINVAL || (error == ENOMEM && unfinished);
}

}  // namespace

PacketOutlet::PacketOutlet(Napi::Object options, const ArenaFrames& frames, uint32_t batch)
    : frames_(frames),
      batch_(batch),
      transmit_(options.Env(), options.Get("transmit"), "transmit", DescriptorRecord::kWords),
      messages_(batch),
      parts_(batch * kParts),
      headers_(batch),
      tags_(batch) {
  for (uint32_t i = 0; i < batch; i++) parts_[i * kParts] = {&headers_[i], sizeof headers_[i]};
}

// False for a record that names no part of a frame.
bool PacketOutlet::prepare(uint32_t i) {
  const uint32_t address = transmit_.read(i, DescriptorRecord::kAddress);
  const uint32_t length = transmit_.read(i, DescriptorRecord::kLength);
  const uint32_t options = transmit_.read(i, DescriptorRecord::kOptions);
  uint32_t frame;
  if (transmit_.read(i, DescriptorRecord::kAddressHigh) != 0 || !frames_.holds(address, length, &frame)) return false;
  parts_[i * kParts + 1] = {frames_.bytes(address), length};
  messages_[i].msg_hdr.msg_iov = &parts_[i * kParts + (withHeaders_ ? 0 : 1)];
  messages_[i].msg_hdr.msg_iovlen = withHeaders_ ? 2 : 1;
  headers_[i] = {};
  if (options != 0) finish(i, frame, options);
  return true;
}

void PacketOutlet::finish(uint32_t i, uint32_t frame, uint32_t options) {
  constexpr size_t kAddresses = 2 * ETH_ALEN;
  const uint32_t* record = frames_.record(frame);
  if (options & DescriptorRecord::kFinish) {
    headers_[i] = headerOf(record);
    needHeaders_ = true;
  }
  if (!(options & DescriptorRecord::kInsertTag)) return;
  // The tag goes between the addresses and what follows them: nothing is moved.
  const uint32_t vlan = __atomic_load_n(record + FrameRecord::kVlan, __ATOMIC_RELAXED);
  for (int byte = 0; byte < 4; byte++) tags_[i][byte] = static_cast<uint8_t>(vlan >> (24 - 8 * byte));
  if (headers_[i].flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) headers_[i].csum_start += sizeof tags_[i];
  iovec* parts = &parts_[i * kParts + 1];
  parts[2] = {static_cast<uint8_t*>(parts[0].iov_base) + kAddresses, parts[0].iov_len - kAddresses};
  parts[1] = {tags_[i].data(), tags_[i].size()};
  parts[0].iov_len = kAddresses;
  messages_[i].msg_hdr.msg_iovlen += 2;
}

// The next record's frame is at fault: it is not sent.
void PacketOutlet::refuse(int error) {
  transmit_.write(0, DescriptorRecord::kStatus, static_cast<uint32_t>(error));
  transmit_.consume(1);
  tries_ = 0;
}

// A queueing discipline returns ENOBUFS when it is full, and likewise for a frame that it never takes: one that exceeds
// a token bucket's burst, or that a filter drops (NET_XMIT_DROP; tc(8), nft(8)). It is the latter when none of this
// socket's frames is queued, and many tries have changed nothing.
bool PacketOutlet::isNeverTaken() {
  int queued = 0;
  if (ioctl(fd_, SIOCOUTQ, &queued) || queued != 0) {
    tries_ = 0;
    return false;
  }
  const uint64_t now = monotonicNanoseconds();
  if (tries_++ == 0) firstTry_ = now;
  return tries_ > kTries && now - firstTry_ > kPatience;
}

// One frame costs sendmmsg(2) 170 ns more than send(2).
int PacketOutlet::send(uint32_t count) {
  const msghdr& first = messages_[0].msg_hdr;
  if (count > 1) return system_call::sendMessages(fd_, messages_.data(), count, MSG_DONTWAIT);
  if (first.msg_iovlen > 1) return sendmsg(fd_, &first, MSG_DONTWAIT) < 0 ? -1 : 1;
  return system_call::send(fd_, first.msg_iov->iov_base, first.msg_iov->iov_len, MSG_DONTWAIT) < 0 ? -1 : 1;
}

int PacketOutlet::transmit() {
  uint32_t available;
  if (!transmit_.available(&available)) return -ERANGE;
  while (available > 0) {
    const uint32_t wanted = std::min(available, batch_);
    uint32_t count = 0;
    while (count < wanted && prepare(count)) count++;
    if (needHeaders_ && !withHeaders_) {
      const int on = 1;
      if (setsockopt(fd_, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on)) return -errno;
      withHeaders_ = true;
      continue;
    }
    needHeaders_ = false;
    if (count == 0) {
      refuse(EFAULT);
      return -EFAULT;
    }
    const int sent = send(count);
    if (sent < 0) {
      const int error = errno;
      if (isFramesOwnFault(error, headers_[0]) || (error == ENOBUFS && isNeverTaken())) refuse(error);
      return -error;
    }
    tries_ = 0;
    transmit_.consume(static_cast<uint32_t>(sent));
    available -= static_cast<uint32_t>(sent);
  }
  return 0;
}

}  // namespace ethernet
