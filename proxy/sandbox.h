/*
 * What a role gives up before it serves: root, capabilities, new privileges, core dumps,
 * tracing by its own user, new processes, files and most of the network (Landlock), and
 * every system call its profile does not have (seccomp).  Every step that fails is an
 * error: a role without its sandbox does not serve, unless the operator has named the
 * part that may be missing.
 */
#ifndef PROXY_SANDBOX_H
#define PROXY_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "proxy/error.h"
#include "proxy/sandbox_profile.h"

/* A sanitizer looks for leaks by tracing its own process from a new one that reads /proc,
 * and takes its options from the environment: its builds, and no others, stay traceable,
 * have no seccomp and no Landlock, and pass the environment on. */
#ifdef PAWL_SANITIZED
enum { SANDBOX_TRACEABLE = 1 };
#else
enum { SANDBOX_TRACEABLE = 0 };
#endif

/* Whom the roles run as. */
struct identity {
    bool change; /* false: the master is not root, so roles are as it is */
    uid_t uid;
    gid_t gid;
};

/* Looks `user` up when this process is root; refuses root itself as the result. */
bool sandbox_identity(const char *user, struct identity *identity,
                      struct error *error) MUST_CHECK;

struct sandbox_request {
    const struct sandbox_profile *profile; /* borrowed */
    struct identity identity;
    uint32_t may_lack; /* bits by enum sandbox_part: do without it if it cannot be had */
    /* Called in a signal handler before the process dies of a call it may not use. */
    void (*on_forbidden)(int call);
};

/* What has come of it. */
struct sandbox_state {
    uint32_t in_force;          /* bits by enum sandbox_part; all else always is */
    uint32_t landlock_abi;      /* the kernel's; 0: without Landlock */
    uint32_t uid;               /* that the process runs as */
    char lacks[ERROR_TEXT_MAX]; /* why a part that may be missing is; "" if none is */
};

/* Gives everything up, in this process, for good. */
bool sandbox_enter(const struct sandbox_request *request, struct sandbox_state *state,
                   struct error *error) MUST_CHECK;

/* The state in words for people: "user 65534, no capabilities, ..., seccomp". */
const char *sandbox_describe(const struct sandbox_state *state, char *text, size_t size);

/* The part that the master, too, gives up: core dumps. */
bool sandbox_no_core_dumps(struct error *error) MUST_CHECK;

#endif
