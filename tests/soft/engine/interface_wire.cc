// A NIC on each end of a veth pair, and the kernel beside one of them. Run by tests/soft/interface.test.ts in a network
// namespace where the interfaces soft0 (10.9.0.1) and soft1 exist; not one of the tests that run anywhere.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"

using namespace soft;

namespace {

// A card on an interface, to whose queue everything comes.
struct End {
  explicit End(const char* interface) : cq(card.nic, 64), memory(card.nic, card.pd, 1 << 16) {
    int error = 0;
    auto wire = makeInterfaceWire(interface, &error);
    EQUAL(error, 0);
    EQUAL(card.nic.connect(1, wire), 0);
    qp = card.rawQp(cq, cq);
    qp->bringUp();
    card.everythingTo(*qp);
    for (size_t i = 0; i < 16; ++i) qp->receive({memory.sge(i * 2048, 2048)});
  }
  void send(const Bytes& frame) {
    std::copy(frame.begin(), frame.end(), memory.bytes.begin() + 40000);
    qp->send(Wqe(MLX5_OPCODE_SEND, 0).eth().data(memory.sge(40000, static_cast<uint32_t>(frame.size()))));
    card.step();
  }
  // Sleeps on the wire's descriptor until a frame comes that begins with `destination`; others are not ours.
  Bytes wait(const Bytes& destination) {
    const std::vector<int> descriptors = card.nic.descriptors();
    EQUAL(descriptors.size(), 1);
    for (;;) {
      while (const uint8_t* cqe = cq.poll()) {
        EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_SEND);
        checks = cqe[28];
        const size_t slot = wqeCounter(cqe) % 16;
        const uint8_t* at = memory.bytes.data() + slot * 2048;
        const Bytes frame(at, at + byteCount(cqe));
        qp->receive({memory.sge(slot * 2048, 2048)});
        if (std::equal(destination.begin(), destination.end(), frame.begin())) return frame;
      }
      pollfd waiting{descriptors[0], POLLIN, 0};
      if (poll(&waiting, 1, 10000) != 1) failAt(__FILE__, __LINE__, "nothing came");
      card.step();
    }
  }

  Card card;
  Cq cq;
  Region memory;
  std::unique_ptr<Qp> qp;
  int checks = 0;
};

}  // namespace

TEST(frames_cross_a_veth_pair) {
  End left("soft0"), right("soft1");
  const Bytes to{2, 0, 0, 0, 0, 0x77};
  for (const size_t size : {20, 60, 1400}) {
    const Bytes frame = ethernet(0x88b5, pattern(size), to);
    left.send(frame);
    CHECK(right.wait(to) == frame);
    right.send(frame);
    CHECK(left.wait(to) == frame);
  }
  const Bytes tag = tagged(0x2005, 0x88b5, pattern(60), to);
  left.send(tag);
  CHECK(right.wait(to) == tag);
}

TEST(what_the_kernel_sends_has_its_checksum_completed) {
  End right("soft1");
  const int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(2000);
  address.sin_addr.s_addr = htonl(0x0a090002);
  const Bytes payload = pattern(100);
  EQUAL(sendto(descriptor, payload.data(), payload.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address), 100);
  const Bytes frame = right.wait({2, 0, 0, 0, 0, 2});
  close(descriptor);
  EQUAL(frame.size(), 142);
  BYTES(frame.data() + 42, payload.data(), 100);
  EQUAL(right.checks, MLX5_CQE_L2_OK | MLX5_CQE_L3_OK | MLX5_CQE_L4_OK);
}

TEST(what_the_kernel_left_to_be_segmented_arrives_as_segments) {
  End right("soft1");
  const int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int size = 500;
  EQUAL(setsockopt(descriptor, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(2000);
  address.sin_addr.s_addr = htonl(0x0a090002);
  const Bytes payload = pattern(2700);
  EQUAL(sendto(descriptor, payload.data(), payload.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address), 2700);
  Bytes together;
  while (together.size() < payload.size()) {
    const Bytes frame = right.wait({2, 0, 0, 0, 0, 2});
    EQUAL(frame.size(), together.size() == 2500 ? 242 : 542);
    EQUAL(right.checks, MLX5_CQE_L2_OK | MLX5_CQE_L3_OK | MLX5_CQE_L4_OK);
    together.insert(together.end(), frame.begin() + 42, frame.end());
  }
  close(descriptor);
  CHECK(together == payload);
}
