/* Listening sockets on free ports of 127.0.0.1. */
#include "proxy/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/half_open.h"
#include "tests/unit/net_pair.h"

enum { WORKERS = 3 };

static struct sockets sockets;
static struct report report;
static struct error error;
static size_t fds_before;
static char file[] = "proxy.ini";
static struct config_listener listeners[2];
static struct config config = {.file = file, .listeners = listeners};

static int begin(void **state)
{
    (void)state;
    fds_before = net_open_fds();
    sockets = (struct sockets){.workers = WORKERS};
    report = (struct report){0};
    memset(listeners, 0, sizeof listeners);
    config.listener_count = 0;
    return 0;
}

/* No test may leave a descriptor behind. */
static int end(void **state)
{
    (void)state;
    sockets_close(&sockets);
    report_close(&report);
    return net_open_fds() == fds_before ? 0 : -1;
}

/* A port that was free a moment ago. */
static struct address free_address(void)
{
    struct address address;
    (void)close(net_refuse(&address));
    return address;
}

/* The configuration names these addresses, one listener each; NULL: not there. */
static void configure(const struct address *first, const struct address *second)
{
    const struct address *const wanted[] = {first, second};
    config.listener_count = 0;
    for (size_t i = 0; i < 2; i++) {
        if (!wanted[i])
            continue;
        struct config_listener *listener = &listeners[config.listener_count++];
        *listener = (struct config_listener){.address_line = 4};
        (void)snprintf(listener->section.name, sizeof listener->section.name, "web");
        listener->addresses.items[0] = *wanted[i];
        listener->addresses.count = 1;
    }
}

static void prepare(const struct address *first, const struct address *second)
{
    configure(first, second);
    sockets_prepare(&sockets, &config, &report);
}

static bool answers(const struct address *address)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int result =
        connect(fd, (const struct sockaddr *)&address->storage, address->length);
    (void)close(fd);
    return result == 0;
}

static void listens_once_for_each_worker(void **state)
{
    const struct address address = free_address();
    (void)state;
    prepare(&address, NULL);
    assert_int_equal(report.count, 0);
    assert_int_equal(sockets.count, 1);
    assert_int_equal(net_open_fds(), fds_before + WORKERS);
    assert_true(answers(&address));
}

static void every_workers_socket_shares_the_port_and_listens(void **state)
{
    const struct address address = free_address();
    int shared = 0, accepting = 0;
    socklen_t length = sizeof shared;
    (void)state;
    prepare(&address, NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        const int fd = sockets.groups[0].fds[i];
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, &length), 0);
        assert_int_equal(shared, 1);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &length),
                         0);
        assert_int_equal(accepting, 1);
    }
}

static void refuses_a_port_on_which_somebody_listens(void **state)
{
    struct address address;
    char expected[ADDRESS_TEXT_MAX + 128];
    (void)state;
    const int other = net_listen(&address);
    prepare(&address, NULL);
    assert_int_equal(report.errors, 1);
    (void)snprintf(expected, sizeof expected,
                   "proxy.ini:4: listener \"web\": cannot listen on %s: Address already "
                   "in use",
                   address.text);
    assert_string_equal(report.entries[0].text, expected);
    assert_int_equal(sockets.count, 0);
    (void)close(other);
}

static void refuses_a_port_that_is_shared_by_another_process(void **state)
{
    const int on = 1;
    struct address address;
    (void)state;
    const int other = net_refuse(&address);
    (void)setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    assert_int_equal(listen(other, 1), 0);
    prepare(&address, NULL);
    assert_int_equal(report.errors, 1);
    (void)close(other);
}

static void reports_every_address_that_cannot_be_had(void **state)
{
    struct address first, second;
    (void)state;
    const int one = net_listen(&first), two = net_listen(&second);
    prepare(&first, &second);
    assert_int_equal(report.errors, 2);
    (void)close(one);
    (void)close(two);
}

static void refuses_an_address_of_another_machine(void **state)
{
    struct address address = free_address();
    (void)state;
    struct sockaddr_in in;
    memcpy(&in, &address.storage, sizeof in);
    in.sin_addr.s_addr = htonl(0xcb007109); /* 203.0.113.9, for documentation */
    memcpy(&address.storage, &in, sizeof in);
    (void)snprintf(address.text, sizeof address.text, "203.0.113.9:%u",
                   ntohs(in.sin_port));
    prepare(&address, NULL);
    assert_int_equal(report.errors, 1);
    assert_non_null(strstr(report.entries[0].text, "Cannot assign requested address"));
}

static void commit_keeps_what_stays_as_it_is(void **state)
{
    const struct address address = free_address();
    (void)state;
    prepare(&address, NULL);
    sockets_commit(&sockets);
    const int fd = sockets.groups[0].fds[0];
    prepare(&address, NULL);
    sockets_commit(&sockets);
    assert_int_equal(report.count, 0);
    assert_int_equal(sockets.count, 1);
    assert_int_equal(sockets.groups[0].fds[0], fd);
    assert_true(answers(&address));
}

static void commit_closes_what_is_no_longer_wanted(void **state)
{
    const struct address first = free_address(), second = free_address();
    (void)state;
    prepare(&first, NULL);
    sockets_commit(&sockets);
    prepare(&second, NULL);
    assert_true(answers(&first));
    sockets_commit(&sockets);
    assert_false(answers(&first));
    assert_true(answers(&second));
    assert_int_equal(sockets.count, 1);
}

static void abort_closes_only_what_is_new(void **state)
{
    const struct address first = free_address(), second = free_address();
    (void)state;
    prepare(&first, NULL);
    sockets_commit(&sockets);
    prepare(&first, &second);
    assert_true(answers(&second));
    sockets_abort(&sockets);
    assert_true(answers(&first));
    assert_false(answers(&second));
    assert_int_equal(net_open_fds(), fds_before + WORKERS);
}

static void abort_keeps_what_would_have_gone(void **state)
{
    const struct address first = free_address(), second = free_address();
    (void)state;
    prepare(&first, NULL);
    sockets_commit(&sockets);
    prepare(&second, NULL);
    sockets_abort(&sockets);
    assert_true(answers(&first));
    assert_int_equal(sockets.count, 1);
    assert_true(sockets.groups[0].current);
}

static void an_aborted_address_can_be_had_again(void **state)
{
    const struct address address = free_address();
    (void)state;
    prepare(&address, NULL);
    sockets_abort(&sockets);
    prepare(&address, NULL);
    sockets_commit(&sockets);
    assert_int_equal(report.count, 0);
    assert_true(answers(&address));
}

static int queue_length(const struct address *address)
{
    return half_open_count(
        ntohs(((const struct sockaddr_in *)&address->storage)->sin_port));
}

static void adopted_sockets_serve_alone_until_the_new_ones_begin(void **state)
{
    const struct address address = free_address();
    int accepting = 1;
    socklen_t length = sizeof accepting;
    (void)state;
    sockets.workers = 1;
    prepare(&address, NULL);
    const int fd = fcntl(sockets.groups[0].fds[0], F_DUPFD_CLOEXEC, 0);
    sockets_close(&sockets);
    sockets.workers = WORKERS;
    assert_true(sockets_adopt(&sockets, &address, fd, &error));
    prepare(&address, NULL);
    assert_int_equal(report.count, 0);
    assert_int_equal(sockets.groups[0].count, WORKERS);
    assert_int_equal(sockets.groups[0].fds[0], fd);
    for (unsigned i = 1; i < WORKERS; i++) {
        assert_true(sockets_revive(&sockets.groups[0], i, &error));
        assert_int_equal(getsockopt(sockets.groups[0].fds[i], SOL_SOCKET, SO_ACCEPTCONN,
                                    &accepting, &length),
                         0);
        assert_int_equal(accepting, 0);
    }
    assert_true(sockets_begin(&sockets, &error));
    assert_int_equal(getsockopt(sockets.groups[0].fds[WORKERS - 1], SOL_SOCKET,
                                SO_ACCEPTCONN, &accepting, &length),
                     0);
    assert_int_equal(accepting, 1);
}

static void more_sockets_than_workers_are_all_for_somebody(void **state)
{
    const struct address address = free_address();
    (void)state;
    prepare(&address, NULL);
    sockets.workers = 2;
    const struct socket_group *group = &sockets.groups[0];
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(sockets_is_for(&sockets, group, i, 0) +
                             sockets_is_for(&sockets, group, i, 1),
                         1);
}

static void settling_lets_in_who_was_on_the_way_and_nobody_else(void **state)
{
    const struct address address = free_address();
    (void)state;
    sockets.workers = 1;
    prepare(&address, NULL);
    const int early = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(early, (const struct sockaddr *)&address.storage, address.length), 0);
    assert_int_equal(queue_length(&address), 1); /* it has said nothing yet */
    assert_int_equal(sockets_count_arriving(&sockets), 1);
    sockets_settle(&sockets);
    const int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(
        connect(late, (const struct sockaddr *)&address.storage, address.length), -1);
    assert_int_equal(send(early, "x", 1, 0), 1);
    net_wait(sockets.groups[0].fds[0], POLLIN);
    const int taken = accept4(sockets.groups[0].fds[0], NULL, NULL, SOCK_CLOEXEC);
    assert_true(taken >= 0);
    assert_int_equal(sockets_count_arriving(&sockets), 0);
    assert_false(net_is_ready(late, POLLOUT));
    (void)close(taken);
    (void)close(early);
    (void)close(late);
}

static void retiring_closes_the_door_of_what_is_no_longer_wanted(void **state)
{
    const struct address kept = free_address(), gone = free_address();
    (void)state;
    prepare(&kept, &gone);
    sockets_commit(&sockets);
    prepare(&kept, NULL);
    sockets_retire(&sockets);
    assert_true(answers(&kept));
    const int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(late, (const struct sockaddr *)&gone.storage, gone.length),
                     -1);
    assert_int_equal(queue_length(&gone), 0);
    assert_false(net_is_ready(late, POLLOUT));
    (void)close(late);
}

static void inherited_sockets_are_for_all_and_stay_open(void **state)
{
    static struct activation handed_over;
    struct address there, address = {.storage.ss_family = AF_UNSPEC};
    (void)state;
    assert_true(activation_add(&handed_over, "web", net_listen(&there), &error));
    (void)snprintf(address.text, sizeof address.text, "systemd:web");
    sockets.activation = &handed_over;
    prepare(&address, NULL);
    assert_int_equal(report.count, 0);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_true(sockets_is_for(&sockets, &sockets.groups[0], 0, i));
    sockets_settle(&sockets);
    sockets_close(&sockets);
    assert_true(answers(&there));
    (void)snprintf(address.text, sizeof address.text, "systemd:api");
    prepare(&address, NULL);
    assert_int_equal(report.errors, 1);
    activation_close(&handed_over);
}

static void close_gives_the_ports_back(void **state)
{
    const struct address address = free_address();
    (void)state;
    prepare(&address, NULL);
    sockets_commit(&sockets);
    sockets_close(&sockets);
    assert_false(answers(&address));
    sockets_close(&sockets);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(listens_once_for_each_worker),
        TEST(every_workers_socket_shares_the_port_and_listens),
        TEST(refuses_a_port_on_which_somebody_listens),
        TEST(refuses_a_port_that_is_shared_by_another_process),
        TEST(reports_every_address_that_cannot_be_had),
        TEST(refuses_an_address_of_another_machine),
        TEST(commit_keeps_what_stays_as_it_is),
        TEST(commit_closes_what_is_no_longer_wanted),
        TEST(abort_closes_only_what_is_new),
        TEST(abort_keeps_what_would_have_gone),
        TEST(an_aborted_address_can_be_had_again),
        TEST(adopted_sockets_serve_alone_until_the_new_ones_begin),
        TEST(more_sockets_than_workers_are_all_for_somebody),
        TEST(settling_lets_in_who_was_on_the_way_and_nobody_else),
        TEST(retiring_closes_the_door_of_what_is_no_longer_wanted),
        TEST(inherited_sockets_are_for_all_and_stay_open),
        TEST(close_gives_the_ports_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
