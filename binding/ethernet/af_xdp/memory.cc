#include "ethernet/af_xdp/memory.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

namespace ethernet {
namespace xdp_memory {
namespace {

struct Bound {
  int fd;
  xdp_umem_reg memory;
  XdpSharing sharing;
};

std::mutex mutex;
std::vector<Bound> sockets;

const Bound* findBound(const xdp_umem_reg& memory) {
  const auto found = std::find_if(sockets.begin(), sockets.end(), [&](const Bound& socket) {
    return socket.memory.addr == memory.addr && socket.memory.len == memory.len &&
           socket.memory.chunk_size == memory.chunk_size && socket.memory.headroom == memory.headroom;
  });
  return found == sockets.end() ? nullptr : &*found;
}

}  // namespace

XdpSharing find(const xdp_umem_reg& memory) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Bound* bound = findBound(memory);
  return bound ? bound->sharing : XdpSharing{};
}

int bind(int fd, const xdp_umem_reg& memory, sockaddr_xdp address, XdpSharing* sharing) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Bound* bound = findBound(memory);
  if (!bound) return 0;
  *sharing = bound->sharing;
  address.sxdp_flags = XDP_SHARED_UMEM;
  address.sxdp_shared_umem_fd = static_cast<uint32_t>(bound->fd);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address)) return errno;
  sockets.push_back({fd, memory, *sharing});
  return 0;
}

void add(int fd, const xdp_umem_reg& memory, bool zeroCopy, bool fragments) {
  const std::lock_guard<std::mutex> lock(mutex);
  sockets.push_back({fd, memory, {true, zeroCopy, fragments}});
}

void remove(int fd) {
  const std::lock_guard<std::mutex> lock(mutex);
  sockets.erase(std::remove_if(sockets.begin(), sockets.end(), [fd](const Bound& socket) { return socket.fd == fd; }),
                sockets.end());
}

}  // namespace xdp_memory
}  // namespace ethernet
