/* From the first byte to the end of the handshake, with a real client and a keyholder in
 * the same event loop, or a silent one; the session around it is filled by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/worker.h"
#include "tests/unit/hello_builder.h"
#include "tests/unit/net_pair.h"
#include "tests/unit/sign_lab.h"
#include "tests/unit/tls_client.h"

#define RSA_PSS_ONLY "0804"

static struct scratch scratch;
static struct worker worker = {.stats = &(struct stats_worker){0}};
static struct snapshot snapshot;
static struct config_backend backend;
static struct config_listener listener = {.backend = &backend};
static struct session session;
static struct tls_client client;
static enum session_step last_step;
static unsigned signed_events;

enum session_step session_end(struct session *ended, enum session_step step,
                              enum session_reason reason, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    ended->reason = reason;
    if (!format)
        return step;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    free(ended->detail);
    ended->detail = strdup(text);
    return step;
}

uint64_t session_now(const struct session *asking)
{
    (void)asking;
    return 0;
}

void worker_tick(struct worker *ticked)
{
    assert_ptr_equal(ticked, &worker);
}

static void run(unsigned events)
{
    assert_int_equal(last_step, STEP_WAIT);
    if (session.state == SESSION_HELLO) {
        last_step = handshake_run_hello(&session, events);
        if (last_step == STEP_NEXT) {
            session.state = SESSION_HANDSHAKE;
            last_step = handshake_run(&session, SESSION_ENTERED);
        }
    } else {
        last_step = handshake_run(&session, events);
    }
    assert_true(stream_settle(&session.client));
}

void session_on_event(struct session *signed_session, unsigned events)
{
    assert_ptr_equal(signed_session, &session);
    assert_int_equal(events, SESSION_SIGNED);
    signed_events++;
    run(events);
}

static void begin_session(void (*make)(int fds[2]), WOLFSSL_CTX *context)
{
    int fds[2];
    make(fds);
    worker.base = sign_lab.base;
    worker.keyholder = sign_lab.signer;
    snapshot = (struct snapshot){.certs = sign_lab.store,
                                 .config = &sign_lab.lab.config,
                                 .routes = route_table_new(&sign_lab.lab.config)};
    listener.unknown_sni = UNKNOWN_SNI_DEFAULT;
    session = (struct session){.worker = &worker,
                               .snapshot = &snapshot,
                               .listener = &listener,
                               .state = SESSION_HELLO,
                               .reason = REASON_INTERNAL};
    stream_init(&session.client, &scratch);
    stream_init(&session.backend, &scratch);
    stream_take(&session.client, fds[0]);
    tls_client_open_with(&client, fds[1], context);
    last_step = STEP_WAIT;
    signed_events = 0;
}

/* A client that trusts the lab, and a keyholder that signs. */
static int begin(void **state)
{
    sign_lab_start(state);
    begin_session(net_pair_unix, sign_lab.client_contexts[PAIR_TLS13]);
    return 0;
}

/* Nobody signs. */
static int begin_unsigned(void **state)
{
    sign_lab_start_alone(state);
    begin_session(net_pair_unix, sign_lab.client_contexts[PAIR_TLS13]);
    return 0;
}

static int begin_tls12(void **state)
{
    sign_lab_start(state);
    begin_session(net_pair_unix, sign_lab.client_contexts[PAIR_TLS12]);
    return 0;
}

static int begin_tcp(void **state)
{
    sign_lab_start(state);
    begin_session(net_pair_tcp, sign_lab.client_contexts[PAIR_TLS13]);
    return 0;
}

static int end(void **state)
{
    sign_job_free(session.sign_job);
    stream_close(&session.client, false);
    tls_client_close(&client);
    route_table_free(snapshot.routes);
    free(session.sni);
    free(session.detail);
    return sign_lab_stop(state);
}

static void ask_for(const char *name)
{
    (void)wolfSSL_UseSNI(client.ssl, WOLFSSL_SNI_HOST_NAME, name,
                         (unsigned short)strlen(name));
}

/* Everyone does what can be done now. */
static void turn(void)
{
    (void)tls_client_connect(&client);
    (void)tls_client_send(&client, TLS_CLIENT_OUT_MAX);
    if (last_step == STEP_WAIT && net_is_ready(session.client.fd, POLLIN))
        run(SESSION_CLIENT_READABLE);
    sign_lab_turn();
}

static void turn_until_over(void)
{
    const long deadline = sign_lab_now_ms() + DEADLINE_MS;
    while (last_step == STEP_WAIT) {
        assert_true(sign_lab_now_ms() < deadline);
        turn();
    }
}

static void turn_until_signature(void)
{
    const long deadline = sign_lab_now_ms() + DEADLINE_MS;
    while (!session.sign_job || !sign_job_is_waiting(session.sign_job)) {
        assert_true(sign_lab_now_ms() < deadline);
        turn();
    }
}

/* The server has said all it has to say before the client's answer. */
static void turn_until_signed(void)
{
    const long deadline = sign_lab_now_ms() + DEADLINE_MS;
    (void)tls_client_connect(&client);
    (void)tls_client_send(&client, TLS_CLIENT_OUT_MAX);
    net_wait(session.client.fd, POLLIN);
    run(SESSION_CLIENT_READABLE);
    while (signed_events == 0) {
        assert_true(sign_lab_now_ms() < deadline);
        sign_lab_turn();
    }
}

/* The session gets these bytes from the client. */
static void hear(const void *bytes, size_t length)
{
    net_send(client.fd, bytes, length);
    net_wait(session.client.fd, POLLIN);
    run(SESSION_CLIENT_READABLE);
}

static void hear_recipe(const struct recipe *recipe)
{
    static struct bytes hello, records;
    build(recipe, &hello);
    wrap(&hello, 16000, &records);
    hear(records.at, records.length);
}

/* The client got this fatal alert and nothing else. */
static void assert_alert(uint8_t alert)
{
    const uint8_t expected[] = {21, 3, 3, 0, 2, 2, alert};
    uint8_t got[64];
    net_wait(client.fd, POLLIN);
    assert_int_equal(net_take(client.fd, got, sizeof got), sizeof expected);
    assert_memory_equal(got, expected, sizeof expected);
}

static void assert_ended(enum session_step step, enum session_reason reason)
{
    assert_int_equal(last_step, step);
    assert_int_equal(session.reason, reason);
}

static void a_hello_may_come_byte_by_byte(void **state)
{
    (void)state;
    (void)tls_client_connect(&client);
    while (session.state == SESSION_HELLO) {
        assert_null(session.client.ssl);
        assert_int_equal(tls_client_send(&client, 1), 1);
        run(SESSION_CLIENT_READABLE);
    }
    assert_non_null(session.client.ssl);
    turn_until_over();
    assert_int_equal(last_step, STEP_NEXT);
}

static void a_hello_in_several_records_is_put_together(void **state)
{
    static struct bytes hello, records;
    (void)state;
    build(&recipe_modern, &hello);
    wrap(&hello, 20, &records);
    hear(records.at, records.length);
    assert_int_equal(session.state, SESSION_HANDSHAKE);
}

static void remembers_the_name_that_was_asked_for(void **state)
{
    (void)state;
    ask_for("P384.test");
    turn_until_over();
    assert_string_equal(session.sni, "p384.test");
    assert_string_equal(session.certificate->name, "p384");
}

static void a_client_without_a_name_has_none(void **state)
{
    (void)state;
    turn_until_over();
    assert_null(session.sni);
}

static void finishes_once_the_keyholder_has_signed(void **state)
{
    (void)state;
    turn_until_over();
    assert_int_equal(last_step, STEP_NEXT);
    assert_int_equal(signed_events, 1);
    assert_true(session.client.secure);
    assert_null(session.sign_job);
    assert_true(tls_client_connect(&client));
}

static void finishes_with_tls_1_2(void **state)
{
    (void)state;
    turn_until_over();
    assert_int_equal(last_step, STEP_NEXT);
    assert_string_equal(wolfSSL_get_version(session.client.ssl), "TLSv1.2");
}

static void says_why_a_hello_is_refused(void **state)
{
    struct recipe recipe = recipe_modern;
    (void)state;
    recipe.versions = "0302";
    recipe.legacy_version = 0x0302;
    hear_recipe(&recipe);
    assert_ended(STEP_END, REASON_HELLO_REFUSED);
    assert_int_equal(session.refusal, HELLO_REFUSAL_VERSION);
    assert_true(strlen(session.detail) > 0);
    assert_alert(70);
}

static void refuses_a_client_without_a_common_group(void **state)
{
    struct recipe recipe = recipe_tls12;
    (void)state;
    recipe.groups = "0019";
    hear_recipe(&recipe);
    assert_ended(STEP_END, REASON_HELLO_REFUSED);
    assert_int_equal(session.refusal, HELLO_REFUSAL_GROUP);
    assert_alert(40);
}

static void refuses_what_is_not_tls(void **state)
{
    (void)state;
    hear("SSH-2.0-OpenSSH_9.9\r\n", 21);
    assert_ended(STEP_END, REASON_HELLO_REFUSED);
    assert_int_equal(session.refusal, HELLO_REFUSAL_NOT_TLS);
}

static void refuses_a_client_that_no_certificate_suits(void **state)
{
    struct recipe recipe = recipe_modern;
    (void)state;
    recipe.sni = "p256.test";
    recipe.signatures = RSA_PSS_ONLY;
    hear_recipe(&recipe);
    assert_ended(STEP_END, REASON_NO_CERTIFICATE);
    assert_string_equal(session.sni, "p256.test");
    assert_non_null(strstr(session.detail, "signatures of RSA keys with TLS 1.3"));
    assert_alert(40);
}

static void refuses_an_unknown_name_where_that_is_wanted(void **state)
{
    struct recipe recipe = recipe_modern;
    (void)state;
    listener.unknown_sni = UNKNOWN_SNI_REFUSE;
    recipe.sni = "unknown.test";
    hear_recipe(&recipe);
    assert_ended(STEP_END, REASON_UNKNOWN_SNI);
    assert_string_equal(session.sni, "unknown.test");
    assert_alert(112);
}

static void a_client_that_leaves_before_its_hello_has_closed(void **state)
{
    (void)state;
    tls_client_hang_up(&client);
    run(SESSION_CLIENT_READABLE);
    assert_ended(STEP_CLOSE, REASON_CLIENT_CLOSED);
    assert_null(session.detail);
}

static void a_client_that_leaves_within_its_hello_has_closed(void **state)
{
    (void)state;
    hear("\x16\x03\x01", 3);
    tls_client_hang_up(&client);
    run(SESSION_CLIENT_READABLE);
    assert_ended(STEP_CLOSE, REASON_CLIENT_CLOSED);
}

static void a_reset_before_the_hello_is_a_reset(void **state)
{
    (void)state;
    net_reset(client.fd);
    client.fd = -1;
    net_wait(session.client.fd, POLLIN);
    run(SESSION_CLIENT_READABLE);
    assert_ended(STEP_CLOSE, REASON_CLIENT_RESET);
    assert_string_equal(session.detail, "Connection reset by peer");
}

static void a_slow_hello_times_out(void **state)
{
    (void)state;
    hear("\x16\x03\x01", 3);
    run(SESSION_TIMEOUT);
    assert_ended(STEP_CLOSE, REASON_HANDSHAKE_TIMEOUT);
}

static void being_woken_for_nothing_changes_nothing(void **state)
{
    (void)state;
    run(SESSION_ENTERED | SESSION_CLIENT_READABLE);
    run(SESSION_CLIENT_WRITABLE);
    assert_int_equal(session.state, SESSION_HELLO);
}

static void waits_for_its_signature(void **state)
{
    (void)state;
    turn_until_signature();
    run(SESSION_CLIENT_WRITABLE);
    assert_int_equal(last_step, STEP_WAIT);
    assert_false(session.client.secure);
    assert_int_equal(signed_events, 0);
}

static void a_keyholder_that_says_nothing_is_named_in_the_time_out(void **state)
{
    (void)state;
    turn_until_signature();
    run(SESSION_TIMEOUT);
    assert_ended(STEP_END, REASON_HANDSHAKE_TIMEOUT);
    assert_string_equal(session.detail,
                        "the keyholder gave no signature within handshake_timeout");
}

static void a_client_that_says_nothing_is_named_in_the_time_out(void **state)
{
    (void)state;
    turn_until_signed();
    run(SESSION_TIMEOUT);
    assert_ended(STEP_END, REASON_HANDSHAKE_TIMEOUT);
    assert_string_equal(session.detail,
                        "the client did not finish within handshake_timeout");
}

static void a_keyholder_without_the_key_fails_the_signing(void **state)
{
    struct error error;
    (void)state;
    sign_lab.keyholder = keyholder_new(sign_lab.base, &error);
    assert_non_null(sign_lab.keyholder);
    sign_lab_join_keyholder();
    turn_until_over();
    assert_ended(STEP_END, REASON_SIGNING_FAILED);
    assert_string_equal(session.detail,
                        "the keyholder refused to sign for certificate \"p256\"");
}

static void a_client_that_leaves_during_the_handshake_has_closed(void **state)
{
    (void)state;
    static uint8_t flight[16384];
    turn_until_signed();
    net_wait(client.fd, POLLIN);
    assert_true(net_take(client.fd, flight, sizeof flight) > 0);
    tls_client_hang_up(&client);
    net_wait(session.client.fd, POLLIN);
    run(SESSION_CLIENT_READABLE);
    assert_ended(STEP_CLOSE, REASON_CLIENT_CLOSED);
}

/* RFC 5246 section 7.2.1 allows it at any time. */
static void a_close_notify_during_the_handshake_is_a_client_that_closes(void **state)
{
    static const uint8_t close_notify[] = {21, 3, 3, 0, 2, 1, 0};
    (void)state;
    turn_until_signed();
    hear(close_notify, sizeof close_notify);
    assert_ended(STEP_CLOSE, REASON_CLIENT_CLOSED);
}

static void says_what_the_client_found_wrong(void **state)
{
    (void)state;
    /* It trusts nobody. */
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    tls_client_close(&client);
    stream_close(&session.client, false);
    route_table_free(snapshot.routes);
    begin_session(net_pair_unix, context);
    turn_until_over();
    wolfSSL_CTX_free(context);
    assert_ended(STEP_CLOSE, REASON_TLS_ALERT);
    assert_memory_equal(session.detail, "the client says: ", 17);
    assert_non_null(strstr(session.detail, "(bad_certificate)")
                        ?: strstr(session.detail, "(unknown_ca)"));
}

#define TEST(test, start) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hello_may_come_byte_by_byte, begin),
        TEST(a_hello_in_several_records_is_put_together, begin),
        TEST(remembers_the_name_that_was_asked_for, begin),
        TEST(a_client_without_a_name_has_none, begin),
        TEST(finishes_once_the_keyholder_has_signed, begin),
        TEST(finishes_with_tls_1_2, begin_tls12),
        TEST(says_why_a_hello_is_refused, begin),
        TEST(refuses_a_client_without_a_common_group, begin),
        TEST(refuses_what_is_not_tls, begin),
        TEST(refuses_a_client_that_no_certificate_suits, begin),
        TEST(refuses_an_unknown_name_where_that_is_wanted, begin),
        TEST(a_client_that_leaves_before_its_hello_has_closed, begin),
        TEST(a_client_that_leaves_within_its_hello_has_closed, begin),
        TEST(a_reset_before_the_hello_is_a_reset, begin_tcp),
        TEST(a_slow_hello_times_out, begin),
        TEST(being_woken_for_nothing_changes_nothing, begin),
        TEST(waits_for_its_signature, begin_unsigned),
        TEST(a_keyholder_that_says_nothing_is_named_in_the_time_out, begin_unsigned),
        TEST(a_client_that_says_nothing_is_named_in_the_time_out, begin),
        TEST(a_keyholder_without_the_key_fails_the_signing, begin_unsigned),
        TEST(a_client_that_leaves_during_the_handshake_has_closed, begin),
        TEST(a_close_notify_during_the_handshake_is_a_client_that_closes, begin_tls12),
        TEST(says_what_the_client_found_wrong, begin),
    };
    return cmocka_run_group_tests(tests, sign_lab_open, sign_lab_close);
}
