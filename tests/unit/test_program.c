/* Commands of Debian, and scripts in a directory of the test's own. */
#include "proxy/program.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"

enum { MOST_BYTES = 1024 };

static char directory[64];
static char path[128];
static char printed[MOST_BYTES + 1];
static struct error error;
static bool hung;
static size_t fds_before;

static int begin(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/pawl-test-command-XXXXXX");
    assert_non_null(mkdtemp(directory));
    fds_before = net_open_fds();
    hung = false;
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)rmdir(directory);
    return net_open_fds() == fds_before ? 0 : -1;
}

/* A script of /bin/sh; returns the command that runs it. */
static const char *script(const char *text, mode_t mode)
{
    (void)snprintf(path, sizeof path, "%s/script", directory);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "#!/bin/sh\n%s\n", text) > 0);
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
    return path;
}

static bool run(const char *command)
{
    const int fd = program_run(command, MOST_BYTES, &hung, &error);
    if (fd < 0)
        return false;
    const ssize_t got = pread(fd, printed, MOST_BYTES, 0);
    assert_true(got >= 0);
    printed[got] = '\0';
    (void)close(fd);
    return true;
}

static void check_printed(const char *command, const char *text)
{
    if (!run(command))
        fail_msg("%s: %s", command, error.text);
    assert_string_equal(printed, text);
}

static void check_fails(const char *command, const char *words)
{
    assert_false(run(command));
    if (!strstr(error.text, words))
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

static void what_it_prints_comes_back(void **state)
{
    (void)state;
    check_printed("/bin/echo one  two", "one two\n");
    check_printed("/bin/echo $HOME ; 'x'", "$HOME ; 'x'\n");
    check_printed("/usr/bin/head -c 1024 /dev/zero", "");
}

static void failures_are_told_apart(void **state)
{
    (void)state;
    check_fails("/nonexistent/command", "No such file or directory");
    check_fails("/etc", "not a regular file");
    check_fails("/etc/passwd", "cannot run \"/etc/passwd\": Permission denied");
    check_fails("/bin/false", "\"/bin/false\" ended with code 1");
    check_fails("/bin/true", "\"/bin/true\" printed nothing");
    check_fails("/usr/bin/head -c 1025 /dev/zero", "printed more than the 1024 bytes");
    check_fails("/bin/cat /dev/zero", "printed more than the 1024 bytes");
    check_fails(script("kill -9 $$", 0700), "was killed by signal 9 (Killed)");
    check_fails(script("echo secret; exit 3", 0700), "ended with code 3");
    check_fails(script("echo secret", 0777), "every user of this machine may change it");
}

static void no_program_behind_a_path_is_an_error(void **state)
{
    (void)state;
    (void)script("", 0700);
    const int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, "#!/nonexistent\n", 15), 15);
    (void)close(fd);
    check_fails(path, "No such file or directory");
}

static void it_has_nothing_of_ours(void **state)
{
    (void)state;
    const int leaked = open("/etc/hostname", O_RDONLY); // NOLINT: to be inherited
    assert_true(leaked >= 0);
    assert_int_equal(setenv("PAWL_TEST_SECRET", "inherited", 1), 0);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", 1), 0);
    assert_true(run("/usr/bin/env"));
    assert_null(strstr(printed, "inherited"));
    assert_non_null(strstr(printed, "PATH="));
    assert_non_null(strstr(printed, "HOME=/"));
    assert_non_null(strstr(printed, "CREDENTIALS_DIRECTORY=/run/credentials/x\n"));
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    check_printed(
        script("set -- /proc/$$/fd/*; echo $#; readlink /proc/$$/fd/0; ulimit -c; "
               "ulimit -n; pwd; umask",
               0700),
        /* with the script and the directory being read */ "5\n/dev/null\n0\n1024\n/"
                                                           "\n0077\n");
    (void)close(leaked);
}

static void it_has_no_terminal_and_its_own_group(void **state)
{
    (void)state;
    check_printed(script("cut -d' ' -f5-8 /proc/$$/stat | { read group session tty rest; "
                         "echo $((group - $$)) $((session - $$)) $tty; }",
                         0700),
                  "0 0 0\n");
}

static void its_signals_are_as_usual(void **state)
{
    sigset_t blocked, before;
    (void)state;
    void (*const handler)(int) = signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    assert_true(run("/bin/grep -E ^Sig(Blk|Ign) /proc/self/status"));
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)signal(SIGPIPE, handler);
    unsigned long long mask = 1, ignored = 1;
    assert_int_equal(sscanf(printed, "SigBlk: %llx SigIgn: %llx", &mask, &ignored), 2);
    assert_int_equal(mask, 0);
    /* The library of C keeps 32 and 33 to itself, in whatever state they came. */
    assert_int_equal(ignored & ~(3ULL << 31), 0);
}

/* Not even waiting for whoever inherited it. */
static bool is_running(long pid)
{
    char file[64], state = 'X';
    (void)snprintf(file, sizeof file, "/proc/%ld/stat", pid);
    FILE *stream = fopen(file, "r");
    if (!stream)
        return false;
    (void)!fscanf(stream, "%*d %*s %c", &state);
    (void)fclose(stream);
    return state != 'Z' && state != 'X';
}

static void one_that_does_not_end_is_killed_with_its_children(void **state)
{
    char file[256], text[512];
    struct timespec from, to;
    long child = 0;
    (void)state;
    (void)snprintf(file, sizeof file, "%s/child", directory);
    (void)snprintf(text, sizeof text, "sleep 60 & echo $! > %s; echo secret; wait", file);
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    check_fails(script(text, 0700), "did not end within 10 seconds and was killed");
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_in_range(to.tv_sec - from.tv_sec, PROGRAM_TIMEOUT_S - 1,
                    PROGRAM_TIMEOUT_S + 5);
    FILE *stream = fopen(file, "r");
    assert_non_null(stream);
    assert_int_equal(fscanf(stream, "%ld", &child), 1);
    (void)fclose(stream);
    (void)unlink(file);
    /* The signal may still be on its way. */
    const time_t until = to.tv_sec + 10;
    while (is_running(child) && to.tv_sec < until)
        (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_false(is_running(child));
    check_fails("/bin/echo x", "is not run, as the command before it did not end");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_it_prints_comes_back),
        TEST(failures_are_told_apart),
        TEST(no_program_behind_a_path_is_an_error),
        TEST(it_has_nothing_of_ours),
        TEST(it_has_no_terminal_and_its_own_group),
        TEST(its_signals_are_as_usual),
        TEST(one_that_does_not_end_is_killed_with_its_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
