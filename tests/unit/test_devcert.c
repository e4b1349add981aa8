/* Judged by the openssl command. */
#include "certs/devcert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs/certcheck.h"
#include "tests/unit/certs_lab.h"

static struct lab lab;
static char directory[128]; /* where the files are made */

static int start(void **state)
{
    (void)state;
    lab_open(&lab);
    (void)snprintf(directory, sizeof directory, "%s/state/pawl", lab.directory);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    lab_close(&lab);
    return 0;
}

static struct devcert ensure(void)
{
    struct devcert devcert;
    struct error error = {.text = ""};
    if (!devcert_ensure(directory, &devcert, &error))
        fail_msg("%s", error.text);
    return devcert;
}

static void check_mode(const char *path, unsigned mode)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, mode);
}

static void files_are_for_the_user_alone(void **state)
{
    (void)state;
    const struct devcert devcert = ensure();
    char ca_key[160];
    (void)snprintf(ca_key, sizeof ca_key, "%s/ca.key", directory);
    check_mode(directory, 0700);
    check_mode(devcert.key, 0600);
    check_mode(ca_key, 0600);
}

static void chain_is_valid_by_the_strict_rules(void **state)
{
    (void)state;
    (void)ensure();
    lab_run(&lab, "cd state/pawl && openssl verify -x509_strict -purpose sslserver "
                  "-CAfile ca.pem localhost.pem");
}

static void certificate_is_valid_for_every_name_of_localhost(void **state)
{
    (void)state;
    (void)ensure();
    lab_run(&lab, "cd state/pawl && for n in '-verify_hostname localhost' "
                  "'-verify_ip 127.0.0.1' '-verify_ip ::1'; "
                  "do openssl verify -CAfile ca.pem $n localhost.pem || exit 1; done");
}

/* Not every client takes a wildcard for a top-level name; openssl is one that does not.
 */
static void certificate_names_the_subdomains_of_localhost(void **state)
{
    (void)state;
    (void)ensure();
    lab_run(&lab,
            "openssl x509 -in state/pawl/localhost.pem -noout -ext subjectAltName | "
            "grep -qF 'DNS:*.localhost'");
}

static void certificate_is_valid_for_nothing_else(void **state)
{
    (void)state;
    (void)ensure();
    lab_run(&lab, "cd state/pawl && ! openssl verify -CAfile ca.pem -verify_hostname "
                  "example.test localhost.pem");
}

static void certificate_expires_before_browsers_object(void **state)
{
    (void)state;
    (void)ensure();
    lab_run(&lab,
            "cd state/pawl && openssl x509 -in localhost.pem -checkend $((395*86400)) "
            "&& ! openssl x509 -in localhost.pem -checkend $((397*86400))");
}

static void ca_may_sign_leaves_only(void **state)
{
    (void)state;
    (void)ensure();
    lab_run(&lab, "cd state/pawl && openssl x509 -in ca.pem -noout -text > t && "
                  "grep -q 'Basic Constraints: critical' t && "
                  "grep -q 'CA:TRUE, pathlen:0' t && grep -q 'Key Usage: critical' t && "
                  "grep -q 'Pawl development CA (' t");
}

static void key_belongs_to_the_certificate(void **state)
{
    (void)state;
    (void)ensure();
    lab_run(&lab, "cd state/pawl && openssl pkey -in localhost.key -pubout > a && "
                  "openssl x509 -in localhost.pem -noout -pubkey > b && cmp a b");
}

static void our_own_check_has_no_remarks(void **state)
{
    (void)state;
    struct devcert devcert = ensure();
    size_t size = 0;
    struct leaf_facts facts = {0};
    struct report report = {0};
    const struct config_certificate section = {.chain = devcert.chain};
    char *pem = lab_read(&lab, "state/pawl/localhost.pem", &size);
    assert_true(certcheck_chain(&lab.config, &section,
                                (struct blob){(const uint8_t *)pem, size}, &facts,
                                &report));
    assert_int_equal(report.count, 0);
    leaf_facts_close(&facts);
    report_close(&report);
    free(pem);
}

static void fingerprints_are_those_of_openssl(void **state)
{
    (void)state;
    const struct devcert devcert = ensure();
    lab_run(&lab,
            "openssl x509 -in state/pawl/localhost.pem -noout -fingerprint -sha256 | "
            "grep -q '=%s$'",
            devcert.fingerprint);
    lab_run(&lab,
            "openssl x509 -in state/pawl/ca.pem -noout -fingerprint -sha256 | "
            "grep -q '=%s$'",
            devcert.ca_fingerprint);
}

static void good_files_are_kept(void **state)
{
    (void)state;
    const struct devcert first = ensure();
    const struct devcert second = ensure();
    assert_string_equal(first.fingerprint, second.fingerprint);
    assert_string_equal(first.ca_fingerprint, second.ca_fingerprint);
}

/* After `damage`, the leaf must be new; the CA only if `ca_too`. */
static void check_renewal(const char *damage, bool ca_too)
{
    const struct devcert before = ensure();
    lab_run(&lab, "cd state/pawl && { %s; }", damage);
    const struct devcert after = ensure();
    assert_string_not_equal(before.fingerprint, after.fingerprint);
    if (ca_too)
        assert_string_not_equal(before.ca_fingerprint, after.ca_fingerprint);
    else
        assert_string_equal(before.ca_fingerprint, after.ca_fingerprint);
    lab_run(&lab, "cd state/pawl && openssl verify -CAfile ca.pem localhost.pem");
}

static void missing_key_renews_the_leaf(void **state)
{
    (void)state;
    check_renewal("rm localhost.key", false);
}

static void missing_certificate_renews_the_leaf(void **state)
{
    (void)state;
    check_renewal("rm localhost.pem", false);
}

static void damaged_certificate_renews_the_leaf(void **state)
{
    (void)state;
    check_renewal("head -c 400 localhost.pem > x && mv x localhost.pem", false);
}

static void key_of_another_certificate_renews_the_leaf(void **state)
{
    (void)state;
    check_renewal("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 "
                  "-out localhost.key",
                  false);
}

static void end_in_sight_renews_the_leaf(void **state)
{
    (void)state;
    check_renewal(
        "openssl req -new -key localhost.key -subj /CN=localhost -out r.csr && "
        "printf subjectAltName=DNS:localhost > r.ext && "
        "openssl x509 -req -in r.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
        "-days 29 -extfile r.ext -out localhost.pem && cat ca.pem >> localhost.pem",
        false);
}

static void leaf_of_another_ca_is_renewed(void **state)
{
    (void)state;
    check_renewal(
        "openssl req -x509 -new -key localhost.key -days 300 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -out localhost.pem",
        false);
}

static void missing_ca_key_renews_both(void **state)
{
    (void)state;
    check_renewal("rm ca.key", true);
}

static void damaged_ca_renews_both(void **state)
{
    (void)state;
    check_renewal("echo nonsense > ca.pem", true);
}

static void runs_at_once_agree(void **state)
{
    (void)state;
    enum { RUNS = 6 };
    pid_t pids[RUNS];
    for (int i = 0; i < RUNS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct devcert devcert;
            struct error error;
            char path[160];
            bool ok = devcert_ensure(directory, &devcert, &error);
            (void)snprintf(path, sizeof path, "%s/run%d", lab.directory, i);
            FILE *file = ok ? fopen(path, "w") : NULL;
            ok = file && fputs(devcert.fingerprint, file) >= 0 && fclose(file) == 0;
            _exit(ok ? 0 : 1);
        }
    }
    for (int i = 0; i < RUNS; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    lab_run(&lab, "for i in 1 2 3 4 5; do cmp run0 run$i || exit 1; done");
}

static void check_failure(const char *text)
{
    struct devcert devcert;
    struct error error = {.text = ""};
    assert_false(devcert_ensure(directory, &devcert, &error));
    if (!strstr(error.text, text))
        fail_msg("not \"%s\": %s", text, error.text);
}

static void directory_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    lab_run(&lab, "touch state");
    check_failure("cannot create the directory");
}

static void directory_that_others_write_to_is_refused(void **state)
{
    (void)state;
    lab_run(&lab, "mkdir -p state/pawl && chmod 777 state/pawl");
    check_failure("others may write to it");
}

static void file_in_place_of_the_directory_is_refused(void **state)
{
    (void)state;
    lab_run(&lab, "mkdir -p state && touch state/pawl");
    check_failure("it is not a directory");
}

static void failure_in_the_child_reaches_the_caller(void **state)
{
    (void)state;
    lab_run(&lab, "mkdir -p -m 700 state/pawl && mkdir -p state/pawl/ca.key.new/x");
    check_failure("cannot remove");
}

static void state_home_is_the_default_directory(void **state)
{
    (void)state;
    char path[256];
    struct error error = {.text = ""};
    assert_int_equal(setenv("XDG_STATE_HOME", "/some/where", 1), 0);
    assert_true(devcert_default_directory(path, sizeof path, &error));
    assert_string_equal(path, "/some/where/pawl");
}

static void home_is_used_without_a_state_home(void **state)
{
    (void)state;
    char path[256];
    struct error error = {.text = ""};
    assert_int_equal(setenv("XDG_STATE_HOME", "relative", 1), 0);
    assert_int_equal(setenv("HOME", "/home/me", 1), 0);
    assert_true(devcert_default_directory(path, sizeof path, &error));
    assert_string_equal(path, "/home/me/.local/state/pawl");
}

static void too_long_path_is_an_error(void **state)
{
    (void)state;
    char path[8];
    struct error error = {.text = ""};
    assert_int_equal(setenv("XDG_STATE_HOME", "/some/where", 1), 0);
    assert_false(devcert_default_directory(path, sizeof path, &error));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_for_the_user_alone),
        TEST(chain_is_valid_by_the_strict_rules),
        TEST(certificate_is_valid_for_every_name_of_localhost),
        TEST(certificate_names_the_subdomains_of_localhost),
        TEST(certificate_is_valid_for_nothing_else),
        TEST(certificate_expires_before_browsers_object),
        TEST(ca_may_sign_leaves_only),
        TEST(key_belongs_to_the_certificate),
        TEST(our_own_check_has_no_remarks),
        TEST(fingerprints_are_those_of_openssl),
        TEST(good_files_are_kept),
        TEST(missing_key_renews_the_leaf),
        TEST(missing_certificate_renews_the_leaf),
        TEST(damaged_certificate_renews_the_leaf),
        TEST(key_of_another_certificate_renews_the_leaf),
        TEST(end_in_sight_renews_the_leaf),
        TEST(leaf_of_another_ca_is_renewed),
        TEST(missing_ca_key_renews_both),
        TEST(damaged_ca_renews_both),
        TEST(runs_at_once_agree),
        TEST(directory_that_cannot_be_made_is_named),
        TEST(directory_that_others_write_to_is_refused),
        TEST(file_in_place_of_the_directory_is_refused),
        TEST(failure_in_the_child_reaches_the_caller),
        TEST(state_home_is_the_default_directory),
        TEST(home_is_used_without_a_state_home),
        TEST(too_long_path_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
