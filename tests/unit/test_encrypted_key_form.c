/* Encodings that openssl does not write, made of the parts of one that it did. */
#include "certs/encrypted_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs/der.h"
#include "tests/unit/certs_lab.h"

enum { FILE_MAX = 8192, PARTS_MAX = 8 };

static struct lab lab;
static struct error error;
static const struct blob correct = {(const uint8_t *)"correct", 7};
static const struct blob wrong = {(const uint8_t *)"wrong", 5};

static int make_files(void **state)
{
    (void)state;
    lab_open(&lab);
    lab_key(&lab, "p256", "p256");
    lab_run(&lab, "openssl pkcs8 -topk8 -in p256.key -v2 aes256 -iter 1 -passout "
                  "pass:correct -outform DER -out usual");
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    lab_close(&lab);
    return 0;
}

struct encoding {
    uint8_t bytes[FILE_MAX];
    size_t size;
};

struct part {
    const void *bytes;
    size_t size;
};

#define BYTES(text)                                                                      \
    {                                                                                    \
        text, sizeof(text) - 1                                                           \
    }

/* One value of the parts, the last of which has no bytes. */
static struct part wrap(struct encoding *into, uint8_t tag, const struct part *parts)
{
    size_t size = 0;
    for (const struct part *part = parts; part->bytes; part++)
        size += part->size;
    into->bytes[0] = tag;
    into->bytes[1] = (uint8_t)(size < 128 ? size : 0x82);
    into->bytes[2] = (uint8_t)(size >> 8);
    into->bytes[3] = (uint8_t)size;
    into->size = size < 128 ? 2 : 4;
    if (size >= 128 && size < 256) {
        into->bytes[1] = 0x81;
        into->bytes[2] = (uint8_t)size;
        into->size = 3;
    }
    for (const struct part *part = parts; part->bytes; part++) {
        memcpy(into->bytes + into->size, part->bytes, part->size);
        into->size += part->size;
    }
    return (struct part){into->bytes, into->size};
}

struct made {
    struct part salt, iterations, key_length, prf, iv, ciphertext; /* whole values */
    struct part behind[PARTS_MAX]; /* each level's, from the innermost on */
};

static struct made usual;
static char *usual_bytes;

static struct part value_of(struct der *from)
{
    const uint8_t *start = from->at;
    struct der value;
    uint8_t tag;
    assert_true(der_any(from, &tag, &value));
    return (struct part){start, (size_t)(from->at - start)};
}

static struct der inside(struct der *from)
{
    struct der value;
    uint8_t tag;
    assert_true(der_any(from, &tag, &value));
    return value;
}

static int take_usual_apart(void **state)
{
    size_t size = 0;
    (void)state;
    usual_bytes = lab_read(&lab, "usual", &size);
    struct der file = {(const uint8_t *)usual_bytes, size};
    struct der outer = inside(&file);
    struct der algorithm = inside(&outer);
    usual = (struct made){.ciphertext = value_of(&outer)};
    (void)value_of(&algorithm);
    struct der pbes2 = inside(&algorithm);
    struct der derivation = inside(&pbes2);
    struct der scheme = inside(&pbes2);
    (void)value_of(&derivation);
    struct der pbkdf2 = inside(&derivation);
    usual.salt = value_of(&pbkdf2);
    usual.iterations = value_of(&pbkdf2);
    usual.prf = value_of(&pbkdf2);
    (void)value_of(&scheme);
    usual.iv = value_of(&scheme);
    return 0;
}

static int forget_usual(void **state)
{
    free(usual_bytes);
    usual_bytes = NULL;
    (void)state;
    return 0;
}

/* From memory that ends where the bytes do, so that a sanitizer sees a step too far. */
static bool open_bytes(const struct encoding *encoding, size_t size,
                       struct key_opener *opener)
{
    struct vault vault = {0};
    struct blob plain;
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, encoding->bytes, size);
    const bool ok =
        encrypted_key_open((struct blob){copy, size}, opener, &vault, &plain, &error);
    free(copy);
    vault_close(&vault);
    return ok;
}

static bool open_made(const struct made *made, struct key_opener *opener)
{
    static const struct part pbes2_oid = BYTES("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05"
                                               "\x0d");
    static const struct part pbkdf2_oid = BYTES("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05"
                                                "\x0c");
    static const struct part aes_oid = BYTES("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01"
                                             "\x2a");
    static struct encoding pbkdf2, derivation, scheme, pbes2, algorithm, outer;
    const struct part *behind = made->behind;
    const struct part empty = BYTES("");
#define OR_NOTHING(part) ((part).bytes ? (part) : empty)
#define SEQUENCE(name, ...)                                                              \
    wrap(&(name), DER_SEQUENCE, (const struct part[]){__VA_ARGS__, {NULL, 0}})
    SEQUENCE(pbkdf2, made->salt, made->iterations, OR_NOTHING(made->key_length),
             OR_NOTHING(made->prf), OR_NOTHING(behind[0]));
    SEQUENCE(derivation, pbkdf2_oid, {pbkdf2.bytes, pbkdf2.size}, OR_NOTHING(behind[1]));
    SEQUENCE(scheme, aes_oid, made->iv, OR_NOTHING(behind[2]));
    SEQUENCE(pbes2, {derivation.bytes, derivation.size}, {scheme.bytes, scheme.size},
             OR_NOTHING(behind[3]));
    SEQUENCE(algorithm, pbes2_oid, {pbes2.bytes, pbes2.size}, OR_NOTHING(behind[4]));
    SEQUENCE(outer, {algorithm.bytes, algorithm.size}, made->ciphertext,
             OR_NOTHING(behind[5]));
    if (behind[6].bytes)
        memcpy(outer.bytes + outer.size, behind[6].bytes, behind[6].size);
    return open_bytes(&outer, outer.size + behind[6].size, opener);
}

static void check_made(const struct made *made, const char *words)
{
    struct key_opener opener = {correct, 100 * 1000 * 1000};
    if (open_made(made, &opener))
        fail_msg("it was opened, but should say \"%s\"", words);
    if (!strstr(error.text, words))
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

static void what_was_put_together_again_opens(void **state)
{
    struct key_opener opener = {correct, 1};
    (void)state;
    if (!open_made(&usual, &opener))
        fail_msg("%s", error.text);
    assert_int_equal(opener.iterations, 0);
}

static void iterations_have_a_cap_for_each_key(void **state)
{
    struct made made = usual;
    (void)state;
    made.iterations = (struct part)BYTES("\x02\x04\x00\x98\x96\x81");
    check_made(&made, "takes 10000001 iterations, over the 10000000 allowed");
    made.iterations = (struct part)BYTES("\x02\x04\x7f\xff\xff\xff");
    check_made(&made, "takes 2147483647 iterations, over the 10000000 allowed");
}

static void iterations_have_a_cap_for_all_keys(void **state)
{
    struct key_opener opener = {correct, 3};
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_true(open_made(&usual, &opener));
    assert_false(open_made(&usual, &opener));
    assert_non_null(strstr(error.text, "left of those allowed for all"));
    opener = (struct key_opener){wrong, 1};
    assert_false(open_made(&usual, &opener));
    assert_int_equal(opener.iterations, 0);
}

static void iterations_are_a_positive_number(void **state)
{
    static const struct part numbers[] = {
        BYTES("\x02\x01\x00"),                 /* nought */
        BYTES("\x02\x01\x81"),                 /* negative */
        BYTES("\x02\x02\x00\x01"),             /* longer than it could be */
        BYTES("\x02\x05\x01\x00\x00\x00\x01"), /* 2^32 + 1 */
        BYTES("\x02\x04\x80\x00\x00\x01"),     /* negative as well */
        BYTES("\x02\x00"),                     /* none */
        BYTES("\x04\x01\x01"),                 /* no number */
    };
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct made made = usual;
        made.iterations = numbers[i];
        check_made(&made, "it is damaged");
    }
}

static void the_length_of_the_key_may_be_told(void **state)
{
    struct key_opener opener = {correct, 1};
    struct made made = usual;
    (void)state;
    made.key_length = (struct part)BYTES("\x02\x01\x20");
    assert_true(open_made(&made, &opener));
    made.key_length = (struct part)BYTES("\x02\x01\x10");
    check_made(&made, "it is damaged");
}

static void sizes_are_checked(void **state)
{
    static uint8_t salt[3 + 129] = {0x04, 0x81, 129};
    struct made made = usual;
    (void)state;
    made.salt = (struct part){salt, sizeof salt};
    check_made(&made, "it is damaged");
    made.salt = (struct part)BYTES("\x04\x00");
    check_made(&made, "it is damaged");
    made = usual;
    made.iv = (struct part)BYTES("\x04\x0f 15 bytes of it..");
    check_made(&made, "it is damaged");
    made = usual;
    made.ciphertext = (struct part)BYTES("\x04\x00");
    check_made(&made, "it is damaged");
    made.ciphertext = (struct part)BYTES("\x04\x11seventeen bytes..");
    check_made(&made, "it is damaged");
    made.ciphertext = (struct part)BYTES("\x04\x10sixteen bytes...");
    check_made(&made, "does not open it");
}

static void lengths_are_as_short_as_can_be(void **state)
{
    struct made made = usual;
    (void)state;
    made.salt = (struct part)BYTES("\x04\x81\x08salt....");
    check_made(&made, "it is damaged");
    made.salt = (struct part)BYTES("\x04\x82\x00\x08salt....");
    check_made(&made, "it is damaged");
    made.salt = (struct part)BYTES("\x04\x80salt....\0\0");
    check_made(&made, "it is damaged");
}

static void nothing_may_follow_a_value(void **state)
{
    (void)state;
    for (size_t level = 0; level < 7; level++) {
        struct made made = usual;
        made.behind[level] = (struct part)BYTES("\x05\x00");
        check_made(&made, "it is damaged");
    }
}

#define MADE(name) cmocka_unit_test_setup_teardown(name, take_usual_apart, forget_usual)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MADE(what_was_put_together_again_opens),
        MADE(iterations_have_a_cap_for_each_key),
        MADE(iterations_have_a_cap_for_all_keys),
        MADE(iterations_are_a_positive_number),
        MADE(the_length_of_the_key_may_be_told),
        MADE(sizes_are_checked),
        MADE(lengths_are_as_short_as_can_be),
        MADE(nothing_may_follow_a_value),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
