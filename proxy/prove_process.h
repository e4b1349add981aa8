/*
 * What the kernel says about a process, for `pawl prove`: not the process's own word.
 */
#ifndef PROXY_PROVE_PROCESS_H
#define PROXY_PROVE_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "proxy/error.h"

struct prove_process {
    char name[32];
    unsigned uid;          /* effective */
    bool no_new_privs;     /* exec gains nothing */
    unsigned seccomp;      /* 2: a filter */
    uint64_t capabilities; /* effective */
};

/* From /proc/PID/status. */
bool prove_process_read(pid_t pid, struct prove_process *process,
                        struct error *error) MUST_CHECK;

/* Reads such a text; what is missing is as bad as can be. */
bool prove_process_parse(const char *text, struct prove_process *process);

/* Counts the descriptors of a process, and those that are sockets other than unix
 * sockets.  False: only root may look. */
bool prove_process_count_sockets(pid_t pid, unsigned *descriptors, unsigned *sockets,
                                 unsigned *of_network, struct error *error) MUST_CHECK;

#endif
