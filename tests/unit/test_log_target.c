#include "proxy/log_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/log.h"
#include "proxy/master.h"

enum { PROCESSES = 3 };

/* What the processes were told last; the sockets are theirs. */
static struct told {
    struct control_message message;
    int fd;
    size_t count;
} told[PROCESSES];

static char folder[] = "/tmp/test_log_target.XXXXXX";
static char path[sizeof(folder) + sizeof("/log")];
static char file[] = "/etc/proxy.ini";
static int daemon_fd = -1;
static struct master master;
static struct process processes[PROCESSES];
static struct config config;
static struct generation generation;

/* In place of the master's own, which needs processes. */
void process_tell_message(struct process *process, const struct control_message *message,
                          const struct control_fds *fds)
{
    struct told *one = &told[process - processes];

    if (one->fd >= 0)
        close(one->fd);
    one->message = *message;
    one->fd = fds->fd[0] < 0 ? -1 : dup(fds->fd[0]);
    one->count++;
}

static void daemon_start(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, sizeof(path));
    daemon_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(daemon_fd, (const struct sockaddr *)&address, sizeof(address)),
                     0);
}

static void daemon_stop(void)
{
    if (daemon_fd >= 0)
        close(daemon_fd);
    daemon_fd = -1;
    unlink(path);
}

static int open_all(void **state)
{
    struct error error;

    (void)state;
    log_open("master", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    config = (struct config){.file = file,
                             .log = {.level = LOG_LEVEL_WARNING,
                                     .format = LOG_FORMAT_JSON,
                                     .target = LOG_PLACE_SYSLOG,
                                     .target_line = 7,
                                     .syslog_socket = path,
                                     .syslog_facility = LOG_FACILITY_AUTH,
                                     .repeat_limit = 9}};
    generation = (struct generation){.config = &config};
    master = (struct master){.processes = processes, .process_count = PROCESSES};
    for (size_t i = 0; i < PROCESSES; i++) {
        processes[i] = (struct process){.pid = i == 1 ? 0 : 1}; /* the second is down */
        told[i] = (struct told){.fd = -1};
    }
    master.base = event_base_new();
    assert_non_null(master.base);
    assert_true(log_target_open(&master, &error));
    daemon_start();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    log_target_close(&master);
    event_base_free(master.base);
    log_to_stderr();
    daemon_stop();
    for (size_t i = 0; i < PROCESSES; i++) {
        if (told[i].fd >= 0)
            close(told[i].fd);
    }
    return 0;
}

static void start(void)
{
    master.next = &generation;
    log_target_prepare(&master);
    assert_int_equal(master.report.count, 0);
    master.current = &generation;
    master.next = NULL;
    log_target_commit(&master);
    log_target_started(&master);
}

static void run_ms(unsigned ms)
{
    const struct timeval end = {.tv_sec = ms / 1000,
                                .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    event_base_loopexit(master.base, &end);
    event_base_dispatch(master.base);
}

static const char *heard(void)
{
    static char text[4096];
    const ssize_t got = recv(daemon_fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    text[got > 0 ? got : 0] = '\0';
    return text;
}

static void assert_sends(const struct told *one)
{
    assert_int_equal(send(one->fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), 1);
    assert_string_equal(heard(), "x");
}

static void every_process_is_told_and_gets_a_socket_of_its_own(void **state)
{
    (void)state;
    start();
    for (size_t i = 0; i < PROCESSES; i += 2) {
        const uint32_t *number = told[i].message.number;
        assert_int_equal(told[i].message.type, CONTROL_LOG);
        assert_int_equal(told[i].message.generation, 1);
        assert_int_equal(processes[i].log_epoch, 1);
        assert_int_equal(number[LOG_NUMBER_LEVEL], LOG_LEVEL_WARNING);
        assert_int_equal(number[LOG_NUMBER_FORMAT], LOG_FORMAT_JSON);
        assert_int_equal(number[LOG_NUMBER_TARGET], LOG_PLACE_SYSLOG);
        assert_int_equal(number[LOG_NUMBER_FACILITY], LOG_FACILITY_AUTH);
        assert_int_equal(number[LOG_NUMBER_REPEATS], 9);
        assert_sends(&told[i]);
    }
    assert_int_equal(told[1].count, 0);
    shutdown(told[0].fd, SHUT_RDWR);
    assert_sends(&told[2]);
    log_error("from the master");
    assert_non_null(strstr(heard(), "\"message\":\"from the master\""));
}

static void standard_error_needs_no_socket(void **state)
{
    (void)state;
    config.log.target = LOG_PLACE_STDERR;
    start();
    assert_int_equal(told[0].message.number[LOG_NUMBER_TARGET], LOG_PLACE_STDERR);
    assert_int_equal(told[0].fd, -1);
    assert_string_equal(heard(), "");
}

static void what_cannot_be_had_is_reported_with_its_line(void **state)
{
    (void)state;
    struct report report = {0};
    char expected[256];

    daemon_stop();
    log_target_check(&config, &report);
    (void)snprintf(expected, sizeof(expected),
                   "/etc/proxy.ini:7: cannot log to the syslog socket \"%s\": No such "
                   "file or directory",
                   path);
    assert_int_equal(report.errors, 1);
    assert_string_equal(report.entries[0].text, expected);
    report_close(&report);

    char longer[200];
    struct error error;
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(log_target_connect(longer, &error), -1);
    assert_string_equal(error.text, "its path is longer than 107 bytes");
}

static void a_level_holds_until_the_next_reload(void **state)
{
    (void)state;
    start();
    log_target_set_level(&master, LOG_LEVEL_DEBUG);
    assert_true(log_enabled(LOG_LEVEL_DEBUG));
    assert_int_equal(told[0].message.number[LOG_NUMBER_LEVEL], LOG_LEVEL_DEBUG);
    /* One that is started anew is told the same. */
    log_target_tell(&master, &processes[1]);
    assert_int_equal(told[1].message.number[LOG_NUMBER_LEVEL], LOG_LEVEL_DEBUG);
    master.renewing = true; /* certificates, which no operator asked for */
    log_target_commit(&master);
    assert_true(log_enabled(LOG_LEVEL_DEBUG));
    master.renewing = false;
    log_target_commit(&master);
    assert_false(log_enabled(LOG_LEVEL_INFO));
    assert_int_equal(told[0].message.number[LOG_NUMBER_LEVEL], LOG_LEVEL_WARNING);
}

static void a_daemon_that_was_started_anew_gets_new_sockets(void **state)
{
    (void)state;
    start();
    daemon_stop();
    daemon_start();
    log_target_on_cut(&master, 1);
    log_target_on_cut(&master, 1); /* a second process has noticed, too */
    assert_int_equal(told[0].count, 1);
    run_ms(1200);
    assert_int_equal(told[0].count, 2);
    assert_int_equal(told[0].message.generation, 2);
    assert_sends(&told[0]);
    log_target_on_cut(&master, 1); /* of the former sockets: news no more */
    run_ms(1200);
    assert_int_equal(told[0].count, 2);
}

static void a_missing_daemon_is_looked_for_without_telling_anybody(void **state)
{
    (void)state;
    start();
    daemon_stop();
    log_error("the master notices by itself");
    run_ms(2500);
    assert_int_equal(told[0].count, 1);
    daemon_start();
    run_ms(1200);
    assert_int_equal(told[0].count, 2);
    assert_sends(&told[0]);
}

static void lost_lines_are_told_to_the_new_daemon(void **state)
{
    (void)state;
    start();
    daemon_stop();
    log_error("lost");
    daemon_start();
    run_ms(2500);
    assert_non_null(strstr(heard(), "\"lost\":1"));
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            every_process_is_told_and_gets_a_socket_of_its_own, open_all, close_all),
        cmocka_unit_test_setup_teardown(standard_error_needs_no_socket, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(what_cannot_be_had_is_reported_with_its_line,
                                        open_all, close_all),
        cmocka_unit_test_setup_teardown(a_level_holds_until_the_next_reload, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(a_daemon_that_was_started_anew_gets_new_sockets,
                                        open_all, close_all),
        cmocka_unit_test_setup_teardown(
            a_missing_daemon_is_looked_for_without_telling_anybody, open_all, close_all),
        cmocka_unit_test_setup_teardown(lost_lines_are_told_to_the_new_daemon, open_all,
                                        close_all),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
