// cc: -libverbs
// RC and UD ping-pong over two queue pairs of one process, busy polling: bench/harness/verbs/pingpong.ts in C.
//
//   pingpong a=rxe0 b=rxe1 type=RC size=64 inline=64
//   latency 1000 100  →  [p50, p99, mean]   ns of a round trip, over 1000 after 100 untimed
//   poll 100000 1000  →  [ns]               of one empty ibv_poll_cq
#include "pair.h"

enum { kSend = 0, kReceive = 1 };

struct pingpong {
  struct options options;
  struct end ends[2];
  struct ibv_send_wr send[2];
  struct ibv_sge send_sge[2];
  struct ibv_recv_wr receive[2];
  struct ibv_sge receive_sge[2];
  int unretired[2];
};

static inline void post_receive(struct pingpong *pingpong, int side) {
  struct ibv_recv_wr *bad;
  errno = ibv_post_recv(pingpong->ends[side].qp, &pingpong->receive[side], &bad);
  if (errno != 0) fail("ibv_post_recv");
}

static inline void post_send(struct pingpong *pingpong, int side) {
  struct ibv_send_wr *bad;
  errno = ibv_post_send(pingpong->ends[side].qp, &pingpong->send[side], &bad);
  if (errno != 0) fail("ibv_post_send");
  pingpong->unretired[side]++;
}

// Polls until `side` has received a message.
static inline void await_message(struct pingpong *pingpong, int side) {
  struct ibv_wc wc[kPollBatch];
  int received = 0;
  while (received == 0) {
    int count = ibv_poll_cq(pingpong->ends[side].cq, kPollBatch, wc);
    if (count < 0) fail("ibv_poll_cq");
    for (int i = 0; i < count; i++) {
      check(&wc[i]);
      if (wc[i].wr_id == kReceive) received++;
      else pingpong->unretired[side]--;
    }
  }
}

static inline void round_trip(struct pingpong *pingpong) {
  post_send(pingpong, 0);
  await_message(pingpong, 1);
  post_receive(pingpong, 1);
  post_send(pingpong, 1);
  await_message(pingpong, 0);
  post_receive(pingpong, 0);
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void settle(struct pingpong *pingpong) {
  struct ibv_wc wc[kPollBatch];
  for (int side = 0; side < 2; side++) {
    while (pingpong->unretired[side] > 0) {
      int count = ibv_poll_cq(pingpong->ends[side].cq, kPollBatch, wc);
      for (int i = 0; i < count; i++) check(&wc[i]);
      pingpong->unretired[side] -= count;
    }
  }
}

static void latency(struct pingpong *pingpong, long count, long warmup) {
  static uint64_t *stamps;
  static unsigned char round;
  const struct options *options = &pingpong->options;
  stamps = realloc(stamps, (size_t)(count + 1) * sizeof *stamps);
  if (stamps == NULL) fail("realloc");
  round++;
  for (int side = 0; side < 2; side++) memset(pingpong->ends[side].memory, round, (size_t)options->size);

  for (long i = 0; i < warmup; i++) round_trip(pingpong);
  // One reading of the clock for each round trip, like perftest.
  for (long i = 0; i < count; i++) {
    stamps[i] = now();
    round_trip(pingpong);
  }
  stamps[count] = now();

  settle(pingpong);
  for (int side = 0; side < 2; side++) {
    const char *got = pingpong->ends[side].receive_memory + (options->datagram ? kGrhSize : 0);
    if (memcmp(got, pingpong->ends[side].memory, (size_t)options->size) != 0) {
      fprintf(stderr, "the bytes that arrived are not those that were sent\n");
      exit(1);
    }
  }
  double mean = (double)(stamps[count] - stamps[0]) / (double)count;
  for (long i = 0; i < count; i++) stamps[i] = stamps[i + 1] - stamps[i];
  qsort(stamps, (size_t)count, sizeof *stamps, compare);
  // Nearest rank, like percentile() in bench/harness/statistics.ts.
  printf("[%llu, %llu, %.1f]\n", (unsigned long long)stamps[(count * 50 + 99) / 100 - 1],
         (unsigned long long)stamps[(count * 99 + 99) / 100 - 1], mean);
}

static void answer(const char *command, long count, long warmup, void *context) {
  struct pingpong *pingpong = context;
  if (!strcmp(command, "latency")) {
    latency(pingpong, count, warmup);
  } else if (!strcmp(command, "poll")) {
    if (warmup > 0) empty_poll(pingpong->ends[0].cq, warmup);
    printf("[%.3f]\n", empty_poll(pingpong->ends[0].cq, count));
  } else {
    fprintf(stderr, "unknown command %s\n", command);
    exit(2);
  }
}

int main(int argc, char **argv) {
  static struct pingpong pingpong = {
      .options = {.gid_index = {-1, -1}, .size = 64, .send_depth = 16, .receive_depth = 16}};
  struct options *options = &pingpong.options;
  parse(options, argc, argv);
  open_pair(pingpong.ends, options);
  for (int side = 0; side < 2; side++) {
    struct end *end = &pingpong.ends[side];
    int header = options->datagram ? kGrhSize : 0;
    pingpong.send_sge[side] = (struct ibv_sge){(uintptr_t)end->memory, (uint32_t)options->size, end->mr->lkey};
    pingpong.receive_sge[side] =
        (struct ibv_sge){(uintptr_t)end->receive_memory, (uint32_t)(options->size + header), end->mr->lkey};
    pingpong.send[side] = (struct ibv_send_wr){
        .wr_id = kSend,
        .sg_list = &pingpong.send_sge[side],
        .num_sge = 1,
        .opcode = IBV_WR_SEND,
        .send_flags = IBV_SEND_SIGNALED | (options->size <= options->inlined ? IBV_SEND_INLINE : 0)};
    if (options->datagram) {
      pingpong.send[side].wr.ud.ah = end->ah;
      pingpong.send[side].wr.ud.remote_qpn = end->remote_qpn;
      pingpong.send[side].wr.ud.remote_qkey = kQkey;
    }
    pingpong.receive[side] =
        (struct ibv_recv_wr){.wr_id = kReceive, .sg_list = &pingpong.receive_sge[side], .num_sge = 1};
    for (int i = 0; i < options->receive_depth; i++) post_receive(&pingpong, side);
  }
  serve(answer, &pingpong);
  close_pair(pingpong.ends);
}
