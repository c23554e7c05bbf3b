#include "device/specification.h"

#include <net/if.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "wire/interface_link.h"

namespace soft {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t at = 0;
  for (size_t next; (next = text.find(separator, at)) != std::string::npos; at = next + 1)
    parts.push_back(text.substr(at, next - at));
  parts.push_back(text.substr(at));
  return parts;
}

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

bool isDeviceOption(const std::string& name) {
  return name == "minimumInline" || name == "mtu" || name == "maxObjects" || name == "strict";
}

namespace {

PortSpecification parsePort(const std::string& text) {
  PortSpecification port;
  port.text = text;
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

// A port on an interface has the interface's own address: what the network sends to it is for us.
Mac interfaceMac(const std::string& name) {
  ifreq answer{};
  if (const int error = askInterface(name, SIOCGIFHWADDR, &answer))
    throw Problem{error, "interface " + name + ": " + strerror(error)};
  Mac mac;
  memcpy(mac.data(), answer.ifr_hwaddr.sa_data, mac.size());
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

DeviceSpecification readDevice(const std::string& text, size_t index) {
  DeviceSpecification device;
  DeviceIdentity& identity = device.identity;
  identity.name = "mlx5_soft" + std::to_string(index);
  identity.uverbs = "uverbs_soft" + std::to_string(index);
  identity.index = index;
  NicAttributes& attributes = device.attributes;
  attributes.strict = strictUnlessTold();
  std::vector<PortSpecification>& ports = device.ports;
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
    if (real) putOnInterface(port.name, &identity.ports.back());
    if (mtu != port.options.end()) identity.ports.back().mtu = static_cast<uint32_t>(std::stoul(mtu->second));
    attributes.ports.push_back({identity.ports.back().mac, identity.ports.back().mtu});
  }
  if (ports.size() > 2) throw Problem{EINVAL, "a device has one port or two"};  // MLX5_MAX_PORTS_NUM of libmlx5
  identity.guid = guidOf(identity.ports.front().mac);
  return device;
}

}  // namespace

int readSpecification(const std::string& text, std::vector<DeviceSpecification>* devices, std::string* words) {
  try {
    for (const std::string& device : split(withOtherEnd(text), ';'))
      devices->push_back(readDevice(device, devices->size()));
    return 0;
  } catch (const Problem& problem) {
    devices->clear();
    *words = problem.words;
    return problem.error;
  }
}

std::vector<DeviceIdentity> identitiesOf(const std::vector<DeviceSpecification>& devices) {
  std::vector<DeviceIdentity> identities;
  for (const DeviceSpecification& device : devices) identities.push_back(device.identity);
  return identities;
}

std::string withAddresses(const std::vector<DeviceSpecification>& devices) {
  std::string text;
  for (const DeviceSpecification& device : devices) {
    for (size_t i = 0; i < device.ports.size(); i++) {
      const PortSpecification& port = device.ports[i];
      if (!text.empty()) text += i ? '+' : ';';
      // An interface has its address, whoever asks.
      if (port.hasMac || port.kind == "interface") {
        text += port.text;
        continue;
      }
      const size_t options = std::min(port.text.find('?'), port.text.size());
      text += port.text.substr(0, options) + "@" + macText(device.identity.ports[i].mac) + port.text.substr(options);
    }
  }
  return text;
}

}  // namespace soft
