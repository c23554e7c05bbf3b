// GET_CONTEXT, QUERY_DEVICE, EX_QUERY_DEVICE and QUERY_PORT: what a context, the device and its ports are able to.
#include <infiniband/verbs.h>
#include <rdma/mlx5-abi.h>
#include <unistd.h>

#include <algorithm>

#include "device/card.h"
#include "nic/compression.h"
#include "nic/limits.h"
#include "uverbs/limits.h"
#include "uverbs/verbs_file.h"

namespace soft::uverbs {

uint32_t limits::completionVectors() {
  constexpr long kFewest = 2, kMost = 1024;
  return static_cast<uint32_t>(std::clamp(sysconf(_SC_NPROCESSORS_ONLN), kFewest, kMost));
}

namespace {

uint32_t bit(ibv_qp_type type) { return 1u << type; }

// ib_uverbs_get_context and mlx5_ib_alloc_ucontext_req_v2: drivers/infiniband/hw/mlx5/main.c, mlx5_ib_alloc_ucontext
int getContext(VerbsFile& file, const Command& command) {
  ib_uverbs_get_context request;
  mlx5_ib_alloc_ucontext_req_v2 driver;
  if (const int error = command.request(&request, &driver)) return error;
  if (file.asynchronousFile || command.driverSize(sizeof request) < sizeof(mlx5_ib_alloc_ucontext_req)) return EINVAL;
  // No DEVX: libmlx5 tries again without.
  if (driver.flags & MLX5_IB_ALLOC_UCTX_DEVX) return EINVAL;
  if (driver.flags || driver.comp_mask || driver.reserved0 || driver.reserved1 || driver.reserved2) return EINVAL;
  if (driver.total_num_bfregs == 0 || driver.total_num_bfregs > limits::kBlueFlameRegisters) return EINVAL;
  if (driver.num_low_latency_bfregs > driver.total_num_bfregs - 1) return EINVAL;

  int error;
  const auto events = file.newEventFile(&error);
  if (error) return error;
  ib_uverbs_get_context_resp response{};
  response.async_fd = static_cast<uint32_t>(events->descriptor());
  response.num_comp_vectors = limits::completionVectors();
  mlx5_ib_alloc_ucontext_resp answer{};
  answer.qp_tab_size = limits::kQueuePairs;
  answer.bf_reg_size = 512;
  answer.tot_bfregs = (driver.total_num_bfregs + 1) & ~1u;  // two a page
  answer.cache_line_size = 64;
  answer.max_sq_desc_sz = limits::kSendDescriptorBytes;
  answer.max_rq_desc_sz = limits::kReceiveDescriptorBytes;
  answer.max_send_wqebb = limits::kSendBlocks;
  answer.max_recv_wr = limits::kReceiveRequests;
  answer.max_srq_recv_wr = limits::kReceiveRequests;
  answer.num_ports = static_cast<uint16_t>(file.device->identity.ports.size());
  answer.cqe_version = driver.max_cqe_version >= 1 ? 1 : 0;
  answer.cmds_supp_uhw = MLX5_USER_CMDS_SUPP_UHW_QUERY_DEVICE | MLX5_USER_CMDS_SUPP_UHW_CREATE_AH;
  answer.eth_min_inline =
      file.device->attributes.minimumInlineHeader ? MLX5_USER_INLINE_MODE_L2 : MLX5_USER_INLINE_MODE_NONE;
  answer.clock_info_versions = 1 << MLX5_IB_CLOCK_INFO_V1;
  answer.log_uar_size = 12;
  answer.num_uars_per_page = 1;
  answer.num_dyn_bfregs = limits::kDynamicRegisters;
  answer.response_length = command.driverRoom(sizeof response, sizeof answer);
  // Only CQE version 1, which names a queue by its user index, is spoken here.
  error = answer.cqe_version == 1 ? command.respond(response, answer) : EOPNOTSUPP;
  if (error) {
    file.discard(events);
    return error;
  }
  file.registers = answer.tot_bfregs;
  file.asynchronousFile = events;
  file.nic().allocateTransportDomain(&file.transportDomain);
  file.device->listen(events);
  return 0;
}

ib_uverbs_query_device_resp describe(const Device& device) {
  ib_uverbs_query_device_resp response{};
  response.fw_ver = card::kFirmware;
  response.node_guid = htobe64(device.identity.guid);
  response.sys_image_guid = response.node_guid;
  response.max_mr_size = ~uint64_t{0};
  response.page_size_cap = 0xfffff000;
  response.vendor_id = card::kVendorOui;
  response.vendor_part_id = card::kDevice;
  response.hw_ver = card::kRevision;
  response.max_qp = device.quotas.queuePairs.most;
  response.max_qp_wr = limits::kReceiveRequests;
  response.device_cap_flags = IB_UVERBS_DEVICE_PORT_ACTIVE_EVENT | IB_UVERBS_DEVICE_SYS_IMAGE_GUID |
                              IB_UVERBS_DEVICE_RC_RNR_NAK_GEN | IB_UVERBS_DEVICE_MEM_WINDOW |
                              IB_UVERBS_DEVICE_MEM_WINDOW_TYPE_2B | IB_UVERBS_DEVICE_RAW_IP_CSUM |
                              IB_UVERBS_DEVICE_MANAGED_FLOW_STEERING;
  response.max_sge = limits::kSge;
  response.max_sge_rd = limits::kSge;
  response.max_cq = device.quotas.completionQueues.most;
  response.max_cqe = limits::kCompletions - 1;
  response.max_mr = device.quotas.regions.most;
  response.max_pd = device.quotas.domains.most;
  response.max_qp_rd_atom = limits::kReadsAndAtomics;
  response.max_res_rd_atom = response.max_qp_rd_atom * response.max_qp;
  response.max_qp_init_rd_atom = limits::kReadsAndAtomics;
  response.atomic_cap = IBV_ATOMIC_HCA;
  response.max_mw = device.quotas.windows.most;
  response.max_raw_ethy_qp = response.max_qp;
  response.max_mcast_grp = kMaxGroups;
  response.max_mcast_qp_attach = kMaxGroupMembers;
  response.max_total_mcast_qp_attach = response.max_mcast_grp * response.max_mcast_qp_attach;
  response.max_ah = device.quotas.addressHandles.most;
  response.max_srq = device.quotas.sharedReceiveQueues.most;
  response.max_srq_wr = limits::kReceiveRequests - 1;
  response.max_srq_sge = limits::kSharedReceiveSge;
  response.max_pkeys = 1;
  response.local_ca_ack_delay = 16;
  response.phys_port_cnt = static_cast<uint8_t>(device.identity.ports.size());
  return response;
}

int queryDevice(VerbsFile& file, const Command& command) {
  ib_uverbs_query_device request;
  if (const int error = command.request(&request)) return error;
  return command.respond(describe(*file.device));
}

// ib_uverbs_ex_query_device_resp and mlx5_ib_query_device_resp
int queryDeviceExtended(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_query_device request;
  if (const int error = command.request(&request)) return error;
  if (request.comp_mask || request.reserved) return EINVAL;
  ib_uverbs_ex_query_device_resp response{};
  response.base = describe(*file.device);
  response.timestamp_mask = ~uint64_t{0};
  response.hca_core_clock = 1'000'000;  // kHz: the clock counts nanoseconds
  response.device_cap_flags_ex = response.base.device_cap_flags | IB_UVERBS_DEVICE_RAW_SCATTER_FCS;
  response.rss_caps.supported_qpts = bit(IBV_QPT_RAW_PACKET);
  response.rss_caps.max_rwq_indirection_tables = file.device->quotas.indirectionTables.most;
  response.rss_caps.max_rwq_indirection_table_size = limits::kIndirectionTable;
  response.max_wq_type_rq = file.device->quotas.workQueues.most;
  response.raw_packet_caps = IB_UVERBS_RAW_PACKET_CAP_CVLAN_STRIPPING | IB_UVERBS_RAW_PACKET_CAP_IP_CSUM |
                             IB_UVERBS_RAW_PACKET_CAP_SCATTER_FCS;
  response.cq_moderation_caps.max_cq_moderation_count = limits::kModerationCount;
  response.cq_moderation_caps.max_cq_moderation_period = limits::kModerationPeriod;
  response.response_length = command.coreRoom(sizeof response);
  mlx5_ib_query_device_resp driver{};
  driver.tso_caps.max_tso = kMaxTso;
  driver.tso_caps.supported_qpts = bit(IBV_QPT_RAW_PACKET);
  driver.rss_caps.rx_hash_function = MLX5_RX_HASH_FUNC_TOEPLITZ;
  driver.rss_caps.rx_hash_fields_mask = MLX5_RX_HASH_SRC_IPV4 | MLX5_RX_HASH_DST_IPV4 | MLX5_RX_HASH_SRC_IPV6 |
                                        MLX5_RX_HASH_DST_IPV6 | MLX5_RX_HASH_SRC_PORT_TCP | MLX5_RX_HASH_DST_PORT_TCP |
                                        MLX5_RX_HASH_SRC_PORT_UDP | MLX5_RX_HASH_DST_PORT_UDP;
  driver.cqe_comp_caps.max_num = CompressionSession::kMost;
  driver.cqe_comp_caps.supported_format =
      MLX5_IB_CQE_RES_FORMAT_HASH | MLX5_IB_CQE_RES_FORMAT_CSUM | MLX5_IB_CQE_RES_FORMAT_CSUM_STRIDX;
  driver.mlx5_ib_support_multi_pkt_send_wqes = MLX5_IB_ALLOW_MPW | MLX5_IB_SUPPORT_EMPW;
  driver.flags = MLX5_IB_QUERY_DEV_RESP_FLAGS_CQE_128B_COMP | MLX5_IB_QUERY_DEV_RESP_FLAGS_CQE_128B_PAD;
  driver.striding_rq_caps.min_single_stride_log_num_of_bytes = kMinLogStrideBytes;
  driver.striding_rq_caps.max_single_stride_log_num_of_bytes = kMaxLogStrideBytes;
  driver.striding_rq_caps.min_single_wqe_log_num_of_strides = kMinLogStrides;
  driver.striding_rq_caps.max_single_wqe_log_num_of_strides = kMaxLogStrides;
  driver.striding_rq_caps.supported_qpts = bit(IBV_QPT_RAW_PACKET);
  driver.response_length = command.driverRoom(sizeof response, sizeof driver);
  return command.respond(response, driver);
}

// enum ibv_mtu of a number of bytes.
uint8_t mtuCode(uint32_t bytes) {
  uint8_t code = IBV_MTU_256;
  while (code < IBV_MTU_4096 && bytes >= 256u << code) ++code;
  return code;
}

int queryPort(VerbsFile& file, const Command& command) {
  ib_uverbs_query_port request;
  if (const int error = command.request(&request)) return error;
  const auto& ports = file.device->identity.ports;
  if (request.port_num < 1 || request.port_num > ports.size()) return EINVAL;
  const PortIdentity& port = ports[request.port_num - 1u];
  const bool up = file.nic().linkUp(request.port_num);
  ib_uverbs_query_port_resp response{};
  response.port_cap_flags = IBV_PORT_CM_SUP | IBV_PORT_IP_BASED_GIDS;
  response.max_msg_sz = file.device->attributes.maxMessageSize;
  response.gid_tbl_len = static_cast<uint32_t>(port.gids.size());
  response.pkey_tbl_len = 1;
  response.state = up ? IBV_PORT_ACTIVE : IBV_PORT_DOWN;
  response.max_mtu = IBV_MTU_4096;
  response.active_mtu = mtuCode(file.nic().activeMtu(request.port_num));
  response.max_vl_num = 1;
  response.active_width = 2;         // 4X
  response.active_speed = 32;        // EDR: together 100 Gbit/s
  response.phys_state = up ? 5 : 3;  // LinkUp, Disabled (ib_port_phys_state)
  response.link_layer = IBV_LINK_LAYER_ETHERNET;
  return command.respond(response);
}

}  // namespace

const std::vector<CommandEntry> deviceCommands{
    {IB_USER_VERBS_CMD_GET_CONTEXT, false, getContext},
    {IB_USER_VERBS_CMD_QUERY_DEVICE, false, queryDevice},
    {IB_USER_VERBS_EX_CMD_QUERY_DEVICE, true, queryDeviceExtended},
    {IB_USER_VERBS_CMD_QUERY_PORT, false, queryPort},
};

}  // namespace soft::uverbs
