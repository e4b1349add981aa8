#include "config/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MINIMAL                                                                          \
    "[listener web]\naddress = *:443\n"                                                  \
    "[certificate main]\nchain = /c.pem\nkey = /k.pem\n"                                 \
    "[backend app]\naddress = 127.0.0.1:3000\n" /* lines 1 to 7 */

static struct config *config;
static struct report report;

static void read_as(const char *file, const char *text)
{
    const size_t length = strlen(text);
    char *copy = malloc(length + 1); /* without the NUL: the length is what counts */
    assert_non_null(copy);
    memcpy(copy, text, length);
    copy[length] = 'x';
    config = config_read(copy, length, file, &report);
    free(copy);
    assert_non_null(config);
}

static int clean(void **state)
{
    (void)state;
    config_free(config);
    config = NULL;
    report_close(&report);
    return 0;
}

static void assert_no_error(void)
{
    if (report.count > 0) {
        fail_msg("%s", report.entries[0].text);
    }
    assert_int_equal(report.errors, 0);
}

/* Exactly one problem, in these words. */
static void assert_only(const char *text)
{
    for (size_t i = 0; i < report.count; i++) {
        if (report.count > 1 || strcmp(report.entries[i].text, text) != 0) {
            print_message("%s\n", report.entries[i].text);
        }
    }
    assert_int_equal(report.count, 1);
    assert_int_equal(report.errors, 1);
    assert_string_equal(report.entries[0].text, text);
}

static void assert_text_reports(const char *text, const char *problem)
{
    read_as("a.ini", text);
    assert_only(problem);
}

static void defaults_stand_where_the_text_is_silent(void **state)
{
    (void)state;
    read_as("a.ini", MINIMAL);
    assert_int_equal(config->proxy.workers, 0);
    assert_string_equal(config->proxy.user, "nobody");
    assert_string_equal(config->proxy.control, "auto");
    assert_int_equal(config->proxy.section.line, 0);
    assert_false(config->certificates[0].is_default);
    assert_int_equal(config->backends[0].wait_ms, 5000);
    assert_false(config->backends[0].allow_remote_plaintext);
    assert_int_equal(config->backends[0].send_proxy, SEND_PROXY_OFF);
    assert_int_equal(config->limits.handshake_timeout_ms, 10000);
    assert_int_equal(config->limits.connect_timeout_ms, 5000);
    assert_int_equal(config->limits.idle_timeout_ms, 600000);
    assert_int_equal(config->limits.half_close_timeout_ms, 60000);
    assert_int_equal(config->limits.linger_timeout_ms, 5000);
    assert_int_equal(config->limits.drain_timeout_ms, 30000);
    assert_int_equal(config->log.level, LOG_LEVEL_INFO);
    assert_int_equal(config->log.format, LOG_FORMAT_TEXT);
}

static void a_word_in_place_of_a_path_stays_a_word(void **state)
{
    (void)state;
    read_as("/etc/a.ini", "[proxy]\ncontrol = off\n" MINIMAL);
    assert_no_error();
    assert_string_equal(config->proxy.control, CONTROL_OFF);
}

static void a_path_in_place_of_a_word_is_relative_to_the_file(void **state)
{
    (void)state;
    read_as("/etc/a.ini", "[proxy]\ncontrol = run/c.sock\n" MINIMAL);
    assert_no_error();
    assert_string_equal(config->proxy.control, "/etc/run/c.sock");
    assert_int_equal(config->proxy.control_line, 2);
}

static void every_key_reaches_its_field(void **state)
{
    (void)state;
    read_as("a.ini", "[proxy]\nworkers = 7\nuser = www-data\n"
                     "[listener web]\naddress = *:443, *:444\nbackend = b\n"
                     "[certificate main]\nchain = /c.pem\nkey = /k.pem\ndefault = yes\n"
                     "[backend a]\naddress = unix:/run/a\n"
                     "[backend b]\naddress = 10.0.0.1:80\nwait = 0s\n"
                     "allow_remote_plaintext = yes\nsend_proxy = v2-tls\n"
                     "[limits]\nhandshake_timeout = 1s\nconnect_timeout = 2s\n"
                     "idle_timeout = 3s\nhalf_close_timeout = 4s\nlinger_timeout = 5s\n"
                     "drain_timeout = 0s\n"
                     "[log]\nlevel = debug\nformat = json\n");
    assert_no_error();
    assert_int_equal(config->proxy.workers, 7);
    assert_string_equal(config->proxy.user, "www-data");
    assert_int_equal(config->proxy.user_line, 3);
    assert_int_equal(config->listeners[0].addresses.count, 2);
    assert_string_equal(config->listeners[0].backend_name, "b");
    assert_int_equal(config->listeners[0].backend_line, 6);
    assert_ptr_equal(config->listeners[0].backend, &config->backends[1]);
    assert_string_equal(config->certificates[0].key, "/k.pem");
    assert_int_equal(config->certificates[0].key_line, 9);
    assert_true(config->certificates[0].is_default);
    assert_int_equal(config->backends[1].wait_ms, 0);
    assert_true(config->backends[1].allow_remote_plaintext);
    assert_int_equal(config->backends[1].send_proxy, SEND_PROXY_V2_TLS);
    assert_int_equal(config->limits.handshake_timeout_ms, 1000);
    assert_int_equal(config->limits.connect_timeout_ms, 2000);
    assert_int_equal(config->limits.idle_timeout_ms, 3000);
    assert_int_equal(config->limits.half_close_timeout_ms, 4000);
    assert_int_equal(config->limits.linger_timeout_ms, 5000);
    assert_int_equal(config->limits.drain_timeout_ms, 0);
    assert_int_equal(config->log.level, LOG_LEVEL_DEBUG);
    assert_int_equal(config->log.format, LOG_FORMAT_JSON);
}

static void value_out_of_range_says_the_range(void **state)
{
    (void)state;
    assert_text_reports(MINIMAL "[limits]\nidle_timeout = 8d\n",
                        "a.ini:9: idle_timeout in [limits]: 8d is outside 100ms to 7d");
}

static void workers_are_auto_or_in_range(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *problem;
    } cases[] = {{"0", "0 is outside 1 to 256"},
                 {"257", "257 is outside 1 to 256"},
                 {"many", "\"many\" is neither \"auto\" nor a number from 1 to 256"}};
    for (size_t i = 0; i < 3; i++) {
        char text[256];
        char problem[256];
        snprintf(text, sizeof(text), MINIMAL "[proxy]\nworkers = %s\n", cases[i].value);
        snprintf(problem, sizeof(problem), "a.ini:9: workers in [proxy]: %s",
                 cases[i].problem);
        assert_text_reports(text, problem);
        clean(NULL);
    }
    read_as("a.ini", MINIMAL "[proxy]\nworkers = auto\n");
    assert_no_error();
}

static void default_is_valid(enum section_kind kind, const struct key *key)
{
    struct error error = {.text = ""};
    void *section = calloc(1, keys_sections[kind].size);
    assert_non_null(section);
    const char *text = key->standard != NULL ? key->standard : key->sample;
    const bool valid = keys_read(key, text, "a.ini", section, &error);
    keys_clear(kind, section);
    free(section);
    if (!valid) {
        fail_msg("%s: %s", key->name, error.text);
    }
    assert_true(key->required == (key->standard == NULL) || key->sample != NULL);
}

static void every_default_is_valid(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < SECTION_KINDS; kind++) {
        for (size_t i = 0; i < keys_sections[kind].keys->count; i++) {
            default_is_valid(kind, &keys_sections[kind].keys->keys[i]);
        }
    }
}

/* What keys_print says; to be freed. */
static char *printed(enum keys_style style)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    keys_print(out, style);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void key_is_shown(const char *text, enum keys_style style, const struct key *key)
{
    static const char *const before[] = {"\n  ", " | `", "\n"};
    static const char *const after[] = {" = ", "` | ", " = "};
    char shown[128];
    const bool is_comment = style == KEYS_INI && key->is_aside;
    snprintf(shown, sizeof(shown), "%s%s%s%s", before[style], is_comment ? "; " : "",
             key->name, after[style]);
    assert_non_null(strstr(text, shown));
}

static void every_style_shows_every_key(void **state)
{
    (void)state;
    for (int style = KEYS_PLAIN; style <= KEYS_INI; style++) {
        char *text = printed((enum keys_style)style);
        for (unsigned kind = 0; kind < SECTION_KINDS; kind++) {
            for (size_t i = 0; i < keys_sections[kind].keys->count; i++) {
                key_is_shown(text, (enum keys_style)style,
                             &keys_sections[kind].keys->keys[i]);
            }
        }
        free(text);
    }
}

static void example_file_is_what_the_table_prints(void **state)
{
    (void)state;
    char file[32768] = "";
    FILE *in = fopen("proxy.ini.example", "r");
    assert_non_null(in);
    const size_t length = fread(file, 1, sizeof(file) - 1, in);
    fclose(in);
    file[length] = '\0';
    char *text = printed(KEYS_INI);
    const bool same = strcmp(file, text) == 0;
    free(text);
    assert_true(same);
}

static void example_file_is_read_without_error(void **state)
{
    (void)state;
    char *text = printed(KEYS_INI);
    read_as("proxy.ini.example", text);
    free(text);
    assert_no_error();
}

#define TEST(name) cmocka_unit_test_teardown(name, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_stand_where_the_text_is_silent),
        TEST(a_word_in_place_of_a_path_stays_a_word),
        TEST(a_path_in_place_of_a_word_is_relative_to_the_file),
        TEST(every_key_reaches_its_field),
        TEST(value_out_of_range_says_the_range),
        TEST(workers_are_auto_or_in_range),
        TEST(every_default_is_valid),
        TEST(every_style_shows_every_key),
        TEST(example_file_is_what_the_table_prints),
        TEST(example_file_is_read_without_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
