// A driver with n-tuple rules, for ethtool and for this library: preloaded before libc by LD_PRELOAD, it answers the
// requests about rules and passes all others on. It writes the requests to $NTUPLE_LOG, a line each: "insert", the
// location and struct ethtool_rx_flow_spec in hexadecimal, or "delete" and the location.
//
// $NTUPLE_SIZE: the number of places in its table; 0: it chooses them itself, counting from 100. $NTUPLE_FULL: the
// number of rules that it accepts before EINVAL.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char taken[1024];
static unsigned count, next = 100;

static unsigned number(const char* name, unsigned otherwise) {
  const char* value = getenv(name);
  return value ? (unsigned)atoi(value) : otherwise;
}

static int answer(struct ethtool_rxnfc* command) {
  const unsigned size = number("NTUPLE_SIZE", 0);
  struct ethtool_rx_flow_spec* rule = &command->fs;
  if (command->cmd == ETHTOOL_GRXCLSRLCNT) {
    command->rule_cnt = count;
    command->data = size ? size : RX_CLS_LOC_SPECIAL;
    return 0;
  }
  if (command->cmd == ETHTOOL_GRXCLSRLALL) {
    unsigned n = 0;
    for (unsigned i = 0; i < size; i++) {
      if (taken[i]) command->rule_locs[n++] = i;
    }
    command->rule_cnt = n;
    command->data = size;
    return 0;
  }
  FILE* log = fopen(getenv("NTUPLE_LOG"), "a");
  if (!log) abort();
  if (command->cmd == ETHTOOL_SRXCLSRLINS) {
    if (count >= number("NTUPLE_FULL", 1000)) {
      fclose(log);
      errno = EINVAL;
      return -1;
    }
    struct ethtool_rx_flow_spec shown = *rule;
    if (rule->location & RX_CLS_LOC_SPECIAL) rule->location = next++;
    if (rule->location < sizeof taken) taken[rule->location] = 1;
    count++;
    fprintf(log, "insert %u ", rule->location);
    for (size_t i = 0; i < sizeof shown; i++) fprintf(log, "%02x", ((unsigned char*)&shown)[i]);
    fprintf(log, "\n");
  } else {
    if (rule->location < sizeof taken) taken[rule->location] = 0;
    count--;
    fprintf(log, "delete %u\n", rule->location);
  }
  fclose(log);
  return 0;
}

int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request == SIOCETHTOOL) {
    struct ethtool_rxnfc* command = (void*)((struct ifreq*)argument)->ifr_data;
    switch (command->cmd) {
      case ETHTOOL_GRXCLSRLCNT:
      case ETHTOOL_GRXCLSRLALL:
      case ETHTOOL_SRXCLSRLINS:
      case ETHTOOL_SRXCLSRLDEL: return answer(command);
    }
  }
  static int (*real)(int, unsigned long, void*);
  if (!real) real = (int (*)(int, unsigned long, void*))dlsym(RTLD_NEXT, "ioctl");
  return real(fd, request, argument);
}
