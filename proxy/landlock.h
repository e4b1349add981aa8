/*
 * Landlock: what the kernel refuses a role whatever system call it comes by.  Every right
 * on files is given up; where the kernel knows them, also binding and connecting TCP
 * sockets, abstract unix sockets of others, and signals to others.
 */
#ifndef PROXY_LANDLOCK_H
#define PROXY_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/error.h"

/* Gives up everything, but for `connects` the way to TCP and abstract addresses.  Needs
 * no_new_privs.  `abi` becomes the version that the kernel speaks, on failure 0. */
bool landlock_restrict(bool connects, uint32_t *abi, struct error *error) MUST_CHECK;

#endif
