/*
 * What a role gives up before it serves: root, new privileges, core dumps, tracing by its
 * own user.  Every step that fails is an error: a role without its sandbox does not
 * serve.
 */
#ifndef PROXY_SANDBOX_H
#define PROXY_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

#include "proxy/error.h"

/* A sanitizer looks for leaks by tracing its own process and takes its options from the
 * environment: its builds, and no others, stay traceable and pass the environment on. */
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

/* Gives everything up, in this process, for good. */
bool sandbox_enter(const struct identity *identity, struct error *error) MUST_CHECK;

/* The part that the master, too, gives up: core dumps. */
bool sandbox_no_core_dumps(struct error *error) MUST_CHECK;

#endif
