/* Headers worked out by hand from the specification, cut everywhere, and shaken. */
#include "proxy/proxy_read.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIGNATURE "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
#define TCP4      "\xc0\x00\x02\x01\xcb\x00\x71\x05\xdd\xd5\x01\xbb"
#define V2_TCP4   SIGNATURE "\x21\x11\x00\x0c" TCP4
/* With an authority of "a.b" and an empty TLV. */
#define V2_TLVS                                                                          \
    SIGNATURE "\x21\x11\x00\x15" TCP4 "\x02\x00\x03"                                     \
              "a.b"                                                                      \
              "\x04\x00\x00"
#define V1_LINE "PROXY TCP4 192.0.2.1 203.0.113.5 56789 443\r\n"

static struct proxy_header header;
static struct error error;

/* From a copy of exactly that size, so that a sanitizer sees every byte beyond. */
static enum proxy_status look(const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length + 1);
    assert_non_null(copy);
    memcpy(copy + 1, bytes, length);
    enum proxy_status status = proxy_read(copy + 1, length, &header, &error);
    free(copy);
    return status;
}

#define LOOK(text) look((text), sizeof(text) - 1)

static void assert_tcp4(size_t length)
{
    char words[INET_ADDRSTRLEN];
    assert_int_equal(header.length, length);
    assert_true(header.known);
    assert_int_equal(header.client.any.sa_family, AF_INET);
    assert_string_equal(
        inet_ntop(AF_INET, &header.client.in.sin_addr, words, sizeof(words)),
        "192.0.2.1");
    assert_int_equal(ntohs(header.client.in.sin_port), 56789);
    assert_string_equal(
        inet_ntop(AF_INET, &header.server.in.sin_addr, words, sizeof(words)),
        "203.0.113.5");
    assert_int_equal(ntohs(header.server.in.sin_port), 443);
}

static void v1_names_both_ends(void **state)
{
    (void)state;
    assert_int_equal(LOOK(V1_LINE "\x16\x03\x01"), PROXY_COMPLETE);
    assert_tcp4(sizeof(V1_LINE) - 1);
}

static void v1_knows_ipv6(void **state)
{
    (void)state;
    assert_int_equal(LOOK("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), PROXY_COMPLETE);
    assert_int_equal(header.client.any.sa_family, AF_INET6);
    assert_int_equal(header.client.in6.sin6_addr.s6_addr[15], 1);
    assert_int_equal(ntohs(header.server.in6.sin6_port), 65535);
}

static void v1_unknown_says_nothing(void **state)
{
    (void)state;
    assert_int_equal(LOOK("PROXY UNKNOWN\r\n"), PROXY_COMPLETE);
    assert_false(header.known);
    assert_int_equal(LOOK("PROXY UNKNOWN ffff::1 whatever\r\n"), PROXY_COMPLETE);
    assert_false(header.known);
}

static void v1_takes_one_spelling(void **state)
{
    static const char *const wrong[] = {
        "PROXY TCP4 192.0.2.1 203.0.113.5 56789 443\n",
        "PROXY TCP4  192.0.2.1 203.0.113.5 56789 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.5 56789 443 \r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.5 56789 443 1\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.5 56789\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.5 056789 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.5 01 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.5 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.5 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.5 +1 443\r\n",
        "PROXY TCP4 192.0.2.256 203.0.113.5 1 443\r\n",
        "PROXY TCP4 ::1 ::1 1 443\r\n",
        "PROXY TCP6 192.0.2.1 203.0.113.5 1 443\r\n",
        "PROXY UDP4 192.0.2.1 203.0.113.5 1 443\r\n",
        "PROXY tcp4 192.0.2.1 203.0.113.5 1 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1\t203.0.113.5 56789 443\r\n",
        "proxy TCP4 192.0.2.1 203.0.113.5 56789 443\r\n",
        "GET / HTTP/1.1\r\n",
        "PROXZ",
        "\x16\x03\x01\x02",
        "\r\n\r\nx",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (look(wrong[i], strlen(wrong[i])) != PROXY_MALFORMED)
            fail_msg("%s", wrong[i]);
    }
    assert_int_equal(LOOK("PROXY TCP4 192.0.2.1\0 203.0.113.5 1 443\r\n"),
                     PROXY_MALFORMED);
}

static void v1_line_ends_in_107_bytes(void **state)
{
    char line[PROXY_V1_MAX + 1];
    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(look(line, PROXY_V1_MAX - 1), PROXY_INCOMPLETE);
    assert_int_equal(look(line, PROXY_V1_MAX), PROXY_MALFORMED);
    memcpy(line + PROXY_V1_MAX - 2, "\r\n", 2);
    assert_int_equal(look(line, PROXY_V1_MAX), PROXY_COMPLETE);
    memcpy(line + PROXY_V1_MAX - 2, "x\r\n", 3);
    assert_int_equal(look(line, PROXY_V1_MAX + 1), PROXY_MALFORMED);
}

static void v2_names_both_ends(void **state)
{
    (void)state;
    assert_int_equal(LOOK(V2_TCP4 "\x16\x03"), PROXY_COMPLETE);
    assert_tcp4(28);
}

static void v2_knows_ipv6(void **state)
{
    static const char bytes[] =
        SIGNATURE "\x21\x21\x00\x24"
                  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x01\xff\xff";
    (void)state;
    assert_int_equal(LOOK(bytes), PROXY_COMPLETE);
    assert_int_equal(header.length, 52);
    assert_int_equal(header.client.in6.sin6_addr.s6_addr[0], 0x20);
    assert_int_equal(ntohs(header.client.in6.sin6_port), 1);
    assert_int_equal(header.server.in6.sin6_addr.s6_addr[15], 1);
    assert_int_equal(ntohs(header.server.in6.sin6_port), 65535);
}

static void v2_extensions_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(LOOK(V2_TLVS), PROXY_COMPLETE);
    assert_tcp4(37);
}

static void v2_local_means_the_connection_itself(void **state)
{
    (void)state;
    assert_int_equal(LOOK(SIGNATURE "\x20\x00\x00\x00"), PROXY_COMPLETE);
    assert_int_equal(header.length, 16);
    assert_false(header.known);
    assert_int_equal(LOOK(SIGNATURE "\x20\x11\x00\x02"
                                    "xx"),
                     PROXY_COMPLETE);
    assert_int_equal(header.length, 18);
    assert_false(header.known);
}

static void v2_other_families_say_nothing(void **state)
{
    char bytes[16 + 216] = SIGNATURE "\x21\x31\x00\xd8";
    (void)state;
    assert_int_equal(look(bytes, sizeof(bytes)), PROXY_COMPLETE);
    assert_false(header.known);
    assert_int_equal(LOOK(SIGNATURE "\x21\x00\x00\x00"), PROXY_COMPLETE);
    assert_false(header.known);
}

static void v2_nonsense_is_refused(void **state)
{
    (void)state;
    assert_int_equal(LOOK(SIGNATURE "\x11\x11\x00\x0c" TCP4), PROXY_MALFORMED);
    assert_int_equal(LOOK(SIGNATURE "\x22\x11\x00\x0c" TCP4), PROXY_MALFORMED);
    assert_int_equal(LOOK(SIGNATURE "\x21\x12\x00\x0c" TCP4), PROXY_MALFORMED);
    assert_int_equal(LOOK(SIGNATURE "\x21\x41\x00\x0c" TCP4), PROXY_MALFORMED);
    assert_int_equal(LOOK(SIGNATURE "\x21\x11\x00\x0b" TCP4), PROXY_MALFORMED);
    assert_int_equal(LOOK(SIGNATURE "\x21\x21\x00\x0c" TCP4), PROXY_MALFORMED);
    assert_int_equal(LOOK(SIGNATURE "\x21\x11\x00\x0e" TCP4 "\x02\x00"), PROXY_MALFORMED);
    assert_int_equal(LOOK(SIGNATURE "\x21\x11\x00\x10" TCP4 "\x02\x00\x02"
                                    "a"),
                     PROXY_MALFORMED);
    assert_int_equal(LOOK(SIGNATURE "\x21\x11\x40\x00"), PROXY_MALFORMED);
}

/* The sum is the specification's example algorithm's, computed elsewhere. */
static void v2_checksum_is_checked(void **state)
{
    char bytes[] = SIGNATURE "\x20\x00\x00\x00";
    char summed[] = SIGNATURE "\x21\x00\x00\x07\x03\x00\x04\x00\x00\x00\x00";
    const uint8_t sum[] = {0x3e, 0xc9, 0x89, 0x4e};
    (void)state;
    assert_int_equal(LOOK(bytes), PROXY_COMPLETE);
    assert_int_equal(LOOK(summed), PROXY_MALFORMED);
    memcpy(summed + 19, sum, sizeof(sum));
    assert_int_equal(LOOK(summed), PROXY_COMPLETE);
    assert_int_equal(LOOK(SIGNATURE "\x21\x00\x00\x04\x03\x00\x01\x00"), PROXY_MALFORMED);
}

static void every_beginning_is_incomplete(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(V1_LINE) - 1; i++)
        assert_int_equal(look(V1_LINE, i), PROXY_INCOMPLETE);
    for (size_t i = 0; i < sizeof(V2_TLVS) - 1; i++)
        assert_int_equal(look(V2_TLVS, i), PROXY_INCOMPLETE);
}

/* Whatever comes, the answer is one of three and the header lies within the bytes. */
static void shaken_headers_do_no_harm(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } seeds[] = {{V1_LINE, sizeof(V1_LINE) - 1}, {V2_TLVS, sizeof(V2_TLVS) - 1}};
    uint32_t random = 1;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        char bytes[64];
        size_t length = seeds[i % 2].length;
        memcpy(bytes, seeds[i % 2].bytes, length);
        for (int j = 0; j < 1 + i % 4; j++) {
            random = random * 1664525 + 1013904223;
            bytes[(random >> 8) % length] = (char)(random >> 24);
        }
        enum proxy_status status = look(bytes, length);
        if (status == PROXY_COMPLETE)
            assert_true(header.length > 0 && header.length <= length);
        else
            assert_true(status == PROXY_INCOMPLETE || status == PROXY_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v1_names_both_ends),
        cmocka_unit_test(v1_knows_ipv6),
        cmocka_unit_test(v1_unknown_says_nothing),
        cmocka_unit_test(v1_takes_one_spelling),
        cmocka_unit_test(v1_line_ends_in_107_bytes),
        cmocka_unit_test(v2_names_both_ends),
        cmocka_unit_test(v2_knows_ipv6),
        cmocka_unit_test(v2_extensions_are_passed_over),
        cmocka_unit_test(v2_local_means_the_connection_itself),
        cmocka_unit_test(v2_other_families_say_nothing),
        cmocka_unit_test(v2_nonsense_is_refused),
        cmocka_unit_test(v2_checksum_is_checked),
        cmocka_unit_test(every_beginning_is_incomplete),
        cmocka_unit_test(shaken_headers_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
