// Two processes on one wire: how they meet, which process is refused, and what remains of one that ends in any way.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "frames.h"

using namespace soft;

namespace {

// A folder of the test's own, which must be empty at its end: wires leave nothing behind.
struct Folder {
  Folder() {
    char name[] = "/tmp/soft-wire-XXXXXX";
    CHECK(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { EQUAL(rmdir(path.c_str()), 0); }
  std::string path;
};

std::shared_ptr<Wire> wireAt(const std::string& path) {
  int error = 0;
  std::string words;
  auto wire = makeSocketWire(path, &error, &words);
  if (wire == nullptr) failAt(__FILE__, __LINE__, path + ": " + words);
  return wire;
}

void refused(const std::string& path, int expected, const std::string& text) {
  int error = 0;
  std::string words;
  CHECK(makeSocketWire(path, &error, &words) == nullptr);
  EQUAL(error, expected);
  if (words.find(text) == std::string::npos)
    failAt(__FILE__, __LINE__, "\"" + words + "\" does not say \"" + text + "\"");
}

// The work of the NIC's thread: steps, and sleeps until a descriptor or a timer when there is nothing to do.
struct Clock {
  uint64_t now = 0;
  static constexpr int kLong = 10000;
  void run(const std::vector<Wire*>& wires, int sleepMilliseconds = kLong) {
    bool busy = false;
    now += 1000;
    for (Wire* wire : wires) busy |= wire->step(now);
    if (busy) return;
    std::vector<pollfd> waiting;
    uint64_t deadline = kNever;
    for (Wire* wire : wires) {
      std::vector<int> list;
      wire->descriptors(&list);
      for (const int descriptor : list) waiting.push_back({descriptor, POLLIN, 0});
      deadline = std::min(deadline, wire->deadline());
    }
    if (deadline != kNever) {
      now = std::max(now, deadline);
      sleepMilliseconds = 1;
    }
    if (poll(waiting.data(), waiting.size(), sleepMilliseconds) == 0 && sleepMilliseconds == kLong) {
      failAt(__FILE__, __LINE__, "nothing happens any more");
    }
  }
};

void put(Wire& wire, uint32_t number) {
  FrameQueue* queue = wire.end(0).transmit;
  uint8_t* at = queue->reserve(64);
  CHECK(at != nullptr);
  std::memset(at, 0, 64);
  store32(at, number);
  queue->commit(64);
}

bool take(Wire& wire, uint32_t* number) {
  size_t length;
  const uint8_t* frame = wire.end(0).receive->front(&length);
  if (frame == nullptr) return false;
  EQUAL(length, 64);
  *number = load32(frame);
  wire.end(0).receive->pop();
  return true;
}

// Both ends find each other, and a frame goes each way.
void meet(Clock& clock, Wire& one, Wire& other, uint32_t number) {
  while (!one.up() || !other.up()) clock.run({&one, &other});
  for (auto [from, to] : {std::pair{&one, &other}, std::pair{&other, &one}}) {
    uint32_t got = 0;
    // The first connection may have been to a peer that has ended: repeat the frame until it arrives.
    do {
      if (from->up() && from->end(0).transmit->empty()) put(*from, number);
      clock.run({from, to}, 20);
    } while (!take(*to, &got) || got != number);
  }
}

// A process at the other end: returns every frame, until it is killed.
pid_t echo(const std::string& path) {
  int ready[2];
  EQUAL(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int descriptor = 3; descriptor < 1024; ++descriptor) {  // a program of its own has none of ours
      if (descriptor != ready[1]) close(descriptor);
    }
    auto wire = wireAt(path);
    CHECK(write(ready[1], "r", 1) == 1);
    Clock clock;
    for (;;) {
      clock.run({wire.get()}, -1);
      for (uint32_t number; take(*wire, &number);) put(*wire, number);
    }
  }
  close(ready[1]);
  char word;
  EQUAL(read(ready[0], &word, 1), 1);
  close(ready[0]);
  return child;
}

void killed(pid_t child) {
  EQUAL(kill(child, SIGKILL), 0);
  EQUAL(waitpid(child, nullptr, 0), child);
}

// Until a frame comes back.
void reach(Clock& clock, Wire& wire, uint32_t number) {
  uint32_t got = 0;
  do {
    if (wire.up() && wire.end(0).transmit->empty()) put(wire, number);
    clock.run({&wire}, 20);
  } while (!take(wire, &got) || got != number);
}

}  // namespace

TEST(a_socket_joins_two_nics_and_carrier_comes_and_goes) {
  const Folder folder;
  const std::string path = folder.path + "/wire";
  Card left, right;
  auto listener = wireAt(path);
  struct stat status;
  EQUAL(stat(path.c_str(), &status), 0);
  EQUAL(status.st_mode & 0777, 0600);
  EQUAL(left.nic.connect(1, listener), 0);
  CHECK(!left.nic.linkUp(1));
  auto peer = wireAt(path);
  EQUAL(right.nic.connect(1, peer), 0);
  left.step();
  CHECK(left.nic.linkUp(1));
  CHECK(left.events.has(AsyncEventType::portActive, 1));
  Cq leftCq(left.nic, 64), rightCq(right.nic, 64);
  auto sender = left.rawQp(leftCq, leftCq);
  auto receiver = right.rawQp(rightCq, rightCq);
  sender->bringUp();
  receiver->bringUp();
  right.everythingTo(*receiver);
  Region source(left.nic, left.pd, 4096), sink(right.nic, right.pd, 4096);
  const Bytes frame = ethernet(0x88b5, pattern(1400));
  std::copy(frame.begin(), frame.end(), source.bytes.begin());
  for (int i = 0; i < 10; ++i) {
    receiver->receive({sink.sge(0, 2048)});
    sender->write(Wqe(MLX5_OPCODE_SEND).eth().data(source.sge(0, 1414)));
  }
  sender->ring();
  left.step(2);
  right.step(2);
  for (int i = 0; i < 10; ++i) EQUAL(byteCount(rightCq.poll()), 1414);
  BYTES(sink.bytes.data(), frame.data(), frame.size());
  peer.reset();
  EQUAL(right.nic.connect(1, makeLoopWire()), 0);  // the old wire closes
  left.step(2);
  CHECK(!left.nic.linkUp(1));
  CHECK(left.events.has(AsyncEventType::portError, 1));
  listener.reset();
  EQUAL(left.nic.connect(1, makeLoopWire()), 0);
}

TEST(whoever_is_left_takes_the_next_in_either_role) {
  const Folder folder;
  const std::string path = folder.path + "/wire";
  Clock clock;
  std::shared_ptr<Wire> ends[2] = {wireAt(path), wireAt(path)};
  meet(clock, *ends[0], *ends[1], 1);
  uint32_t random = 1;
  for (uint32_t round = 2; round < 400; ++round) {
    random = random * 1664525 + 1013904223;
    const int gone = random >> 16 & 1;
    ends[gone].reset();
    // The remaining end has seen it, or has not.
    if (random >> 17 & 1) {
      while (ends[1 - gone]->up()) clock.run({ends[1 - gone].get()});
    }
    if (random >> 18 & 1) ends[1 - gone]->step(clock.now += 1000);
    ends[gone] = wireAt(path);
    meet(clock, *ends[0], *ends[1], round);
  }
  // Neither of the first two exists any more, nor both of any later ones.
  ends[0].reset();
  ends[1].reset();
  ends[0] = wireAt(path);
  ends[1] = wireAt(path);
  meet(clock, *ends[1], *ends[0], 1000);
}

TEST(what_a_peer_sent_before_it_went_still_arrives) {
  const Folder folder;
  for (const bool sending : {false, true}) {
    Clock clock;
    auto left = wireAt(folder.path + "/wire"), right = wireAt(folder.path + "/wire");
    meet(clock, *left, *right, 1);
    for (uint32_t number = 0; number < 100; ++number) put(*right, number);
    right->step(clock.now += 1000);
    EQUAL(right->end(0).transmit->count(), 0);
    put(*left, 1000);
    left->step(clock.now += 1000);  // reads a part of it
    CHECK(left->end(0).receive->count() < 100);
    right.reset();  // with a frame that it has not read: the kernel reports ECONNRESET for that
    if (sending) put(*left, 1001);
    while (left->up()) clock.run({left.get()});
    for (uint32_t expected = 0; expected < 100; ++expected) {
      uint32_t number;
      if (!take(*left, &number)) failAt(__FILE__, __LINE__, std::to_string(expected) + " is lost");
      EQUAL(number, expected);
    }
  }
}

TEST(a_third_is_refused_in_words_until_a_seat_is_free) {
  const Folder folder;
  const std::string path = folder.path + "/wire";
  Clock clock;
  auto first = wireAt(path), second = wireAt(path);
  const std::string own = std::to_string(getpid());
  // Whether they have met yet or not.
  refused(path, EBUSY, "both ends of the wire are taken, by the processes " + own + " and " + own);
  meet(clock, *first, *second, 1);
  refused(path, EBUSY, "both ends of the wire are taken");
  meet(clock, *first, *second, 2);  // and noticed nothing
  first.reset();
  auto third = wireAt(path);
  refused(path, EBUSY, "both ends of the wire are taken");
  meet(clock, *second, *third, 3);
}

TEST(a_process_that_is_killed_gives_way_to_the_next_in_either_order) {
  const Folder folder;
  const std::string path = folder.path + "/wire";
  Clock clock;
  auto wire = wireAt(path);
  for (uint32_t round = 1; round < 40; ++round) {
    // The other process came second, and becomes the first as we take its place at the path.
    const pid_t child = echo(path);
    reach(clock, *wire, round);
    refused(path, EBUSY, std::to_string(child));
    if (round % 3 == 1) {  // we leave, and connect to it again
      wire.reset();
      wire = wireAt(path);
      reach(clock, *wire, round + 1000);
    }
    killed(child);
    if (round % 2 == 1 && round != 39) {  // the last one ends, and we have not even seen it
      while (wire->up()) clock.run({wire.get()});
    }
  }
}

TEST(what_the_killed_left_behind_is_in_nobodys_way) {
  const Folder folder;
  const std::string path = folder.path + "/wire";
  for (int round = 0; round < 5; ++round) {
    const pid_t one = echo(path), other = echo(path);
    killed(round % 2 ? one : other);
    killed(round % 2 ? other : one);
    struct stat status;
    EQUAL(lstat((path + ".lock").c_str(), &status), 0);  // nothing could remove it
    Clock clock;
    auto left = wireAt(path), right = wireAt(path);
    meet(clock, *left, *right, 1);
  }
}

TEST(the_last_one_takes_away_what_the_killed_left) {
  const Folder folder;
  for (const bool noticed : {false, true}) {
    Clock clock;
    const pid_t child = echo(folder.path + "/wire");  // it listens, so the socket is its own
    auto wire = wireAt(folder.path + "/wire");
    reach(clock, *wire, 1);
    killed(child);
    while (noticed && wire->up()) clock.run({wire.get()});
    wire.reset();
    struct stat status;
    EQUAL(lstat((folder.path + "/wire").c_str(), &status), -1);
  }
}

TEST(peers_that_died_before_anybody_looked_do_not_count) {
  const Folder folder;
  const std::string path = folder.path + "/wire";
  auto wire = wireAt(path);  // and it takes no step
  for (int i = 0; i < 20; ++i) killed(echo(path));
  const pid_t child = echo(path);
  Clock clock;
  reach(clock, *wire, 7);
  killed(child);
}

TEST(what_else_is_at_the_path_stays_there) {
  const Folder folder;
  const std::string path = folder.path + "/file";
  for (const std::string& file : {path, path + ".lock"}) {
    FILE* stream = fopen(file.c_str(), "w");
    CHECK(stream != nullptr && fputs("precious", stream) >= 0 && fclose(stream) == 0);
    refused(path, EEXIST,
            file == path ? "something else is at that path" : "file.lock is there and is no lock of a wire");
    char text[16] = {};
    stream = fopen(file.c_str(), "r");
    CHECK(stream != nullptr && fgets(text, sizeof text, stream) != nullptr && fclose(stream) == 0);
    CHECK(std::string(text) == "precious");
    EQUAL(unlink(file.c_str()), 0);
  }
  refused("/nonexistent/folder/wire", ENOENT, "/nonexistent/folder/wire.lock: No such file or directory");
  refused(std::string(200, 'x'), ENAMETOOLONG, "a path of 1 to 107 bytes");
  refused("", ENAMETOOLONG, "a path of 1 to 107 bytes");
}
