// Calls that have nothing to do with RDMA, beside the hooks of the software ConnectX or without them.
//
//   soft_hooks
//   calls 10000 1000  →  [nanoseconds an open and a close, a stat, an opendir with a readdir and a closedir]
//
// Each is the least of a hundred parts: what the call costs, not what ran beside it.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve.h"

static void open_once(void) {
  const int file = open("/dev/null", O_RDONLY);
  if (file < 0 || close(file) != 0) fail("/dev/null");
}

static void stat_once(void) {
  struct stat status;
  if (stat("/tmp", &status) != 0) fail("/tmp");
}

static void list_once(void) {
  DIR *folder = opendir("/tmp");
  if (folder == NULL) fail("/tmp");
  readdir(folder);
  closedir(folder);
}

static double least(void (*once)(void), long count) {
  enum { kParts = 100 };
  double best = 0;
  for (int part = 0; part < kParts; part++) {
    const uint64_t begin = now();
    for (long i = 0; i < count / kParts; i++) once();
    const double each = (double)(now() - begin) / (double)(count / kParts);
    if (part == 0 || each < best) best = each;
  }
  return best;
}

static void answer(const char *command, long count, long warmup, void *context) {
  (void)context;
  if (strcmp(command, "calls") != 0 || count < 100) {
    fprintf(stderr, "want: calls COUNT WARMUP, 100 at least\n");
    exit(2);
  }
  for (long i = 0; i < warmup; i++) open_once();
  printf("[%.1f, %.1f, %.1f]\n", least(open_once, count), least(stat_once, count), least(list_once, count));
}

int main(void) {
  serve(answer, NULL);
  return 0;
}
