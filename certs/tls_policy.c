#include "certs/tls_policy.h"

#include <string.h>

#include <wolfssl/wolfcrypt/error-crypt.h>

/* The library's names for the suites of each cipher: TLS 1.3, and TLS 1.2 with an ECDSA
 * and with an RSA certificate.  The draft ChaCha20 suites that the library also holds are
 * left out by not being named. */
enum {
    SUITE_FORMS = 3,
    SUITE_COUNT = SUITE_FORMS * CIPHER_COUNT,
    SUITES_TEXT_MAX = 1024
};

static const char *const suites[CIPHER_COUNT][SUITE_FORMS] = {
    [CIPHER_AES_128_GCM] = {"TLS13-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
                            "ECDHE-RSA-AES128-GCM-SHA256"},
    [CIPHER_AES_256_GCM] = {"TLS13-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384",
                            "ECDHE-RSA-AES256-GCM-SHA384"},
    [CIPHER_CHACHA20_POLY1305] = {"TLS13-CHACHA20-POLY1305-SHA256",
                                  "ECDHE-ECDSA-CHACHA20-POLY1305",
                                  "ECDHE-RSA-CHACHA20-POLY1305"},
};

/* The library's number and name of each group. */
static const struct {
    int number;
    const char *name;
} groups[GROUP_COUNT] = {
    [GROUP_X25519MLKEM768] = {WOLFSSL_X25519MLKEM768, "X25519MLKEM768"},
    [GROUP_X25519] = {WOLFSSL_ECC_X25519, "X25519"},
    [GROUP_SECP256R1] = {WOLFSSL_ECC_SECP256R1, "SECP256R1"},
};

/* Everything Pawl speaks. */
const struct config_tls tls_policy_widest = {
    .window_ms = 3600000,
    .tls12_max_lifetime_ms = 3600000,
    .min_version = TLS_1_2,
    .suites = {{CIPHER_AES_128_GCM, CIPHER_AES_256_GCM, CIPHER_CHACHA20_POLY1305},
               CIPHER_COUNT},
    .groups = {{GROUP_X25519MLKEM768, GROUP_X25519, GROUP_SECP256R1}, GROUP_COUNT},
};

/* Whether a macro of the library's configuration is defined: an undefined one expands to
 * its own name. */
#define EXPANSION_(text) #text
#define EXPANSION(macro) EXPANSION_(macro)
#define BUILT(claim, macro)                                                              \
    {                                                                                    \
        claim, #macro, EXPANSION(macro), true                                            \
    }
#define ABSENT(claim, macro)                                                             \
    {                                                                                    \
        claim, #macro, EXPANSION(macro), false                                           \
    }

struct build_fact {
    const char *claim;
    const char *macro;
    const char *expansion;
    bool defined; /* what the claim needs */
};

static const struct build_fact build_facts[] = {
    BUILT("TLS 1.3", WOLFSSL_TLS13),
    BUILT("AEAD suites only, no CBC in the record layer", WOLFSSL_AEAD_ONLY),
    BUILT("no CBC in the library at all", NO_AES_CBC),
    BUILT("no TLS 1.0 or 1.1", NO_OLD_TLS),
    BUILT("no pre-shared keys of outsiders", NO_PSK),
    BUILT("no finite-field Diffie-Hellman", NO_DH),
    BUILT("no RC4", NO_RC4),
    BUILT("no DES", NO_DES3),
    BUILT("no MD5", NO_MD5),
    ABSENT("no RSA key exchange", WOLFSSL_STATIC_RSA),
    ABSENT("no static Diffie-Hellman", WOLFSSL_STATIC_DH),
    ABSENT("no suites without encryption", HAVE_NULL_CIPHER),
    ABSENT("no suites without authentication", HAVE_ANON),
    ABSENT("no renegotiation", HAVE_SECURE_RENEGOTIATION),
    ABSENT("no 0-RTT data", WOLFSSL_EARLY_DATA),
    ABSENT("no key log", HAVE_SECRET_CALLBACK),
    ABSENT("no asynchronous crypto (its event queue outlives connections)",
           WOLFSSL_ASYNC_CRYPT),
    BUILT("no ticket keys but our own", WOLFSSL_NO_DEF_TICKET_ENC_CB),
    BUILT("extended master secret", HAVE_EXTENDED_MASTER),
    BUILT("X25519MLKEM768", WOLFSSL_PQC_HYBRIDS),
    BUILT("ML-KEM", WOLFSSL_HAVE_MLKEM),
    BUILT("X25519", HAVE_CURVE25519),
    BUILT("no curves but those named", ECC_USER_CURVES),
    BUILT("signing outside of the library", HAVE_PK_CALLBACKS),
    BUILT("RSA blinding", WC_RSA_BLINDING),
    BUILT("constant-time elliptic curves", ECC_TIMING_RESISTANT),
    BUILT("one thread, no locks", SINGLE_THREADED),
};

#if defined(__x86_64__)
static const struct build_fact assembly_facts[] = {
    BUILT("assembly for RSA and P-256", WOLFSSL_SP_X86_64_ASM),
    BUILT("assembly for hashes and ChaCha20", USE_INTEL_SPEEDUP),
    BUILT("AES instructions", WOLFSSL_AESNI),
};
#elif defined(__aarch64__)
static const struct build_fact assembly_facts[] = {
    BUILT("assembly for RSA and P-256", WOLFSSL_SP_ARM64_ASM),
    BUILT("assembly for AES, hashes and ChaCha20", WOLFSSL_ARMASM),
};
#else
static const struct build_fact assembly_facts[] = {
    BUILT("assembly for RSA and P-256", WOLFSSL_SP_ASM),
};
#endif

#if defined(__x86_64__)
static bool cpu_has_aes(void)
{
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
}
#else
static bool cpu_has_aes(void)
{
    return true;
}
#endif

static bool apply_suites(WOLFSSL_CTX *context, const struct config_tls *tls,
                         struct error *error);
static bool apply_groups(WOLFSSL_CTX *context, const struct config_tls *tls,
                         struct error *error);
static bool apply_resumption(WOLFSSL_CTX *context, const struct config_tls *tls,
                             struct error *error);
static bool find_cipher(const char *suite, struct tls_outcome *outcome);
static bool is_built(const struct build_fact *fact);
static void say(FILE *out, struct report *report, bool holds, enum report_level level,
                const char *claim, const char *evidence);
static void check_version(FILE *out, struct report *report);
static void check_suites(FILE *out, struct report *report);
static void check_policy(FILE *out, struct report *report);

bool tls_policy_apply(WOLFSSL_CTX *context, const struct config_tls *tls,
                      struct error *error)
{
    const int version = tls->min_version == TLS_1_3 ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;

    if (wolfSSL_CTX_SetMinVersion(context, version) != WOLFSSL_SUCCESS)
        return error_set(error, "cannot set the least version of TLS");
    return apply_suites(context, tls, error) && apply_groups(context, tls, error) &&
           apply_resumption(context, tls, error);
}

bool tls_policy_holds(WOLFSSL *ssl, const struct config_tls *tls,
                      struct tls_outcome *outcome, struct error *error)
{
    const char *group = wolfSSL_get_curve_name(ssl);
    const char *suite = wolfSSL_get_cipher_name(ssl);

    outcome->version = wolfSSL_version(ssl) == TLS1_3_VERSION ? TLS_1_3 : TLS_1_2;
    outcome->resumed = wolfSSL_session_reused(ssl) != 0;
    if (outcome->version < tls->min_version)
        return error_set(error, "TLS 1.2 was negotiated, which min_version excludes");
    if (!find_cipher(suite, outcome))
        return error_set(error, "suite %s was negotiated, which is none of ours",
                         suite ? suite : "(none)");
    for (size_t i = 0; group && i < tls->groups.count; i++) {
        outcome->group = (enum tls_group)tls->groups.items[i];
        if (strcmp(group, groups[outcome->group].name) == 0)
            return true;
    }
    return error_set(error, "group %s was negotiated, which groups excludes",
                     group ? group : "(none)");
}

static bool find_cipher(const char *suite, struct tls_outcome *outcome)
{
    for (size_t i = 0; suite && i < SUITE_COUNT; i++) {
        outcome->cipher = (enum tls_cipher)(i / SUITE_FORMS);
        if (strcmp(suite, suites[i / SUITE_FORMS][i % SUITE_FORMS]) == 0)
            return true;
    }
    return false;
}

void tls_policy_self_check(FILE *out, struct report *report)
{
    check_version(out, report);
    for (size_t i = 0; i < sizeof build_facts / sizeof build_facts[0]; i++) {
        const struct build_fact *fact = &build_facts[i];
        say(out, report, is_built(fact) == fact->defined, REPORT_ERROR, fact->claim,
            fact->macro);
    }
    /* Without assembly everything works, several times slower: a fault of the build on
     * the machine we know, a remark on the others. */
    const enum report_level level =
        is_built(&assembly_facts[0]) ? REPORT_ERROR : REPORT_WARNING;
    for (size_t i = 0; i < sizeof assembly_facts / sizeof assembly_facts[0]; i++) {
        const struct build_fact *fact = &assembly_facts[i];
        say(out, report, is_built(fact), level, fact->claim, fact->macro);
    }
    say(out, report, cpu_has_aes(), REPORT_WARNING, "this processor has AES instructions",
        "cpuid");
    check_suites(out, report);
    check_policy(out, report);
}

static bool apply_suites(WOLFSSL_CTX *context, const struct config_tls *tls,
                         struct error *error)
{
    char list[SUITES_TEXT_MAX];
    size_t length = 0;
    for (size_t form = 0; form < SUITE_FORMS; form++) {
        for (size_t i = 0; i < tls->suites.count; i++) {
            const int written =
                snprintf(list + length, sizeof list - length, "%s%s",
                         length > 0 ? ":" : "", suites[tls->suites.items[i]][form]);
            length += (size_t)written;
            if (length >= sizeof list)
                return error_set(error, "the list of cipher suites is too long");
        }
    }
    if (wolfSSL_CTX_set_cipher_list(context, list) != WOLFSSL_SUCCESS)
        return error_set(error, "cannot set the cipher suites %s", list);
    return true;
}

static bool apply_groups(WOLFSSL_CTX *context, const struct config_tls *tls,
                         struct error *error)
{
    int numbers[GROUP_COUNT];
    for (size_t i = 0; i < tls->groups.count; i++)
        numbers[i] = groups[tls->groups.items[i]].number;
    if (wolfSSL_CTX_set_groups(context, numbers, (int)tls->groups.count) !=
        WOLFSSL_SUCCESS)
        return error_set(error, "cannot set the groups");
    return true;
}

/* Every resumption mixes in a fresh key share.  TLS 1.2 cannot, so it never resumes:
 * neither from tickets nor from the session cache.  TLS 1.3 tickets get their keys by
 * ticket_keys_attach. */
static bool apply_resumption(WOLFSSL_CTX *context, const struct config_tls *tls,
                             struct error *error)
{
    if (wolfSSL_CTX_only_dhe_psk(context) != 0)
        return error_set(error, "cannot require a key share for resumption");
    if (wolfSSL_CTX_NoTicketTLSv12(context) != WOLFSSL_SUCCESS)
        return error_set(error, "cannot turn off TLS 1.2 tickets");
    if (wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF) !=
        WOLFSSL_SUCCESS)
        return error_set(error, "cannot turn off the session cache");
    if (!tls->tickets && wolfSSL_CTX_no_ticket_TLSv13(context) != 0)
        return error_set(error, "cannot turn off TLS 1.3 tickets");
    return true;
}

static bool is_built(const struct build_fact *fact)
{
    return strcmp(fact->macro, fact->expansion) != 0;
}

static void say(FILE *out, struct report *report, bool holds, enum report_level level,
                const char *claim, const char *evidence)
{
    if (out)
        (void)fprintf(out, "%-8s%s (%s)\n", holds ? "ok" : "MISSING", claim, evidence);
    if (!holds)
        report_add(report, level, NULL, 0, "the TLS library lacks a property: %s (%s)",
                   claim, evidence);
}

static void check_version(FILE *out, struct report *report)
{
    const char *linked = wolfSSL_lib_version();
    const bool matches =
        strcmp(linked, "5.9.2") == 0 && strcmp(LIBWOLFSSL_VERSION_STRING, "5.9.2") == 0;
    say(out, report, matches, REPORT_ERROR, "wolfSSL 5.9.2", linked);
}

static bool is_wanted(const char *name)
{
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (strcmp(name, suites[i / SUITE_FORMS][i % SUITE_FORMS]) == 0)
            return true;
    }
    return false;
}

/* The only suites beyond ours that the library cannot be built without; no context of
 * ours names them. */
static bool is_draft_chacha(const char *name)
{
    const size_t length = strlen(name);
    return strstr(name, "CHACHA20-POLY1305") && length > 4 &&
           strcmp(name + length - 4, "-OLD") == 0;
}

/* The list of the linked library itself, not of its headers. */
static void check_suites(FILE *out, struct report *report)
{
    char names[4096];
    if (wolfSSL_get_ciphers(names, sizeof names) != WOLFSSL_SUCCESS) {
        say(out, report, false, REPORT_ERROR, "a readable list of suites", "too long");
        return;
    }
    size_t found = 0;
    char *rest = NULL;
    for (char *name = strtok_r(names, ":", &rest); name;
         name = strtok_r(NULL, ":", &rest)) {
        found += is_wanted(name);
        if (!is_wanted(name) && !is_draft_chacha(name))
            say(out, report, false, REPORT_ERROR, "no suites but ephemeral AEAD ones",
                name);
    }
    say(out, report, found == SUITE_COUNT, REPORT_ERROR, "all suites of the policy",
        "list of the library");
}

static void check_policy(FILE *out, struct report *report)
{
    struct error error = {.text = "no memory"};
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    const bool applied = context && tls_policy_apply(context, &tls_policy_widest, &error);
    say(out, report, applied, REPORT_ERROR, "the policy can be applied",
        applied ? "tried" : error.text);
    wolfSSL_CTX_free(context);
}
