// Somebody else's XDP program, which passes every frame: puts it on an interface by bpf(2), says so, and leaves it there
// until its input ends. Usage: foreign-xdp NAME INTERFACE
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr* attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

int main(int count, char** words) {
  if (count != 3) return 2;
  const struct bpf_insn code[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_EXIT},
  };
  union bpf_attr load, link;
  memset(&load, 0, sizeof load);
  load.prog_type = BPF_PROG_TYPE_XDP;
  load.insns = (uintptr_t)code;
  load.insn_cnt = 2;
  load.license = (uintptr_t) "GPL";
  strncpy(load.prog_name, words[1], sizeof load.prog_name - 1);
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
