// A NIC on each end of a veth pair, and the kernel beside one of them. Run by tests/soft/interface.test.ts in a network
// namespace where the interfaces soft0 (10.9.0.1) and soft1 exist; not one of the tests that run anywhere.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "interface_end.h"

using namespace soft;

namespace {

constexpr auto kDown = AsyncEventType::portError, kUp = AsyncEventType::portActive;

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
  EQUAL(sendto(descriptor, payload.data(), payload.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address),
        100);
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
  EQUAL(sendto(descriptor, payload.data(), payload.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address),
        2700);
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

TEST(the_port_follows_the_link_and_what_is_sent_meanwhile_is_lost) {
  End left("soft0"), right("soft1");
  const Bytes to{2, 0, 0, 0, 0, 0x77};
  CHECK(left.card.nic.linkUp(1) && right.card.nic.linkUp(1));
  shell("ip link set soft1 down");  // which takes the carrier from soft0
  left.expect({kDown});
  right.expect({kDown});
  CHECK(!left.card.nic.linkUp(1) && !right.card.nic.linkUp(1));
  left.send(ethernet(0x88b5, pattern(60, 1), to));
  shell("ip link set soft1 up");
  left.expect({kUp});
  right.expect({kUp});
  const Bytes frame = ethernet(0x88b5, pattern(60, 2), to);
  left.send(frame);
  CHECK(right.wait(to) == frame);
}

TEST(a_link_that_fell_and_rose_between_two_looks_says_so) {
  End left("soft0");
  shell("ip link set soft1 down");
  // Until the kernel has reported it in a message of its own: it merges changes that follow fast on each other.
  shell("until ip link show soft0 | grep -q NO-CARRIER; do :; done");
  shell("ip link set soft1 up; until ip link show soft0 | grep -q 'state UP'; do :; done");
  left.expect({kDown, kUp});
  shell("ip link set soft0 down; ip link set soft0 up; until ip link show soft0 | grep -q 'state UP'; do :; done");
  left.expect({kDown, kUp});
}

TEST(a_port_whose_interface_is_down_comes_up_with_it) {
  shell("ip link set soft0 down");
  End left("soft0");
  CHECK(!left.card.nic.linkUp(1));
  shell("ip link set soft0 up");
  left.expect({kUp});
  CHECK(left.card.nic.linkUp(1));
}

TEST(the_port_of_an_interface_that_is_gone_stays_down_and_rests) {
  End left("soft0"), right("soft1");
  shell("ip link delete soft1");  // soft0 goes with it
  left.expect({kDown});
  right.expect({kDown});
  left.send(ethernet(0x88b5, pattern(60)));
  for (End* end : {&left, &right}) {
    end->card.step();
    CHECK(!end->card.nic.linkUp(1));
    CHECK(!end->card.nic.step(end->card.now += 100000000));
    CHECK(end->card.events.events.empty());
    EQUAL(end->card.nic.deadline(), kNever);
    for (const int descriptor : end->card.nic.descriptors()) {
      pollfd waiting{descriptor, POLLIN, 0};
      EQUAL(poll(&waiting, 1, 0), 0);  // a ready descriptor would never let it sleep again
    }
  }
}

TEST(the_active_mtu_is_what_the_interface_carries) {
  End left("soft0");
  EQUAL(left.card.nic.activeMtu(1), 1024);
  // 80 bytes of headers, as rxe counts; tests/verbs/soft-rxe.test.ts compares with rxe itself.
  const std::pair<int, uint32_t> rows[] = {{9000, 4096}, {4176, 4096}, {4175, 2048}, {2128, 2048}, {2127, 1024},
                                           {1104, 1024}, {1103, 512},  {592, 512},   {591, 256},   {336, 256},
                                           {335, 256},   {68, 256},    {1500, 1024}};
  for (const auto& [mtu, payload] : rows) {
    shell("ip link set soft0 mtu " + std::to_string(mtu));
    while (left.card.nic.activeMtu(1) != payload) left.sleep();
    EQUAL(left.card.nic.activeMtu(1), payload);
  }
  CHECK(left.card.events.events.empty());
}
