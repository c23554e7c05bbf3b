// Raw Ethernet frames by AF_XDP, in the plainest fast way: the kernel's interface itself (linux/if_xdp.h), no libxdp.
// frames.h defines the requests. One memory for both ports, so that nothing is copied between them.
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "frames.h"

enum { kFrames = 4096, kFrameSize = 2048, kRing = 2048, kReceiveFrames = 2048 };
// Since Linux 6.17; Debian's headers lack it. Without it one call sends 32 frames.
enum { kMaxTransmitBudget = 9 };

struct ring {
  _Atomic uint32_t *producer, *consumer, *flags;
  void *records;
  uint32_t mask;
  uint32_t next;
};

struct port {
  int fd, map, link;
  struct ring fill, receive, transmit, completion;
  int filled;
};

static uint8_t *memory;
static uint64_t spare[kFrames];
static int spares;

static void map_ring(struct port *port, struct ring *ring, off_t page, const struct xdp_ring_offset *at, size_t record,
                     uint32_t size) {
  size_t bytes = at->desc + size * record;
  uint8_t *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, port->fd, page);
  if (base == MAP_FAILED) fail("mmap");
  ring->producer = (void *)(base + at->producer);
  ring->consumer = (void *)(base + at->consumer);
  ring->flags = (void *)(base + at->flags);
  ring->records = base + at->desc;
  ring->mask = size - 1;
}

static void set(struct port *port, int option, const void *value, socklen_t length, const char *what) {
  if (setsockopt(port->fd, SOL_XDP, option, value, length)) fail(what);
}

static int bpf(int command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

// Redirects every frame of the queue to the socket.
static void attach(struct port *port, uint32_t interface) {
  union bpf_attr map = {.map_type = BPF_MAP_TYPE_XSKMAP, .key_size = 4, .value_size = 4, .max_entries = 1};
  port->map = bpf(BPF_MAP_CREATE, &map);
  if (port->map < 0) fail("BPF_MAP_CREATE");
  struct bpf_insn program[] = {
      {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = offsetof(struct xdp_md, rx_queue_index)},
      {.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = port->map},
      {0},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
      {.code = BPF_JMP | BPF_EXIT},
  };
  union bpf_attr load = {.prog_type = BPF_PROG_TYPE_XDP,
                         .expected_attach_type = BPF_XDP,
                         .insns = (uintptr_t)program,
                         .insn_cnt = sizeof program / sizeof program[0],
                         .license = (uintptr_t)"GPL"};
  int fd = bpf(BPF_PROG_LOAD, &load);
  if (fd < 0) fail("BPF_PROG_LOAD");
  union bpf_attr link = {
      .link_create = {
          .prog_fd = (uint32_t)fd, .target_ifindex = interface, .attach_type = BPF_XDP, .flags = XDP_FLAGS_DRV_MODE}};
  port->link = bpf(BPF_LINK_CREATE, &link);
  if (port->link < 0) fail("BPF_LINK_CREATE");
  uint32_t key = 0, value = (uint32_t)port->fd;
  union bpf_attr update = {.map_fd = (uint32_t)port->map, .key = (uintptr_t)&key, .value = (uintptr_t)&value};
  if (bpf(BPF_MAP_UPDATE_ELEM, &update)) fail("BPF_MAP_UPDATE_ELEM");
  close(fd);
}

static void refill(struct port *port) {
  struct ring *fill = &port->fill;
  uint64_t *addresses = fill->records;
  while (port->filled < kReceiveFrames && spares > 0) {
    addresses[fill->next++ & fill->mask] = spare[--spares];
    port->filled++;
  }
  atomic_store_explicit(fill->producer, fill->next, memory_order_release);
}

static void port_open(struct port *port, const struct options *options, const char *name, int receive) {
  (void)options;
  static const uint32_t size = kRing, completions = kFrames;
  uint32_t interface = if_nametoindex(name);
  if (interface == 0) fail(name);
  port->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (port->fd < 0) fail("socket");
  struct xdp_umem_reg umem = {
      .addr = (uintptr_t)memory, .len = (uint64_t)kFrames * kFrameSize, .chunk_size = kFrameSize};
  set(port, XDP_UMEM_REG, &umem, sizeof umem, "XDP_UMEM_REG");
  set(port, XDP_UMEM_FILL_RING, &size, sizeof size, "XDP_UMEM_FILL_RING");
  set(port, XDP_UMEM_COMPLETION_RING, &completions, sizeof completions, "XDP_UMEM_COMPLETION_RING");
  if (receive) set(port, XDP_RX_RING, &size, sizeof size, "XDP_RX_RING");
  set(port, XDP_TX_RING, &size, sizeof size, "XDP_TX_RING");
  struct xdp_mmap_offsets at;
  socklen_t length = sizeof at;
  if (getsockopt(port->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &length)) fail("XDP_MMAP_OFFSETS");
  size_t descriptor = sizeof(struct xdp_desc), address = sizeof(uint64_t);
  map_ring(port, &port->fill, (off_t)XDP_UMEM_PGOFF_FILL_RING, &at.fr, address, size);
  map_ring(port, &port->completion, (off_t)XDP_UMEM_PGOFF_COMPLETION_RING, &at.cr, address, completions);
  if (receive) map_ring(port, &port->receive, XDP_PGOFF_RX_RING, &at.rx, descriptor, size);
  map_ring(port, &port->transmit, XDP_PGOFF_TX_RING, &at.tx, descriptor, size);
  struct sockaddr_xdp to = {
      .sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP, .sxdp_ifindex = interface};
  // The kernel releases a queue some time after its last socket closed.
  for (int tries = 0; bind(port->fd, (struct sockaddr *)&to, sizeof to); tries++) {
    if (errno != EBUSY || tries == 1000) fail("bind");
    usleep(1000);
  }
  // Kernels before 6.17 lack it.
  setsockopt(port->fd, SOL_XDP, kMaxTransmitBudget, &size, sizeof size);
  if (!receive) return;
  refill(port);
  attach(port, interface);
}

static inline void reap(struct port *port) {
  struct ring *completion = &port->completion;
  const uint64_t *addresses = completion->records;
  uint32_t produced = atomic_load_explicit(completion->producer, memory_order_acquire);
  if (produced == completion->next) return;
  while (completion->next != produced) spare[spares++] = addresses[completion->next++ & completion->mask] & ~2047ull;
  atomic_store_explicit(completion->consumer, completion->next, memory_order_release);
}

static inline int port_receive(struct port *port, struct frame *frames, int max) {
  struct ring *ring = &port->receive;
  const struct xdp_desc *descriptors = ring->records;
  uint32_t waiting = atomic_load_explicit(ring->producer, memory_order_acquire) - ring->next;
  int count = waiting < (uint32_t)max ? (int)waiting : max;
  if (count == 0) {
    if (port->filled < kReceiveFrames) refill(port);
    if (atomic_load_explicit(port->fill.flags, memory_order_relaxed) & XDP_RING_NEED_WAKEUP) {
      recvfrom(port->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
    }
    return 0;
  }
  for (int i = 0; i < count; i++) {
    const struct xdp_desc *descriptor = &descriptors[ring->next++ & ring->mask];
    frames[i] = (struct frame){memory + descriptor->addr, descriptor->len};
  }
  atomic_store_explicit(ring->consumer, ring->next, memory_order_release);
  port->filled -= count;
  refill(port);
  return count;
}

static inline void port_release(struct port *port, struct frame *frames, int count) {
  (void)port;
  for (int i = 0; i < count; i++) spare[spares++] = (uint64_t)(frames[i].data - memory) & ~2047ull;
}

static inline void port_claim(struct port *port, struct frame *frames, int count) {
  while (spares < count) reap(port);
  for (int i = 0; i < count; i++) frames[i].data = memory + spare[--spares];
}

static inline void port_send(struct port *port, struct frame *frames, int count) {
  struct ring *ring = &port->transmit;
  struct xdp_desc *descriptors = ring->records;
  for (int i = 0; i < count; i++) {
    descriptors[ring->next++ & ring->mask] =
        (struct xdp_desc){.addr = (uint64_t)(frames[i].data - memory), .len = frames[i].length};
  }
  atomic_store_explicit(ring->producer, ring->next, memory_order_release);
  while (atomic_load_explicit(ring->consumer, memory_order_acquire) != ring->next) {
    if (sendto(port->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN && errno != EBUSY && errno != ENOBUFS)
      fail("sendto");
  }
  reap(port);
}

int main(int argc, char **argv) {
  static struct port in, out;
  static struct peer peer = {.options = {.size = 64, .batch = 32}};
  struct options *options = &peer.options;
  parse(options, argc, argv);
  memory = mmap(NULL, (size_t)kFrames * kFrameSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  for (int i = 0; i < kFrames; i++) {
    if (options->out) write_frame(memory + (size_t)i * kFrameSize, options);
    spare[spares++] = (uint64_t)(kFrames - 1 - i) * kFrameSize;
  }
  if (options->in) port_open(peer.in = &in, options, options->in, 1);
  if (options->in && options->out && !strcmp(options->in, options->out)) peer.out = &in;
  else if (options->out) port_open(peer.out = &out, options, options->out, 0);
  serve(answer, &peer);
}
