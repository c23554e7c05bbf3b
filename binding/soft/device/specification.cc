#include "device/specification.h"

#include <net/if.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

namespace soft {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t at = 0;
  for (size_t next; (next = text.find(separator, at)) != std::string::npos; at = next + 1)
    parts.push_back(text.substr(at, next - at));
  parts.push_back(text.substr(at));
  return parts;
}

// What is wrong with a specification, thrown to the one function that is called from outside.
struct Problem {
  int error;
  std::string words;
};

double number(const std::string& text, const std::string& name, double most) {
  char* end;
  const double value = strtod(text.c_str(), &end);
  if (text.empty() || *end || !(value >= 0 && value <= most)) {
    char range[40];
    snprintf(range, sizeof range, "a number from 0 to %.0f", most);
    throw Problem{EINVAL, "\"" + name + "\" must be " + range + ", not \"" + text + "\""};
  }
  return value;
}

struct PortSpecification {
  std::string kind, name;
  Mac mac{};
  bool hasMac = false;
  std::map<std::string, std::string> options;

  std::string label() const { return name.empty() ? kind : kind + ":" + name; }
};

PortSpecification parsePort(const std::string& text) {
  PortSpecification port;
  std::string rest = text;
  const size_t question = rest.find('?');
  if (question != std::string::npos) {
    for (const std::string& option : split(rest.substr(question + 1), '&')) {
      const size_t equals = option.find('=');
      if (option == "strict") {
        port.options[option] = "1";
        continue;
      }
      if (equals == std::string::npos) throw Problem{EINVAL, "option \"" + option + "\" has no value"};
      port.options[option.substr(0, equals)] = option.substr(equals + 1);
    }
    rest.resize(question);
  }
  const size_t at = rest.rfind('@');
  if (at != std::string::npos) {
    const std::string mac = rest.substr(at + 1);
    int used = 0;
    if (sscanf(mac.c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &port.mac[0], &port.mac[1], &port.mac[2],
               &port.mac[3], &port.mac[4], &port.mac[5], &used) != 6 ||
        static_cast<size_t>(used) != mac.size() || (port.mac[0] & 1)) {
      throw Problem{EINVAL, "\"" + mac + "\" is no MAC address of a port"};
    }
    port.hasMac = true;
    rest.resize(at);
  }
  const size_t colon = rest.find(':');
  port.kind = rest.substr(0, colon);
  if (colon != std::string::npos) port.name = rest.substr(colon + 1);
  const bool named = port.kind == "socket" || port.kind == "interface";
  if (!named && port.kind != "loop" && port.kind != "pair") {
    throw Problem{EINVAL, "a wire is loop, pair, pair:NAME, socket:PATH or interface:NAME, not \"" + rest + "\""};
  }
  if (named && port.name.empty()) throw Problem{EINVAL, "\"" + port.kind + "\" needs a name behind a colon"};
  if (port.kind == "loop" && colon != std::string::npos) throw Problem{EINVAL, "\"loop\" takes no name"};
  return port;
}

// Options of the device, not of its wire.
bool isDeviceOption(const std::string& name) {
  return name == "minimumInline" || name == "mtu" || name == "maxObjects" || name == "strict";
}

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
                                  "\": there are minimumInline, mtu, maxObjects, strict, bandwidth, "
                                  "delay, jitter, loss, duplicate, reorder, queue, seed"};
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

// A port on an interface has the interface's own address: what the network sends to it is for us.
Mac interfaceMac(const std::string& name) {
  ifreq request{};
  strncpy(request.ifr_name, name.c_str(), sizeof request.ifr_name - 1);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int failed = ioctl(socket, SIOCGIFHWADDR, &request);
  const int error = errno;
  ::close(socket);
  if (failed) throw Problem{error, "interface " + name + ": " + strerror(error)};
  Mac mac;
  memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  return mac;
}

// "pair" alone is two devices: what is said of its port, but for the address, is said of both.
std::string withOtherEnd(const std::string& specification) {
  if (specification.find_first_of(";+") != std::string::npos) return specification;
  const PortSpecification port = parsePort(specification);
  if (port.kind != "pair" || !port.name.empty()) return specification;
  std::string other = ";pair";
  char separator = '?';
  for (const auto& [name, value] : port.options) {
    if (!isDeviceOption(name)) continue;
    other += separator + name + "=" + value;
    separator = '&';
  }
  return specification + other;
}

// A switch: 0 or 1.
bool flag(const std::string& text, const std::string& name) {
  if (text != "0" && text != "1") throw Problem{EINVAL, name + " must be 0 or 1, not \"" + text + "\""};
  return text == "1";
}

// What devices are that do not say whether they are strict.
bool strictUnlessTold() {
  const char* value = getenv("IBVERBS_SOFT_STRICT");
  return value != nullptr && *value != 0 && flag(value, "IBVERBS_SOFT_STRICT");
}

std::shared_ptr<Device> makeDevice(const std::string& text, size_t index, Wires* wires) {
  DeviceIdentity identity;
  identity.name = "mlx5_soft" + std::to_string(index);
  identity.uverbs = "uverbs_soft" + std::to_string(index);
  NicAttributes attributes;
  attributes.strict = strictUnlessTold();
  std::vector<PortSpecification> ports;
  for (const std::string& part : split(text, '+')) {
    ports.push_back(parsePort(part));
    PortSpecification& port = ports.back();
    const auto minimum = port.options.find("minimumInline");
    if (minimum != port.options.end()) {
      if (minimum->second != "0" && minimum->second != "18")
        throw Problem{EINVAL, "\"minimumInline\" must be 0 or 18, not \"" + minimum->second + "\""};
      attributes.minimumInlineHeader = minimum->second == "18" ? 18 : 0;
    }
    const auto strict = port.options.find("strict");
    if (strict != port.options.end()) attributes.strict = flag(strict->second, "\"strict\"");
    const auto mtu = port.options.find("mtu");
    static const std::set<std::string> mtus{"256", "512", "1024", "2048", "4096"};
    if (mtu != port.options.end() && mtus.count(mtu->second) == 0)
      throw Problem{EINVAL, "\"mtu\" must be 256, 512, 1024, 2048 or 4096, not \"" + mtu->second + "\""};
    const auto objects = port.options.find("maxObjects");
    if (objects != port.options.end()) {
      identity.maxObjects = static_cast<uint32_t>(number(objects->second, "maxObjects", 1 << 24));
      if (identity.maxObjects == 0) throw Problem{EINVAL, "\"maxObjects\" must be at least 1"};
    }
    const bool real = port.kind == "interface";
    identity.ports.push_back(portIdentity(port.hasMac ? port.mac : real ? interfaceMac(port.name) : randomMac()));
    if (real) identity.ports.back().interface = port.name;
    if (mtu != port.options.end()) identity.ports.back().mtu = static_cast<uint32_t>(std::stoul(mtu->second));
    attributes.ports.push_back({identity.ports.back().mac, identity.ports.back().mtu});
  }
  if (ports.size() > 2) throw Problem{EINVAL, "a device has one port or two"};  // MLX5_MAX_PORTS_NUM of libmlx5
  uint32_t low;
  if (getrandom(&low, sizeof low, 0) != sizeof low) low = static_cast<uint32_t>(index + 1);
  identity.guid = uint64_t{0x0200'00ff'fe00'0000} | (uint64_t{low} & 0xffffff) | uint64_t{low} >> 24 << 40;
  auto device = std::make_shared<Device>(identity, attributes);
  for (size_t i = 0; i < ports.size(); i++) {
    int end;
    const auto wire = wires->get(ports[i], &end);
    if (const int error = device->nic.connect(static_cast<uint8_t>(i + 1), wire, end))
      throw Problem{error, identity.name + ": " + strerror(error)};
  }
  return device;
}

}  // namespace

int makeDevices(const std::string& specification, std::vector<std::shared_ptr<Device>>* devices, std::string* words) {
  try {
    Wires wires;
    for (const std::string& text : split(withOtherEnd(specification), ';'))
      devices->push_back(makeDevice(text, devices->size(), &wires));
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
