#include "ethernet/af_xdp/socket.h"

#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "argument.h"
#include "environment.h"
#include "ethernet/interface/membership.h"
#include "ethernet/system_call.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif
// Linux 6.6; older headers lack it.
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif

namespace ethernet {
namespace {

// How each ring is made and mapped, and the size of its records (linux/if_xdp.h).
struct RingKind {
  const char* name;
  int option;
  const char* optionName;
  off_t pageOffset;
  xdp_ring_offset xdp_mmap_offsets::* offsets;
  size_t recordSize;
};
constexpr RingKind kRingKinds[] = {
    {"fill", XDP_UMEM_FILL_RING, "XDP_UMEM_FILL_RING", static_cast<off_t>(XDP_UMEM_PGOFF_FILL_RING),
     &xdp_mmap_offsets::fr, sizeof(uint64_t)},
    {"receive", XDP_RX_RING, "XDP_RX_RING", XDP_PGOFF_RX_RING, &xdp_mmap_offsets::rx, sizeof(xdp_desc)},
    {"transmit", XDP_TX_RING, "XDP_TX_RING", XDP_PGOFF_TX_RING, &xdp_mmap_offsets::tx, sizeof(xdp_desc)},
    {"completion", XDP_UMEM_COMPLETION_RING, "XDP_UMEM_COMPLETION_RING",
     static_cast<off_t>(XDP_UMEM_PGOFF_COMPLETION_RING), &xdp_mmap_offsets::cr, sizeof(uint64_t)},
};

// A program as lib/ethernet/af-xdp/program.ts assembles it: two words an instruction.
Napi::Uint32Array programOf(Napi::Env env, Napi::Value program) {
  if (!program.IsTypedArray() || program.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    throwArgumentType(env, "program", "a Uint32Array");
  }
  const auto words = program.As<Napi::Uint32Array>();
  if (words.ElementLength() == 0 || words.ElementLength() % 2 != 0 || words.ElementLength() > 2 * 4096) {
    throwArgumentRange(env, "program", "from 1 to 4096 instructions of two words");
  }
  return words;
}

}  // namespace

XdpSocket::XdpSocket(Environment& environment, Napi::Object options)
    : Handle(Kind::XdpSocket, {}), environment_(environment), frames_(options) {
  Napi::Env env = options.Env();
  interfaceIndex_ = argument::field<int32_t>(options, "interfaceIndex");
  onEvent_ = Napi::Persistent(argument::function(env, options.Get("onEvent"), "onEvent"));
  for (int i = 0; i < kRings; i++) {
    const std::string name = std::string(kRingKinds[i].name) + "Entries";
    const uint32_t capacity = argument::field<uint32_t>(options, name.c_str());
    // A socket that only transmits has no receive ring.
    const bool optional = i == kReceive;
    if ((capacity == 0 && !optional) || (capacity & (capacity - 1)) != 0 || capacity > 1u << 20) {
      throwArgumentRange(env, name.c_str(), "a power of two, at most 2^20");
    }
    rings_[i].capacity = capacity;
  }
  try {
    configure(env, options);
  } catch (...) {
    // No destructor runs for an object whose constructor throws.
    const char* syscall;
    release(&syscall);
    throw;
  }
}

XdpSocket::~XdpSocket() {
  const char* syscall;
  release(&syscall);
}

int XdpSocket::release(const char**) {
  watch_.stop();
  if (attached_) program_->remove(&member_);
  attached_ = false;
  program_.reset();
  if (fd_ >= 0) xdp_memory::remove(fd_);
  for (int* fd : {&fd_, &memberships_}) {
    if (*fd >= 0) ::close(*fd);
    *fd = -1;
  }
  for (Ring& ring : rings_) ring.mapping.close();
  return 0;
}

void XdpSocket::configure(Napi::Env env, Napi::Object options) {
  const auto chunkSize = argument::field<uint32_t>(options, "chunkSize");
  const auto chunkHeadroom = argument::field<uint32_t>(options, "chunkHeadroom");
  const auto sendBuffer = argument::field<uint32_t>(options, "sendBuffer");

  fd_ = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd_ < 0) throwErrno(env, errno, "socket", "AF_XDP");
  // The callback may close this socket: nothing of it may be touched afterwards.
  watch_.start(environment_, fd_, [this] { environment_.call(onEvent_); });

  memory_.addr = reinterpret_cast<uintptr_t>(frames_.data());
  memory_.len = frames_.length();
  memory_.chunk_size = chunkSize;
  memory_.headroom = chunkHeadroom;
  for (int i = 0; i < kRings; i++) {
    if (rings_[i].capacity == 0) continue;
    const uint32_t capacity = rings_[i].capacity;
    if (setsockopt(fd_, SOL_XDP, kRingKinds[i].option, &capacity, sizeof capacity)) {
      throwErrno(env, errno, "setsockopt", kRingKinds[i].optionName);
    }
  }
  if (sendBuffer > 0) {
    const int size = static_cast<int>(std::min<uint32_t>(sendBuffer, INT32_MAX / 2));
    // Past net.core.wmem_max with CAP_NET_ADMIN, up to it without (socket(7)).
    if (setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) &&
        setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &size, sizeof size)) {
      throwErrno(env, errno, "setsockopt", "SO_SNDBUF");
    }
  }
  map(env);
}

void XdpSocket::map(Napi::Env env) {
  xdp_mmap_offsets offsets{};
  socklen_t length = sizeof offsets;
  if (getsockopt(fd_, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length)) {
    throwErrno(env, errno, "getsockopt", "XDP_MMAP_OFFSETS");
  }
  // Before Linux 5.4 the offsets had no flags, and there was no need_wakeup either.
  if (length != sizeof offsets) throwErrno(env, EOPNOTSUPP, "getsockopt", "AF_XDP with need_wakeup needs Linux 5.4");
  for (int i = 0; i < kRings; i++) {
    Ring& ring = rings_[i];
    if (ring.capacity == 0) continue;
    const xdp_ring_offset& at = offsets.*kRingKinds[i].offsets;
    ring.producer = static_cast<uint32_t>(at.producer);
    ring.consumer = static_cast<uint32_t>(at.consumer);
    ring.flags = static_cast<uint32_t>(at.flags);
    ring.records = static_cast<uint32_t>(at.desc);
    const size_t bytes = at.desc + ring.capacity * kRingKinds[i].recordSize;
    ring.mapping.open(env, fd_, bytes, kRingKinds[i].pageOffset, kRingKinds[i].optionName);
  }
}

Napi::Value XdpSocket::rings(Napi::Env env) {
  Napi::Object result = Napi::Object::New(env);
  for (int i = 0; i < kRings; i++) {
    const Ring& ring = rings_[i];
    if (!ring.mapping.isOpen()) continue;
    Napi::Object item = Napi::Object::New(env);
    item.Set("words", ring.mapping.words(env));
    item.Set("flags", Napi::Number::New(env, ring.flags / 4));
    Napi::Object layout = Napi::Object::New(env);
    layout.Set("producer", Napi::Number::New(env, ring.producer / 4));
    layout.Set("consumer", Napi::Number::New(env, ring.consumer / 4));
    layout.Set("records", Napi::Number::New(env, ring.records / 4));
    layout.Set("capacity", Napi::Number::New(env, ring.capacity));
    item.Set("layout", layout);
    result.Set(kRingKinds[i].name, item);
  }
  return result;
}

void XdpSocket::registerMemory(Napi::Env env) {
  if (setsockopt(fd_, SOL_XDP, XDP_UMEM_REG, &memory_, sizeof memory_)) {
    throwErrno(env, errno, "setsockopt", "XDP_UMEM_REG");
  }
}

sockaddr_xdp XdpSocket::address(uint32_t queue, uint16_t flags) const {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_flags = flags;
  address.sxdp_ifindex = static_cast<uint32_t>(interfaceIndex_);
  address.sxdp_queue_id = queue;
  return address;
}

int XdpSocket::bind(uint32_t queue, uint16_t flags) {
  const sockaddr_xdp to = address(queue, flags);
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to)) return -errno;
  xdp_memory::add(fd_, memory_, zeroCopy(), flags & XDP_USE_SG);
  return 0;
}

int XdpSocket::bindShared(uint32_t queue, XdpSharing* sharing) {
  return -xdp_memory::bind(fd_, memory_, address(queue, 0), sharing);
}

int XdpSocket::option(int level, int name, int value) {
  return setsockopt(fd_, level, name, &value, sizeof value) ? -errno : 0;
}

int XdpSocket::attach(Napi::Env env, Napi::Value program, uint32_t queue, XdpProgram::Mode* mode) {
  const Napi::Uint32Array words = programOf(env, program);
  if (!program_ || attached_) return -EINVAL;
  member_ = {queue, std::vector<uint32_t>(words.Data(), words.Data() + words.ElementLength())};
  const int error = program_->add(&member_, fd_, mode);
  attached_ = error == 0;
  return -error;
}

int XdpSocket::replace(Napi::Env env, Napi::Value program) {
  const Napi::Uint32Array words = programOf(env, program);
  if (!attached_) return -EINVAL;
  return -program_->change(&member_, std::vector<uint32_t>(words.Data(), words.Data() + words.ElementLength()));
}

void XdpSocket::membership(bool add, uint16_t type, const uint8_t* address) {
  if (memberships_ < 0) memberships_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (memberships_ < 0) throwErrno(environment_.env(), errno, "socket", "AF_PACKET");
  changeMembership(environment_.env(), memberships_, interfaceIndex_, add, type, address);
}

int XdpSocket::transmit() { return system_call::send(fd_, nullptr, 0, MSG_DONTWAIT) < 0 ? -errno : 0; }

int XdpSocket::receive() { return system_call::receive(fd_, MSG_DONTWAIT) < 0 ? -errno : 0; }

void XdpSocket::arm(int events, bool referenced) {
  const int error = watch_.arm(events, referenced);
  if (error) throwErrno(environment_.env(), error, "uv_poll_start");
}

bool XdpSocket::zeroCopy() const {
  xdp_options options{};
  socklen_t length = sizeof options;
  // Linux 5.3; what does not tell has copied.
  if (getsockopt(fd_, SOL_XDP, XDP_OPTIONS, &options, &length)) return false;
  return options.flags & XDP_OPTIONS_ZEROCOPY;
}

Napi::Value XdpSocket::statistics(Napi::Env env) const {
  xdp_statistics counters{};
  socklen_t length = sizeof counters;
  if (getsockopt(fd_, SOL_XDP, XDP_STATISTICS, &counters, &length)) {
    throwErrno(env, errno, "getsockopt", "XDP_STATISTICS");
  }
  Napi::Object result = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t value) {
    result.Set(name, Napi::Number::New(env, static_cast<double>(value)));
  };
  set("dropped", counters.rx_dropped);
  set("receiveInvalid", counters.rx_invalid_descs);
  set("transmitInvalid", counters.tx_invalid_descs);
  set("receiveRingFull", counters.rx_ring_full);
  set("fillRingEmpty", counters.rx_fill_ring_empty_descs);
  set("transmitRingEmpty", counters.tx_ring_empty_descs);
  return result;
}

uint32_t XdpSocket::bufferSize(int option) const {
  int size = 0;
  socklen_t length = sizeof size;
  if (getsockopt(fd_, SOL_SOCKET, option, &size, &length)) throwErrno(environment_.env(), errno, "getsockopt");
  return static_cast<uint32_t>(size);
}

}  // namespace ethernet
