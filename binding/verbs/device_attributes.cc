#include "verbs/device_attributes.h"

#include <endian.h>

#include <cstddef>
#include <cstring>

namespace verbs {
namespace {

void set(Napi::Object object, const char* name, double value) {
  object.Set(name, Napi::Number::New(object.Env(), value));
}

void setBig(Napi::Object object, const char* name, uint64_t value) {
  object.Set(name, Napi::BigInt::New(object.Env(), value));
}

}  // namespace

Napi::Object deviceAttributes(Napi::Env env, const ibv_device_attr_ex& extended) {
  const ibv_device_attr& a = extended.orig_attr;
  Napi::Object o = Napi::Object::New(env);
  o.Set("firmwareVersion", std::string(a.fw_ver, strnlen(a.fw_ver, sizeof a.fw_ver)));
  setBig(o, "nodeGuid", be64toh(a.node_guid));
  setBig(o, "sysImageGuid", be64toh(a.sys_image_guid));
  setBig(o, "maxMrSize", a.max_mr_size);
  setBig(o, "pageSizeCap", a.page_size_cap);
  set(o, "vendorId", a.vendor_id);
  set(o, "vendorPartId", a.vendor_part_id);
  set(o, "hwVer", a.hw_ver);
  set(o, "maxQp", a.max_qp);
  set(o, "maxQpWr", a.max_qp_wr);
  set(o, "deviceCapFlags", a.device_cap_flags);
  set(o, "maxSge", a.max_sge);
  set(o, "maxSgeRd", a.max_sge_rd);
  set(o, "maxCq", a.max_cq);
  set(o, "maxCqe", a.max_cqe);
  set(o, "maxMr", a.max_mr);
  set(o, "maxPd", a.max_pd);
  set(o, "maxQpRdAtom", a.max_qp_rd_atom);
  set(o, "maxEeRdAtom", a.max_ee_rd_atom);
  set(o, "maxResRdAtom", a.max_res_rd_atom);
  set(o, "maxQpInitRdAtom", a.max_qp_init_rd_atom);
  set(o, "maxEeInitRdAtom", a.max_ee_init_rd_atom);
  set(o, "atomicCap", a.atomic_cap);
  set(o, "maxEe", a.max_ee);
  set(o, "maxRdd", a.max_rdd);
  set(o, "maxMw", a.max_mw);
  set(o, "maxRawIpv6Qp", a.max_raw_ipv6_qp);
  set(o, "maxRawEthyQp", a.max_raw_ethy_qp);
  set(o, "maxMcastGrp", a.max_mcast_grp);
  set(o, "maxMcastQpAttach", a.max_mcast_qp_attach);
  set(o, "maxTotalMcastQpAttach", a.max_total_mcast_qp_attach);
  set(o, "maxAh", a.max_ah);
  set(o, "maxFmr", a.max_fmr);
  set(o, "maxMapPerFmr", a.max_map_per_fmr);
  set(o, "maxSrq", a.max_srq);
  set(o, "maxSrqWr", a.max_srq_wr);
  set(o, "maxSrqSge", a.max_srq_sge);
  set(o, "maxPkeys", a.max_pkeys);
  set(o, "localCaAckDelay", a.local_ca_ack_delay);
  set(o, "physPortCnt", a.phys_port_cnt);

  Napi::Object e = Napi::Object::New(env);
  setBig(e, "odpGeneralCaps", extended.odp_caps.general_caps);
  set(e, "rcOdpCaps", extended.odp_caps.per_transport_caps.rc_odp_caps);
  set(e, "ucOdpCaps", extended.odp_caps.per_transport_caps.uc_odp_caps);
  set(e, "udOdpCaps", extended.odp_caps.per_transport_caps.ud_odp_caps);
  set(e, "xrcOdpCaps", extended.xrc_odp_caps);
  setBig(e, "completionTimestampMask", extended.completion_timestamp_mask);
  setBig(e, "hcaCoreClock", extended.hca_core_clock);
  setBig(e, "deviceCapFlagsEx", extended.device_cap_flags_ex);
  set(e, "maxTso", extended.tso_caps.max_tso);
  set(e, "tsoSupportedQpts", extended.tso_caps.supported_qpts);
  set(e, "rssSupportedQpts", extended.rss_caps.supported_qpts);
  set(e, "maxRwqIndirectionTables", extended.rss_caps.max_rwq_indirection_tables);
  set(e, "maxRwqIndirectionTableSize", extended.rss_caps.max_rwq_indirection_table_size);
  setBig(e, "rxHashFieldsMask", extended.rss_caps.rx_hash_fields_mask);
  set(e, "rxHashFunction", extended.rss_caps.rx_hash_function);
  set(e, "maxWqTypeRq", extended.max_wq_type_rq);
  set(e, "qpRateLimitMin", extended.packet_pacing_caps.qp_rate_limit_min);
  set(e, "qpRateLimitMax", extended.packet_pacing_caps.qp_rate_limit_max);
  set(e, "rawPacketCaps", extended.raw_packet_caps);
  set(e, "tagMatchingMaxRndvHdrSize", extended.tm_caps.max_rndv_hdr_size);
  set(e, "tagMatchingMaxNumTags", extended.tm_caps.max_num_tags);
  set(e, "maxCqModerationCount", extended.cq_mod_caps.max_cq_count);
  set(e, "maxCqModerationPeriod", extended.cq_mod_caps.max_cq_period);
  setBig(e, "maxDmSize", extended.max_dm_size);
  set(e, "pciAtomicFetchAdd", extended.pci_atomic_caps.fetch_add);
  set(e, "pciAtomicSwap", extended.pci_atomic_caps.swap);
  set(e, "pciAtomicCompareSwap", extended.pci_atomic_caps.compare_swap);
  set(e, "physPortCntEx", extended.phys_port_cnt_ex);
  o.Set("extended", e);
  return o;
}

int readPort(ibv_context* context, uint8_t port, PortAttributes* attributes) {
  *attributes = {};
  verbs_context* extended = verbs_get_ctx_op(context, query_port);
  // Given the size of the buffer, libibverbs clears all of it and fills in the members that it knows
  // (__lib_query_port).
  if (extended) {
    return extended->query_port(context, port, reinterpret_cast<ibv_port_attr*>(attributes->bytes),
                                sizeof attributes->bytes);
  }
  return ibv_query_port(context, port, reinterpret_cast<ibv_port_attr*>(attributes->bytes));
}

Napi::Object portAttributes(Napi::Env env, const PortAttributes& attributes) {
  // The members that all versions of the structure have, and the one that came later: at the same offset in each
  // version.
  ibv_port_attr a;
  memcpy(&a, attributes.bytes, sizeof a);
  constexpr size_t kActiveSpeedEx = 52;
  static_assert(offsetof(ibv_port_attr, port_cap_flags2) == 48, "active_speed_ex is the next 4 bytes, aligned");
  static_assert(sizeof attributes.bytes >= sizeof a, "room for what these headers know");
  uint32_t activeSpeedEx;
  memcpy(&activeSpeedEx, attributes.bytes + kActiveSpeedEx, sizeof activeSpeedEx);
  Napi::Object o = Napi::Object::New(env);
  set(o, "state", a.state);
  set(o, "maxMtu", a.max_mtu);
  set(o, "activeMtu", a.active_mtu);
  set(o, "gidTableLength", a.gid_tbl_len);
  set(o, "portCapFlags", a.port_cap_flags);
  set(o, "portCapFlags2", a.port_cap_flags2);
  set(o, "maxMessageSize", a.max_msg_sz);
  set(o, "badPkeyCounter", a.bad_pkey_cntr);
  set(o, "qkeyViolationCounter", a.qkey_viol_cntr);
  set(o, "pkeyTableLength", a.pkey_tbl_len);
  set(o, "lid", a.lid);
  set(o, "smLid", a.sm_lid);
  set(o, "lmc", a.lmc);
  set(o, "maxVlNum", a.max_vl_num);
  set(o, "smSl", a.sm_sl);
  set(o, "subnetTimeout", a.subnet_timeout);
  set(o, "initTypeReply", a.init_type_reply);
  set(o, "activeWidth", a.active_width);
  set(o, "activeSpeed", a.active_speed);
  set(o, "activeSpeedEx", activeSpeedEx);
  set(o, "physicalState", a.phys_state);
  set(o, "linkLayer", a.link_layer);
  return o;
}

}  // namespace verbs
