// cc: -lmlx5 -libverbs
// Frames per second through a raw packet queue pair whose port receives what it sends: bench/harness/soft/raw-worker.ts
// in C.
//
//   soft_raw size=64 batch=32 window=512             through ibv_post_send, ibv_post_recv and ibv_poll_cq
//   soft_raw size=64 batch=32 window=512 direct=1    writes the WQEs and reads the CQEs itself (mlx5dv.h)
//   loop 20000 1000  →  [frames a second]   sent and received, over 20000 after 1000 untimed
#include <infiniband/mlx5dv.h>
#include <infiniband/verbs.h>

#include "serve.h"

enum { kFrames = 4096, kFrameSize = 2048, kReceives = 2048, kSends = 1024, kMaxBatch = 256, kEtherType = 0x88b5 };
enum { kSequence = 14 };

// A completion queue, read without ibv_poll_cq.
struct completions {
  uint8_t *entries;
  __be32 *doorbell;
  uint32_t next, count;
};

struct port {
  int size, batch, window, direct;
  uint8_t *memory;
  struct ibv_mr *region;
  struct ibv_qp *pair;
  struct ibv_cq *send_cq, *receive_cq;
  uint32_t free[kFrames], free_count;
  uint32_t sent[kSends], head, tail;  // frames in flight in the device
  uint32_t sequence, expected;
  struct ibv_send_wr sends[kMaxBatch];
  struct ibv_sge send_sges[kMaxBatch];
  struct ibv_recv_wr receives[kMaxBatch];
  struct ibv_sge receive_sges[kMaxBatch];
  struct mlx5dv_qp rings;
  struct completions sent_entries, received_entries;
  uint32_t receive_frames[kReceives], received;  // by the slot of the receive WQE
  unsigned flip;                                 // which half of the register is next
};

static void check(const struct ibv_wc *wc) {
  if (wc->status == IBV_WC_SUCCESS) return;
  fprintf(stderr, "completion: %s\n", ibv_wc_status_str(wc->status));
  exit(1);
}

static inline void post_receives(struct port *port, int count) {
  struct ibv_recv_wr *bad;
  port->receives[count - 1].next = NULL;
  errno = ibv_post_recv(port->pair, port->receives, &bad);
  if (errno != 0) fail("ibv_post_recv");
  if (count < kMaxBatch) port->receives[count - 1].next = &port->receives[count];
}

static inline void receive_into(struct port *port, int i, uint32_t frame) {
  port->receive_sges[i].addr = (uintptr_t)port->memory + frame * kFrameSize;
  port->receives[i].wr_id = frame;
}

static inline void reap(struct port *port) {
  struct ibv_wc wc[64];
  int count = ibv_poll_cq(port->send_cq, 64, wc);
  for (int i = 0; i < count; i++) {
    check(&wc[i]);
    while (port->tail != (uint32_t)wc[i].wr_id + 1) port->free[port->free_count++] = port->sent[port->tail++ % kSends];
  }
}

static inline void send_batch(struct port *port) {
  const int count = port->batch;
  for (int i = 0; i < count; i++) {
    const uint32_t frame = port->free[--port->free_count];
    memcpy(port->memory + frame * kFrameSize + kSequence, &port->sequence, sizeof port->sequence);
    port->sequence++;
    port->send_sges[i].addr = (uintptr_t)port->memory + frame * kFrameSize;
    port->send_sges[i].length = (uint32_t)port->size;
    port->sends[i].wr_id = port->head;
    port->sent[port->head++ % kSends] = frame;
  }
  struct ibv_send_wr *bad;
  errno = ibv_post_send(port->pair, port->sends, &bad);
  if (errno != 0) fail("ibv_post_send");
}

static inline int receive_batch(struct port *port) {
  struct ibv_wc wc[kMaxBatch];
  const int count = ibv_poll_cq(port->receive_cq, port->batch, wc);
  for (int i = 0; i < count; i++) {
    check(&wc[i]);
    const uint8_t *frame = port->memory + wc[i].wr_id * kFrameSize;
    uint32_t sequence;
    memcpy(&sequence, frame + kSequence, sizeof sequence);
    if (wc[i].byte_len != (uint32_t)port->size || frame[12] != kEtherType >> 8 || sequence != port->expected++) {
      fprintf(stderr, "frame %u where %u should be\n", sequence, port->expected - 1);
      exit(1);
    }
    receive_into(port, i, (uint32_t)wc[i].wr_id);
  }
  if (count > 0) post_receives(port, count);
  return count;
}

// The entry that `queue` has next, or NULL. Its last word hands it over: opcode, owner bit, WQE counter.
static inline struct mlx5_cqe64 *next_entry(struct completions *queue, uint8_t opcode) {
  struct mlx5_cqe64 *entry = (struct mlx5_cqe64 *)(queue->entries + (queue->next & (queue->count - 1)) * 64);
  const uint8_t own = __atomic_load_n(&entry->op_own, __ATOMIC_ACQUIRE);
  if ((own & 1) != ((queue->next & queue->count) != 0) || own >> 4 == MLX5_CQE_INVALID) return NULL;
  if (own >> 4 != opcode) {
    fprintf(stderr, "completion: opcode %d\n", own >> 4);
    exit(1);
  }
  queue->next++;
  return entry;
}

static inline void heed(struct completions *queue) { *queue->doorbell = htobe32(queue->next & 0xffffff); }

static inline void reap_direct(struct port *port) {
  const struct mlx5_cqe64 *entry;
  while ((entry = next_entry(&port->sent_entries, MLX5_CQE_REQ)) != NULL) {
    const uint16_t index = be16toh(entry->wqe_counter);
    do port->free[port->free_count++] = port->sent[port->tail % kSends];
    while ((uint16_t)port->tail++ != index);
    heed(&port->sent_entries);
  }
}

static inline void send_batch_direct(struct port *port) {
  uint64_t first = 0;
  for (int i = 0; i < port->batch; i++) {
    const uint32_t frame = port->free[--port->free_count];
    uint8_t *const at = port->memory + frame * kFrameSize;
    memcpy(at + kSequence, &port->sequence, sizeof port->sequence);
    port->sequence++;
    struct mlx5_wqe_ctrl_seg *const wqe =
        (void *)((uint8_t *)port->rings.sq.buf + (port->head & (port->rings.sq.wqe_cnt - 1)) * MLX5_SEND_WQE_BB);
    const uint8_t flags = i + 1 == port->batch ? MLX5_WQE_CTRL_CQ_UPDATE : 0;
    mlx5dv_set_ctrl_seg(wqe, (uint16_t)port->head, MLX5_OPCODE_SEND, 0, port->pair->qp_num, flags, 3, 0, 0);
    memset(wqe + 1, 0, sizeof(struct mlx5_wqe_eth_seg));
    mlx5dv_set_data_seg((void *)(wqe + 2), (uint32_t)port->size, port->region->lkey, (uintptr_t)at);
    memcpy(&first, wqe, sizeof first);
    port->sent[port->head++ % kSends] = frame;
  }
  __atomic_store_n(&port->rings.dbrec[MLX5_SND_DBR], htobe32(port->head & 0xffff), __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  __atomic_store_n((uint64_t *)((uint8_t *)port->rings.bf.reg + port->flip), first, __ATOMIC_RELEASE);
  port->flip ^= port->rings.bf.size;
}

static inline int receive_batch_direct(struct port *port) {
  int count = 0;
  for (; count < port->batch; count++) {
    const struct mlx5_cqe64 *entry = next_entry(&port->received_entries, MLX5_CQE_RESP_SEND);
    if (entry == NULL) break;
    // The WQE that it was, and the one that follows the last: the ring is as large as the frames are many.
    const uint32_t slot = port->received++ & (port->rings.rq.wqe_cnt - 1);
    const uint32_t index = port->receive_frames[slot];
    const uint8_t *frame = port->memory + index * kFrameSize;
    uint32_t sequence;
    memcpy(&sequence, frame + kSequence, sizeof sequence);
    if (be32toh(entry->byte_cnt) != (uint32_t)port->size || frame[12] != kEtherType >> 8 ||
        sequence != port->expected++) {
      fprintf(stderr, "frame %u where %u should be\n", sequence, port->expected - 1);
      exit(1);
    }
    mlx5dv_set_data_seg((void *)((uint8_t *)port->rings.rq.buf + slot * port->rings.rq.stride), kFrameSize,
                        port->region->lkey, (uintptr_t)frame);
  }
  if (count == 0) return 0;
  heed(&port->received_entries);
  __atomic_store_n(&port->rings.dbrec[MLX5_RCV_DBR], htobe32((port->received + kReceives) & 0xffff), __ATOMIC_RELEASE);
  return count;
}

static void transfer(struct port *port, long total) {
  uint64_t since = now();
  uint32_t looks = 0;
  for (long sent = 0, received = 0; received < total;) {
    if (sent < total && sent - received + port->batch <= port->window) {
      if (port->direct) {
        reap_direct(port);
        send_batch_direct(port);
      } else {
        reap(port);
        send_batch(port);
      }
      sent += port->batch;
    }
    const int count = port->direct ? receive_batch_direct(port) : receive_batch(port);
    received += count;
    if (count > 0 || (++looks & 4095) != 0) continue;
    if (now() - since > 10000000000u) {
      fprintf(stderr, "no frame came\n");
      exit(1);
    }
  }
}

static void answer(const char *command, long count, long warmup, void *context) {
  struct port *port = context;
  if (strcmp(command, "loop") != 0 || count % port->batch != 0 || warmup % port->batch != 0) {
    fprintf(stderr, "want: loop COUNT WARMUP, multiples of %d\n", port->batch);
    exit(2);
  }
  transfer(port, warmup);
  const uint64_t begin = now();
  transfer(port, count);
  printf("[%.1f]\n", (double)count * 1e9 / (double)(now() - begin));
}

static void *wanted(void *pointer, const char *what) {
  if (pointer == NULL) fail(what);
  return pointer;
}

static void modify(struct ibv_qp *pair, enum ibv_qp_state state, int mask) {
  struct ibv_qp_attr attributes = {.qp_state = state, .port_num = 1};
  errno = ibv_modify_qp(pair, &attributes, IBV_QP_STATE | mask);
  if (errno != 0) fail("ibv_modify_qp");
}

static void take_ring(struct ibv_cq *cq, struct completions *ring) {
  struct mlx5dv_cq direct;
  struct mlx5dv_obj object = {.cq = {.in = cq, .out = &direct}};
  if (mlx5dv_init_obj(&object, MLX5DV_OBJ_CQ) != 0) fail("mlx5dv_init_obj");
  *ring = (struct completions){.entries = direct.buf, .doorbell = &direct.dbrec[0], .count = direct.cqe_cnt};
}

// What ibv_post_recv has posted by now stays posted.
static void take_rings(struct port *port) {
  struct mlx5dv_obj object = {.qp = {.in = port->pair, .out = &port->rings}};
  if (mlx5dv_init_obj(&object, MLX5DV_OBJ_QP) != 0) fail("mlx5dv_init_obj");
  take_ring(port->send_cq, &port->sent_entries);
  take_ring(port->receive_cq, &port->received_entries);
  if (port->rings.rq.wqe_cnt == kReceives) return;
  fprintf(stderr, "a receive ring of %u WQEs where %d were wanted\n", port->rings.rq.wqe_cnt, kReceives);
  exit(1);
}

static void port_open(struct port *port) {
  int count;
  struct ibv_device **devices = wanted(ibv_get_device_list(&count), "ibv_get_device_list");
  struct ibv_context *context = wanted(count > 0 ? ibv_open_device(devices[0]) : NULL, "ibv_open_device");
  struct ibv_pd *domain = wanted(ibv_alloc_pd(context), "ibv_alloc_pd");
  port->memory = wanted(aligned_alloc(4096, (size_t)kFrames * kFrameSize), "aligned_alloc");
  port->region =
      wanted(ibv_reg_mr(domain, port->memory, (size_t)kFrames * kFrameSize, IBV_ACCESS_LOCAL_WRITE), "ibv_reg_mr");
  port->send_cq = wanted(ibv_create_cq(context, kSends, NULL, NULL, 0), "ibv_create_cq");
  port->receive_cq = wanted(ibv_create_cq(context, kReceives, NULL, NULL, 0), "ibv_create_cq");
  struct ibv_qp_init_attr attributes = {.send_cq = port->send_cq,
                                        .recv_cq = port->receive_cq,
                                        .qp_type = IBV_QPT_RAW_PACKET,
                                        .cap = {kSends, kReceives, 1, 1, 0}};
  port->pair = wanted(ibv_create_qp(domain, &attributes), "ibv_create_qp");
  modify(port->pair, IBV_QPS_INIT, IBV_QP_PORT);
  modify(port->pair, IBV_QPS_RTR, 0);
  modify(port->pair, IBV_QPS_RTS, 0);
  struct ibv_flow_attr flow = {.type = IBV_FLOW_ATTR_ALL_DEFAULT, .size = sizeof flow, .port = 1};
  wanted(ibv_create_flow(port->pair, &flow), "ibv_create_flow");

  for (int i = 0; i < kMaxBatch; i++) {
    port->receive_sges[i] = (struct ibv_sge){0, kFrameSize, port->region->lkey};
    port->receives[i] = (struct ibv_recv_wr){
        .next = i + 1 < kMaxBatch ? &port->receives[i + 1] : NULL, .sg_list = &port->receive_sges[i], .num_sge = 1};
    port->send_sges[i].lkey = port->region->lkey;
    const int last = i + 1 == port->batch;
    port->sends[i] = (struct ibv_send_wr){.next = last ? NULL : &port->sends[(i + 1) % kMaxBatch],
                                          .sg_list = &port->send_sges[i],
                                          .num_sge = 1,
                                          .opcode = IBV_WR_SEND,
                                          .send_flags = last ? IBV_SEND_SIGNALED : 0};
  }
  for (uint32_t frame = 0; frame < kReceives; frame += kMaxBatch) {
    for (int i = 0; i < kMaxBatch; i++) {
      receive_into(port, i, frame + (uint32_t)i);
      port->receive_frames[frame + (uint32_t)i] = frame + (uint32_t)i;
    }
    post_receives(port, kMaxBatch);
  }
  for (uint32_t frame = kReceives; frame < kFrames; frame++) {
    uint8_t *at = port->memory + frame * kFrameSize;
    memset(at, 0x5a, (size_t)port->size);
    memset(at, 0xff, 6);
    at[12] = kEtherType >> 8;
    at[13] = kEtherType & 0xff;
    port->free[port->free_count++] = frame;
  }
}

int main(int argc, char **argv) {
  static struct port port = {.size = 64, .batch = 32, .window = 512};
  for (int i = 1; i < argc; i++) {
    if (sscanf(argv[i], "size=%d", &port.size) != 1 && sscanf(argv[i], "batch=%d", &port.batch) != 1 &&
        sscanf(argv[i], "window=%d", &port.window) != 1 && sscanf(argv[i], "direct=%d", &port.direct) != 1) {
      fprintf(stderr, "not understood: %s\n", argv[i]);
      return 2;
    }
  }
  if (port.size < 60 || port.size > kFrameSize || port.batch < 1 || port.batch > kMaxBatch) {
    fprintf(stderr, "size: 60 to %d, batch: 1 to %d\n", kFrameSize, kMaxBatch);
    return 2;
  }
  port_open(&port);
  if (port.direct) take_rings(&port);
  serve(answer, &port);
  return 0;
}
