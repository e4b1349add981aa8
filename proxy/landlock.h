/*
 * Landlock: what the kernel refuses a role whatever system call it comes by.  Every right
 * on files is given up, but for reading what is named; where the kernel knows them, also
 * binding and connecting TCP sockets, abstract unix sockets of others, and signals to
 * others.
 */
#ifndef PROXY_LANDLOCK_H
#define PROXY_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/error.h"

/* Gives up everything, but for `connects` the way to TCP and abstract addresses, and but
 * for reading below the paths in `readable` (the last is NULL; NULL: none; those that do
 * not exist are passed over).  Needs no_new_privs.  `abi` becomes the version that the
 * kernel speaks, on failure 0. */
bool landlock_restrict(bool connects, const char *const *readable, uint32_t *abi,
                       struct error *error) MUST_CHECK;

#endif
