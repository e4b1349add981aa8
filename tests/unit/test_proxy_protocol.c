/* The expected bytes are worked out by hand from the specification. */
#include "proxy/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/un.h>

#define SIGNATURE "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
#define ADDRESS4  "\xc0\x00\x02\x01\xcb\x00\x71\x05\xdd\xd5\x01\xbb"

struct peer {
    struct sockaddr_storage storage;
};

static struct peer peer4(const char *text, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, text, &in.sin_addr), 1);
    struct peer peer = {0};
    memcpy(&peer.storage, &in, sizeof in);
    return peer;
}

static struct peer peer6(const char *text, uint16_t port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    struct peer peer = {0};
    memcpy(&peer.storage, &in6, sizeof in6);
    return peer;
}

static struct proxy_facts facts_of(const struct peer *client, const struct peer *server)
{
    return (struct proxy_facts){.client = (const struct sockaddr *)&client->storage,
                                .server = (const struct sockaddr *)&server->storage};
}

/* Into a buffer of exactly the size that the header promises. */
static void expect(enum send_proxy kind, const struct proxy_facts *facts,
                   const char *bytes, size_t length)
{
    uint8_t *out = malloc(PROXY_HEADER_MAX);
    assert_non_null(out);
    assert_int_equal(proxy_protocol_write(kind, facts, out), length);
    assert_memory_equal(out, bytes, length);
    free(out);
}

static void expect_line(const struct proxy_facts *facts, const char *line)
{
    expect(SEND_PROXY_V1, facts, line, strlen(line));
}

static void v1_is_one_line_of_text(void **state)
{
    (void)state;
    const struct peer client = peer4("192.0.2.1", 56789);
    const struct peer server = peer4("203.0.113.5", 443);
    const struct proxy_facts facts = facts_of(&client, &server);
    expect_line(&facts, "PROXY TCP4 192.0.2.1 203.0.113.5 56789 443\r\n");

    const struct peer client6 = peer6("2001:db8::1", 1);
    const struct peer server6 = peer6("2001:db8::2", 65535);
    const struct proxy_facts facts6 = facts_of(&client6, &server6);
    expect_line(&facts6, "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n");
}

static void v1_stays_within_the_longest_line(void **state)
{
    (void)state;
    const char *const longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    const struct peer peer = peer6(longest, 65535);
    const struct proxy_facts facts = facts_of(&peer, &peer);
    expect_line(&facts, "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n");
}

static void mapped_pairs_become_ipv4(void **state)
{
    (void)state;
    const struct peer client = peer6("::ffff:192.0.2.1", 56789);
    const struct peer server = peer6("::ffff:203.0.113.5", 443);
    const struct proxy_facts facts = facts_of(&client, &server);
    expect_line(&facts, "PROXY TCP4 192.0.2.1 203.0.113.5 56789 443\r\n");
    expect(SEND_PROXY_V2, &facts, SIGNATURE "\x21\x11\x00\x0c" ADDRESS4, 28);
}

static void mixed_pairs_become_ipv6(void **state)
{
    (void)state;
    const struct peer client = peer4("192.0.2.1", 56789);
    const struct peer server = peer6("2001:db8::2", 443);
    const struct proxy_facts facts = facts_of(&client, &server);
    expect_line(&facts, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 56789 443\r\n");
    const struct peer mapped = peer6("::ffff:203.0.113.5", 443);
    const struct proxy_facts both = facts_of(&client, &mapped);
    expect_line(&both, "PROXY TCP4 192.0.2.1 203.0.113.5 56789 443\r\n");
}

static void other_families_are_unknown(void **state)
{
    (void)state;
    const struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/x"};
    const struct peer server = peer4("203.0.113.5", 443);
    struct proxy_facts facts = facts_of(&server, &server);
    facts.client = (const struct sockaddr *)&path;
    expect_line(&facts, "PROXY UNKNOWN\r\n");
    expect(SEND_PROXY_V2, &facts, SIGNATURE "\x21\x00\x00\x00", 16);
    facts.client = NULL;
    expect_line(&facts, "PROXY UNKNOWN\r\n");
    facts.tls_version = "TLSv1.3";
    expect(SEND_PROXY_V2_TLS, &facts,
           SIGNATURE "\x21\x00\x00\x12"
                     "\x20\x00\x0f\x01\x00\x00\x00\x01"
                     "\x21\x00\x07TLSv1.3",
           34);
}

static void v2_carries_ipv4(void **state)
{
    (void)state;
    const struct peer client = peer4("192.0.2.1", 56789);
    const struct peer server = peer4("203.0.113.5", 443);
    struct proxy_facts facts = facts_of(&client, &server);
    facts.sni = "ignored.example"; /* TLVs come with v2-tls only */
    facts.tls_version = "TLSv1.3";
    expect(SEND_PROXY_V2, &facts, SIGNATURE "\x21\x11\x00\x0c" ADDRESS4, 28);
}

static void v2_carries_ipv6(void **state)
{
    (void)state;
    const struct peer client = peer6("2001:db8::1", 56789);
    const struct peer server = peer6("2001:db8::2", 443);
    const struct proxy_facts facts = facts_of(&client, &server);
    expect(SEND_PROXY_V2, &facts,
           SIGNATURE "\x21\x21\x00\x24"
                     "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
                     "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
                     "\xdd\xd5\x01\xbb",
           52);
}

static void v2_tls_carries_the_facts(void **state)
{
    (void)state;
    const struct peer client = peer4("192.0.2.1", 56789);
    const struct peer server = peer4("203.0.113.5", 443);
    struct proxy_facts facts = facts_of(&client, &server);
    facts.sni = "a.example";
    facts.alpn = "h2";
    facts.tls_version = "TLSv1.3";
    facts.tls_cipher = "TLS_AES_128_GCM_SHA256";
    facts.tls_group = "X25519MLKEM768";
    expect(SEND_PROXY_V2_TLS, &facts,
           SIGNATURE "\x21\x11\x00\x59" ADDRESS4 "\x01\x00\x02h2"
                     "\x02\x00\x09"
                     "a.example"
                     "\x20\x00\x39\x01\x00\x00\x00\x01"
                     "\x21\x00\x07TLSv1.3"
                     "\x23\x00\x16TLS_AES_128_GCM_SHA256"
                     "\x26\x00\x0eX25519MLKEM768",
           28 + 60 + 5 + 12);
}

static void v2_tls_leaves_out_what_is_unknown(void **state)
{
    (void)state;
    const struct peer peer = peer4("203.0.113.5", 443);
    struct proxy_facts facts = facts_of(&peer, &peer);
    facts.sni = "";
    facts.alpn = "";
    expect(SEND_PROXY_V2_TLS, &facts,
           SIGNATURE "\x21\x11\x00\x14"
                     "\xcb\x00\x71\x05\xcb\x00\x71\x05\x01\xbb\x01\xbb"
                     "\x20\x00\x05\x01\x00\x00\x00\x01",
           36);
}

static void v2_tls_carries_the_client_s_certificate(void **state)
{
    (void)state;
    const struct peer client = peer4("192.0.2.1", 56789);
    const struct peer server = peer4("203.0.113.5", 443);
    struct proxy_facts facts = facts_of(&client, &server);
    facts.client_cn = "Al";
    facts.certificate = (const uint8_t *)"DER";
    facts.certificate_size = 3;
    facts.unique_id = "id";
    expect(SEND_PROXY_V2_TLS, &facts,
           SIGNATURE "\x21\x11\x00\x19" ADDRESS4 "\x05\x00\x02"
                     "id"
                     "\x20\x00\x05\x01\x00\x00\x00\x01",
           28 + 5 + 8);
    facts.client_verified = true;
    expect(SEND_PROXY_V2_TLS, &facts,
           SIGNATURE "\x21\x11\x00\x24" ADDRESS4 "\x05\x00\x02"
                     "id"
                     "\x20\x00\x10\x07\x00\x00\x00\x00"
                     "\x22\x00\x02"
                     "Al"
                     "\x28\x00\x03"
                     "DER",
           28 + 5 + 8 + 5 + 6);
}

static void tlvs_that_do_not_fit_are_left_out_whole(void **state)
{
    (void)state;
    const struct peer client = peer4("192.0.2.1", 56789);
    const struct peer server = peer4("203.0.113.5", 443);
    struct proxy_facts facts = facts_of(&client, &server);
    uint8_t certificate[PROXY_HEADER_MAX + 100] = {0};
    uint8_t out[PROXY_HEADER_MAX];
    facts.certificate = certificate;
    facts.client_verified = true;
    facts.sni = "a";
    for (size_t length = PROXY_HEADER_MAX - 100; length < sizeof certificate; length++) {
        facts.certificate_size = length;
        const size_t written = proxy_protocol_write(SEND_PROXY_V2_TLS, &facts, out);
        const size_t others = 28 + 4 + 8;
        const bool fits = others + 3 + length <= PROXY_HEADER_MAX;
        assert_int_equal((size_t)out[14] << 8 | out[15], written - 16);
        assert_int_equal(written, others + (fits ? 3 + length : 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v1_is_one_line_of_text),
        cmocka_unit_test(v1_stays_within_the_longest_line),
        cmocka_unit_test(mapped_pairs_become_ipv4),
        cmocka_unit_test(mixed_pairs_become_ipv6),
        cmocka_unit_test(other_families_are_unknown),
        cmocka_unit_test(v2_carries_ipv4),
        cmocka_unit_test(v2_carries_ipv6),
        cmocka_unit_test(v2_tls_carries_the_facts),
        cmocka_unit_test(v2_tls_leaves_out_what_is_unknown),
        cmocka_unit_test(v2_tls_carries_the_client_s_certificate),
        cmocka_unit_test(tlvs_that_do_not_fit_are_left_out_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
