// What a port is plugged into. A wire owns the two queues of each of its ends: the NIC fills `transmit` and empties
// `receive`, the wire moves frames between them in step(). No call crosses this interface per frame.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nic/attributes.h"
#include "wire/frame_queue.h"

namespace soft {

struct WireEnd {
  FrameQueue* transmit = nullptr;
  FrameQueue* receive = nullptr;
};

constexpr uint64_t kNever = ~uint64_t{0};

class Wire {
 public:
  virtual ~Wire() = default;

  // The queues of end 0 (and 1, for a wire between two ports), for a port that is plugged in there.
  virtual WireEnd end(int index) = 0;

  // The port is unplugged; its queues are not touched again.
  virtual void detach(int) {}

  // Moves what can move at time `now` (nanoseconds). Returns whether anything did.
  virtual bool step(uint64_t now) = 0;

  // When it next has something to do of itself; kNever when it waits for a frame or for its descriptor.
  virtual uint64_t deadline() const { return kNever; }

  // Adds what to poll(POLLIN) while asleep.
  virtual void descriptors(std::vector<int>*) const {}

  // Whether it leads out of this process, from the beginning to the end of the wire.
  virtual bool leavesProcess() const { return false; }

  // Whether what an end sends comes back to it.
  virtual bool loops() const { return false; }

  // Whether the other side is there (carrier).
  virtual bool up() const { return true; }

  // These frames are the port's alone, until giveBack(): a wire that brings them to others as well, as an interface
  // does to the kernel's own stack, keeps them from those. An errno or 0.
  virtual int take(uint32_t, const FlowMatch&, const FlowMatch&) { return 0; }
  virtual void giveBack(uint32_t) {}

  // The largest RDMA payload that a frame carries: what the path MTU may be.
  virtual uint32_t mtu() const { return 4096; }
};

// One direction of a link. All zero: a perfect wire.
struct LinkDirection {
  uint64_t bitsPerSecond = 0;      // 0: unlimited; a frame takes (length + 24) * 8 bits, as on Ethernet
  uint64_t delayNanoseconds = 0;   // propagation
  uint64_t jitterNanoseconds = 0;  // 0 … this, added to each frame's delay; frames may overtake
  double loss = 0;                 // probability of each frame, 0 … 1
  double duplicate = 0;
  double reorder = 0;  // probability that a frame is held back until the next one has gone
  // What waits for bandwidth. 0: the port itself waits, as a NIC does at line rate; otherwise a switch's queue of that
  // size, and a frame that does not fit is dropped.
  uint64_t queueBytes = 0;
};

struct LinkOptions {
  LinkDirection direction[2];  // from end 0 to end 1, from end 1 to end 0
  uint64_t seed = 1;           // the same seed and the same frames at the same times give the same outcome
  bool loop = false;           // one end only: what it sends comes back to it through direction[0]
};

std::shared_ptr<Wire> makeLoopWire();
// Two ports of one NIC, or of two NICs that the same thread steps.
std::shared_ptr<Wire> makePairWire();
std::shared_ptr<Wire> makeLinkWire(const LinkOptions& options);
// An interface of this machine (AF_PACKET, needs CAP_NET_RAW). Null and an errno when it cannot be opened.
std::shared_ptr<Wire> makeInterfaceWire(const std::string& name, int* error);
// Two processes that meet at `path` (a socket, and `path`.lock beside it). Null, an errno and the words for it on
// failure: EBUSY when there are two already.
std::shared_ptr<Wire> makeSocketWire(const std::string& path, int* error, std::string* words);

}  // namespace soft
