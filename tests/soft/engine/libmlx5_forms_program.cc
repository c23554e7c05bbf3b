// What a fast driver asks libmlx5 for by mlx5dv.h and then drives itself: compressed completions, striding receive
// queues, send WQEs of many frames. The rings are read and written by hand, as DPDK's PMD does.
#include <infiniband/mlx5dv.h>
#include <sys/mman.h>
#include <time.h>

#include "decompressor.h"
#include "libmlx5_device.h"

namespace {

uint64_t milliseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

mlx5dv_context capabilities(ibv_context* context) {
  mlx5dv_context answer{};
  answer.comp_mask = MLX5DV_CONTEXT_MASK_CQE_COMPRESION | MLX5DV_CONTEXT_MASK_STRIDING_RQ;
  EQUAL(mlx5dv_query_device(context, &answer), 0);
  return answer;
}

// A completion queue whose ring the test reads.
struct Completions {
  Completions(ibv_context* context, uint8_t format, uint32_t entries = 256) {
    ibv_cq_init_attr_ex attributes{};
    attributes.cqe = entries - 1;
    mlx5dv_cq_init_attr more{};
    more.comp_mask = format == 0 ? 0 : MLX5DV_CQ_INIT_ATTR_MASK_COMPRESSED_CQE;
    more.cqe_comp_res_format = format;
    cq = mlx5dv_create_cq(context, &attributes, &more);
    CHECK(cq != nullptr);
    mlx5dv_obj object{};
    object.cq.in = ibv_cq_ex_to_cq(cq);
    object.cq.out = &rings;
    EQUAL(mlx5dv_init_obj(&object, MLX5DV_OBJ_CQ), 0);
    static constexpr soft::CqeCompression kFormats[] = {soft::CqeCompression::none, soft::CqeCompression::hash,
                                                        soft::CqeCompression::checksum, soft::CqeCompression::none,
                                                        soft::CqeCompression::checksumStride};
    reader = std::make_unique<Decompressor>(static_cast<uint8_t*>(rings.buf), rings.cqe_cnt, rings.cqe_size,
                                            rings.dbrec, kFormats[format], Decompressor::Invalidates::asDpdk);
  }
  ~Completions() { EQUAL(ibv_destroy_cq(ibv_cq_ex_to_cq(cq)), 0); }
  Bytes wait() {
    const uint64_t deadline = milliseconds() + 10000;
    for (;;) {
      Bytes entry = reader->poll();
      if (!entry.empty()) return entry;
      if (milliseconds() > deadline) failAt(__FILE__, __LINE__, "no completion came");
    }
  }

  ibv_cq_ex* cq = nullptr;
  mlx5dv_cq rings{};
  std::unique_ptr<Decompressor> reader;
};

// A raw packet queue pair whose send ring the test writes.
struct Sender {
  Sender(Device& device) : cq(device.context, 0) {
    ibv_qp_init_attr attributes{};
    attributes.send_cq = attributes.recv_cq = ibv_cq_ex_to_cq(cq.cq);
    attributes.cap = {64, 1, 4, 1, 128};
    attributes.qp_type = IBV_QPT_RAW_PACKET;
    qp = ibv_create_qp(device.pd, &attributes);
    CHECK(qp != nullptr);
    ibv_qp_attr change{};
    change.port_num = 1;
    for (const ibv_qp_state state : {IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS}) {
      change.qp_state = state;
      EQUAL(ibv_modify_qp(qp, &change, IBV_QP_STATE | (state == IBV_QPS_INIT ? IBV_QP_PORT : 0)), 0);
    }
    mlx5dv_obj object{};
    object.qp.in = qp;
    object.qp.out = &rings;
    EQUAL(mlx5dv_init_obj(&object, MLX5DV_OBJ_QP), 0);
  }
  ~Sender() { EQUAL(ibv_destroy_qp(qp), 0); }
  void send(const Wqe& wqe) {
    write(wqe);
    tell();
  }
  void write(Wqe wqe) {
    auto* ring = static_cast<uint8_t*>(rings.sq.buf);
    soft::store16(&wqe.bytes[1], produced);
    soft::store32(&wqe.bytes[4], qp->qp_num << 8 | static_cast<uint32_t>(wqe.bytes.size() / 16));
    const size_t size = rings.sq.wqe_cnt * 64, at = produced % rings.sq.wqe_cnt * 64;
    for (size_t i = 0; i < wqe.bytes.size(); ++i) ring[(at + i) % size] = wqe.bytes[i];
    produced = static_cast<uint16_t>(produced + (wqe.bytes.size() + 63) / 64);
    std::memcpy(&last, wqe.bytes.data(), 8);
  }
  // The device sees all that was written since the last time at once.
  void tell() {
    __atomic_store_n(&rings.dbrec[MLX5_SND_DBR], __builtin_bswap32(produced), __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(reinterpret_cast<uint64_t*>(static_cast<uint8_t*>(rings.bf.reg) + offset), last, __ATOMIC_RELEASE);
    offset ^= rings.bf.size;
  }

  Completions cq;
  ibv_qp* qp = nullptr;
  mlx5dv_qp rings{};
  uint16_t produced = 0;
  uint64_t last = 0;  // the first 8 bytes of the last request
  uint32_t offset = 0;
};

// A striding work queue behind an RSS queue pair that gets every frame; WQEs of eight strides of 64 bytes.
struct Strides {
  static constexpr uint32_t kBytes = 512;

  Strides(Device& device, Completions& cq, bool striding = true) : device(device) {
    ibv_wq_init_attr attributes{};
    attributes.wq_type = IBV_WQT_RQ;
    attributes.max_wr = 64;
    attributes.max_sge = 1;
    attributes.pd = device.pd;
    attributes.cq = ibv_cq_ex_to_cq(cq.cq);
    mlx5dv_wq_init_attr more{};
    if (striding) more = {MLX5DV_WQ_INIT_ATTR_MASK_STRIDING_RQ, {6, 3, 0}};
    wq = mlx5dv_create_wq(device.context, &attributes, &more);
    CHECK(wq != nullptr);
    ibv_wq_attr change{};
    change.attr_mask = IBV_WQ_ATTR_STATE;
    change.wq_state = IBV_WQS_RDY;
    EQUAL(ibv_modify_wq(wq, &change), 0);
    mlx5dv_obj object{};
    object.rwq.in = wq;
    object.rwq.out = &rings;
    EQUAL(mlx5dv_init_obj(&object, MLX5DV_OBJ_RWQ), 0);
    // mlx5_wqe_srq_next_seg stands before the one scatter entry.
    EQUAL(rings.stride, striding ? 32 : 16);
    ibv_rwq_ind_table_init_attr table{};
    table.ind_tbl = &wq;
    indirection = ibv_create_rwq_ind_table(device.context, &table);
    CHECK(indirection != nullptr);
    Bytes key(40, 0x6d);
    ibv_qp_init_attr_ex rss{};
    rss.qp_type = IBV_QPT_RAW_PACKET;
    rss.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_IND_TABLE | IBV_QP_INIT_ATTR_RX_HASH;
    rss.pd = device.pd;
    rss.rwq_ind_tbl = indirection;
    rss.rx_hash_conf = {IBV_RX_HASH_FUNC_TOEPLITZ, 40, key.data(), IBV_RX_HASH_SRC_IPV4 | IBV_RX_HASH_DST_IPV4};
    qp = ibv_create_qp_ex(device.context, &rss);
    CHECK(qp != nullptr);
    ibv_flow_attr everything{};
    everything.type = IBV_FLOW_ATTR_ALL_DEFAULT;
    everything.size = sizeof everything;
    everything.port = 1;
    flow = ibv_create_flow(qp, &everything);
    CHECK(flow != nullptr);
  }
  ~Strides() {
    EQUAL(ibv_destroy_flow(flow), 0);
    EQUAL(ibv_destroy_qp(qp), 0);
    EQUAL(ibv_destroy_rwq_ind_table(indirection), 0);
    EQUAL(ibv_destroy_wq(wq), 0);
  }
  uint8_t* memory(uint16_t wqe) const { return device.memory + kBuffer / 2 + wqe % 64u * kBytes; }
  void post() {
    uint8_t* at = static_cast<uint8_t*>(rings.buf) + posted % rings.wqe_cnt * rings.stride + rings.stride - 16;
    soft::store32(at, kBytes);
    soft::store32(at + 4, device.mr->lkey);
    soft::store64(at + 8, reinterpret_cast<uint64_t>(memory(posted)));
    ++posted;
    __atomic_store_n(rings.dbrec, __builtin_bswap32(posted), __ATOMIC_RELEASE);
  }

  Device& device;
  ibv_wq* wq = nullptr;
  mlx5dv_rwq rings{};
  ibv_rwq_ind_table* indirection = nullptr;
  ibv_qp* qp = nullptr;
  ibv_flow* flow = nullptr;
  uint16_t posted = 0;
};

uint16_t sumOf(const Bytes& frame) { return static_cast<uint16_t>(~slowSum(Bytes(frame.begin() + 14, frame.end()))); }

}  // namespace

TEST(the_device_tells_of_its_forms) {
  Device device;
  const mlx5dv_context told = capabilities(device.context);
  EQUAL(told.comp_mask & MLX5DV_CONTEXT_MASK_CQE_COMPRESION, MLX5DV_CONTEXT_MASK_CQE_COMPRESION);
  EQUAL(told.cqe_comp_caps.max_num, 64);
  EQUAL(told.cqe_comp_caps.supported_format,
        MLX5DV_CQE_RES_FORMAT_HASH | MLX5DV_CQE_RES_FORMAT_CSUM | MLX5DV_CQE_RES_FORMAT_CSUM_STRIDX);
  EQUAL(told.striding_rq_caps.min_single_stride_log_num_of_bytes, 6);
  EQUAL(told.striding_rq_caps.max_single_stride_log_num_of_bytes, 13);
  EQUAL(told.striding_rq_caps.min_single_wqe_log_num_of_strides, 3);
  EQUAL(told.striding_rq_caps.max_single_wqe_log_num_of_strides, 16);
  EQUAL(told.striding_rq_caps.supported_qpts, 1 << IBV_QPT_RAW_PACKET);
  constexpr uint64_t kFlags = MLX5DV_CONTEXT_FLAGS_MPW_ALLOWED | MLX5DV_CONTEXT_FLAGS_ENHANCED_MPW |
                              MLX5DV_CONTEXT_FLAGS_CQE_128B_COMP | MLX5DV_CONTEXT_FLAGS_CQE_128B_PAD;
  EQUAL(told.flags & kFlags, kFlags);
}

TEST(compressed_completions_of_each_format_over_many_laps) {
  for (const uint8_t format :
       {MLX5DV_CQE_RES_FORMAT_HASH, MLX5DV_CQE_RES_FORMAT_CSUM, MLX5DV_CQE_RES_FORMAT_CSUM_STRIDX}) {
    Device device;
    Sender sender(device);
    Completions completions(device.context, format, 64);
    Strides queue(device, completions, false);
    for (int i = 0; i < 32; ++i) queue.post();
    uint16_t next = 0;
    for (int round = 0; round < 60; ++round) {
      std::vector<Bytes> frames;
      for (int i = 0; i < 1 + round % 12; ++i) {
        frames.push_back(datagram(60 + static_cast<size_t>(i), static_cast<uint8_t>(1 + i % 2)));
        sender.write(Wqe(MLX5_OPCODE_SEND, i == round % 12 ? MLX5_WQE_CTRL_CQ_UPDATE : 0)
                         .eth(0, Bytes(frames.back().begin(), frames.back().begin() + 18))
                         .inlined(Bytes(frames.back().begin() + 18, frames.back().end())));
      }
      sender.tell();
      for (const Bytes& frame : frames) {
        const Bytes cqe = completions.wait();
        EQUAL(byteCount(cqe.data()), frame.size());
        EQUAL(wqeCounter(cqe.data()), next);
        BYTES(queue.memory(next), frame.data(), frame.size());
        if (format != MLX5DV_CQE_RES_FORMAT_HASH) EQUAL(soft::load16(&cqe[20]), sumOf(frame));
        ++next;
        queue.post();
      }
      CHECK(!sender.cq.wait().empty());
    }
    CHECK(!completions.reader->sessions.empty());
  }
}

TEST(striding_receives_with_and_without_compression) {
  for (const uint8_t format : {0, int{MLX5DV_CQE_RES_FORMAT_CSUM_STRIDX}}) {
    Device device;
    Sender sender(device);
    Completions completions(device.context, static_cast<uint8_t>(format));
    Strides queue(device, completions);
    for (int i = 0; i < 32; ++i) queue.post();
    uint16_t wqe = 0;
    uint32_t stride = 0;
    for (int round = 0; round < 100; ++round) {
      std::vector<Bytes> frames;
      for (int i = 0; i < 8; ++i) {
        frames.push_back(datagram(60 + static_cast<size_t>(round * 8 + i) * 7 % 150));
        sender.send(Wqe(MLX5_OPCODE_SEND, i == 7 ? MLX5_WQE_CTRL_CQ_UPDATE : 0)
                        .eth(0, Bytes(frames.back().begin(), frames.back().begin() + 18))
                        .inlined(Bytes(frames.back().begin() + 18, frames.back().end())));
      }
      for (const Bytes& frame : frames) {
        const uint32_t needed = static_cast<uint32_t>((frame.size() + 63) / 64);
        if (stride != 8 && stride + needed > 8) {
          EQUAL(byteCount(completions.wait().data()), 1u << 31 | (8 - stride) << 16);
          stride = 8;
        }
        if (stride == 8) {
          stride = 0;
          ++wqe;
          queue.post();
        }
        const Bytes cqe = completions.wait();
        EQUAL(byteCount(cqe.data()), needed << 16 | frame.size());
        EQUAL(soft::load16(&cqe[2]), wqe);
        EQUAL(wqeCounter(cqe.data()), stride);
        BYTES(queue.memory(wqe) + stride * 64, frame.data(), frame.size());
        stride += needed;
      }
      CHECK(!sender.cq.wait().empty());
    }
  }
}

TEST(one_wqe_sends_many_frames) {
  Device device;
  Sender sender(device);
  Completions completions(device.context, 0);
  Strides queue(device, completions, false);
  for (int i = 0; i < 32; ++i) queue.post();
  uint16_t next = 0;
  for (int round = 0; round < 100; ++round) {
    const auto index = static_cast<uint16_t>(sender.produced);
    Wqe wqe = Wqe(0x29).eth();
    std::vector<Bytes> frames;
    for (int i = 0; i < 6; ++i) {
      frames.push_back(datagram(60 + static_cast<size_t>(i) * 11, static_cast<uint8_t>(round)));
      wqe.inlined(frames.back());
    }
    sender.send(wqe);
    for (const Bytes& frame : frames) {
      const Bytes cqe = completions.wait();
      EQUAL(byteCount(cqe.data()), frame.size());
      BYTES(queue.memory(next), frame.data(), frame.size());
      ++next;
      queue.post();
    }
    const Bytes sent = sender.cq.wait();
    EQUAL(cqeOpcode(sent.data()), MLX5_CQE_REQ);
    EQUAL(sent[56], 0x29);
    EQUAL(wqeCounter(sent.data()), index);
  }
}

TEST(the_kernel_refuses_what_no_queue_has) {
  Device device;
  ibv_cq_init_attr_ex attributes{};
  attributes.cqe = 63;
  mlx5dv_cq_init_attr more{};
  more.comp_mask = MLX5DV_CQ_INIT_ATTR_MASK_COMPRESSED_CQE;
  more.cqe_comp_res_format = MLX5DV_CQE_RES_FORMAT_HASH | MLX5DV_CQE_RES_FORMAT_CSUM;  // libmlx5 lets two pass
  errno = 0;
  CHECK(mlx5dv_create_cq(device.context, &attributes, &more) == nullptr);
  EQUAL(errno, EINVAL);
}
