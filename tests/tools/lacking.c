/*
 * Runs a program on a kernel that seems to lack parts of the sandbox:
 *
 *   lacking [seccomp] [landlock] -- PROGRAM ARGUMENT...
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static bool lack_seccomp(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(seccomp), 1,
                            SCMP_A0(SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER, 0)) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
                            SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP, 0)) == 0;
}

static bool lack_landlock(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
                            SCMP_SYS(landlock_create_ruleset), 0) == 0;
}

int main(int count, char **arguments)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool fine = filter != NULL;
    int i = 1;

    for (; fine && i < count && strcmp(arguments[i], "--") != 0; i++) {
        if (strcmp(arguments[i], "seccomp") == 0)
            fine = lack_seccomp(filter);
        else
            fine = strcmp(arguments[i], "landlock") == 0 && lack_landlock(filter);
    }
    if (!fine || i + 1 >= count || seccomp_load(filter) != 0) {
        (void)fputs("lacking: cannot take away what is to be missing\n", stderr);
        return 2;
    }
    (void)execv(arguments[i + 1], &arguments[i + 1]);
    perror(arguments[i + 1]);
    return 2;
}
