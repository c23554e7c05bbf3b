#include "sysfs/pci.h"

#include <linux/pci_regs.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

#include "device/card.h"
#include "libc/real.h"

namespace soft {
namespace {

std::string format(const char* words, unsigned value) {
  char text[64];
  snprintf(text, sizeof text, words, value);
  return text;
}

// The header of type 0 (linux/pci_regs.h), little-endian: no base address, no interrupt, no capability.
std::string configuration() {
  std::string bytes(256, '\0');
  const auto put = [&bytes](size_t at, uint32_t value, size_t size) {
    for (size_t i = 0; i < size; i++) bytes[at + i] = static_cast<char>(value >> 8 * i & 0xff);
  };
  put(PCI_VENDOR_ID, card::kVendor, 2);
  put(PCI_DEVICE_ID, card::kDevice, 2);
  put(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
  put(PCI_CLASS_REVISION, card::kRevision | card::kClass << 8, 4);
  put(PCI_SUBSYSTEM_VENDOR_ID, card::kSubsystemVendor, 2);
  put(PCI_SUBSYSTEM_ID, card::kSubsystem, 2);
  return bytes;
}

std::string modalias() {
  char text[96];
  snprintf(text, sizeof text, "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X", unsigned{card::kVendor},
           unsigned{card::kDevice}, unsigned{card::kSubsystemVendor}, unsigned{card::kSubsystem}, card::kClass >> 16,
           card::kClass >> 8 & 0xff, card::kClass & 0xff);
  return text;
}

std::string event(const std::string& address) {
  char ids[96];
  snprintf(ids, sizeof ids, "PCI_CLASS=%04X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n", card::kClass, card::kVendor,
           card::kDevice, card::kSubsystemVendor, card::kSubsystem);
  return std::string("DRIVER=") + card::kDriver + "\n" + ids + "PCI_SLOT_NAME=" + address + "\nMODALIAS=" + modalias();
}

// The machine's processors: all of them are as near as any.
std::string processors() {
  std::string words;
  if (FILE* list = real::fopen("/sys/devices/system/cpu/online", "re")) {
    char line[1024];
    if (fgets(line, sizeof line, list)) words = line;
    fclose(list);
  }
  while (!words.empty() && words.back() == '\n') words.pop_back();
  return words.empty() ? "0" : words;
}

}  // namespace

std::vector<std::string> pciAddresses(size_t count) {
  constexpr size_t kFirstBus = 0xe1, kBuses = 0x1f;
  std::vector<std::string> addresses;
  for (size_t candidate = 0; addresses.size() < count; candidate++) {
    char address[24];
    snprintf(address, sizeof address, "%04zx:%02zx:00.0", candidate / kBuses, kFirstBus + candidate % kBuses);
    if (real::access(("/sys/bus/pci/devices/" + std::string(address)).c_str(), F_OK)) addresses.push_back(address);
  }
  return addresses;
}

std::string pciFolder(const std::string& address) { return "/devices/pci" + address.substr(0, 7) + "/" + address; }

void writePciFunction(Folder& tree, const std::string& address) {
  const std::string function = pciFolder(address), folder = function + "/";
  tree.attributes(folder, {{"vendor", format("0x%04x", card::kVendor)},
                           {"device", format("0x%04x", card::kDevice)},
                           {"subsystem_vendor", format("0x%04x", card::kSubsystemVendor)},
                           {"subsystem_device", format("0x%04x", card::kSubsystem)},
                           {"class", format("0x%06x", card::kClass)},
                           {"revision", format("0x%02x", card::kRevision)},
                           {"modalias", modalias()},
                           {"uevent", event(address)},
                           {"numa_node", "-1"},  // NUMA_NO_NODE
                           {"local_cpulist", processors()},
                           {"enable", "1"},
                           {"irq", "0"},
                           {"current_link_speed", "16.0 GT/s PCIe"},
                           {"current_link_width", "16"},
                           {"max_link_speed", "16.0 GT/s PCIe"},
                           {"max_link_width", "16"},
                           {"sriov_numvfs", "0"},
                           {"sriov_totalvfs", "0"}});
  std::string resources;  // six base addresses, the ROM and those of SR-IOV: none is in use
  for (int i = 0; i < 13; i++) resources += "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
  tree.bytes(folder + "resource", resources);
  tree.bytes(folder + "config", configuration());
  const std::string driver = std::string("/bus/pci/drivers/") + card::kDriver;
  tree.make(driver);
  tree.link(function + "/subsystem", "/bus/pci");
  tree.link(function + "/driver", driver);
  tree.link("/bus/pci/devices/" + address, function);
  tree.link(driver + "/" + address, function);
}

}  // namespace soft
