/* Directories of certificates in every layout; only names count, so files are empty. */
#include "proxy/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/expand.h"

static char directory[64];
static struct config *config;
static struct report report;
static struct file_list files;

static void run(const char *command)
{
    char line[512];
    (void)snprintf(line, sizeof line, "cd %s && %s", directory, command);
    assert_int_equal(system(line), 0);
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/pawl-test-layout-XXXXXX");
    assert_non_null(mkdtemp(directory));
    return 0;
}

static int end(void **state)
{
    (void)state;
    char line[128];
    config_free(config);
    config = NULL;
    report_close(&report);
    file_list_close(&files);
    (void)snprintf(line, sizeof line, "rm -rf %s", directory);
    return system(line);
}

static struct config *read_config(void)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "[listener web]\naddress = 127.0.0.1:8443\n"
                   "[certificate sites]\ndirectory = %s\n"
                   "[backend app]\naddress = 127.0.0.1:3000\n",
                   directory);
    struct config *read = config_read(text, strlen(text), "/proxy.ini", &report);
    assert_int_equal(report.count, 0);
    return read;
}

static struct config *scan(const struct config *older)
{
    size_t size = 0;
    struct config *read = read_config();
    char *index = layout_scan(read, older, &files, &report, &size);
    assert_non_null(index);
    assert_true(expand_directories(read, index, size));
    free(index);
    return read;
}

/* The certificates are NAME=CHAIN+KEY, below the directory, in this order. */
static void assert_found(const char *expected)
{
    char found[1024] = "";
    const size_t skip = strlen(directory) + 1;
    for (size_t i = 0; i < config->certificate_count; i++) {
        const struct config_certificate *certificate = &config->certificates[i];
        const size_t length = strlen(found);
        (void)snprintf(found + length, sizeof found - length, "%s%s=%s+%s",
                       i > 0 ? " " : "", certificate->section.name,
                       certificate->chain + skip, certificate->key + skip);
    }
    assert_string_equal(found, expected);
}

static void certbot_has_a_directory_for_each(void **state)
{
    (void)state;
    run("touch README && mkdir a b empty && touch a/fullchain.pem a/privkey.pem "
        "a/cert.pem a/chain.pem b/fullchain.pem b/privkey.pem");
    config = scan(NULL);
    assert_found("sites/a=a/fullchain.pem+a/privkey.pem "
                 "sites/b=b/fullchain.pem+b/privkey.pem");
    assert_int_equal(report.count, 0);
}

static void a_directory_of_certbot_is_one_certificate(void **state)
{
    (void)state;
    run("touch fullchain.pem privkey.pem cert.pem chain.pem");
    config = scan(NULL);
    assert_found("sites=fullchain.pem+privkey.pem");
}

static void kubernetes_has_one_certificate_behind_links(void **state)
{
    (void)state;
    run("mkdir ..1 && touch ..1/tls.crt ..1/tls.key ..1/ca.crt && ln -s ..1 ..data && "
        "ln -s ..data/tls.crt ..data/tls.key ..data/ca.crt .");
    config = scan(NULL);
    assert_found("sites=tls.crt+tls.key");
}

static void secrets_may_be_mounted_side_by_side(void **state)
{
    (void)state;
    run("mkdir a b && touch a/tls.crt a/tls.key b/tls.crt b/tls.key");
    config = scan(NULL);
    assert_found("sites/a=a/tls.crt+a/tls.key sites/b=b/tls.crt+b/tls.key");
}

static void pairs_may_lie_side_by_side(void **state)
{
    (void)state;
    run("touch b.example.pem b.example.key a.example.crt a.example.key .hidden.pem");
    config = scan(NULL);
    assert_found("sites/a.example=a.example.crt+a.example.key "
                 "sites/b.example=b.example.pem+b.example.key");
}

static void half_of_a_pair_misses_the_other(void **state)
{
    (void)state;
    run("mkdir sub && touch sub/privkey.pem combined.pem lonely.key");
    config = scan(NULL);
    assert_found("sites/combined=combined.pem+combined.key "
                 "sites/lonely=lonely.crt+lonely.key "
                 "sites/sub=sub/fullchain.pem+sub/privkey.pem");
}

static void a_key_keeps_the_chain_that_it_had(void **state)
{
    (void)state;
    run("touch a.pem a.key");
    struct config *older = scan(NULL);
    run("rm a.pem");
    config = scan(older);
    config_free(older);
    assert_found("sites/a=a.pem+a.key");
}

static void an_unreadable_directory_keeps_what_it_had(void **state)
{
    (void)state;
    run("mkdir a && touch a/tls.crt a/tls.key");
    struct config *older = scan(NULL);
    run("rm -r ../${PWD##*/}");
    config = scan(older);
    config_free(older);
    assert_found("sites/a=a/tls.crt+a/tls.key");
    assert_int_equal(report.faults, 1);
    assert_non_null(strstr(report.entries[0].text, "/proxy.ini:4: certificate \"sites\": "
                                                   "cannot read the directory"));
}

static void an_empty_directory_is_a_fault(void **state)
{
    (void)state;
    config = scan(NULL);
    assert_int_equal(config->certificate_count, 0);
    assert_int_equal(report.faults, 1);
}

static void directories_and_files_are_listed_for_the_watch(void **state)
{
    (void)state;
    run("mkdir a empty && touch a/tls.crt a/tls.key");
    config = scan(NULL);
    assert_int_equal(files.count, 5);
    assert_string_equal(files.paths[0], directory);
}

static void what_exceeds_the_bound_is_left_out(void **state)
{
    (void)state;
    run("touch $(seq -f '%.0f.key' 1 10001) 2>/dev/null || "
        "seq -f '%.0f.key' 1 10001 | xargs touch");
    config = scan(NULL);
    assert_int_equal(config->certificate_count, CONFIG_CERTIFICATES_MAX);
    assert_int_equal(report.faults, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(certbot_has_a_directory_for_each),
        TEST(a_directory_of_certbot_is_one_certificate),
        TEST(kubernetes_has_one_certificate_behind_links),
        TEST(secrets_may_be_mounted_side_by_side),
        TEST(pairs_may_lie_side_by_side),
        TEST(half_of_a_pair_misses_the_other),
        TEST(a_key_keeps_the_chain_that_it_had),
        TEST(an_unreadable_directory_keeps_what_it_had),
        TEST(an_empty_directory_is_a_fault),
        TEST(directories_and_files_are_listed_for_the_watch),
        TEST(what_exceeds_the_bound_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
