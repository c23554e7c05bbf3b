#include "sysfs/infiniband.h"

#include <net/if.h>
#include <net/if_arp.h>

#include <cstdio>

#include "device/card.h"
#include "wire/interface_link.h"

namespace soft {
namespace {

// Four groups of four hexadecimal digits, as node_guid has them.
std::string guidText(uint64_t guid) {
  char text[20];
  snprintf(text, sizeof text, "%04x:%04x:%04x:%04x", static_cast<unsigned>(guid >> 48 & 0xffff),
           static_cast<unsigned>(guid >> 32 & 0xffff), static_cast<unsigned>(guid >> 16 & 0xffff),
           static_cast<unsigned>(guid & 0xffff));
  return text;
}

std::string gidText(const Gid& gid) {
  std::string text;
  for (size_t i = 0; i < gid.size(); i += 2) {
    char group[6];
    snprintf(group, sizeof group, "%s%02x%02x", i ? ":" : "", gid[i], gid[i + 1]);
    text += group;
  }
  return text;
}

std::string firmware() {
  char text[24];
  snprintf(text, sizeof text, "%d.%d.%04d", card::kFirmwareMajor, card::kFirmwareMinor, card::kFirmwareBuild);
  return text;
}

// An entry of a class: its directory below the function, its link from the class, and those of its own.
std::string writeEntry(Folder& tree, const std::string& function, const std::string& kind, const std::string& name) {
  const std::string folder = function + "/" + kind + "/" + name;
  tree.make(folder);
  tree.link("/class/" + kind + "/" + name, folder);
  tree.link(folder + "/subsystem", "/class/" + kind);
  tree.link(folder + "/device", function);
  return folder + "/";
}

// `dev` and `uevent` of an entry with a device file (drivers/base/core.c, dev_uevent).
void writeNode(Folder& tree, const std::string& folder, const std::string& name, unsigned minor, const char* mode) {
  tree.text(folder + "dev", std::to_string(card::kVerbsMajor) + ":" + std::to_string(minor));
  tree.text(folder + "uevent", "MAJOR=" + std::to_string(card::kVerbsMajor) + "\nMINOR=" + std::to_string(minor) +
                                   "\nDEVNAME=infiniband/" + name + mode);
}

void writePort(Folder& tree, const std::string& device, size_t number, const PortIdentity& port) {
  const std::string folder = device + "/ports/" + std::to_string(number) + "/";
  // All wires but an interface are up when they are made (wire/).
  writeCarrier(tree, device, number, port.interface.empty() || interfaceRuns(port.interface));
  tree.attributes(folder, {{"link_layer", "Ethernet"},
                           {"rate", "100 Gb/sec (4X EDR)"},
                           {"lid", "0x0"},
                           {"lid_mask_count", "0"},
                           {"sm_lid", "0x0"},
                           {"sm_sl", "0"},
                           // IB_PORT_CM_SUP and IB_PORT_IP_BASED_GIDS, as QUERY_PORT says
                           {"cap_mask", "0x04010000"},
                           {"pkeys/0", "0xffff"}});
  for (size_t i = 0; i < port.gids.size(); i++) {
    const std::string index = std::to_string(i);
    tree.text(folder + "gids/" + index, gidText(port.gids[i].gid));
    tree.text(folder + "gid_attrs/types/" + index, "RoCE v2");
    // Where no interface is behind the port, reading fails, as of an entry whose interface is gone.
    tree.make(folder + "gid_attrs/ndevs");
    if (!port.interface.empty()) tree.text(folder + "gid_attrs/ndevs/" + index, port.interface);
  }
}

// net/IF. What does not change as long as it is there: its state is in the interface's own place, /sys/class/net, which
// a process in another network namespace than its sysfs has not.
void writeInterface(Folder& tree, const std::string& function, const PortIdentity& port) {
  const std::string folder = function + "/net/" + port.interface + "/";
  const std::string index = std::to_string(if_nametoindex(port.interface.c_str()));
  tree.attributes(folder, {{"ifindex", index},
                           {"address", macText(port.mac)},
                           {"addr_len", std::to_string(port.mac.size())},
                           {"type", std::to_string(ARPHRD_ETHER)},
                           {"dev_port", "0"},  // a PCI function of its own has the first (mlx5e_build_nic_netdev)
                           {"dev_id", "0x0"},
                           {"uevent", "INTERFACE=" + port.interface + "\nIFINDEX=" + index}});
  tree.link(function + "/net/" + port.interface + "/device", function);
}

// The entry of a port, numbered from 1, in /sys/class/infiniband_mad.
std::string madName(const DeviceIdentity& device, size_t port) {
  return "umad_soft" + std::to_string(device.index) + (port > 1 ? "_" + std::to_string(port) : "");
}

}  // namespace

std::vector<std::string> classEntries(const DeviceIdentity& device) {
  std::vector<std::string> entries{"/class/infiniband/" + device.name, "/class/infiniband_verbs/" + device.uverbs};
  for (size_t port = 1; port <= device.ports.size(); port++)
    entries.push_back("/class/infiniband_mad/" + madName(device, port));
  return entries;
}

void writeInfiniband(Folder& tree, const std::string& function, const DeviceIdentity& device) {
  const std::string folder = writeEntry(tree, function, "infiniband", device.name);
  tree.attributes(folder, {{"node_type", "1: CA"},
                           {"node_guid", guidText(device.guid)},
                           {"sys_image_guid", guidText(device.guid)},
                           {"fw_ver", firmware()},
                           {"board_id", card::kBoard},
                           {"hca_type", card::kType},
                           {"hw_rev", std::to_string(card::kRevision)},
                           {"node_desc", "software ConnectX"},  // free words: the host's (rdma-ndd)
                           {"uevent", "NAME=" + device.name}});
  for (size_t i = 0; i < device.ports.size(); i++)
    writePort(tree, function + "/infiniband/" + device.name, i + 1, device.ports[i]);

  const auto minor = static_cast<unsigned>(device.index);
  const std::string verbs = writeEntry(tree, function, "infiniband_verbs", device.uverbs);
  tree.text(verbs + "ibdev", device.name);
  tree.text(verbs + "abi_version", "1");  // MLX5_IB_UVERBS_ABI_VERSION
  writeNode(tree, verbs, device.uverbs, card::kVerbsMinor + minor, "\nDEVMODE=0666");

  for (size_t port = 1; port <= device.ports.size(); port++) {
    const std::string name = madName(device, port);
    const std::string mad = writeEntry(tree, function, "infiniband_mad", name);
    tree.text(mad + "ibdev", device.name);
    tree.text(mad + "port", std::to_string(port));
    writeNode(tree, mad, name, card::kMadMinor + 2 * minor + static_cast<unsigned>(port) - 1, "");
  }

  for (const PortIdentity& port : device.ports) {
    if (!port.interface.empty()) writeInterface(tree, function, port);
  }
}

void writeCarrier(Folder& tree, const std::string& folder, size_t port, bool up) {
  // As mlx5_query_port_roce says it (drivers/infiniband/hw/mlx5/main.c), in the words of core/sysfs.c.
  const std::string attributes = folder + "/ports/" + std::to_string(port) + "/";
  tree.text(attributes + "state", up ? "4: ACTIVE" : "1: DOWN");
  tree.text(attributes + "phys_state", up ? "5: LinkUp" : "3: Disabled");
}

}  // namespace soft
