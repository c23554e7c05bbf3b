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

#include <memory>
#include <string>
#include <vector>

#include "device/device.h"

namespace soft {

// Makes the devices. An errno, and in `words` what was wrong; or 0.
int makeDevices(const std::string& specification, std::vector<std::shared_ptr<Device>>* devices, std::string* words);

}  // namespace soft
