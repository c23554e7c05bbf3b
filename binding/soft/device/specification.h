// What devices there shall be, in words: the value of IBVERBS_SOFT, and what `ibverbs/soft` hands over.
//
//   devices  = device *( ";" device )            mlx5_soft0, mlx5_soft1, …
//   device   = port *( "+" port )                its ports, from 1
//   port     = wire [ "@" MAC ] [ "?" option *( "&" option ) ]
//   wire     = "loop" | "pair" [ ":" NAME ] | "socket:" PATH | "interface:" NAME
//   option   = "minimumInline=" BYTES | "mtu=" BYTES | "maxObjects=" COUNT | "strict" [ "=" ( "0" | "1" ) ]
//            | link = VALUE [ "," VALUE ]
//
// "loop": a port that hears what it sends. Both ports of a pair name it; "pair" alone is short for two devices, each
// with one end, where "pair+pair" is one device with both. A link's options (bandwidth, delay, jitter, loss, duplicate,
// reorder, queue, seed: wire.h, LinkDirection) go with the first of them, one value for both directions or one each.
// "strict" (nic/strict.cc) is of a device; IBVERBS_SOFT_STRICT=1 makes it so of all that do not say "strict=0".
// ibv_rc_pingpong between two processes: "socket:/tmp/wire" in both.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "device/identity.h"
#include "nic/attributes.h"

namespace soft {

// What is wrong with a specification: thrown, and caught by the functions that are called from outside.
struct Problem {
  int error;
  std::string words;
};

struct PortSpecification {
  std::string kind, name;
  Mac mac{};
  bool hasMac = false;
  std::map<std::string, std::string> options;
  std::string text;  // as it was given

  std::string label() const { return name.empty() ? kind : kind + ":" + name; }
};

struct DeviceSpecification {
  DeviceIdentity identity;  // with addresses drawn for the ports that were given none
  NicAttributes attributes;
  std::vector<PortSpecification> ports;
};

std::vector<DeviceIdentity> identitiesOf(const std::vector<DeviceSpecification>& devices);

// Reads a specification: nothing is made, no wire touched. An errno, and in `words` what was wrong; or 0.
int readSpecification(const std::string& text, std::vector<DeviceSpecification>* devices, std::string* words);

// The text that gives the same devices the same addresses the next time that it is read.
std::string withAddresses(const std::vector<DeviceSpecification>& devices);

// Options of the device, not of its wire.
bool isDeviceOption(const std::string& name);

std::vector<std::string> split(const std::string& text, char separator);

// The number that option `name` has; throws a Problem.
double number(const std::string& text, const std::string& name, double most);

}  // namespace soft
