#include "proxy/sandbox_profile.h"

#include <stddef.h>
#include <string.h>

#include "proxy/call_filter.h"

/* What an event loop that speaks with the master needs, and all that a keyholder does. */
#define CALLS_LOOP_ONLY                                                                  \
    (CALLS_SELF | CALLS_MEMORY | CALLS_TIME | CALLS_RANDOM | CALLS_EVENTS |              \
     CALLS_MESSAGES)

static const struct sandbox_profile PROFILES[] = {
    {.role = "worker",
     .calls = CALLS_LOOP_ONLY | CALLS_ACCEPT | CALLS_STREAM | CALLS_CONNECT,
     .connects = true},
    {.role = "keyholder", .calls = CALLS_LOOP_ONLY, .descriptors = 64},
    {.role = "admin",
     .calls = CALLS_LOOP_ONLY | CALLS_ACCEPT | CALLS_STREAM,
     .descriptors = 1024},
    /* The C library's resolver is not ours to choose the calls of.  What it reads of the
     * file system, it reads as an unprivileged user. */
    {.role = "resolver",
     .calls = CALLS_LOOP_ONLY | CALLS_NAMES,
     .connects = true,
     .resolves = true,
     .descriptors = 1024},
    {.role = "demo-app", .calls = CALLS_LOOP_ONLY | CALLS_ACCEPT | CALLS_STREAM},
};

const struct sandbox_profile *sandbox_profile_find(const char *role)
{
    for (size_t i = 0; i < sizeof(PROFILES) / sizeof(PROFILES[0]); i++) {
        if (strcmp(PROFILES[i].role, role) == 0)
            return &PROFILES[i];
    }
    return NULL;
}
