// Raw Ethernet frames by AF_PACKET (packet(7)), in the plainest fast way; frames.h defines the requests.
//   ring=none    recvmmsg(2)
//   ring=v2      TPACKET_V2: a frame is ready as soon as its status word says so
//   ring=v3      TPACKET_V3: frames come in blocks, which the kernel hands over when they are full or a millisecond old
// Sends with sendmmsg(2), from where the frames lie.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "frames.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

enum { kFrameSize = 2048, kReceiveBuffer = 1 << 22, kBlockSize = 1 << 18, kBlocks = 32 };

struct port {
  int fd;
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

static void port_open(struct port *port, const struct options *options, const char *name, int receive) {
  const int on = 1, size = kReceiveBuffer;
  port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (port->fd < 0) fail("socket");
  set(port, PACKET_IGNORE_OUTGOING, &on, sizeof on, "PACKET_IGNORE_OUTGOING");
  if (setsockopt(port->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size)) fail("SO_RCVBUFFORCE");
  if (receive) open_ring(port, options);
  struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                .sll_protocol = receive ? htons(ETH_P_ALL) : 0,
                                .sll_ifindex = (int)if_nametoindex(name)};
  if (bind(port->fd, (struct sockaddr *)&address, sizeof address)) fail(name);
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

static inline int receive_v2(struct port *port, struct frame *frames, int max) {
  for (; port->last != port->next; port->last++) {
    atomic_store_explicit(status(slot(port, port->last)), TP_STATUS_KERNEL, memory_order_release);
  }
  int count = 0;
  for (; count < max; count++) {
    struct tpacket2_hdr *header = slot(port, port->next);
    if ((atomic_load_explicit(status(header), memory_order_acquire) & TP_STATUS_USER) == 0) break;
    frames[count] = (struct frame){(uint8_t *)header + header->tp_mac, header->tp_snaplen};
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

// For a single frame send(2) costs less than sendmmsg(2).
static inline void send_one(struct port *port, const struct frame *frame) {
  while (send(port->fd, frame->data, frame->length, MSG_DONTWAIT) < 0) {
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
    int sent = sendmmsg(port->fd, port->outgoing + done, (unsigned)(count - done), MSG_DONTWAIT);
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
