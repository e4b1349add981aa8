/*
 * Pairs of connected sockets for tests, non-blocking and close-on-exec, and ways to wait
 * for them.  Everything ends the test program on failure or after ten seconds.
 */
#ifndef TESTS_NET_PAIR_H
#define TESTS_NET_PAIR_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/value.h"

void net_pair_unix(int fds[2]);
void net_pair_tcp(int fds[2]);

/* As little room for sending as the kernel allows. */
void net_pair_shrink(const int fds[2]);

/* A socket listening on a free port of 127.0.0.1. */
int net_listen(struct address *address);

/* A socket that holds a free port of 127.0.0.1 without listening: it refuses. */
int net_refuse(struct address *address);

/* The address of a unix socket. */
void net_unix_address(const char *path, struct address *address);

void net_wait(int fd, short events);

/* Whether the descriptor is ready for `events` now. */
bool net_is_ready(int fd, short events);

/* Sends everything, waiting for room. */
void net_send(int fd, const void *bytes, size_t length);

/* Takes what is there now: the number of bytes, 0 at the end, -1 when there is nothing,
 * -2 after a reset. */
int net_take(int fd, void *bytes, size_t size);

/* Closes with a reset. */
void net_reset(int fd);

/* Sends until the socket takes no more; returns how much that was. */
size_t net_fill(int fd);

/* The open descriptors of this process. */
size_t net_open_fds(void);

/* Bytes that differ from place to place. */
void net_pattern(uint8_t *bytes, size_t length, unsigned seed);

#endif
