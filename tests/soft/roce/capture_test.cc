// Every kind of packet, for inspection: with ROCE_FRAMES=FILE the test writes each frame there as a line of hex, and
// tests/soft/roce.test.ts compares tshark's reading of them. It writes the addresses too: they differ from run to run.
#include "peers.h"

using namespace soft;

namespace {

void record(std::FILE* file, const ScriptedWire& wire) {
  for (const Seen& seen : wire.seen) {
    std::fprintf(file, "%s\n", hex(seen.frame.data(), seen.frame.size()).c_str());
  }
}

}  // namespace

TEST(every_operation_on_the_wire) {
  const char* path = std::getenv("ROCE_FRAMES");
  std::FILE* file = std::fopen(path != nullptr ? path : "/dev/null", "w");
  CHECK(file != nullptr);
  {
    Peers peers;
    uint8_t* there = peers.b.at(0);
    const uint32_t key = peers.b.memory.key;
    std::fprintf(file, "%llx %x\n", static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(there)), key);
    peers.a.put(pattern(1500));
    uint16_t index = 0;
    const auto done = [&](const Wqe& wqe) {
      peers.b.qp->receive({peers.b.memory.sge(8192, 4096)});
      peers.a.qp->send(wqe);
      peers.settle();
      peers.sent(peers.a, index);
      index = peers.a.qp->produced;
    };
    const Sge two = peers.a.memory.sge(0, 1030), one = peers.a.memory.sge(0, 5), eight = peers.a.memory.sge(4096, 8);
    done(Wqe(MLX5_OPCODE_SEND).data(two));
    done(immediate(Wqe(MLX5_OPCODE_SEND_IMM, MLX5_WQE_CTRL_CQ_UPDATE | MLX5_WQE_CTRL_SOLICITED).data(one), 0x11223344));
    done(remote(MLX5_OPCODE_RDMA_WRITE, there, key).data(two));
    done(immediate(remote(MLX5_OPCODE_RDMA_WRITE_IMM, there, key).data(one), 0x55667788));
    done(remote(MLX5_OPCODE_RDMA_READ, there, key).data(two));
    done(atomic(MLX5_OPCODE_ATOMIC_CS, there + 64, key, 0x0102030405060708, 0).data(eight));
    done(atomic(MLX5_OPCODE_ATOMIC_FA, there + 64, key, 2).data(eight));
    peers.b.qp->receive({});
    peers.a.qp->send(
        immediate(Wqe(MLX5_OPCODE_SEND_INVAL).inlined(pattern(40)), 0xabcd00));  // no window has this key: no answer
    peers.settle();
    CHECK(peers.b.qp->state() == QueuePairState::err);
    record(file, *peers.wire);
  }
  {
    Peers peers;  // not ready; then a loss
    peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(40)));
    peers.settle();
    peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
    peers.sent(peers.a, 0);
    peers.b.qp->receive({peers.b.memory.sge(0, 4096)});
    bool lost = false;
    peers.wire->script = [&](int, const Bytes& frame) {
      if (lost || operationOf(frame) != kSendFirst) return ScriptedWire::Fate::deliver;
      lost = true;
      return ScriptedWire::Fate::drop;
    };
    peers.a.qp->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(pattern(1032))));
    peers.sent(peers.a, 1);
    record(file, *peers.wire);
  }
  for (const QueuePairType type : {QueuePairType::uc, QueuePairType::ud}) {
    PeersOptions options;
    options.type = type;
    options.ipv6 = true;
    Peers peers(options);
    const Wqe wqe = type == QueuePairType::uc
                        ? Wqe(MLX5_OPCODE_SEND)
                        : datagram(MLX5_OPCODE_SEND, linkLocal(2), macOf(2), peers.b.qp->number, kQkey, 1);
    Wqe whole = wqe;
    peers.a.qp->send(whole.inlined(pattern(40)));
    peers.settle();
    record(file, *peers.wire);
  }
  std::fclose(file);
}
