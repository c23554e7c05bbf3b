// Makes the devices that a specification describes, and plugs their ports into wires.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/specification.h"

namespace soft {

// An errno, and in `words` what was wrong; or 0.
int makeDevices(const std::vector<DeviceSpecification>& specifications, std::vector<std::shared_ptr<Device>>* devices,
                std::string* words);

}  // namespace soft
