// The arenas that AF_XDP sockets of this process have registered with the kernel (UMEM): a socket over an arena that
// another one has registered, in whatever thread, shares the registration (XDP_SHARED_UMEM), so that the memory is
// pinned, counted against memlock and mapped for a device once.
#pragma once

#include <linux/if_xdp.h>

#include <cstdint>

namespace ethernet {

// How the sockets over a UMEM are bound: one that shares it must be bound alike.
struct XdpSharing {
  bool shared = false;
  bool zeroCopy = false;
  bool fragments = false;
};

namespace xdp_memory {

// Whether a bound socket has registered this memory, and how it is bound.
XdpSharing find(const xdp_umem_reg& memory);
// Binds a socket that has no memory of its own to share one; nobody can close the other socket meanwhile. `sharing`
// tells whether there was one. Returns 0 or a positive errno.
int bind(int fd, const xdp_umem_reg& memory, sockaddr_xdp address, XdpSharing* sharing);
// Notes that a socket that registered the memory itself is bound, so that others can share it.
void add(int fd, const xdp_umem_reg& memory, bool zeroCopy, bool fragments);
// Before the socket is closed. The registration lives on as long as others share it.
void remove(int fd);

}  // namespace xdp_memory
}  // namespace ethernet
