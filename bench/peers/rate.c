// cc: -libverbs
// RC messages per second over two queue pairs of one process: bench/harness/verbs/rate.ts in C.
//
//   rate a=rxe0 b=rxe1 operation=send|write size=64 inline=64 batch=32 signal=32 send-depth=128 receive-depth=256
//   rate 20000 1000  →  [messages a second]   over 20000 after 1000 untimed; multiples of the batch
#include "pair.h"

struct rate {
  struct options options;
  struct end ends[2];
  struct ibv_send_wr *send;
  struct ibv_sge send_sge;
  struct ibv_recv_wr *receive;
  struct ibv_sge receive_sge;
};

// Posts a batch of receives as one list, once that many have been consumed.
static inline void post_receives(struct rate *rate) {
  struct ibv_recv_wr *bad;
  errno = ibv_post_recv(rate->ends[1].qp, rate->receive, &bad);
  if (errno != 0) fail("ibv_post_recv");
}

static void transfer(struct rate *rate, long total) {
  const struct options *options = &rate->options;
  struct ibv_send_wr *bad;
  struct ibv_wc wc[kPollBatch];
  long posted = 0, retired = 0, received = 0, reposted = 0;
  while (retired < total || (!options->write && received < total)) {
    // The second condition keeps the receive queue from running empty, which would cost an RNR timer.
    while (posted < total && posted - retired + options->batch <= options->send_depth &&
           (options->write || posted - reposted + options->batch <= options->receive_depth)) {
      errno = ibv_post_send(rate->ends[0].qp, rate->send, &bad);
      if (errno != 0) fail("ibv_post_send");
      posted += options->batch;
    }
    int count = ibv_poll_cq(rate->ends[0].cq, kPollBatch, wc);
    for (int i = 0; i < count; i++) check(&wc[i]);
    retired += (long)count * options->signal;
    if (options->write) continue;
    count = ibv_poll_cq(rate->ends[1].cq, kPollBatch, wc);
    for (int i = 0; i < count; i++) check(&wc[i]);
    received += count;
    while (received - reposted >= options->batch) {
      post_receives(rate);
      reposted += options->batch;
    }
  }
}

static void answer(const char *command, long count, long warmup, void *context) {
  struct rate *rate = context;
  const struct options *options = &rate->options;
  static unsigned char round;
  if (strcmp(command, "rate") != 0 || count % options->batch != 0 || warmup % options->batch != 0) {
    fprintf(stderr, "want: rate COUNT WARMUP, multiples of %d\n", options->batch);
    exit(2);
  }
  memset(rate->ends[0].memory, ++round, (size_t)options->size);
  if (warmup > 0) transfer(rate, warmup);
  uint64_t begin = now();
  transfer(rate, count);
  uint64_t end = now();
  if (memcmp(rate->ends[1].receive_memory, rate->ends[0].memory, (size_t)options->size) != 0) {
    fprintf(stderr, "the bytes that arrived are not those that were sent\n");
    exit(1);
  }
  printf("[%.1f]\n", (double)count * 1e9 / (double)(end - begin));
}

int main(int argc, char **argv) {
  static struct rate rate = {
      .options = {
          .gid_index = {-1, -1}, .size = 64, .batch = 32, .signal = 32, .send_depth = 128, .receive_depth = 256}};
  struct options *options = &rate.options;
  parse(options, argc, argv);
  if (options->batch % options->signal != 0 || options->receive_depth % options->batch != 0) {
    fprintf(stderr, "batch must be a multiple of signal, and receive-depth of batch\n");
    return 2;
  }
  open_pair(rate.ends, options);
  struct end *a = &rate.ends[0], *b = &rate.ends[1];
  rate.send_sge = (struct ibv_sge){(uintptr_t)a->memory, (uint32_t)options->size, a->mr->lkey};
  rate.receive_sge = (struct ibv_sge){(uintptr_t)b->receive_memory, (uint32_t)options->size, b->mr->lkey};
  rate.send = calloc((size_t)options->batch, sizeof *rate.send);
  rate.receive = calloc((size_t)options->batch, sizeof *rate.receive);
  if (rate.send == NULL || rate.receive == NULL) fail("calloc");
  for (int i = 0; i < options->batch; i++) {
    int last = i == options->batch - 1;
    rate.send[i] = (struct ibv_send_wr){
        .next = last ? NULL : &rate.send[i + 1],
        .sg_list = &rate.send_sge,
        .num_sge = 1,
        .opcode = options->write ? IBV_WR_RDMA_WRITE : IBV_WR_SEND,
        .send_flags = ((i + 1) % options->signal == 0 ? IBV_SEND_SIGNALED : 0) |
                      (options->size <= options->inlined ? IBV_SEND_INLINE : 0),
        .wr.rdma = {(uintptr_t)b->receive_memory, b->mr->rkey},
    };
    rate.receive[i] =
        (struct ibv_recv_wr){.next = last ? NULL : &rate.receive[i + 1], .sg_list = &rate.receive_sge, .num_sge = 1};
  }
  for (int i = 0; !options->write && i < options->receive_depth; i += options->batch) post_receives(&rate);
  serve(answer, &rate);
  close_pair(rate.ends);
}
