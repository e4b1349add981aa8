/* Keys that the openssl command has encrypted, and what files may hold instead. */
#include "certs/encrypted_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "tests/unit/certs_lab.h"
#include "tests/unit/memory.h"

static struct lab lab;
static struct vault vault;
static struct error error;

static int make_files(void **state)
{
    (void)state;
    lab_open(&lab);
    lab_key(&lab, "p256", "p256");
    lab_key(&lab, "p384", "p384");
    lab_key(&lab, "ed25519", "ed25519");
    lab_key(&lab, "rsa", "rsa2048");
    lab_run(&lab, "for k in p256 p384 ed25519 rsa; do openssl pkcs8 -topk8 -nocrypt -in "
                  "$k.key -outform DER -out $k.plain; done");
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

static int stop(void **state)
{
    (void)state;
    vault_close(&vault);
    error.text[0] = '\0';
    return 0;
}

static struct blob text_blob(const char *text)
{
    return (struct blob){(const uint8_t *)text, text ? strlen(text) : 0};
}

/* From memory that ends where the bytes do, so that a sanitizer sees a step too far. */
static bool open_bytes(const uint8_t *bytes, size_t size, struct key_opener *opener,
                       struct blob *plain)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    const bool ok =
        encrypted_key_open((struct blob){copy, size}, opener, &vault, plain, &error);
    free(copy);
    return ok;
}

static bool open_file(const char *file, const char *passphrase, struct blob *plain)
{
    size_t size = 0;
    char *bytes = lab_read(&lab, file, &size);
    struct key_opener opener = {text_blob(passphrase), ENCRYPTED_KEY_ITERATIONS_MAX};
    const bool ok = open_bytes((const uint8_t *)bytes, size, &opener, plain);
    free(bytes);
    return ok;
}

static void check_opens(const char *file, const char *passphrase, const char *key)
{
    char name[64];
    size_t size = 0;
    struct blob plain = {.data = NULL};
    (void)snprintf(name, sizeof name, "%s.plain", key);
    char *expected = lab_read(&lab, name, &size);
    if (!open_file(file, passphrase, &plain))
        fail_msg("%s: %s", file, error.text);
    assert_int_equal(plain.size, size);
    assert_memory_equal(plain.data, expected, size);
    free(expected);
}

static void check_refused(const char *file, const char *passphrase, const char *words)
{
    struct blob plain = {.data = NULL};
    assert_false(open_file(file, passphrase, &plain));
    if (!strstr(error.text, words))
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

static void every_cipher_opens_with_every_prf(void **state)
{
    static const char *const ciphers[] = {"aes-128-cbc", "aes-192-cbc", "aes-256-cbc"};
    static const char *const prfs[] = {"hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA384",
                                       "hmacWithSHA512"};
    (void)state;
    for (size_t i = 0; i < 12; i++) {
        lab_run(&lab,
                "openssl pkcs8 -topk8 -in p256.key -v2 %s -v2prf %s -iter 777 "
                "-passout 'pass:a b' -outform DER -out combination",
                ciphers[i % 3], prfs[i / 3]);
        check_opens("combination", "a b", "p256");
    }
}

static void every_kind_of_key_opens(void **state)
{
    static const char *const keys[] = {"p256", "p384", "ed25519", "rsa"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        lab_run(&lab,
                "openssl pkcs8 -topk8 -in %s.key -v2 aes256 -passout pass:x -outform "
                "DER -out kind",
                keys[i]);
        check_opens("kind", "x", keys[i]);
    }
}

static void keys_made_encrypted_open(void **state)
{
    struct blob plain;
    (void)state;
    lab_run(&lab, "openssl genpkey -algorithm ed25519 -aes256 -pass pass:x | openssl "
                  "asn1parse -noout -out made");
    assert_true(open_file("made", "x", &plain));
}

static void one_line_end_does_not_belong_to_the_passphrase(void **state)
{
    (void)state;
    check_opens("usual", "correct\n", "p256");
    check_opens("usual", "correct\r\n", "p256");
    check_refused("usual", "correct\r", "the passphrase does not open it");
    check_refused("usual", "correct\n\n", "more than one line");
    check_refused("usual", "correct ", "the passphrase does not open it");
}

static void wrong_passphrases_are_refused(void **state)
{
    char passphrase[16];
    (void)state;
    /* Some of these give bytes that end like padding. */
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(passphrase, sizeof passphrase, "%u", i);
        check_refused("usual", passphrase, "the passphrase does not open it");
    }
}

static void passphrases_have_bounds(void **state)
{
    char longest[CONFIG_PASSPHRASE_MAX + 2] = "";
    (void)state;
    check_refused("usual", NULL, "set passphrase_file or passphrase_command");
    check_refused("usual", "", "is empty");
    check_refused("usual", "\n", "is empty");
    check_refused("usual", "\r\n", "is empty");
    memset(longest, 'x', CONFIG_PASSPHRASE_MAX + 1);
    check_refused("usual", longest, "over the 1024 bytes allowed");
    longest[CONFIG_PASSPHRASE_MAX] = '\0';
    check_refused("usual", longest, "does not open it");
}

static void other_methods_are_named_with_the_way_out(void **state)
{
    static const char *const methods[][2] = {
        {"-scrypt -scrypt_N 2", "with scrypt"},
        {"-v1 PBE-SHA1-3DES", "with a method of PKCS #12"},
        {"-v1 PBE-MD5-DES -provider legacy -provider default", "with PBES1"},
        {"-v2 des3", "with triple DES"},
        {"-v2 camellia256", "with an unknown method"},
        {"-v2 aes256 -v2prf hmacWithSHA512-256", "with an unknown method"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        lab_run(&lab,
                "openssl pkcs8 -topk8 -in p256.key %s -passout pass:x -outform DER -out "
                "method",
                methods[i][0]);
        check_refused("method", "x", methods[i][1]);
        assert_non_null(
            strstr(error.text, "openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW"));
        if (strstr(methods[i][0], "MD5"))
            continue;
        lab_run(&lab, "openssl pkcs8 -topk8 -v2 aes256 -inform DER -in method -passin "
                      "pass:x -passout pass:y -outform DER -out converted");
        check_opens("converted", "y", "p256");
    }
}

static void a_file_that_ends_early_is_damaged(void **state)
{
    size_t size = 0;
    struct blob plain;
    (void)state;
    char *bytes = lab_read(&lab, "usual", &size);
    for (size_t i = 0; i < size; i++) {
        struct key_opener opener = {text_blob("correct"), 1};
        assert_false(open_bytes((const uint8_t *)bytes, i, &opener, &plain));
        assert_non_null(strstr(error.text, "it is damaged"));
        assert_int_equal(opener.iterations, 1);
    }
    free(bytes);
}

static void a_changed_byte_never_gives_the_key(void **state)
{
    size_t size = 0, plain_size = 0;
    (void)state;
    char *bytes = lab_read(&lab, "usual", &size);
    char *expected = lab_read(&lab, "p256.plain", &plain_size);
    for (size_t i = 0; i < size * 8; i++) {
        struct blob plain = {.data = NULL};
        struct key_opener opener = {text_blob("correct"), 1000};
        bytes[i / 8] = (char)(bytes[i / 8] ^ 1 << i % 8);
        if (open_bytes((const uint8_t *)bytes, size, &opener, &plain))
            assert_false(plain.size == plain_size &&
                         memcmp(plain.data, expected, plain_size) == 0);
        bytes[i / 8] = (char)(bytes[i / 8] ^ 1 << i % 8);
        vault_close(&vault);
    }
    free(bytes);
    free(expected);
}

/* --- What stays in memory. */

static size_t count_changed(const char *letters, uint8_t mask)
{
    char changed[MEMORY_LETTERS] = "";
    for (size_t i = 0; i < MEMORY_LETTERS - 1; i++) {
        const unsigned half = i % 2 ? mask & 15U : mask >> 4;
        changed[i] = (char)('a' + ((unsigned)(letters[i] - 'a') ^ half));
    }
    return memory_count(changed);
}

static void nothing_stays_in_memory(void **state)
{
    /* Not on the heap, which is too large to be searched with the sanitizers. */
    static uint8_t secret[MEMORY_SECRET_BYTES];
    char letters[MEMORY_LETTERS];
    size_t size = 0;
    struct blob plain;
    (void)state;
    /* The passphrase is made where it can be wiped: the command has it from a file. */
    lab_run(&lab, "openssl rand -hex 16 | tr -d '\\n' > secret && openssl pkcs8 -topk8 "
                  "-in p256.key -v2 aes256 -iter 99 -passout file:secret -outform DER "
                  "-out locked");
    lab_run(&lab,
            "openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt iter:99 -kdfopt "
            "pass:$(cat secret) -kdfopt hexsalt:$(openssl asn1parse -inform DER -in "
            "locked | sed -n 's/.*HEX DUMP\\]://p' | head -n 1) PBKDF2 | tr -d "
            "':\\n' | tr 0123456789ABCDEF abcdefghijklmnop > derived.letters");
    lab_run(&lab, "openssl ec -in p256.key -no_public -outform DER | tail -c +8 | head "
                  "-c 32 | od -An -v -tx1 | tr -d ' \\n' | tr 0123456789abcdef "
                  "abcdefghijklmnop > key.letters");
    size_t letters_size = 0;
    char *derived = lab_read(&lab, "derived.letters", &letters_size);
    assert_int_equal(letters_size, MEMORY_LETTERS - 1);
    char *key = lab_read(&lab, "key.letters", &letters_size);
    assert_int_equal(letters_size, MEMORY_LETTERS - 1);

    char *locked = lab_read(&lab, "locked", &size);
    char *passphrase = lab_read(&lab, "secret", &letters_size);
    assert_int_equal(letters_size, sizeof secret);
    memcpy(secret, passphrase, sizeof secret);
    explicit_bzero(passphrase, sizeof secret);
    memory_letters(secret, letters);
    struct key_opener opener = {{secret, sizeof secret}, 99};
    assert_true(encrypted_key_open((struct blob){(const uint8_t *)locked, size}, &opener,
                                   &vault, &plain, &error));
    assert_true(memory_count(letters) > 0);
    assert_true(memory_count(key) > 0);
    explicit_bzero(secret, sizeof secret);
    vault_close(&vault);
    assert_int_equal(memory_count(letters), 0);
    assert_int_equal(count_changed(letters, 0x36), 0); /* as HMAC uses it */
    assert_int_equal(count_changed(letters, 0x5c), 0);
    assert_int_equal(memory_count(derived), 0);
    assert_int_equal(memory_count(key), 0);
    free(passphrase);
    free(derived);
    free(key);
    free(locked);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_cipher_opens_with_every_prf),
        TEST(every_kind_of_key_opens),
        TEST(keys_made_encrypted_open),
        TEST(one_line_end_does_not_belong_to_the_passphrase),
        TEST(wrong_passphrases_are_refused),
        TEST(passphrases_have_bounds),
        TEST(other_methods_are_named_with_the_way_out),
        TEST(a_file_that_ends_early_is_damaged),
        TEST(a_changed_byte_never_gives_the_key),
        TEST(nothing_stays_in_memory),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
