/* Uses the openssl command for its certificates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs/certcheck.h"
#include "tests/unit/certs_lab.h"

static struct lab lab;

struct outcome {
    struct leaf_facts facts;
    struct report report;
    bool usable;
};

static void check(struct outcome *outcome, const char *name)
{
    size_t size = 0;
    char file[80];
    *outcome = (struct outcome){0};
    lab_forget_sections(&lab);
    const struct config_certificate *section = lab_section(&lab, name);
    (void)snprintf(file, sizeof file, "%s.pem", name);
    char *pem = lab_read(&lab, file, &size);
    outcome->usable =
        certcheck_chain(&lab.config, section, (struct blob){(const uint8_t *)pem, size},
                        &outcome->facts, &outcome->report);
    free(pem);
}

static void done(struct outcome *outcome)
{
    leaf_facts_close(&outcome->facts);
    report_close(&outcome->report);
}

static void check_error(const char *name, const char *text)
{
    struct outcome outcome;
    check(&outcome, name);
    if (!lab_reported(&outcome.report, REPORT_FAULT, text))
        fail_msg("no error holds \"%s\", but: %s", text,
                 outcome.report.count ? outcome.report.entries[0].text : "nothing");
    assert_false(outcome.usable);
    done(&outcome);
}

static void check_warning(const char *name, const char *text)
{
    struct outcome outcome;
    check(&outcome, name);
    if (!lab_reported(&outcome.report, REPORT_WARNING, text))
        fail_msg("no warning holds \"%s\", but: %s", text,
                 outcome.report.count ? outcome.report.entries[0].text : "nothing");
    assert_true(outcome.usable);
    assert_int_equal(outcome.report.faults, 0);
    done(&outcome);
}

static int make(void **state)
{
    (void)state;
    lab_open(&lab);
    lab_authorities(&lab);
    lab_chain(&lab, "good", "p256",
              "DNS:WWW.Example.test,DNS:*.example.test,IP:127.0.0.1");
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    lab_close(&lab);
    return 0;
}

static void good_chain_is_usable_without_remarks(void **state)
{
    struct outcome outcome;
    (void)state;
    check(&outcome, "good");
    assert_true(outcome.usable);
    assert_int_equal(outcome.report.count, 0);
    done(&outcome);
}

static void names_are_lower_case_dns_names_and_addresses(void **state)
{
    struct outcome outcome;
    bool dns = false, wildcard = false, ip = false;
    (void)state;
    check(&outcome, "good");
    assert_int_equal(outcome.facts.name_count, 3);
    for (size_t i = 0; i < 3; i++) {
        dns = dns || strcmp(outcome.facts.names[i], "www.example.test") == 0;
        wildcard = wildcard || strcmp(outcome.facts.names[i], "*.example.test") == 0;
        ip = ip || strcmp(outcome.facts.names[i], "127.0.0.1") == 0;
    }
    assert_true(dns && wildcard && ip);
    done(&outcome);
}

static void dates_are_those_of_the_certificate(void **state)
{
    struct outcome outcome;
    (void)state;
    check(&outcome, "good");
    const time_t now = time(NULL);
    assert_in_range(outcome.facts.not_before, now - 600, now);
    assert_in_range(outcome.facts.not_after, now + 364 * 86400, now + 366 * 86400);
    done(&outcome);
}

static void spki_hash_is_that_of_the_key(void **state)
{
    struct outcome outcome;
    size_t size = 0;
    (void)state;
    lab_run(&lab, "openssl pkey -in good.key -pubout -outform DER | "
                  "openssl dgst -sha256 -binary > good.hash");
    char *hash = lab_read(&lab, "good.hash", &size);
    check(&outcome, "good");
    assert_int_equal(size, SPKI_HASH_BYTES);
    assert_memory_equal(hash, outcome.facts.spki_hash, SPKI_HASH_BYTES);
    free(hash);
    done(&outcome);
}

static void leaf_hash_alone_is_the_same(void **state)
{
    struct outcome outcome;
    size_t size = 0;
    uint8_t hash[SPKI_HASH_BYTES];
    struct error error = {.text = ""};
    (void)state;
    char *pem = lab_read(&lab, "good.pem", &size);
    check(&outcome, "good");
    assert_true(
        certcheck_leaf_hash((struct blob){(const uint8_t *)pem, size}, hash, &error));
    assert_memory_equal(hash, outcome.facts.spki_hash, SPKI_HASH_BYTES);
    free(pem);
    done(&outcome);
}

static void every_served_key_type_is_recognised(void **state)
{
    static const struct {
        const char *kind;
        enum key_type type;
    } rows[] = {{"p256", KEY_ECDSA_P256},
                {"p384", KEY_ECDSA_P384},
                {"ed25519", KEY_ED25519},
                {"rsa2048", KEY_RSA},
                {"rsa4096", KEY_RSA}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct outcome outcome;
        lab_chain(&lab, "kind", rows[i].kind, "DNS:kind.test");
        check(&outcome, "kind");
        assert_true(outcome.usable);
        assert_int_equal(outcome.facts.key_type, rows[i].type);
        done(&outcome);
    }
}

static void short_rsa_key_is_an_error(void **state)
{
    (void)state;
    lab_chain(&lab, "short", "rsa1024", "DNS:short.test");
    check_error("short", "proxy.ini:11: certificate \"short\": the RSA key in");
}

static void long_rsa_key_is_an_error(void **state)
{
    (void)state;
    lab_chain(&lab, "long", "rsa5120", "DNS:long.test");
    check_error("long", "served are 2048 to 4096");
}

static void unserved_curve_is_an_error(void **state)
{
    (void)state;
    lab_chain(&lab, "p521", "p521", "DNS:p521.test");
    check_error("p521", "of a kind that is not served");
}

static void file_without_certificate_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "echo words > nothing.pem");
    check_error("nothing", "there is no certificate in");
}

static void cut_file_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "head -c 300 good.pem > cut.pem");
    check_error("cut", "a block in it has no end");
}

static void damaged_base64_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "sed '3s/^.../!!!/' good.pem > bad64.pem");
    check_error("bad64", "certificate 1 in");
}

static void damaged_der_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "sed '2s/^..../AAAA/' good.pem > badder.pem");
    check_error("badder", "cannot read the certificate in");
}

static void issuer_before_leaf_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "openssl x509 -in good.pem -out leaf-only.pem && "
                  "cat middle.pem leaf-only.pem > turned.pem");
    check_error("turned", "the leaf comes first");
}

static void unrelated_certificate_in_the_chain_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab,
            "openssl x509 -in good.pem -out a.pem && cat a.pem root.pem > skip.pem");
    check_error("skip", "is not the issuer of the one before it");
}

static void issuer_with_the_same_name_and_another_key_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "mkdir -p other && cp root.pem root.key other/");
    lab_run(&lab, "cp middle.pem middle.keep && cp middle.key middle.key.keep");
    lab_key(&lab, "middle", "p256");
    lab_issue(&lab, "middle", "root", 1000,
              "basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign\\n");
    lab_run(&lab,
            "openssl x509 -in good.pem -out b.pem && cat b.pem middle.pem > twin.pem");
    lab_run(&lab, "mv middle.keep middle.pem && mv middle.key.keep middle.key");
    check_error("twin", "but another key");
}

static void issuer_that_is_no_ca_is_an_error(void **state)
{
    (void)state;
    lab_key(&lab, "noca", "p256");
    lab_issue(&lab, "noca", "root", 300, "basicConstraints=CA:FALSE\\n");
    lab_key(&lab, "below", "p256");
    lab_issue(&lab, "below", "noca", 300, "subjectAltName=DNS:below.test\\n");
    lab_run(&lab, "cat noca.pem >> below.pem");
    check_error("below", "it is not a CA");
}

static void too_long_chain_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "for i in 1 2 3 4 5 6; do cat good.pem; done > many.pem");
    check_error("many", "more than 10 certificates");
}

static void expired_certificate_is_a_warning(void **state)
{
    (void)state;
    lab_run(&lab,
            "mkdir -p db && : > db/index && echo 01 > db/serial && "
            "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=db/index\\nserial=db/serial\\n"
            "new_certs_dir=db\\ndefault_md=sha256\\npolicy=p\\nx509_extensions=x\\n"
            "[p]\\ncommonName=supplied\\n[x]\\nsubjectAltName=DNS:old.test\\n' > ca.cnf");
    lab_key(&lab, "old", "p256");
    lab_run(&lab, "openssl req -new -key old.key -subj /CN=old -out old.csr && "
                  "openssl ca -batch -config ca.cnf -cert middle.pem -keyfile middle.key "
                  "-startdate 20200101000000Z -enddate 20210101000000Z -notext "
                  "-in old.csr -out old.pem && cat middle.pem >> old.pem");
    check_warning("old", "days ago: clients will refuse it");
}

static void future_certificate_is_a_warning(void **state)
{
    (void)state;
    lab_key(&lab, "soon", "p256");
    lab_run(&lab, "openssl req -new -key soon.key -subj /CN=soon -out soon.csr && "
                  "openssl ca -batch -config ca.cnf -cert middle.pem -keyfile middle.key "
                  "-startdate 20490101000000Z -enddate 20600101000000Z -notext "
                  "-in soon.csr -out soon.pem && cat middle.pem >> soon.pem");
    check_warning("soon", "is not valid yet");
}

static void last_fifth_of_the_lifetime_is_a_warning(void **state)
{
    (void)state;
    lab_key(&lab, "late", "p256");
    lab_run(&lab, "openssl req -new -key late.key -subj /CN=late -out late.csr && "
                  "openssl ca -batch -config ca.cnf -cert middle.pem -keyfile middle.key "
                  "-startdate 20200101000000Z -enddate "
                  "$(date -u -d '+9 days +1 hour' +%%Y%%m%%d%%H%%M%%SZ) -notext "
                  "-in late.csr -out late.pem && cat middle.pem >> late.pem");
    check_warning("late", "expires in 9 days");
}

static void leaf_alone_is_a_warning(void **state)
{
    (void)state;
    lab_run(&lab, "openssl x509 -in good.pem -out alone.pem");
    check_warning("alone", "no intermediate certificate");
}

static void self_signed_leaf_alone_is_fine(void **state)
{
    struct outcome outcome;
    (void)state;
    lab_key(&lab, "self", "p256");
    lab_run(&lab, "openssl req -x509 -new -key self.key -out self.pem -days 100 "
                  "-subj /CN=self -addext subjectAltName=DNS:self.test");
    check(&outcome, "self");
    assert_true(outcome.usable);
    assert_int_equal(outcome.report.count, 0);
    done(&outcome);
}

static void common_name_counts_without_alternative_names(void **state)
{
    struct outcome outcome;
    (void)state;
    lab_key(&lab, "cn", "p256");
    lab_run(&lab, "openssl req -x509 -new -key cn.key -out cn.pem -days 100 "
                  "-subj /CN=Only.Name.test");
    check(&outcome, "cn");
    assert_int_equal(outcome.facts.name_count, 1);
    assert_string_equal(outcome.facts.names[0], "only.name.test");
    done(&outcome);
}

static void certificate_without_names_is_a_warning(void **state)
{
    (void)state;
    lab_key(&lab, "noname", "p256");
    lab_run(&lab, "openssl req -x509 -new -key noname.key -out noname.pem -days 100 "
                  "-subj '/O=no names here'");
    check_warning("noname", "not valid for any name");
}

static void partial_wildcard_is_not_served(void **state)
{
    (void)state;
    lab_chain(&lab, "partial", "p256", "DNS:www*.example.test");
    check_warning("partial", "has a name that cannot be served: \"www*.example.test\"");
}

static void certificate_for_clients_only_is_a_warning(void **state)
{
    (void)state;
    lab_key(&lab, "client", "p256");
    lab_issue(&lab, "client", "middle", 300,
              "subjectAltName=DNS:c.test\\nextendedKeyUsage=clientAuth\\n");
    lab_run(&lab, "cat middle.pem >> client.pem");
    check_warning("client", "not meant for servers");
}

static void private_key_in_the_chain_is_an_error(void **state)
{
    (void)state;
    lab_run(&lab, "cat good.pem good.key > both.pem");
    check_error("both", "holds a private key");
}

static void garbage_never_crashes(void **state)
{
    (void)state;
    size_t size = 0;
    char *good = lab_read(&lab, "good.pem", &size);
    unsigned seed = 7;
    lab_forget_sections(&lab);
    const struct config_certificate *section = lab_section(&lab, "good");
    for (int round = 0; round < 2000; round++) {
        struct leaf_facts facts = {0};
        struct report report = {0};
        char *text = malloc(size);
        assert_non_null(text);
        memcpy(text, good, size);
        for (int i = 0; i < 1 + round % 5; i++) {
            seed = seed * 1103515245u + 12345u;
            text[(seed >> 8) % size] =
                (char)("ABCDEFGHabcdefgh0123+/=-\n"[(seed >> 4) % 25]);
        }
        const size_t length = round % 3 == 0 ? (seed >> 6) % size : size;
        (void)certcheck_chain(&lab.config, section,
                              (struct blob){(const uint8_t *)text, length}, &facts,
                              &report);
        leaf_facts_close(&facts);
        report_close(&report);
        free(text);
    }
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_chain_is_usable_without_remarks),
        cmocka_unit_test(names_are_lower_case_dns_names_and_addresses),
        cmocka_unit_test(dates_are_those_of_the_certificate),
        cmocka_unit_test(spki_hash_is_that_of_the_key),
        cmocka_unit_test(leaf_hash_alone_is_the_same),
        cmocka_unit_test(every_served_key_type_is_recognised),
        cmocka_unit_test(short_rsa_key_is_an_error),
        cmocka_unit_test(long_rsa_key_is_an_error),
        cmocka_unit_test(unserved_curve_is_an_error),
        cmocka_unit_test(file_without_certificate_is_an_error),
        cmocka_unit_test(cut_file_is_an_error),
        cmocka_unit_test(damaged_base64_is_an_error),
        cmocka_unit_test(damaged_der_is_an_error),
        cmocka_unit_test(issuer_before_leaf_is_an_error),
        cmocka_unit_test(unrelated_certificate_in_the_chain_is_an_error),
        cmocka_unit_test(issuer_with_the_same_name_and_another_key_is_an_error),
        cmocka_unit_test(issuer_that_is_no_ca_is_an_error),
        cmocka_unit_test(too_long_chain_is_an_error),
        cmocka_unit_test(expired_certificate_is_a_warning),
        cmocka_unit_test(future_certificate_is_a_warning),
        cmocka_unit_test(last_fifth_of_the_lifetime_is_a_warning),
        cmocka_unit_test(leaf_alone_is_a_warning),
        cmocka_unit_test(self_signed_leaf_alone_is_fine),
        cmocka_unit_test(common_name_counts_without_alternative_names),
        cmocka_unit_test(certificate_without_names_is_a_warning),
        cmocka_unit_test(partial_wildcard_is_not_served),
        cmocka_unit_test(certificate_for_clients_only_is_a_warning),
        cmocka_unit_test(private_key_in_the_chain_is_an_error),
        cmocka_unit_test(garbage_never_crashes),
    };
    return cmocka_run_group_tests(tests, make, remove_all);
}
