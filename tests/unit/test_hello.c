#include "proxy/hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs/tls_policy.h"
#include "tests/unit/hello_builder.h"

static void modern_hello_is_read_whole(void **state)
{
    (void)state;
    const struct outcome outcome = read_recipe(recipe_modern);
    const struct hello *hello = &outcome.hello;
    assert_int_equal(outcome.status, HELLO_COMPLETE);
    assert_int_equal(outcome.verdict.refusal, HELLO_REFUSAL_NONE);
    assert_string_equal(hello->sni, "www.example.org");
    assert_int_equal(hello->alpn_len, 12);
    assert_memory_equal(hello->alpn, "\x02h2\x08http/1.1", 12);
    assert_int_equal(hello->best_version, 0x0304);
    assert_int_equal(hello->key_types, 1u << KEY_ECDSA_P256 | 1u << KEY_ECDSA_P384 |
                                           1u << KEY_ED25519 | 1u << KEY_RSA);
    assert_true(hello->has_groups && hello->group_hybrid && hello->group_x25519);
    assert_true(hello->group_p256 && hello->suite_tls13 && hello->suite_tls12);
    assert_true(hello->psk_dhe_ke && !hello->psk_ke && !hello->psk_offered);
    assert_int_equal(hello->suite_count, 9);
}

/* A hello of `openssl s_client` 3.0 with SNI Example.COM and ALPN. */
static void captured_hello_of_openssl_is_accepted(void **state)
{
    (void)state;
    const struct outcome outcome = read_hex("160301014a01000146030306d326c04cad9da87c603d"
                                            "27d8f5f257632ebdd319e8e0bb7609c79bc016"
                                            "6cce20eb1e6457776e0a37488a9b5781e0e2fb958fc0"
                                            "443f2803842371b007dbe6328d003e13021303"
                                            "1301c02cc030009fcca9cca8ccaac02bc02f009ec024"
                                            "c028006bc023c0270067c00ac0140039c009c0"
                                            "130033009d009c003d003c0035002f00ff010000bf00"
                                            "000010000e00000b4578616d706c652e434f4d"
                                            "000b000403000102000a00160014001d0017001e0019"
                                            "00180100010101020103010400230000001000"
                                            "0e000c02683208687474702f312e3100160000001700"
                                            "00000d002a0028040305030603080708080809"
                                            "080a080b080408050806040105010601030303010302"
                                            "040205020602002b0009080304030303020301"
                                            "002d00020101003300260024001d002001b4bb7bd299"
                                            "ce6934c7bdf39a61e30f06e2cacd48987dc041"
                                            "a98b8caa033c31");
    assert_int_equal(outcome.status, HELLO_COMPLETE);
    assert_string_equal(outcome.hello.sni, "example.com");
    assert_int_equal(outcome.hello.best_version, 0x0304);
    assert_int_equal(outcome.hello.suite_count, 30);
    assert_int_equal(outcome.hello.key_types, 15);
    assert_true(!outcome.hello.group_hybrid && outcome.hello.group_x25519);
}

static void http_is_told_by_its_method(void **state)
{
    (void)state;
    const char *const requests[] = {"GET / HTTP/1.1\r\n", "POST /", "OPTIONS * HTTP/1.1",
                                    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        const uint8_t *bytes = (const uint8_t *)requests[i];
        const struct outcome whole = read_bytes(bytes, strlen(requests[i]));
        expect_refusal(&whole, HELLO_REFUSAL_PLAIN_HTTP, 0,
                       "client speaks plain HTTP where TLS is expected");
        assert_int_equal(read_bytes(bytes, 1).status, HELLO_INCOMPLETE);
        assert_int_equal(read_bytes(bytes, 3).status, HELLO_INCOMPLETE);
    }
}

static void other_protocols_are_told_by_their_first_bytes(void **state)
{
    (void)state;
    const char *const starts[] = {"80", "5353482d322e30", "00",  "474554",
                                  "15", "1702",           "1604"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        const struct outcome outcome = read_hex(starts[i]);
        if (strcmp(starts[i], "474554") == 0) /* "GET" may go on as HTTP */
            assert_int_equal(outcome.status, HELLO_INCOMPLETE);
        else
            expect_refusal(&outcome, HELLO_REFUSAL_NOT_TLS, 0, NULL);
    }
    const struct outcome sslv2 = read_hex("802e0100020015000000100100800200");
    expect_refusal(&sslv2, HELLO_REFUSAL_NOT_TLS, 0, NULL);
    const struct outcome getaway = read_hex("47455461776179"); /* "GETaway" */
    expect_refusal(&getaway, HELLO_REFUSAL_NOT_TLS, 0, NULL);
}

static void bad_records_are_refused(void **state)
{
    (void)state;
    const struct outcome empty = read_hex("1603010000");
    expect_refusal(&empty, HELLO_REFUSAL_MALFORMED, 10, "empty handshake record");
    const struct outcome long_record = read_hex("1603014001");
    expect_refusal(&long_record, HELLO_REFUSAL_MALFORMED, 22, NULL);
    const struct outcome future = read_hex("160304");
    expect_malformed(&future);
    const struct outcome ssl3 = read_hex("160300");
    expect_refusal(&ssl3, HELLO_REFUSAL_VERSION, 70, NULL);
    const struct outcome server_hello = read_hex("160301003202");
    expect_refusal(&server_hello, HELLO_REFUSAL_MALFORMED, 10, NULL);
    const struct outcome interleaved = read_hex("160301000401000100"
                                                "15");
    expect_refusal(&interleaved, HELLO_REFUSAL_MALFORMED, 10, NULL);
    const struct outcome empty_second = read_hex("160301000401000100"
                                                 "1603010000");
    expect_malformed(&empty_second);
}

static void message_of_no_bytes_is_malformed(void **state)
{
    (void)state;
    const struct outcome outcome = read_hex("160301000401000000");
    expect_malformed(&outcome);
}

static void second_message_in_the_record_is_malformed(void **state)
{
    (void)state;
    struct bytes message;
    build(&recipe_modern, &message);
    put(&message, 1, 1);
    const struct outcome outcome = read_message(&message);
    expect_refusal(&outcome, HELLO_REFUSAL_MALFORMED, 10, NULL);
}

static void bytes_after_the_record_are_ignored(void **state)
{
    (void)state;
    struct bytes message;
    struct bytes records;
    build(&recipe_modern, &message);
    wrap(&message, 100, &records);
    put_hex(&records, "140303000101170303ffff00");
    const struct outcome outcome = read_records(&records);
    assert_int_equal(outcome.status, HELLO_COMPLETE);
    assert_string_equal(outcome.hello.sni, "www.example.org");
}

static void every_prefix_is_incomplete(void **state)
{
    (void)state;
    const size_t payloads[] = {16384, 100, 3, 1};
    struct bytes message;
    struct bytes records;
    build(&recipe_modern, &message);
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        wrap(&message, payloads[i], &records);
        for (size_t length = 0; length < records.length; length++)
            assert_int_equal(read_bytes(records.at, length).status, HELLO_INCOMPLETE);
    }
}

static void every_fragmentation_and_growth_gives_the_same(void **state)
{
    (void)state;
    struct bytes message;
    struct bytes records;
    build(&recipe_modern, &message);
    const struct outcome whole = read_message(&message);
    for (size_t payload = 1; payload <= message.length; payload++) {
        wrap(&message, payload, &records);
        const struct outcome outcome = read_records(&records);
        assert_int_equal(outcome.status, HELLO_COMPLETE);
        assert_memory_equal(&outcome.hello, &whole.hello, sizeof whole.hello);
        struct outcome grown = {0};
        const size_t step = payload % 7 == 1 ? 1 : payload;
        for (size_t length = 0; length < records.length; length += step) {
            read_more(&grown, records.at, length);
            assert_int_equal(grown.status, HELLO_INCOMPLETE);
        }
        read_more(&grown, records.at, records.length);
        assert_int_equal(grown.status, HELLO_COMPLETE);
        assert_memory_equal(&grown.hello, &whole.hello, sizeof whole.hello);
    }
}

static void hybrid_sized_hello_over_three_records_is_read(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.filler_bytes = 1700;
    struct bytes message;
    struct bytes records;
    build(&recipe, &message);
    assert_true(message.length > 1800);
    wrap(&message, 700, &records);
    const struct outcome outcome = read_records(&records);
    assert_int_equal(outcome.status, HELLO_COMPLETE);
    assert_true(outcome.hello.group_hybrid);
}

static void oversize_is_refused_as_soon_as_it_is_announced(void **state)
{
    (void)state;
    const struct outcome announced = read_hex("160301010001010000");
    expect_refusal(&announced, HELLO_REFUSAL_TOO_LARGE, 47, NULL);
    const struct outcome largest = read_hex("16030101000100fff7");
    assert_int_equal(largest.status, HELLO_INCOMPLETE);

    struct recipe recipe = recipe_modern; /* 20,000 bytes in records of one byte */
    recipe.filler_bytes = 20000;
    struct bytes message;
    struct bytes records;
    build(&recipe, &message);
    message.length = 12000; /* what fits the test's buffer, and more than is accepted */
    wrap(&message, 1, &records);
    const struct outcome spread = read_records(&records);
    expect_refusal(&spread, HELLO_REFUSAL_TOO_LARGE, 47, NULL);

    recipe.filler_bytes = 60000;
    build(&recipe, &message);
    assert_int_equal(read_message(&message).status, HELLO_COMPLETE);
}

/* The message cut after each byte, its own length corrected.  One cut leaves a hello
 * without extensions, which is whole but useless. */
static void every_cut_of_the_message_is_refused(void **state)
{
    (void)state;
    struct bytes message;
    build(&recipe_modern, &message);
    const size_t length = message.length;
    unsigned judged = 0;
    for (size_t cut = 4; cut < length; cut++) {
        message.length = 1;
        put(&message, cut - 4, 3);
        message.length = cut;
        const struct outcome outcome = read_message(&message);
        assert_int_equal(outcome.status, HELLO_REFUSED);
        judged += outcome.verdict.refusal != HELLO_REFUSAL_MALFORMED;
    }
    assert_int_equal(judged, 1);
}

/* One extension at a time, whose inner lengths do not add up to its own. */
static void extensions_that_do_not_add_up_are_malformed(void **state)
{
    (void)state;
    const char *const raw[] = {"000a00040003001d",
                               "000a00050002001d00",
                               "000a00020000",
                               "000a0000",
                               "000d000400030403",
                               "000d00020000",
                               "000d0003000104",
                               "002b0003030304",
                               "002b00020103",
                               "002b000100",
                               "002b0000",
                               "002d000100",
                               "002d00020201",
                               "002d0003010100",
                               "001000020000",
                               "00100003000100",
                               "001000050003026832ff",
                               "00100004000202ff",
                               "00000000",
                               "000000020000",
                               "0000000400020000",
                               "0000000700050000036162",
                               "0000000a00080000016100000161",
                               "0029000400000000",
                               "00290002ffff",
                               "000a0004"};
    for (size_t i = 0; i < sizeof raw / sizeof raw[0]; i++) {
        const struct recipe recipe = {.legacy_version = 0x0303,
                                      .suites = SUITES_TLS13,
                                      .compression = "00",
                                      .raw = raw[i]};
        const struct outcome outcome = read_recipe(recipe);
        expect_malformed(&outcome);
    }
}

static void broken_pre_shared_keys_are_malformed(void **state)
{
    (void)state;
    const char *const psks[] = {
        "0009" PSK_IDENTITY "0004"
        "03010203", /* binder too short */
        "0008"
        "0003616263000000"
        "0021" PSK_BINDER,                                  /* identity cut */
        "0009" PSK_IDENTITY "0042" PSK_BINDER PSK_BINDER,   /* a binder too many */
        "0012" PSK_IDENTITY PSK_IDENTITY "0021" PSK_BINDER, /* a binder too few */
    };
    for (size_t i = 0; i < sizeof psks / sizeof psks[0]; i++) {
        struct recipe recipe = recipe_modern;
        recipe.psk = psks[i];
        const struct outcome outcome = read_recipe(recipe);
        expect_malformed(&outcome);
    }
}

static void extensions_twice_are_refused(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.raw = "fa010000fa010000"; /* unknown to us */
    const struct outcome unknown = read_recipe(recipe);
    expect_refusal(&unknown, HELLO_REFUSAL_MALFORMED, 47, NULL);
    recipe.raw = "000a00040002001d";
    const struct outcome groups = read_recipe(recipe);
    expect_refusal(&groups, HELLO_REFUSAL_MALFORMED, 47, NULL);
}

static void long_alpn_is_cut_between_names(void **state)
{
    (void)state;
    static const char name[] = "097961636b2f312e3078"; /* 10 bytes with its length */
    char hex[30 * (sizeof name - 1) + 1] = "";
    for (size_t i = 0; i < 30; i++)
        memcpy(hex + i * (sizeof name - 1), name, sizeof name);
    struct recipe recipe = recipe_modern;
    recipe.alpn = hex;
    const struct outcome outcome = read_recipe(recipe);
    assert_int_equal(outcome.status, HELLO_COMPLETE);
    assert_int_equal(outcome.hello.alpn_len, 250);
}

static void names_are_lower_case_without_trailing_dot(void **state)
{
    (void)state;
    const char *const names[][2] = {{"WWW.Example.ORG.", "www.example.org"},
                                    {"_dmarc.x-y.example", "_dmarc.x-y.example"},
                                    {"127.0.0.1", "127.0.0.1"},
                                    {"2001:DB8::1", "2001:db8::1"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct recipe recipe = recipe_modern;
        recipe.sni = names[i][0];
        const struct outcome outcome = read_recipe(recipe);
        assert_int_equal(outcome.status, HELLO_COMPLETE);
        assert_string_equal(outcome.hello.sni, names[i][1]);
    }
}

static void names_that_are_not_host_names_are_refused(void **state)
{
    (void)state;
    char long_name[HELLO_SNI_MAX + 1];
    memset(long_name, 'a', sizeof long_name);
    const struct {
        const char *name;
        size_t length;
    } names[] = {{"a\0b", 3},
                 {"\0", 1},
                 {"a b", 3},
                 {"a/b", 3},
                 {"*.example", 9},
                 {"example:443", 11},
                 {"m\xc3\xbcnchen", 8},
                 {".", 1},
                 {long_name, 256}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct recipe recipe = recipe_modern;
        recipe.sni = names[i].name;
        recipe.sni_len = names[i].length;
        const struct outcome outcome = read_recipe(recipe);
        expect_refusal(&outcome, HELLO_REFUSAL_SNI, 112, NULL);
        assert_string_equal(outcome.hello.sni, "");
    }
    struct recipe recipe = recipe_modern;
    recipe.sni = long_name;
    recipe.sni_len = 255;
    assert_int_equal(read_recipe(recipe).status, HELLO_COMPLETE);

    recipe.sni = NULL;
    recipe.raw = "00000006000401000161"; /* of another type */
    const struct outcome other = read_recipe(recipe);
    expect_refusal(&other, HELLO_REFUSAL_SNI, 112, NULL);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Up to four bytes changed, sometimes cut: any answer, but no step outside. */
static void mutations_are_survived(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.psk = PSK;
    struct bytes message;
    struct bytes variants[2];
    build(&recipe, &message);
    wrap(&message, 16384, &variants[0]);
    wrap(&message, 60, &variants[1]);
    uint32_t seed = 0x5eed;
    unsigned complete = 0;
    for (unsigned i = 0; i < 200000; i++) {
        const struct bytes *records = &variants[i % 2];
        uint8_t mutated[1024];
        assert_true(records->length <= sizeof mutated);
        memcpy(mutated, records->at, records->length);
        size_t length = records->length;
        for (uint32_t changes = next_random(&seed) % 5; changes > 0; changes--)
            mutated[next_random(&seed) % length] ^=
                (uint8_t)(1u << next_random(&seed) % 8);
        if (next_random(&seed) % 4 == 0)
            length = next_random(&seed) % length;
        complete += read_bytes(mutated, length).status == HELLO_COMPLETE;
    }
    assert_in_range(complete, 1000, 190000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modern_hello_is_read_whole),
        cmocka_unit_test(captured_hello_of_openssl_is_accepted),
        cmocka_unit_test(http_is_told_by_its_method),
        cmocka_unit_test(other_protocols_are_told_by_their_first_bytes),
        cmocka_unit_test(bad_records_are_refused),
        cmocka_unit_test(message_of_no_bytes_is_malformed),
        cmocka_unit_test(second_message_in_the_record_is_malformed),
        cmocka_unit_test(bytes_after_the_record_are_ignored),
        cmocka_unit_test(every_prefix_is_incomplete),
        cmocka_unit_test(every_fragmentation_and_growth_gives_the_same),
        cmocka_unit_test(hybrid_sized_hello_over_three_records_is_read),
        cmocka_unit_test(oversize_is_refused_as_soon_as_it_is_announced),
        cmocka_unit_test(every_cut_of_the_message_is_refused),
        cmocka_unit_test(extensions_that_do_not_add_up_are_malformed),
        cmocka_unit_test(broken_pre_shared_keys_are_malformed),
        cmocka_unit_test(extensions_twice_are_refused),
        cmocka_unit_test(long_alpn_is_cut_between_names),
        cmocka_unit_test(names_are_lower_case_without_trailing_dot),
        cmocka_unit_test(names_that_are_not_host_names_are_refused),
        cmocka_unit_test(mutations_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
