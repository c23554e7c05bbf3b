// Memory windows, bound and invalidated over RC.
#include "peers.h"

using namespace soft;

namespace {

// A bind as libmlx5 posts it (set_bind_wr): control, UMR control, key context, and unless the length is 0 one klm.
Wqe bind(uint32_t windowKey, uint32_t newKey, uint32_t qpn, const Region& region, const uint8_t* address,
         uint64_t length, uint8_t access) {
  Wqe wqe = immediate(Wqe(MLX5_OPCODE_UMR), windowKey);
  Bytes umr(48), context(64), klm(64);
  umr[0] = static_cast<uint8_t>(MLX5_WQE_UMR_CTRL_FLAG_TRNSLATION_OFFSET | MLX5_WQE_UMR_CTRL_FLAG_INLINE |
                                (length != 0 ? MLX5_WQE_UMR_CTRL_FLAG_CHECK_FREE : MLX5_WQE_UMR_CTRL_FLAG_CHECK_QPN));
  store32(&context[4], length != 0 ? qpn << 8 | (newKey & 0xff) : 0xffffff00 | (newKey & 0xff));
  context[2] = access;
  if (length == 0) {
    context[0] = MLX5_WQE_MKEY_CONTEXT_FREE;
    return wqe.append(umr).append(context);
  }
  store64(&context[16], reinterpret_cast<uint64_t>(address));
  store64(&context[24], length);
  store32(&klm[0], static_cast<uint32_t>(length));
  store32(&klm[4], region.key);
  store64(&klm[8], reinterpret_cast<uint64_t>(address));
  return wqe.append(umr).append(context).append(klm);
}

constexpr uint8_t kWindowWrite = MLX5_WQE_MKEY_CONTEXT_ACCESS_FLAGS_REMOTE_WRITE;

}  // namespace

TEST(a_window_lets_its_peer_write_there_and_nowhere_else_until_it_is_invalidated) {
  Peers peers;
  uint32_t window;
  EQUAL(peers.card.nic.createMemoryWindow(peers.card.pd, WindowType::type2, &window), 0);
  const uint32_t key = (window & ~0xffu) | ((window + 1) & 0xff);  // ibv_inc_rkey
  peers.b.qp->send(bind(window, key, peers.b.qp->number, peers.b.memory, peers.b.at(1000), 100, kWindowWrite));
  peers.sent(peers.b, 0);

  peers.a.qp->send(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(1010), key).data(peers.a.put(pattern(90))));
  peers.sent(peers.a, 0);
  CHECK(peers.b.bytes(1010, 90) == pattern(90));

  peers.b.qp->receive({peers.b.memory.sge(0, 64)});
  peers.a.qp->send(immediate(Wqe(MLX5_OPCODE_SEND_INVAL).inlined(pattern(8)), key));
  peers.sent(peers.a, 1);
  const uint8_t* got = peers.next(peers.b.receiveCq);
  EQUAL(cqeOpcode(got), MLX5_CQE_RESP_SEND_INV);
  EQUAL(load32(got + 36), key);

  peers.a.qp->send(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(1010), key).data(peers.a.put(pattern(90, 9))));
  peers.failed(peers.a, 2, MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR);
  CHECK(peers.b.bytes(1010, 90) == pattern(90));
}

TEST(a_window_ends_where_it_ends_and_serves_only_the_queue_pair_that_bound_it) {
  for (const bool stranger : {false, true}) {
    Peers peers;
    uint32_t window;
    EQUAL(peers.card.nic.createMemoryWindow(peers.card.pd, WindowType::type2, &window), 0);
    auto other = peers.create(peers.b, 0);
    peers.bringUp(*other, 2, peers.a.qp->number);
    const uint32_t key = (window & ~0xffu) | ((window + 1) & 0xff);
    Qp& binder = stranger ? *other : *peers.b.qp;
    binder.send(bind(window, key, binder.number, peers.b.memory, peers.b.at(1000), 100, kWindowWrite));
    peers.sent(peers.b, 0);
    const size_t offset = stranger ? 1000 : 1011;
    peers.a.qp->send(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(offset), key).data(peers.a.put(pattern(90))));
    peers.failed(peers.a, 0, MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR);
    EQUAL(*peers.b.at(offset), 0);
  }
}

TEST(a_local_invalidate_closes_a_window_and_a_bind_beyond_the_region_fails) {
  Peers peers;
  uint32_t window;
  EQUAL(peers.card.nic.createMemoryWindow(peers.card.pd, WindowType::type2, &window), 0);
  const uint32_t key = (window & ~0xffu) | ((window + 1) & 0xff);
  peers.b.qp->write(bind(window, key, peers.b.qp->number, peers.b.memory, peers.b.at(0), 100, kWindowWrite));
  peers.b.qp->write(bind(key, key, peers.b.qp->number, peers.b.memory, nullptr, 0, 0));
  peers.b.qp->ring();
  peers.sent(peers.b, 0);
  peers.sent(peers.b, 3);  // the bind takes three blocks
  peers.a.qp->send(remote(MLX5_OPCODE_RDMA_WRITE, peers.b.at(0), key).data(peers.a.put(pattern(8))));
  peers.failed(peers.a, 0, MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR);

  Peers beyond;
  EQUAL(beyond.card.nic.createMemoryWindow(beyond.card.pd, WindowType::type2, &window), 0);
  beyond.b.qp->send(
      bind(window, window + 1, beyond.b.qp->number, beyond.b.memory, beyond.b.at((1 << 20) - 99), 100, kWindowWrite));
  beyond.failed(beyond.b, 0, MLX5_CQE_SYNDROME_MW_BIND_ERR);
}

TEST(a_bind_whose_addresses_wrap_fails) {
  Peers peers;
  uint32_t window;
  EQUAL(peers.card.nic.createMemoryWindow(peers.card.pd, WindowType::type2, &window), 0);
  Wqe wraps = bind(window, window + 1, peers.b.qp->number, peers.b.memory, peers.b.at(0), 100, kWindowWrite);
  store64(&wraps.bytes[16 + 48 + 16], ~uint64_t{0} - 50);  // the address that the window begins at
  peers.b.qp->send(wraps);
  peers.failed(peers.b, 0, MLX5_CQE_SYNDROME_MW_BIND_ERR);
}
