// Loads XDP programs and runs each on frames, with bpf(2) BPF_PROG_TEST_RUN.
//
// stdin: for each program: its length in bytes, the program, the number of frames, and for each its length and bytes;
// numbers are 32 bits in the machine's order. stdout: for each frame the program's answer, 32 bits. A program that the
// verifier refuses ends it with code 1 and the verifier's log on stderr. With --fragments a frame longer than a page is
// in several buffers (BPF_F_XDP_HAS_FRAGS).
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned char program[1 << 18], frame[1 << 16], out[1 << 17];
static char verifier[1 << 20];

static int number(uint32_t* value) { return fread(value, sizeof *value, 1, stdin) == 1; }

static void bytes(void* to, uint32_t length, size_t room) {
  if (length > room || fread(to, 1, length, stdin) != length) {
    fprintf(stderr, "input ends early\n");
    exit(2);
  }
}

// Puts an empty XSKMAP in place of every map reference (BPF_PSEUDO_MAP_FD), whatever its number. -1: it cannot be made.
static int putMap(uint32_t length) {
  struct bpf_insn* instructions = (struct bpf_insn*)program;
  int map = -1;
  for (uint32_t i = 0; i < length / sizeof *instructions; i++) {
    if (instructions[i].code != (BPF_LD | BPF_IMM | BPF_DW)) continue;
    union bpf_attr create;
    memset(&create, 0, sizeof create);
    create.map_type = BPF_MAP_TYPE_XSKMAP;
    create.key_size = create.value_size = sizeof(uint32_t);
    create.max_entries = 4;
    map = syscall(SYS_bpf, BPF_MAP_CREATE, &create, sizeof create);
    if (map < 0) {
      fprintf(stderr, "BPF_MAP_CREATE: %s\n", strerror(errno));
      exit(errno == EPERM ? 3 : 1);
    }
    instructions[i].imm = map;
  }
  return map;
}

// Linux 5.18; older headers lack it.
#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

int main(int words, char** word) {
  uint32_t length, count;
  while (number(&length)) {
    bytes(program, length, sizeof program);
    const int map = putMap(length);
    union bpf_attr load;
    memset(&load, 0, sizeof load);
    load.prog_type = BPF_PROG_TYPE_XDP;
    load.insns = (uintptr_t)program;
    load.insn_cnt = length / 8;
    load.license = (uintptr_t)"GPL";
    if (words > 1 && strcmp(word[1], "--fragments") == 0) load.prog_flags = BPF_F_XDP_HAS_FRAGS;
    int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    if (fd < 0) {
      const int error = errno;
      load.log_buf = (uintptr_t)verifier;
      load.log_size = sizeof verifier;
      load.log_level = 1;
      syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
      fprintf(stderr, "BPF_PROG_LOAD: %s\n%s\n", strerror(error), verifier);
      return error == EPERM ? 3 : 1;
    }
    if (!number(&count)) return 2;
    for (uint32_t i = 0; i < count; i++) {
      if (!number(&length)) return 2;
      bytes(frame, length, sizeof frame);
      union bpf_attr run;
      memset(&run, 0, sizeof run);
      run.test.prog_fd = fd;
      run.test.data_in = (uintptr_t)frame;
      run.test.data_size_in = length;
      run.test.data_out = (uintptr_t)out;
      run.test.data_size_out = sizeof out;
      if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &run, sizeof run)) {
        fprintf(stderr, "BPF_PROG_TEST_RUN: %s\n", strerror(errno));
        return 1;
      }
      fwrite(&run.test.retval, sizeof run.test.retval, 1, stdout);
    }
    close(fd);
    if (map >= 0) close(map);
  }
  return 0;
}
