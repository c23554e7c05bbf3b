// Which card the software ConnectX says it is, to whoever asks in whatever way: a ConnectX-6 Dx with one firmware.
#pragma once

#include <cstdint>

namespace soft::card {

// pci.ids: Mellanox, MT2892 family [ConnectX-6 Dx], of a card with two ports of 100 Gbit/s.
constexpr uint16_t kVendor = 0x15b3, kDevice = 0x101d, kSubsystemVendor = 0x15b3, kSubsystem = 0x0083;
constexpr uint32_t kClass = 0x020000;  // an Ethernet controller
constexpr char kDriver[] = "mlx5_core";

// What mlx5_ib says of it (drivers/infiniband/hw/mlx5/main.c: hca_type_show, hw_rev_show, board_id_show), and in
// mlx5_ib_query_device the IEEE's number of the vendor in place of PCI's.
constexpr uint32_t kVendorOui = 0x02c9;
constexpr char kType[] = "MT4125";  // the device id in decimal
constexpr unsigned kRevision = 0;
constexpr char kBoard[] = "MT_0000000359";

// Firmware of this family has major number 22; "%d.%d.%04d" is the form in which mlx5_ib and libmlx5 print it. The
// minor number and the build are those that a LTS branch of 2022 had.
constexpr uint16_t kFirmwareMajor = 22, kFirmwareMinor = 35, kFirmwareBuild = 1012;
// As ib_uverbs_query_device_resp.fw_ver holds it (mlx5_ib_query_device)
constexpr uint64_t kFirmware =
    uint64_t{kFirmwareMajor} << 32 | uint64_t{kFirmwareMinor} << 16 | uint64_t{kFirmwareBuild};

// The major number of ib_uverbs's device files and the first of its minors, and of ib_umad's
// (drivers/infiniband/core/uverbs_main.c, user_mad.c).
constexpr unsigned kVerbsMajor = 231, kVerbsMinor = 192, kMadMinor = 0;

}  // namespace soft::card
