#include "device/devices.h"

#include <cerrno>
#include <cstring>
#include <map>

#include "device/specification.h"
#include "wire/wire.h"

namespace soft {
namespace {

// True when the port asks for anything but a perfect wire.
bool linkOptions(const PortSpecification& port, LinkOptions* link) {
  bool any = false;
  for (const auto& [name, value] : port.options) {
    if (isDeviceOption(name)) continue;
    any = true;
    if (name == "seed") {
      link->seed = static_cast<uint64_t>(number(value, name, 9007199254740992.0));
      continue;
    }
    const std::vector<std::string> values = split(value, ',');
    if (values.size() > 2) throw Problem{EINVAL, name + ": one value, or one for each direction"};
    for (int i = 0; i < 2; i++) {
      LinkDirection& direction = link->direction[i];
      const std::string& text = values[values.size() == 2 ? static_cast<size_t>(i) : 0];
      if (name == "bandwidth") direction.bitsPerSecond = static_cast<uint64_t>(number(text, name, 1e12));
      else if (name == "delay") direction.delayNanoseconds = static_cast<uint64_t>(number(text, name, 1e11));
      else if (name == "jitter") direction.jitterNanoseconds = static_cast<uint64_t>(number(text, name, 1e11));
      else if (name == "loss") direction.loss = number(text, name, 1);
      else if (name == "duplicate") direction.duplicate = number(text, name, 1);
      else if (name == "reorder") direction.reorder = number(text, name, 1);
      else if (name == "queue") direction.queueBytes = static_cast<uint64_t>(number(text, name, 1u << 30));
      else
        throw Problem{EINVAL, "there is no option \"" + name +
                                  "\": there are minimumInline, mtu, maxObjects, strict, bandwidth, delay, "
                                  "jitter, loss, duplicate, reorder, queue, seed"};
    }
  }
  link->loop = port.kind == "loop";
  return any;
}

// A port on a socket is like one on a switch: its link is up, whether another one is there yet or not. Programs such as
// ibv_rc_pingpong and perftest's servers look at the link before there is anybody else.
class SwitchedWire : public Wire {
 public:
  explicit SwitchedWire(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}
  WireEnd end(int index) override { return wire_->end(index); }
  bool step(uint64_t now) override { return wire_->step(now); }
  uint64_t deadline() const override { return wire_->deadline(); }
  void descriptors(std::vector<int>* list) const override { wire_->descriptors(list); }
  bool leavesProcess() const override { return wire_->leavesProcess(); }

 private:
  std::shared_ptr<Wire> wire_;
};

// The wires that are named, while the ports are plugged in.
struct Wires {
  struct Named {
    std::shared_ptr<Wire> wire;
    int ends = 0;
  };
  std::map<std::string, Named> named;

  std::shared_ptr<Wire> get(const PortSpecification& port, int* end) {
    *end = 0;
    LinkOptions link;
    const bool imperfect = linkOptions(port, &link);
    int error = 0;
    std::shared_ptr<Wire> wire;
    if (port.kind == "pair") {
      Named& known = named[port.name];
      if (!known.wire) known.wire = imperfect ? makeLinkWire(link) : makePairWire();
      else if (imperfect) throw Problem{EINVAL, port.label() + ": the options of a link go with its first port"};
      if (known.ends == 2) throw Problem{EINVAL, port.label() + " has two ends, and this is a third port"};
      *end = known.ends++;
      return known.wire;
    }
    if (port.kind == "loop") return imperfect ? makeLinkWire(link) : makeLoopWire();
    if (imperfect) throw Problem{EINVAL, port.kind + ": options of a link are for loop and pair"};
    std::string words;
    wire = port.kind == "socket" ? makeSocketWire(port.name, &error, &words) : makeInterfaceWire(port.name, &error);
    if (!wire) throw Problem{error, port.kind + ":" + port.name + ": " + (words.empty() ? strerror(error) : words)};
    return port.kind == "socket" ? std::make_shared<SwitchedWire>(wire) : wire;
  }

  void check() const {
    for (const auto& [name, wire] : named) {
      if (wire.ends == 2) continue;
      const std::string label = name.empty() ? "pair" : "pair:" + name;
      throw Problem{EINVAL, label + " has one port only: another one must name it too"};
    }
  }
};

std::shared_ptr<Device> makeDevice(const DeviceSpecification& specification, Wires* wires) {
  auto device = std::make_shared<Device>(specification.identity, specification.attributes);
  for (size_t i = 0; i < specification.ports.size(); i++) {
    int end;
    const auto wire = wires->get(specification.ports[i], &end);
    if (const int error = device->nic.connect(static_cast<uint8_t>(i + 1), wire, end))
      throw Problem{error, specification.identity.name + ": " + strerror(error)};
  }
  return device;
}

}  // namespace

int makeDevices(const std::vector<DeviceSpecification>& specifications, std::vector<std::shared_ptr<Device>>* devices,
                std::string* words) {
  try {
    Wires wires;
    for (const DeviceSpecification& specification : specifications)
      devices->push_back(makeDevice(specification, &wires));
    wires.check();
    // The first end of a pair was plugged in alone: that its link came up since is no news to whoever opens it.
    for (const auto& device : *devices) device->nic.step(0);
    return 0;
  } catch (const Problem& problem) {
    devices->clear();
    *words = problem.words;
    return problem.error;
  }
}

}  // namespace soft
