// A small verbs program: libibverbs' own calls and no code of ours, so that it runs on any kind of device.
#pragma once

#include <infiniband/verbs.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "test.h"

using Bytes = std::vector<uint8_t>;

inline Bytes pattern(size_t size, uint8_t seed = 0) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + (i >> 8) * 13 + seed * 31 + 1);
  return bytes;
}

constexpr size_t kMemory = 1 << 17;
constexpr int kAll = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
                     IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND;

// The device $VERBS_DEVICE, or the first; a domain, and a region with all rights.
struct Device {
  Device() {
    int count = 0;
    ibv_device** list = ibv_get_device_list(&count);
    CHECK(list != nullptr && count >= 1);
    const char* wanted = std::getenv("VERBS_DEVICE");
    ibv_device** found = std::find_if(list, list + count, [&](ibv_device* device) {
      return wanted == nullptr || std::strcmp(ibv_get_device_name(device), wanted) == 0;
    });
    CHECK(found != list + count);
    rxe = std::strncmp(ibv_get_device_name(*found), "rxe", 3) == 0;
    context = ibv_open_device(*found);
    CHECK(context != nullptr);
    ibv_free_device_list(list);
    pd = ibv_alloc_pd(context);
    CHECK(pd != nullptr);
    memory = static_cast<uint8_t*>(aligned_alloc(4096, kMemory));
    std::memset(memory, 0, kMemory);
    mr = ibv_reg_mr(pd, memory, kMemory, kAll);
    CHECK(mr != nullptr);
  }
  ~Device() {
    EQUAL(ibv_dereg_mr(mr), 0);
    EQUAL(ibv_dealloc_pd(pd), 0);
    EQUAL(ibv_close_device(context), 0);
    free(memory);
  }
  Device(const Device&) = delete;

  ibv_sge sge(size_t offset, size_t length) const {
    return {reinterpret_cast<uint64_t>(memory) + offset, static_cast<uint32_t>(length), mr->lkey};
  }
  ibv_sge put(const Bytes& bytes, size_t offset = 0) {
    std::copy(bytes.begin(), bytes.end(), memory + offset);
    return sge(offset, bytes.size());
  }
  Bytes bytes(size_t offset, size_t length) const { return Bytes(memory + offset, memory + offset + length); }
  ibv_gid gid(int index = 0) const {
    ibv_gid gid;
    EQUAL(ibv_query_gid(context, 1, index, &gid), 0);
    return gid;
  }
  ibv_ah_attr toItself() const {
    ibv_ah_attr attributes{};
    attributes.is_global = 1;
    attributes.port_num = 1;
    attributes.grh.dgid = gid();
    attributes.grh.hop_limit = 1;
    return attributes;
  }

  bool rxe = false;  // the kernel's device, which differs in places
  ibv_context* context = nullptr;
  ibv_pd* pd = nullptr;
  ibv_mr* mr = nullptr;
  uint8_t* memory = nullptr;
};

// A completion queue with a channel of its own.
struct Cq {
  explicit Cq(Device& device, int entries = 64) {
    channel = ibv_create_comp_channel(device.context);
    CHECK(channel != nullptr);
    cq = ibv_create_cq(device.context, entries, nullptr, channel, 0);
    CHECK(cq != nullptr);
  }
  ~Cq() {
    EQUAL(ibv_destroy_cq(cq), 0);
    EQUAL(ibv_destroy_comp_channel(channel), 0);
  }
  Cq(const Cq&) = delete;

  void arm(bool solicitedOnly) { EQUAL(ibv_req_notify_cq(cq, solicitedOnly), 0); }
  // Sleeps until an event comes.
  void event() {
    pollfd waiting{channel->fd, POLLIN, 0};
    if (poll(&waiting, 1, 10000) != 1) failAt(__FILE__, __LINE__, "no completion event came");
    take();
  }
  void take() {
    ibv_cq* which;
    void* context;
    EQUAL(ibv_get_cq_event(channel, &which, &context), 0);
    ibv_ack_cq_events(which, 1);
  }
  bool hasEvent() {
    pollfd waiting{channel->fd, POLLIN, 0};
    return poll(&waiting, 1, 0) == 1;
  }
  // The next completion: polls, and gives up after ten seconds.
  ibv_wc wait() {
    ibv_wc wc{};
    timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (;;) {
      const int count = ibv_poll_cq(cq, 1, &wc);
      if (count == 1) return wc;
      EQUAL(count, 0);
      clock_gettime(CLOCK_MONOTONIC, &now);
      if (now.tv_sec - begin.tv_sec > 10) failAt(__FILE__, __LINE__, "no completion came");
    }
  }
  void empty() {
    ibv_wc wc;
    EQUAL(ibv_poll_cq(cq, 1, &wc), 0);
  }

  ibv_comp_channel* channel = nullptr;
  ibv_cq* cq = nullptr;
};

// A queue pair that completes sends and receives in queues of its own.
struct Qp {
  Qp(Device& device, ibv_qp_type type, ibv_srq* srq = nullptr, uint32_t elements = 4)
      : device(device), sends(device), receives(device), type(type) {
    ibv_qp_init_attr attributes{};
    attributes.send_cq = sends.cq;
    attributes.recv_cq = receives.cq;
    attributes.srq = srq;
    attributes.cap = {16, 16, elements, elements, 0};
    attributes.qp_type = type;
    qp = ibv_create_qp(device.pd, &attributes);
    CHECK(qp != nullptr);
  }
  ~Qp() { EQUAL(ibv_destroy_qp(qp), 0); }
  Qp(const Qp&) = delete;

  void init(int access = kAll & ~IBV_ACCESS_MW_BIND) {
    ibv_qp_attr attributes{};
    attributes.qp_state = IBV_QPS_INIT;
    attributes.port_num = 1;
    attributes.qp_access_flags = static_cast<unsigned>(access);
    attributes.qkey = kQkey;
    EQUAL(ibv_modify_qp(qp, &attributes,
                        IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
                            (type == IBV_QPT_UD ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS)),
          0);
  }
  // 0 or an errno.
  int toRtr(uint32_t peer, const ibv_ah_attr& address) {
    ibv_qp_attr attributes{};
    attributes.qp_state = IBV_QPS_RTR;
    attributes.path_mtu = IBV_MTU_1024;
    attributes.dest_qp_num = peer;
    attributes.max_dest_rd_atomic = 4;
    attributes.min_rnr_timer = 12;
    attributes.ah_attr = address;
    int mask = IBV_QP_STATE;
    if (type != IBV_QPT_UD) mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
    if (type == IBV_QPT_RC) mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
    return ibv_modify_qp(qp, &attributes, mask);
  }
  void toRts() {
    ibv_qp_attr attributes{};
    attributes.qp_state = IBV_QPS_RTS;
    attributes.timeout = 12;
    attributes.retry_cnt = attributes.rnr_retry = 6;
    attributes.max_rd_atomic = 4;
    int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;
    if (type == IBV_QPT_RC) mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
    EQUAL(ibv_modify_qp(qp, &attributes, mask), 0);
  }
  void connect(const Qp& peer) {
    init();
    EQUAL(toRtr(peer.qp->qp_num, device.toItself()), 0);
    toRts();
  }
  int to(ibv_qp_state state) {
    ibv_qp_attr attributes{};
    attributes.qp_state = state;
    return ibv_modify_qp(qp, &attributes, IBV_QP_STATE);
  }
  int state() {
    ibv_qp_attr attributes{};
    ibv_qp_init_attr initial{};
    EQUAL(ibv_query_qp(qp, &attributes, IBV_QP_STATE, &initial), 0);
    return attributes.qp_state;
  }

  int receive(std::vector<ibv_sge> sges, uint64_t id = 100) {
    ibv_recv_wr wr{id, nullptr, sges.data(), static_cast<int>(sges.size())}, *bad;
    return ibv_post_recv(qp, &wr, &bad);
  }
  // Posts one send request, signalled, with these elements.
  int post(ibv_send_wr wr, std::vector<ibv_sge> sges) {
    ibv_send_wr* bad;
    wr.sg_list = sges.data();
    wr.num_sge = static_cast<int>(sges.size());
    wr.send_flags |= IBV_SEND_SIGNALED;
    return ibv_post_send(qp, &wr, &bad);
  }
  int send(std::vector<ibv_sge> sges, unsigned flags = 0) {
    ibv_send_wr wr{};
    wr.wr_id = 1;
    wr.opcode = IBV_WR_SEND;
    wr.send_flags = flags;
    return post(wr, std::move(sges));
  }
  static ibv_send_wr request(ibv_wr_opcode opcode, uint64_t address, uint32_t rkey) {
    ibv_send_wr wr{};
    wr.wr_id = 1;
    wr.opcode = opcode;
    wr.wr.rdma.remote_addr = address;
    wr.wr.rdma.rkey = rkey;
    return wr;
  }
  static ibv_send_wr fetchAndAdd(uint64_t address, uint32_t rkey, uint64_t add) {
    ibv_send_wr wr{};
    wr.wr_id = 1;
    wr.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
    wr.wr.atomic.remote_addr = address;
    wr.wr.atomic.rkey = rkey;
    wr.wr.atomic.compare_add = add;
    return wr;
  }

  static constexpr uint32_t kQkey = 0x11111111;
  Device& device;
  Cq sends, receives;
  ibv_qp_type type;
  ibv_qp* qp = nullptr;
};

// Two queue pairs of one device, connected to each other.
struct Pair {
  explicit Pair(Device& device, ibv_qp_type type = IBV_QPT_RC, ibv_srq* srq = nullptr, uint32_t elements = 4)
      : a(device, type, nullptr, elements), b(device, type, srq, elements) {
    a.connect(b);
    b.connect(a);
  }
  Qp a, b;
};

// The next asynchronous event's type; fails when none comes.
inline int nextEvent(ibv_context* context) {
  pollfd waiting{context->async_fd, POLLIN, 0};
  if (poll(&waiting, 1, 10000) != 1) failAt(__FILE__, __LINE__, "no asynchronous event came");
  ibv_async_event event;
  EQUAL(ibv_get_async_event(context, &event), 0);
  ibv_ack_async_event(&event);
  return event.event_type;
}
inline bool hasAsyncEvent(ibv_context* context) {
  pollfd waiting{context->async_fd, POLLIN, 0};
  return poll(&waiting, 1, 0) == 1;
}
