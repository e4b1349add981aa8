/* A configuration with the contexts built from it. */
#include "proxy/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/certs_lab.h"

static struct lab lab;
static struct bundle *chains;
static struct report report;

static int make_files(void **state)
{
    (void)state;
    wolfSSL_Init();
    lab_open(&lab);
    lab_authorities(&lab);
    lab_chain(&lab, "main", "p256", "DNS:main.test");
    lab_section(&lab, "main");
    chains = lab_chains(&lab);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    bundle_close(chains);
    lab_close(&lab);
    wolfSSL_Cleanup();
    return 0;
}

static int end(void **state)
{
    (void)state;
    report_close(&report);
    return 0;
}

/* With the certificate NAME of the lab. */
static struct config *read_config(const char *name)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "[listener web]\naddress = 127.0.0.1:8443\nbackend = two\n"
                   "[certificate main]\nchain = %s/%s.pem\nkey = %s/%s.key\n"
                   "[backend one]\naddress = 127.0.0.1:3000\n"
                   "[backend two]\naddress = 127.0.0.1:3001, 127.0.0.1:3002\n",
                   lab.directory, name, lab.directory, name);
    struct config *config = config_read(text, strlen(text), "proxy.ini", &report);
    assert_non_null(config);
    assert_int_equal(report.errors, 0);
    return config;
}

static struct snapshot *make_snapshot(const char *name)
{
    struct snapshot *snapshot = snapshot_new(read_config(name), chains, NULL, &report);
    assert_non_null(snapshot);
    return snapshot;
}

static void finds_the_certificates_of_its_configuration(void **state)
{
    (void)state;
    struct snapshot *snapshot = make_snapshot("main");
    assert_int_equal(report.errors, 0);
    const struct certificate *found =
        certstore_find(snapshot->certs, "main.test", 1u << KEY_ECDSA_P256);
    assert_non_null(found);
    assert_ptr_equal(found->name, snapshot->config->certificates[0].section.name);
    snapshot_release(snapshot);
}

static void reports_a_certificate_that_was_not_captured(void **state)
{
    (void)state;
    struct snapshot *snapshot = make_snapshot("other");
    assert_true(report.faults > 0);
    snapshot_release(snapshot);
}

static void lives_as_long_as_the_last_who_keeps_it(void **state)
{
    (void)state;
    struct snapshot *snapshot = make_snapshot("main");
    assert_ptr_equal(snapshot_keep(snapshot), snapshot);
    assert_int_equal(snapshot->references, 2);
    snapshot_release(snapshot);
    assert_int_equal(snapshot->references, 1);
    assert_non_null(certstore_at(snapshot->certs, 0));
    snapshot_release(snapshot);
}

static void releasing_nothing_is_allowed(void **state)
{
    (void)state;
    snapshot_release(NULL);
}

#define TEST(test) cmocka_unit_test_teardown(test, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finds_the_certificates_of_its_configuration),
        TEST(reports_a_certificate_that_was_not_captured),
        TEST(lives_as_long_as_the_last_who_keeps_it),
        TEST(releasing_nothing_is_allowed),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
