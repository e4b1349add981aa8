/* Sockets of a service manager, which are the test's own at the places they have. */
#include "proxy/activation.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"

static struct activation activation;
static struct error error;
static struct address address;
static size_t fds_before;

static int begin(void **state)
{
    (void)state;
    fds_before = net_open_fds();
    error.text[0] = '\0';
    return 0;
}

static int end(void **state)
{
    (void)state;
    activation_close(&activation);
    return net_open_fds() == fds_before ? 0 : -1;
}

static void announce(long pid, const char *count, const char *names)
{
    char digits[32];
    (void)snprintf(digits, sizeof digits, "%ld", pid);
    (void)setenv("LISTEN_PID", digits, 1);
    (void)setenv("LISTEN_FDS", count, 1);
    (void)unsetenv("LISTEN_FDNAMES");
    if (names)
        (void)setenv("LISTEN_FDNAMES", names, 1);
}

static bool add(const char *name, int fd)
{
    return activation_add(&activation, name, fd, &error);
}

static void for_another_process_nothing_is_taken(void **state)
{
    (void)state;
    announce((long)getpid() + 1, "1", "web");
    assert_true(activation_take(&activation, &error));
    assert_int_equal(activation.count, 0);
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDNAMES"));
}

static void a_number_that_is_none_is_an_error(void **state)
{
    static const char *const wrong[] = {"", "x", "-1", "257", "99999999999999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        announce((long)getpid(), wrong[i], NULL);
        assert_false(activation_take(&activation, &error));
        assert_null(getenv("LISTEN_FDS"));
    }
}

static void none_at_all_is_fine(void **state)
{
    (void)state;
    announce((long)getpid(), "0", "");
    assert_true(activation_take(&activation, &error));
    assert_int_equal(activation.count, 0);
}

static void a_listening_socket_is_there_by_its_name(void **state)
{
    (void)state;
    assert_true(add("web", net_listen(&address)));
    assert_true(add("web", net_listen(&address)));
    assert_true(activation_has(&activation, "web", &error));
    assert_true(fcntl(activation.items[0].fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(fcntl(activation.items[0].fd, F_GETFD), FD_CLOEXEC);
}

static void a_missing_name_is_told_with_those_there_are(void **state)
{
    (void)state;
    assert_true(add("web", net_listen(&address)));
    assert_true(add("api", net_listen(&address)));
    assert_false(activation_has(&activation, "wep", &error));
    assert_non_null(
        strstr(error.text, "no socket called \"wep\", but: \"web\", \"api\""));
}

static void without_any_socket_the_error_says_so(void **state)
{
    (void)state;
    assert_false(activation_has(&activation, "web", &error));
    assert_non_null(strstr(error.text, "has handed over no socket"));
    assert_false(activation_has(NULL, "web", &error));
}

static void what_cannot_be_served_is_refused(void **state)
{
    int pair[2];
    (void)state;
    assert_true(add("bound", net_refuse(&address)));
    assert_false(activation_has(&activation, "bound", &error));
    assert_non_null(strstr(error.text, "does not listen"));
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    assert_true(add("pipe", pair[0]));
    assert_false(activation_has(&activation, "pipe", &error));
    assert_non_null(strstr(error.text, "is no socket"));
    (void)close(pair[1]);
    assert_true(add("datagrams", socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
    assert_false(activation_has(&activation, "datagrams", &error));
    assert_non_null(strstr(error.text, "not of TCP"));
    net_pair_unix(pair);
    assert_true(add("unix", pair[0]));
    assert_false(activation_has(&activation, "unix", &error));
    (void)close(pair[1]);
}

static void too_many_are_refused_and_closed(void **state)
{
    (void)state;
    for (int i = 0; i < ACTIVATION_MAX; i++)
        assert_true(add("web", fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)));
    assert_false(add("web", fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)));
}

static void a_name_of_more_than_one_line_is_refused(void **state)
{
    (void)state;
    assert_false(add("web\nroot", net_listen(&address)));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(for_another_process_nothing_is_taken),
        TEST(a_number_that_is_none_is_an_error),
        TEST(none_at_all_is_fine),
        TEST(a_listening_socket_is_there_by_its_name),
        TEST(a_missing_name_is_told_with_those_there_are),
        TEST(without_any_socket_the_error_says_so),
        TEST(what_cannot_be_served_is_refused),
        TEST(too_many_are_refused_and_closed),
        TEST(a_name_of_more_than_one_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
