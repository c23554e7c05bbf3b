// The classes infiniband, infiniband_verbs and infiniband_mad of a device, and its interface.
#pragma once

#include <string>

#include "device/identity.h"
#include "sysfs/folder.h"

namespace soft {

// Writes them into the folder of the PCI function, with the links from /sys/class.
void writeInfiniband(Folder& tree, const std::string& function, const DeviceIdentity& device);

// Writes whether a port of the device at `folder` (…/infiniband/NAME) has a carrier.
void writeCarrier(Folder& tree, const std::string& folder, size_t port, bool up);

// The entry of a port, numbered from 1, in /sys/class/infiniband_mad.
std::string madName(const DeviceIdentity& device, size_t port);

}  // namespace soft
