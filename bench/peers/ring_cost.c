// The user's part of moving frames on AF_XDP's rings, in plain memory: bench/harness/ethernet/ring-worker.ts in C.
//
//   ring_cost batch=32
//   tx|rx|look|poll COUNT WARMUP  →  [ns a frame]; see there
#include <stdatomic.h>

#include "serve.h"

enum { kFrames = 2048, kShift = 11, kSize = 64 };

struct descriptor {
  uint64_t address;
  uint32_t length, options;
};

struct ring {
  _Alignas(64) _Atomic uint32_t producer;
  _Alignas(64) _Atomic uint32_t consumer;
  _Alignas(64) uint32_t next;
  union {
    uint64_t addresses[kFrames];
    struct descriptor descriptors[kFrames];
  };
};

static struct ring fill, receive, transmit, completion;
static uint64_t spare[kFrames], sending[kFrames];
static int spares, sendable;
static uint32_t given, sent;
static int batch = 32;
static volatile uint64_t sink;

#define LOAD(index) atomic_load_explicit(&(index), memory_order_acquire)
#define STORE(index, value) atomic_store_explicit(&(index), value, memory_order_release)

// The mock kernel, as in mock-port.ts: it moves addresses for one lap, then the indices only.
static __attribute__((noinline)) void deliver(int count) {
  if (given < kFrames) {
    for (uint32_t i = 0; i < (uint32_t)count; i++) {
      uint32_t place = (given + i) % kFrames;
      receive.descriptors[place] = (struct descriptor){.address = fill.addresses[place], .length = kSize};
    }
  }
  given += (uint32_t)count;
  STORE(receive.producer, given);
  STORE(fill.consumer, given);
}

static __attribute__((noinline)) void kick(void) {
  uint32_t end = LOAD(transmit.producer);
  if (sent < kFrames) {
    for (uint32_t i = sent; i != end; i++) {
      completion.addresses[i % kFrames] = transmit.descriptors[i % kFrames].address;
    }
  }
  sent = end;
  STORE(transmit.consumer, end);
  STORE(completion.producer, end);
}

static void refill(void) {
  while (spares > 0) fill.addresses[fill.next++ % kFrames] = spare[--spares];
  STORE(fill.producer, fill.next);
}

static void send_frames(long total) {
  for (long done = 0; done < total; done += batch) {
    for (int i = 0; i < batch; i++) {
      transmit.descriptors[transmit.next++ % kFrames] =
          (struct descriptor){.address = sending[--sendable], .length = kSize};
    }
    STORE(transmit.producer, transmit.next);
    kick();
    for (uint32_t end = LOAD(completion.producer); completion.next != end;) {
      sending[sendable++] = completion.addresses[completion.next++ % kFrames];
    }
    STORE(completion.consumer, completion.next);
  }
}

static void receive_frames(long total, int look) {
  for (long done = 0; done < total; done += batch) {
    deliver(batch);
    uint32_t end = LOAD(receive.producer);
    refill();
    uint64_t seen = 0;
    while (receive.next != end) {
      const struct descriptor *descriptor = &receive.descriptors[receive.next++ % kFrames];
      if (look) seen += descriptor->address + descriptor->length;
      spare[spares++] = descriptor->address;
    }
    sink = seen;
    STORE(receive.consumer, receive.next);
  }
}

static void poll_empty(long total) {
  uint64_t seen = 0;
  for (long i = 0; i < total; i++) seen += LOAD(receive.producer) - receive.next;
  sink = seen;
}

static void run(const char *command, long total) {
  if (!strcmp(command, "tx")) send_frames(total);
  else if (!strcmp(command, "rx")) receive_frames(total, 0);
  else if (!strcmp(command, "look")) receive_frames(total, 1);
  else if (!strcmp(command, "poll")) poll_empty(total);
  else exit(2);
}

static void answer(const char *command, long count, long warmup, void *context) {
  (void)context;
  run(command, warmup);
  uint64_t begin = now();
  run(command, count);
  printf("[%.4f]\n", (double)(now() - begin) / (double)count);
}

int main(int argc, char **argv) {
  if (argc != 2 || sscanf(argv[1], "batch=%d", &batch) != 1 || batch < 1 || kFrames % batch != 0) return 2;
  for (uint64_t i = 0; i < kFrames; i++) sending[sendable++] = spare[spares++] = i << kShift;
  refill();
  serve(answer, NULL);
}
