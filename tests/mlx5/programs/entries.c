/* Prints entries of rings, one `NAME HEX` a line, as mlx5dv.h's own functions and structures lay them out. */
#include <arpa/inet.h>
#include <endian.h>
#include <infiniband/mlx5dv.h>
#include <stdio.h>
#include <string.h>

static uint8_t wqe[1024];

static void print(const char *name, const void *bytes, size_t length) {
  printf("%s ", name);
  for (size_t i = 0; i < length; i++) printf("%02x", ((const uint8_t *)bytes)[i]);
  printf("\n");
}

static void *begin(uint8_t opcode, uint8_t modifier, uint8_t flags, uint8_t segments) {
  memset(wqe, 0, sizeof wqe);
  mlx5dv_set_ctrl_seg((struct mlx5_wqe_ctrl_seg *)wqe, 0xbeef, opcode, modifier, 0x123456, flags, segments, 0,
                      htonl(0x01020304));
  return wqe + sizeof(struct mlx5_wqe_ctrl_seg);
}

static void end(const char *name) { print(name, wqe, (wqe[7] & 0x3f) * 16); }

int main(void) {
  const uint8_t update = MLX5_WQE_CTRL_CQ_UPDATE, solicited = MLX5_WQE_CTRL_SOLICITED;

  /* A raw frame whose first 18 bytes lie in the Ethernet segment. */
  struct mlx5_wqe_eth_seg *eth = begin(MLX5_OPCODE_SEND, 0, update | MLX5_WQE_CTRL_FENCE, 5);
  uint8_t header[18];
  for (int i = 0; i < 18; i++) header[i] = 0xa0 + i;
  mlx5dv_set_eth_seg(eth, MLX5_ETH_WQE_L3_CSUM | MLX5_ETH_WQE_L4_CSUM, 1448, sizeof header, header);
  struct mlx5_wqe_data_seg *data = (void *)(wqe + 48);
  mlx5dv_set_data_seg(data, 1500, 0xabcd, 0x1122334455667788);
  mlx5dv_set_data_seg(data + 1, 64, 0xef01, 4096);
  end("frame");

  eth = begin(MLX5_OPCODE_SEND, 0, 0, 3);
  eth->inline_hdr_sz = htobe16(1 << 15);
  memcpy(eth->inline_hdr_start, "\x60\x64", 2);
  mlx5dv_set_data_seg((struct mlx5_wqe_data_seg *)(wqe + 32), 60, 1, 0);
  end("tagged");

  data = begin(MLX5_OPCODE_SEND_IMM, 0, update | solicited, 2);
  mlx5dv_set_data_seg(data, 4096, 7, 0x7fff00000000);
  end("send");

  struct mlx5_wqe_inl_data_seg *inlined = begin(MLX5_OPCODE_SEND, 0, update, 3);
  inlined->byte_count = htobe32(MLX5_INLINE_SEG | 20);
  memset(inlined + 1, 0x5a, 20);
  end("inline");

  struct mlx5_wqe_raddr_seg *remote = begin(MLX5_OPCODE_RDMA_WRITE_IMM, 0, update, 3);
  remote->raddr = htobe64(0xfedcba9876543210);
  remote->rkey = htobe32(0x77);
  mlx5dv_set_data_seg((struct mlx5_wqe_data_seg *)(wqe + 32), 1, 2, 3);
  end("write");

  remote = begin(MLX5_OPCODE_ATOMIC_CS, 8, update, 4);
  remote->raddr = htobe64(64);
  struct mlx5_wqe_atomic_seg *atomic = (void *)(wqe + 32);
  atomic->swap_add = htobe64(0xffffffffffffffff);
  atomic->compare = htobe64(2);
  mlx5dv_set_data_seg((struct mlx5_wqe_data_seg *)(wqe + 48), 8, 2, 3);
  end("atomic");

  struct mlx5_wqe_datagram_seg *datagram = begin(MLX5_OPCODE_SEND, 0, update, 5);
  struct mlx5_wqe_av *av = &datagram->av;
  av->key.qkey.qkey = htobe32(0x11111111);
  av->dqp_dct = htobe32(MLX5_EXTENDED_UD_AV | 0xabcdef);
  av->stat_rate_sl = 0x35;
  av->fl_mlid = 0x7f;
  av->rlid = htobe16(0xc000);
  memcpy(av->rmac, "\x02\x00\x00\x00\x00\x09", 6);
  av->tclass = 0x68;
  av->hop_limit = 64;
  av->grh_gid_fl = htobe32(1u << 30 | 3 << 20 | 0xfffff);
  inet_pton(AF_INET6, "::ffff:10.0.0.1", av->rgid);
  mlx5dv_set_data_seg((struct mlx5_wqe_data_seg *)(wqe + 64), 100, 2, 3);
  end("datagram");

  struct mlx5_wqe_umr_ctrl_seg *control = begin(MLX5_OPCODE_UMR, 0, update, 8);
  control->flags = MLX5_WQE_UMR_CTRL_FLAG_INLINE | MLX5_WQE_UMR_CTRL_FLAG_CHECK_FREE;
  control->klm_octowords = htobe16(4);
  control->mkey_mask = htobe64(MLX5_WQE_UMR_CTRL_MKEY_MASK_LEN);
  struct mlx5_wqe_mkey_context_seg *key = (void *)(wqe + 64);
  key->access_flags = MLX5_WQE_MKEY_CONTEXT_ACCESS_FLAGS_LOCAL_READ | MLX5_WQE_MKEY_CONTEXT_ACCESS_FLAGS_REMOTE_READ;
  key->qpn_mkey = htobe32(0xffffff42);
  key->start_addr = htobe64(4096);
  key->len = htobe64(8192);
  key->log_page_size = 12;
  end("umr");

  uint8_t receive[64] = {0};
  mlx5dv_set_data_seg((struct mlx5_wqe_data_seg *)receive, 2048, 9, 0x10000);
  mlx5dv_set_data_seg((struct mlx5_wqe_data_seg *)receive + 1, 0, MLX5_INVALID_LKEY, 0);
  print("receive", receive, 32);

  struct mlx5_mprq_wqe striding = {0};
  striding.nseg.next_wqe_index = htobe16(5);
  mlx5dv_set_data_seg(&striding.dseg, 65536, 9, 0x20000);
  print("striding", &striding, sizeof striding);

  struct mlx5_cqe64 cqe = {0};
  cqe.srqn_uidx = htobe32(0x00000a);
  cqe.byte_cnt = htobe32(1514);
  cqe.timestamp = htobe64(0x123456789abcdef0);
  cqe.sop_drop_qpn = htobe32(MLX5_OPCODE_SEND << 24 | 0x123456);
  cqe.wqe_counter = htobe16(0xffff);
  cqe.op_own = MLX5_CQE_REQ << 4 | 1;
  print("requester", &cqe, sizeof cqe);

  cqe.op_own = MLX5_CQE_RESP_SEND_IMM << 4 | 2;
  cqe.flags_rqpn = htobe32(1 << 28 | MLX5_CQE_L3_HDR_TYPE_IPV4 << 24 | 0x000077);
  cqe.imm_inval_pkey = htobe32(0xcafebabe);
  print("responder", &cqe, sizeof cqe);

  cqe.flags_rqpn = 0;
  cqe.hds_ip_ext = MLX5_CQE_L3_OK | MLX5_CQE_L4_OK;
  cqe.l4_hdr_type_etc = 4 << 4 | MLX5_CQE_L3_HDR_TYPE_IPV6 << 2 | 1;
  cqe.vlan_info = htobe16(0x6064);
  cqe.op_own = MLX5_CQE_RESP_SEND << 4;
  print("received", &cqe, sizeof cqe);

  struct mlx5_err_cqe error = {0};
  error.vendor_err_synd = 0x88;
  error.syndrome = MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR;
  error.s_wqe_opcode_qpn = htobe32(MLX5_OPCODE_RDMA_READ << 24 | 0x55);
  error.wqe_counter = htobe16(3);
  error.op_own = MLX5_CQE_REQ_ERR << 4 | 1;
  print("error", &error, sizeof error);
  return 0;
}
