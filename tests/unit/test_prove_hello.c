#include "proxy/prove_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/cursor.h"
#include "tests/unit/hello_builder.h"

#define RANDOM       "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
#define RETRY_RANDOM "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"

/* TLS 1.2 with ECDHE_RSA_WITH_AES_128_GCM_SHA256 and renegotiation_info. */
#define HELLO_TLS12 "0200002d0303" RANDOM "00c02f000005ff01000100"
/* A chain of two certificates of three and two bytes. */
#define CERTIFICATE "0b00000e00000b000003aabbcc000002ddee"
/* X25519 with a point of four bytes, and what stands for a signature. */
#define EXCHANGE "0c00000a03001d04010203040401"
#define DONE     "0e000000"

static size_t from_hex(const char *hex, uint8_t *out)
{
    static struct bytes bytes;
    bytes.length = 0;
    put_hex(&bytes, hex);
    memcpy(out, bytes.at, bytes.length);
    return bytes.length;
}

/* One record of `type` around `hex`, after what is in `out`. */
static size_t add_record(uint8_t *out, size_t at, uint8_t type, const char *hex)
{
    const size_t length = from_hex(hex, out + at + 5);
    const uint8_t header[5] = {type, 3, 3, (uint8_t)(length >> 8), (uint8_t)length};
    memcpy(out + at, header, sizeof header);
    return at + sizeof header + length;
}

/* Reads from a buffer of exactly the right size. */
static enum prove_progress read_exactly(struct prove_answer *answer, const uint8_t *bytes,
                                        size_t length)
{
    uint8_t *copy = malloc(length + 1);
    assert_non_null(copy);
    memcpy(copy + 1, bytes, length);
    const enum prove_progress progress =
        prove_answer_read(answer, copy + 1, length, false);
    free(copy);
    return progress;
}

static void expect_nonsense(uint8_t type, const char *hex)
{
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    const size_t length = add_record(bytes, 0, type, hex);
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_DONE);
    assert_int_equal(answer.kind, ANSWER_NONSENSE);
    assert_true(answer.error.text[0]);
    prove_answer_close(&answer);
}

static const uint16_t suites[] = {0xc02f, 0x1301};
static const uint16_t groups[] = {0x001d};
static const uint16_t versions[] = {0x0304};
static const struct prove_hello full = {.legacy_version = 0x0303,
                                        .versions = versions,
                                        .version_count = 1,
                                        .suites = suites,
                                        .suite_count = 2,
                                        .groups = groups,
                                        .group_count = 1,
                                        .name = "app.example"};

/* The parser that Pawl's own workers use is the judge of the bytes. */
static void hello_is_read_by_the_server_side_parser(void **state)
{
    (void)state;
    uint8_t record[PROVE_HELLO_BYTES_MAX];
    const size_t length = prove_hello_record(&full, record, sizeof record);
    const struct outcome outcome = read_bytes(record, length);
    assert_int_equal(outcome.status, HELLO_COMPLETE);
    assert_string_equal(outcome.hello.sni, "app.example");
    assert_int_equal(outcome.hello.best_version, 0x0304);
    assert_int_equal(outcome.hello.suite_count, 2);
    assert_true(outcome.hello.group_x25519 && !outcome.hello.group_p256);
    assert_true(outcome.hello.psk_dhe_ke && !outcome.hello.psk_offered);
}

static void early_data_comes_with_a_ticket_at_the_end(void **state)
{
    (void)state;
    uint8_t record[PROVE_HELLO_BYTES_MAX];
    struct prove_hello hello = full;
    hello.early_data = true;
    const struct outcome outcome =
        read_bytes(record, prove_hello_record(&hello, record, sizeof record));
    assert_int_equal(outcome.status, HELLO_COMPLETE);
    assert_true(outcome.hello.psk_offered);
}

static void deflate_is_offered_before_none(void **state)
{
    (void)state;
    uint8_t message[PROVE_HELLO_BYTES_MAX];
    struct prove_hello hello = full;
    hello.version_count = 0;
    hello.deflate = true;
    assert_true(prove_hello_message(&hello, message, sizeof message) > 0);
    /* header, version, random, empty session ID, two suites */
    assert_memory_equal(message + 4 + 2 + 32 + 1 + 6, "\x02\x01\x00", 3);
}

static void ssl3_gets_no_extensions(void **state)
{
    (void)state;
    uint8_t record[PROVE_HELLO_BYTES_MAX];
    const struct prove_hello hello = {
        .legacy_version = 0x0300, .suites = suites, .suite_count = 1, .name = "x"};
    const size_t length = prove_hello_record(&hello, record, sizeof record);
    assert_int_equal(length, 5 + 4 + 2 + 32 + 1 + 4 + 2);
    assert_memory_equal(record, "\x16\x03\x00", 3);
}

static void renegotiation_carries_the_finished(void **state)
{
    (void)state;
    static const uint8_t finished[12] = "twelve bytes";
    uint8_t message[PROVE_HELLO_BYTES_MAX];
    struct prove_hello hello = full;
    hello.verify_data = finished;
    hello.verify_data_len = sizeof finished;
    const size_t length = prove_hello_message(&hello, message, sizeof message);
    assert_non_null(memmem(message, length, "\xff\x01\x00\x0d\x0ctwelve bytes", 17));
}

static void a_hello_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    uint8_t record[64];
    for (size_t size = 0; size <= sizeof record; size++)
        assert_int_equal(prove_hello_record(&full, record, size), 0);
}

static void flight_of_tls12_is_read_whole(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    const size_t length = add_record(bytes, 0, 22, HELLO_TLS12 CERTIFICATE EXCHANGE DONE);
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_DONE);
    assert_int_equal(answer.kind, ANSWER_SERVER_HELLO);
    assert_int_equal(answer.version, 0x0303);
    assert_int_equal(answer.suite, 0xc02f);
    assert_true(answer.renegotiation && answer.has_exchange && !answer.is_resumed);
    assert_int_equal(answer.group, 0x001d);
    assert_int_equal(answer.chain_count, 2);
    assert_int_equal(answer.chain_at[1], 3);
    assert_int_equal(answer.chain_at[2], 5);
    assert_memory_equal(answer.chain, "\xaa\xbb\xcc\xdd\xee", 5);
    prove_answer_close(&answer);
}

static void flight_may_be_cut_anywhere(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    size_t length = add_record(bytes, 0, 22, HELLO_TLS12 "0b");
    length = add_record(bytes, length, 22, "00000e00000b000003aa");
    length = add_record(bytes, length, 22, "bbcc000002ddee" EXCHANGE DONE);
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(read_exactly(&answer, bytes, cut), PROGRESS_MORE);
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_DONE);
    assert_int_equal(answer.chain_count, 2);
    prove_answer_close(&answer);
}

static void resumption_of_tls12_is_told_by_its_early_change_of_keys(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    size_t length = add_record(bytes, 0, 22, HELLO_TLS12 "0400000900000e10000301aabb");
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_MORE);
    length = add_record(bytes, length, 20, "01");
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_DONE);
    assert_true(answer.is_resumed && answer.has_ticket);
    assert_int_equal(answer.ticket_lifetime_s, 3600);
    prove_answer_close(&answer);
}

static void server_hello_of_tls13_is_read(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    const size_t length = add_record(bytes, 0, 22,
                                     "020000400303" RANDOM "001301000018"
                                     "002b00020304"
                                     "00330008001d0004a1a2a3a4"
                                     "002900020000");
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_DONE);
    assert_int_equal(answer.kind, ANSWER_SERVER_HELLO);
    assert_int_equal(answer.version, 0x0304);
    assert_int_equal(answer.group, 0x001d);
    assert_true(answer.has_share && answer.psk_selected);
    assert_int_equal(answer.share_len, 4);
    prove_answer_close(&answer);
}

static void retry_is_an_agreement(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    const size_t length = add_record(bytes, 0, 22,
                                     "020000340303" RETRY_RANDOM "001302"
                                     "00000c002b00020304003300020017");
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_DONE);
    assert_int_equal(answer.kind, ANSWER_RETRY);
    assert_int_equal(answer.group, 0x0017);
    assert_false(answer.has_share);
    assert_true(prove_answer_is_agreement(&answer));
    prove_answer_close(&answer);
}

static void alert_after_a_hello_is_a_refusal(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    size_t length = add_record(bytes, 0, 22, HELLO_TLS12);
    length = add_record(bytes, length, 21, "0228");
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_DONE);
    assert_int_equal(answer.kind, ANSWER_ALERT);
    assert_int_equal(answer.alert, 40);
    assert_true(prove_answer_is_refusal(&answer));
    prove_answer_close(&answer);
}

static void warning_before_the_hello_is_passed(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    size_t length = add_record(bytes, 0, 21, "0170"); /* unrecognized_name */
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_MORE);
    length = add_record(bytes, length, 22, HELLO_TLS12 CERTIFICATE EXCHANGE DONE);
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_DONE);
    assert_int_equal(answer.kind, ANSWER_SERVER_HELLO);
    prove_answer_close(&answer);
}

static void size_of_a_dhe_prime_is_measured(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    const size_t length = add_record(bytes, 0, 22,
                                     "020000280303" RANDOM "00009e000000" CERTIFICATE
                                     "0c00000e0005007fffffff00010200020304" DONE);
    assert_int_equal(read_exactly(&answer, bytes, length), PROGRESS_DONE);
    assert_int_equal(answer.kind, ANSWER_SERVER_HELLO);
    assert_int_equal(answer.dh_bits, 31);
    prove_answer_close(&answer);
}

static void what_is_not_tls_is_nonsense(void **state)
{
    (void)state;
    struct prove_answer answer = {0};
    const char *const texts[] = {"HTTP/1.1 400 Bad Request\r\n", "SSH-2.0-x\r\n", "\x80"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(
            read_exactly(&answer, (const uint8_t *)texts[i], strlen(texts[i])),
            PROGRESS_DONE);
        assert_int_equal(answer.kind, ANSWER_NONSENSE);
    }
    prove_answer_close(&answer);
}

static void hostile_answers_are_nonsense(void **state)
{
    (void)state;
    expect_nonsense(21, "02");                         /* half an alert */
    expect_nonsense(22, "0bffffff");                   /* a message of 16 MB */
    expect_nonsense(22, CERTIFICATE);                  /* before the ServerHello */
    expect_nonsense(22, "020000020303");               /* a ServerHello of two bytes */
    expect_nonsense(22, HELLO_TLS12 HELLO_TLS12);      /* twice */
    expect_nonsense(22, HELLO_TLS12 "0b000003ffffff"); /* a list that is not there */
    expect_nonsense(22, HELLO_TLS12 "0b000006000003ffffff"); /* a certificate likewise */
    expect_nonsense(22, HELLO_TLS12 CERTIFICATE CERTIFICATE);
    expect_nonsense(22, HELLO_TLS12 "0c00000303001d");                   /* no point */
    expect_nonsense(22, "0200002d0303" RANDOM "00c02f000005ff01ffff00"); /* extension */
    expect_nonsense(22, "020000280505" RANDOM "00c02f000000"); /* no such version */
    expect_nonsense(22, "020000280303" RANDOM "21c02f000000"); /* session ID too long */
}

/* Every byte of a good flight replaced by others: nothing may be read outside. */
static void damaged_flights_are_read_within_their_bounds(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    struct prove_answer answer = {0};
    const size_t length = add_record(bytes, 0, 22, HELLO_TLS12 CERTIFICATE EXCHANGE DONE);
    for (size_t i = 0; i < length; i++) {
        const uint8_t good = bytes[i];
        for (unsigned flip = 1; flip < 256; flip++) {
            bytes[i] = (uint8_t)(good ^ flip);
            (void)read_exactly(&answer, bytes, length);
        }
        bytes[i] = good;
    }
    prove_answer_close(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_is_read_by_the_server_side_parser),
        cmocka_unit_test(early_data_comes_with_a_ticket_at_the_end),
        cmocka_unit_test(deflate_is_offered_before_none),
        cmocka_unit_test(ssl3_gets_no_extensions),
        cmocka_unit_test(renegotiation_carries_the_finished),
        cmocka_unit_test(a_hello_that_does_not_fit_is_refused),
        cmocka_unit_test(flight_of_tls12_is_read_whole),
        cmocka_unit_test(flight_may_be_cut_anywhere),
        cmocka_unit_test(resumption_of_tls12_is_told_by_its_early_change_of_keys),
        cmocka_unit_test(server_hello_of_tls13_is_read),
        cmocka_unit_test(retry_is_an_agreement),
        cmocka_unit_test(alert_after_a_hello_is_a_refusal),
        cmocka_unit_test(warning_before_the_hello_is_passed),
        cmocka_unit_test(size_of_a_dhe_prime_is_measured),
        cmocka_unit_test(what_is_not_tls_is_nonsense),
        cmocka_unit_test(hostile_answers_are_nonsense),
        cmocka_unit_test(damaged_flights_are_read_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
