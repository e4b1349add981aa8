/*
 * Reaching a backend: the addresses of its section in turn, again after a growing pause
 * until `wait` is over.
 */
#ifndef PROXY_BACKEND_H
#define PROXY_BACKEND_H

#include "config/value.h"
#include "proxy/error.h"

/* Opens a non-blocking connection.  Returns the socket, or -1; *connecting tells whether
 * the connection is still being made (then it becomes writable when that is over). */
int backend_open(const struct address *address, bool *connecting,
                 struct error *error) MUST_CHECK;

/* After a connecting socket became writable: did it connect? */
bool backend_has_connected(int fd, struct error *error) MUST_CHECK;

#endif
