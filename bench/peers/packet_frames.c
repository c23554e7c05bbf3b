// Raw Ethernet frames by AF_PACKET (packet(7)), in the plainest fast way; frames.h defines the requests.
//   ring=none    recvmmsg(2)
//   ring=v2      TPACKET_V2: a frame is ready as soon as its status word says so
//   ring=v3      TPACKET_V3: frames come in blocks, which the kernel hands over when they are full or a millisecond old
// Sends with sendmmsg(2), from where the frames lie.
//   duties=all   with ring=v2: does what a queue of the library does besides moving frames. A socket of its own sends;
//                the other one has a virtio-net header before each frame, a filter for the interface's address and
//                groups, and a place in an epoll set, as libuv gives it. Frames are copied out of the ring, with a
//                record of eight words each; the process has a second thread, so that every system call counts a
//                reference to its file.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "frames.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

enum { kFrameSize = 2048, kReceiveBuffer = 1 << 22, kBlockSize = 1 << 18, kBlocks = 32 };
enum { kRecordWords = 8 };

struct port {
  int fd, out;
  enum { kNone, kV2, kV3 } kind;
  struct mmsghdr outgoing[kMaxBatch], incoming[kMaxBatch];
  struct iovec outgoing_bytes[kMaxBatch], incoming_bytes[kMaxBatch];
  uint8_t *buffers, *claims;
  uint8_t *map;
  // V2: the first frame not handed out yet, and the first not returned yet.
  uint32_t next, last;
  // V3: the current block, the frames left in it, and the next one's header.
  int block;
  uint32_t left;
  uint8_t *header;
  // With all duties: where frames are copied to, and their records.
  uint32_t (*records)[kRecordWords];
  uint32_t place;
};

static void set(struct port *port, int option, const void *value, socklen_t length, const char *what) {
  if (setsockopt(port->fd, SOL_PACKET, option, value, length)) fail(what);
}

static void open_ring(struct port *port, const struct options *options) {
  if (options->ring == NULL || !strcmp(options->ring, "none")) return;
  port->kind = strcmp(options->ring, "v3") ? kV2 : kV3;
  int version = port->kind == kV3 ? TPACKET_V3 : TPACKET_V2;
  set(port, PACKET_VERSION, &version, sizeof version, "PACKET_VERSION");
  struct tpacket_req3 request = {.tp_block_size = kBlockSize,
                                 .tp_block_nr = kBlocks,
                                 .tp_frame_size = kFrameSize,
                                 .tp_frame_nr = kBlockSize / kFrameSize * kBlocks,
                                 .tp_retire_blk_tov = 1};
  // V2 takes the first fields of the same struct.
  set(port, PACKET_RX_RING, &request, port->kind == kV3 ? sizeof request : sizeof(struct tpacket_req),
      "PACKET_RX_RING");
  port->map = mmap(NULL, (size_t)kBlockSize * kBlocks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, port->fd, 0);
  if (port->map == MAP_FAILED) fail("mmap");
}

static void *sleep_for_ever(void *nothing) {
  for (;;) pause();
  return nothing;
}

// The duties that a receiving socket gets before bind(2).
static void take_duties(struct port *port, const char *name) {
  const int on = 1;
  set(port, PACKET_VNET_HDR, &on, sizeof on, "PACKET_VNET_HDR");
  uint8_t own[6];
  hardware_address(name, own);
  const uint32_t high = (uint32_t)own[0] << 8 | own[1];
  const uint32_t low = (uint32_t)own[2] << 24 | (uint32_t)own[3] << 16 | (uint32_t)own[4] << 8 | own[5];
  struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 2),
                               BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 2, 0),
                               BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),  BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, 0xffffffffu), BPF_STMT(BPF_RET | BPF_K, 0)};
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (setsockopt(port->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)) fail("SO_ATTACH_FILTER");
  struct epoll_event event = {.events = 0};
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, port->fd, &event)) fail("epoll_ctl");
  port->records = calloc(kMaxBatch, sizeof *port->records);
  pthread_t thread;
  if (port->records == NULL || pthread_create(&thread, NULL, sleep_for_ever, NULL)) fail("pthread_create");
}

// A socket that sends only, so that no frame needs a virtio-net header before it.
static int sending_socket(struct sockaddr_ll address) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  address.sll_protocol = 0;
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address)) fail("socket");
  return fd;
}

static void port_open(struct port *port, const struct options *options, const char *name, int receive) {
  const int on = 1, size = kReceiveBuffer;
  port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (port->fd < 0) fail("socket");
  set(port, PACKET_IGNORE_OUTGOING, &on, sizeof on, "PACKET_IGNORE_OUTGOING");
  if (setsockopt(port->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size)) fail("SO_RCVBUFFORCE");
  const int duties = receive && options->duties != NULL;
  if (duties) take_duties(port, name);
  if (receive) open_ring(port, options);
  struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                .sll_protocol = receive ? htons(ETH_P_ALL) : 0,
                                .sll_ifindex = (int)if_nametoindex(name)};
  if (bind(port->fd, (struct sockaddr *)&address, sizeof address)) fail(name);
  port->out = duties ? sending_socket(address) : port->fd;
  port->buffers = aligned_alloc(4096, (size_t)kMaxBatch * kFrameSize);
  port->claims = aligned_alloc(4096, (size_t)kMaxBatch * kFrameSize);
  if (port->buffers == NULL || port->claims == NULL) fail("aligned_alloc");
  for (int i = 0; i < kMaxBatch; i++) {
    if (options->out) write_frame(port->claims + (size_t)i * kFrameSize, options);
    port->outgoing[i].msg_hdr = (struct msghdr){.msg_iov = &port->outgoing_bytes[i], .msg_iovlen = 1};
    port->incoming_bytes[i] = (struct iovec){port->buffers + (size_t)i * kFrameSize, kFrameSize};
    port->incoming[i].msg_hdr = (struct msghdr){.msg_iov = &port->incoming_bytes[i], .msg_iovlen = 1};
  }
}

static inline int receive_messages(struct port *port, struct frame *frames, int max) {
  int count = recvmmsg(port->fd, port->incoming, (unsigned)max, MSG_DONTWAIT, NULL);
  if (count < 0) {
    if (errno == EAGAIN) return 0;
    fail("recvmmsg");
  }
  for (int i = 0; i < count; i++) {
    frames[i] = (struct frame){port->buffers + (size_t)i * kFrameSize, port->incoming[i].msg_len};
  }
  return count;
}

static inline struct tpacket2_hdr *slot(struct port *port, uint32_t index) {
  return (void *)(port->map + (size_t)(index & (kBlockSize / kFrameSize * kBlocks - 1)) * kFrameSize);
}

static inline _Atomic uint32_t *status(void *header) { return header; }

static inline void copy_out(struct port *port, const struct tpacket2_hdr *header, struct frame *frame) {
  const uint32_t place = port->place++ & (kMaxBatch - 1);
  uint8_t *to = port->buffers + (size_t)place * kFrameSize;
  memcpy(to, frame->data, frame->length);
  frame->data = to;
  const struct sockaddr_ll *from = (const void *)((const uint8_t *)header + TPACKET_ALIGN(sizeof *header));
  const uint32_t record[kRecordWords] = {
      place * kFrameSize,  header->tp_snaplen, header->tp_len,  from->sll_pkttype << 8,
      header->tp_vlan_tci, header->tp_sec,     header->tp_nsec, 0};
  memcpy(port->records[place], record, sizeof record);
}

static inline int receive_v2(struct port *port, struct frame *frames, int max) {
  for (; port->last != port->next; port->last++) {
    atomic_store_explicit(status(slot(port, port->last)), TP_STATUS_KERNEL, memory_order_release);
  }
  int count = 0;
  for (; count < max; count++) {
    struct tpacket2_hdr *header = slot(port, port->next);
    if ((atomic_load_explicit(status(header), memory_order_acquire) & TP_STATUS_USER) == 0) break;
    frames[count] = (struct frame){(uint8_t *)header + header->tp_mac, header->tp_snaplen};
    if (port->records != NULL) copy_out(port, header, &frames[count]);
    port->next++;
  }
  return count;
}

static inline int receive_v3(struct port *port, struct frame *frames, int max) {
  struct tpacket_block_desc *block = (void *)(port->map + (size_t)port->block * kBlockSize);
  _Atomic uint32_t *owner = status(&block->hdr.bh1.block_status);
  if (port->left == 0) {
    if (port->header != NULL) {
      port->header = NULL;
      atomic_store_explicit(owner, TP_STATUS_KERNEL, memory_order_release);
      port->block = (port->block + 1) % kBlocks;
      return receive_v3(port, frames, max);
    }
    if ((atomic_load_explicit(owner, memory_order_acquire) & TP_STATUS_USER) == 0) return 0;
    port->left = block->hdr.bh1.num_pkts;
    port->header = (uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
  }
  int count = 0;
  for (; count < max && port->left > 0; count++, port->left--) {
    struct tpacket3_hdr *header = (void *)port->header;
    frames[count] = (struct frame){port->header + header->tp_mac, header->tp_snaplen};
    port->header += header->tp_next_offset;
  }
  return count;
}

static inline int port_receive(struct port *port, struct frame *frames, int max) {
  if (port->kind == kV3) return receive_v3(port, frames, max);
  return port->kind == kV2 ? receive_v2(port, frames, max) : receive_messages(port, frames, max);
}

static inline void port_release(struct port *port, struct frame *frames, int count) {
  (void)port, (void)frames, (void)count;
}

static inline void port_claim(struct port *port, struct frame *frames, int count) {
  for (int i = 0; i < count; i++) frames[i].data = port->claims + (size_t)i * kFrameSize;
}

// For a single frame send(2) costs less than sendmmsg(2). The C library's own makes the call dearer beside a thread.
static inline long send_frame(struct port *port, const struct frame *frame) {
  if (port->records == NULL) return send(port->out, frame->data, frame->length, MSG_DONTWAIT);
  return syscall(SYS_sendto, port->out, frame->data, frame->length, MSG_DONTWAIT, NULL, 0);
}

static inline void send_one(struct port *port, const struct frame *frame) {
  while (send_frame(port, frame) < 0) {
    if (errno != EAGAIN && errno != ENOBUFS) fail("send");
  }
}

static inline void port_send(struct port *port, struct frame *frames, int count) {
  if (count == 1) {
    send_one(port, frames);
    return;
  }
  for (int i = 0; i < count; i++) port->outgoing_bytes[i] = (struct iovec){frames[i].data, frames[i].length};
  for (int done = 0; done < count;) {
    int sent = sendmmsg(port->out, port->outgoing + done, (unsigned)(count - done), MSG_DONTWAIT);
    if (sent > 0) done += sent;
    else if (errno != EAGAIN && errno != ENOBUFS) fail("sendmmsg");
  }
}

int main(int argc, char **argv) {
  static struct port in, out;
  static struct peer peer = {.options = {.size = 64, .batch = 32}};
  struct options *options = &peer.options;
  parse(options, argc, argv);
  if (options->in) port_open(peer.in = &in, options, options->in, 1);
  if (options->in && options->out && !strcmp(options->in, options->out)) peer.out = &in;
  else if (options->out) port_open(peer.out = &out, options, options->out, 0);
  serve(answer, &peer);
}
