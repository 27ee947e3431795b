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
#endif
