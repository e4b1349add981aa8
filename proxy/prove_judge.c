/*
 * What the suites are worth that a server agreed to: one finding for each way in which a
 * suite can be bad, whether it was found or not.
 */
#include "proxy/prove_parts.h"
#include "proxy/prove_suites.h"

enum { DH_BITS_MIN = 2048 };

/* Suites that have one trait. */
struct suite_class {
    const char *id;
    enum prove_trait trait;
    enum prove_verdict verdict; /* if one of them is negotiable */
    const char *subject;
};

static const struct suite_class classes[] = {
    {"suite-static-rsa", SUITE_STATIC_RSA, PROVE_FAIL,
     "suites with RSA key exchange (not forward secret)"},
    {"suite-static-dh", SUITE_STATIC_DH, PROVE_FAIL,
     "suites with static Diffie-Hellman (not forward secret)"},
    {"suite-psk", SUITE_PSK, PROVE_FAIL,
     "suites with a pre-shared key alone (not forward secret)"},
    {"suite-cbc", SUITE_CBC, PROVE_FAIL, "CBC suites"},
    {"suite-null", SUITE_NULL, PROVE_FAIL, "suites without encryption (NULL)"},
    {"suite-anon", SUITE_ANON, PROVE_FAIL, "suites without authentication (anonymous)"},
    {"suite-export", SUITE_EXPORT, PROVE_FAIL, "export suites"},
    {"suite-rc4", SUITE_RC4, PROVE_FAIL, "RC4 suites"},
    {"suite-3des", SUITE_BLOCK64, PROVE_FAIL,
     "suites with 64-bit blocks (3DES, DES, RC2, IDEA)"},
    {"suite-dhe", SUITE_DHE, PROVE_WARN, "suites with finite-field Diffie-Hellman (DHE)"},
    {"suite-short-tag", SUITE_SHORT_TAG, PROVE_WARN, "suites with a short tag (CCM_8)"},
};

static void judge_modern(struct prove *prove);
static void judge_class(struct prove *prove, const struct suite_class *class);
static void judge_tls13(struct prove *prove);

void prove_judge_suites(struct prove *prove)
{
    judge_tls13(prove);
    judge_modern(prove);
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        judge_class(prove, &classes[i]);
}

static bool belongs(const struct suite_class *class, uint16_t suite)
{
    char text[PROVE_NAME_MAX];
    const unsigned traits = prove_suite_traits(prove_suite_name(suite, text));

    return (traits & class->trait) != 0;
}

/* Names the suites of `scan` that belong; returns how many there are. */
static size_t name_suites(struct prove *prove, const struct prove_scan *scan,
                          bool (*wanted)(const void *about, uint16_t suite),
                          const void *about)
{
    char text[PROVE_NAME_MAX];
    size_t count = 0;

    for (size_t i = 0; i < scan->count; i++) {
        if (!wanted(about, scan->suites[i]))
            continue;
        if (count == 0)
            prove_text_add(&prove->evidence,
                           "%s%s:", prove->evidence.length > 0 ? "; " : "",
                           prove_version_name(scan->version, text));
        prove_text_add(&prove->evidence, "%s %s", count > 0 ? "," : "",
                       prove_suite_name(scan->suites[i], text));
        count++;
    }
    return count;
}

static bool is_in_class(const void *about, uint16_t suite)
{
    return belongs(about, suite);
}

static bool is_modern(const void *about, uint16_t suite)
{
    char text[PROVE_NAME_MAX];
    (void)about;
    return prove_suite_is_modern(prove_suite_traits(prove_suite_name(suite, text)));
}

static bool is_integrity_only(const void *about, uint16_t suite)
{
    (void)about;
    return suite == 0xc0b4 || suite == 0xc0b5;
}

static void judge_tls13(struct prove *prove)
{
    if (prove->tls13.count == 0)
        return;
    if (name_suites(prove, &prove->tls13, is_integrity_only, NULL) > 0) {
        PROVE_ADD(prove, PROVE_FAIL, "suites-tls13",
                  "TLS 1.3 without encryption is negotiable");
    } else if (prove->tls13.is_complete) {
        prove_text_add(&prove->evidence,
                       "NULL_SHA256_SHA256 and NULL_SHA384_SHA384 offered; came back: %s",
                       prove->tls13.last);
        PROVE_ADD(prove, PROVE_OK, "suites-tls13", "TLS 1.3 always encrypts");
    }
}

static void judge_modern(struct prove *prove)
{
    const struct prove_scan *scan = &prove->scans[SCAN_TLS12];

    if (scan->count == 0)
        return;
    if (name_suites(prove, scan, is_modern, NULL) > 0)
        PROVE_ADD(prove, PROVE_OK, "suites-tls12",
                  "TLS 1.2 has forward-secret AEAD suites");
    else
        PROVE_ADD(prove, PROVE_FAIL, "suites-tls12",
                  "TLS 1.2 has no forward-secret AEAD suite (ECDHE)");
}

static bool scans_are_complete(const struct prove *prove)
{
    for (int i = 0; i < SCAN_VERSIONS; i++) {
        if (!prove->scans[i].is_complete)
            return false;
    }
    return true;
}

static size_t count_class(const struct suite_class *class)
{
    size_t count = 0;
    for (size_t i = 0; i < prove_suites_tls12_count; i++)
        count += belongs(class, prove_suites_tls12[i].id);
    return count;
}

static void judge_class(struct prove *prove, const struct suite_class *class)
{
    enum prove_verdict verdict = class->verdict;
    size_t count = 0;

    for (int i = SCAN_TLS12; i >= 0; i--)
        count += name_suites(prove, &prove->scans[i], is_in_class, class);
    if (count > 0) {
        if (class->trait == SUITE_DHE && prove->dh_bits_min > 0) {
            prove_text_add(&prove->evidence, "; prime of %u bits", prove->dh_bits_min);
            verdict = prove->dh_bits_min < DH_BITS_MIN ? PROVE_FAIL : verdict;
        }
        PROVE_ADD(prove, verdict, class->id, "%s are negotiable", class->subject);
        return;
    }
    const bool complete = scans_are_complete(prove);
    prove_text_add(&prove->evidence, "%zu suites offered with SSL 3.0 to TLS 1.2, %s",
                   count_class(class),
                   complete ? "none chosen"
                            : "none chosen, but not every hello was answered");
    PROVE_ADD(prove, complete ? PROVE_OK : PROVE_INFO, class->id, "%s %s", class->subject,
              complete ? "are refused" : "were not fully tested");
}
