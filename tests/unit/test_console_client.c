/* One operator's connection: what it is told, and what happens to one who does not
 * listen.
 */
#include "proxy/console_client.h"

#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/console_request.h"
#include "tests/unit/net_pair.h"

enum { TEXT_ROOM = 512, MORE_THAN_A_SOCKET_TAKES = 4 * 1024 * 1024 };

static struct event_base *base;
static struct console_client client;
static int ends[2];
static char asked[CONSOLE_REQUEST_MAX + 1];
static size_t asked_length, requests, freed;
static size_t fds_before;

static void on_request(void *owner, struct console_client *who, const char *line,
                       size_t length)
{
    assert_ptr_equal(owner, &base);
    assert_ptr_equal(who, &client);
    asked_length = length;
    (void)snprintf(asked, sizeof asked, "%s", line);
    requests++;
}

static void on_free(void *owner)
{
    assert_ptr_equal(owner, &base);
    freed++;
}

static const struct console_client_events events = {.on_request = on_request,
                                                    .on_free = on_free};

static int begin(void **state)
{
    (void)state;
    fds_before = net_open_fds();
    (void)signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    net_pair_unix(ends);
    requests = freed = 0;
    client = (struct console_client){.state = CONSOLE_CLIENT_FREE};
    return base && console_client_open(&client, base, ends[0], &events, &base) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    console_client_drop(&client);
    event_base_free(base);
    if (ends[1] >= 0)
        (void)close(ends[1]);
    return net_open_fds() == fds_before ? 0 : -1;
}

static void turn(void)
{
    assert_true(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
}

/* Everything that is said until now, or until the end. */
static const char *heard(void)
{
    static char text[TEXT_ROOM];
    size_t length = 0;
    ssize_t got;
    for (int i = 0; i < 10; i++)
        turn();
    while ((got = net_take(ends[1], text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    return text;
}

static void ask(const char *line)
{
    net_send(ends[1], line, strlen(line));
    for (int i = 0; i < 10; i++)
        turn();
}

static void a_client_is_greeted(void **state)
{
    (void)state;
    assert_string_equal(heard(), "pawl 1 " PAWL_VERSION "\n");
}

static void a_request_comes_whole_and_once(void **state)
{
    (void)state;
    ask("sta");
    assert_int_equal(requests, 0);
    ask("tus\nstop\n");
    assert_int_equal(requests, 1);
    assert_string_equal(asked, "status");
    ask("stop\n");
    assert_int_equal(requests, 1);
}

static void a_request_without_end_is_one_that_is_too_long(void **state)
{
    char line[CONSOLE_REQUEST_MAX + 2];
    (void)state;
    memset(line, 'a', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    ask(line);
    assert_int_equal(requests, 1);
    assert_int_equal(asked_length, CONSOLE_REQUEST_MAX);
}

static void lines_and_the_code_are_marked(void **state)
{
    (void)state;
    (void)heard();
    ask("x\n");
    console_client_say(&client, '-', "line %d\nno other\x1b[2J", 1);
    console_client_print(&client, "a\n\nb", 4);
    console_client_end(&client, 1);
    assert_string_equal(heard(), "-line 1?no other?[2J\n+a\n+\n+b\n=1\n");
    assert_int_equal(freed, 1);
    assert_int_equal(client.state, CONSOLE_CLIENT_FREE);
}

static void one_who_has_said_all_still_gets_the_answer(void **state)
{
    (void)state;
    net_send(ends[1], "status\n", 7);
    assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
    turn();
    assert_int_equal(requests, 1);
    console_client_end(&client, 0);
    assert_non_null(strstr(heard(), "=0\n"));
}

static void one_who_hangs_up_without_a_request_is_gone(void **state)
{
    (void)state;
    (void)close(ends[1]);
    ends[1] = -1;
    for (int i = 0; i < 10 && freed == 0; i++)
        turn();
    assert_int_equal(freed, 1);
    assert_int_equal(requests, 0);
}

static void one_who_does_not_read_is_dropped(void **state)
{
    char *text = calloc(1, MORE_THAN_A_SOCKET_TAKES);
    (void)state;
    assert_non_null(text);
    ask("x\n");
    memset(text, 'a', MORE_THAN_A_SOCKET_TAKES);
    console_client_print(&client, text, MORE_THAN_A_SOCKET_TAKES);
    free(text);
    console_client_end(&client, 0);
    /* Saying it took no time; its patience is a matter of seconds. */
    const struct timeval most = {.tv_sec = 10};
    assert_int_equal(event_base_loopexit(base, &most), 0);
    while (freed == 0 && !event_base_got_exit(base))
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    assert_int_equal(freed, 1);
}

static void more_than_is_kept_makes_the_answer_a_failure(void **state)
{
    char *text = calloc(1, MORE_THAN_A_SOCKET_TAKES);
    (void)state;
    assert_non_null(text);
    ask("x\n");
    for (int i = 0; i < 3; i++)
        console_client_print(&client, text, MORE_THAN_A_SOCKET_TAKES);
    free(text);
    assert_true(client.overflown);
}

static void what_was_sent_behind_the_request_does_not_reset_the_end(void **state)
{
    static const char more[10000];
    char last;
    (void)state;
    net_send(ends[1], "x\n", 2);
    net_send(ends[1], more, sizeof more);
    turn();
    assert_int_equal(requests, 1);
    console_client_end(&client, 0);
    assert_non_null(strstr(heard(), "=0\n"));
    assert_int_equal(net_take(ends[1], &last, 1), 0);
}

static void one_that_waited_before_is_not_greeted_again(void **state)
{
    (void)state;
    (void)heard();
    int copy = dup(ends[0]);
    console_client_drop(&client);
    assert_true(
        console_client_resume(&client, base, copy, &events, &base, CONSOLE_WAIT_UPGRADE));
    assert_true(console_client_waits(&client, CONSOLE_WAIT_UPGRADE));
    console_client_say(&client, '+', "done");
    console_client_end(&client, 0);
    assert_string_equal(heard(), "+done\n=0\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_is_greeted),
        TEST(a_request_comes_whole_and_once),
        TEST(a_request_without_end_is_one_that_is_too_long),
        TEST(lines_and_the_code_are_marked),
        TEST(one_who_has_said_all_still_gets_the_answer),
        TEST(one_who_hangs_up_without_a_request_is_gone),
        TEST(one_who_does_not_read_is_dropped),
        TEST(more_than_is_kept_makes_the_answer_a_failure),
        TEST(what_was_sent_behind_the_request_does_not_reset_the_end),
        TEST(one_that_waited_before_is_not_greeted_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
