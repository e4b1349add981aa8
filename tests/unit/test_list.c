#include "config/list.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct text_list list;
static struct network_list networks;
static struct error error;

static int clean(void **state)
{
    (void)state;
    text_list_clear(&list);
    network_list_clear(&networks);
    return 0;
}

static void assert_refused(const char *text, bool (*check)(char *, struct error *),
                           const char *words)
{
    const size_t before = list.count;
    assert_false(text_list_append(&list, text, check, &error));
    if (strstr(error.text, words) == NULL) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(list.count, before);
}

static void assert_taken(const char *text, bool (*check)(char *, struct error *))
{
    if (!text_list_append(&list, text, check, &error)) {
        fail_msg("%s", error.text);
    }
}

static void words_between_commas_add_up(void **state)
{
    (void)state;
    assert_taken("h2 ,\thttp/1.1", list_check_protocol);
    assert_taken("x", list_check_protocol);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0], "h2");
    assert_string_equal(list.items[1], "http/1.1");
    assert_true(text_list_has(&list, "x"));
    assert_false(text_list_has(&list, "X"));
}

static void one_bad_word_spoils_its_value_only(void **state)
{
    (void)state;
    assert_taken("h2", list_check_protocol);
    assert_refused("a,,b", list_check_protocol, "nothing before or after a comma");
    assert_refused("a,", list_check_protocol, "nothing before or after a comma");
    assert_refused("a,h2", list_check_protocol, "\"h2\" stands there twice");
    assert_refused("a b", list_check_protocol, "not the name of a protocol");
    assert_int_equal(list.count, 1);
}

static void hosts_are_compared_in_one_form(void **state)
{
    (void)state;
    assert_taken("API.Example.com., *.Example.COM", list_check_host);
    assert_string_equal(list.items[0], "api.example.com");
    assert_string_equal(list.items[1], "*.example.com");
}

static void hosts_that_no_client_could_name_are_refused(void **state)
{
    (void)state;
    assert_refused("a*.example.com", list_check_host, "not the whole first label");
    assert_refused("*.*.example.com", list_check_host, "not the whole first label");
    assert_refused("*", list_check_host, "not the whole first label");
    assert_refused("a..b", list_check_host, "not a host name");
    assert_refused("exa mple", list_check_host, "not a host name");
    assert_refused("127.0.0.1", list_check_host, "an IP address");
    assert_refused("::1", list_check_host, "not a host name");
}

static void uris_take_a_star_as_last_segment_only(void **state)
{
    (void)state;
    assert_taken("spiffe://d/a, spiffe://d/*", list_check_uri);
    assert_int_equal(list.count, 2);
}

static void stars_elsewhere_in_uris_are_refused(void **state)
{
    (void)state;
    assert_refused("spiffe://*", list_check_uri, "last segment");
    assert_refused("spiffe:///*", list_check_uri, "last segment");
    assert_refused("spiffe://*/a", list_check_uri, "last segment");
    assert_refused("spiffe://d/a*", list_check_uri, "last segment");
    assert_refused("spiffe://d/*/a", list_check_uri, "last segment");
    assert_refused("example.com", list_check_uri, "not a URI");
    assert_refused("://x", list_check_uri, "not a URI");
}

static void mail_takes_a_star_for_the_mailbox_only(void **state)
{
    (void)state;
    assert_taken("Bob@Example.com, *@Example.org", list_check_mail);
    assert_string_equal(list.items[0], "Bob@example.com");
    assert_string_equal(list.items[1], "*@example.org");
    assert_refused("b*@example.com", list_check_mail, "not all before");
    assert_refused("*@*.example.com", list_check_mail, "not an e-mail");
    assert_refused("example.com", list_check_mail, "not an e-mail");
    assert_refused("@example.com", list_check_mail, "not an e-mail");
}

static void common_names_are_whole(void **state)
{
    (void)state;
    assert_taken("Alice Example", list_check_common_name);
    assert_refused("Alice*", list_check_common_name, "compared as a whole");
}

static bool holds(const char *text)
{
    uint8_t address[NETWORK_ADDRESS_BYTES] = {[10] = 0xff, [11] = 0xff};
    if (strchr(text, ':') != NULL) {
        assert_int_equal(inet_pton(AF_INET6, text, address), 1);
    } else {
        assert_int_equal(inet_pton(AF_INET, text, address + 12), 1);
    }
    return network_list_has(&networks, address);
}

static void networks_hold_what_shares_their_prefix(void **state)
{
    (void)state;
    assert_true(network_list_append(&networks, "10.0.0.0/8, 192.168.1.1", &error));
    assert_true(network_list_append(&networks, "2001:db8::/33,172.16.0.0/12", &error));
    assert_true(holds("10.255.0.1"));
    assert_false(holds("11.0.0.1"));
    assert_true(holds("192.168.1.1"));
    assert_false(holds("192.168.1.2"));
    assert_true(holds("2001:db8:7fff::1"));
    assert_false(holds("2001:db8:8000::1"));
    assert_true(holds("172.31.255.255"));
    assert_false(holds("172.32.0.0"));
    assert_false(holds("::10.0.0.1"));
}

static void all_addresses_are_networks_too(void **state)
{
    (void)state;
    assert_true(network_list_append(&networks, "0.0.0.0/0", &error));
    assert_true(holds("255.1.2.3"));
    assert_false(holds("::1"));
    assert_true(network_list_append(&networks, "::/0", &error));
    assert_true(holds("::1"));
}

static void networks_that_mean_nothing_are_refused(void **state)
{
    static const char *const wrong[] = {
        "10.0.0.0/33", "10.0.0.1/8",  "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/-1",
        "10.0.0",      "::1/129",     "host",      "",           "10.0.0.0/8,,",
        "1::1/64",     "10.0.0.0/8x",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(network_list_append(&networks, wrong[i], &error));
        assert_int_equal(networks.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(words_between_commas_add_up, clean),
        cmocka_unit_test_teardown(one_bad_word_spoils_its_value_only, clean),
        cmocka_unit_test_teardown(hosts_are_compared_in_one_form, clean),
        cmocka_unit_test_teardown(hosts_that_no_client_could_name_are_refused, clean),
        cmocka_unit_test_teardown(uris_take_a_star_as_last_segment_only, clean),
        cmocka_unit_test_teardown(stars_elsewhere_in_uris_are_refused, clean),
        cmocka_unit_test_teardown(mail_takes_a_star_for_the_mailbox_only, clean),
        cmocka_unit_test_teardown(common_names_are_whole, clean),
        cmocka_unit_test_teardown(networks_hold_what_shares_their_prefix, clean),
        cmocka_unit_test_teardown(all_addresses_are_networks_too, clean),
        cmocka_unit_test_teardown(networks_that_mean_nothing_are_refused, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
