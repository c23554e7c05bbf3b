// The peers of raw Ethernet, for any kind of socket: bench/harness/ethernet/worker.ts in C.
//
//   PEER in=eth0 out=eth1 to=MAC size=64 batch=32 …      one or both interfaces, depending on the request
//   tx 20000 1000         →  [frames a second]           20000 after 1000 untimed
//   rx 20000 1000         →  [frames a second]           while another process floods
//   forward 20000 1000    →  [frames a second]           in by `in`, one byte changed, out by `out`
//   service 20000 1000    →  [p50, p99, p99.9]           µs from a poll that finds frames until all are sent
//   look 20000 1000       →  [ns]                        a poll that finds nothing: nobody sends
//   round-trip 2000 100   →  [p50, p99]                  µs; another process reflects
//   reflect 2000 100      →  [frames]                    back to their sender
//   flood 0|RATE 0        …  stop  →  [frames]           frames a second, 0: as fast as it goes
//
// A file that includes this first defines a port:
//   port_open(port, options, name, receive)   port_receive(port, frames, max): valid until the next call
//   port_claim(port, frames, count)           port_send(port, frames, count): all of them, claimed or received
//   port_release(port, frames, count)
#pragma once

#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve.h"

enum { kMaxBatch = 256, kEtherType = 0x88b5, kSequence = 14 };
static const uint64_t kPatience = 10000000000u;

struct frame {
  uint8_t *data;
  uint32_t length;
};

struct options {
  const char *in, *out;
  uint8_t to[6];
  int size, batch;
  const char *ring;
  const char *duties;
};

struct port;
static void port_open(struct port *port, const struct options *options, const char *name, int receive);
static inline int port_receive(struct port *port, struct frame *frames, int max);
static inline void port_claim(struct port *port, struct frame *frames, int count);
static inline void port_send(struct port *port, struct frame *frames, int count);
static inline void port_release(struct port *port, struct frame *frames, int count);

static void hardware_address(const char *name, uint8_t *address) {
  struct ifreq request = {0};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request)) fail(name);
  memcpy(address, request.ifr_hwaddr.sa_data, 6);
  close(fd);
}

// Writes the frame to send, except for its sequence number.
static void write_frame(uint8_t *at, const struct options *options) {
  memset(at, 0x5a, (size_t)options->size);
  memcpy(at, options->to, 6);
  hardware_address(options->out, at + 6);
  at[12] = kEtherType >> 8;
  at[13] = kEtherType & 0xff;
}

static inline void check_frame(const struct frame *frame, const struct options *options) {
  if (frame->length == (uint32_t)options->size && frame->data[12] == kEtherType >> 8) return;
  fprintf(stderr, "a frame of %u bytes that nobody sent\n", frame->length);
  exit(1);
}

static inline void stamp(struct frame *frame, const struct options *options, uint32_t sequence) {
  frame->length = (uint32_t)options->size;
  memcpy(frame->data + kSequence, &sequence, sizeof sequence);
}

// Exits after a silence so long that frames must be lost.
static inline void wait_longer(uint64_t *since) {
  if (*since == 0) *since = now();
  else if (now() - *since > kPatience) {
    fprintf(stderr, "no frame came\n");
    exit(1);
  }
}

// Polls until frames arrive. Reads the clock once in 4096 empty polls.
static inline int await_frames(struct port *port, struct frame *frames, int max) {
  uint64_t since = 0;
  for (uint32_t looks = 1;; looks++) {
    int count = port_receive(port, frames, max);
    if (count > 0) return count;
    if ((looks & 4095) == 0) wait_longer(&since);
  }
}

static void transmit(struct port *out, const struct options *options, long total) {
  static uint32_t sequence;
  struct frame frames[kMaxBatch];
  for (long sent = 0; sent < total;) {
    int count = total - sent < options->batch ? (int)(total - sent) : options->batch;
    port_claim(out, frames, count);
    for (int i = 0; i < count; i++) stamp(&frames[i], options, sequence++);
    port_send(out, frames, count);
    sent += count;
  }
}

static void receive(struct port *in, const struct options *options, long total) {
  struct frame frames[kMaxBatch];
  for (long received = 0; received < total;) {
    int count = await_frames(in, frames, options->batch);
    for (int i = 0; i < count; i++) check_frame(&frames[i], options);
    port_release(in, frames, count);
    received += count;
  }
}

static void forward(struct port *in, struct port *out, const struct options *options, long total) {
  struct frame frames[kMaxBatch];
  for (long received = 0; received < total;) {
    int count = await_frames(in, frames, options->batch);
    for (int i = 0; i < count; i++) frames[i].data[options->size - 1] ^= 1;
    port_send(out, frames, count);
    received += count;
  }
}

static void look(struct port *in, long total) {
  struct frame frame;
  for (long looks = 0; looks < total; looks++) {
    if (port_receive(in, &frame, 1) == 0) continue;
    fprintf(stderr, "a frame came\n");
    exit(1);
  }
}

static void reflect(struct port *in, const struct options *options, long total) {
  struct frame frames[kMaxBatch];
  uint8_t address[6];
  for (long received = 0; received < total;) {
    int count = await_frames(in, frames, options->batch);
    for (int i = 0; i < count; i++) {
      memcpy(address, frames[i].data, 6);
      memcpy(frames[i].data, frames[i].data + 6, 6);
      memcpy(frames[i].data + 6, address, 6);
    }
    port_send(in, frames, count);
    received += count;
  }
}

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

// Nearest rank, as in bench/harness/statistics.ts; ns to µs.
static double percentile(const uint64_t *sorted, long count, long hundredths) {
  long rank = (hundredths * count + 9999) / 10000;
  return (double)sorted[rank < 1 ? 0 : rank - 1] * 1e-3;
}

static uint64_t *times;
static long timed;

static void service(struct port *in, struct port *out, const struct options *options, long total) {
  struct frame frames[kMaxBatch];
  uint64_t since = 0;
  uint32_t looks = 0;
  timed = 0;
  for (long received = 0; received < total;) {
    int count = port_receive(in, frames, options->batch);
    if (count == 0) {
      if ((++looks & 4095) == 0) wait_longer(&since);
      continue;
    }
    uint64_t begin = now();
    since = 0;
    for (int i = 0; i < count; i++) frames[i].data[options->size - 1] ^= 1;
    port_send(out, frames, count);
    times[timed++] = now() - begin;
    received += count;
  }
}

static void round_trips(struct port *port, const struct options *options, long total) {
  static uint32_t sequence;
  static uint8_t template[2048];
  struct frame frame;
  uint32_t echoed;
  write_frame(template, options);
  for (timed = 0; timed < total; timed++) {
    uint64_t begin = now();
    port_claim(port, &frame, 1);
    memcpy(frame.data, template, kSequence);  // the slot may hold a frame received last
    stamp(&frame, options, ++sequence);
    port_send(port, &frame, 1);
    await_frames(port, &frame, 1);
    times[timed] = now() - begin;
    memcpy(&echoed, frame.data + kSequence, sizeof echoed);
    check_frame(&frame, options);
    if (echoed != sequence) {
      fprintf(stderr, "frame %u came back as %u\n", sequence, echoed);
      exit(1);
    }
    port_release(port, &frame, 1);
  }
}

// Floods until a line of input arrives. With a rate, each frame leaves at its due time, in the batch that is due.
static long flood(struct port *out, const struct options *options, long rate) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  struct options one = *options;
  char line[64];
  long sent = 0, looked = 0;
  uint64_t begin = now();
  for (;;) {
    long due = rate == 0 ? sent + options->batch : (long)((double)(now() - begin) * 1e-9 * (double)rate);
    if (due - sent > options->batch) due = sent + options->batch;
    if (due > sent) {
      one.batch = (int)(due - sent);
      transmit(out, &one, due - sent);
      sent = due;
    }
    if (sent - looked < 64) continue;
    looked = sent;
    if (poll(&input, 1, 0) == 0) continue;
    if (fgets(line, sizeof line, stdin) == NULL) exit(0);
    return sent;
  }
}

struct peer {
  struct options options;
  struct port *in, *out;
};

static void answer(const char *command, long count, long warmup, void *context) {
  struct peer *peer = context;
  const struct options *options = &peer->options;
  struct port *in = peer->in, *out = peer->out;
  if (!strcmp(command, "flood")) {
    printf("[%ld]\n", flood(out, options, count));
    return;
  }
  if (!strcmp(command, "reflect")) {
    reflect(in, options, count + warmup);
    printf("[%ld]\n", count + warmup);
    return;
  }
  times = realloc(times, (size_t)(count + warmup) * sizeof *times);
  if (times == NULL) fail("realloc");
  if (!strcmp(command, "round-trip") || !strcmp(command, "service")) {
    int trip = command[0] == 'r';
    for (int timing = 0; timing < 2; timing++) {
      long total = timing ? count : warmup;
      if (trip) round_trips(in, options, total);
      else service(in, out, options, total);
    }
    qsort(times, (size_t)timed, sizeof *times, by_value);
    printf("[%.3f,%.3f", percentile(times, timed, 5000), percentile(times, timed, 9900));
    if (!trip) printf(",%.3f", percentile(times, timed, 9990));
    printf("]\n");
    return;
  }
  uint64_t begin = 0;
  for (int timing = 0; timing < 2; timing++) {
    long total = timing ? count : warmup;
    if (timing) begin = now();
    if (!strcmp(command, "tx")) transmit(out, options, total);
    else if (!strcmp(command, "rx")) receive(in, options, total);
    else if (!strcmp(command, "forward")) forward(in, out, options, total);
    else if (!strcmp(command, "look")) look(in, total);
    else exit(2);
  }
  const double each = (double)(now() - begin) / (double)count;
  printf("[%.1f]\n", strcmp(command, "look") ? 1e9 / each : each);
}

static void parse(struct options *options, int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char *value = strchr(argv[i], '=');
    if (value == NULL) goto unknown;
    *value++ = 0;
    const char *key = argv[i];
    uint8_t *to = options->to;
    if (!strcmp(key, "in")) options->in = value;
    else if (!strcmp(key, "out")) options->out = value;
    else if (!strcmp(key, "size")) options->size = atoi(value);
    else if (!strcmp(key, "batch")) options->batch = atoi(value);
    else if (!strcmp(key, "ring")) options->ring = value;
    else if (!strcmp(key, "duties")) options->duties = value;
    else if (!strcmp(key, "to") &&
             sscanf(value, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", to, to + 1, to + 2, to + 3, to + 4, to + 5) == 6)
      ;
    else goto unknown;
    continue;
  unknown:
    fprintf(stderr, "unknown option %s\n", argv[i]);
    exit(2);
  }
  if (options->batch < 1 || options->batch > kMaxBatch || options->size < 60 || options->size > 1514) exit(2);
}
