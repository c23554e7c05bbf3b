#include "ethernet/af_packet/messages.h"

#include <linux/errqueue.h>
#include <linux/if_packet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ethernet {
namespace {

// The control messages: PACKET_AUXDATA, and SCM_TIMESTAMPNS or SCM_TIMESTAMPING (37 in the kernel).
constexpr int kScmTimestamping = SO_TIMESTAMPING;
constexpr size_t kControlBytes = CMSG_SPACE(sizeof(tpacket_auxdata)) + CMSG_SPACE(sizeof(scm_timestamping));
constexpr size_t kControlWords = (kControlBytes + 7) / 8;

// recvmmsg(2) overwrites these lengths with those that it used.
void resetLengths(msghdr* message) {
  message->msg_namelen = sizeof(sockaddr_ll);
  message->msg_controllen = kControlWords * sizeof(uint64_t);
}

}  // namespace

PacketMessages::PacketMessages(PacketInlet& inlet)
    : inlet_(inlet),
      messages_(inlet.batch),
      parts_(inlet.batch * 2),
      headers_(inlet.batch),
      names_(inlet.batch * sizeof(sockaddr_ll)),
      controls_(inlet.batch * kControlWords) {
  for (uint32_t i = 0; i < inlet.batch; i++) {
    parts_[i * 2] = {&headers_[i], sizeof(virtio_net_hdr)};
    messages_[i].msg_hdr.msg_iov = &parts_[i * 2];
    messages_[i].msg_hdr.msg_iovlen = 2;
    messages_[i].msg_hdr.msg_name = &names_[i * sizeof(sockaddr_ll)];
    messages_[i].msg_hdr.msg_control = &controls_[i * kControlWords];
    resetLengths(&messages_[i].msg_hdr);
  }
}

int PacketMessages::receive(int fd) {
  const int count = inlet_.prepare();
  if (count <= 0) return count;
  for (; placed_ < static_cast<uint32_t>(count); placed_++) {
    parts_[placed_ * 2 + 1] = {inlet_.place(placed_), inlet_.frames.room()};
  }
  // MSG_TRUNC: the kernel returns the frame's whole length (packet(7)).
  const int received = recvmmsg(fd, messages_.data(), static_cast<unsigned>(count), MSG_DONTWAIT | MSG_TRUNC, nullptr);
  if (received < 0) {
    if (errno == EAGAIN || errno == EINTR) return 0;
    // packet_rcv_vnet in the kernel: a super-frame of a kind for which there is no VIRTIO_NET_HDR_GSO_*, such as
    // SCTP's.
    if (errno != EINVAL) return -errno;
    undescribed++;
    return 0;
  }
  const uint32_t taken = static_cast<uint32_t>(received);
  for (uint32_t i = 0; i < taken; i++) {
    inlet_.deliver(i, metadataOf(i));
    resetLengths(&messages_[i].msg_hdr);
  }
  placed_ -= taken;
  for (uint32_t i = 0; i < placed_; i++) parts_[i * 2 + 1] = parts_[(i + taken) * 2 + 1];
  inlet_.publish(taken);
  return received;
}

PacketMetadata PacketMessages::metadataOf(uint32_t i) const {
  const msghdr& message = messages_[i].msg_hdr;
  PacketMetadata metadata;
  metadata.original = messages_[i].msg_len - static_cast<uint32_t>(sizeof(virtio_net_hdr));
  metadata.length = std::min(metadata.original, inlet_.frames.room());
  if (metadata.original > metadata.length) metadata.flags |= FrameRecord::kTruncated;
  const auto* source = static_cast<const sockaddr_ll*>(message.msg_name);
  metadata.flags |= static_cast<uint32_t>(source->sll_pkttype) << FrameRecord::kPacketTypeShift;
  metadata.add(headers_[i]);
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control;
       control = CMSG_NXTHDR(const_cast<msghdr*>(&message), control)) {
    if (control->cmsg_level == SOL_PACKET && control->cmsg_type == PACKET_AUXDATA) {
      tpacket_auxdata auxiliary;
      memcpy(&auxiliary, CMSG_DATA(control), sizeof auxiliary);
      metadata.add(auxiliary.tp_status, auxiliary.tp_vlan_tpid, auxiliary.tp_vlan_tci);
    } else if (control->cmsg_level == SOL_SOCKET &&
               (control->cmsg_type == SCM_TIMESTAMPNS || control->cmsg_type == kScmTimestamping)) {
      scm_timestamping times{};
      const bool hardware = control->cmsg_type == kScmTimestamping;
      memcpy(&times, CMSG_DATA(control), hardware ? sizeof times : sizeof times.ts[0]);
      // The third is the device's (Documentation/networking/timestamping.rst, 2.1 in the kernel).
      const timespec& time = reinterpret_cast<const timespec&>(times.ts[hardware ? 2 : 0]);
      metadata.seconds = static_cast<uint32_t>(time.tv_sec);
      metadata.nanoseconds = static_cast<uint32_t>(time.tv_nsec);
    }
  }
  return metadata;
}

}  // namespace ethernet
