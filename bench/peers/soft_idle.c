// cc: -libverbs
// The cost of an RDMA write among idle queue pairs of one context, each with a completion queue of its own, connected
// to itself.
//
//   soft_idle pairs=8000
//   write 1000 200  →  [nanoseconds a write, by one pair; by each of the pairs in turn]   one at a time, the medians
#include <infiniband/verbs.h>

#include "serve.h"

enum { kSize = 64, kMaxPairs = 65536, kMaxWrites = 65536 };

struct pairs {
  int count;
  long turn;
  uint8_t *memory;
  struct ibv_mr *region;
  struct ibv_qp *pair[kMaxPairs];
  struct ibv_cq *queue[kMaxPairs];
};

static void *wanted(void *pointer, const char *what) {
  if (pointer == NULL) fail(what);
  return pointer;
}

static void write_once(struct pairs *pairs, int i) {
  struct ibv_sge sge = {(uintptr_t)pairs->memory, kSize, pairs->region->lkey};
  struct ibv_send_wr request = {
      .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED};
  request.wr.rdma.remote_addr = (uintptr_t)pairs->memory + kSize;
  request.wr.rdma.rkey = pairs->region->rkey;
  struct ibv_send_wr *bad;
  errno = ibv_post_send(pairs->pair[i], &request, &bad);
  if (errno != 0) fail("ibv_post_send");
  const uint64_t since = now();
  struct ibv_wc wc;
  for (uint32_t looks = 1; ibv_poll_cq(pairs->queue[i], 1, &wc) == 0; looks++) {
    if ((looks & 4095) == 0 && now() - since > 10000000000u) {
      fprintf(stderr, "no completion came\n");
      exit(1);
    }
  }
  if (wc.status != IBV_WC_SUCCESS) {
    fprintf(stderr, "completion: %s\n", ibv_wc_status_str(wc.status));
    exit(1);
  }
}

static int by_size(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static uint64_t timed(struct pairs *pairs, long count, int turns) {
  static uint64_t times[kMaxWrites];
  for (long i = 0; i < count; i++) {
    const uint64_t begin = now();
    write_once(pairs, turns ? (int)(pairs->turn++ % pairs->count) : 0);
    times[i] = now() - begin;
  }
  qsort(times, (size_t)count, sizeof times[0], by_size);
  return times[count / 2];
}

static void answer(const char *command, long count, long warmup, void *context) {
  if (strcmp(command, "write") != 0 || count == 0 || count > kMaxWrites || warmup > kMaxWrites) {
    fprintf(stderr, "want: write COUNT WARMUP, %d at most\n", kMaxWrites);
    exit(2);
  }
  timed(context, warmup, 0);
  const uint64_t one = timed(context, count, 0);
  timed(context, warmup, 1);
  printf("[%llu, %llu]\n", (unsigned long long)one, (unsigned long long)timed(context, count, 1));
}

static void modify(struct ibv_qp *pair, struct ibv_qp_attr attributes, int mask) {
  errno = ibv_modify_qp(pair, &attributes, IBV_QP_STATE | mask);
  if (errno != 0) fail("ibv_modify_qp");
}

static void connect_to_itself(struct ibv_qp *pair, const union ibv_gid *gid) {
  modify(pair,
         (struct ibv_qp_attr){.qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = IBV_ACCESS_REMOTE_WRITE},
         IBV_QP_PORT | IBV_QP_PKEY_INDEX | IBV_QP_ACCESS_FLAGS);
  modify(
      pair,
      (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR,
                           .path_mtu = IBV_MTU_1024,
                           .dest_qp_num = pair->qp_num,
                           .max_dest_rd_atomic = 1,
                           .min_rnr_timer = 12,
                           .ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = *gid, .hop_limit = 1}}},
      IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
  modify(
      pair,
      (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 1},
      IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

int main(int argc, char **argv) {
  static struct pairs pairs = {.count = 8};
  if (argc > 2 || (argc == 2 && sscanf(argv[1], "pairs=%d", &pairs.count) != 1) || pairs.count < 1 ||
      pairs.count > kMaxPairs) {
    fprintf(stderr, "usage: soft_idle [pairs=1 … %d]\n", kMaxPairs);
    return 2;
  }
  int devices;
  struct ibv_device **list = wanted(ibv_get_device_list(&devices), "ibv_get_device_list");
  struct ibv_context *context = wanted(devices > 0 ? ibv_open_device(list[0]) : NULL, "ibv_open_device");
  struct ibv_pd *domain = wanted(ibv_alloc_pd(context), "ibv_alloc_pd");
  pairs.memory = wanted(aligned_alloc(4096, 4096), "aligned_alloc");
  pairs.region =
      wanted(ibv_reg_mr(domain, pairs.memory, 4096, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE), "ibv_reg_mr");
  union ibv_gid gid;
  if (ibv_query_gid(context, 1, 0, &gid) != 0) fail("ibv_query_gid");
  for (int i = 0; i < pairs.count; i++) {
    pairs.queue[i] = wanted(ibv_create_cq(context, 4, NULL, NULL, 0), "ibv_create_cq");
    struct ibv_qp_init_attr attributes = {
        .send_cq = pairs.queue[i], .recv_cq = pairs.queue[i], .qp_type = IBV_QPT_RC, .cap = {4, 1, 1, 1, 0}};
    pairs.pair[i] = wanted(ibv_create_qp(domain, &attributes), "ibv_create_qp");
    connect_to_itself(pairs.pair[i], &gid);
  }
  serve(answer, &pairs);
  return 0;
}
