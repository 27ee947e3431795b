#define _GNU_SOURCE
#include "clinux.h"
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

int clinux_ioctl_pointer(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
int clinux_ioctl_int(int fd, unsigned long request, long argument) { return ioctl(fd, request, argument); }
int clinux_setns_network(int fd) { return setns(fd, CLONE_NEWNET); }
int clinux_lock_file(int fd) { return flock(fd, LOCK_EX | LOCK_NB); }

int clinux_open_tap(const char *name) {
  int fd = open("/dev/net/tun", O_RDWR);
  if (fd < 0) return -1;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}
