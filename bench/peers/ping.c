// cc: -libverbs
// One end of an RC ping-pong between two processes, busy polling: `ibverbs ping` (lib/cli/ping) in C, with its flags,
// its rule for a sample and its protocol, so that either may be the other's peer.
//
//   ping a=rxe0 gid=1 port=18515 size=64 inline=64 count=1000 warmup=100             the server
//   ping … host=127.0.0.1  →  [p50, p99, p99.9, mean]                                the client: ns of a round trip
#include <arpa/inet.h>
#include <infiniband/verbs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve.h"

enum { kSend = 2, kReceive = 1 };
// The text of an address, with its zero byte: rdma-core's libibverbs/examples/rc_pingpong.c.
enum { kMessage = sizeof "0000:000000:000000:00000000000000000000000000000000" };

struct options {
  const char *device, *host;
  int gid_index, port, size, inlined, depth;
  long count, warmup;
};

static void parse(struct options *options, int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char *value = strchr(argv[i], '=');
    if (value == NULL) goto unknown;
    *value++ = 0;
    const char *key = argv[i];
    if (!strcmp(key, "a")) options->device = value;
    else if (!strcmp(key, "host")) options->host = value;
    else if (!strcmp(key, "gid")) options->gid_index = atoi(value);
    else if (!strcmp(key, "port")) options->port = atoi(value);
    else if (!strcmp(key, "size")) options->size = atoi(value);
    else if (!strcmp(key, "inline")) options->inlined = atoi(value);
    else if (!strcmp(key, "depth")) options->depth = atoi(value);
    else if (!strcmp(key, "count")) options->count = atol(value);
    else if (!strcmp(key, "warmup")) options->warmup = atol(value);
    else goto unknown;
    continue;
  unknown:
    fprintf(stderr, "unknown option %s\n", argv[i]);
    exit(2);
  }
  if (options->device == NULL || options->count <= options->warmup) {
    fprintf(stderr, "usage: a=DEVICE [gid=N port=N size=N inline=N depth=N count=N warmup=N host=ADDRESS]\n");
    exit(2);
  }
}

struct address {
  unsigned lid, qpn, psn;
  union ibv_gid gid;
};

static struct {
  struct options options;
  struct ibv_context *context;
  struct ibv_pd *pd;
  struct ibv_mr *mr;
  struct ibv_cq *cq;
  struct ibv_qp *qp;
  struct address own, peer;
  char *memory;  // received into, then sent from: `size` bytes each
  int posted;
} ping;

static void transfer(int socket, char *bytes, size_t count, int receive) {
  for (size_t done = 0; done < count;) {
    ssize_t some = receive ? read(socket, bytes + done, count - done) : write(socket, bytes + done, count - done);
    if (some == 0) errno = ECONNRESET;
    if (some <= 0) fail("the exchange of addresses");
    done += (size_t)some;
  }
}

static void send_address(int socket) {
  char text[kMessage];
  int length = snprintf(text, sizeof text, "%04x:%06x:%06x:", ping.own.lid, ping.own.qpn, ping.own.psn);
  for (int i = 0; i < 16; i++) length += snprintf(text + length, 3, "%02x", ping.own.gid.raw[i]);
  transfer(socket, text, kMessage, 0);
}

static void receive_address(int socket) {
  char text[kMessage];
  transfer(socket, text, kMessage, 1);
  if (sscanf(text, "%x:%x:%x:", &ping.peer.lid, &ping.peer.qpn, &ping.peer.psn) != 3) fail("the peer's address");
  for (int i = 0; i < 16; i++) {
    unsigned byte;
    if (sscanf(text + kMessage - 33 + 2 * i, "%2x", &byte) != 1) fail("the peer's GID");
    ping.peer.gid.raw[i] = (uint8_t)byte;
  }
}

static void open_end(void) {
  const struct options *options = &ping.options;
  int count;
  struct ibv_device **list = ibv_get_device_list(&count);
  if (list == NULL) fail("ibv_get_device_list");
  for (int i = 0; i < count; i++) {
    if (!strcmp(ibv_get_device_name(list[i]), options->device)) ping.context = ibv_open_device(list[i]);
  }
  if (ping.context == NULL) fail(options->device);
  ibv_free_device_list(list);
  ping.pd = ibv_alloc_pd(ping.context);
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t bytes = (2 * (size_t)options->size + page - 1) / page * page;
  ping.memory = aligned_alloc(page, bytes);
  if (ping.pd == NULL || ping.memory == NULL) fail("memory");
  memset(ping.memory, 0x7b, bytes);
  ping.mr = ibv_reg_mr(ping.pd, ping.memory, bytes, IBV_ACCESS_LOCAL_WRITE);
  if (ping.mr == NULL) fail("ibv_reg_mr");
  ping.cq = ibv_create_cq(ping.context, options->depth + 1, NULL, NULL, 0);
  if (ping.cq == NULL) fail("ibv_create_cq");
  struct ibv_qp_init_attr init = {
      .send_cq = ping.cq,
      .recv_cq = ping.cq,
      .qp_type = IBV_QPT_RC,
      .cap = {.max_send_wr = 1,
              .max_recv_wr = (uint32_t)options->depth,
              .max_send_sge = 1,
              .max_recv_sge = 1,
              .max_inline_data = (uint32_t)options->inlined},
  };
  ping.qp = ibv_create_qp(ping.pd, &init);
  if (ping.qp == NULL) fail("ibv_create_qp");
  struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1};
  errno = ibv_modify_qp(ping.qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
  if (errno != 0) fail("INIT");
  struct ibv_port_attr port;
  if (ibv_query_port(ping.context, 1, &port) != 0) fail("ibv_query_port");
  ping.own = (struct address){.lid = port.lid, .qpn = ping.qp->qp_num, .psn = 0x123456};
  if (ibv_query_gid(ping.context, 1, options->gid_index, &ping.own.gid) != 0) fail("ibv_query_gid");
}

static void connect_end(void) {
  struct ibv_qp_attr ready = {
      .qp_state = IBV_QPS_RTR,
      .path_mtu = IBV_MTU_1024,
      .dest_qp_num = ping.peer.qpn,
      .rq_psn = ping.peer.psn,
      .max_dest_rd_atomic = 1,
      .min_rnr_timer = 12,
      .ah_attr = {.is_global = 1,
                  .grh = {.dgid = ping.peer.gid, .sgid_index = (uint8_t)ping.options.gid_index, .hop_limit = 64},
                  .dlid = (uint16_t)ping.peer.lid,
                  .port_num = 1},
  };
  errno = ibv_modify_qp(ping.qp, &ready,
                        IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                            IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
  if (errno != 0) fail("RTR");
  struct ibv_qp_attr send = {.qp_state = IBV_QPS_RTS,
                             .sq_psn = ping.own.psn,
                             .timeout = 14,
                             .retry_cnt = 7,
                             .rnr_retry = 7,
                             .max_rd_atomic = 1};
  errno = ibv_modify_qp(
      ping.qp, &send,
      IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
  if (errno != 0) fail("RTS");
}

// Keeps `depth` receives posted, like lib/cli/ping/loop.ts: all again when one is left.
static void post_receives(void) {
  struct ibv_sge sge = {(uintptr_t)ping.memory, (uint32_t)ping.options.size, ping.mr->lkey};
  struct ibv_recv_wr request = {.wr_id = kReceive, .sg_list = &sge, .num_sge = 1}, *bad;
  for (; ping.posted < ping.options.depth; ping.posted++) {
    errno = ibv_post_recv(ping.qp, &request, &bad);
    if (errno != 0) fail("ibv_post_recv");
  }
}

static void post_send(void) {
  const struct options *options = &ping.options;
  struct ibv_sge sge = {(uintptr_t)ping.memory + (uintptr_t)options->size, (uint32_t)options->size, ping.mr->lkey};
  struct ibv_send_wr request = {
      .wr_id = kSend,
      .sg_list = &sge,
      .num_sge = 1,
      .opcode = IBV_WR_SEND,
      .send_flags = IBV_SEND_SIGNALED | (options->size <= options->inlined ? IBV_SEND_INLINE : 0)};
  struct ibv_send_wr *bad;
  errno = ibv_post_send(ping.qp, &request, &bad);
  if (errno != 0) fail("ibv_post_send");
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

// Nearest rank, like percentile() in lib/lab/percentiles.ts; `per` in thousandths.
static uint64_t percentile(const uint64_t *sorted, long count, long per) {
  return sorted[(count * per + 999) / 1000 - 1];
}

static void run(void) {
  const struct options *options = &ping.options;
  int client = options->host != NULL;
  uint64_t *samples = malloc((size_t)options->count * sizeof *samples), posted_at = 0;
  if (samples == NULL) fail("malloc");
  // The pages are there before the first sample.
  memset(samples, 0, (size_t)options->count * sizeof *samples);
  long sent = 0, received = 0, sampled = 0;
  int answered = 0, completed = 1;
  uint64_t time = now();
  if (client) {
    posted_at = time;
    post_send();
    completed = 0;
  }
  while (sent < options->count || received < options->count) {
    struct ibv_wc wc[2];
    int found = ibv_poll_cq(ping.cq, 2, wc);
    if (found < 0) fail("ibv_poll_cq");
    if (found == 0) continue;
    for (int i = 0; i < found; i++) {
      if (wc[i].status != IBV_WC_SUCCESS) {
        fprintf(stderr, "completion failed: %s\n", ibv_wc_status_str(wc[i].status));
        exit(1);
      }
      if (wc[i].wr_id == kSend) {
        sent++;
        completed = 1;
      } else {
        time = now();
        if (posted_at != 0 && received >= options->warmup) samples[sampled++] = time - posted_at;
        received++;
        answered = 1;
        if (--ping.posted <= 1) post_receives();
      }
      if (answered && completed && sent < options->count) {
        posted_at = time;
        post_send();
        answered = completed = 0;
      }
    }
  }
  if (!client) return;
  double sum = 0;
  for (long i = 0; i < sampled; i++) sum += (double)samples[i];
  qsort(samples, (size_t)sampled, sizeof *samples, compare);
  printf("[%llu, %llu, %llu, %.1f]\n", (unsigned long long)percentile(samples, sampled, 500),
         (unsigned long long)percentile(samples, sampled, 990), (unsigned long long)percentile(samples, sampled, 999),
         sum / (double)sampled);
}

// The server connects before it answers: the client sends at once.
static void meet(void) {
  int one = 1, done = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ping.options.port)};
  if (done < 0) fail("socket");
  if (ping.options.host != NULL) {
    if (inet_pton(AF_INET, ping.options.host, &at.sin_addr) != 1) fail(ping.options.host);
    if (connect(done, (struct sockaddr *)&at, sizeof at) != 0) fail("connect");
    setsockopt(done, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    send_address(done);
    receive_address(done);
    connect_end();
    char text[] = "done";
    transfer(done, text, sizeof text, 0);
  } else {
    setsockopt(done, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(done, (struct sockaddr *)&at, sizeof at) != 0 || listen(done, 1) != 0) fail("listen");
    fprintf(stderr, "waiting for a client on TCP port %d\n", ping.options.port);
    int client = accept(done, NULL, NULL);
    if (client < 0) fail("accept");
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    receive_address(client);
    connect_end();
    send_address(client);
    char text[sizeof "done"];
    transfer(client, text, sizeof text, 1);
    close(client);
  }
  close(done);
}

int main(int argc, char **argv) {
  ping.options = (struct options){.port = 18515, .size = 64, .depth = 500, .count = 1000, .warmup = 100};
  parse(&ping.options, argc, argv);
  open_end();
  post_receives();
  meet();
  run();
  struct ibv_qp_attr error = {.qp_state = IBV_QPS_ERR};
  ibv_modify_qp(ping.qp, &error, IBV_QP_STATE);
  ibv_destroy_qp(ping.qp);
  ibv_destroy_cq(ping.cq);
  ibv_dereg_mr(ping.mr);
  ibv_dealloc_pd(ping.pd);
  ibv_close_device(ping.context);
  return 0;
}
