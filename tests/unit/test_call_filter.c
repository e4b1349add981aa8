/* What the filter of system calls lets through: children load it and try. */
#include "proxy/call_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    KEYHOLDER = CALLS_CONNECT - 1 - CALLS_STREAM - CALLS_ACCEPT,
    EXIT_NO_FILTER = 254
};

/* A sanitizer uses calls of its own, even to end. */
#ifdef PAWL_SANITIZED
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static int told_fd; /* where a child's handler writes the number of the call */

static void tell(int call)
{
    (void)!write(told_fd, &call, sizeof(call));
}

/* The wait status of a child that makes the attempt under a filter of these groups: its
 * exit code is what the attempt returns.  `call` becomes what its last word was, or -1.
 */
static int try_inside(uint32_t groups, int (*attempt)(void), int *call)
{
    const struct rlimit none = {0};
    int status = 0, ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    told_fd = ends[1];
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error error;
        if (setrlimit(RLIMIT_CORE, &none) < 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            !call_filter_load(groups, tell, &error))
            _exit(EXIT_NO_FILTER);
        _exit(attempt());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (read(ends[0], call, sizeof(*call)) != (ssize_t)sizeof(*call))
        *call = -1;
    (void)close(ends[0]);
    (void)close(ends[1]);
    return status;
}

static void assert_killed(uint32_t groups, int (*attempt)(void), int wanted)
{
    int call;
    const int status = try_inside(groups, attempt, &call);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
    assert_int_equal(call, wanted);
}

static void assert_returns(uint32_t groups, int (*attempt)(void), int wanted)
{
    int call;
    const int status = try_inside(groups, attempt, &call);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), wanted);
    assert_int_equal(call, -1);
}

static int call_ptrace(void)
{
    return (int)syscall(SYS_ptrace, 16, getppid(), 0, 0);
}

static int call_execve(void)
{
    return (int)syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static int call_clone(void)
{
    return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int call_socket_udp(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}

static int call_socket_tcp(void)
{
    return socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) < 0 ? errno
                                                                               : 0;
}

static int call_kill(void)
{
    return kill(getppid(), 0);
}

static int map_code(void)
{
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? errno : 0;
}

static int make_code(void)
{
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? 1 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int open_file(void)
{
    return open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
}

static int set_name(void)
{
    return prctl(PR_SET_NAME, "other", 0, 0, 0) < 0 ? errno : 0;
}

static int call_abort(void)
{
    abort();
}

static int change_handler(void)
{
    return signal(SIGSYS, SIG_IGN) == SIG_ERR;
}

static int read_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit);
}

static int set_limit(void)
{
    const struct rlimit limit = {0};
    return setrlimit(RLIMIT_NOFILE, &limit);
}

/* Memory, a message, a random number, a descriptor looked at. */
static int do_plain_work(void)
{
    char *memory = malloc(1 << 20), byte = 1;
    int pair[2] = {told_fd, told_fd};
    bool done = memory && syscall(SYS_getrandom, memory, 16, 0) == 16 &&
                fcntl(pair[0], F_GETFL) >= 0 && read(told_fd, &byte, 1) < 0;
    free(memory);
    return done ? 0 : 1;
}

static void plain_work_goes_on(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    assert_returns(KEYHOLDER, do_plain_work, 0);
    assert_returns(KEYHOLDER, read_limit, 0);
}

static void what_is_on_no_list_kills_and_is_named(void **state)
{
    (void)state;
    assert_killed(KEYHOLDER, call_ptrace, SYS_ptrace);
    assert_killed(KEYHOLDER, call_execve, SYS_execve);
    assert_killed(KEYHOLDER, call_clone, SYS_clone);
    assert_killed(KEYHOLDER, call_kill, SYS_kill);
    assert_killed(KEYHOLDER, set_limit, SYS_prlimit64);
}

static void the_handler_cannot_be_exchanged(void **state)
{
    (void)state;
    assert_killed(KEYHOLDER, change_handler, SYS_rt_sigaction);
}

static void nothing_becomes_executable(void **state)
{
    (void)state;
    assert_killed(KEYHOLDER, map_code, SYS_mmap);
    assert_killed(KEYHOLDER, make_code, SYS_mprotect);
}

static void sockets_are_streams_and_for_who_connects(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    assert_returns(KEYHOLDER | CALLS_CONNECT, call_socket_tcp, 0);
    assert_killed(KEYHOLDER | CALLS_CONNECT, call_socket_udp, SYS_socket);
    assert_killed(KEYHOLDER, call_socket_tcp, SYS_socket);
}

static void what_libraries_try_fails_politely(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    assert_returns(KEYHOLDER, open_file, EACCES);
    assert_returns(KEYHOLDER, set_name, EINVAL);
}

static void abort_stays_an_abort(void **state)
{
    int call;
    (void)state;
    if (SANITIZED)
        skip();
    const int status = try_inside(KEYHOLDER, call_abort, &call);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void names_calls(void **state)
{
    char text[32];
    (void)state;
    assert_string_equal(call_filter_name(SYS_ptrace, text, sizeof(text)), "ptrace");
    assert_string_equal(call_filter_name(123456, text, sizeof(text)), "123456");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_work_goes_on),
        cmocka_unit_test(what_is_on_no_list_kills_and_is_named),
        cmocka_unit_test(the_handler_cannot_be_exchanged),
        cmocka_unit_test(nothing_becomes_executable),
        cmocka_unit_test(sockets_are_streams_and_for_who_connects),
        cmocka_unit_test(what_libraries_try_fails_politely),
        cmocka_unit_test(abort_stays_an_abort),
        cmocka_unit_test(names_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
