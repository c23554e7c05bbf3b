// Prints every capability bit and limit that a device announces, a name a line: a word per field that is not zero, and
// of fields that are sets a line per bit.
//
//   cc -o capabilities capabilities.c -libverbs -lmlx5
#include <infiniband/mlx5dv.h>
#include <infiniband/verbs.h>
#include <stdio.h>

static void value(const char *name, unsigned long long value) {
  if (value) printf("%s\n", name);
}

static void bits(const char *name, unsigned long long value) {
  for (int bit = 0; bit < 64; bit++) {
    if (value >> bit & 1) printf("%s[%d]\n", name, bit);
  }
}

#define VALUE(of, field) value(#field, (unsigned long long)(of).field)
#define BITS(of, field) bits(#field, (unsigned long long)(of).field)

int main(void) {
  int count;
  struct ibv_device **list = ibv_get_device_list(&count);
  struct ibv_context *context = count ? ibv_open_device(list[0]) : NULL;
  struct ibv_device_attr_ex all = {0};
  struct ibv_port_attr port = {0};
  struct mlx5dv_context direct = {
      .comp_mask = MLX5DV_CONTEXT_MASK_CQE_COMPRESION | MLX5DV_CONTEXT_MASK_SWP | MLX5DV_CONTEXT_MASK_STRIDING_RQ |
                   MLX5DV_CONTEXT_MASK_TUNNEL_OFFLOADS | MLX5DV_CONTEXT_MASK_DYN_BFREGS |
                   MLX5DV_CONTEXT_MASK_CLOCK_INFO_UPDATE | MLX5DV_CONTEXT_MASK_FLOW_ACTION_FLAGS |
                   MLX5DV_CONTEXT_MASK_DC_ODP_CAPS | MLX5DV_CONTEXT_MASK_NUM_LAG_PORTS |
                   MLX5DV_CONTEXT_MASK_SIGNATURE_OFFLOAD | MLX5DV_CONTEXT_MASK_DCI_STREAMS |
                   MLX5DV_CONTEXT_MASK_WR_MEMCPY_LENGTH | MLX5DV_CONTEXT_MASK_CRYPTO_OFFLOAD};
  if (!context || ibv_query_device_ex(context, NULL, &all) || ibv_query_port(context, 1, &port) ||
      mlx5dv_query_device(context, &direct)) {
    fprintf(stderr, "no device, or it does not answer\n");
    return 1;
  }
  VALUE(*context, num_comp_vectors);
  const struct ibv_device_attr base = all.orig_attr;
  VALUE(base, max_mr_size);
  VALUE(base, page_size_cap);
  VALUE(base, max_qp);
  VALUE(base, max_qp_wr);
  BITS(base, device_cap_flags);
  VALUE(base, max_sge);
  VALUE(base, max_sge_rd);
  VALUE(base, max_cq);
  VALUE(base, max_cqe);
  VALUE(base, max_mr);
  VALUE(base, max_pd);
  VALUE(base, max_qp_rd_atom);
  VALUE(base, max_ee_rd_atom);
  VALUE(base, max_res_rd_atom);
  VALUE(base, max_qp_init_rd_atom);
  VALUE(base, max_ee_init_rd_atom);
  VALUE(base, atomic_cap);
  VALUE(base, max_ee);
  VALUE(base, max_rdd);
  VALUE(base, max_mw);
  VALUE(base, max_raw_ipv6_qp);
  VALUE(base, max_raw_ethy_qp);
  VALUE(base, max_mcast_grp);
  VALUE(base, max_mcast_qp_attach);
  VALUE(base, max_total_mcast_qp_attach);
  VALUE(base, max_ah);
  VALUE(base, max_fmr);
  VALUE(base, max_srq);
  VALUE(base, max_srq_wr);
  VALUE(base, max_srq_sge);
  VALUE(base, max_pkeys);
  VALUE(base, local_ca_ack_delay);
  VALUE(base, phys_port_cnt);
  BITS(all, odp_caps.general_caps);
  VALUE(all, completion_timestamp_mask);
  VALUE(all, hca_core_clock);
  bits("device_cap_flags_ex", all.device_cap_flags_ex & ~(unsigned long long)base.device_cap_flags);
  VALUE(all, tso_caps.max_tso);
  BITS(all, tso_caps.supported_qpts);
  BITS(all, rss_caps.supported_qpts);
  VALUE(all, rss_caps.max_rwq_indirection_tables);
  VALUE(all, rss_caps.max_rwq_indirection_table_size);
  BITS(all, rss_caps.rx_hash_fields_mask);
  BITS(all, rss_caps.rx_hash_function);
  VALUE(all, max_wq_type_rq);
  VALUE(all, packet_pacing_caps.qp_rate_limit_max);
  BITS(all, raw_packet_caps);
  VALUE(all, tm_caps.max_num_tags);
  VALUE(all, cq_mod_caps.max_cq_count);
  VALUE(all, cq_mod_caps.max_cq_period);
  VALUE(all, max_dm_size);
  VALUE(all, pci_atomic_caps.fetch_add);
  VALUE(all, xrc_odp_caps);
  VALUE(all, phys_port_cnt_ex);
  BITS(port, port_cap_flags);
  BITS(port, port_cap_flags2);
  VALUE(port, max_msg_sz);
  VALUE(port, gid_tbl_len);
  VALUE(port, pkey_tbl_len);
  VALUE(port, max_mtu);
  VALUE(port, max_vl_num);
  BITS(direct, flags);
  VALUE(direct, cqe_comp_caps.max_num);
  BITS(direct, cqe_comp_caps.supported_format);
  BITS(direct, sw_parsing_caps.sw_parsing_offloads);
  VALUE(direct, striding_rq_caps.min_single_stride_log_num_of_bytes);
  VALUE(direct, striding_rq_caps.max_single_stride_log_num_of_bytes);
  VALUE(direct, striding_rq_caps.min_single_wqe_log_num_of_strides);
  VALUE(direct, striding_rq_caps.max_single_wqe_log_num_of_strides);
  BITS(direct, striding_rq_caps.supported_qpts);
  BITS(direct, tunnel_offloads_caps);
  VALUE(direct, max_dynamic_bfregs);
  VALUE(direct, max_clock_info_update_nsec);
  BITS(direct, flow_action_flags);
  VALUE(direct, dc_odp_caps);
  VALUE(direct, num_lag_ports);
  VALUE(direct, dci_streams_caps.max_log_num_concurent);
  VALUE(direct, max_wr_memcpy_length);
  return 0;
}
