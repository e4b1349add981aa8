/*
 * A connection to a backend address that is made without waiting: for sessions and for
 * checks.
 */
#ifndef PROXY_DIAL_H
#define PROXY_DIAL_H

#include "config/value.h"
#include "proxy/error.h"

/* Opens a non-blocking connection.  Returns the socket, or -1; *connecting tells whether
 * the connection is still being made (then it becomes writable when that is over). */
int dial_open(const struct address *address, bool *connecting,
              struct error *error) MUST_CHECK;

/* After a connecting socket became writable: did it connect? */
bool dial_has_connected(int fd, struct error *error) MUST_CHECK;

#endif
