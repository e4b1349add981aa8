/* What Landlock alone denies: children restrict themselves and try. */
#include "proxy/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ABI_TCP = 4, ABI_SCOPES = 6, EXIT_NO_LANDLOCK = 254 };

static const char *const *readable; /* by whoever is restricted */
static uint32_t abi;                /* of the kernel that the tests run on */
static struct sockaddr_in listening;
static const struct sockaddr_un abstract = {.sun_family = AF_UNIX,
                                            .sun_path = "\0pawl-test-landlock"};

/* What errno an attempt leaves behind in a child that is restricted; 0: it succeeds. */
static int outcome(bool connects, int (*attempt)(void))
{
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error error;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            !landlock_restrict(connects, readable, &abi, &error))
            _exit(EXIT_NO_LANDLOCK);
        errno = 0;
        _exit(attempt() < 0 ? errno : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), EXIT_NO_LANDLOCK);
    return WEXITSTATUS(status);
}

static int open_to_read(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static int list_root(void)
{
    return open("/", O_RDONLY | O_DIRECTORY);
}

static int make_file(void)
{
    return open("/tmp/pawl-test-landlock", O_WRONLY | O_CREAT, 0600);
}

static int make_folder(void)
{
    return mkdir("/tmp/pawl-test-landlock", 0700);
}

static int execute(void)
{
    char *const arguments[] = {NULL};
    return execve("/bin/true", arguments, arguments);
}

static int connect_tcp(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (const struct sockaddr *)&listening, sizeof(listening));
}

static int bind_tcp(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    return bind(fd, (const struct sockaddr *)&any, sizeof(any));
}

static int connect_abstract(void)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(fd, (const struct sockaddr *)&abstract, sizeof(abstract));
}

static int signal_parent(void)
{
    return kill(getppid(), 0);
}

static int signal_itself(void)
{
    return kill(getpid(), 0);
}

static int find_out_the_version(void **state)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(listening);
    struct error error;
    int pair[2], status;
    (void)state;
    const int tcp = socket(AF_INET, SOCK_STREAM, 0),
              local = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(tcp, (const struct sockaddr *)&any, sizeof(any)) < 0 || listen(tcp, 1) < 0 ||
        getsockname(tcp, (struct sockaddr *)&listening, &length) < 0 ||
        bind(local, (const struct sockaddr *)&abstract, sizeof(abstract)) < 0 ||
        listen(local, 1) < 0 || pipe(pair) < 0)
        return -1;
    const pid_t child = fork();
    if (child == 0) {
        const bool done = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                          landlock_restrict(true, NULL, &abi, &error);
        _exit(done && write(pair[1], &abi, sizeof(abi)) == (ssize_t)sizeof(abi) ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && status == 0 &&
                   read(pair[0], &abi, sizeof(abi)) == (ssize_t)sizeof(abi)
               ? 0
               : -1;
}

static int open_settings_to_write(void)
{
    return open("/etc/passwd", O_RDWR);
}

static void only_what_is_named_is_read_and_nothing_is_written(void **state)
{
    static const char *const etc[] = {"/nonexistent", "/etc", NULL};
    (void)state;
    readable = etc;
    assert_int_equal(outcome(true, open_to_read), 0);
    assert_int_equal(outcome(true, open_settings_to_write), EACCES);
    assert_int_equal(outcome(true, list_root), EACCES);
    assert_int_equal(outcome(true, make_file), EACCES);
    readable = NULL;
}

static void no_file_is_opened_made_or_executed(void **state)
{
    (void)state;
    assert_int_equal(outcome(true, open_to_read), EACCES);
    assert_int_equal(outcome(true, list_root), EACCES);
    assert_int_equal(outcome(true, make_file), EACCES);
    assert_int_equal(outcome(true, make_folder), EACCES);
    assert_int_equal(outcome(true, execute), EACCES);
}

static void nobody_binds_a_port(void **state)
{
    (void)state;
    if (abi < ABI_TCP)
        skip();
    assert_int_equal(outcome(true, bind_tcp), EACCES);
}

static void only_who_may_connect_does(void **state)
{
    (void)state;
    assert_int_equal(outcome(true, connect_tcp), 0);
    assert_int_equal(outcome(true, connect_abstract), 0);
    if (abi >= ABI_TCP)
        assert_int_equal(outcome(false, connect_tcp), EACCES);
    if (abi >= ABI_SCOPES)
        assert_int_equal(outcome(false, connect_abstract), EPERM);
}

static void signals_reach_nobody_else(void **state)
{
    (void)state;
    assert_int_equal(outcome(true, signal_itself), 0);
    if (abi < ABI_SCOPES)
        skip();
    assert_int_equal(outcome(true, signal_parent), EPERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_named_is_read_and_nothing_is_written),
        cmocka_unit_test(no_file_is_opened_made_or_executed),
        cmocka_unit_test(nobody_binds_a_port),
        cmocka_unit_test(only_who_may_connect_does),
        cmocka_unit_test(signals_reach_nobody_else),
    };
    return cmocka_run_group_tests(tests, find_out_the_version, NULL);
}
