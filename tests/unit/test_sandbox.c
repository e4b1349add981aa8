/* What a role has given up, seen from inside: each test enters the sandbox in a child of
 * its own, whose exit code is the verdict. */
#include "proxy/sandbox.h"

#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SOME_UID = 65534, SOME_GID = 65533 };

static const struct identity unchanged;
static const struct identity nobody = {.change = true, .uid = SOME_UID, .gid = SOME_GID};

/* The answer of `claim` in a child that has entered the sandbox as `identity`. */
static bool holds_inside(const struct identity *identity, bool (*claim)(void))
{
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const gid_t some_group = 1;
        struct error error;
        if (geteuid() == 0 && setgroups(1, &some_group) < 0)
            _exit(2);
        if (!sandbox_enter(identity, &error)) {
            (void)fprintf(stderr, "%s\n", error.text);
            _exit(2);
        }
        _exit(claim() ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 2);
    return WEXITSTATUS(status) == 0;
}

static bool has_no_new_privileges(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static bool cannot_dump_core(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 &&
           limit.rlim_max == 0;
}

static bool is_closed_to_tracers(void)
{
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == SANDBOX_TRACEABLE;
}

static bool is_the_user(void)
{
    uid_t real, effective, saved;
    return getresuid(&real, &effective, &saved) == 0 && real == SOME_UID &&
           effective == SOME_UID && saved == SOME_UID;
}

static bool is_the_group(void)
{
    gid_t real, effective, saved;
    return getresgid(&real, &effective, &saved) == 0 && real == SOME_GID &&
           effective == SOME_GID && saved == SOME_GID && getgroups(0, NULL) == 0;
}

static bool cannot_become_root(void)
{
    return setuid(0) < 0 && seteuid(0) < 0 && setgid(0) < 0 && setgroups(0, NULL) < 0;
}

static bool has_kept_its_identity(void)
{
    return getuid() == geteuid() && getgid() == getegid() && getuid() != SOME_UID;
}

static void gives_up_new_privileges(void **state)
{
    (void)state;
    assert_true(holds_inside(&unchanged, has_no_new_privileges));
}

static void switches_core_dumps_off_for_good(void **state)
{
    (void)state;
    assert_true(holds_inside(&unchanged, cannot_dump_core));
}

static void is_not_to_be_traced_by_its_own_user(void **state)
{
    (void)state;
    assert_true(holds_inside(&unchanged, is_closed_to_tracers));
}

static void keeps_the_identity_where_it_need_not_change(void **state)
{
    (void)state;
    if (getuid() == SOME_UID)
        skip();
    assert_true(holds_inside(&unchanged, has_kept_its_identity));
}

static void becomes_the_user_in_every_respect(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_true(holds_inside(&nobody, is_the_user));
}

static void leaves_all_groups_but_one(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_true(holds_inside(&nobody, is_the_group));
}

static void cannot_go_back_to_root(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_true(holds_inside(&nobody, cannot_become_root));
}

/* The kernel makes a process that has changed its user non-dumpable itself, but this one
 * has to stay so. */
static void is_not_to_be_traced_after_the_change_either(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_true(holds_inside(&nobody, is_closed_to_tracers));
}

/* Only root can change its user: for others the attempt must be an error, not a shrug. */
static void an_identity_that_cannot_be_had_is_an_error(void **state)
{
    int status = 0;
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error error;
        if (geteuid() == 0 && !sandbox_enter(&nobody, &error))
            _exit(2);
        const struct identity other = {.change = true, .uid = 1, .gid = 1};
        _exit(sandbox_enter(&other, &error) ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* As nobody, when the test itself is root. */
static void without_root_the_user_is_not_even_looked_up(void **state)
{
    int status = 0;
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct identity identity;
        struct error error;
        if (geteuid() == 0 && !sandbox_enter(&nobody, &error))
            _exit(2);
        const bool found = sandbox_identity("no-such-user", &identity, &error);
        _exit(found && !identity.change && identity.uid == getuid() ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void an_unknown_user_is_an_error(void **state)
{
    struct identity identity;
    struct error error = {.text = ""};
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_false(sandbox_identity("no-such-user", &identity, &error));
    assert_false(identity.change);
    assert_string_equal(error.text, "there is no user \"no-such-user\" on this machine");
}

static void root_is_refused_as_the_user(void **state)
{
    struct identity identity;
    struct error error = {.text = ""};
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_false(sandbox_identity("root", &identity, &error));
    assert_false(identity.change);
    assert_string_equal(error.text, "user \"root\" is root; choose an unprivileged one");
}

static void finds_the_user_and_its_group(void **state)
{
    struct identity identity;
    struct error error;
    (void)state;
    const struct passwd *entry = getpwnam("nobody");
    if (geteuid() != 0 || !entry)
        skip();
    const uid_t uid = entry->pw_uid;
    const gid_t gid = entry->pw_gid;
    assert_true(sandbox_identity("nobody", &identity, &error));
    assert_true(identity.change);
    assert_int_equal(identity.uid, uid);
    assert_int_equal(identity.gid, gid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_up_new_privileges),
        cmocka_unit_test(switches_core_dumps_off_for_good),
        cmocka_unit_test(is_not_to_be_traced_by_its_own_user),
        cmocka_unit_test(keeps_the_identity_where_it_need_not_change),
        cmocka_unit_test(becomes_the_user_in_every_respect),
        cmocka_unit_test(leaves_all_groups_but_one),
        cmocka_unit_test(cannot_go_back_to_root),
        cmocka_unit_test(is_not_to_be_traced_after_the_change_either),
        cmocka_unit_test(an_identity_that_cannot_be_had_is_an_error),
        cmocka_unit_test(without_root_the_user_is_not_even_looked_up),
        cmocka_unit_test(an_unknown_user_is_an_error),
        cmocka_unit_test(root_is_refused_as_the_user),
        cmocka_unit_test(finds_the_user_and_its_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
