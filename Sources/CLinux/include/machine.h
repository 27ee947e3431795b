#ifndef CLINUX_MACHINE_H
#define CLINUX_MACHINE_H
/* What the agent needs of the machine it runs on: block devices, raw frames, the kernel's log, power, SHA instructions. */
#include <stddef.h>
#include <stdint.h>

/* Block devices. Each returns 0 (or the value) or -1 with errno. */
int64_t clinux_block_size_bytes(int fd);
int clinux_block_sector_bytes(int fd);
int clinux_block_zero(int fd, uint64_t offset, uint64_t length);
int clinux_block_reread_partitions(int fd);
/* fallocate(2) with PUNCH_HOLE | KEEP_SIZE: a regular file reads zero there. */
int clinux_file_punch(int fd, uint64_t offset, uint64_t length);
/* The O_DIRECT flag of open(2), a macro that differs by architecture. */
int clinux_open_direct_flag(void);

/* One admin command to an NVMe controller through its disk or its own device: 0, the controller's status when that is not 0, or -1 with
   errno. The data is read from the controller. */
int clinux_nvme_admin(int fd, uint8_t opcode, uint32_t name_space, uint32_t word10, void *data, uint32_t length,
                      uint32_t wait_ms);
/* Takes the immutable flag off a file, so that it can be removed (efivarfs sets it): 0 or -1 with errno. */
int clinux_make_mutable(int fd);

/* A raw packet socket for one EtherType on every interface. */
int clinux_open_packet_socket(uint16_t ethertype);
int clinux_join_multicast(int socket, int interface_index, const uint8_t address[6]);
/* Waits up to `wait_ms` for a frame: its length, 0 when none came, -1 on errors. */
long clinux_receive_frame(int socket, void *buffer, size_t length, int *interface_index, int wait_ms);

/* One IPMI command to the machine's own controller through the kernel's device: the answer's length, its completion code first,
   or -1 with errno (ETIMEDOUT after `wait_ms`). */
long clinux_ipmi_command(int fd, uint8_t function, uint8_t command, const uint8_t *data, size_t length, uint8_t *reply,
                         size_t reply_length, int wait_ms);

/* The kernel's log ring, its newest `length` bytes: how many were read, or -1. */
long clinux_kernel_log(char *buffer, size_t length);
/* Seconds since some fixed point, never going back. */
double clinux_monotonic_seconds(void);
/* reboot(2); returns only on failure. */
int clinux_power_off(void);

/* Has the kernel keep another one, to be started by clinux_start_loaded: 0 or -1 with errno. Neither descriptor may be open for writing
   elsewhere; an `initrd` of -1 is none. */
int clinux_load_kernel(int kernel, int initrd, const char *command_line);
/* Starts it; returns only on failure. */
int clinux_start_loaded(void);
/* Takes a network interface down and looks that it is: 0 or -1 with errno. */
int clinux_link_down(const char *name);
/* Whether an input device (/dev/input/event*) has a power button. */
int clinux_has_power_button(int fd);
/* Waits for a press of one of them: 1, or 0 when none came in `wait_ms`, or -1 with errno. */
int clinux_await_power_button(const int *devices, int count, int wait_ms);

/* Whether the processor has the SHA-256 instructions, and their use: `blocks` blocks of 64 bytes into `state`. */
int clinux_has_sha256(void);
void clinux_sha256_blocks(uint32_t state[8], const uint8_t *bytes, size_t blocks);
#endif
