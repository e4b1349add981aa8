#include "config/value.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

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
    if (strstr(error.text, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
    }
}

static void bool_takes_three_spellings(void **state)
{
    (void)state;
    bool value = false;
    assert_true(value_read_bool("yes", &value, &error) && value);
    assert_true(value_read_bool("no", &value, &error) && !value);
    assert_true(value_read_bool("true", &value, &error) && value);
    assert_true(value_read_bool("false", &value, &error) && !value);
    assert_true(value_read_bool("on", &value, &error) && value);
    assert_true(value_read_bool("off", &value, &error) && !value);
}

static void bool_refuses_the_rest_and_leaves_the_value(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "1", "0", "YES", "yess", "y", " yes"};
    bool value = true;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(value_read_bool(wrong[i], &value, &error));
        assert_true(value);
        assert_says("neither \"yes\" nor \"no\"");
    }
}

static void count_takes_its_range(void **state)
{
    (void)state;
    uint64_t value = 0;
    assert_true(value_read_count("1", 1, 256, &value, &error));
    assert_int_equal(value, 1);
    assert_true(value_read_count("256", 1, 256, &value, &error));
    assert_int_equal(value, 256);
    assert_true(value_read_count("18446744073709551615", 0, UINT64_MAX, &value, &error));
    assert_true(value == UINT64_MAX);
}

static void count_says_the_range(void **state)
{
    (void)state;
    static const char *const wrong[] = {"0", "257", "18446744073709551616",
                                        "99999999999999999999999"};
    uint64_t value = 5;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(value_read_count(wrong[i], 1, 256, &value, &error));
        assert_says(" is outside 1 to 256");
        assert_int_equal(value, 5);
    }
}

static void count_refuses_what_is_no_number(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "-1", "+1", "1x", " 1", "1 ", "0x10", "1.5"};
    uint64_t value = 5;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(value_read_count(wrong[i], 1, 256, &value, &error));
        assert_says(" is not a number from 1 to 256");
        assert_int_equal(value, 5);
    }
}

static void duration_takes_every_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {{"500ms", 500},  {"30s", 30000},    {"5m", 300000},
                 {"1h", 3600000}, {"2d", 172800000}, {"0s", 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t ms = 1;
        assert_true(value_read_duration(cases[i].text, 0, UINT64_MAX, &ms, &error));
        assert_int_equal(ms, cases[i].ms);
    }
}

static void duration_refuses_a_bare_number(void **state)
{
    (void)state;
    uint64_t ms = 5;
    assert_false(value_read_duration("30", 0, 60000, &ms, &error));
    assert_says("30 has no unit (write 30s,");
    assert_int_equal(ms, 5);
}

static void duration_says_the_range(void **state)
{
    (void)state;
    static const char *const wrong[] = {"99ms", "11m", "300000000000000000d",
                                        "18446744073709551616ms"};
    uint64_t ms = 5;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(value_read_duration(wrong[i], 100, 600000, &ms, &error));
        assert_says(" is outside 100ms to 10m");
        assert_int_equal(ms, 5);
    }
}

static void duration_refuses_other_spellings(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",    "s",    "5 s",  "5S",
                                        "-5s", "1.5s", "5min", "1h30m"};
    uint64_t ms = 5;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(value_read_duration(wrong[i], 0, 600000, &ms, &error));
        assert_says("is not a duration (write");
    }
}

static void duration_is_written_in_the_largest_exact_unit(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0s"},      {1, "1ms"},      {1500, "1500ms"}, {90000, "90s"},
                 {300000, "5m"}, {3600000, "1h"}, {86400000, "1d"}, {129600000, "36h"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[32];
        value_write_duration(cases[i].ms, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
}

static void star_listens_on_every_address_of_both_families(void **state)
{
    (void)state;
    assert_true(listens("*:443"));
    assert_int_equal(list.count, 1);
    const struct sockaddr_in6 *inet6 = (const void *)&list.items[0].storage;
    assert_int_equal(inet6->sin6_family, AF_INET6);
    assert_int_equal(inet6->sin6_port, htons(443));
    assert_memory_equal(&inet6->sin6_addr, &in6addr_any, sizeof(in6addr_any));
    assert_int_equal(list.items[0].length, sizeof(struct sockaddr_in6));
    assert_string_equal(list.items[0].text, "*:443");
}

static void numeric_addresses_are_listened_on(void **state)
{
    (void)state;
    assert_true(listens(" 0.0.0.0:443 ,[::1]:8443,\t[2001:DB8:0::1]:1, 127.0.0.1:65535"));
    assert_int_equal(list.count, 4);
    assert_string_equal(list.items[0].text, "0.0.0.0:443");
    assert_string_equal(list.items[1].text, "[::1]:8443");
    assert_string_equal(list.items[2].text, "[2001:db8::1]:1");
    assert_string_equal(list.items[3].text, "127.0.0.1:65535");
    const struct sockaddr_in *inet = (const void *)&list.items[3].storage;
    assert_int_equal(inet->sin_family, AF_INET);
    assert_int_equal(inet->sin_port, htons(65535));
    assert_int_equal(inet->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
}

static void localhost_is_both_loopback_addresses(void **state)
{
    (void)state;
    assert_true(connects("localhost:3000"));
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].text, "127.0.0.1:3000");
    assert_string_equal(list.items[1].text, "[::1]:3000");
    assert_true(listens("localhost:3000"));
    assert_int_equal(list.count, 2);
}

static void bare_port_is_refused_with_advice(void **state)
{
    (void)state;
    assert_false(listens("443"));
    assert_says("(write *:443)");
    assert_false(listens(":443"));
    assert_says("(write *:443)");
    assert_false(connects("3000"));
    assert_says("(write 127.0.0.1:3000)");
}

static void ports_outside_the_range_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "*:0",    "*:65536", "*:",      "*:-1",
        "*:+1",   "*:443x",  "*:https", "*:99999999999999999999",
        "[::1]:0"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(listens(wrong[i]));
        assert_says("has no port from 1 to 65535");
    }
}

static void a_host_name_may_be_connected_to_but_not_listened_on(void **state)
{
    char host[ADDRESS_TEXT_MAX];
    (void)state;
    assert_true(connects("App.example.:3000"));
    assert_int_equal(list.count, 1);
    assert_true(address_is_name(&list.items[0]));
    assert_string_equal(list.items[0].text, "App.example.:3000");
    assert_int_equal(address_split_name(&list.items[0], host), 3000);
    assert_string_equal(host, "App.example.");
    assert_false(listens("localhost.localdomain:3000"));
    assert_says("a listener takes the IP address");
}

static void a_name_is_given_once_whatever_its_letters(void **state)
{
    (void)state;
    assert_true(connects("app.example:3000, app.example:3001"));
    assert_false(connects("app.example:3000, APP.example:3000"));
    assert_says("is given twice");
}

static void what_cannot_be_a_host_name_is_refused(void **state)
{
    static const char *const wrong[] = {"-app:1", "app..b:1", ".app:1",
                                        "a b:1",  "a/b:1",    "\xc3\xa9:1"};
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(connects(wrong[i]));
        assert_says("is no host name");
    }
}

static void bytes_are_read_with_their_escapes(void **state)
{
    struct byte_text bytes;
    struct error problem;
    (void)state;
    assert_true(value_read_bytes("a b\\r\\n\\t\\s\\x00\\xfF\\\\", &bytes, &problem));
    assert_int_equal(bytes.length, 10);
    assert_memory_equal(bytes.data, "a b\r\n\t \0\xff\\", 10);
}

static void wrong_escapes_are_refused(void **state)
{
    static const char *const wrong[] = {"\\q", "\\", "\\x1", "\\xg0"};
    struct byte_text bytes = {.length = 7};
    struct error problem;
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(value_read_bytes(wrong[i], &bytes, &problem));
        assert_non_null(strstr(problem.text, "is no escape"));
        assert_int_equal(bytes.length, 7);
    }
}

static void no_more_bytes_are_read_than_there_is_room_for(void **state)
{
    char text[BYTE_TEXT_MAX + 2] = "";
    struct byte_text bytes;
    struct error problem;
    (void)state;
    memset(text, 'x', BYTE_TEXT_MAX);
    assert_true(value_read_bytes(text, &bytes, &problem));
    text[BYTE_TEXT_MAX] = 'x';
    assert_false(value_read_bytes(text, &bytes, &problem));
}

static void malformed_addresses_are_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"127.0.0.1", "has no port"},
        {"[::1]", "has no port"},
        {"[::1:443", "has no port"},
        {"::1:443", "brackets"},
        {"[::1]x:443", "has no port"},
        {"[::1]:443:444", "brackets"},
        {"[127.0.0.1]:443", "brackets"},
        {"[*]:443", "brackets"},
        {"127.1:443", "not a valid IP address"},
        {"256.0.0.1:443", "not a valid IP address"},
        {"0127.0.0.1:443", "not a valid IP address"},
        {"[::g]:443", "not a valid IP address"},
        {"[fe80::1%eth0]:443", "zone"},
        {"https://127.0.0.1:443", "is a URL"},
        {"", "empty"},
        {"*:443,", "empty"},
        {",*:443", "empty"},
        {"*:443,,*:444", "empty"},
        {"*:443 *:444", "brackets"},
        {"*:443,*:443", "twice"},
        {"*:443,[::]:443", "twice"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        list.count = 7;
        assert_false(listens(cases[i].text));
        assert_says(cases[i].says);
        assert_int_equal(list.count, 7);
    }
}

static void overlong_text_is_refused(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'a', sizeof(text));
    memcpy(text + sizeof(text) - 5, ":443", 5);
    assert_false(listens(text));
    assert_false(listens(text + 800));
    text[800] = '[';
    assert_false(listens(text + 800));
}

static void list_is_bounded(void **state)
{
    (void)state;
    char text[1000] = "*:1";
    for (int port = 2; port <= ADDRESS_LIST_MAX; port++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), ",*:%d", port);
    }
    assert_true(listens(text));
    assert_int_equal(list.count, ADDRESS_LIST_MAX);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), ",*:77");
    assert_false(listens(text));
    assert_says("more than 16 addresses");
}

static void unix_path_is_connected_to(void **state)
{
    (void)state;
    assert_true(connects("unix:/run/app.sock"));
    const struct sockaddr_un *address = (const void *)&list.items[0].storage;
    assert_int_equal(address->sun_family, AF_UNIX);
    assert_string_equal(address->sun_path, "/run/app.sock");
    assert_int_equal(list.items[0].length,
                     offsetof(struct sockaddr_un, sun_path) + sizeof("/run/app.sock"));
    assert_string_equal(list.items[0].text, "unix:/run/app.sock");
}

static void abstract_name_is_connected_to(void **state)
{
    (void)state;
    assert_true(connects("unix:@app"));
    const struct sockaddr_un *address = (const void *)&list.items[0].storage;
    assert_memory_equal(address->sun_path, "\0app", 4);
    assert_int_equal(list.items[0].length, offsetof(struct sockaddr_un, sun_path) + 4);
    assert_string_equal(list.items[0].text, "unix:@app");
}

static void unix_path_may_fill_sun_path_and_no_more(void **state)
{
    (void)state;
    char text[256] = "unix:/";
    memset(text + 6, 'a', 106);
    assert_true(connects(text)); /* 107 bytes and the NUL */
    text[112] = 'a';
    assert_false(connects(text));
    assert_says("allows 107 bytes");
    text[5] = '@'; /* an abstract name has no NUL at its end */
    assert_true(connects(text));
    assert_int_equal(list.items[0].length, sizeof(struct sockaddr_un));
    text[113] = 'a';
    assert_false(connects(text));
    assert_says("allows 108 bytes");
}

static void other_unix_spellings_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"unix:", "unix:run/app", "unix:@", "unix:./app"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(connects(wrong[i]));
    }
    assert_false(listens("unix:/run/app"));
    assert_says("a listener takes HOST:PORT");
}

static void backends_need_a_definite_address(void **state)
{
    (void)state;
    static const char *const wrong[] = {"*:80", "0.0.0.0:80", "[::]:80"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(connects(wrong[i]));
        assert_says("(write 127.0.0.1:80)");
    }
}

static void loopback_and_unix_are_local(void **state)
{
    (void)state;
    assert_true(
        connects("127.0.0.1:1, 127.255.0.9:1, [::1]:1, [::ffff:127.0.0.1]:1, unix:/a, "
                 "unix:@a"));
    for (size_t i = 0; i < list.count; i++) {
        assert_true(address_is_local(&list.items[i]));
    }
}

static void the_rest_is_remote(void **state)
{
    (void)state;
    assert_true(
        connects("10.0.0.1:1, 128.0.0.1:1, [::2]:1, [fe80::1]:1, [::ffff:10.0.0.1]:1, "
                 "[2001:db8::7f00:1]:1"));
    for (size_t i = 0; i < list.count; i++) {
        assert_false(address_is_local(&list.items[i]));
    }
    const struct address nothing = {.length = 0};
    assert_false(address_is_local(&nothing));
}

static void addresses_compare_by_family_host_and_port(void **state)
{
    (void)state;
    assert_true(connects("127.0.0.1:1, 127.0.0.1:2, 127.0.0.2:1, [::1]:1, [::1]:2, "
                         "[::ffff:127.0.0.1]:1, unix:/a, unix:/ab, unix:@a"));
    const struct address_list first = list;
    for (size_t i = 0; i < list.count; i++) {
        for (size_t j = 0; j < list.count; j++) {
            const int order = address_compare(&first.items[i], &list.items[j]);
            const int reverse = address_compare(&list.items[j], &first.items[i]);
            assert_int_equal(address_equal(&first.items[i], &list.items[j]), i == j);
            assert_int_equal(order == 0, i == j);
            assert_int_equal(order<0, reverse> 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bool_takes_three_spellings),
        cmocka_unit_test(bool_refuses_the_rest_and_leaves_the_value),
        cmocka_unit_test(count_takes_its_range),
        cmocka_unit_test(count_says_the_range),
        cmocka_unit_test(count_refuses_what_is_no_number),
        cmocka_unit_test(duration_takes_every_unit),
        cmocka_unit_test(duration_refuses_a_bare_number),
        cmocka_unit_test(duration_says_the_range),
        cmocka_unit_test(duration_refuses_other_spellings),
        cmocka_unit_test(duration_is_written_in_the_largest_exact_unit),
        cmocka_unit_test(star_listens_on_every_address_of_both_families),
        cmocka_unit_test(numeric_addresses_are_listened_on),
        cmocka_unit_test(localhost_is_both_loopback_addresses),
        cmocka_unit_test(bare_port_is_refused_with_advice),
        cmocka_unit_test(ports_outside_the_range_are_refused),
        cmocka_unit_test(a_host_name_may_be_connected_to_but_not_listened_on),
        cmocka_unit_test(a_name_is_given_once_whatever_its_letters),
        cmocka_unit_test(what_cannot_be_a_host_name_is_refused),
        cmocka_unit_test(bytes_are_read_with_their_escapes),
        cmocka_unit_test(wrong_escapes_are_refused),
        cmocka_unit_test(no_more_bytes_are_read_than_there_is_room_for),
        cmocka_unit_test(malformed_addresses_are_refused_in_words),
        cmocka_unit_test(overlong_text_is_refused),
        cmocka_unit_test(list_is_bounded),
        cmocka_unit_test(unix_path_is_connected_to),
        cmocka_unit_test(abstract_name_is_connected_to),
        cmocka_unit_test(unix_path_may_fill_sun_path_and_no_more),
        cmocka_unit_test(other_unix_spellings_are_refused),
        cmocka_unit_test(backends_need_a_definite_address),
        cmocka_unit_test(loopback_and_unix_are_local),
        cmocka_unit_test(the_rest_is_remote),
        cmocka_unit_test(addresses_compare_by_family_host_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
