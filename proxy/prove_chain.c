/*
 * The certificates a server sends: order, dates, names, keys and signatures.  They come
 * from the network, so everything printed of them is made printable.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "certs/certcheck.h"
#include "proxy/prove_parts.h"

enum { RSA_BITS_MIN = 2048, DAY_SECONDS = 24 * 60 * 60, NAMES_SHOWN_MAX = 10 };

struct sent_chain {
    struct prove *prove;
    const struct prove_answer *answer; /* borrowed */
    struct DecodedCert parsed[PROVE_CHAIN_COUNT_MAX];
    int code[PROVE_CHAIN_COUNT_MAX]; /* of parsing; 0: read */
    const char *kind;                /* of the leaf's key */
};

static void report_chain(struct prove *prove, const struct prove_answer *answer);
static const char *key_words(const struct DecodedCert *leaf);
static void report_key(struct sent_chain *chain);
static void report_signature(struct sent_chain *chain);
static void report_dates(struct sent_chain *chain);
static void report_names(struct sent_chain *chain);
static void report_order(struct sent_chain *chain);
static void report_trust(struct prove *prove);
static void report_staple(struct prove *prove);

void prove_chain_report(struct prove *prove)
{
    for (size_t i = 0; i < prove->chain_count; i++)
        report_chain(prove, &prove->chains[i]);
    if (prove->chain_count == 0)
        PROVE_ADD(prove, PROVE_INFO, "certificate", "no certificate was seen");
    report_trust(prove);
    report_staple(prove);
}

static void report_chain(struct prove *prove, const struct prove_answer *answer)
{
    struct sent_chain *chain = calloc(1, sizeof *chain);
    const size_t count = answer->chain_count;

    if (!chain)
        return;
    chain->prove = prove;
    chain->answer = answer;
    for (size_t i = 0; i < count; i++) {
        const size_t at = answer->chain_at[i];
        wc_InitDecodedCert(&chain->parsed[i], answer->chain + at,
                           (word32)(answer->chain_at[i + 1] - at), NULL);
        chain->code[i] = wc_ParseCert(&chain->parsed[i], CERT_TYPE, NO_VERIFY, NULL);
    }
    if (chain->code[0] == 0) {
        chain->kind = key_words(&chain->parsed[0]);
        report_key(chain);
        report_signature(chain);
        report_dates(chain);
        report_names(chain);
        report_order(chain);
    } else {
        prove_text_add(&prove->evidence, "%zu bytes; the library says: %s",
                       answer->chain_at[1], wc_GetErrorString(chain->code[0]));
        PROVE_ADD(prove, PROVE_WARN, "certificate",
                  "the certificate could not be read, nor tested");
    }
    for (size_t i = 0; i < count; i++)
        wc_FreeDecodedCert(&chain->parsed[i]);
    free(chain);
}

/* 0: cannot be read. */
static int rsa_bits(const struct DecodedCert *leaf)
{
    const byte *modulus = NULL, *exponent = NULL;
    word32 index = 0, modulus_size = 0, exponent_size = 0;

    if (wc_RsaPublicKeyDecode_ex(leaf->publicKey, &index, leaf->pubKeySize, &modulus,
                                 &modulus_size, &exponent, &exponent_size) != 0)
        return 0;
    while (modulus_size > 0 && *modulus == 0) {
        modulus++;
        modulus_size--;
    }
    return modulus_size > INT_MAX / CHAR_BIT ? 0 : (int)modulus_size * CHAR_BIT;
}

/* What tells the certificates of a server apart. */
static const char *key_words(const struct DecodedCert *leaf)
{
    if (leaf->keyOID == RSAk || leaf->keyOID == RSAPSSk)
        return "RSA";
    if (leaf->keyOID == ED25519k)
        return "Ed25519";
    if (leaf->keyOID != ECDSAk)
        return "unknown kind of key";
    switch (leaf->pkCurveOID) {
    case ECC_SECP256R1_OID:
        return "ECDSA P-256";
    case ECC_SECP384R1_OID:
        return "ECDSA P-384";
    case ECC_SECP521R1_OID:
        return "ECDSA P-521";
    default:
        return "ECDSA with another curve";
    }
}

static void report_key(struct sent_chain *chain)
{
    struct prove *prove = chain->prove;
    const struct DecodedCert *leaf = &chain->parsed[0];
    enum prove_verdict verdict = PROVE_OK;

    prove_text_add(&prove->evidence, "%s", chain->kind);
    if (leaf->keyOID == RSAk || leaf->keyOID == RSAPSSk) {
        const int bits = rsa_bits(leaf);
        prove_text_add(&prove->evidence, ", %d bits", bits);
        verdict = bits >= RSA_BITS_MIN ? PROVE_OK : bits > 0 ? PROVE_FAIL : PROVE_INFO;
    } else if (leaf->keyOID != ECDSAk && leaf->keyOID != ED25519k) {
        verdict = PROVE_INFO;
    }
    PROVE_ADD(prove, verdict, "certificate-key",
              verdict == PROVE_FAIL ? "the certificate's key is too small"
              : verdict == PROVE_OK ? "the certificate's key is strong"
                                    : "the certificate's key was not judged");
}

static const char *signature_words(word32 algorithm, bool *weak)
{
    static const struct {
        word32 algorithm;
        const char *words;
        bool weak;
    } known[] = {
        {CTC_MD5wRSA, "MD5 with RSA", true},
        {CTC_SHAwRSA, "SHA-1 with RSA", true},
        {CTC_SHAwECDSA, "SHA-1 with ECDSA", true},
        {CTC_SHAwDSA, "SHA-1 with DSA", true},
        {CTC_SHA224wRSA, "SHA-224 with RSA", false},
        {CTC_SHA224wECDSA, "SHA-224 with ECDSA", false},
        {CTC_SHA256wRSA, "SHA-256 with RSA", false},
        {CTC_SHA256wECDSA, "SHA-256 with ECDSA", false},
        {CTC_SHA384wRSA, "SHA-384 with RSA", false},
        {CTC_SHA384wECDSA, "SHA-384 with ECDSA", false},
        {CTC_SHA512wRSA, "SHA-512 with RSA", false},
        {CTC_SHA512wECDSA, "SHA-512 with ECDSA", false},
        {CTC_RSASSAPSS, "RSA-PSS", false},
        {CTC_ED25519, "Ed25519", false},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].algorithm != algorithm)
            continue;
        *weak = *weak || known[i].weak;
        return known[i].words;
    }
    return "unknown";
}

/* A root's own signature is trusted for its key, not for its hash. */
static void report_signature(struct sent_chain *chain)
{
    struct prove *prove = chain->prove;
    bool weak = false;

    prove_text_add(&prove->evidence, "%s: ", chain->kind);
    for (size_t i = 0; i < chain->answer->chain_count; i++) {
        const struct DecodedCert *one = &chain->parsed[i];
        if (chain->code[i] != 0 || (i > 0 && one->selfSigned))
            continue;
        prove_text_add(&prove->evidence, "%s%s", i > 0 ? "; then " : "",
                       signature_words(one->signatureOID, &weak));
    }
    PROVE_ADD(prove, weak ? PROVE_FAIL : PROVE_OK, "certificate-signature",
              weak ? "the chain is signed with a broken hash"
                   : "the chain's signatures are sound");
}

static void report_dates(struct sent_chain *chain)
{
    struct prove *prove = chain->prove;
    const struct DecodedCert *leaf = &chain->parsed[0];
    time_t start = 0, end = 0;
    struct tm calendar;
    char words[32] = "?";

    if (!certcheck_read_date(leaf->beforeDate, leaf->beforeDateLen, &start) ||
        !certcheck_read_date(leaf->afterDate, leaf->afterDateLen, &end)) {
        PROVE_ADD(prove, PROVE_WARN, "certificate-dates",
                  "the certificate's dates cannot be read");
        return;
    }
    const time_t now = time(NULL);
    const long days = (long)((end - now) / DAY_SECONDS);
    if (gmtime_r(&end, &calendar))
        (void)strftime(words, sizeof words, "%Y-%m-%d %H:%M UTC", &calendar);
    prove_text_add(&prove->evidence, "%s: until %s, of %ld days in all", chain->kind,
                   words, (long)((end - start) / DAY_SECONDS));
    if (end < now)
        PROVE_ADD(prove, PROVE_FAIL, "certificate-dates",
                  "the certificate expired %ld days ago", -days);
    else if (start > now)
        PROVE_ADD(prove, PROVE_FAIL, "certificate-dates",
                  "the certificate is not valid yet");
    else
        PROVE_ADD(prove, end - now < (end - start) / 5 ? PROVE_WARN : PROVE_OK,
                  "certificate-dates", "the certificate is valid for %ld more days",
                  days);
}

/* Exact, or below a wildcard that is the whole left label: RFC 6125 section 6.4.3. */
static bool matches(const char *pattern, size_t length, const char *name)
{
    if (length > 2 && pattern[0] == '*' && pattern[1] == '.') {
        const char *dot = strchr(name, '.');
        return dot && dot != name && strlen(dot) == length - 1 &&
               strncasecmp(dot, pattern + 1, length - 1) == 0;
    }
    return strlen(name) == length && strncasecmp(pattern, name, length) == 0;
}

static void add_name(struct sent_chain *chain, size_t count, const char *name,
                     size_t length)
{
    struct prove_text *evidence = &chain->prove->evidence;

    if (count >= NAMES_SHOWN_MAX)
        return;
    prove_text_add(evidence, "%s", count > 0 ? ", " : "");
    prove_text_add_peer(evidence, name, length < 256 ? length : 256);
}

static void report_names(struct sent_chain *chain)
{
    struct prove *prove = chain->prove;
    const char *wanted = prove->target.name;
    bool found = false;
    size_t count = 0;

    prove_text_add(&prove->evidence, "%s: ", chain->kind);
    for (const DNS_entry *entry = chain->parsed[0].altNames; entry; entry = entry->next) {
        if (entry->type == ASN_DNS_TYPE && entry->len > 0) {
            add_name(chain, count++, entry->name, (size_t)entry->len);
            found = found || matches(entry->name, (size_t)entry->len, wanted);
        } else if (entry->type == ASN_IP_TYPE && entry->ipString) {
            add_name(chain, count++, entry->ipString, strlen(entry->ipString));
            found = found || strcmp(entry->ipString, wanted) == 0;
        }
    }
    if (count > NAMES_SHOWN_MAX)
        prove_text_add(&prove->evidence, " and %zu more", count - NAMES_SHOWN_MAX);
    if (count == 0)
        prove_text_add(&prove->evidence, "no name in subjectAltName");
    if (!wanted[0])
        PROVE_ADD(prove, PROVE_INFO, "certificate-names",
                  "names the certificate is for (none was asked for: --sni)");
    else
        PROVE_ADD(prove, found ? PROVE_OK : PROVE_FAIL, "certificate-names",
                  "the certificate is %s%s", found ? "for " : "not for ", wanted);
}

/* What is wrong with the certificate after `index`; NULL: nothing. */
static const char *link_fault(const struct sent_chain *chain, size_t index)
{
    const struct DecodedCert *lower = &chain->parsed[index];
    const struct DecodedCert *upper = &chain->parsed[index + 1];

    if (chain->code[index + 1] != 0)
        return NULL; /* a kind of certificate that clients may well know */
    if (memcmp(lower->issuerHash, upper->subjectHash, KEYID_SIZE) != 0)
        return "is not the issuer of the one before it";
    if (!upper->isCA && !upper->selfSigned)
        return "may not issue certificates";
    return certcheck_is_signed_by(lower, upper) ? NULL : "did not sign the one before it";
}

static void report_order(struct sent_chain *chain)
{
    struct prove *prove = chain->prove;
    const size_t count = chain->answer->chain_count;
    const char *fault = NULL;
    size_t unread = 0;
    size_t at = 0;

    for (size_t i = 0; i + 1 < count && !fault; i++) {
        unread += chain->code[i + 1] != 0;
        fault = chain->code[i] == 0 ? link_fault(chain, i) : NULL;
        at = i + 2;
    }
    prove_text_add(&prove->evidence, "%s: %zu certificate%s sent", chain->kind, count,
                   count == 1 ? "" : "s");
    if (fault)
        prove_text_add(&prove->evidence, "; number %zu %s", at, fault);
    if (unread > 0)
        prove_text_add(&prove->evidence, "; %zu could not be read", unread);
    if (fault)
        PROVE_ADD(prove, PROVE_WARN, "certificate-chain", "the chain is out of order");
    else if (chain->parsed[0].selfSigned)
        PROVE_ADD(prove, PROVE_WARN, "certificate-chain",
                  "the certificate is self-signed");
    else if (count == 1)
        PROVE_ADD(prove, PROVE_WARN, "certificate-chain", "no intermediate is sent");
    else
        PROVE_ADD(prove, PROVE_OK, "certificate-chain",
                  "each certificate signs the one before");
}

static void report_trust(struct prove *prove)
{
    const char *ca = prove->target.ca;

    if (!ca) {
        prove_text_add(&prove->evidence, "no --ca given");
        PROVE_ADD(prove, PROVE_INFO, "certificate-trust", "trust was not tested");
    } else if (!prove->trust_is_known) {
        prove_text_add(&prove->evidence,
                       "no handshake of the library succeeded with \"%s\"", ca);
        PROVE_ADD(prove, PROVE_INFO, "certificate-trust", "trust was not tested");
    } else if (prove->trust_error == 0) {
        prove_text_add(&prove->evidence, "verified against \"%s\"", ca);
        PROVE_ADD(prove, PROVE_OK, "certificate-trust", "the chain is trusted");
    } else {
        prove_text_add(&prove->evidence, "verified against \"%s\": %s", ca,
                       wc_GetErrorString(prove->trust_error));
        PROVE_ADD(prove, PROVE_FAIL, "certificate-trust", "the chain is not trusted");
    }
}

static void report_staple(struct prove *prove)
{
    if (prove->scans[SCAN_TLS12].count == 0) {
        prove_text_add(&prove->evidence, "TLS 1.3 alone, which sends it encrypted");
        PROVE_ADD(prove, PROVE_INFO, "ocsp-staple", "OCSP stapling was not tested");
    } else if (prove->staple_len > 0) {
        prove_text_add(&prove->evidence, "CertificateStatus of %zu bytes in TLS 1.2",
                       prove->staple_len);
        PROVE_ADD(prove, PROVE_INFO, "ocsp-staple", "an OCSP response is stapled");
    } else {
        prove_text_add(&prove->evidence, "status_request offered with TLS 1.2; no "
                                         "CertificateStatus came back");
        PROVE_ADD(prove, PROVE_INFO, "ocsp-staple", "no OCSP response is stapled");
    }
}
