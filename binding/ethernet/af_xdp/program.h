// The XDP program that hands an interface's frames to AF_XDP sockets, by the raw bpf(2) system call: its map, the
// program itself and the link that holds it on the interface. The kernel detaches the link when its descriptor is
// closed, so that a process that dies leaves the interface as it found it.
//
// An interface has one program and one map, and each of its receive queues one socket: sockets of this process on
// several queues, in whatever threads, are members of one program. What each of them accepts is a piece of it.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace ethernet {

class XdpProgram {
 public:
  // One socket's piece.
  struct Member {
    uint32_t queue;
    std::vector<uint32_t> words;  // two an instruction (struct bpf_insn); ends in BPF_EXIT on every path
  };
  // Where and how the program runs.
  struct Mode {
    uint32_t flags = 0;  // XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE
    bool fragments = false;
  };

  // The interface's program in this process, new (with a map and nothing else) if there is none. Returns 0 or a
  // positive errno, as all of these do.
  static int of(int32_t interfaceIndex, std::shared_ptr<XdpProgram>* program);

  XdpProgram(int32_t interfaceIndex, uint64_t netns) : interfaceIndex_(interfaceIndex), netns_(netns) {}
  ~XdpProgram();
  XdpProgram(const XdpProgram&) = delete;
  XdpProgram& operator=(const XdpProgram&) = delete;

  // Puts the program on the interface with this member's piece, or adds the piece to the program that is there already,
  // whose mode `mode` then is. Where an instruction loads the map (BPF_PSEUDO_MAP_FD), the map's descriptor is filled
  // in. A program that is not this process's is never replaced (EBUSY, EEXIST).
  int add(const Member* member, int socket, Mode* mode);
  // Replaces the program between two frames, after `change` has changed the member's words (BPF_LINK_UPDATE). They stay
  // as they were when the kernel refuses.
  int change(Member* member, std::vector<uint32_t> words);
  void remove(const Member* member);

 private:
  int createMap();
  std::vector<uint32_t> compose() const;
  int load(const std::vector<uint32_t>& words, bool fragments, int* program) const;
  // remove(), with the lock held.
  void forget(const Member* member);
  // Loads a program of the present members and puts it in place of the running one.
  int update();

  const int32_t interfaceIndex_;
  const uint64_t netns_;
  std::mutex mutex_;
  std::vector<const Member*> members_;
  std::vector<uint32_t> running_;
  Mode mode_;
  int map_ = -1;
  int link_ = -1;
};

// The XDP program that is on an interface, whoever put it there: { id, name, mode }, or null. The name is empty where
// the kernel does not tell it (BPF_PROG_GET_FD_BY_ID needs CAP_SYS_ADMIN).
Napi::Value attachedProgram(const Napi::CallbackInfo& info);

}  // namespace ethernet
