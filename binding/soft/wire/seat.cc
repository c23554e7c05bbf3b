#include "wire/seat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "wire/life_lines.h"

namespace soft {

namespace {

// The file: what it is, and the process in each seat, for people and for the words of a refusal. The locks are on bytes
// that it need not have.
struct Contents {
  char kind[24];
  int32_t processes[2];
};
constexpr char kKind[sizeof(Contents::kind)] = "ibverbs soft wire\n";
constexpr int64_t kTurn = 2;     // byte 0 and 1 are the seats
constexpr int kPatience = 5000;  // ms: a turn takes microseconds

void nap() {
  const timespec millisecond{0, 1000000};
  nanosleep(&millisecond, nullptr);
}

}  // namespace

bool Seat::lock(short type, int64_t byte) {
  struct flock range{};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = byte;
  range.l_len = 1;
  return fcntl(descriptor_, F_OFD_SETLK, &range) == 0;
}

bool Seat::taken(int64_t byte) {
  struct flock range{};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = byte;
  range.l_len = 1;
  return fcntl(descriptor_, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK;
}

bool Seat::turn(bool wait) {
  for (int i = 0; descriptor_ >= 0 && i < (wait ? kPatience : 1); ++i) {
    if (i != 0) nap();
    if (lock(F_WRLCK, kTurn)) return true;
  }
  return false;
}

void Seat::endTurn() { lock(F_UNLCK, kTurn); }

int Seat::take(const std::string& file, std::string* words) {
  file_ = file;
  for (;;) {
    descriptor_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (descriptor_ < 0) {
      *words = file + ": " + strerror(errno);
      return errno;
    }
    const bool ours = turn(true);
    // Whoever was last may have taken the file away before we had the turn.
    struct stat here, there;
    if (ours && (stat(file.c_str(), &there) != 0 || fstat(descriptor_, &here) != 0 || here.st_ino != there.st_ino ||
                 here.st_dev != there.st_dev)) {
      close(descriptor_);
      continue;
    }
    if (!ours) *words = file + ": no lock on it: " + strerror(errno);
    const int error = ours ? sitDown(words) : errno;
    if (error == 0) {
      LifeLines::add(descriptor_);
      return 0;
    }
    close(descriptor_);  // and all locks with it
    descriptor_ = -1;
    return error;
  }
}

int Seat::sitDown(std::string* words) {
  Contents contents{};
  const ssize_t length = pread(descriptor_, &contents, sizeof contents, 0);
  if (length < 0 || (length != 0 && std::memcmp(contents.kind, kKind, sizeof kKind) != 0)) {
    *words = file_ + " is there and is no lock of a wire";
    return EEXIST;
  }
  seat_ = lock(F_WRLCK, 0) ? 0 : lock(F_WRLCK, 1) ? 1 : -1;
  if (seat_ < 0) {
    *words = "both ends of the wire are taken, by the processes " + std::to_string(contents.processes[0]) + " and " +
             std::to_string(contents.processes[1]);
    return EBUSY;
  }
  std::memcpy(contents.kind, kKind, sizeof kKind);
  contents.processes[seat_] = getpid();
  if (pwrite(descriptor_, &contents, sizeof contents, 0) == sizeof contents) return 0;
  *words = file_ + ": " + strerror(errno);
  return errno;
}

bool Seat::alone() { return !taken(1 - seat_); }

void Seat::leave() {
  if (descriptor_ < 0) return;
  if (turn(true) && alone()) unlink(file_.c_str());
  LifeLines::remove(descriptor_);
  close(descriptor_);
  descriptor_ = -1;
}

}  // namespace soft
