#include "proxy/log_sink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"

#define TIME "2026-11-23T08:25:00.123Z"
#define BODY "worker 0: session closed client=1.2.3.4:5"
#define TEXT TIME " info " BODY "\n"

static int saved_stderr = -1;
static char taken[4096];

static int start(void **state)
{
    (void)state;
    saved_stderr = dup(STDERR_FILENO);
    return saved_stderr < 0;
}

static int stop(void **state)
{
    (void)state;
    log_sink_set_stderr();
    const int back = dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    log_sink_open();
    return back < 0;
}

static void be_stderr(int fd)
{
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
    log_sink_open();
}

static bool write_text(const char *text, size_t body, const char *name)
{
    const struct log_record record = {.level = LOG_LEVEL_INFO,
                                      .text = text,
                                      .length = strlen(text),
                                      .body = body,
                                      .time = TIME,
                                      .time_length = strlen(TIME),
                                      .name = name};
    return log_sink_write(&record);
}

static bool write_line(void)
{
    return write_text(TEXT, strlen(TIME " info "), "session closed");
}

static const char *take(int fd)
{
    const ssize_t got = recv(fd, taken, sizeof(taken) - 1, MSG_DONTWAIT);
    taken[got > 0 ? got : 0] = '\0';
    return taken;
}

static void pair(int type, int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
}

static void standard_error_gets_the_line_as_it_is(void **state)
{
    (void)state;
    int fds[2];
    pair(SOCK_STREAM, fds);
    be_stderr(fds[0]);
    assert_true(write_line());
    assert_string_equal(take(fds[1]), TEXT);
    close(fds[1]);
}

static void a_full_disk_is_a_lost_line(void **state)
{
    (void)state;
    be_stderr(open("/dev/full", O_WRONLY | O_CLOEXEC));
    assert_false(write_line());
}

static void a_closed_standard_error_is_a_lost_line(void **state)
{
    (void)state;
    close(STDERR_FILENO);
    assert_false(write_line());
}

static void a_full_pipe_is_a_lost_line_at_once(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC),
                     0); /* blocking, until the log says otherwise */
    be_stderr(fds[1]);
    log_sink_never_wait();
    size_t lines = 0;
    while (write_line())
        assert_true(++lines < 1000000);
    assert_true(lines > 0);
    assert_true(read(fds[0], taken, sizeof(taken)) == sizeof(taken));
    assert_true(write_line());
    close(fds[0]);
}

/* A stream socket may take the beginning of a line only. */
static void after_a_torn_line_the_next_begins_its_own(void **state)
{
    (void)state;
    int fds[2];
    static char line[1u << 22], drained[1u << 22];
    pair(SOCK_STREAM, fds);
    net_pair_shrink(fds);
    be_stderr(fds[0]);
    memset(line, 'x', sizeof(line) - 2);
    line[sizeof(line) - 2] = '\n';
    assert_false(write_text(line, 0, NULL));
    assert_false(write_line());
    assert_true(recv(fds[1], drained, sizeof(drained), MSG_DONTWAIT) > 0);
    while (recv(fds[1], drained, sizeof(drained), MSG_DONTWAIT) > 0)
        ;
    assert_true(write_line());
    assert_string_equal(take(fds[1]), "\n" TEXT);
    assert_true(write_line());
    assert_string_equal(take(fds[1]), TEXT);
    close(fds[1]);
}

static void assert_message(const char *got, unsigned priority, const char *rest)
{
    char host[256] = "", expected[4096];
    assert_int_equal(gethostname(host, sizeof(host)), 0);
    (void)snprintf(expected, sizeof(expected), "<%u>1 " TIME " %s pawl %d %s", priority,
                   host, (int)getpid(), rest);
    assert_string_equal(got, expected);
}

static void a_syslog_daemon_gets_rfc_5424(void **state)
{
    (void)state;
    int fds[2];
    log_sink_open();
    pair(SOCK_DGRAM, fds);
    log_sink_set_syslog(fds[0], LOG_PLACE_SYSLOG, LOG_FACILITY_DAEMON, false);
    assert_true(write_line());
    assert_message(take(fds[1]), 3 * 8 + 6, "session_closed - " BODY);
    assert_true(write_text("{\"time\":\"x\"}\n", 0, NULL));
    assert_message(take(fds[1]), 3 * 8 + 6, "- - {\"time\":\"x\"}");
    close(fds[1]);
}

static void the_local_form_is_that_of_the_c_library(void **state)
{
    (void)state;
    char expected[256];
    int fds[2];
    pair(SOCK_DGRAM, fds);
    log_sink_set_syslog(fds[0], LOG_PLACE_SYSLOG_LOCAL, LOG_FACILITY_AUTHPRIV, false);
    assert_true(write_line());
    (void)snprintf(expected, sizeof(expected), "<86>pawl[%d]: " BODY, (int)getpid());
    assert_string_equal(take(fds[1]), expected);
    close(fds[1]);
}

static void each_facility_has_its_number(void **state)
{
    (void)state;
    const unsigned codes[] = {1, 3, 4, 10, 16, 17, 18, 19, 20, 21, 22, 23};
    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        int fds[2];
        pair(SOCK_DGRAM, fds);
        log_sink_set_syslog(fds[0], LOG_PLACE_SYSLOG, (enum log_facility)i, false);
        assert_true(write_line());
        assert_message(take(fds[1]), codes[i] * 8 + 6, "session_closed - " BODY);
        close(fds[1]);
    }
}

static void a_daemon_that_does_not_read_costs_lines_only(void **state)
{
    (void)state;
    int fds[2];
    pair(SOCK_DGRAM, fds);
    log_sink_set_syslog(fds[0], LOG_PLACE_SYSLOG, LOG_FACILITY_USER, false);
    size_t lines = 0;
    while (write_line())
        assert_true(++lines < 1000000);
    assert_true(lines > 0);
    assert_false(log_sink_is_cut());
    (void)take(fds[1]);
    assert_true(write_line());
    close(fds[1]);
}

static void a_daemon_that_is_gone_cuts_until_another_socket_comes(void **state)
{
    (void)state;
    int fds[2];
    pair(SOCK_DGRAM, fds);
    log_sink_set_syslog(fds[0], LOG_PLACE_SYSLOG, LOG_FACILITY_USER, false);
    close(fds[1]);
    assert_false(log_sink_is_cut()); /* not known yet */
    assert_false(write_line());
    assert_true(log_sink_is_cut());
    assert_false(write_line());
    pair(SOCK_DGRAM, fds);
    log_sink_set_syslog(fds[0], LOG_PLACE_SYSLOG, LOG_FACILITY_USER, false);
    assert_false(log_sink_is_cut());
    assert_true(write_line());
    close(fds[1]);
}

static void both_places_get_the_line_and_one_is_enough(void **state)
{
    (void)state;
    int error[2], syslog[2];
    pair(SOCK_STREAM, error);
    be_stderr(error[0]);
    pair(SOCK_DGRAM, syslog);
    log_sink_set_syslog(syslog[0], LOG_PLACE_SYSLOG, LOG_FACILITY_USER, true);
    assert_true(write_line());
    assert_string_equal(take(error[1]), TEXT);
    assert_non_null(strstr(take(syslog[1]), BODY));
    close(syslog[1]);
    assert_true(write_line());
    assert_string_equal(take(error[1]), TEXT);
    log_sink_leave_stderr();
    assert_false(write_line());
    assert_string_equal(take(error[1]), "");
    close(error[1]);
}

static void sockets_that_are_replaced_are_closed(void **state)
{
    (void)state;
    int fds[2];
    const size_t before = net_open_fds();
    for (int i = 0; i < 3; i++) {
        pair(SOCK_DGRAM, fds);
        log_sink_set_syslog(fds[0], LOG_PLACE_SYSLOG, LOG_FACILITY_USER, false);
        close(fds[1]);
    }
    log_sink_set_stderr();
    assert_int_equal(net_open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(standard_error_gets_the_line_as_it_is, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_full_disk_is_a_lost_line, start, stop),
        cmocka_unit_test_setup_teardown(a_closed_standard_error_is_a_lost_line, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_full_pipe_is_a_lost_line_at_once, start, stop),
        cmocka_unit_test_setup_teardown(after_a_torn_line_the_next_begins_its_own, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_syslog_daemon_gets_rfc_5424, start, stop),
        cmocka_unit_test_setup_teardown(the_local_form_is_that_of_the_c_library, start,
                                        stop),
        cmocka_unit_test_setup_teardown(each_facility_has_its_number, start, stop),
        cmocka_unit_test_setup_teardown(a_daemon_that_does_not_read_costs_lines_only,
                                        start, stop),
        cmocka_unit_test_setup_teardown(
            a_daemon_that_is_gone_cuts_until_another_socket_comes, start, stop),
        cmocka_unit_test_setup_teardown(both_places_get_the_line_and_one_is_enough, start,
                                        stop),
        cmocka_unit_test_setup_teardown(sockets_that_are_replaced_are_closed, start,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
