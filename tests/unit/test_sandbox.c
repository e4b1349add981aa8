/* What a role has given up: a child enters the sandbox and waits, the test looks at it
 * from outside, as the filter of system calls leaves the child little to look with. */
#include "proxy/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SOME_UID = 65534, SOME_GID = 65533, PARTS_ALL = (1 << SANDBOX_PARTS) - 1 };

static const struct identity unchanged;
static const struct identity nobody = {.change = true, .uid = SOME_UID, .gid = SOME_GID};

/* A child inside. */
struct inmate {
    pid_t pid;
    int answer_fd; /* reads what the child says */
    int hold_fd;   /* the child ends when it is closed */
    struct sandbox_state state;
};

static void ignore_forbidden(int call)
{
    (void)call;
}

static bool enter(const struct identity *identity, const char *role, uint32_t may_lack,
                  struct sandbox_state *state)
{
    const struct sandbox_request request = {.profile = sandbox_profile_find(role),
                                            .identity = *identity,
                                            .may_lack = may_lack,
                                            .on_forbidden = ignore_forbidden};
    struct error error;
    if (sandbox_enter(&request, state, &error))
        return true;
    (void)fprintf(stderr, "%s\n", error.text);
    return false;
}

static struct inmate inmate_start(const struct identity *identity, const char *role)
{
    struct inmate inmate;
    int answer[2], hold[2];
    assert_int_equal(pipe(answer), 0);
    assert_int_equal(pipe(hold), 0);
    inmate.pid = fork();
    assert_true(inmate.pid >= 0);
    if (inmate.pid == 0) {
        const gid_t some_group = 1;
        struct sandbox_state state;
        char byte;
        (void)close(hold[1]);
        if ((geteuid() == 0 && setgroups(1, &some_group) < 0) ||
            !enter(identity, role, 0, &state) ||
            write(answer[1], &state, sizeof(state)) != (ssize_t)sizeof(state))
            _exit(2);
        _exit(read(hold[0], &byte, 1) == 0 ? 0 : 2);
    }
    (void)close(answer[1]);
    (void)close(hold[0]);
    inmate.answer_fd = answer[0];
    inmate.hold_fd = hold[1];
    assert_int_equal(read(inmate.answer_fd, &inmate.state, sizeof(inmate.state)),
                     sizeof(inmate.state));
    return inmate;
}

static void inmate_end(const struct inmate *inmate)
{
    int status = 0;
    (void)close(inmate->hold_fd);
    (void)close(inmate->answer_fd);
    assert_int_equal(waitpid(inmate->pid, &status, 0), inmate->pid);
    assert_int_equal(status, 0);
}

/* Whether /proc/PID/`file` has a line that starts with these words, however far apart. */
static bool has_line(const struct inmate *inmate, const char *file, const char *words)
{
    char path[64], line[256], wanted[256], found[256];
    bool has = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)inmate->pid, file);
    (void)snprintf(wanted, sizeof(wanted), "%s ", words);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    while (!has && fgets(line, sizeof(line), stream)) {
        size_t length = 0;
        for (const char *at = line; *at; at++) {
            const bool blank = *at == ' ' || *at == '\t' || *at == '\n';
            if (!blank || (length > 0 && found[length - 1] != ' '))
                found[length++] = blank ? ' ' : *at;
        }
        found[length] = '\0';
        has = strncmp(found, wanted, strlen(wanted)) == 0;
    }
    (void)fclose(stream);
    return has;
}

static void assert_line_inside(const struct identity *identity, const char *file,
                               const char *words)
{
    const struct inmate inmate = inmate_start(identity, "keyholder");
    const bool has = has_line(&inmate, file, words);
    inmate_end(&inmate);
    assert_true(has);
}

static void gives_up_new_privileges(void **state)
{
    (void)state;
    assert_line_inside(&unchanged, "status", "NoNewPrivs: 1");
}

static void drops_every_capability(void **state)
{
    (void)state;
    const struct inmate inmate = inmate_start(&unchanged, "keyholder");
    const bool none = has_line(&inmate, "status", "CapInh: 0000000000000000") &&
                      has_line(&inmate, "status", "CapPrm: 0000000000000000") &&
                      has_line(&inmate, "status", "CapEff: 0000000000000000") &&
                      has_line(&inmate, "status", "CapAmb: 0000000000000000");
    inmate_end(&inmate);
    assert_true(none);
}

static void switches_core_dumps_off_for_good(void **state)
{
    (void)state;
    assert_line_inside(&unchanged, "limits", "Max core file size 0 0");
}

static void starts_no_process_and_few_descriptors(void **state)
{
    (void)state;
    if (SANDBOX_TRACEABLE)
        skip();
    assert_line_inside(&unchanged, "limits", "Max processes 0 0");
    assert_line_inside(&unchanged, "limits", "Max open files 64 64");
}

static void filters_system_calls(void **state)
{
    (void)state;
    if (SANDBOX_TRACEABLE)
        skip();
    assert_line_inside(&unchanged, "status", "Seccomp: 2");
}

/* The files of a process that is not dumpable belong to root. */
static void is_not_to_be_traced_by_its_own_user(void **state)
{
    (void)state;
    if (SANDBOX_TRACEABLE || geteuid() != 0)
        skip();
    const struct inmate inmate = inmate_start(&nobody, "keyholder");
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)inmate.pid);
    const pid_t child = fork();
    if (child == 0)
        _exit(setuid(SOME_UID) == 0 && open(path, O_RDONLY) < 0 ? 0 : 1);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    inmate_end(&inmate);
    assert_int_equal(status, 0);
}

static void keeps_the_identity_where_it_need_not_change(void **state)
{
    char words[64];
    (void)state;
    (void)snprintf(words, sizeof(words), "Uid: %u %u %u %u", getuid(), geteuid(),
                   geteuid(), geteuid());
    assert_line_inside(&unchanged, "status", words);
}

static void becomes_the_user_in_every_respect(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_line_inside(&nobody, "status", "Uid: 65534 65534 65534 65534");
    assert_line_inside(&nobody, "status", "Gid: 65533 65533 65533 65533");
}

static void leaves_all_groups(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_line_inside(&nobody, "status", "Groups:");
    const struct inmate inmate = inmate_start(&unchanged, "keyholder");
    const bool kept = has_line(&inmate, "status", "Groups: 1");
    inmate_end(&inmate);
    assert_true(kept);
}

static void says_what_is_in_force(void **state)
{
    char words[256];
    (void)state;
    const struct inmate inmate = inmate_start(&unchanged, "worker");
    inmate_end(&inmate);
    (void)sandbox_describe(&inmate.state, words, sizeof(words));
    assert_int_equal(inmate.state.in_force,
                     SANDBOX_TRACEABLE ? 1 << SANDBOX_USER : PARTS_ALL);
    assert_int_equal(inmate.state.uid, getuid());
    assert_string_equal(inmate.state.lacks, "");
    assert_non_null(strstr(words, SANDBOX_TRACEABLE ? ", without seccomp" : ", seccomp"));
    assert_non_null(
        strstr(words, SANDBOX_TRACEABLE ? "without Landlock" : "Landlock (version "));
}

/* Of an unknown role there is no profile, so it cannot run. */
static void every_role_has_a_profile_and_nobody_else(void **state)
{
    (void)state;
    assert_non_null(sandbox_profile_find("worker"));
    assert_non_null(sandbox_profile_find("keyholder"));
    assert_non_null(sandbox_profile_find("admin"));
    assert_non_null(sandbox_profile_find("demo-app"));
    assert_non_null(sandbox_profile_find("resolver"));
    assert_null(sandbox_profile_find("master"));
}

/* Only root can change its user: for others the attempt must be an error, not a shrug,
 * unless it was allowed by name. */
static void an_identity_that_cannot_be_had_is_an_error(void **state)
{
    const struct identity other = {.change = true, .uid = 1, .gid = 1};
    int status = 0;
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sandbox_state got;
        if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setuid(SOME_UID) < 0))
            _exit(2);
        if (enter(&other, "worker", 1U << SANDBOX_SECCOMP, &got))
            _exit(1);
        if (!enter(&other, "worker", 1U << SANDBOX_USER, &got))
            _exit(3);
        _exit(!(got.in_force & 1U << SANDBOX_USER) &&
                      strstr(got.lacks, "user is missing (cannot ")
                  ? 0
                  : 4);
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
        if (geteuid() == 0 && setuid(SOME_UID) < 0)
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
        cmocka_unit_test(drops_every_capability),
        cmocka_unit_test(switches_core_dumps_off_for_good),
        cmocka_unit_test(starts_no_process_and_few_descriptors),
        cmocka_unit_test(filters_system_calls),
        cmocka_unit_test(is_not_to_be_traced_by_its_own_user),
        cmocka_unit_test(keeps_the_identity_where_it_need_not_change),
        cmocka_unit_test(becomes_the_user_in_every_respect),
        cmocka_unit_test(leaves_all_groups),
        cmocka_unit_test(says_what_is_in_force),
        cmocka_unit_test(every_role_has_a_profile_and_nobody_else),
        cmocka_unit_test(an_identity_that_cannot_be_had_is_an_error),
        cmocka_unit_test(without_root_the_user_is_not_even_looked_up),
        cmocka_unit_test(an_unknown_user_is_an_error),
        cmocka_unit_test(root_is_refused_as_the_user),
        cmocka_unit_test(finds_the_user_and_its_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
