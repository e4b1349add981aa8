#include "proxy/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/call_filter.h"
#include "proxy/landlock.h"

/* The words of [proxy] unsafe_without, for messages. */
static const char *const PART_WORDS[SANDBOX_PARTS] = {
    [SANDBOX_USER] = "user",
    [SANDBOX_LANDLOCK] = "landlock",
    [SANDBOX_SECCOMP] = "seccomp",
};

/* What the C library finds names with: its settings, its modules, and the sockets of
 * services that do it for the whole machine. */
static const char *const NAME_FILES[] = {"/etc",       "/run", "/var/run", "/usr/lib",
                                         "/usr/lib64", "/lib", "/lib64",   NULL};

static bool sandbox_take_part(const struct sandbox_request *request,
                              enum sandbox_part part, struct sandbox_state *state,
                              struct error *error);
static bool sandbox_apply(const struct sandbox_request *request, enum sandbox_part part,
                          struct sandbox_state *state, struct error *error);
static bool sandbox_limit(const struct sandbox_profile *profile, struct error *error);
static void sandbox_add_lack(struct sandbox_state *state, enum sandbox_part part,
                             const struct error *error);
static bool sandbox_change_identity(const struct identity *identity, struct error *error);
static bool sandbox_drop_capabilities(struct error *error);

bool sandbox_identity(const char *user, struct identity *identity, struct error *error)
{
    *identity = (struct identity){.uid = getuid(), .gid = getgid()};
    if (geteuid() != 0)
        return true;

    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (!entry)
        return error_set(error, "there is no user \"%s\" on this machine", user);
    if (entry->pw_uid == 0)
        return error_set(error, "user \"%s\" is root; choose an unprivileged one", user);
    *identity =
        (struct identity){.change = true, .uid = entry->pw_uid, .gid = entry->pw_gid};
    return true;
}

/* The filter of system calls comes last: it has no room for what the others need. */
bool sandbox_enter(const struct sandbox_request *request, struct sandbox_state *state,
                   struct error *error)
{
    *state = (struct sandbox_state){0};
    if (!sandbox_take_part(request, SANDBOX_USER, state, error))
        return false;
    state->uid = getuid();
    if (!sandbox_drop_capabilities(error))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(error, errno, "cannot renounce new privileges");
    if (!sandbox_no_core_dumps(error))
        return false;
    if (SANDBOX_TRACEABLE)
        return true;
    return sandbox_limit(request->profile, error) &&
           sandbox_take_part(request, SANDBOX_LANDLOCK, state, error) &&
           sandbox_take_part(request, SANDBOX_SECCOMP, state, error);
}

const char *sandbox_describe(const struct sandbox_state *state, char *text, size_t size)
{
    char landlock[64] = "without Landlock";

    if (state->in_force & 1U << SANDBOX_LANDLOCK)
        (void)snprintf(landlock, sizeof(landlock), "Landlock (version %u)",
                       state->landlock_abi);
    (void)snprintf(
        text, size,
        "user %u%s, no capabilities, no new privileges, no core dumps, no "
        "tracing, %s, %s",
        state->uid, state->in_force & 1U << SANDBOX_USER ? "" : " (the master's)",
        landlock,
        state->in_force & 1U << SANDBOX_SECCOMP ? "seccomp" : "without seccomp");
    return text;
}

bool sandbox_no_core_dumps(struct error *error)
{
    const struct rlimit none = {0};

    if (setrlimit(RLIMIT_CORE, &none) < 0 ||
        prctl(PR_SET_DUMPABLE, SANDBOX_TRACEABLE, 0, 0, 0) < 0)
        return error_set_errno(error, errno, "cannot switch off core dumps");
    return true;
}

/* One that can be done without, if the operator says so. */
static bool sandbox_take_part(const struct sandbox_request *request,
                              enum sandbox_part part, struct sandbox_state *state,
                              struct error *error)
{
    struct error cause;

    if (sandbox_apply(request, part, state, &cause)) {
        state->in_force |= 1U << part;
        return true;
    }
    if (!(request->may_lack & 1U << part))
        return error_set(
            error,
            "%s; \"unsafe_without = %s\" in [proxy] would do without it (for "
            "pawl dev and demo, --unsafe-without %s)",
            cause.text, PART_WORDS[part], PART_WORDS[part]);
    sandbox_add_lack(state, part, &cause);
    return true;
}

static bool sandbox_apply(const struct sandbox_request *request, enum sandbox_part part,
                          struct sandbox_state *state, struct error *error)
{
    switch (part) {
    case SANDBOX_USER:
        return !request->identity.change ||
               sandbox_change_identity(&request->identity, error);
    case SANDBOX_LANDLOCK:
        return landlock_restrict(request->profile->connects,
                                 request->profile->resolves ? NAME_FILES : NULL,
                                 &state->landlock_abi, error);
    case SANDBOX_SECCOMP:
        return call_filter_load(request->profile->calls, request->on_forbidden, error);
    }
    return false;
}

/* No process ever starts another.  The size of files stays without a limit: standard
 * error may be one. */
static bool sandbox_limit(const struct sandbox_profile *profile, struct error *error)
{
    const struct rlimit none = {0};
    struct rlimit descriptors;

    /* Threads count as well; that they are no processes is seen to by seccomp. */
    if ((!profile->resolves && setrlimit(RLIMIT_NPROC, &none) < 0) ||
        getrlimit(RLIMIT_NOFILE, &descriptors) < 0)
        return error_set_errno(error, errno, "cannot limit processes");
    if (profile->descriptors == 0 || descriptors.rlim_max <= profile->descriptors)
        return true;
    descriptors.rlim_cur = descriptors.rlim_max = profile->descriptors;
    if (setrlimit(RLIMIT_NOFILE, &descriptors) < 0)
        return error_set_errno(error, errno, "cannot limit descriptors");
    return true;
}

static void sandbox_add_lack(struct sandbox_state *state, enum sandbox_part part,
                             const struct error *error)
{
    size_t length = strlen(state->lacks);

    (void)snprintf(state->lacks + length, sizeof(state->lacks) - length,
                   "%s%s is missing (%s)", length > 0 ? "; " : "", PART_WORDS[part],
                   error->text);
}

/* Groups first: without root they could no longer be changed. */
static bool sandbox_change_identity(const struct identity *identity, struct error *error)
{
    uid_t uid = identity->uid;
    gid_t gid = identity->gid;

    if (setgroups(0, NULL) < 0)
        return error_set_errno(error, errno, "cannot leave the supplementary groups");
    if (setresgid(gid, gid, gid) < 0)
        return error_set_errno(error, errno, "cannot become group %u", gid);
    if (setresuid(uid, uid, uid) < 0)
        return error_set_errno(error, errno, "cannot become user %u", uid);
    if (setuid(0) == 0)
        return error_set(error, "root could be regained after becoming user %u", uid);
    return true;
}

/* Also those that came with the binary's file, or from whoever started the master. */
static bool sandbox_drop_capabilities(struct error *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        syscall(SYS_capset, &header, none) < 0)
        return error_set_errno(error, errno, "cannot drop capabilities");
    return true;
}
