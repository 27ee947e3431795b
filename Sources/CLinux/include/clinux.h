#ifndef CLINUX_H
#define CLINUX_H
/* Linux calls whose C declarations Swift does not import: variadic functions and macros of casts. */
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

/* ioctl with a pointer and with an integer; both return what ioctl returns and set errno. */
int clinux_ioctl_pointer(int fd, unsigned long request, void *argument);
int clinux_ioctl_int(int fd, unsigned long request, long argument);
/* setns(2) into a network namespace. */
int clinux_setns_network(int fd);
/* fcntl record lock on the whole file, not waiting: 0 or -1. */
int clinux_lock_file(int fd);
/* Open a tap interface in the caller's network namespace: a file descriptor or -1. */
int clinux_open_tap(const char *name);
/* A raw packet socket (close-on-exec, not blocking) on one interface of the caller's network namespace, which is brought up and takes
   frames for anybody: a file descriptor or -1. */
int clinux_open_packet_on(const char *name);
/* The process that listens on the other side of a connected Unix socket, or -1. */
pid_t clinux_peer_process(int socket);
/* Standard output goes out line by line, also into a pipe. */
void clinux_line_buffer_output(void);
/* Start `path` as leader of a new session and process group, with every other descriptor closed, no signal blocked and
   every signal at its default. Standard input, output and error are `in`, `out` and `err`; when `terminal` is not null
   it is opened in their place and becomes the controlling terminal. 0 and the process in `pid`, or an errno. */
int clinux_spawn(pid_t *pid, const char *path, char *const argv[], char *const envp[], int in, int out, int err,
                 const char *terminal);
/* Make `path`, which must not exist, with these bytes and mode, and never while a child of clinux_spawn still has our descriptors: the
   kernel refuses to load a program that anybody has open for writing (ETXTBSY). 0 or an errno. */
int clinux_write_program(const char *path, const void *bytes, size_t length, mode_t mode);
/* pidfd_open(2): a descriptor that polls readable once the process has ended, or -1. */
int clinux_pidfd_open(pid_t pid);
/* A new pseudo terminal in raw mode, 80 by 25: the master (close-on-exec, not blocking) or -1; the slave's path goes to
   `path`. The slave is also left open in `slave`, so that the master does not read EIO before the program starts. */
int clinux_open_pty(char *path, size_t size, int *slave);
/* pipe2(2) and eventfd(2), close-on-exec (the eventfd not blocking): 0 or a descriptor; -1 and errno. */
int clinux_pipe(int ends[2]);
int clinux_eventfd(void);
/* Name of the calling thread, up to 15 bytes, as `ps -L` shows it. */
void clinux_name_thread(const char *name);
/* memmem(3): where `text` begins in `bytes`, or -1. */
long clinux_find(const void *bytes, size_t length, const void *text, size_t text_length);
/* What only the agent needs. */
#include "machine.h"
#endif
