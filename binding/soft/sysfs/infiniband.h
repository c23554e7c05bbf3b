// The classes infiniband, infiniband_verbs and infiniband_mad of a device, and its interface.
#pragma once

#include <string>
#include <vector>

#include "device/identity.h"
#include "sysfs/folder.h"

namespace soft {

// Writes them into the folder of the PCI function, with the links from /sys/class.
void writeInfiniband(Folder& tree, const std::string& function, const DeviceIdentity& device);

// Writes whether a port of the device at `folder` (…/infiniband/NAME) has a carrier.
void writeCarrier(Folder& tree, const std::string& folder, size_t port, bool up);

// The entries of the device in the three classes, below /sys.
std::vector<std::string> classEntries(const DeviceIdentity& device);

}  // namespace soft
