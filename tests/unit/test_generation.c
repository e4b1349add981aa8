/* Capturing a configuration and its files from a directory of the test's own. */
#include "proxy/generation.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/bundle.h"
#include "tests/unit/net_pair.h"

enum { PATH_BYTES = 128 };

static char directory[PATH_BYTES];
static char ini_path[PATH_BYTES + 16];
static char chain_path[PATH_BYTES + 16];
static char key_path[PATH_BYTES + 16];
static struct generation *generation;
static struct report report;
static size_t fds_before;

static const char ini_text[] = "[listener web]\naddress = 127.0.0.1:8443\n"
                               "[certificate main]\nchain = chain.pem\nkey = key.pem\n"
                               "[backend app]\naddress = 127.0.0.1:3000\n";

static void write_file(const char *path, const char *text, mode_t mode)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/pawl-test-generation-XXXXXX");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(ini_path, sizeof ini_path, "%s/proxy.ini", directory);
    (void)snprintf(chain_path, sizeof chain_path, "%s/chain.pem", directory);
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", directory);
    write_file(ini_path, ini_text, 0644);
    write_file(chain_path, "the chain", 0644);
    write_file(key_path, "the key", 0600);
    fds_before = net_open_fds();
    return 0;
}

static int end(void **state)
{
    (void)state;
    generation_free(generation);
    generation = NULL;
    report_close(&report);
    (void)unlink(ini_path);
    (void)unlink(chain_path);
    (void)unlink(key_path);
    (void)rmdir(directory);
    return net_open_fds() == fds_before ? 0 : -1;
}

static void capture(void)
{
    const struct source source = {.file = ini_path, .demo_fd = -1};
    generation = generation_capture(&source, 4, &report);
    assert_non_null(generation);
}

static void assert_reported(enum report_level level, unsigned line, const char *text)
{
    char expected[512];
    assert_int_equal(report.count, 1);
    assert_int_equal(report.entries[0].level, level);
    if (line > 0)
        (void)snprintf(expected, sizeof expected, "%s:%u: %s", ini_path, line, text);
    else
        (void)snprintf(expected, sizeof expected, "%s: %s", ini_path, text);
    assert_string_equal(report.entries[0].text, expected);
}

/* The blob `name` of the bundle in `fd` is `text`; NULL: there is none. */
static void assert_blob(int fd, const char *name, const char *text)
{
    struct error error;
    struct bundle *bundle = bundle_open(fd, &error);
    assert_non_null(bundle);
    const struct blob blob = bundle_find(bundle, name);
    if (text) {
        assert_non_null(blob.data);
        assert_int_equal(blob.size, strlen(text));
        assert_memory_equal(blob.data, text, blob.size);
    } else {
        assert_null(blob.data);
    }
    bundle_close(bundle);
}

static void captures_the_text_and_its_name(void **state)
{
    (void)state;
    capture();
    assert_int_equal(report.count, 0);
    assert_int_equal(generation->number, 4);
    assert_int_equal(generation->config->certificate_count, 1);
    assert_blob(generation->bundle_fd, CONFIG_BLOB_TEXT, ini_text);
    assert_blob(generation->bundle_fd, CONFIG_BLOB_FILE, ini_path);
}

static void puts_chains_and_keys_into_different_bundles(void **state)
{
    (void)state;
    capture();
    assert_blob(generation->bundle_fd, chain_path, "the chain");
    assert_blob(generation->bundle_fd, key_path, NULL);
    assert_blob(generation->keys_fd, key_path, "the key");
    assert_blob(generation->keys_fd, chain_path, NULL);
}

static void what_was_captured_does_not_change_with_the_files(void **state)
{
    (void)state;
    capture();
    write_file(chain_path, "another", 0644);
    assert_blob(generation->bundle_fd, chain_path, "the chain");
}

static void roles_read_the_same_configuration_from_the_bundle(void **state)
{
    struct error error;
    (void)state;
    capture();
    struct bundle *bundle = bundle_open(generation->bundle_fd, &error);
    struct config *config = config_read_bundle(bundle, &report);
    assert_int_equal(report.count, 0);
    assert_string_equal(config->file, ini_path);
    assert_string_equal(config->certificates[0].chain, chain_path);
    config_free(config);
    bundle_close(bundle);
}

static void captures_a_text_that_is_in_no_file(void **state)
{
    const struct source source = {.file = "built-in", .text = ini_text, .demo_fd = -1};
    (void)state;
    generation = generation_capture(&source, 1, &report);
    assert_non_null(generation);
    assert_int_equal(generation->config->listener_count, 1);
    assert_blob(generation->bundle_fd, CONFIG_BLOB_TEXT, ini_text);
    assert_blob(generation->bundle_fd, CONFIG_BLOB_FILE, "built-in");
}

static void a_missing_configuration_is_an_error(void **state)
{
    (void)state;
    (void)unlink(ini_path);
    capture();
    assert_null(generation->config);
    assert_int_equal(generation->bundle_fd, -1);
    assert_int_equal(generation->keys_fd, -1);
    assert_reported(REPORT_ERROR, 0, "cannot open: No such file or directory");
}

static void a_configuration_that_is_no_file_is_an_error(void **state)
{
    (void)state;
    (void)unlink(ini_path);
    assert_int_equal(mkfifo(ini_path, 0600), 0);
    capture();
    assert_null(generation->config);
    assert_reported(REPORT_ERROR, 0, "is not a regular file");
}

static void a_configuration_that_is_too_large_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(truncate(ini_path, CONFIG_TEXT_MAX + 1), 0);
    capture();
    assert_null(generation->config);
    assert_reported(REPORT_ERROR, 0, "is larger than 4 MiB");
}

static void a_missing_chain_becomes_an_empty_blob_and_an_error(void **state)
{
    char expected[256];
    (void)state;
    (void)unlink(chain_path);
    capture();
    (void)snprintf(expected, sizeof expected,
                   "certificate \"main\": cannot read \"%s\": No such file or directory",
                   chain_path);
    assert_reported(REPORT_FAULT, 4, expected);
    assert_blob(generation->bundle_fd, chain_path, "");
    assert_blob(generation->keys_fd, key_path, "the key");
}

static void a_missing_key_becomes_an_empty_blob_and_an_error(void **state)
{
    char expected[256];
    (void)state;
    (void)unlink(key_path);
    capture();
    (void)snprintf(expected, sizeof expected,
                   "certificate \"main\": cannot read \"%s\": No such file or directory",
                   key_path);
    assert_reported(REPORT_FAULT, 5, expected);
    assert_blob(generation->keys_fd, key_path, "");
}

static void what_could_be_read_is_captured_despite_errors(void **state)
{
    (void)state;
    write_file(ini_path,
               "[listener web]\nadres = 127.0.0.1:8443\n"
               "[certificate main]\nchain = chain.pem\nkey = key.pem\n",
               0644);
    capture();
    assert_true(report.errors > 0);
    assert_non_null(generation->config);
    assert_blob(generation->bundle_fd, chain_path, "the chain");
}

static void a_key_that_every_user_may_read_is_warned_of(void **state)
{
    char expected[512];
    (void)state;
    assert_int_equal(chmod(key_path, 0644), 0);
    capture();
    (void)snprintf(expected, sizeof expected,
                   "certificate \"main\": every user of this machine may read or replace "
                   "the private key \"%s\" (chmod o= would end that)",
                   key_path);
    assert_reported(REPORT_WARNING, 5, expected);
    assert_int_equal(report.errors, 0);
}

static void a_key_for_a_group_is_not_warned_of(void **state)
{
    (void)state;
    assert_int_equal(chmod(key_path, 0640), 0);
    capture();
    assert_int_equal(report.count, 0);
}

/* Writes the usual text with `line` as the seventh. */
static void write_ini_with(const char *line)
{
    char text[sizeof ini_text + 512];
    const char *rest = strstr(ini_text, "[backend");
    (void)snprintf(text, sizeof text, "%.*s%s\n%s", (int)(rest - ini_text), ini_text,
                   line, rest);
    write_file(ini_path, text, 0644);
}

static void a_passphrase_goes_where_the_keys_go(void **state)
{
    char pass_path[PATH_BYTES + 16];
    (void)state;
    (void)snprintf(pass_path, sizeof pass_path, "%s/pass", directory);
    write_file(pass_path, "secret\n", 0600);
    write_ini_with("passphrase_file = pass");
    capture();
    (void)unlink(pass_path);
    assert_int_equal(report.count, 0);
    assert_blob(generation->keys_fd, "config.passphrase.main", "secret\n");
    assert_blob(generation->bundle_fd, "config.passphrase.main", NULL);
    assert_int_equal(generation->files.count, 3); /* it is watched as well */
}

static void a_command_prints_the_passphrase(void **state)
{
    (void)state;
    write_ini_with("passphrase_command = /bin/echo a secret");
    capture();
    assert_int_equal(report.count, 0);
    assert_blob(generation->keys_fd, "config.passphrase.main", "a secret\n");
    assert_blob(generation->bundle_fd, "config.passphrase.main", NULL);
}

static void a_missing_passphrase_becomes_an_empty_blob_and_a_fault(void **state)
{
    char expected[512];
    (void)state;
    write_ini_with("passphrase_file = pass");
    capture();
    (void)snprintf(expected, sizeof expected,
                   "certificate \"main\": no passphrase for its key: cannot read "
                   "\"%s/pass\": No such file or directory",
                   directory);
    assert_reported(REPORT_FAULT, 6, expected);
    assert_blob(generation->keys_fd, "config.passphrase.main", "");
}

static void a_command_that_fails_becomes_an_empty_blob_and_a_fault(void **state)
{
    (void)state;
    write_ini_with("passphrase_command = /bin/false");
    capture();
    assert_reported(REPORT_FAULT, 6,
                    "certificate \"main\": no passphrase for its key: \"/bin/false\" "
                    "ended with code 1");
    assert_blob(generation->keys_fd, "config.passphrase.main", "");
}

static void a_directory_has_one_passphrase_that_is_fetched_once(void **state)
{
    char command[4 * PATH_BYTES];
    (void)state;
    (void)snprintf(command, sizeof command,
                   "cd %s && mkdir sites && for i in a b; do echo x > sites/$i.pem; echo "
                   "x > sites/$i.key; done; echo '#!/bin/sh' > run; echo \"echo x >> "
                   "%s/runs; echo secret\" >> run; chmod 700 run; chmod 600 sites/*",
                   directory, directory);
    assert_int_equal(system(command), 0); // NOLINT: a path of our own
    (void)snprintf(command, sizeof command,
                   "[listener web]\naddress = 127.0.0.1:8443\n[certificate main]\n"
                   "directory = sites\npassphrase_command = %s/run\n[backend app]\n"
                   "address = 127.0.0.1:3000\n",
                   directory);
    write_file(ini_path, command, 0644);
    capture();
    (void)snprintf(command, sizeof command,
                   "cd %s && test $(wc -l < runs) = 1 && rm -r sites run runs",
                   directory);
    assert_int_equal(system(command), 0); // NOLINT: a path of our own
    assert_int_equal(report.count, 0);
    assert_blob(generation->keys_fd, "config.passphrase.main/a", "secret\n");
    assert_blob(generation->keys_fd, "config.passphrase.main/b", "secret\n");
}

static void the_descriptors_are_closed_on_exec(void **state)
{
    (void)state;
    capture();
    assert_true(fcntl(generation->bundle_fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(generation->keys_fd, F_GETFD) & FD_CLOEXEC);
}

static void freeing_nothing_is_allowed(void **state)
{
    (void)state;
    generation_free(NULL);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(captures_the_text_and_its_name),
        TEST(puts_chains_and_keys_into_different_bundles),
        TEST(what_was_captured_does_not_change_with_the_files),
        TEST(roles_read_the_same_configuration_from_the_bundle),
        TEST(captures_a_text_that_is_in_no_file),
        TEST(a_missing_configuration_is_an_error),
        TEST(a_configuration_that_is_no_file_is_an_error),
        TEST(a_configuration_that_is_too_large_is_an_error),
        TEST(a_missing_chain_becomes_an_empty_blob_and_an_error),
        TEST(a_missing_key_becomes_an_empty_blob_and_an_error),
        TEST(what_could_be_read_is_captured_despite_errors),
        TEST(a_key_that_every_user_may_read_is_warned_of),
        TEST(a_key_for_a_group_is_not_warned_of),
        TEST(a_passphrase_goes_where_the_keys_go),
        TEST(a_command_prints_the_passphrase),
        TEST(a_missing_passphrase_becomes_an_empty_blob_and_a_fault),
        TEST(a_command_that_fails_becomes_an_empty_blob_and_a_fault),
        TEST(a_directory_has_one_passphrase_that_is_fetched_once),
        TEST(the_descriptors_are_closed_on_exec),
        TEST(freeing_nothing_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
