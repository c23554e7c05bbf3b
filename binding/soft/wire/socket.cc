// A wire between two processes: a Unix socket whose packets are frames (unix(7), SOCK_SEQPACKET). A process that finds
// no listener at the path listens there, otherwise it connects; when its peer goes, it starts again. The port is down
// meanwhile. There are two seats (seat.h), and processes come and go in turn, so that none removes a socket that
// another has just bound, and none connects to a listener that does not wait for it.
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "wire/datagrams.h"
#include "wire/life_lines.h"
#include "wire/seat.h"
#include "wire/wire.h"

namespace soft {

namespace {

constexpr uint64_t kRetry = 100000;       // 100 µs until a full socket is tried again, and whether it is our turn
constexpr uint64_t kTrouble = 100000000;  // 100 ms until the path is tried again, when it could not be used
constexpr int kBacklog = 4096;            // peers that came and died before anybody looked

void drop(int descriptor) {
  LifeLines::remove(descriptor);
  close(descriptor);
}

int makeSocket() { return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

class SocketWire : public Wire {
 public:
  ~SocketWire() override {
    if (peer_ >= 0) {
      batch_.finish(peer_, transmit_);
      drop(peer_);
    }
    // Its own socket goes with it; the last to go takes away that of one that was killed, too.
    if (seat_.turn(true) && (listener_ >= 0 || (seat_.alone() && isStale()))) unlink(address_.sun_path);
    if (listener_ >= 0) drop(listener_);
  }
  // An errno, and in `words` more than it says; or 0.
  int open(const std::string& path, std::string* words);

  WireEnd end(int index) override { return index == 0 ? WireEnd{&transmit_, &receive_} : WireEnd{}; }
  void descriptors(std::vector<int>* list) const override {
    if (peer_ >= 0) list->push_back(peer_);
    else if (listener_ >= 0) list->push_back(listener_);
  }
  bool leavesProcess() const override { return true; }
  uint64_t deadline() const override { return retryAt_; }
  bool up() const override { return peer_ >= 0; }

  bool step(uint64_t now) override {
    if (peer_ < 0) return find(now);
    retryAt_ = kNever;
    bool moved = false;
    if (!transmit_.empty()) {
      const int sent = batch_.send(peer_, transmit_);
      // The peer is gone; what it sent before is still to be read, up to the end.
      if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) transmit_.clear();
      moved = sent > 0;
      if (!transmit_.empty()) retryAt_ = now + kRetry;
    }
    const int count = batch_.receive(peer_);
    if (count < 0 && errno == ECONNRESET)
      return true;  // the peer closed without reading all: reported once, before the frames that it sent
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
  int meet();
  int listenHere();
  bool isStale() const;

  // Waits for a peer where we listen; else looks for one at the path, if it is our turn.
  bool find(uint64_t now) {
    const bool lost = !transmit_.empty();
    transmit_.clear();  // no carrier
    if (listener_ >= 0) {
      retryAt_ = kNever;
      peer_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (peer_ >= 0) LifeLines::add(peer_);
      return peer_ >= 0 || lost;
    }
    if (retryAt_ != kNever && now < retryAt_) return lost;
    if (!seat_.turn(false)) {
      retryAt_ = now + kRetry;
      return lost;
    }
    retryAt_ = meet() == 0 ? kNever : now + kTrouble;
    seat_.endTurn();
    return true;
  }

  bool hangUp() {
    drop(peer_);
    peer_ = -1;
    transmit_.clear();
    retryAt_ = kNever;
    return true;
  }

  Seat seat_;  // the last to go
  sockaddr_un address_{};
  int listener_ = -1;
  int peer_ = -1;
  uint64_t retryAt_ = kNever;
  FrameQueue transmit_, receive_;
  DatagramBatch batch_;
};

int SocketWire::open(const std::string& path, std::string* words) {
  address_.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address_.sun_path) {
    *words = "a path of 1 to " + std::to_string(sizeof address_.sun_path - 1) + " bytes (unix(7))";
    return ENAMETOOLONG;
  }
  std::memcpy(address_.sun_path, path.c_str(), path.size());
  if (const int error = seat_.take(path + ".lock", words)) return error;
  const int error = meet();
  seat_.endTurn();
  if (error == EEXIST) *words = "something else is at that path: no socket of a wire";
  else if (error != 0) *words = strerror(error);
  return error;
}

// It is our turn: nobody else comes or goes.
int SocketWire::meet() {
  const int descriptor = makeSocket();
  if (descriptor < 0) return errno;
  if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0) {
    peer_ = descriptor;
    LifeLines::add(peer_);
    return 0;
  }
  const int error = errno;
  close(descriptor);
  if (error == ECONNREFUSED) {
    if (!isStale()) return EEXIST;
    unlink(address_.sun_path);
  } else if (error != ENOENT) {
    return error == EPROTOTYPE ? EEXIST : error;
  }
  return listenHere();
}

// What refuses connections is the socket of a process that died; or no socket at all.
bool SocketWire::isStale() const {
  struct stat status;
  return lstat(address_.sun_path, &status) == 0 && S_ISSOCK(status.st_mode);
}

int SocketWire::listenHere() {
  const int descriptor = makeSocket();
  if (descriptor < 0) return errno;
  // Another user's process is not a peer: the permissions come before anybody can connect.
  if (bind(descriptor, reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0 &&
      chmod(address_.sun_path, 0600) == 0 && listen(descriptor, kBacklog) == 0) {
    listener_ = descriptor;
    LifeLines::add(listener_);
    return 0;
  }
  const int error = errno;
  close(descriptor);
  return error;
}

}  // namespace

std::shared_ptr<Wire> makeSocketWire(const std::string& path, int* error, std::string* words) {
  auto wire = std::make_shared<SocketWire>();
  *error = wire->open(path, words);
  return *error == 0 ? wire : nullptr;
}

}  // namespace soft
