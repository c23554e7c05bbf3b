// The XDP program that hands an interface's frames to an AF_XDP socket, by the raw bpf(2) system call: its map, the
// program itself and the link that holds it on the interface. The link goes with its descriptor, so that a process
// that dies leaves the interface as it found it.
#pragma once

#include <napi.h>

#include <cstdint>

namespace ethernet {

class XdpProgram {
 public:
  XdpProgram() = default;
  ~XdpProgram() { close(); }
  XdpProgram(const XdpProgram&) = delete;
  XdpProgram& operator=(const XdpProgram&) = delete;

  // All return 0 or a positive errno.

  // An XSKMAP of so many queues.
  int createMap(uint32_t queues);
  // Loads a program of eBPF instructions, two words each, and puts it on the interface; where an instruction loads the
  // map (BPF_PSEUDO_MAP_FD), the map's descriptor is filled in. `mode` is XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE; it
  // never replaces a program that is there already (EBUSY, EEXIST).
  int attach(int32_t interfaceIndex, const uint32_t* words, uint32_t instructions, bool fragments, uint32_t mode);
  // Puts another program in its place, between two frames (BPF_LINK_UPDATE).
  int replace(const uint32_t* words, uint32_t instructions);
  // What comes on this queue goes to this socket.
  int enlist(uint32_t queue, int socket);
  void close();

 private:
  int load(const uint32_t* words, uint32_t instructions, int* program) const;

  int map_ = -1;
  int link_ = -1;
  bool fragments_ = false;
};

// The XDP program that is on an interface, whoever put it there: { id, name, mode }, or null. The name is empty where
// the kernel does not tell it (BPF_PROG_GET_FD_BY_ID needs CAP_SYS_ADMIN).
Napi::Value attachedProgram(const Napi::CallbackInfo& info);

}  // namespace ethernet
