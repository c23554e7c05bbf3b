// Another program's XDP program, which passes every frame: attaches it to an interface by bpf(2), prints a line, and
// keeps it there until its input ends; with a mode, attaches it by netlink, which leaves it there for good.
//
//   foreign-xdp NAME INTERFACE [xdpdrv|xdpgeneric]
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr* attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static int set(int index, int program, uint32_t flags) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
    struct rtattr xdp, fd_header;
    int32_t fd;
    struct rtattr flags_header;
    uint32_t flags;
  } request = {
      .header = {sizeof request, RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0},
      .link = {.ifi_index = index},
      .xdp = {sizeof request - sizeof request.header - sizeof request.link, NLA_F_NESTED | IFLA_XDP},
      .fd_header = {8, IFLA_XDP_FD},
      .fd = program,
      .flags_header = {8, IFLA_XDP_FLAGS},
      .flags = flags,
  };
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char rest[512];
  } answer;
  const int socket_ = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (send(socket_, &request, sizeof request, 0) < 0 || recv(socket_, &answer, sizeof answer, 0) < 0) return errno;
  return -answer.error.error;
}

int main(int count, char** words) {
  if (count != 3 && count != 4) return 2;
  const struct bpf_insn code[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_EXIT},
  };
  union bpf_attr load, link;
  memset(&load, 0, sizeof load);
  load.prog_type = BPF_PROG_TYPE_XDP;
  load.insns = (uintptr_t)code;
  load.insn_cnt = 2;
  load.license = (uintptr_t)"GPL";
  strncpy(load.prog_name, words[1], sizeof load.prog_name - 1);
  if (count == 4) {
    const uint32_t mode = strcmp(words[3], "xdpdrv") ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
    const int error = set((int)if_nametoindex(words[2]), bpf(BPF_PROG_LOAD, &load), mode);
    if (error) printf("%s\n", strerror(error));
    return error != 0;
  }
  memset(&link, 0, sizeof link);
  link.link_create.prog_fd = bpf(BPF_PROG_LOAD, &load);
  link.link_create.target_ifindex = if_nametoindex(words[2]);
  link.link_create.attach_type = BPF_XDP;
  link.link_create.flags = XDP_FLAGS_DRV_MODE;
  if ((int)link.link_create.prog_fd < 0 || bpf(BPF_LINK_CREATE, &link) < 0) {
    printf("%s\n", strerror(errno));
    return 1;
  }
  puts("attached");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) continue;
  return 0;
}
