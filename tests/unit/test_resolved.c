/* Lists of addresses, and the system's word for names that every system knows. */
#include "proxy/resolved.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct resolved_item item4(uint8_t a, uint8_t d)
{
    return (struct resolved_item){.family = 4, .ip = {a, 0, 0, d}};
}

static void looks_up_what_needs_no_network(void **state)
{
    struct resolved resolved;
    struct error error;
    char words[128];
    (void)state;
    assert_true(resolved_look_up("localhost", &resolved, &error));
    resolved_words(&resolved, words, sizeof words);
    assert_non_null(strstr(words, "127.0.0.1"));
}

static void says_why_there_is_nothing(void **state)
{
    struct resolved resolved;
    struct error error;
    (void)state;
    assert_false(resolved_look_up("no.such.name.invalid", &resolved, &error));
    assert_true(strlen(error.text) > 0);
    assert_int_equal(resolved.count, 0);
}

static void the_order_of_the_answer_does_not_matter(void **state)
{
    struct resolved a = {.count = 3, .items = {item4(10, 2), item4(10, 1), item4(10, 2)}};
    struct resolved b = {.count = 2, .items = {item4(10, 1), item4(10, 2)}};
    (void)state;
    a.items[0].ip[15] = 7; /* behind an IPv4 address */
    resolved_normalise(&a);
    resolved_normalise(&b);
    assert_true(resolved_equal(&a, &b));
    assert_int_equal(a.count, 2);
}

static void what_cannot_be_connected_to_is_left_out(void **state)
{
    struct resolved all = {.count = 7,
                           .items = {{.family = 4},
                                     item4(224, 1),
                                     item4(255, 255),
                                     {.family = 6},
                                     {.family = 6, .ip = {0xff, 2, [15] = 1}},
                                     {.family = 6, .ip = {0xfe, 0x80, [15] = 1}},
                                     {.family = 6, .ip = {0xfd, 0, [15] = 1}}}};
    (void)state;
    resolved_normalise(&all);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.items[0].ip[0], 0xfd);
}

static void other_machines_are_left_out_on_request(void **state)
{
    char example[ADDRESS_TEXT_MAX] = "";
    struct resolved all = {.count = 4,
                           .items = {item4(127, 1),
                                     item4(10, 1),
                                     {.family = 6, .ip = {[15] = 1}},
                                     {.family = 6, .ip = {0xfd, 0, [15] = 1}}}};
    (void)state;
    assert_int_equal(resolved_keep_local(&all, example), 2);
    assert_string_equal(example, "10.0.0.1");
    assert_int_equal(all.count, 2);
    assert_int_equal(resolved_keep_local(&all, example), 0);
}

static void nonsense_is_not_valid(void **state)
{
    struct resolved list = {.count = 1, .items = {item4(127, 1)}};
    (void)state;
    assert_true(resolved_is_valid(&list));
    list.count = RESOLVED_MAX + 1;
    assert_false(resolved_is_valid(&list));
    list.count = 1;
    list.items[0].family = 5;
    assert_false(resolved_is_valid(&list));
    list.items[0].family = 6;
    memset(list.name, 'x', sizeof list.name);
    assert_false(resolved_is_valid(&list));
}

static void becomes_an_address(void **state)
{
    struct resolved_item item = item4(127, 1);
    (void)state;
    item.port = 3000;
    assert_string_equal(resolved_address(&item).text, "127.0.0.1:3000");
    item = (struct resolved_item){.family = 6, .ip = {[15] = 1}, .port = 80};
    assert_string_equal(resolved_address(&item).text, "[::1]:80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_up_what_needs_no_network),
        cmocka_unit_test(says_why_there_is_nothing),
        cmocka_unit_test(the_order_of_the_answer_does_not_matter),
        cmocka_unit_test(what_cannot_be_connected_to_is_left_out),
        cmocka_unit_test(other_machines_are_left_out_on_request),
        cmocka_unit_test(nonsense_is_not_valid),
        cmocka_unit_test(becomes_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
