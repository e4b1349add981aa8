/*
 * How many TCP connections to a local port are half open: asked for and answered, but not
 * yet in the queue of a listening socket.  The kernel tells over netlink (sock_diag(7)).
 */
#ifndef PROXY_HALF_OPEN_H
#define PROXY_HALF_OPEN_H

#include <stdint.h>

/* -1: the kernel does not tell.  Does not wait. */
int half_open_count(uint16_t port);

#endif
