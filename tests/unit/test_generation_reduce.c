/* Leaving certificates out of a generation, and keeping them as they were. */
#include "proxy/generation.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/bundle.h"

static char directory[64];
static struct generation *older;
static struct generation *next;
static struct report report;

static const char ini_text[] = "[listener web]\naddress = 127.0.0.1:8443\n"
                               "clients = staff\n"
                               "[route api]\nclients = robots\n"
                               "[certificate a]\nchain = a.pem\nkey = a.key\n"
                               "passphrase_file = pass\n"
                               "[certificate b]\nchain = b.pem\nkey = b.key\n"
                               "passphrase_file = pass\n"
                               "[certificate twin]\nchain = b.pem\nkey = twin.key\n"
                               "[clients staff]\nca = ca.pem\ncrl = crl.pem\n"
                               "[clients robots]\nca = ca.pem\n"
                               "[backend app]\naddress = 127.0.0.1:3000\n";

static const char *path_of(const char *file)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    return path;
}

static void write_file(const char *file, const char *text)
{
    const int fd = open(path_of(file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static void write_version(const char *version)
{
    static const char *const files[] = {"a.pem",    "a.key",  "b.pem",   "b.key",
                                        "twin.key", "ca.pem", "crl.pem", "pass"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        write_file(files[i], version);
}

static struct generation *capture(uint32_t number)
{
    static char file[128];
    (void)snprintf(file, sizeof file, "%s/proxy.ini", directory);
    const struct source source = {.file = file, .text = ini_text, .demo_fd = -1};
    struct generation *generation = generation_capture(&source, number, &report);
    assert_int_equal(report.count, 0);
    assert_true(generation->keys_fd >= 0);
    return generation;
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/pawl-test-reduce-XXXXXX");
    assert_non_null(mkdtemp(directory));
    write_version("old");
    older = capture(1);
    write_version("new");
    next = capture(2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    generation_free(older);
    generation_free(next);
    report_close(&report);
    (void)snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command) == 0 ? 0 : -1; // NOLINT: a path of our own
}

static void reduce(size_t first, size_t second, const struct generation *kept)
{
    struct cert_set served = {.bits = {0}};
    struct error error = {.text = ""};
    cert_set_add(&served, first);
    cert_set_add(&served, second);
    if (!generation_reduce(next, &served, kept, &error))
        fail_msg("%s", error.text);
}

/* NULL: there is no such blob. */
static void assert_blob(int fd, const char *file, const char *text)
{
    struct bundle *bundle = bundle_open(fd, NULL);
    assert_non_null(bundle);
    const struct blob blob = bundle_find(bundle, path_of(file));
    if (text) {
        assert_int_equal(blob.size, strlen(text));
        assert_memory_equal(blob.data, text, blob.size);
    } else {
        assert_null(blob.data);
    }
    bundle_close(bundle);
}

static void everything_is_offered_as_captured(void **state)
{
    (void)state;
    assert_int_equal(cert_set_count(&next->offered), 3);
    assert_int_equal(next->kept, 0);
}

static void files_of_what_is_left_out_are_not_in_the_bundles(void **state)
{
    (void)state;
    reduce(1, 2, NULL);
    assert_blob(next->bundle_fd, "a.pem", NULL);
    assert_blob(next->keys_fd, "a.key", NULL);
    assert_blob(next->bundle_fd, "b.pem", "new");
    assert_blob(next->keys_fd, "twin.key", "new");
    assert_int_equal(cert_set_count(&next->offered), 2);
}

static void roles_read_what_is_left_out(void **state)
{
    (void)state;
    reduce(1, 2, NULL);
    struct bundle *bundle = bundle_open(next->bundle_fd, NULL);
    struct config *config = config_read_bundle(bundle, &report);
    assert_true(config->certificates[0].left_out);
    assert_false(config->certificates[1].left_out);
    assert_false(config->certificates[2].left_out);
    config_free(config);
    bundle_close(bundle);
}

static void what_was_served_before_is_kept_as_it_was(void **state)
{
    (void)state;
    reduce(1, 2, older);
    assert_blob(next->bundle_fd, "a.pem", "old");
    assert_blob(next->keys_fd, "a.key", "old");
    assert_blob(next->bundle_fd, "b.pem", "new");
    assert_int_equal(next->kept, 1);
    assert_int_equal(cert_set_count(&next->offered), 3);
}

static void assert_passphrase(const char *name, const char *text)
{
    struct bundle *bundle = bundle_open(next->keys_fd, NULL);
    assert_non_null(bundle);
    const struct blob blob = bundle_find(bundle, name);
    assert_non_null(blob.data);
    assert_int_equal(blob.size, strlen(text));
    assert_memory_equal(blob.data, text, blob.size);
    bundle_close(bundle);
}

static void what_is_kept_keeps_its_passphrase_of_that_time(void **state)
{
    (void)state;
    reduce(1, 2, older);
    assert_passphrase("config.passphrase.a", "old");
    assert_passphrase("config.passphrase.b", "new");
}

static void what_has_another_passphrase_now_is_not_kept(void **state)
{
    (void)state;
    free(next->config->certificates[0].passphrase_file);
    next->config->certificates[0].passphrase_file = strdup("elsewhere");
    reduce(1, 2, older);
    assert_int_equal(next->kept, 0);
    assert_blob(next->keys_fd, "a.key", NULL);
}

static void files_of_client_policies_stay_and_are_the_new_ones(void **state)
{
    (void)state;
    reduce(1, 2, older);
    assert_blob(next->bundle_fd, "ca.pem", "new");
    assert_blob(next->bundle_fd, "crl.pem", "new");
}

static void what_was_not_served_before_is_not_kept(void **state)
{
    struct cert_set served = {.bits = {0}};
    (void)state;
    cert_set_add(&served, 1);
    assert_true(generation_reduce(older, &served, NULL, NULL));
    reduce(1, 2, older);
    assert_blob(next->bundle_fd, "a.pem", NULL);
    assert_int_equal(next->kept, 0);
}

static void a_shared_file_cannot_be_kept_in_two_versions(void **state)
{
    (void)state;
    reduce(0, 1, older);
    assert_blob(next->bundle_fd, "b.pem", "new");
    assert_blob(next->keys_fd, "twin.key", NULL);
    assert_int_equal(next->kept, 0);
}

static void the_same_certificates_are_recognized(void **state)
{
    (void)state;
    assert_true(generation_is_same(older, older));
    assert_false(generation_is_same(older, next));
    write_version("old");
    struct generation *again = capture(3);
    assert_true(generation_is_same(older, again));
    generation_free(again);
}

static void a_new_revocation_list_is_a_difference(void **state)
{
    (void)state;
    write_version("old");
    write_file("crl.pem", "new");
    struct generation *again = capture(3);
    assert_false(generation_is_same(older, again));
    generation_free(again);
}

static void keeping_everything_is_the_same_as_before(void **state)
{
    struct cert_set none = {.bits = {0}};
    (void)state;
    generation_free(next);
    write_file("ca.pem", "old");
    write_file("crl.pem", "old");
    next = capture(2);
    assert_true(generation_reduce(next, &none, older, NULL));
    assert_true(generation_is_same(older, next));
    assert_int_equal(next->kept, 3);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_is_offered_as_captured),
        TEST(files_of_what_is_left_out_are_not_in_the_bundles),
        TEST(roles_read_what_is_left_out),
        TEST(what_was_served_before_is_kept_as_it_was),
        TEST(what_is_kept_keeps_its_passphrase_of_that_time),
        TEST(what_has_another_passphrase_now_is_not_kept),
        TEST(files_of_client_policies_stay_and_are_the_new_ones),
        TEST(what_was_not_served_before_is_not_kept),
        TEST(a_shared_file_cannot_be_kept_in_two_versions),
        TEST(the_same_certificates_are_recognized),
        TEST(a_new_revocation_list_is_a_difference),
        TEST(keeping_everything_is_the_same_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
