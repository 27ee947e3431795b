#define _GNU_SOURCE
#include "clinux.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <errno.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
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

int clinux_open_packet_on(const char *name) {
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
  if (fd < 0) return -1;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  int failed = ioctl(fd, SIOCGIFFLAGS, &request);
  request.ifr_flags |= IFF_UP | IFF_PROMISC;
  if (!failed) failed = ioctl(fd, SIOCSIFFLAGS, &request);
  if (!failed) failed = ioctl(fd, SIOCGIFINDEX, &request);
  struct sockaddr_ll address;
  memset(&address, 0, sizeof address);
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = request.ifr_ifindex;
  if (!failed) failed = bind(fd, (struct sockaddr *)&address, sizeof address);
  if (failed) {
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
  }
  return fd;
}

pid_t clinux_peer_process(int socket) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : -1;
}

int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

/* Held shared while a child has our descriptors (until it has loaded its program), alone while a program is written. */
static pthread_rwlock_t loading = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

int clinux_write_program(const char *path, const void *bytes, size_t length, mode_t mode) {
  /* A program whose disk hangs while it is loaded holds up no more than this. */
  struct timespec limit;
  clock_gettime(CLOCK_MONOTONIC, &limit);
  limit.tv_sec += 10;
  int failed = pthread_rwlock_clockwrlock(&loading, CLOCK_MONOTONIC, &limit);
  if (failed) return failed;
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) {
    failed = errno;
  } else {
    for (size_t written = 0; !failed && written < length;) {
      ssize_t count = write(fd, (const char *)bytes + written, length - written);
      if (count >= 0) written += (size_t)count;
      else if (errno != EINTR) failed = errno;
    }
    if (!failed && fchmod(fd, mode)) failed = errno;
    if (close(fd) && !failed) failed = errno;
  }
  pthread_rwlock_unlock(&loading);
  return failed;
}

int clinux_spawn(pid_t *pid, const char *path, char *const argv[], char *const envp[], int in, int out, int err,
                 const char *terminal) {
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
  sigset_t none, all;
  int failed = posix_spawnattr_init(&attributes);
  if (failed) return failed;
  failed = posix_spawn_file_actions_init(&actions);
  if (failed) {
    posix_spawnattr_destroy(&attributes);
    return failed;
  }
  sigemptyset(&none);
  sigfillset(&all);
  sigdelset(&all, SIGKILL);
  sigdelset(&all, SIGSTOP);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  if (terminal) {
    /* The session was made before the file actions run: opening a terminal now makes it the controlling one. */
    if (!failed) failed = posix_spawn_file_actions_addopen(&actions, 0, terminal, O_RDWR, 0);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, 0, 1);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, 0, 2);
  } else {
    if (!failed)
      failed = in < 0 ? posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
                      : posix_spawn_file_actions_adddup2(&actions, in, 0);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, err, 2);
  }
  if (!failed) failed = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  if (!failed) failed = pthread_rwlock_rdlock(&loading);
  if (!failed) {
    failed = posix_spawn(pid, path, &actions, &attributes, argv, envp);
    pthread_rwlock_unlock(&loading);
  }
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return failed;
}

int clinux_open_pty(char *path, size_t size, int *slave) {
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master < 0) return -1;
  struct termios settings;
  struct winsize window = {.ws_row = 25, .ws_col = 80};
  if (grantpt(master) || unlockpt(master) || ptsname_r(master, path, size)) goto failed;
  *slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*slave < 0) goto failed;
  if (tcgetattr(*slave, &settings) == 0) {
    cfmakeraw(&settings);
    tcsetattr(*slave, TCSANOW, &settings);
  }
  ioctl(*slave, TIOCSWINSZ, &window);
  return master;
failed:
  close(master);
  return -1;
}

int clinux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }
int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

void clinux_line_buffer_output(void) { setvbuf(stdout, NULL, _IOLBF, 0); }

long clinux_find(const void *bytes, size_t length, const void *text, size_t text_length) {
  const char *found = memmem(bytes, length, text, text_length);
  return found ? found - (const char *)bytes : -1;
}
