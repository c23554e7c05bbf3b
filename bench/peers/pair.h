// Shared by every verbs peer: two queue pairs in one process, one on each of two devices, connected to each other.
//
// Header only, so that one `cc` builds a peer; static inline, so that a peer may use a part of it.
#pragma once

#include <infiniband/verbs.h>
#include <unistd.h>

#include "serve.h"

// A UD receive begins with room for the global route header (ibv_post_recv(3), rdma-core's ud_pingpong.c).
enum { kGrhSize = 40 };
enum { kPollBatch = 32 };

struct options {
  const char *device[2];
  int gid_index[2];  // -1: the first RoCE v2 entry, else 0
  int datagram;      // UD instead of RC
  int size;
  int inlined;  // max_inline_data, and every send that fits goes inline
  int send_depth;
  int receive_depth;
  int batch;   // work requests in one ibv_post_send
  int signal;  // every N-th send is signalled
  int write;   // RDMA write instead of send
};

struct end {
  struct ibv_context *context;
  struct ibv_pd *pd;
  struct ibv_mr *mr;
  struct ibv_cq *cq;
  struct ibv_qp *qp;
  struct ibv_ah *ah;  // UD: address handle of the other end
  struct ibv_port_attr port;
  union ibv_gid gid;
  int gid_index;
  uint32_t remote_qpn;
  char *memory;  // the first half is sent, the second received into
  char *receive_memory;
};

static const uint32_t kQkey = 0x11111111;

// KEY=VALUE words.
static void parse(struct options *options, int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char *value = strchr(argv[i], '=');
    if (value == NULL) goto unknown;
    *value++ = 0;
    const char *key = argv[i];
    if (!strcmp(key, "a")) options->device[0] = value;
    else if (!strcmp(key, "b")) options->device[1] = value;
    else if (!strcmp(key, "gid-a")) options->gid_index[0] = atoi(value);
    else if (!strcmp(key, "gid-b")) options->gid_index[1] = atoi(value);
    else if (!strcmp(key, "type")) options->datagram = !strcmp(value, "UD");
    else if (!strcmp(key, "size")) options->size = atoi(value);
    else if (!strcmp(key, "inline")) options->inlined = atoi(value);
    else if (!strcmp(key, "send-depth")) options->send_depth = atoi(value);
    else if (!strcmp(key, "receive-depth")) options->receive_depth = atoi(value);
    else if (!strcmp(key, "batch")) options->batch = atoi(value);
    else if (!strcmp(key, "signal")) options->signal = atoi(value);
    else if (!strcmp(key, "operation")) options->write = !strcmp(value, "write");
    else goto unknown;
    continue;
  unknown:
    fprintf(stderr, "unknown option %s\n", argv[i]);
    exit(2);
  }
  if (options->device[0] == NULL || options->device[1] == NULL) {
    fprintf(stderr, "usage: a=DEVICE b=DEVICE [gid-a=N gid-b=N type=RC|UD size=N inline=N …]\n");
    exit(2);
  }
}

static void find_gid(struct end *end, int wanted) {
  struct ibv_gid_entry entry;
  end->gid_index = wanted < 0 ? 0 : wanted;
  for (int i = 0; wanted < 0 && i < end->port.gid_tbl_len; i++) {
    if (ibv_query_gid_ex(end->context, 1, i, &entry, 0) != 0 || entry.gid_type != IBV_GID_TYPE_ROCE_V2) continue;
    end->gid_index = i;
    break;
  }
  if (ibv_query_gid(end->context, 1, end->gid_index, &end->gid) != 0) fail("ibv_query_gid");
}

static void open_end(struct end *end, const struct options *options, int side) {
  int count;
  struct ibv_device **list = ibv_get_device_list(&count);
  if (list == NULL) fail("ibv_get_device_list");
  for (int i = 0; i < count; i++) {
    if (!strcmp(ibv_get_device_name(list[i]), options->device[side])) end->context = ibv_open_device(list[i]);
  }
  if (end->context == NULL) fail(options->device[side]);
  ibv_free_device_list(list);
  if (ibv_query_port(end->context, 1, &end->port) != 0) fail("ibv_query_port");
  find_gid(end, options->gid_index[side]);

  end->pd = ibv_alloc_pd(end->context);
  if (end->pd == NULL) fail("ibv_alloc_pd");
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t half = ((size_t)options->size + kGrhSize + page - 1) / page * page;
  end->memory = aligned_alloc(page, 2 * half);
  if (end->memory == NULL) fail("aligned_alloc");
  memset(end->memory, 0, 2 * half);
  end->receive_memory = end->memory + half;
  end->mr = ibv_reg_mr(end->pd, end->memory, 2 * half, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
  if (end->mr == NULL) fail("ibv_reg_mr");
  end->cq = ibv_create_cq(end->context, options->send_depth + options->receive_depth, NULL, NULL, 0);
  if (end->cq == NULL) fail("ibv_create_cq");
  struct ibv_qp_init_attr init = {
      .send_cq = end->cq,
      .recv_cq = end->cq,
      .qp_type = options->datagram ? IBV_QPT_UD : IBV_QPT_RC,
      .cap = {.max_send_wr = (uint32_t)options->send_depth,
              .max_recv_wr = (uint32_t)options->receive_depth,
              .max_send_sge = 1,
              .max_recv_sge = 1,
              .max_inline_data = (uint32_t)options->inlined},
  };
  end->qp = ibv_create_qp(end->pd, &init);
  if (end->qp == NULL) fail("ibv_create_qp");
}

static void modify(struct end *end, struct ibv_qp_attr *attr, int mask, const char *what) {
  errno = ibv_modify_qp(end->qp, attr, mask);
  if (errno != 0) fail(what);
}

static void connect_end(struct end *end, const struct end *other, const struct options *options) {
  struct ibv_ah_attr route = {
      .is_global = 1,
      .grh = {.dgid = other->gid, .sgid_index = (uint8_t)end->gid_index, .hop_limit = 64},
      .dlid = other->port.lid,
      .port_num = 1,
  };
  struct ibv_qp_attr init = {
      .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = kQkey, .qp_access_flags = IBV_ACCESS_REMOTE_WRITE};
  modify(end, &init,
         IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | (options->datagram ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS),
         "INIT");
  struct ibv_qp_attr ready = {
      .qp_state = IBV_QPS_RTR,
      .path_mtu = end->port.active_mtu < other->port.active_mtu ? end->port.active_mtu : other->port.active_mtu,
      .dest_qp_num = other->qp->qp_num,
      .max_dest_rd_atomic = 1,
      .min_rnr_timer = 12,
      .ah_attr = route,
  };
  modify(end, &ready,
         options->datagram ? IBV_QP_STATE
                           : IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                                 IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER,
         "RTR");
  struct ibv_qp_attr send = {
      .qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 6, .rnr_retry = 6, .max_rd_atomic = 1};
  modify(end, &send,
         options->datagram ? IBV_QP_STATE | IBV_QP_SQ_PSN
                           : IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                                 IBV_QP_MAX_QP_RD_ATOMIC,
         "RTS");
  end->remote_qpn = other->qp->qp_num;
  if (!options->datagram) return;
  end->ah = ibv_create_ah(end->pd, &route);
  if (end->ah == NULL) fail("ibv_create_ah");
}

static void open_pair(struct end ends[2], const struct options *options) {
  for (int side = 0; side < 2; side++) open_end(&ends[side], options, side);
  for (int side = 0; side < 2; side++) connect_end(&ends[side], &ends[1 - side], options);
}

// Moves to the error state first: rxe of Linux 6.1 wants a queue pair drained before it is destroyed.
static void close_pair(struct end ends[2]) {
  for (int side = 0; side < 2; side++) {
    struct ibv_qp_attr error = {.qp_state = IBV_QPS_ERR};
    modify(&ends[side], &error, IBV_QP_STATE, "ERR");
  }
  for (int side = 0; side < 2; side++) {
    struct end *end = &ends[side];
    ibv_destroy_qp(end->qp);
    if (end->ah != NULL) ibv_destroy_ah(end->ah);
    ibv_destroy_cq(end->cq);
    ibv_dereg_mr(end->mr);
    free(end->memory);
    ibv_dealloc_pd(end->pd);
    ibv_close_device(end->context);
  }
}

static inline void check(const struct ibv_wc *wc) {
  if (wc->status == IBV_WC_SUCCESS) return;
  fprintf(stderr, "completion failed: %s (vendor error %u)\n", ibv_wc_status_str(wc->status), wc->vendor_err);
  exit(1);
}

// ns of one empty ibv_poll_cq.
static inline double empty_poll(struct ibv_cq *cq, long calls) {
  struct ibv_wc wc[kPollBatch];
  int found = 0;
  uint64_t begin = now();
  for (long i = 0; i < calls; i++) found += ibv_poll_cq(cq, kPollBatch, wc);
  uint64_t end = now();
  if (found != 0) {
    fprintf(stderr, "the completion queue was not empty\n");
    exit(1);
  }
  return (double)(end - begin) / (double)calls;
}
