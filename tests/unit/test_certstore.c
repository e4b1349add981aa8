/* Uses the openssl command for its certificates. */
#include "certs/certstore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/certs_lab.h"

enum { ALL = (1 << KEY_TYPE_COUNT) - 1, ONLY_RSA = 1 << KEY_RSA, MANY = 1000 };

static struct lab lab;
static struct certstore *store;
static struct report report;

static int make_files(void **state)
{
    (void)state;
    wolfSSL_Init();
    lab_open(&lab);
    lab_authorities(&lab);
    lab_chain(&lab, "www", "p256", "DNS:www.a.test,DNS:a.test");
    lab_chain(&lab, "www384", "p384", "DNS:www.a.test");
    lab_chain(&lab, "wwwed", "ed25519", "DNS:www.a.test");
    lab_chain(&lab, "wwwrsa", "rsa2048", "DNS:www.a.test");
    lab_chain(&lab, "wild", "p256", "DNS:*.a.test");
    lab_chain(&lab, "wildrsa", "rsa2048", "DNS:*.a.test");
    lab_chain(&lab, "other", "p256", "DNS:b.test");
    lab_chain(&lab, "twin", "p256", "DNS:www.a.test");
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    lab_close(&lab);
    wolfSSL_Cleanup();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    certstore_free(store);
    store = NULL;
    report_close(&report);
    report = (struct report){0};
    lab_forget_sections(&lab);
    return 0;
}

static void build(void)
{
    struct bundle *chains = lab_chains(&lab);
    lab.config.tls = tls_policy_widest;
    store = certstore_new(&lab.config, chains, NULL, &report);
    bundle_close(chains);
    assert_non_null(store);
}

static const char *found(const char *sni, uint32_t key_types)
{
    const struct certificate *certificate = certstore_find(store, sni, key_types);
    return certificate ? certificate->name : "none";
}

static void exact_name_is_found(void **state)
{
    (void)state;
    lab_section(&lab, "other");
    lab_section(&lab, "www");
    build();
    assert_string_equal(found("www.a.test", ALL), "www");
    assert_string_equal(found("a.test", ALL), "www");
    assert_string_equal(found("b.test", ALL), "other");
    assert_int_equal(report.count, 0);
}

static void wildcard_stands_for_one_label(void **state)
{
    (void)state;
    lab_section(&lab, "other");
    lab_section(&lab, "wild");
    build();
    assert_string_equal(found("x.a.test", ALL), "wild");
    assert_string_equal(found("x.y.a.test", ALL), "other");
    assert_string_equal(found("a.test", ALL), "other");
    assert_string_equal(found(".a.test", ALL), "other");
}

static void exact_name_goes_before_the_wildcard(void **state)
{
    (void)state;
    lab_section(&lab, "wild");
    lab_section(&lab, "www");
    build();
    assert_string_equal(found("www.a.test", ALL), "www");
}

static void wildcard_helps_out_where_the_exact_key_does_not_fit(void **state)
{
    (void)state;
    lab_section(&lab, "www");
    lab_section(&lab, "wildrsa");
    build();
    assert_string_equal(found("www.a.test", ONLY_RSA), "wildrsa");
}

static void first_certificate_is_the_default(void **state)
{
    (void)state;
    lab_section(&lab, "www");
    lab_section(&lab, "other");
    build();
    assert_string_equal(found("", ALL), "www");
    assert_string_equal(found("unknown.test", ALL), "www");
}

static void chosen_certificate_is_the_default(void **state)
{
    (void)state;
    lab_section(&lab, "www");
    lab_section(&lab, "other")->is_default = true;
    build();
    assert_string_equal(found("", ALL), "other");
}

static void cheapest_key_that_fits_is_used(void **state)
{
    (void)state;
    lab_section(&lab, "wwwrsa");
    lab_section(&lab, "www384");
    lab_section(&lab, "wwwed");
    lab_section(&lab, "www");
    build();
    assert_string_equal(found("www.a.test", ALL), "www");
    assert_string_equal(found("www.a.test", ALL & ~(1 << KEY_ECDSA_P256)), "wwwed");
    assert_string_equal(found("www.a.test", 1 << KEY_ECDSA_P384 | ONLY_RSA), "www384");
    assert_string_equal(found("www.a.test", ONLY_RSA), "wwwrsa");
    assert_int_equal(report.count, 0);
}

static void known_name_without_a_fitting_key_has_no_substitute(void **state)
{
    (void)state;
    lab_section(&lab, "wwwrsa");
    lab_section(&lab, "other");
    build();
    assert_string_equal(found("b.test", ONLY_RSA), "none");
}

static void certificate_of_the_same_name_stands_in_for_the_default(void **state)
{
    (void)state;
    lab_section(&lab, "www");
    lab_section(&lab, "wwwrsa");
    build();
    assert_string_equal(found("unknown.test", ONLY_RSA), "wwwrsa");
    assert_string_equal(found("", ONLY_RSA), "wwwrsa");
}

static void default_that_does_not_fit_and_has_no_stand_in_is_none(void **state)
{
    (void)state;
    lab_section(&lab, "other");
    lab_section(&lab, "wwwrsa");
    build();
    assert_string_equal(found("unknown.test", ONLY_RSA), "none");
}

static void twins_are_a_warning_and_the_first_is_used(void **state)
{
    (void)state;
    lab_section(&lab, "other");
    lab_section(&lab, "twin");
    lab_section(&lab, "www");
    build();
    assert_string_equal(found("www.a.test", ALL), "twin");
    assert_int_equal(report.count, 1);
    assert_true(lab_reported(&report, REPORT_WARNING,
                             "proxy.ini:30: certificate \"www\": \"www.a.test\" is also "
                             "served by certificate \"twin\""));
}

static void certificates_keep_the_order_of_the_configuration(void **state)
{
    (void)state;
    lab_section(&lab, "www");
    lab_section(&lab, "other");
    build();
    assert_string_equal(certstore_at(store, 0)->name, "www");
    assert_string_equal(certstore_at(store, 1)->name, "other");
    assert_null(certstore_at(store, 2));
}

static void faulty_certificate_is_reported_and_left_out(void **state)
{
    (void)state;
    lab_run(&lab, "cp www.key broken.pem");
    lab_section(&lab, "broken");
    lab_section(&lab, "other");
    build();
    assert_int_equal(report.faults, 1);
    assert_string_equal(found("", ALL), "other");
}

static void chain_that_was_not_handed_over_is_an_error(void **state)
{
    (void)state;
    lab_section(&lab, "www");
    struct bundle *chains = lab_chains(&lab);
    lab_section(&lab, "other");
    lab.config.tls = tls_policy_widest;
    store = certstore_new(&lab.config, chains, NULL, &report);
    bundle_close(chains);
    assert_true(
        lab_reported(&report, REPORT_FAULT, "proxy.ini:21: certificate \"other\": "));
}

static void without_certificates_nothing_is_found(void **state)
{
    (void)state;
    struct bundle *chains;
    lab_section(&lab, "www");
    chains = lab_chains(&lab);
    lab_forget_sections(&lab);
    lab.config.tls = tls_policy_widest;
    store = certstore_new(&lab.config, chains, NULL, &report);
    bundle_close(chains);
    assert_string_equal(found("www.a.test", ALL), "none");
}

static void name_of_any_length_is_looked_up(void **state)
{
    (void)state;
    char name[2000];
    lab_section(&lab, "www");
    build();
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_string_equal(found(name, ALL), "www");
    name[1] = '.';
    assert_string_equal(found(name, ALL), "www");
}

static void many_certificates_are_served(void **state)
{
    (void)state;
    struct config_certificate *sections = calloc(MANY, sizeof *sections);
    assert_non_null(sections);
    struct config config = lab.config;
    config.tls = tls_policy_widest;
    const struct config_certificate *www = lab_section(&lab, "www");
    struct bundle *chains = lab_chains(&lab);
    for (size_t i = 0; i < MANY; i++) {
        sections[i] = *www;
        (void)snprintf(sections[i].section.name, sizeof sections[i].section.name, "c%zu",
                       i);
    }
    config.certificates = sections;
    config.certificate_count = MANY;
    store = certstore_new(&config, chains, NULL, &report);
    bundle_close(chains);
    assert_string_equal(found("www.a.test", ALL), "c0");
    assert_string_equal(certstore_at(store, MANY - 1)->name, "c999");
    certstore_free(store);
    store = NULL;
    free(sections);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exact_name_is_found),
        TEST(wildcard_stands_for_one_label),
        TEST(exact_name_goes_before_the_wildcard),
        TEST(wildcard_helps_out_where_the_exact_key_does_not_fit),
        TEST(first_certificate_is_the_default),
        TEST(chosen_certificate_is_the_default),
        TEST(cheapest_key_that_fits_is_used),
        TEST(known_name_without_a_fitting_key_has_no_substitute),
        TEST(certificate_of_the_same_name_stands_in_for_the_default),
        TEST(default_that_does_not_fit_and_has_no_stand_in_is_none),
        TEST(twins_are_a_warning_and_the_first_is_used),
        TEST(certificates_keep_the_order_of_the_configuration),
        TEST(faulty_certificate_is_reported_and_left_out),
        TEST(chain_that_was_not_handed_over_is_an_error),
        TEST(without_certificates_nothing_is_found),
        TEST(name_of_any_length_is_looked_up),
        TEST(many_certificates_are_served),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
