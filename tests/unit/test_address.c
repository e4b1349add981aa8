/* Addresses that name sockets of the service manager. */
#include "config/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct address_list list;
static struct error error;

static bool listens(const char *text)
{
    return value_read_addresses(text, ADDRESS_LISTEN, &list, &error);
}

static bool connects(const char *text)
{
    return value_read_addresses(text, ADDRESS_CONNECT, &list, &error);
}

static void assert_says(const char *words)
{
    assert_non_null(strstr(error.text, words));
}

static void sockets_of_the_service_manager_are_listened_to_by_name(void **state)
{
    (void)state;
    assert_true(listens("systemd:web, systemd:api"));
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].text, "systemd:web");
    assert_string_equal(address_activation_name(&list.items[0]), "web");
    assert_false(address_equal(&list.items[0], &list.items[1]));
    assert_false(listens("systemd:web, systemd:web"));
    assert_says("given twice");
    assert_true(listens("127.0.0.1:1"));
    assert_null(address_activation_name(&list.items[0]));
}

static void names_that_no_socket_unit_gives_are_refused(void **state)
{
    char text[256] = "systemd:";
    (void)state;
    assert_false(listens("systemd:"));
    assert_says("needs a name");
    assert_false(listens("systemd:a:b"));
    assert_says("FileDescriptorName=");
    assert_false(listens("systemd:a b"));
    memset(text + 8, 'x', 191);
    assert_true(listens(text));
    text[199] = 'x';
    assert_false(listens(text));
    assert_false(connects("systemd:web"));
    assert_says("for listeners");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_of_the_service_manager_are_listened_to_by_name),
        cmocka_unit_test(names_that_no_socket_unit_gives_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
