/* Whole sessions, from the accepted socket to the log line, with a real client, backend
 * and keyholder; only the worker around them is the test's. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/log.h"
#include "proxy/session.h"
#include "proxy/worker.h"
#include "tests/unit/net_pair.h"
#include "tests/unit/sign_lab.h"
#include "tests/unit/tls_client.h"

enum { UPLOAD_BYTES = 300000, LOG_BYTES = 8192 };

static struct scratch scratch;
static struct config_backend backend;
static struct config_listener listener = {.section.name = "web", .backend = &backend};
static struct config config = {.backends = &backend, .backend_count = 1};
static struct snapshot snapshot;
static struct worker worker;
static struct stats_worker stats;
static struct tls_client client;
static int listening; /* the backend's socket */
static int accepted;  /* the backend's end of the connection; -1: none yet */
static int saved_stderr;
static int log_fd;
static char log_text_kept[LOG_BYTES];
static uint8_t upload[UPLOAD_BYTES];

void worker_tick(struct worker *ticked)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    ticked->now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void worker_pause_accepting(struct worker *paused, const char *cause)
{
    (void)paused;
    fail_msg("%s", cause);
}

void worker_on_session_closed(struct worker *owner)
{
    owner->session_count--;
}

static void begin_session(enum tls_pair_version version)
{
    const struct sockaddr_in peer = {.sin_family = AF_INET,
                                     .sin_port = htons(4711),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[2];
    net_pair_tcp(fds);
    tls_client_open_with(&client, fds[0], sign_lab.client_contexts[version]);
    worker_tick(&worker);
    session_start(&worker, &listener, fds[1], (const struct sockaddr *)&peer, 0);
}

static int begin(void **state)
{
    sign_lab_start(state);
    backend = (struct config_backend){.section.name = "app", .addresses.count = 1};
    listening = net_listen(&backend.addresses.items[0]);
    config.backends = &backend;
    config.backend_count = 1;
    accepted = -1;
    config.limits = (struct config_limits){.handshake_timeout_ms = 10000,
                                           .connect_timeout_ms = 10000,
                                           .idle_timeout_ms = 10000,
                                           .half_close_timeout_ms = 10000,
                                           .linger_timeout_ms = 10000};
    config.tls = tls_policy_widest;
    snapshot = (struct snapshot){.references = 1,
                                 .routes = route_table_new(&sign_lab.lab.config),
                                 .config = &config,
                                 .certs = sign_lab.store};
    stats = (struct stats_worker){0};
    worker = (struct worker){.base = sign_lab.base,
                             .stats = &stats,
                             .scratch = &scratch,
                             .keyholder = sign_lab.signer,
                             .current = &snapshot};
    pool_set_init(&worker.pools, sign_lab.base);
    snapshot.pools = pool_set_take(&worker.pools, &config);
    pool_set_follow(&worker.pools, &config);
    TAILQ_INIT(&worker.sessions);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    saved_stderr = dup(STDERR_FILENO);
    (void)dup2(log_fd, STDERR_FILENO);
    log_open("worker 0", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    begin_session(PAIR_TLS13);
    return 0;
}

static int end(void **state)
{
    while (!TAILQ_EMPTY(&worker.sessions))
        session_close(TAILQ_FIRST(&worker.sessions));
    (void)dup2(saved_stderr, STDERR_FILENO);
    (void)close(saved_stderr);
    (void)close(log_fd);
    tls_client_close(&client);
    (void)close(listening);
    if (accepted >= 0)
        (void)close(accepted);
    route_table_free(snapshot.routes);
    snapshot.routes = NULL;
    for (unsigned i = 0; i < snapshot.pools[0]->target_count; i++)
        assert_int_equal(snapshot.pools[0]->targets[i]->sessions, 0);
    pool_set_give_back(snapshot.pools, 1);
    return snapshot.references == 1 ? sign_lab_stop(state) : -1;
}

/* Everyone does what can be done now. */
static void turn(void)
{
    if (accepted < 0)
        accepted = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    (void)tls_client_send(&client, TLS_CLIENT_OUT_MAX);
    sign_lab_turn();
}

#define TURN_UNTIL(condition)                                                            \
    do {                                                                                 \
        const long deadline = sign_lab_now_ms() + DEADLINE_MS;                           \
        while (!(condition)) {                                                           \
            assert_true(sign_lab_now_ms() < deadline);                                   \
            turn();                                                                      \
        }                                                                                \
    } while (0)

static bool is_in(enum session_state wanted)
{
    const struct session *session = TAILQ_FIRST(&worker.sessions);
    return session && session->state == wanted;
}

static void open_relay(void)
{
    TURN_UNTIL(tls_client_connect(&client));
    TURN_UNTIL(accepted >= 0 && is_in(SESSION_RELAY));
}

static void close_backend(void)
{
    (void)close(accepted);
    accepted = -1;
    (void)close(listening);
    listening = -1;
}

/* The client reads until something other than data comes, and returns that. */
static int client_hears(const char *expected)
{
    uint8_t got[256];
    size_t total = 0;
    int last = -1;
    const long deadline = sign_lab_now_ms() + DEADLINE_MS;
    while (last == -1 || last > 0) {
        assert_true(sign_lab_now_ms() < deadline);
        last = tls_client_read(&client, got + total, sizeof got - total);
        total += last > 0 ? (size_t)last : 0;
        turn();
    }
    assert_int_equal(total, strlen(expected));
    assert_memory_equal(got, expected, total);
    return last;
}

static void assert_logged(const char *words)
{
    TURN_UNTIL(worker.session_count == 0);
    const ssize_t length = pread(log_fd, log_text_kept, sizeof log_text_kept - 1, 0);
    assert_true(length >= 0);
    log_text_kept[length] = '\0';
    if (!strstr(log_text_kept, words))
        fail_msg("not in the log: %s\n%s", words, log_text_kept);
}

static void carries_a_request_and_its_answer(void **state)
{
    char got[64] = "";
    (void)state;
    open_relay();
    tls_client_write(&client, "request", 7);
    TURN_UNTIL(net_is_ready(accepted, POLLIN));
    assert_int_equal(net_take(accepted, got, sizeof got), 7);
    assert_string_equal(got, "request");
    net_send(accepted, "answer", 6);
    close_backend();
    assert_int_equal(client_hears("answer"), 0);
    tls_client_notify(&client);
    TURN_UNTIL(client.out_end == 0);
    tls_client_hang_up(&client);
    assert_logged("reason=finished");
    assert_logged("client=127.0.0.1:4711");
    assert_logged("bytes_in=7 bytes_out=6");
    assert_int_equal(
        stats.handshakes[TLS_1_3][GROUP_X25519MLKEM768][CIPHER_AES_128_GCM][0], 1);
    assert_int_equal(stats.sessions_ended[REASON_FINISHED], 1);
    assert_int_equal(stats.bytes_in, 7);
    assert_int_equal(stats.bytes_out, 6);
    for (size_t i = 0; i < SESSION_STATES; i++)
        assert_int_equal(stats.sessions[i], 0);
}

static void a_request_sent_with_the_handshake_is_not_lost(void **state)
{
    char got[64] = "";
    (void)state;
    TURN_UNTIL(tls_client_connect(&client));
    tls_client_write(&client, "at once", 7);
    TURN_UNTIL(accepted >= 0 && net_is_ready(accepted, POLLIN));
    assert_int_equal(net_take(accepted, got, sizeof got), 7);
    assert_string_equal(got, "at once");
}

static void no_backend_is_asked_before_the_handshake_is_done(void **state)
{
    (void)state;
    (void)tls_client_connect(&client);
    TURN_UNTIL(is_in(SESSION_HANDSHAKE));
    assert_false(net_is_ready(listening, POLLIN));
}

static void a_client_cut_off_without_close_notify_is_logged(void **state)
{
    (void)state;
    open_relay();
    (void)shutdown(client.fd, SHUT_WR);
    TURN_UNTIL(net_is_ready(accepted, POLLIN));
    close_backend();
    assert_int_equal(client_hears(""), 0);
    assert_logged("reason=client_truncated");
}

/* A backend that may stop reading while it goes on speaking. */
static void listen_on_a_unix_socket(void)
{
    const struct sockaddr nameless = {.sa_family = AF_UNIX};
    struct address *address = &backend.addresses.items[0];
    (void)close(listening);
    *address = (struct address){.length = sizeof address->storage, .text = "unix:@test"};
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, &nameless, sizeof nameless.sa_family), 0);
    assert_int_equal(
        getsockname(listening, (struct sockaddr *)&address->storage, &address->length),
        0);
    pool_set_follow(&worker.pools, &config);
    assert_int_equal(listen(listening, 1), 0);
}

/* Closing with unread input would reset the connection and the answer with it. */
static void an_answer_is_not_lost_because_its_upload_is_not_read(void **state)
{
    (void)state;
    listen_on_a_unix_socket();
    open_relay();
    (void)shutdown(accepted, SHUT_RD);
    net_send(accepted, "413", 3);
    tls_client_write(&client, upload, sizeof upload);
    TURN_UNTIL(TAILQ_FIRST(&worker.sessions)->backend.write_failed);
    close_backend();
    assert_int_equal(client_hears("413"), 0);
    assert_true(is_in(SESSION_LINGER));
    TURN_UNTIL(client.out_end == 0);
    tls_client_hang_up(&client);
    assert_logged("reason=finished");
}

static void a_backend_that_refuses_ends_with_a_close_notify(void **state)
{
    (void)state;
    close_backend();
    TURN_UNTIL(tls_client_connect(&client));
    assert_int_equal(client_hears(""), 0);
    tls_client_hang_up(&client);
    assert_logged("reason=backend_unreachable");
    assert_logged("Connection refused");
}

static void a_reset_by_the_backend_ends_without_a_close_notify(void **state)
{
    (void)state;
    open_relay();
    net_reset(accepted);
    accepted = -1;
    assert_int_equal(client_hears(""), -2);
    tls_client_hang_up(&client);
    assert_logged("reason=backend_reset");
}

static void a_client_that_resets_resets_the_backend(void **state)
{
    char byte;
    (void)state;
    open_relay();
    net_reset(client.fd);
    client.fd = -1;
    TURN_UNTIL(worker.session_count == 0);
    net_wait(accepted, POLLIN);
    assert_int_equal(net_take(accepted, &byte, 1), -2);
    assert_logged("reason=client_reset");
}

static void an_idle_session_ends_with_a_close_notify(void **state)
{
    (void)state;
    config.limits.idle_timeout_ms = 20;
    open_relay();
    assert_int_equal(client_hears(""), 0);
    tls_client_hang_up(&client);
    assert_logged("reason=idle_timeout");
}

static void a_handshake_that_goes_nowhere_is_given_up(void **state)
{
    (void)state;
    session_close(TAILQ_FIRST(&worker.sessions));
    tls_client_close(&client);
    config.limits.handshake_timeout_ms = 20;
    begin_session(PAIR_TLS13);
    assert_logged("reason=handshake_timeout");
}

static void a_client_that_does_not_hang_up_is_closed_in_the_end(void **state)
{
    (void)state;
    config.limits.linger_timeout_ms = 20;
    open_relay();
    worker_tick(&worker);
    session_drain(TAILQ_FIRST(&worker.sessions));
    assert_true(is_in(SESSION_LINGER));
    assert_logged("reason=drain");
}

static void draining_ends_with_a_close_notify(void **state)
{
    (void)state;
    open_relay();
    worker_tick(&worker);
    session_drain(TAILQ_FIRST(&worker.sessions));
    assert_int_equal(client_hears(""), 0);
    tls_client_hang_up(&client);
    assert_logged("reason=drain");
}

static void a_port_scan_is_not_worth_a_line(void **state)
{
    (void)state;
    tls_client_hang_up(&client);
    assert_logged("");
    assert_string_equal(log_text_kept, "");
}

static void a_refused_hello_is_logged_with_its_cause(void **state)
{
    (void)state;
    net_send(client.fd, "GET / HTTP/1.1\r\n\r\n", 18);
    tls_client_hang_up(&client);
    assert_logged("reason=plain_http");
    assert_int_equal(stats.handshakes_failed[REASON_HELLO_REFUSED], 1);
    assert_int_equal(stats.hellos_refused[HELLO_REFUSAL_PLAIN_HTTP], 1);
}

static void tls_1_2_works_to_the_end(void **state)
{
    (void)state;
    session_close(TAILQ_FIRST(&worker.sessions));
    tls_client_close(&client);
    begin_session(PAIR_TLS12);
    open_relay();
    close_backend();
    assert_int_equal(client_hears(""), 0);
    tls_client_notify(&client);
    TURN_UNTIL(client.out_end == 0);
    tls_client_hang_up(&client);
    assert_logged("version=TLSv1.2");
    assert_logged("reason=finished");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(carries_a_request_and_its_answer),
        TEST(a_request_sent_with_the_handshake_is_not_lost),
        TEST(no_backend_is_asked_before_the_handshake_is_done),
        TEST(a_client_cut_off_without_close_notify_is_logged),
        TEST(an_answer_is_not_lost_because_its_upload_is_not_read),
        TEST(a_backend_that_refuses_ends_with_a_close_notify),
        TEST(a_reset_by_the_backend_ends_without_a_close_notify),
        TEST(a_client_that_resets_resets_the_backend),
        TEST(an_idle_session_ends_with_a_close_notify),
        TEST(a_handshake_that_goes_nowhere_is_given_up),
        TEST(a_client_that_does_not_hang_up_is_closed_in_the_end),
        TEST(draining_ends_with_a_close_notify),
        TEST(a_port_scan_is_not_worth_a_line),
        TEST(a_refused_hello_is_logged_with_its_cause),
        TEST(tls_1_2_works_to_the_end),
    };
    return cmocka_run_group_tests(tests, sign_lab_open, sign_lab_close);
}
