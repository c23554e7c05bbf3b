// Shared by every C peer: a loop that answers one line of JSON to each line of standard input, and a clock.
//
// Header only, so that one `cc` builds a peer; static inline, so that a peer may use a part of it.
#pragma once

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// Calls answer(command, count, warm-up, context) for each line "COMMAND COUNT WARMUP" until the end of input.
static inline void serve(void (*answer)(const char *, long, long, void *), void *context) {
  char line[256], command[64];
  long count, warmup;
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "%63s %ld %ld", command, &count, &warmup) != 3 || count < 0 || warmup < 0) {
      fprintf(stderr, "not understood: %s", line);
      exit(2);
    }
    answer(command, count, warmup, context);
    fflush(stdout);
  }
}
