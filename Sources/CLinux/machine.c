#define _GNU_SOURCE
#include "machine.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/input.h>
#include <linux/kexec.h>
#include <linux/if_packet.h>
#include <linux/ipmi.h>
#include <linux/nvme_ioctl.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int64_t clinux_block_size_bytes(int fd) {
  uint64_t size = 0;
  return ioctl(fd, BLKGETSIZE64, &size) < 0 ? -1 : (int64_t)size;
}
int clinux_block_sector_bytes(int fd) {
  int size = 0;
  return ioctl(fd, BLKSSZGET, &size) < 0 ? -1 : size;
}
int clinux_block_zero(int fd, uint64_t offset, uint64_t length) {
  uint64_t range[2] = {offset, length};
  return ioctl(fd, BLKZEROOUT, range);
}
int clinux_block_reread_partitions(int fd) { return ioctl(fd, BLKRRPART); }
int clinux_file_punch(int fd, uint64_t offset, uint64_t length) {
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
}
int clinux_open_direct_flag(void) { return O_DIRECT; }

int clinux_nvme_admin(int fd, uint8_t opcode, uint32_t name_space, uint32_t word10, void *data, uint32_t length,
                      uint32_t wait_ms) {
  struct nvme_admin_cmd command;
  memset(&command, 0, sizeof command);
  command.opcode = opcode;
  command.nsid = name_space;
  command.cdw10 = word10;
  command.addr = (uint64_t)(uintptr_t)data;
  command.data_len = length;
  command.timeout_ms = wait_ms;
  return ioctl(fd, NVME_IOCTL_ADMIN_CMD, &command);
}
int clinux_make_mutable(int fd) {
  int flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) return -1;
  flags &= ~FS_IMMUTABLE_FL;
  return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int clinux_open_packet_socket(uint16_t ethertype) {
  return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ethertype));
}
int clinux_join_multicast(int socket, int interface_index, const uint8_t address[6]) {
  struct packet_mreq request;
  memset(&request, 0, sizeof request);
  request.mr_ifindex = interface_index;
  request.mr_type = PACKET_MR_MULTICAST;
  request.mr_alen = 6;
  memcpy(request.mr_address, address, 6);
  return setsockopt(socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request);
}
long clinux_receive_frame(int socket, void *buffer, size_t length, int *interface_index, int wait_ms) {
  struct pollfd ready = {.fd = socket, .events = POLLIN};
  int events = poll(&ready, 1, wait_ms);
  if (events <= 0) return events;
  struct sockaddr_ll from;
  socklen_t size = sizeof from;
  long count = recvfrom(socket, buffer, length, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
  if (count < 0) return -1;
  /* What we send ourselves is seen too; it is nobody's announcement. */
  if (from.sll_pkttype == PACKET_OUTGOING) return 0;
  *interface_index = from.sll_ifindex;
  return count;
}

long clinux_kernel_log(char *buffer, size_t length) { return klogctl(3, buffer, (int)length); }
double clinux_monotonic_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
int clinux_power_off(void) { return reboot(RB_POWER_OFF); }

int clinux_load_kernel(int kernel, int initrd, const char *command_line) {
  unsigned long flags = initrd < 0 ? KEXEC_FILE_NO_INITRAMFS : 0;
  return (int)syscall(SYS_kexec_file_load, kernel, initrd, strlen(command_line) + 1, command_line, flags);
}
int clinux_start_loaded(void) { return reboot(RB_KEXEC); }

int clinux_link_down(const char *name) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  int failed = ioctl(fd, SIOCGIFFLAGS, &request);
  request.ifr_flags &= (short)~IFF_UP;
  if (!failed) failed = ioctl(fd, SIOCSIFFLAGS, &request);
  if (!failed) failed = ioctl(fd, SIOCGIFFLAGS, &request);
  int reason = failed ? errno : EBUSY;
  close(fd);
  if (!failed && !(request.ifr_flags & IFF_UP)) return 0;
  errno = reason;
  return -1;
}

int clinux_has_power_button(int fd) {
  unsigned char keys[KEY_MAX / 8 + 1];
  memset(keys, 0, sizeof keys);
  return ioctl(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys) >= 0 && (keys[KEY_POWER / 8] >> (KEY_POWER % 8) & 1);
}
int clinux_await_power_button(const int *devices, int count, int wait_ms) {
  struct pollfd ready[16];
  if (count > 16) count = 16;
  for (int i = 0; i < count; i++) ready[i] = (struct pollfd){.fd = devices[i], .events = POLLIN};
  int events = poll(ready, (nfds_t)count, wait_ms);
  if (events < 0 && errno == EINTR) return 0;
  if (events <= 0) return events;
  for (int i = 0; i < count; i++) {
    struct input_event event;
    if (!(ready[i].revents & (POLLIN | POLLERR | POLLHUP))) continue;
    if (read(devices[i], &event, sizeof event) != sizeof event) return -1;
    if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) return 1;
  }
  return 0;
}

long clinux_ipmi_command(int fd, uint8_t function, uint8_t command, const uint8_t *data, size_t length, uint8_t *reply,
                         size_t reply_length, int wait_ms) {
  static long last = 0;
  struct ipmi_system_interface_addr to;
  memset(&to, 0, sizeof to);
  to.addr_type = IPMI_SYSTEM_INTERFACE_ADDR_TYPE;
  to.channel = IPMI_BMC_CHANNEL;
  struct ipmi_req request;
  memset(&request, 0, sizeof request);
  request.addr = (unsigned char *)&to;
  request.addr_len = sizeof to;
  request.msgid = ++last;
  request.msg.netfn = function;
  request.msg.cmd = command;
  request.msg.data = (unsigned char *)data;
  request.msg.data_len = (unsigned short)length;
  if (ioctl(fd, IPMICTL_SEND_COMMAND, &request) < 0) return -1;
  for (;;) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int count = poll(&ready, 1, wait_ms);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = ETIMEDOUT;
    if (count <= 0) return -1;
    struct ipmi_addr from;
    struct ipmi_recv answer;
    memset(&answer, 0, sizeof answer);
    answer.addr = (unsigned char *)&from;
    answer.addr_len = sizeof from;
    answer.msg.data = reply;
    answer.msg.data_len = (unsigned short)reply_length;
    if (ioctl(fd, IPMICTL_RECEIVE_MSG_TRUNC, &answer) < 0 && errno != EMSGSIZE) return -1;
    /* The answer to a question that was given up is not this one's. */
    if (answer.recv_type == IPMI_RESPONSE_RECV_TYPE && answer.msgid == last) return answer.msg.data_len;
  }
}
