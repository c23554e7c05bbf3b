// The PCI function behind a software device, as drivers/pci/pci-sysfs.c shows one: what libmlx5, UCX, DPDK and lspci
// find a card by.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sysfs/folder.h"

namespace soft {

// The addresses of so many devices: bus e1 and up, where no machine's firmware puts anything, and of those the ones
// that are free on this machine.
std::vector<std::string> pciAddresses(size_t count);

// "/devices/pci0000:e1/0000:e1:00.0", below /sys.
std::string pciFolder(const std::string& address);

// Writes its attributes, and the links of the bus and of the driver that lead to it.
void writePciFunction(Folder& tree, const std::string& address);

}  // namespace soft
