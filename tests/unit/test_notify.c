/* The service manager's side is a datagram socket of the test. */
#include "proxy/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"

static struct notify notify;
static struct error error;
static int manager;
static size_t fds_before;
static char got[1024];

static int begin(void **state)
{
    char name[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;
    fds_before = net_open_fds();
    (void)snprintf(name, sizeof name, "@pawl-notify-%ld", (long)getpid());
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const socklen_t length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    (void)setenv("NOTIFY_SOCKET", name, 1);
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    return bind(manager, (struct sockaddr *)&address, length);
}

static int end(void **state)
{
    (void)state;
    notify_close(&notify);
    (void)close(manager);
    (void)unsetenv("NOTIFY_SOCKET");
    return net_open_fds() == fds_before ? 0 : -1;
}

/* The next datagram, or NULL. */
static const char *next(void)
{
    const ssize_t length = recv(manager, got, sizeof got - 1, 0);
    if (length < 0)
        return NULL;
    got[length] = '\0';
    return got;
}

static void says_ready_with_its_pid_and_status(void **state)
{
    char expected[128];
    (void)state;
    assert_true(notify_open(&notify, &error));
    notify_ready(&notify, "serving");
    (void)snprintf(expected, sizeof expected, "READY=1\nMAINPID=%ld\nSTATUS=serving",
                   (long)getpid());
    assert_string_equal(next(), expected);
    assert_null(next());
}

static void a_reload_tells_the_monotonic_time(void **state)
{
    unsigned long long first, second;
    (void)state;
    assert_true(notify_open(&notify, &error));
    notify_reloading(&notify, "reloading");
    assert_int_equal(sscanf(next(), "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=", &first),
                     1);
    notify_reloading(&notify, "reloading");
    assert_int_equal(sscanf(next(), "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=", &second),
                     1);
    assert_true(first > 0 && second >= first);
}

static void stopping_asks_for_the_time_it_takes(void **state)
{
    (void)state;
    assert_true(notify_open(&notify, &error));
    notify_stopping(&notify, 1500, "draining");
    assert_string_equal(next(),
                        "STOPPING=1\nEXTEND_TIMEOUT_USEC=1500000\nSTATUS=draining");
}

static void status_and_signs_of_life_stand_alone(void **state)
{
    (void)state;
    assert_true(notify_open(&notify, &error));
    notify_status(&notify, "fine");
    assert_string_equal(next(), "STATUS=fine");
    notify_alive(&notify);
    assert_string_equal(next(), "WATCHDOG=1");
}

static void a_long_status_is_cut(void **state)
{
    char status[2000];
    (void)state;
    memset(status, 'x', sizeof status - 1);
    status[sizeof status - 1] = '\0';
    assert_true(notify_open(&notify, &error));
    notify_stopping(&notify, UINT64_MAX / 1000, status);
    assert_true(strlen(next()) < 512);
}

static void without_a_manager_nothing_happens(void **state)
{
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    assert_true(notify_open(&notify, &error));
    assert_int_equal(notify.fd, -1);
    notify_ready(&notify, "serving");
    notify_alive(&notify);
    assert_null(next());
}

static void a_name_that_is_no_socket_is_refused(void **state)
{
    char longer[200];
    static const char *const wrong[] = {"relative/path", "@", "/"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)setenv("NOTIFY_SOCKET", wrong[i], 1);
        assert_false(notify_open(&notify, &error));
        assert_non_null(strstr(error.text, wrong[i]));
    }
    memset(longer, 'x', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    (void)setenv("NOTIFY_SOCKET", longer, 1);
    assert_false(notify_open(&notify, &error));
}

static void a_manager_that_is_gone_is_no_trouble(void **state)
{
    (void)state;
    assert_true(notify_open(&notify, &error));
    (void)close(manager);
    manager = -1;
    notify_ready(&notify, "serving");
}

static void the_watchdog_is_for_whom_it_names(void **state)
{
    char pid[32];
    (void)state;
    (void)setenv("WATCHDOG_USEC", "3000000", 1);
    assert_true(notify_open(&notify, &error));
    assert_int_equal(notify.watchdog_ms, 3000);
    notify_close(&notify);
    (void)setenv("WATCHDOG_PID", "1", 1);
    assert_true(notify_open(&notify, &error));
    assert_int_equal(notify.watchdog_ms, 0);
    notify_close(&notify);
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    (void)setenv("WATCHDOG_PID", pid, 1);
    assert_true(notify_open(&notify, &error));
    assert_int_equal(notify.watchdog_ms, 3000);
}

static void a_watchdog_that_is_no_number_is_none(void **state)
{
    static const char *const wrong[] = {"", "x", "5s", "99999999999999999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)setenv("WATCHDOG_USEC", wrong[i], 1);
        assert_true(notify_open(&notify, &error));
        assert_int_equal(notify.watchdog_ms, 0);
        notify_close(&notify);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(says_ready_with_its_pid_and_status),
        TEST(a_reload_tells_the_monotonic_time),
        TEST(stopping_asks_for_the_time_it_takes),
        TEST(status_and_signs_of_life_stand_alone),
        TEST(a_long_status_is_cut),
        TEST(without_a_manager_nothing_happens),
        TEST(a_name_that_is_no_socket_is_refused),
        TEST(a_manager_that_is_gone_is_no_trouble),
        TEST(the_watchdog_is_for_whom_it_names),
        TEST(a_watchdog_that_is_no_number_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
