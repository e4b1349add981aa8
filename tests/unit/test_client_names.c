/* Uses the openssl command for its certificates. */
#include "certs/client_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/certs_lab.h"

static struct lab lab;
static struct config_clients policy;
static DecodedCert certificate;
static char *der;

static int make_files(void **state)
{
    (void)state;
    lab_open(&lab);
    lab_key(&lab, "client", "p256");
    lab_run(&lab,
            "openssl req -x509 -new -key client.key -days 9 -subj '/CN=Alice Example' "
            "-addext 'subjectAltName=DNS:A.b.test,DNS:*.star.test,"
            "URI:spiffe://d/x/y,email:Bob@B.test,IP:10.1.2.3,IP:2001:db8::1' "
            "-outform DER -out client.der");
    lab_run(&lab, "openssl req -x509 -new -key client.key -days 9 -subj / "
                  "-outform DER -out bare.der");
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    lab_close(&lab);
    return 0;
}

static int end(void **state)
{
    (void)state;
    wc_FreeDecodedCert(&certificate);
    free(der);
    text_list_clear(&policy.allow_cn);
    text_list_clear(&policy.allow_dns);
    text_list_clear(&policy.allow_uri);
    text_list_clear(&policy.allow_email);
    network_list_clear(&policy.allow_ip);
    return 0;
}

static void read_file(const char *file)
{
    size_t size = 0;
    der = lab_read(&lab, file, &size);
    wc_InitDecodedCert(&certificate, (const uint8_t *)der, (word32)size, NULL);
    assert_int_equal(wc_ParseCert(&certificate, CERT_TYPE, NO_VERIFY, NULL), 0);
}

static bool allows(struct text_list *list, const char *item,
                   bool (*check)(char *item, struct error *error))
{
    struct error error;
    text_list_clear(list);
    assert_true(text_list_append(list, item, check, &error));
    return client_names_allow(&policy, &certificate);
}

static void empty_lists_allow_everybody(void **state)
{
    (void)state;
    read_file("bare.der");
    assert_true(client_names_allow(&policy, &certificate));
}

static void nameless_client_is_on_no_list(void **state)
{
    (void)state;
    read_file("bare.der");
    assert_false(allows(&policy.allow_cn, "x", list_check_common_name));
    assert_false(allows(&policy.allow_dns, "*.b.test", list_check_host));
}

static void common_names_match_as_a_whole(void **state)
{
    (void)state;
    read_file("client.der");
    assert_true(allows(&policy.allow_cn, "x, Alice Example", list_check_common_name));
    assert_false(allows(&policy.allow_cn, "alice example", list_check_common_name));
    assert_false(allows(&policy.allow_cn, "Alice", list_check_common_name));
    assert_false(allows(&policy.allow_cn, "Alice Example2", list_check_common_name));
}

static void dns_names_match_in_any_case_and_by_one_label(void **state)
{
    (void)state;
    read_file("client.der");
    assert_true(allows(&policy.allow_dns, "a.b.test", list_check_host));
    assert_true(allows(&policy.allow_dns, "*.b.test", list_check_host));
    assert_false(allows(&policy.allow_dns, "*.test", list_check_host));
    assert_false(allows(&policy.allow_dns, "b.test", list_check_host));
    assert_false(allows(&policy.allow_dns, "*.a.b.test", list_check_host));
}

static void star_in_a_certificate_is_nobody(void **state)
{
    (void)state;
    read_file("client.der");
    assert_false(allows(&policy.allow_dns, "*.star.test", list_check_host));
    assert_false(allows(&policy.allow_dns, "x.star.test", list_check_host));
}

static void uris_match_by_one_segment(void **state)
{
    (void)state;
    read_file("client.der");
    assert_true(allows(&policy.allow_uri, "spiffe://d/x/y", list_check_uri));
    assert_true(allows(&policy.allow_uri, "spiffe://d/x/*", list_check_uri));
    assert_false(allows(&policy.allow_uri, "spiffe://d/*", list_check_uri));
    assert_false(allows(&policy.allow_uri, "spiffe://d/x/y/*", list_check_uri));
    assert_false(allows(&policy.allow_uri, "spiffe://d/x/Y", list_check_uri));
    assert_false(allows(&policy.allow_uri, "spiffe://d/x/", list_check_uri));
}

static void mail_matches_by_domain(void **state)
{
    (void)state;
    read_file("client.der");
    assert_true(allows(&policy.allow_email, "Bob@b.test", list_check_mail));
    assert_true(allows(&policy.allow_email, "*@B.TEST", list_check_mail));
    assert_false(allows(&policy.allow_email, "bob@b.test", list_check_mail));
    assert_false(allows(&policy.allow_email, "*@c.b.test", list_check_mail));
}

static void addresses_match_by_network(void **state)
{
    struct error error;
    (void)state;
    read_file("client.der");
    assert_true(network_list_append(&policy.allow_ip, "10.1.2.4, 192.0.2.0/24", &error));
    assert_false(client_names_allow(&policy, &certificate));
    assert_true(network_list_append(&policy.allow_ip, "2001:db8::/64", &error));
    assert_true(client_names_allow(&policy, &certificate));
}

static void names_of_one_kind_are_not_taken_for_another(void **state)
{
    (void)state;
    read_file("client.der");
    assert_false(allows(&policy.allow_cn, "a.b.test", list_check_common_name));
    assert_false(allows(&policy.allow_dns, "b.test", list_check_host));
}

static void names_are_put_in_words(void **state)
{
    char text[256];
    (void)state;
    read_file("client.der");
    client_names_write_cn(&certificate, text, sizeof(text));
    assert_string_equal(text, "Alice Example");
    client_names_write_san(&certificate, text, sizeof(text));
    assert_non_null(strstr(text, "DNS:A.b.test"));
    assert_non_null(strstr(text, "URI:spiffe://d/x/y"));
    assert_non_null(strstr(text, "IP:10.1.2.3"));
    assert_non_null(strstr(text, "IP:2001:db8::1"));
    assert_non_null(strstr(text, "email:Bob@B.test"));
}

static void words_are_cut_between_names(void **state)
{
    char whole[256];
    char text[256];
    (void)state;
    read_file("client.der");
    client_names_write_san(&certificate, whole, sizeof(whole));
    for (size_t size = 1; size <= strlen(whole) + 1; size++) {
        client_names_write_san(&certificate, text, size);
        const size_t length = strlen(text);
        assert_true(length < size);
        assert_memory_equal(text, whole, length);
        assert_true(length == 0 || whole[length] == ' ' || whole[length] == '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(empty_lists_allow_everybody, end),
        cmocka_unit_test_teardown(nameless_client_is_on_no_list, end),
        cmocka_unit_test_teardown(common_names_match_as_a_whole, end),
        cmocka_unit_test_teardown(dns_names_match_in_any_case_and_by_one_label, end),
        cmocka_unit_test_teardown(star_in_a_certificate_is_nobody, end),
        cmocka_unit_test_teardown(uris_match_by_one_segment, end),
        cmocka_unit_test_teardown(mail_matches_by_domain, end),
        cmocka_unit_test_teardown(addresses_match_by_network, end),
        cmocka_unit_test_teardown(names_of_one_kind_are_not_taken_for_another, end),
        cmocka_unit_test_teardown(names_are_put_in_words, end),
        cmocka_unit_test_teardown(words_are_cut_between_names, end),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
