/*
 * The allow-list of system calls (seccomp): groups that a role's profile is made of.  A
 * call that is on no list is taken as the sign of a process that somebody else steers: it
 * is not executed, the master is told which one it was, and the process dies of SIGSYS.
 * A few that libraries try and can do without fail with an error instead.
 */
#ifndef PROXY_CALL_FILTER_H
#define PROXY_CALL_FILTER_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/error.h"

enum call_group {
    CALLS_SELF = 1 << 0,     /* who am I, locks, the end, abort() */
    CALLS_MEMORY = 1 << 1,   /* private and shared memory, never executable */
    CALLS_TIME = 1 << 2,     /* clocks, where the vDSO does not have them */
    CALLS_RANDOM = 1 << 3,   /* getrandom */
    CALLS_EVENTS = 1 << 4,   /* epoll, timers, and reading and writing what is open */
    CALLS_MESSAGES = 1 << 5, /* on sockets that somebody else has connected */
    CALLS_ACCEPT = 1 << 6,   /* from listening sockets that were given */
    CALLS_STREAM = 1 << 7,   /* half-close, options, what libevent's buffers need */
    CALLS_CONNECT = 1 << 8,  /* stream sockets to TCP and unix addresses */
    CALLS_NAMES = 1 << 9,    /* what the C library looks names up with: threads, files to
                                read, its own modules to load, datagrams */
};

/* Confines this process, which must be the only thread and have no_new_privs, to `groups`
 * for good.  `on_forbidden` is called, in a signal handler, with the number of the call
 * that the process then dies of. */
bool call_filter_load(uint32_t groups, void (*on_forbidden)(int call),
                      struct error *error) MUST_CHECK;

/* "ptrace", or the number alone where it has no name. */
const char *call_filter_name(uint32_t call, char *text, size_t size);

#endif
