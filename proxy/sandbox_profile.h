/*
 * What each role may do once its sandbox is closed, as one table: the system calls by
 * groups (call_filter.h), the network by Landlock (landlock.h), the number of
 * descriptors. Nobody starts processes, and nobody but the resolver opens files or maps
 * code.
 */
#ifndef PROXY_SANDBOX_PROFILE_H
#define PROXY_SANDBOX_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

struct sandbox_profile {
    const char *role;     /* the name in its struct role */
    uint32_t calls;       /* of enum call_group */
    bool connects;        /* to TCP and abstract addresses */
    bool resolves;        /* it reads what names are found with, and has threads */
    uint32_t descriptors; /* open at a time, at most; 0: as many as the master may */
};

/* NULL: there is no such role, and what has no profile does not run. */
const struct sandbox_profile *sandbox_profile_find(const char *role);

#endif
