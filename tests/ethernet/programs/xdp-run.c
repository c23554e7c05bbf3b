// Loads XDP programs and runs each on frames, with bpf(2) BPF_PROG_TEST_RUN.
//
// stdin: for each program: its length in bytes, the program, the number of frames, and for each its length and bytes;
// numbers are 32 bits in the machine's order. stdout: for each frame the program's answer, 32 bits. A program that the
// verifier refuses ends it with code 1 and the verifier's log on stderr.
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

int main(void) {
  uint32_t length, count;
  while (number(&length)) {
    bytes(program, length, sizeof program);
    union bpf_attr load;
    memset(&load, 0, sizeof load);
    load.prog_type = BPF_PROG_TYPE_XDP;
    load.insns = (uintptr_t)program;
    load.insn_cnt = length / 8;
    load.license = (uintptr_t) "GPL";
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
  }
  return 0;
}
