/* The files of policies; what clients meet is tested end to end.  Uses the openssl
 * command for its certificates. */
#include "certs/client_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/certs_lab.h"

static struct lab lab;
static struct config_clients policies[2];
static struct report report;
static struct bundle *bundle;
static char paths[2][128];

static int make_files(void **state)
{
    (void)state;
    wolfSSL_Init();
    lab_open(&lab);
    lab_authorities(&lab);
    lab_chain(&lab, "leaf", "p256", "DNS:leaf.test");
    lab_run(&lab, "cat root.pem root.key > both.pem && echo text > text.pem && "
                  "head -c 300 root.pem > cut.pem && cat root.pem middle.pem > two.pem");
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    lab_close(&lab);
    wolfSSL_Cleanup();
    return 0;
}

static int end(void **state)
{
    (void)state;
    bundle_close(bundle);
    bundle = NULL;
    report_close(&report);
    report = (struct report){0};
    return 0;
}

/* Policies over files of the lab; the second may be NULL. */
static bool check(const char *first, const char *second)
{
    const char *const files[] = {first, second};
    struct error error;
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_non_null(builder);
    lab.config.clients = policies;
    lab.config.clients_count = second ? 2 : 1;
    for (size_t i = 0; i < lab.config.clients_count; i++) {
        policies[i] = (struct config_clients){.ca = paths[i], .ca_line = 7};
        (void)snprintf(policies[i].section.name, sizeof(policies[i].section.name), "p%zu",
                       i);
        (void)snprintf(paths[i], sizeof(paths[i]), "%s/%s", lab.directory, files[i]);
        assert_true(bundle_add_file(builder, paths[i], CONFIG_CA_MAX, &error));
    }
    const int fd = bundle_seal(builder, &error);
    bundle_builder_free(builder);
    bundle = bundle_open(fd, &error);
    assert_non_null(bundle);
    return client_policy_check(&lab.config, bundle, &report);
}

static void authorities_are_taken(void **state)
{
    (void)state;
    assert_true(check("two.pem", "root.pem"));
    assert_int_equal(report.count, 0);
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    struct error error;
    assert_true(client_policy_attach(context, &policies[0], bundle, &error));
    wolfSSL_CTX_free(context);
}

static void assert_refused(const char *file, const char *words)
{
    assert_false(check(file, NULL));
    if (!lab_reported(&report, REPORT_ERROR, words))
        fail_msg("%s", report.entries[0].text);
    assert_non_null(strstr(report.entries[0].text, ":7: clients \"p0\": "));
}

static void file_without_certificate_is_an_error(void **state)
{
    (void)state;
    assert_refused("text.pem", "holds no certificate in PEM");
}

static void cut_file_is_an_error(void **state)
{
    (void)state;
    assert_refused("cut.pem", "ends within a block");
}

static void private_key_is_an_error(void **state)
{
    (void)state;
    assert_refused("both.pem", "holds a private key");
}

static void certificate_that_is_no_authority_is_an_error(void **state)
{
    (void)state;
    assert_refused("leaf.pem", "no certificate of an authority");
}

static void file_that_could_not_be_read_is_not_reported_again(void **state)
{
    (void)state;
    assert_true(check("root.pem", NULL));
    policies[0].ca = NULL;
    assert_false(client_policy_check(&lab.config, bundle, &report));
    assert_int_equal(report.count, 0);
}

static void hash_tells_policies_apart(void **state)
{
    uint8_t hashes[5][CLIENT_POLICY_HASH_BYTES];
    struct error error;
    (void)state;
    assert_true(check("two.pem", "root.pem"));
    assert_true(client_policy_hash(&policies[0], bundle, hashes[0]));
    assert_true(client_policy_hash(&policies[1], bundle, hashes[1]));
    policies[0].mode = CLIENTS_OPTIONAL;
    assert_true(client_policy_hash(&policies[0], bundle, hashes[2]));
    assert_true(
        text_list_append(&policies[0].allow_cn, "x", list_check_common_name, &error));
    assert_true(client_policy_hash(&policies[0], bundle, hashes[3]));
    policies[0].allow_email = policies[0].allow_cn;
    policies[0].allow_cn = (struct text_list){0};
    assert_true(client_policy_hash(&policies[0], bundle, hashes[4]));
    text_list_clear(&policies[0].allow_email);
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(hashes[i], hashes[j], sizeof(hashes[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(authorities_are_taken, end),
        cmocka_unit_test_teardown(file_without_certificate_is_an_error, end),
        cmocka_unit_test_teardown(cut_file_is_an_error, end),
        cmocka_unit_test_teardown(private_key_is_an_error, end),
        cmocka_unit_test_teardown(certificate_that_is_no_authority_is_an_error, end),
        cmocka_unit_test_teardown(file_that_could_not_be_read_is_not_reported_again, end),
        cmocka_unit_test_teardown(hash_tells_policies_apart, end),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
