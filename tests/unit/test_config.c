#include "config/config.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/bundle.h"

#define LISTENER    "[listener web]\naddress = *:443\n"
#define CERTIFICATE "[certificate main]\nchain = /c.pem\nkey = /k.pem\n"
#define BACKEND     "[backend app]\naddress = 127.0.0.1:3000\n"
#define MINIMAL     LISTENER CERTIFICATE BACKEND /* lines 1 to 6 */

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

static void assert_reported(const char *text)
{
    for (size_t i = 0; i < report.count; i++) {
        if (strcmp(report.entries[i].text, text) == 0) {
            return;
        }
    }
    fail_msg("not reported: %s", text);
}

static void assert_text_reports(const char *text, const char *problem)
{
    read_as("a.ini", text);
    assert_only(problem);
}

static void seven_lines_are_enough(void **state)
{
    (void)state;
    read_as("a.ini", MINIMAL);
    assert_no_error();
    assert_string_equal(config->file, "a.ini");
    assert_int_equal(config->listener_count, 1);
    assert_int_equal(config->certificate_count, 1);
    assert_int_equal(config->backend_count, 1);
    assert_string_equal(config->listeners[0].section.name, "web");
    assert_int_equal(config->listeners[0].section.line, 1);
    assert_int_equal(config->listeners[0].address_line, 2);
    assert_string_equal(config->listeners[0].addresses.items[0].text, "*:443");
    assert_null(config->listeners[0].backend_name);
    assert_ptr_equal(config->listeners[0].backend, &config->backends[0]);
    assert_string_equal(config->certificates[0].chain, "/c.pem");
    assert_int_equal(config->certificates[0].chain_line, 4);
    assert_string_equal(config->certificates[0].key, "/k.pem");
}

static void relative_paths_are_taken_from_the_directory_of_the_text(void **state)
{
    (void)state;
    read_as("/etc/pawl/proxy.ini",
            LISTENER BACKEND "[certificate main]\nchain = tls/c.pem\nkey = /k.pem\n");
    assert_no_error();
    assert_string_equal(config->certificates[0].chain, "/etc/pawl/tls/c.pem");
    assert_string_equal(config->certificates[0].key, "/k.pem");
}

static void paths_stay_relative_beside_a_text_without_directory(void **state)
{
    (void)state;
    read_as("proxy.ini",
            LISTENER BACKEND "[certificate main]\nchain = tls/c.pem\nkey = /k.pem\n");
    assert_string_equal(config->certificates[0].chain, "tls/c.pem");
}

static void unknown_key_is_guessed(void **state)
{
    (void)state;
    assert_text_reports("[listener web]\nadress = *:443\n" CERTIFICATE BACKEND,
                        "a.ini:2: unknown key \"adress\" in [listener web] (did you mean "
                        "\"address\"?)");
}

static void unknown_key_of_another_section_is_led_there(void **state)
{
    (void)state;
    assert_text_reports(
        LISTENER "send_proxy = v1\n" CERTIFICATE BACKEND,
        "a.ini:3: unknown key \"send_proxy\" in [listener web] (it belongs in "
        "[backend NAME])");
}

static void unknown_key_like_no_other_is_not_guessed(void **state)
{
    (void)state;
    assert_text_reports(MINIMAL "[log]\nxyzzy = 1\n",
                        "a.ini:9: unknown key \"xyzzy\" in [log]");
}

static void unknown_section_is_guessed_once_and_skipped(void **state)
{
    (void)state;
    assert_text_reports(
        "[listenre web]\naddress = nonsense\n" CERTIFICATE BACKEND,
        "a.ini:1: unknown section [listenre web] (did you mean \"listener\"?)");
}

static void key_above_the_first_section_is_reported(void **state)
{
    (void)state;
    assert_text_reports("workers = 2\n" MINIMAL,
                        "a.ini:1: key \"workers\" stands above the first section");
}

static void duplicate_key_names_the_first_line(void **state)
{
    (void)state;
    assert_text_reports(
        LISTENER "address = *:444\n" CERTIFICATE BACKEND,
        "a.ini:3: key \"address\" in [listener web] is already in line 2");
}

static void duplicate_named_section_names_the_first_line(void **state)
{
    (void)state;
    assert_text_reports(MINIMAL "[certificate main]\nchain = /d.pem\nkey = /k.pem\n",
                        "a.ini:8: section [certificate main] is already in line 3");
}

static void duplicate_plain_section_is_reported_and_still_checked(void **state)
{
    (void)state;
    read_as("a.ini", MINIMAL "[log]\nlevel = debug\n[log]\nlevel = loud\n");
    assert_int_equal(report.count, 2);
    assert_reported("a.ini:10: section [log] is already in line 8");
    assert_reported(
        "a.ini:11: level in [log]: \"loud\" is none of error, warning, info, debug");
    assert_int_equal(config->log.level, LOG_LEVEL_DEBUG);
}

static void same_name_in_two_kinds_is_fine(void **state)
{
    (void)state;
    read_as("a.ini",
            "[listener a]\naddress = *:1\n[certificate a]\nchain = /c\nkey = /k\n"
            "[backend a]\naddress = unix:/a\n");
    assert_no_error();
}

static void section_without_its_name_is_reported(void **state)
{
    (void)state;
    assert_text_reports("[listener]\naddress = *:443\n" CERTIFICATE BACKEND,
                        "a.ini:1: section [listener] has no name (write [listener web])");
}

static void superfluous_name_is_reported(void **state)
{
    (void)state;
    assert_text_reports(MINIMAL "[log x]\nlevel = info\n",
                        "a.ini:8: section [log] takes no name, but has \"x\"");
}

static void odd_letters_in_a_name_are_reported(void **state)
{
    (void)state;
    static const char *const names[] = {"a b", "a/b", "*.example", "caf\xc3\xa9", "a\"b"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[256];
        char problem[256];
        snprintf(text, sizeof(text), MINIMAL "[backend %s]\naddress = unix:/a\n",
                 names[i]);
        snprintf(problem, sizeof(problem),
                 "a.ini:8: section [backend %s]: a name has only letters, digits, \".\", "
                 "\"_\" "
                 "and \"-\"",
                 names[i]);
        assert_text_reports(text, problem);
        clean(NULL);
    }
}

static void required_key_that_is_missing_is_named(void **state)
{
    (void)state;
    assert_text_reports(
        LISTENER BACKEND "[certificate main]\nkey = /k.pem\n",
        "a.ini:5: [certificate main] lacks the key \"chain\" (such as chain = "
        "/etc/pawl/fullchain.pem)");
}

static void empty_and_quoted_values_are_reported(void **state)
{
    (void)state;
    read_as("a.ini", LISTENER BACKEND "[certificate main]\nchain =\nkey = \"/k.pem\"\n");
    assert_int_equal(report.count, 2);
    assert_reported("a.ini:6: chain in [certificate main]: the value is empty");
    assert_reported(
        "a.ini:7: key in [certificate main]: the value is in quotes (write it "
        "without)");
}

static void sections_that_nothing_works_without_are_named(void **state)
{
    (void)state;
    read_as("a.ini", "");
    assert_int_equal(report.count, 3);
    assert_reported("a.ini: there is no section [listener NAME]");
    assert_reported("a.ini: there is no section [certificate NAME]");
    assert_reported("a.ini: there is no section [backend NAME]");
}

static void listener_must_choose_among_backends(void **state)
{
    (void)state;
    assert_text_reports(
        MINIMAL "[backend b]\naddress = unix:/b\n",
        "a.ini:1: listener \"web\": there are several backends (choose one: "
        "backend = app)");
}

static void unknown_backend_is_guessed(void **state)
{
    (void)state;
    assert_text_reports(
        LISTENER "backend = ap\n" CERTIFICATE BACKEND,
        "a.ini:3: listener \"web\": backend \"ap\" is not defined (did you "
        "mean \"app\"?)");
}

static void listeners_with_one_address_are_reported(void **state)
{
    (void)state;
    assert_text_reports(
        MINIMAL "[listener b]\naddress = *:444, [::]:443\n",
        "a.ini:9: listener \"b\": [::]:443 is already an address of listener "
        "\"web\" in line 2");
}

static void second_default_certificate_is_reported(void **state)
{
    (void)state;
    assert_text_reports(LISTENER BACKEND
                        "[certificate a]\nchain = /a\nkey = /k\ndefault = yes\n"
                        "[certificate b]\nchain = /b\nkey = /k\ndefault = no\n"
                        "[certificate c]\nchain = /c\nkey = /k\ndefault = on\n",
                        "a.ini:16: certificate \"c\": the default is already certificate "
                        "\"a\" in line 8");
}

static void passphrase_comes_from_a_file_or_a_command(void **state)
{
    (void)state;
    read_as("proxy.ini", "[listener web]\naddress = *:443\n"
                         "[certificate main]\nchain = a\nkey = b\n"
                         "passphrase_file = c\npassphrase_command = /bin/echo d e\n"
                         "[backend app]\naddress = 127.0.0.1:80\n");
    assert_only("proxy.ini:7: certificate \"main\": passphrase_command stands instead of "
                "passphrase_file; write one or the other");
    assert_string_equal(config->certificates[0].passphrase_file, "c");
    assert_string_equal(config->certificates[0].passphrase_command, "/bin/echo d e");
}

static void remote_plaintext_must_be_allowed(void **state)
{
    (void)state;
    const char *remote = LISTENER CERTIFICATE "[backend app]\naddress = 10.0.0.1:80\n";
    assert_text_reports(
        remote, "a.ini:7: backend \"app\": 10.0.0.1:80 is another machine, and "
                "everybody on the way could read what Pawl has decrypted (if that "
                "network is trusted, write allow_remote_plaintext = yes)");
    clean(NULL);
    char text[512];
    snprintf(text, sizeof(text), "%sallow_remote_plaintext = yes\n", remote);
    read_as("a.ini", text);
    assert_no_error();
}

static void all_problems_are_reported_in_one_run(void **state)
{
    (void)state;
    read_as("a.ini", "[listener web]\naddress = 443\nnonsense\nbackend = b\n"
                     "[backend app]\naddress = 10.0.0.256:80\nwait = 5\n"
                     "[limits]\n  idle_timeout = 1\n[nothing]\n");
    assert_int_equal(report.count, 9);
}

static void hostile_text_is_survived(void **state)
{
    (void)state;
    /* Every prefix of a text that touches everything, and every byte of it replaced. */
    const char text[] = "\xef\xbb\xbf[proxy]\r\nworkers=2 ; c\n" MINIMAL
                        "[limits]\nidle_timeout=1s\n[log]\nformat=json\n";
    char changed[sizeof(text)];
    for (size_t length = 0; length < sizeof(text); length++) {
        config = config_read(text, length, "a.ini", &report);
        clean(NULL);
    }
    static const char bytes[] = {'\0', '\n', '[', ']', '=', ';', ' ', '\xff', ',', ':'};
    for (size_t at = 0; at + 1 < sizeof(text); at++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            memcpy(changed, text, sizeof(text));
            changed[at] = bytes[i];
            config = config_read(changed, sizeof(text) - 1, "a.ini", &report);
            clean(NULL);
        }
    }
}

static void thousands_of_sections_are_read(void **state)
{
    (void)state;
    enum { COUNT = CONFIG_CERTIFICATES_MAX };
    const size_t size = COUNT * 64;
    char *text = malloc(size);
    assert_non_null(text);
    size_t length = (size_t)snprintf(text, size, "%s", LISTENER BACKEND);
    for (int i = 0; i < COUNT; i++) {
        length +=
            (size_t)snprintf(text + length, size - length,
                             "[certificate c%d]\nchain = /%d.pem\nkey = /k\n", i, i);
    }
    read_as("a.ini", text);
    free(text);
    assert_no_error();
    assert_int_equal(config->certificate_count, COUNT);
    assert_string_equal(config->certificates[COUNT - 1].chain, "/9999.pem");
}

static void more_certificates_than_there_is_room_for_are_an_error(void **state)
{
    (void)state;
    enum { COUNT = CONFIG_CERTIFICATES_MAX + 1 };
    const size_t size = COUNT * 64;
    char *text = malloc(size);
    assert_non_null(text);
    size_t length = (size_t)snprintf(text, size, "%s", LISTENER BACKEND);
    for (int i = 0; i < COUNT; i++) {
        length +=
            (size_t)snprintf(text + length, size - length,
                             "[certificate c%d]\nchain = /%d.pem\nkey = /k\n", i, i);
    }
    read_as("a.ini", text);
    free(text);
    assert_int_equal(report.errors, 1);
    assert_non_null(strstr(report.entries[0].text, "more than 10000 certificates"));
}

static void bundle_holds_the_same_configuration(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", NULL);
    const char *file = "/etc/pawl/proxy.ini";
    const char *text =
        LISTENER BACKEND "[certificate main]\nchain = c.pem\nkey = k.pem\n";
    assert_true(bundle_add(builder, CONFIG_BLOB_TEXT, text, strlen(text), NULL));
    assert_true(bundle_add(builder, CONFIG_BLOB_FILE, file, strlen(file), NULL));
    const int fd = bundle_seal(builder, NULL);
    bundle_builder_free(builder);
    struct bundle *bundle = bundle_open(fd, NULL);
    close(fd);
    assert_non_null(bundle);
    config = config_read_bundle(bundle, &report);
    bundle_close(bundle);
    assert_no_error();
    assert_string_equal(config->file, file);
    assert_string_equal(config->certificates[0].chain, "/etc/pawl/c.pem");
}

static void bundle_without_configuration_is_an_error(void **state)
{
    (void)state;
    struct bundle_builder *builder = bundle_builder_new("test", NULL);
    const int fd = bundle_seal(builder, NULL);
    bundle_builder_free(builder);
    struct bundle *bundle = bundle_open(fd, NULL);
    close(fd);
    config = config_read_bundle(bundle, &report);
    bundle_close(bundle);
    assert_non_null(config);
    assert_reported("configuration: the bundle holds no configuration");
}

static void workers_follow_the_processors_unless_configured(void **state)
{
    (void)state;
    read_as("a.ini", MINIMAL);
    cpu_set_t processors;
    assert_int_equal(sched_getaffinity(0, sizeof(processors), &processors), 0);
    const unsigned count = (unsigned)CPU_COUNT(&processors);
    assert_int_equal(config_worker_count(config),
                     count < CONFIG_WORKERS_MAX ? count : CONFIG_WORKERS_MAX);
    config->proxy.workers = 3;
    assert_int_equal(config_worker_count(config), 3);
}

#define TEST(name) cmocka_unit_test_teardown(name, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(seven_lines_are_enough),
        TEST(relative_paths_are_taken_from_the_directory_of_the_text),
        TEST(paths_stay_relative_beside_a_text_without_directory),
        TEST(unknown_key_is_guessed),
        TEST(unknown_key_of_another_section_is_led_there),
        TEST(unknown_key_like_no_other_is_not_guessed),
        TEST(unknown_section_is_guessed_once_and_skipped),
        TEST(key_above_the_first_section_is_reported),
        TEST(duplicate_key_names_the_first_line),
        TEST(duplicate_named_section_names_the_first_line),
        TEST(duplicate_plain_section_is_reported_and_still_checked),
        TEST(same_name_in_two_kinds_is_fine),
        TEST(section_without_its_name_is_reported),
        TEST(superfluous_name_is_reported),
        TEST(odd_letters_in_a_name_are_reported),
        TEST(required_key_that_is_missing_is_named),
        TEST(empty_and_quoted_values_are_reported),
        TEST(sections_that_nothing_works_without_are_named),
        TEST(listener_must_choose_among_backends),
        TEST(unknown_backend_is_guessed),
        TEST(listeners_with_one_address_are_reported),
        TEST(second_default_certificate_is_reported),
        TEST(passphrase_comes_from_a_file_or_a_command),
        TEST(remote_plaintext_must_be_allowed),
        TEST(all_problems_are_reported_in_one_run),
        TEST(hostile_text_is_survived),
        TEST(thousands_of_sections_are_read),
        TEST(more_certificates_than_there_is_room_for_are_an_error),
        TEST(bundle_holds_the_same_configuration),
        TEST(bundle_without_configuration_is_an_error),
        TEST(workers_follow_the_processors_unless_configured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
