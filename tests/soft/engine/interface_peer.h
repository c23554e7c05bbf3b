// The kernel at the other end of a NIC's interface, and what this one counts: the NIC is on soft0 (10.9.0.1), the other
// kernel on soft1 (10.9.0.2). For tests in a namespace of their own (tests/soft/interface.test.ts).
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "interface_end.h"

constexpr uint32_t kHere = 0x0a090001, kThere = 0x0a090002;
const Bytes kHereMac{2, 0, 0, 0, 0, 1}, kThereMac{2, 0, 0, 0, 0, 2};

inline sockaddr_in address(uint32_t host, uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  result.sin_addr.s_addr = htonl(host);
  return result;
}

// A socket of a kernel's.
class Socket {
 public:
  explicit Socket(int type) : descriptor(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    CHECK(descriptor >= 0);
    const timeval limit{10, 0};
    EQUAL(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  }
  ~Socket() { close(descriptor); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void listen(uint16_t port) {
    const sockaddr_in own = address(INADDR_ANY, port);
    EQUAL(bind(descriptor, reinterpret_cast<const sockaddr*>(&own), sizeof own), 0);
  }
  int connectTo(uint32_t host, uint16_t port) {
    const sockaddr_in to = address(host, port);
    return connect(descriptor, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ? 0 : errno;
  }
  void send(const std::string& text) {
    EQUAL(::send(descriptor, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  // The next datagram, or the errno in words.
  std::string receive(int flags = 0) {
    char text[2048];
    const ssize_t length = recv(descriptor, text, sizeof text, flags);
    return length < 0 ? strerror(errno) : std::string(text, static_cast<size_t>(length));
  }
  // How a connect(2) ended.
  std::string connected() {
    pollfd waiting{descriptor, POLLOUT, 0};
    EQUAL(poll(&waiting, 1, 10000), 1);
    int error = -1;
    socklen_t length = sizeof error;
    EQUAL(getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length), 0);
    return error == 0 ? "connected" : strerror(error);
  }

  int descriptor;
};

// The kernel at the other end: a network namespace of its own, which ends with this process.
class Peer {
 public:
  Peer() : home_(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
    EQUAL(unshare(CLONE_NEWNET), 0);
    there_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    EQUAL(setns(home_, CLONE_NEWNET), 0);
    shell("ip link set soft1 address 02:00:00:00:00:02 netns /proc/" + std::to_string(getpid()) + "/fd/" +
          std::to_string(there_));
    within([] {
      shell("echo 1 > /proc/sys/net/ipv6/conf/soft1/disable_ipv6");  // it would announce itself
      shell("ip addr add 10.9.0.2/24 dev soft1 && ip link set soft1 up");
    });
    shell("ip link set soft0 down && ip link set soft0 address 02:00:00:00:00:01 && ip link set soft0 up");
    shell("until ip link show soft0 | grep -q 'state UP'; do :; done");
    shell("ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev soft0");  // to which a reset or an ICMP would go
  }
  ~Peer() {
    close(there_);
    close(home_);
  }
  template <typename Work>
  void within(Work work) {
    EQUAL(setns(there_, CLONE_NEWNET), 0);
    work();
    EQUAL(setns(home_, CLONE_NEWNET), 0);
  }
  std::unique_ptr<Socket> socket(int type) {
    std::unique_ptr<Socket> made;
    within([&] { made = std::make_unique<Socket>(type); });
    return made;
  }

 private:
  int home_, there_ = -1;
};

// A counter of /proc/net/snmp, or of snmp6.
inline long counter(const std::string& group, const std::string& name) {
  std::ifstream file("/proc/net/snmp");
  std::string names, values, word;
  while (std::getline(file, names) && std::getline(file, values)) {
    std::istringstream name_(names), value(values);
    long number = 0;
    name_ >> word;
    if (word != group + ":") continue;
    value >> word;
    while (name_ >> word && value >> number) {
      if (word == name) return number;
    }
  }
  std::ifstream six("/proc/net/snmp6");
  long number = 0;
  while (six >> word >> number) {
    if (word == group + name) return number;
  }
  failAt(__FILE__, __LINE__, "no counter " + group + name);
  return 0;
}
