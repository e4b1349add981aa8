#include "proxy/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface by its numbers: headers older than the kernel that Pawl will run
 * on do not have all of them, and the calls' numbers are the same everywhere. */
enum {
    CALL_CREATE_RULESET = 444,
    CALL_ADD_RULE = 445,
    CALL_RESTRICT_SELF = 446,
    CREATE_RULESET_VERSION = 1,
    RULE_PATH_BENEATH = 1
};

struct path_rule {
    uint64_t rights;
    int32_t directory;
} __attribute__((packed));

static const uint64_t READ_FILE = 1 << 2, READ_DIRECTORY = 1 << 3;

struct ruleset {
    uint64_t files;
    uint64_t tcp;
    uint64_t scopes;
};

static const uint64_t TCP_BIND = 1 << 0, TCP_CONNECT = 1 << 1;
static const uint64_t SCOPE_ABSTRACT_SOCKETS = 1 << 0, SCOPE_SIGNALS = 1 << 1;

/* How many rights on files each version has, as bits from 0. */
static const unsigned FILE_RIGHTS[] = {
    [1] = 13,           /* from executing to making symbolic links */
    [2] = 14,           /* moving between directories */
    [3] = 15,           /* truncating */
    [4] = 15, [5] = 16, /* ioctl on devices */
};

enum { ABI_TCP = 4, ABI_FILES_LAST = 5, ABI_SCOPES = 6 };

static struct ruleset landlock_rules(long abi, bool connects, size_t *size);
static bool landlock_allow_reading(int ruleset, const char *path);

bool landlock_restrict(bool connects, const char *const *readable, uint32_t *abi,
                       struct error *error)
{
    size_t size = 0;

    *abi = 0;
    long version = syscall(CALL_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
    if (version < 0 && errno == EOPNOTSUPP)
        return error_set(error,
                         "Landlock was left out when this kernel was booted (lsm=)");
    if (version < 1)
        return error_set_errno(error, version < 0 ? errno : ENOSYS,
                               "the kernel offers no Landlock");
    const struct ruleset rules = landlock_rules(version, connects, &size);
    int fd = (int)syscall(CALL_CREATE_RULESET, &rules, size, 0);
    if (fd < 0)
        return error_set_errno(error, errno, "cannot make Landlock rules");
    long result = 0;
    for (size_t i = 0; readable && readable[i] && result == 0; i++)
        result = landlock_allow_reading(fd, readable[i]) ? 0 : -1;
    if (result == 0)
        result = syscall(CALL_RESTRICT_SELF, fd, 0);
    int code = errno;
    close(fd);
    if (result < 0)
        return error_set_errno(error, code, "cannot apply Landlock rules");
    *abi = (uint32_t)version;
    return true;
}

/* What is handled and has no rule is denied, so only what is known is handled: a right
 * that a later kernel brings may be one that a role needs. */
static struct ruleset landlock_rules(long abi, bool connects, size_t *size)
{
    struct ruleset rules = {0};

    rules.files =
        (UINT64_C(1) << FILE_RIGHTS[abi < ABI_FILES_LAST ? abi : ABI_FILES_LAST]) - 1;
    *size = offsetof(struct ruleset, tcp);
    if (abi >= ABI_TCP) {
        rules.tcp = TCP_BIND | (connects ? 0 : TCP_CONNECT);
        *size = offsetof(struct ruleset, scopes);
    }
    if (abi >= ABI_SCOPES) {
        rules.scopes = SCOPE_SIGNALS | (connects ? 0 : SCOPE_ABSTRACT_SOCKETS);
        *size = sizeof(rules);
    }
    return rules;
}

static bool landlock_allow_reading(int ruleset, const char *path)
{
    int directory = open(path, O_PATH | O_CLOEXEC);

    if (directory < 0)
        return errno == ENOENT || errno == EACCES;
    const struct path_rule rule = {.rights = READ_FILE | READ_DIRECTORY,
                                   .directory = directory};
    long result = syscall(CALL_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0);
    int code = errno;
    close(directory);
    errno = code;
    return result == 0;
}
