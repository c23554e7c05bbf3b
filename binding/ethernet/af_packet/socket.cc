#include "ethernet/af_packet/socket.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "argument.h"
#include "environment.h"
#include "ethernet/interface/membership.h"

namespace ethernet {
namespace {

// sendmmsg(2) and recvmmsg(2) take at most UIO_MAXIOV messages.
constexpr uint32_t kMaxBatch = 1024;
// Long before 2^32 frames: the kernel's 32-bit counter includes the frames dropped meanwhile, which are not seen here.
constexpr uint32_t kCountEvery = 1u << 24;

uint32_t batchOf(Napi::Object options) {
  const auto batch = argument::field<uint32_t>(options, "batch");
  if (batch == 0 || batch > kMaxBatch) throwArgumentRange(options.Env(), "batch", "from 1 to 1024");
  return batch;
}

}  // namespace

PacketSocket::PacketSocket(Environment& environment, Napi::Object options)
    : Handle(Kind::PacketSocket, {}),
      environment_(environment),
      interfaceIndex_(argument::field<int32_t>(options, "interfaceIndex")),
      frames_(options),
      inlet_(options, frames_, batchOf(options)),
      messages_(inlet_),
      ring_(inlet_),
      outlet_(options, frames_, batchOf(options)) {
  onEvent_ = Napi::Persistent(argument::function(options.Env(), options.Get("onEvent"), "onEvent"));
  try {
    configure(options.Env(), options);
  } catch (...) {
    // No destructor runs for an object whose constructor throws.
    const char* syscall;
    release(&syscall);
    throw;
  }
}

PacketSocket::~PacketSocket() {
  const char* syscall;
  release(&syscall);
}

int PacketSocket::release(const char**) {
  watch_.stop();
  outWatch_.stop();
  device_.stop();
  if (out_ >= 0 && out_ != fd_) ::close(out_);
  if (fd_ >= 0) ::close(fd_);
  fd_ = out_ = -1;
  ring_.close();
  return 0;
}

// Protocol 0 receives nothing: no frame of another interface gets in before bind(2) names ours (packet(7)).
int PacketSocket::open(Napi::Env env) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throwErrno(env, errno, "socket", "AF_PACKET");
  return fd;
}

void PacketSocket::configure(Napi::Env env, Napi::Object options) {
  const bool outgoing = argument::boolean(env, options.Get("outgoing"), "outgoing");
  const bool transmitOnly = argument::boolean(env, options.Get("transmitOnly"), "transmitOnly");
  fd_ = open(env);
  if (!outgoing) {
    enable(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "setsockopt", "PACKET_IGNORE_OUTGOING needs Linux 4.20");
  }
  if (!transmitOnly) {
    enable(SOL_PACKET, PACKET_AUXDATA, 1, "setsockopt", "PACKET_AUXDATA");
    enable(SOL_PACKET, PACKET_VNET_HDR, 1, "setsockopt", "PACKET_VNET_HDR");
  }
  growBuffer(fd_, SO_RCVBUF, SO_RCVBUFFORCE, argument::field<uint32_t>(options, "receiveBuffer"));
  filter(env, options.Get("filter"));
  // A socket that receives outgoing frames would receive its own, too, if another socket sent them.
  out_ = outgoing || transmitOnly ? fd_ : open(env);
  growBuffer(out_, SO_SNDBUF, SO_SNDBUFFORCE, argument::field<uint32_t>(options, "sendBuffer"));
  outlet_.use(out_, out_ == fd_ && !transmitOnly);
  const auto event = [this] {
    watch_.disarm();
    outWatch_.disarm();
    // The callback may close this socket: nothing of it may be touched afterwards.
    environment_.call(onEvent_);
  };
  watch_.start(environment_, fd_, event);
  outWatch_.start(environment_, out_, event);
}

Napi::Value PacketSocket::ring(Napi::Env env, uint32_t bytes, uint32_t payload) {
  if (ring_.isOpen()) throwErrno(env, EBUSY, "setsockopt", "PACKET_RX_RING");
  if (payload < ETH_HLEN || payload > frames_.frameSize()) throwArgumentRange(env, "payload", "at most a frame");
  if (bytes > 1u << 30) throwArgumentRange(env, "bytes", "at most 1 GiB");
  ring_.open(env, fd_, bytes, payload);
  return ring_.words(env);
}

void PacketSocket::timestamps(Napi::Env env, bool hardware) {
  if (!hardware) {
    // The kernel timestamps frames when they arrive, and recvmmsg(2) returns it.
    enable(SOL_SOCKET, SO_TIMESTAMPNS, 1, "setsockopt", "SO_TIMESTAMPNS");
    enable(SOL_PACKET, PACKET_TIMESTAMP, SOF_TIMESTAMPING_SOFTWARE, "setsockopt", "PACKET_TIMESTAMP");
    ring_.stamped = TP_STATUS_USER;
    return;
  }
  char name[IF_NAMESIZE];
  if (!if_indextoname(static_cast<unsigned>(interfaceIndex_), name)) throwErrno(env, errno, "if_indextoname");
  const std::string device = std::string("\"") + name + "\"";
  TimestampAbilities abilities;
  int error = timestampAbilities(fd_, name, &abilities);
  if (error) throwErrno(env, error, "ioctl", device + " tells nothing of time stamps (ETHTOOL_GET_TS_INFO)");
  if (!(abilities.stamps & SOF_TIMESTAMPING_RX_HARDWARE)) {
    throwErrno(env, EOPNOTSUPP, "ioctl",
               device + " stamps no received frames itself (ETHTOOL_GET_TS_INFO): use timestamps 'software'");
  }
  if (!(abilities.receiveFilters & 1u << HWTSTAMP_FILTER_ALL)) {
    throwErrno(env, EOPNOTSUPP, "ioctl",
               device +
                   " does not stamp every received frame (ETHTOOL_GET_TS_INFO has no HWTSTAMP_FILTER_ALL): use "
                   "timestamps 'software'");
  }
  error = device_.start(fd_, name);
  if (error) throwErrno(env, error, "ioctl", device + ": SIOCSHWTSTAMP");
  constexpr int kHardware = SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
  enable(SOL_SOCKET, SO_TIMESTAMPING, kHardware, "setsockopt", "SO_TIMESTAMPING");
  enable(SOL_PACKET, PACKET_TIMESTAMP, SOF_TIMESTAMPING_RAW_HARDWARE, "setsockopt", "PACKET_TIMESTAMP");
  ring_.stamped = TP_STATUS_TS_RAW_HARDWARE;
}

void PacketSocket::bind(Napi::Env env, uint16_t protocol) {
  if (out_ != fd_) bind(env, out_, 0);
  bind(env, fd_, protocol);
  if (!ring_.isOpen()) return;
  const int error = watch_.tellErrors();
  if (error) throwErrno(env, error, "uv_poll_start");
}

void PacketSocket::bind(Napi::Env env, int fd, uint16_t protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = interfaceIndex_;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address)) throwErrno(env, errno, "bind");
  // bind(2) on an interface that is down succeeds and leaves ENETDOWN on the socket (packet_do_bind in the kernel).
  int pending = 0;
  socklen_t length = sizeof pending;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &length)) pending = errno;
  if (pending) throwErrno(env, pending, "bind");
}

int PacketSocket::fanout(uint16_t group, uint16_t type) {
  uint32_t word = group | uint32_t{type} << 16;
  if (setsockopt(fd_, SOL_PACKET, PACKET_FANOUT, &word, sizeof word)) return -errno;
  // The group's number, which the kernel chooses where it is asked to (PACKET_FANOUT_FLAG_UNIQUEID).
  socklen_t length = sizeof word;
  if (getsockopt(fd_, SOL_PACKET, PACKET_FANOUT, &word, &length)) return -errno;
  return static_cast<int>(word & 0xffff);
}

void PacketSocket::enable(int level, int option, int value, const char* name, const char* detail) {
  if (setsockopt(fd_, level, option, &value, sizeof value)) throwErrno(environment_.env(), errno, name, detail);
}

// The FORCE options pass net.core.rmem_max and wmem_max but need CAP_NET_ADMIN; without it the kernel gives what the
// limit allows (socket(7)), and bufferSize() tells how much that was.
void PacketSocket::growBuffer(int fd, int option, int force, uint32_t bytes) {
  if (bytes == 0) return;
  const int size = static_cast<int>(std::min<uint32_t>(bytes, INT32_MAX / 2));
  if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof size) == 0) return;
  if (setsockopt(fd, SOL_SOCKET, option, &size, sizeof size)) {
    throwErrno(environment_.env(), errno, "setsockopt", option == SO_RCVBUF ? "SO_RCVBUF" : "SO_SNDBUF");
  }
}

uint32_t PacketSocket::bufferSize(int fd, int option) const {
  int size = 0;
  socklen_t length = sizeof size;
  if (getsockopt(fd, SOL_SOCKET, option, &size, &length)) throwErrno(environment_.env(), errno, "getsockopt");
  return static_cast<uint32_t>(size);
}

double PacketSocket::receiveBuffer() const {
  return ring_.isOpen() ? static_cast<double>(ring_.length()) : bufferSize(fd_, SO_RCVBUF);
}

int PacketSocket::receive() {
  const int status = ring_.isOpen() ? ring_.receive(fd_) : messages_.receive(fd_);
  if (status > 0) {
    uncounted_ += static_cast<uint32_t>(status);
    if (uncounted_ >= kCountEvery) count();
  } else if (status < 0 && ring_.isOpen()) {
    watch_.errorWasRead();
  }
  return status;
}

void PacketSocket::arm(bool readable, bool writable, bool referenced) {
  const bool one = out_ == fd_;
  const int events = (readable ? UV_READABLE : 0) | (writable && one ? UV_WRITABLE : 0);
  const int outEvents = writable && !one ? UV_WRITABLE : 0;
  for (const auto& [watch, wanted] : {std::pair{&watch_, events}, std::pair{&outWatch_, outEvents}}) {
    if (!wanted) {
      watch->disarm();
      continue;
    }
    const int error = watch->arm(wanted, referenced);
    if (error) throwErrno(environment_.env(), error, "uv_poll_start");
  }
}

void PacketSocket::disarm() {
  watch_.disarm();
  outWatch_.disarm();
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
int PacketSocket::count() {
  tpacket_stats counters{};
  socklen_t length = sizeof counters;
  if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &counters, &length)) return errno;
  uncounted_ = 0;
  // tp_packets counts the drops too (packet_getsockopt in the kernel).
  received_ += counters.tp_packets - counters.tp_drops;
  dropped_ += counters.tp_drops;
  return 0;
}

Napi::Value PacketSocket::statistics(Napi::Env env) {
  if (const int error = count()) throwErrno(env, error, "getsockopt", "PACKET_STATISTICS");
  Napi::Object result = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t count) {
    result.Set(name, Napi::Number::New(env, static_cast<double>(count)));
  };
  set("received", received_ - messages_.undescribed);
  set("truncated", inlet_.truncated);
  set("dropped", dropped_);
  set("undescribed", messages_.undescribed);
  return result;
}

}  // namespace ethernet
