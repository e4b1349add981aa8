/* Records of sessions that another process wrote, and numbers for people. */
#include "proxy/session_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/human.h"
#include "proxy/json.h"

static char *text;
static size_t length;

static const struct session_record plain = {.age_ms = 192000,
                                            .idle_ms = 40,
                                            .bytes_in = 812,
                                            .bytes_out = 31457280,
                                            .state = SESSION_RELAY,
                                            .resumed = 1,
                                            .client = "192.0.2.7:51234",
                                            .listener = "web",
                                            .sni = "app.example",
                                            .backend = "127.0.0.1:3000",
                                            .version = "TLSv1.3",
                                            .group = "X25519",
                                            .cipher = "TLS_AES_128_GCM_SHA256"};

static int end(void **state)
{
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

static const char *line_of(const struct session_record *record)
{
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    session_record_print(out, record, 3);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void a_session_is_one_line(void **state)
{
    (void)state;
    assert_string_equal(line_of(&plain),
                        "3   relay      3m12s   40ms     812 B  30.0 MiB  "
                        "192.0.2.7:51234       web  app.example -> 127.0.0.1:3000  "
                        "TLSv1.3 X25519 TLS_AES_128_GCM_SHA256 resumed\n");
}

static void what_is_not_known_yet_is_left_out(void **state)
{
    const struct session_record young = {
        .state = SESSION_HELLO, .client = "[2001:db8::1]:9", .listener = "web"};
    (void)state;
    assert_string_equal(line_of(&young),
                        "3   hello        0ms    0ms       0 B       0 B  "
                        "[2001:db8::1]:9       web  - -> -\n");
}

static void a_record_full_of_anything_is_made_harmless(void **state)
{
    struct session_record foreign, record;
    (void)state;
    memset(&foreign, 0xff, sizeof foreign);
    session_record_take(&record, &foreign);
    assert_int_equal(record.state, SESSION_LINGER);
    assert_int_equal(strlen(record.sni), sizeof record.sni - 1);
    assert_int_equal(strlen(record.client), sizeof record.client - 1);
    const char *line = line_of(&record);
    for (const char *c = line; *c; c++)
        assert_true((*c >= ' ' && *c <= '~') || (*c == '\n' && c[1] == '\0'));
    assert_non_null(strstr(line, "\\xff\\xff"));
}

static void bytes_of_a_peer_are_escaped(void **state)
{
    struct session_record record = plain;
    (void)state;
    memcpy(record.sni, "a\x1b[2J\n\\b", 9);
    assert_non_null(strstr(line_of(&record), "a\\x1b[2J\\x0a\\x5cb -> "));
}

static void as_json_it_has_numbers_and_nulls(void **state)
{
    struct session_record record = plain;
    (void)state;
    record.sni[0] = '\0';
    record.resumed = 0;
    FILE *out = open_memstream(&text, &length);
    struct json json = {.out = out};
    session_record_write_json(&json, &record, 0);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(
        text, "{\"worker\":0,\"client\":\"192.0.2.7:51234\",\"listener\":\"web\","
              "\"sni\":null,\"state\":\"relay\",\"version\":\"TLSv1.3\","
              "\"group\":\"X25519\",\"cipher\":\"TLS_AES_128_GCM_SHA256\","
              "\"resumed\":false,\"backend\":\"127.0.0.1:3000\","
              "\"age_seconds\":192.000,\"idle_seconds\":0.040,"
              "\"received_bytes\":812,\"sent_bytes\":31457280}");
}

static void numbers_are_for_people(void **state)
{
    static const struct {
        uint64_t ms;
        const char *words;
    } spans[] = {{0, "0ms"},         {999, "999ms"},
                 {1000, "1s"},       {59999, "59s"},
                 {60000, "1m00s"},   {3599999, "59m59s"},
                 {3600000, "1h00m"}, {86399999, "23h59m"},
                 {86400000, "1d0h"}, {UINT64_MAX, "213503982334d14h"}};
    static const struct {
        uint64_t bytes;
        const char *words;
    } sizes[] = {{0, "0 B"},          {1023, "1023 B"},     {1024, "1.0 KiB"},
                 {102400, "100 KiB"}, {1048575, "1.0 MiB"}, {UINT64_MAX, "16.0 EiB"}};
    char words[HUMAN_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        assert_string_equal(human_duration(spans[i].ms, words), spans[i].words);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_string_equal(human_bytes(sizes[i].bytes, words), sizes[i].words);
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_is_one_line),
        TEST(what_is_not_known_yet_is_left_out),
        TEST(a_record_full_of_anything_is_made_harmless),
        TEST(bytes_of_a_peer_are_escaped),
        TEST(as_json_it_has_numbers_and_nulls),
        TEST(numbers_are_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
