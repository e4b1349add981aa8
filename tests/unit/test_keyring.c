/* Uses the openssl command for its keys. */
#include "certs/keyring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs/certcheck.h"
#include "config/passphrase.h"
#include "tests/unit/certs_lab.h"
#include "tests/unit/memory.h"

static struct lab lab;
static WC_RNG rng;
static struct keyring *ring;
static char a_path[] = "/a/path";

static int make_files(void **state)
{
    (void)state;
    lab_open(&lab);
    lab_authorities(&lab);
    lab_chain(&lab, "p256", "p256", "DNS:p256.test");
    lab_chain(&lab, "p384", "p384", "DNS:p384.test");
    lab_chain(&lab, "ed25519", "ed25519", "DNS:ed25519.test");
    lab_chain(&lab, "rsa", "rsa2048", "DNS:rsa.test");
    return wc_InitRng(&rng);
}

static int remove_files(void **state)
{
    (void)state;
    wc_FreeRng(&rng);
    lab_close(&lab);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    keyring_free(ring);
    ring = NULL;
    lab_forget_sections(&lab);
    return 0;
}

static bool load(struct report *report)
{
    struct bundle *chains = lab_chains(&lab);
    struct bundle *keys = lab_keys(&lab);
    ring = keyring_load(&lab.config, chains, keys, &rng, report);
    bundle_close(chains);
    bundle_close(keys);
    return ring != NULL && report->faults == 0;
}

/* With one passphrase for all. */
static bool load_with(const char *passphrase, struct report *report)
{
    char name[PASSPHRASE_NAME_MAX];
    struct error error = {.text = ""};
    struct bundle *chains = lab_chains(&lab);
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    assert_non_null(builder);
    for (size_t i = 0; i < lab.config.certificate_count; i++) {
        passphrase_name(&lab.sections[i], name);
        assert_true(
            bundle_add_file(builder, lab.sections[i].key, CONFIG_KEY_MAX, &error));
        assert_true(bundle_add(builder, name, passphrase, strlen(passphrase), &error));
    }
    const int fd = bundle_seal(builder, &error);
    bundle_builder_free(builder);
    struct bundle *keys = bundle_open(fd, &error);
    assert_non_null(keys);
    (void)close(fd);
    ring = keyring_load(&lab.config, chains, keys, &rng, report);
    bundle_close(chains);
    bundle_close(keys);
    return ring != NULL && report->faults == 0;
}

static void make_locked(const char *name)
{
    lab_run(&lab,
            "cp p256.pem %s.pem && openssl pkcs8 -topk8 -v2 aes256 -in p256.key -passout "
            "pass:secret -out %s.key",
            name, name);
}

static const struct private_key *find(const char *name)
{
    char file[64];
    size_t size = 0;
    uint8_t hash[SPKI_HASH_BYTES];
    struct error error = {.text = ""};
    (void)snprintf(file, sizeof file, "%s.pem", name);
    char *pem = lab_read(&lab, file, &size);
    assert_true(
        certcheck_leaf_hash((struct blob){(const uint8_t *)pem, size}, hash, &error));
    free(pem);
    return keyring_find(ring, hash);
}

static void keys_are_found_by_their_public_half(void **state)
{
    (void)state;
    struct report report = {0};
    lab_section(&lab, "p256");
    lab_section(&lab, "p384");
    lab_section(&lab, "ed25519");
    lab_section(&lab, "rsa");
    assert_true(load(&report));
    assert_int_equal(keyring_count(ring), 4);
    assert_int_equal(find("p256")->type, KEY_ECDSA_P256);
    assert_int_equal(find("p384")->type, KEY_ECDSA_P384);
    assert_int_equal(find("ed25519")->type, KEY_ED25519);
    assert_int_equal(find("rsa")->type, KEY_RSA);
    report_close(&report);
}

static void key_that_was_not_loaded_is_not_found(void **state)
{
    (void)state;
    struct report report = {0};
    lab_section(&lab, "p256");
    assert_true(load(&report));
    assert_null(find("p384"));
    report_close(&report);
}

static void key_of_another_certificate_is_an_error(void **state)
{
    (void)state;
    struct report report = {0};
    lab_run(&lab, "cp p256.pem mixed.pem && cp p384.key mixed.key");
    lab_section(&lab, "mixed");
    assert_false(load(&report));
    assert_int_equal(report.count, 1);
    char text[512];
    (void)snprintf(
        text, sizeof text,
        "proxy.ini:12: certificate \"mixed\": the key in \"%s/mixed.key\" does "
        "not belong to the certificate in \"%s/mixed.pem\"",
        lab.directory, lab.directory);
    assert_string_equal(report.entries[0].text, text);
    report_close(&report);
}

static void check_key_error(const char *name, const char *text)
{
    struct report report = {0};
    lab_section(&lab, name);
    assert_false(load(&report));
    if (!lab_reported(&report, REPORT_FAULT, text))
        fail_msg("no error holds \"%s\", but: %s", text, report.entries[0].text);
    report_close(&report);
}

static void key_without_its_passphrase_is_an_error(void **state)
{
    (void)state;
    make_locked("locked");
    check_key_error("locked", "locked.key\": it is encrypted; set passphrase_file or "
                              "passphrase_command");
}

static void key_that_the_passphrase_does_not_open_is_an_error(void **state)
{
    struct report report = {0};
    (void)state;
    make_locked("locked");
    lab_section(&lab, "locked");
    assert_false(load_with("wrong", &report));
    assert_true(lab_reported(&report, REPORT_FAULT, "the passphrase does not open it"));
    assert_int_equal(keyring_count(ring), 0);
    report_close(&report);
}

static void keys_open_with_their_passphrase(void **state)
{
    struct report report = {0};
    (void)state;
    make_locked("locked");
    lab_section(&lab, "locked")->passphrase_file = a_path;
    if (!load_with("secret\n", &report) || report.count > 0)
        fail_msg("%s", report.entries[0].text);
    assert_int_equal(find("p256")->type, KEY_ECDSA_P256);
    report_close(&report);
}

static void missing_passphrase_is_not_reported_again(void **state)
{
    struct report report = {0};
    (void)state;
    make_locked("locked");
    lab_section(&lab, "locked")->passphrase_file = a_path;
    assert_true(load_with("", &report));
    assert_int_equal(report.count, 0);
    assert_int_equal(cert_set_count(keyring_served(ring)), 0);
    report_close(&report);
}

static void passphrase_for_nothing_is_warned_of(void **state)
{
    struct report report = {0};
    (void)state;
    struct config_certificate *section = lab_section(&lab, "p256");
    section->passphrase_command = a_path;
    section->passphrase_command_line = 13;
    assert_true(load_with("secret", &report));
    assert_int_equal(report.count, 1);
    assert_true(lab_reported(&report, REPORT_WARNING,
                             "proxy.ini:13: certificate \"p256\": the passphrase is for "
                             "nothing: the key in"));
    assert_int_equal(keyring_count(ring), 1);
    report_close(&report);
}

static void directory_may_hold_keys_without_passphrase(void **state)
{
    struct report report = {0};
    (void)state;
    struct config_certificate *section = lab_section(&lab, "p256");
    section->passphrase_file = section->directory = a_path;
    assert_true(load_with("secret", &report));
    assert_int_equal(report.count, 0);
    report_close(&report);
}

/* Each takes nine million iterations of the twenty that all may. */
static void keys_share_what_may_be_spent_on_them(void **state)
{
    struct report report = {0};
    (void)state;
    make_locked("locked");
    lab_run(&lab, "openssl pkcs8 -topk8 -in p256.key -v2 aes256 -iter 9000000 -passout "
                  "pass:secret -out slow1.key && for i in 1 2 3; do cp p256.pem "
                  "slow$i.pem; done; for i in 2 3; do cp slow1.key slow$i.key; done");
    lab_section(&lab, "slow1");
    lab_section(&lab, "slow2");
    lab_section(&lab, "slow3");
    lab_section(&lab, "locked");
    assert_false(load_with("secret", &report));
    assert_int_equal(report.faults, 1);
    assert_true(lab_reported(&report, REPORT_FAULT,
                             "slow3.key\": its key derivation takes 9000000 iterations, "
                             "more than the keys before it have left"));
    assert_int_equal(keyring_count(ring), 3);
    report_close(&report);
}

static void traditionally_encrypted_key_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "cp p256.pem locked2.pem && openssl ec -in p256.key -aes128 "
                  "-passout pass:x -out locked2.key");
    check_key_error("locked2", "convert it: openssl pkcs8 -topk8 -v2 aes256");
}

static void file_without_key_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "cp p256.pem nokey.pem && cp p256.pem nokey.key");
    check_key_error("nokey", "there is no private key in it");
}

static void damaged_key_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab,
            "cp p256.pem hurt.pem && sed '2s/^......../AAAAAAAA/' p256.key > hurt.key");
    check_key_error("hurt", "cannot use the key in");
}

static void traditional_key_forms_are_read(void **state)
{
    (void)state;
    struct report report = {0};
    lab_run(&lab,
            "cp p256.pem sec1.pem && openssl ecparam -name prime256v1 > sec1.key && "
            "openssl ec -in p256.key >> sec1.key");
    lab_run(&lab, "cp rsa.pem pkcs1.pem && openssl rsa -traditional -in rsa.key -out "
                  "pkcs1.key && grep -q 'BEGIN RSA' pkcs1.key");
    lab_section(&lab, "sec1");
    lab_section(&lab, "pkcs1");
    assert_true(load(&report));
    report_close(&report);
}

static void every_wrong_key_is_reported(void **state)
{
    (void)state;
    struct report report = {0};
    lab_run(&lab, "cp p256.pem w1.pem && cp p384.key w1.key && cp p384.pem w2.pem && "
                  "cp p256.key w2.key");
    lab_section(&lab, "w1");
    lab_section(&lab, "p256");
    lab_section(&lab, "w2");
    assert_false(load(&report));
    assert_int_equal(report.faults, 2);
    report_close(&report);
}

static void freed_ring_leaves_no_key_in_memory(void **state)
{
    (void)state;
    struct report report = {0};
    size_t size = 0;
    lab_run(&lab, "openssl ec -in p256.key -no_public -outform DER | tail -c +8 | "
                  "head -c 32 | od -An -v -tx1 | tr -d ' \\n' | "
                  "tr 0123456789abcdef abcdefghijklmnop > letters");
    char *letters = lab_read(&lab, "letters", &size);
    assert_int_equal(size, 2 * MEMORY_SECRET_BYTES);
    lab_section(&lab, "p256");
    assert_true(load(&report));
    assert_true(memory_count(letters) > 0);
    keyring_free(ring);
    ring = NULL;
    assert_int_equal(memory_count(letters), 0);
    free(letters);
    report_close(&report);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_are_found_by_their_public_half),
        TEST(key_that_was_not_loaded_is_not_found),
        TEST(key_of_another_certificate_is_an_error),
        TEST(key_without_its_passphrase_is_an_error),
        TEST(key_that_the_passphrase_does_not_open_is_an_error),
        TEST(keys_open_with_their_passphrase),
        TEST(missing_passphrase_is_not_reported_again),
        TEST(passphrase_for_nothing_is_warned_of),
        TEST(directory_may_hold_keys_without_passphrase),
        TEST(keys_share_what_may_be_spent_on_them),
        TEST(traditionally_encrypted_key_is_an_error),
        TEST(file_without_key_is_an_error),
        TEST(damaged_key_is_an_error),
        TEST(traditional_key_forms_are_read),
        TEST(every_wrong_key_is_reported),
        TEST(freed_ring_leaves_no_key_in_memory),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
