// The system calls of the hot path, without libc's part in them.
//
// In libc they are places where a thread can be cancelled: in a process with several threads, as Node is, glibc enters
// and leaves that state by two atomic exchanges a call (some 20 ns). musl has no sendmmsg(2) at all, only a loop around
// sendmsg(2), because its struct msghdr has padding where the kernel's has the upper half of a length: the messages
// here are zero there.
#pragma once

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace system_call {

inline long send(int fd, const void* data, size_t length, int flags) {
  return syscall(SYS_sendto, fd, data, length, flags, nullptr, 0);
}

inline long receive(int fd, int flags) { return syscall(SYS_recvfrom, fd, nullptr, 0, flags, nullptr, nullptr); }

inline int sendMessages(int fd, mmsghdr* messages, uint32_t count, int flags) {
  return static_cast<int>(syscall(SYS_sendmmsg, fd, messages, count, flags));
}

}  // namespace system_call
