#include "ethernet/packet_socket.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "argument.h"
#include "environment.h"
#include "ethernet/membership.h"
#include "ethernet/records.h"
#include "watcher.h"

namespace ethernet {
namespace {

// What a received message may carry: PACKET_AUXDATA and SCM_TIMESTAMPNS.
constexpr size_t kControlBytes = CMSG_SPACE(sizeof(tpacket_auxdata)) + CMSG_SPACE(sizeof(timespec));
constexpr size_t kControlWords = (kControlBytes + 7) / 8;
// sendmmsg(2) and recvmmsg(2) take at most UIO_MAXIOV messages.
constexpr uint32_t kMaxBatch = 1024;

bool isFramesOwnFault(int error) { return error == EMSGSIZE || error == EINVAL; }

// recvmmsg(2) has overwritten them with what it used.
void resetLengths(msghdr* message) {
  message->msg_namelen = sizeof(sockaddr_ll);
  message->msg_controllen = kControlWords * sizeof(uint64_t);
}

}  // namespace

PacketSocket::PacketSocket(Environment& environment, Napi::Object options)
    : Handle(Kind::PacketSocket, {}),
      environment_(environment),
      arena_(options.Env(), options.Get("arena"), "arena"),
      frames_(options.Env(), options.Get("frames"), "frames"),
      fill_(options.Env(), options.Get("fill"), "fill", AddressRecord::kWords),
      receive_(options.Env(), options.Get("receive"), "receive", DescriptorRecord::kWords),
      transmit_(options.Env(), options.Get("transmit"), "transmit", DescriptorRecord::kWords),
      completion_(options.Env(), options.Get("completion"), "completion", AddressRecord::kWords) {
  Napi::Env env = options.Env();
  interfaceIndex_ = argument::field<int32_t>(options, "interfaceIndex");
  batch_ = argument::field<uint32_t>(options, "batch");
  frameSize_ = argument::field<uint32_t>(options, "frameSize");
  headroom_ = argument::field<uint32_t>(options, "headroom");
  if (batch_ == 0 || batch_ > kMaxBatch) throwArgumentRange(env, "batch", "from 1 to 1024");
  if (frameSize_ < 64 || (frameSize_ & (frameSize_ - 1)) != 0) {
    throwArgumentRange(env, "frameSize", "a power of two, at least 64");
  }
  if (headroom_ > frameSize_ - ETH_HLEN) throwArgumentRange(env, "headroom", "smaller than a frame");
  const size_t count = arena_.length() / frameSize_;
  if (count == 0 || arena_.length() > UINT32_MAX) throwArgumentRange(env, "arena", "from one frame to 4 GiB");
  frameCount_ = static_cast<uint32_t>(count);
  if (!frames_.aligned(sizeof(uint32_t)) || frames_.length() / sizeof(uint32_t) < count * FrameRecord::kWords) {
    throwArgumentRange(env, "frames", "a record for each frame of the arena");
  }
  onEvent_ = Napi::Persistent(argument::function(env, options.Get("onEvent"), "onEvent"));
  allocate();
  try {
    configure(env, options);
  } catch (...) {
    // No destructor runs for an object whose constructor throws.
    if (fd_ >= 0) ::close(fd_);
    throw;
  }
}

PacketSocket::~PacketSocket() {
  const char* syscall;
  release(&syscall);
}

int PacketSocket::release(const char**) {
  if (watcher_) watcher_->stop();
  watcher_ = nullptr;
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  return 0;
}

void PacketSocket::configure(Napi::Env env, Napi::Object options) {
  // Protocol 0 receives nothing: no frame of another interface gets in before bind(2) names ours (packet(7)).
  fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) throwErrno(env, errno, "socket", "AF_PACKET");

  if (!argument::boolean(env, options.Get("outgoing"), "outgoing")) {
    enable(SOL_PACKET, PACKET_IGNORE_OUTGOING, "setsockopt", "PACKET_IGNORE_OUTGOING needs Linux 4.20");
  }
  enable(SOL_PACKET, PACKET_AUXDATA, "setsockopt", "PACKET_AUXDATA");
  if (argument::boolean(env, options.Get("timestamps"), "timestamps")) {
    enable(SOL_SOCKET, SO_TIMESTAMPNS, "setsockopt", "SO_TIMESTAMPNS");
  }
  growBuffer(SO_RCVBUF, SO_RCVBUFFORCE, argument::field<uint32_t>(options, "receiveBuffer"));
  growBuffer(SO_SNDBUF, SO_SNDBUFFORCE, argument::field<uint32_t>(options, "sendBuffer"));
  filter(env, options.Get("filter"));

  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(argument::field<uint16_t>(options, "protocol"));
  address.sll_ifindex = interfaceIndex_;
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address)) throwErrno(env, errno, "bind");
  // bind(2) on an interface that is down succeeds and leaves ENETDOWN on the socket (packet_do_bind in the kernel).
  int pending = 0;
  socklen_t length = sizeof pending;
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &pending, &length)) pending = errno;
  if (pending) throwErrno(env, pending, "bind");
}

void PacketSocket::enable(int level, int option, const char* name, const char* detail) {
  const int on = 1;
  if (setsockopt(fd_, level, option, &on, sizeof on)) throwErrno(environment_.env(), errno, name, detail);
}

// The FORCE options pass net.core.rmem_max and wmem_max but need CAP_NET_ADMIN; without it the kernel gives what the
// limit allows (socket(7)), and bufferSize() tells how much that was.
void PacketSocket::growBuffer(int option, int force, uint32_t bytes) {
  if (bytes == 0) return;
  const int size = static_cast<int>(std::min<uint32_t>(bytes, INT32_MAX / 2));
  if (setsockopt(fd_, SOL_SOCKET, force, &size, sizeof size) == 0) return;
  if (setsockopt(fd_, SOL_SOCKET, option, &size, sizeof size)) {
    throwErrno(environment_.env(), errno, "setsockopt", option == SO_RCVBUF ? "SO_RCVBUF" : "SO_SNDBUF");
  }
}

uint32_t PacketSocket::bufferSize(int option) const {
  int size = 0;
  socklen_t length = sizeof size;
  if (getsockopt(fd_, SOL_SOCKET, option, &size, &length)) throwErrno(environment_.env(), errno, "getsockopt");
  return static_cast<uint32_t>(size);
}

void PacketSocket::allocate() {
  incoming_.resize(batch_);
  outgoing_.resize(batch_);
  incomingBytes_.resize(batch_);
  outgoingBytes_.resize(batch_);
  names_.resize(batch_ * sizeof(sockaddr_ll));
  controls_.resize(batch_ * kControlWords);
  receiving_.resize(batch_);
  sending_.resize(batch_);
  for (uint32_t i = 0; i < batch_; i++) {
    incoming_[i].msg_hdr.msg_iov = &incomingBytes_[i];
    incoming_[i].msg_hdr.msg_iovlen = 1;
    incoming_[i].msg_hdr.msg_name = &names_[i * sizeof(sockaddr_ll)];
    incoming_[i].msg_hdr.msg_control = &controls_[i * kControlWords];
    resetLengths(&incoming_[i].msg_hdr);
    outgoing_[i].msg_hdr.msg_iov = &outgoingBytes_[i];
    outgoing_[i].msg_hdr.msg_iovlen = 1;
  }
}

bool PacketSocket::frameAt(uint32_t address, uint32_t* frame) const {
  *frame = address / frameSize_;
  return *frame < frameCount_;
}

// Copies records of the fill ring until `wanted` stand ready, and returns how many do. What stood ready when nothing
// came still does: an empty poll costs no more than its system call.
uint32_t PacketSocket::prepare(uint32_t wanted) {
  for (uint32_t frame; prepared_ < wanted; prepared_++) {
    if (!frameAt(fill_.read(prepared_, AddressRecord::kAddress), &frame)) break;
    receiving_[prepared_] = frame;
    incomingBytes_[prepared_] = {arena_.data() + size_t{frame} * frameSize_ + headroom_, frameSize_ - headroom_};
  }
  return std::min(prepared_, wanted);
}

// The first `count` were received into: those behind them move up.
void PacketSocket::advance(uint32_t count) {
  prepared_ -= count;
  memmove(receiving_.data(), receiving_.data() + count, prepared_ * sizeof receiving_[0]);
  memmove(incomingBytes_.data(), incomingBytes_.data() + count, prepared_ * sizeof incomingBytes_[0]);
  for (uint32_t i = 0; i < count; i++) resetLengths(&incoming_[i].msg_hdr);
}

int PacketSocket::receive() {
  uint32_t available, room;
  if (!fill_.available(&available) || !receive_.room(&room)) return -ERANGE;
  const uint32_t wanted = std::min({available, room, batch_});
  const uint32_t count = prepare(wanted);
  if (count == 0 && wanted > 0) {
    fill_.consume(1);
    return -EFAULT;
  }
  if (count == 0) return 0;

  // MSG_TRUNC makes the kernel tell the frame's whole length (packet(7)).
  const int received = recvmmsg(fd_, incoming_.data(), count, MSG_DONTWAIT | MSG_TRUNC, nullptr);
  if (received < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
  const uint32_t taken = static_cast<uint32_t>(received);
  for (uint32_t i = 0; i < taken; i++) {
    const uint32_t original = incoming_[i].msg_len;
    const uint32_t length = std::min(original, frameSize_ - headroom_);
    describe(receiving_[i], incoming_[i].msg_hdr, length, original);
    receive_.write(i, DescriptorRecord::kAddress, receiving_[i] * frameSize_ + headroom_);
    receive_.write(i, DescriptorRecord::kAddressHigh, 0);
    receive_.write(i, DescriptorRecord::kLength, length);
    receive_.write(i, DescriptorRecord::kOptions, 0);
  }
  advance(taken);
  fill_.consume(taken);
  receive_.produce(taken);
  return received;
}

void PacketSocket::describe(uint32_t frame, const msghdr& message, uint32_t length, uint32_t original) {
  uint32_t flags = 0;
  if (original > length) {
    flags |= FrameRecord::kTruncated;
    truncated_++;
  }
  const auto* source = static_cast<const sockaddr_ll*>(message.msg_name);
  flags |= static_cast<uint32_t>(source->sll_pkttype) << FrameRecord::kPacketTypeShift;
  uint32_t vlan = 0, seconds = 0, nanoseconds = 0;
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control;
       control = CMSG_NXTHDR(const_cast<msghdr*>(&message), control)) {
    if (control->cmsg_level == SOL_PACKET && control->cmsg_type == PACKET_AUXDATA) {
      tpacket_auxdata auxiliary;
      memcpy(&auxiliary, CMSG_DATA(control), sizeof auxiliary);
      if (auxiliary.tp_status & TP_STATUS_CSUMNOTREADY) flags |= FrameRecord::kChecksumPartial;
      if (auxiliary.tp_status & TP_STATUS_CSUM_VALID) flags |= FrameRecord::kChecksumValid;
      if (auxiliary.tp_status & TP_STATUS_VLAN_VALID) {
        const uint32_t protocol =
            auxiliary.tp_status & TP_STATUS_VLAN_TPID_VALID ? auxiliary.tp_vlan_tpid : uint32_t{ETHERTYPE_VLAN};
        vlan = protocol << 16 | auxiliary.tp_vlan_tci;
      }
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_TIMESTAMPNS) {
      timespec time;
      memcpy(&time, CMSG_DATA(control), sizeof time);
      seconds = static_cast<uint32_t>(time.tv_sec);
      nanoseconds = static_cast<uint32_t>(time.tv_nsec);
    }
  }
  uint32_t* record = frames_.words() + size_t{frame} * FrameRecord::kWords;
  record[FrameRecord::kOffset] = frame * frameSize_ + headroom_;
  record[FrameRecord::kLength] = length;
  record[FrameRecord::kOriginalLength] = original;
  record[FrameRecord::kFlags] = flags;
  record[FrameRecord::kVlan] = vlan;
  record[FrameRecord::kSeconds] = seconds;
  record[FrameRecord::kNanoseconds] = nanoseconds;
}

void PacketSocket::complete(uint32_t address, uint32_t status) {
  completion_.write(0, AddressRecord::kAddress, address);
  completion_.write(0, AddressRecord::kStatus, status);
  completion_.produce(1);
  transmit_.consume(1);
}

int PacketSocket::transmit() {
  uint32_t available, room;
  if (!transmit_.available(&available) || !completion_.room(&room)) return -ERANGE;
  available = std::min(available, room);
  while (available > 0) {
    const uint32_t wanted = std::min(available, batch_);
    uint32_t count = 0;
    uint32_t frame;
    for (; count < wanted; count++) {
      const uint32_t address = transmit_.read(count, DescriptorRecord::kAddress);
      const uint32_t length = transmit_.read(count, DescriptorRecord::kLength);
      sending_[count] = address;
      if (transmit_.read(count, DescriptorRecord::kAddressHigh) != 0 || !frameAt(address, &frame)) break;
      if (length < ETH_HLEN || length > frameSize_ - address % frameSize_) break;
      outgoingBytes_[count] = {arena_.data() + address, length};
    }
    if (count == 0) {
      complete(sending_[0], EFAULT);
      return -EFAULT;
    }
    const int sent = sendmmsg(fd_, outgoing_.data(), count, MSG_DONTWAIT);
    if (sent < 0) {
      const int error = errno;
      if (isFramesOwnFault(error)) complete(sending_[0], static_cast<uint32_t>(error));
      return -error;
    }
    for (int i = 0; i < sent; i++) complete(sending_[i], 0);
    available -= static_cast<uint32_t>(sent);
  }
  return 0;
}

void PacketSocket::arm(int events, bool referenced) {
  int error = 0;
  if (!watcher_) {
    watcher_ = Watcher::start(
        environment_, fd_,
        [this] {
          if (awaited_ == 0) {
            watcher_->listen(0);
            return;
          }
          disarm();
          // The callback may close this socket: nothing of it may be touched afterwards.
          environment_.call(onEvent_);
        },
        &error);
    if (!watcher_) throwErrno(environment_.env(), error, "uv_poll_start");
  }
  error = watcher_->listen(events);
  if (error) throwErrno(environment_.env(), error, "uv_poll_start");
  awaited_ = events;
  watcher_->reference(referenced);
}

void PacketSocket::disarm() {
  awaited_ = 0;
  if (watcher_) watcher_->reference(false);
}

void PacketSocket::membership(bool add, uint16_t type, const uint8_t* address) {
  changeMembership(environment_.env(), fd_, interfaceIndex_, add, type, address);
}

void PacketSocket::filter(Napi::Env env, Napi::Value program) {
  if (!program.IsTypedArray() || program.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    throwArgumentType(env, "filter", "a Uint32Array");
  }
  const auto numbers = program.As<Napi::Uint32Array>();
  const size_t count = numbers.ElementLength() / 4;
  if (count == 0 || count > BPF_MAXINSNS) throwArgumentRange(env, "filter", "from 1 to 4096 instructions");
  std::vector<sock_filter> instructions(count);
  for (size_t i = 0; i < count; i++) {
    instructions[i] = {static_cast<uint16_t>(numbers[i * 4]), static_cast<uint8_t>(numbers[i * 4 + 1]),
                       static_cast<uint8_t>(numbers[i * 4 + 2]), numbers[i * 4 + 3]};
  }
  sock_fprog filter{static_cast<uint16_t>(count), instructions.data()};
  if (setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter)) {
    throwErrno(env, errno, "setsockopt", "SO_ATTACH_FILTER");
  }
}

// The kernel's counters start again at 0 each time they are read (packet(7)), so the sums are kept here.
Napi::Value PacketSocket::statistics(Napi::Env env) {
  tpacket_stats counters{};
  socklen_t length = sizeof counters;
  if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &counters, &length)) {
    throwErrno(env, errno, "getsockopt", "PACKET_STATISTICS");
  }
  // tp_packets counts the drops too (packet_getsockopt in the kernel).
  received_ += counters.tp_packets - counters.tp_drops;
  dropped_ += counters.tp_drops;
  Napi::Object result = Napi::Object::New(env);
  result.Set("received", Napi::Number::New(env, static_cast<double>(received_)));
  result.Set("truncated", Napi::Number::New(env, static_cast<double>(truncated_)));
  result.Set("dropped", Napi::Number::New(env, static_cast<double>(dropped_)));
  return result;
}

}  // namespace ethernet
