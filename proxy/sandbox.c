#include "proxy/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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

bool sandbox_enter(const struct identity *identity, struct error *error)
{
    if (identity->change && !sandbox_change_identity(identity, error))
        return false;
    if (!sandbox_drop_capabilities(error))
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
