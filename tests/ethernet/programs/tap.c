// Makes a TAP device and writes the frames sent through it to stdout: the frames that a device without any offload
// would put on a wire. argv: the device's name. stdout: for each frame its length, 32 bits in the machine's order, and
// its bytes; a length of 0 announces that the device exists. Ends, and with it the device, at the end of stdin.
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static unsigned char frame[1 << 17];

static void put(const void* bytes, size_t length) {
  if (fwrite(bytes, 1, length, stdout) != length) _exit(1);
}

int main(int count, char** words) {
  const int tap = open("/dev/net/tun", O_RDWR);
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (count != 2 || tap < 0) return 2;
  strncpy(request.ifr_name, words[1], IFNAMSIZ - 1);
  if (ioctl(tap, TUNSETIFF, &request)) {
    fprintf(stderr, "TUNSETIFF: %s\n", strerror(errno));
    return 1;
  }
  uint32_t length = 0;
  put(&length, sizeof length);
  fflush(stdout);
  for (;;) {
    struct pollfd ready[] = {{tap, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (poll(ready, 2, -1) < 0) return 1;
    if (ready[0].revents) {
      const ssize_t got = read(tap, frame, sizeof frame);
      if (got < 0) return errno == EIO || errno == EBADFD ? 0 : 1;
      length = (uint32_t)got;
      put(&length, sizeof length);
      put(frame, length);
      fflush(stdout);
    } else if (ready[1].revents) {
      return 0;
    }
  }
}
