#include "proxy/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static bool sandbox_change_identity(const struct identity *identity, struct error *error);

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

bool sandbox_enter(const struct identity *identity, struct error *error)
{
    if (identity->change && !sandbox_change_identity(identity, error))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(error, errno, "cannot renounce new privileges");
    return sandbox_no_core_dumps(error);
}

bool sandbox_no_core_dumps(struct error *error)
{
    const struct rlimit none = {0};

    if (setrlimit(RLIMIT_CORE, &none) < 0 ||
        prctl(PR_SET_DUMPABLE, SANDBOX_TRACEABLE, 0, 0, 0) < 0)
        return error_set_errno(error, errno, "cannot switch off core dumps");
    return true;
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
