// A wire between two processes: a Unix socket whose packets are frames (unix(7), SOCK_SEQPACKET). The first process at the
// path listens, the second connects; when the peer goes, the listener waits for the next one, and the port is down until then.
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "wire/datagrams.h"
#include "wire/wire.h"

namespace soft {

namespace {

constexpr uint64_t kRetry = 100000;  // 100 µs until a full socket is tried again

class SocketWire : public Wire {
 public:
  SocketWire(int listener, int peer, std::string path) : listener_(listener), peer_(peer), path_(std::move(path)) {}
  ~SocketWire() override {
    if (peer_ >= 0) close(peer_);
    if (listener_ < 0) return;
    close(listener_);
    unlink(path_.c_str());
  }

  WireEnd end(int index) override { return index == 0 ? WireEnd{&transmit_, &receive_} : WireEnd{}; }
  void descriptors(std::vector<int>* list) const override { list->push_back(peer_ >= 0 ? peer_ : listener_); }
  uint64_t deadline() const override { return retryAt_; }
  bool up() const override { return peer_ >= 0; }

  bool step(uint64_t now) override {
    retryAt_ = kNever;
    if (peer_ < 0 && listener_ >= 0) {
      peer_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (peer_ >= 0) return true;
    }
    if (peer_ < 0) {
      const bool any = !transmit_.empty();
      transmit_.clear();  // no carrier
      return any;
    }
    bool moved = false;
    if (!transmit_.empty()) {
      const int sent = batch_.send(peer_, transmit_);
      if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) return hangUp();
      moved = sent > 0;
      if (!transmit_.empty()) retryAt_ = now + kRetry;
    }
    const int count = batch_.receive(peer_);
    if (count < 0) return errno == EAGAIN || errno == EINTR ? moved : hangUp();
    for (int i = 0; i < count; ++i) {
      const size_t length = batch_.length(i);
      if (length == 0) return hangUp();  // end of file
      if (batch_.header(i).msg_flags & MSG_TRUNC) continue;
      uint8_t* room = receive_.reserve(length);
      if (room == nullptr) break;
      std::memcpy(room, batch_.frame(i), length);
      receive_.commit(length);
    }
    return true;
  }

 private:
  bool hangUp() {
    close(peer_);
    peer_ = -1;
    transmit_.clear();
    return true;
  }

  int listener_;
  int peer_;
  std::string path_;
  uint64_t retryAt_ = kNever;
  FrameQueue transmit_, receive_;
  DatagramBatch batch_;
};

int makeSocket() { return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

bool nameOf(const std::string& path, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address->sun_path) return false;
  std::memcpy(address->sun_path, path.c_str(), path.size());
  return true;
}

int connectTo(const sockaddr_un& address, int* error) {
  const int descriptor = makeSocket();
  if (descriptor >= 0 && connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return descriptor;
  }
  *error = errno;
  if (descriptor >= 0) close(descriptor);
  return -1;
}

// Listens under a name of its own first and then moves to `path`: whoever sees it there can connect.
int listenAt(const std::string& path, int* error) {
  const std::string own = path + "." + std::to_string(getpid());
  sockaddr_un address;
  if (!nameOf(own, &address)) {
    *error = ENAMETOOLONG;
    return -1;
  }
  const int descriptor = makeSocket();
  const bool bound = descriptor >= 0 && bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  // Another user's process is not a peer. link() fails when another process was there first.
  const bool good = bound && chmod(own.c_str(), 0600) == 0 && listen(descriptor, 1) == 0 &&
                    link(own.c_str(), path.c_str()) == 0;
  *error = errno;
  if (bound) unlink(own.c_str());
  if (good) return descriptor;
  if (descriptor >= 0) close(descriptor);
  return -1;
}

}  // namespace

std::shared_ptr<Wire> makeSocketWire(const std::string& path, int* error) {
  sockaddr_un address;
  if (!nameOf(path, &address)) {
    *error = ENAMETOOLONG;
    return nullptr;
  }
  for (int attempt = 0; attempt < 3; ++attempt) {
    const int peer = connectTo(address, error);
    if (peer >= 0) return std::make_shared<SocketWire>(-1, peer, path);
    if (*error != ENOENT && *error != ECONNREFUSED) return nullptr;
    if (*error == ECONNREFUSED) unlink(path.c_str());  // left behind by a process that died
    const int listener = listenAt(path, error);
    if (listener >= 0) return std::make_shared<SocketWire>(listener, -1, path);
    if (*error != EEXIST) return nullptr;
  }
  return nullptr;
}

}  // namespace soft
