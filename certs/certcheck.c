#include "certs/certcheck.h"

#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "certs/pem.h"

enum {
    CHAIN_COUNT_MAX = 10, /* what clients build paths from; also bounds our work */
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 4096,
    DAY_SECONDS = 24 * 60 * 60
};

struct chain {
    const struct config *config; /* borrowed, as is section */
    const struct config_certificate *section;
    struct report *report; /* borrowed */
    uint8_t *der;          /* owned: all certificates, one after another */
    size_t size;
    struct DecodedCert *parsed; /* owned: `count` initialised ones */
    bool readable[CHAIN_COUNT_MAX];
    size_t count;
};

static bool chain_read(struct chain *chain, struct blob pem);
static bool chain_add(struct chain *chain, const struct pem_block *block);
static bool chain_parse(struct chain *chain, size_t index);
static bool chain_check_order(const struct chain *chain);
static bool chain_check_link(const struct chain *chain, size_t index);
static void chain_close(struct chain *chain);
static bool leaf_read_key(const struct chain *chain, struct leaf_facts *facts);
static bool leaf_read_dates(const struct chain *chain, struct leaf_facts *facts);
static bool leaf_read_names(const struct chain *chain, struct leaf_facts *facts);
static void leaf_check_use(const struct chain *chain);
static bool spki_copy(const uint8_t *der, size_t size, struct leaf_facts *facts);

#define REPORT(chain, level, ...)                                                        \
    certcheck_report((chain)->report, level, (chain)->config, (chain)->section,          \
                     (chain)->section->chain_line, __VA_ARGS__)

bool certcheck_chain(const struct config *config,
                     const struct config_certificate *section, struct blob pem,
                     struct leaf_facts *facts, struct report *report)
{
    struct chain chain = {.config = config, .section = section, .report = report};
    bool usable = chain_read(&chain, pem);
    usable = usable && leaf_read_key(&chain, facts);
    usable = usable && leaf_read_dates(&chain, facts);
    usable = usable && leaf_read_names(&chain, facts);
    usable = usable && chain_check_order(&chain);
    if (usable) {
        const struct DecodedCert *leaf = &chain.parsed[0];
        static_assert(SERIAL_MAX_BYTES >= EXTERNAL_SERIAL_SIZE, "serials fit");
        facts->serial_size = leaf->serialSz > 0 ? (size_t)leaf->serialSz : 0;
        memcpy(facts->serial, leaf->serial, facts->serial_size);
        leaf_check_use(&chain);
        facts->chain = chain.der;
        facts->chain_size = chain.size;
        chain.der = NULL;
    }
    chain_close(&chain);
    return usable;
}

void leaf_facts_close(struct leaf_facts *facts)
{
    for (size_t i = 0; i < facts->name_count; i++)
        free(facts->names[i]);
    free(facts->names);
    free(facts->spki);
    free(facts->chain);
    *facts = (struct leaf_facts){0};
}

bool certcheck_leaf_hash(struct blob pem, uint8_t hash[SPKI_HASH_BYTES],
                         struct error *error)
{
    struct pem_block block;
    size_t offset = 0;
    enum pem_result result;
    do {
        result = pem_next(pem, &offset, &block);
    } while (result == PEM_BLOCK && !pem_is(&block, "CERTIFICATE"));
    if (result != PEM_BLOCK)
        return error_set(error, "there is no certificate in it");

    size_t size = pem_der_max(&block);
    uint8_t *der = malloc(size);
    struct leaf_facts facts = {0};
    const bool ok = der && pem_decode(&block, der, &size) && spki_copy(der, size, &facts);
    if (ok)
        memcpy(hash, facts.spki_hash, SPKI_HASH_BYTES);
    leaf_facts_close(&facts);
    free(der);
    return ok || error_set(error, "its certificate cannot be read");
}

void certcheck_report(struct report *report, enum report_level level,
                      const struct config *config,
                      const struct config_certificate *section, unsigned line,
                      const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *name = section->section.name;
    if (line == 0)
        line = section->section.line;
    if (name[0])
        report_add(report, level, config->file, line, "certificate \"%s\": %s", name,
                   text);
    else
        report_add(report, level, config->file, line, "certificate: %s", text);
}

const char *key_type_name(enum key_type type)
{
    switch (type) {
    case KEY_ECDSA_P256:
        return "ECDSA P-256";
    case KEY_ECDSA_P384:
        return "ECDSA P-384";
    case KEY_ED25519:
        return "Ed25519";
    case KEY_RSA:
        return "RSA";
    case KEY_TYPE_COUNT:
        break;
    }
    return "unknown";
}

/* Fails without a readable leaf.  Later certificates that the library cannot read are
 * sent as they are: clients may know more algorithms than we do. */
static bool chain_read(struct chain *chain, struct blob pem)
{
    const char *path = chain->section->chain;
    chain->der = malloc(pem.size + 1);
    chain->parsed = calloc(CHAIN_COUNT_MAX, sizeof *chain->parsed);
    if (!chain->der || !chain->parsed) {
        REPORT(chain, REPORT_FAULT, "no memory for \"%s\"", path);
        return false;
    }
    struct pem_block block;
    size_t offset = 0;
    enum pem_result result;
    while ((result = pem_next(pem, &offset, &block)) == PEM_BLOCK) {
        if (pem_is(&block, "CERTIFICATE") && !chain_add(chain, &block))
            return false;
        if (pem_is_private_key(&block)) {
            REPORT(chain, REPORT_FAULT,
                   "\"%s\" holds a private key, but is for processes that must never "
                   "have one; put the key into a file of its own",
                   path);
            return false;
        }
    }
    if (result == PEM_BROKEN) {
        REPORT(chain, REPORT_FAULT, "\"%s\" is damaged: a block in it has no end", path);
        return false;
    }
    if (chain->count == 0)
        REPORT(chain, REPORT_FAULT, "there is no certificate in \"%s\"", path);
    return chain->count > 0;
}

static bool chain_add(struct chain *chain, const struct pem_block *block)
{
    const char *path = chain->section->chain;
    if (chain->count == CHAIN_COUNT_MAX) {
        REPORT(chain, REPORT_FAULT, "more than %d certificates in \"%s\"",
               CHAIN_COUNT_MAX, path);
        return false;
    }
    uint8_t *der = chain->der + chain->size;
    size_t size = pem_der_max(block);
    if (!pem_decode(block, der, &size)) {
        REPORT(chain, REPORT_FAULT, "certificate %zu in \"%s\" is damaged",
               chain->count + 1, path);
        return false;
    }
    wc_InitDecodedCert(&chain->parsed[chain->count], der, (word32)size, NULL);
    chain->size += size;
    chain->count++;
    return chain_parse(chain, chain->count - 1);
}

static bool chain_parse(struct chain *chain, size_t index)
{
    const char *path = chain->section->chain;
    const int code = wc_ParseCert(&chain->parsed[index], CERT_TYPE, NO_VERIFY, NULL);
    chain->readable[index] = code == 0;
    if (code == 0)
        return true;
    if (index > 0) {
        REPORT(chain, REPORT_WARNING, "certificate %zu in \"%s\" is sent unchecked: %s",
               index + 1, path, wc_GetErrorString(code));
        return true;
    }
    if (code == ECC_CURVE_OID_E || code == ASN_UNKNOWN_OID_E)
        REPORT(chain, REPORT_FAULT,
               "the key in \"%s\" is of a kind that is not served: use ECDSA P-256 or "
               "P-384, Ed25519, or RSA",
               path);
    else
        REPORT(chain, REPORT_FAULT, "cannot read the certificate in \"%s\": %s", path,
               wc_GetErrorString(code));
    return false;
}

static bool chain_check_order(const struct chain *chain)
{
    const struct DecodedCert *leaf = &chain->parsed[0];
    if (chain->count == 1 && memcmp(leaf->subjectHash, leaf->issuerHash, KEYID_SIZE) != 0)
        REPORT(chain, REPORT_WARNING,
               "no intermediate certificate in \"%s\"; clients may not be able to build "
               "the chain",
               chain->section->chain);
    for (size_t i = 0; i + 1 < chain->count; i++) {
        if (chain->readable[i] && chain->readable[i + 1] && !chain_check_link(chain, i))
            return false;
    }
    return true;
}

/* Whether certificate `index` + 1 may have certified the one before it, as far as can be
 * said: its name is that of the issuer and its key verifies the signature.  Dates are
 * another matter; algorithms that the library does not have are left to the clients. */
static bool chain_check_link(const struct chain *chain, size_t index)
{
    const struct DecodedCert *lower = &chain->parsed[index];
    const struct DecodedCert *upper = &chain->parsed[index + 1];
    const char *path = chain->section->chain;
    if (memcmp(lower->issuerHash, upper->subjectHash, KEYID_SIZE) != 0) {
        REPORT(
            chain, REPORT_FAULT,
            "certificate %zu in \"%s\" is not the issuer of the one before it; the leaf "
            "comes first, then each issuer",
            index + 2, path);
        return false;
    }
    if (!upper->isCA && !upper->selfSigned) {
        REPORT(chain, REPORT_FAULT,
               "certificate %zu in \"%s\" may not issue certificates (it is not a CA)",
               index + 2, path);
        return false;
    }
    if (certcheck_is_signed_by(lower, upper))
        return true;
    REPORT(chain, REPORT_FAULT,
           "certificate %zu in \"%s\" has the name of the issuer of the one before it, "
           "but another key",
           index + 2, path);
    return false;
}

bool certcheck_is_signed_by(const struct DecodedCert *lower,
                            const struct DecodedCert *upper)
{
    WOLFSSL_CERT_MANAGER *manager = wolfSSL_CertManagerNew();
    if (!manager)
        return true;
    bool is_signed = true;
    if (wolfSSL_CertManagerLoadCABuffer_ex(
            manager, upper->source, (long)upper->maxIdx, WOLFSSL_FILETYPE_ASN1, 0,
            WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY) == WOLFSSL_SUCCESS) {
        struct DecodedCert child;
        wc_InitDecodedCert(&child, lower->source, lower->maxIdx, NULL);
        const int code = wc_ParseCert(&child, CERT_TYPE, VERIFY_SKIP_DATE, manager);
        is_signed = code != ASN_SIG_CONFIRM_E &&
                    !(code == ASN_NO_SIGNER_E && upper->extSubjKeyIdSet);
        wc_FreeDecodedCert(&child);
    }
    wolfSSL_CertManagerFree(manager);
    return is_signed;
}

static void chain_close(struct chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        wc_FreeDecodedCert(&chain->parsed[i]);
    free(chain->parsed);
    free(chain->der);
}

static int rsa_bits(const struct leaf_facts *facts)
{
    RsaKey key;
    word32 index = 0;
    if (wc_InitRsaKey(&key, NULL) != 0)
        return 0;
    int bits = 0;
    if (wc_RsaPublicKeyDecode(facts->spki, &index, &key, facts->spki_size) == 0)
        bits = wc_RsaEncryptSize(&key) * CHAR_BIT;
    wc_FreeRsaKey(&key);
    return bits;
}

static bool leaf_read_key(const struct chain *chain, struct leaf_facts *facts)
{
    const struct DecodedCert *leaf = &chain->parsed[0];
    const char *path = chain->section->chain;
    if (!spki_copy(leaf->source, leaf->maxIdx, facts)) {
        REPORT(chain, REPORT_FAULT, "cannot read the public key in \"%s\"", path);
        return false;
    }
    if (leaf->keyOID == ECDSAk && leaf->pkCurveOID == ECC_SECP256R1_OID) {
        facts->key_type = KEY_ECDSA_P256;
    } else if (leaf->keyOID == ECDSAk && leaf->pkCurveOID == ECC_SECP384R1_OID) {
        facts->key_type = KEY_ECDSA_P384;
    } else if (leaf->keyOID == ED25519k) {
        facts->key_type = KEY_ED25519;
    } else if (leaf->keyOID == RSAk) {
        facts->key_type = KEY_RSA;
        const int bits = rsa_bits(facts);
        if (bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)
            return true;
        REPORT(chain, REPORT_FAULT,
               "the RSA key in \"%s\" has %d bits; served are %d to %d", path, bits,
               RSA_BITS_MIN, RSA_BITS_MAX);
        return false;
    } else {
        REPORT(chain, REPORT_FAULT,
               "the key in \"%s\" is of a kind that is not served: use ECDSA P-256 or "
               "P-384, Ed25519, or RSA",
               path);
        return false;
    }
    return true;
}

static bool spki_copy(const uint8_t *der, size_t size, struct leaf_facts *facts)
{
    word32 length = 0;
    if (wc_GetSubjectPubKeyInfoDerFromCert(der, (word32)size, NULL, &length) != 0 ||
        length == 0)
        return false;
    facts->spki = malloc(length);
    facts->spki_size = length;
    return facts->spki &&
           wc_GetSubjectPubKeyInfoDerFromCert(der, (word32)size, facts->spki, &length) ==
               0 &&
           wc_Sha256Hash(facts->spki, length, facts->spki_hash) == 0;
}

bool certcheck_read_date(const uint8_t *field, int field_size, time_t *when)
{
    const byte *date = NULL;
    byte format = 0;
    int length = 0;
    struct tm calendar = {0};
    if (wc_GetDateInfo(field, field_size, &date, &format, &length) != 0 ||
        wc_GetDateAsCalendarTime(date, length, format, &calendar) != 0)
        return false;
    *when = timegm(&calendar);
    return true;
}

/* "3 days", "5 hours": what is left or gone, rounded down. */
static const char *span_words(time_t seconds, char *text, size_t size)
{
    const long days = (long)(seconds / DAY_SECONDS);
    const long hours = (long)(seconds / 3600);
    if (days >= 2)
        (void)snprintf(text, size, "%ld days", days);
    else if (hours >= 2)
        (void)snprintf(text, size, "%ld hours", hours);
    else
        (void)snprintf(text, size, "%ld minutes", (long)(seconds / 60));
    return text;
}

static bool leaf_read_dates(const struct chain *chain, struct leaf_facts *facts)
{
    const struct DecodedCert *leaf = &chain->parsed[0];
    const char *path = chain->section->chain;
    if (!certcheck_read_date(leaf->beforeDate, leaf->beforeDateLen, &facts->not_before) ||
        !certcheck_read_date(leaf->afterDate, leaf->afterDateLen, &facts->not_after)) {
        REPORT(chain, REPORT_FAULT, "cannot read the dates of the certificate in \"%s\"",
               path);
        return false;
    }
    const time_t now = time(NULL);
    const time_t left = facts->not_after - now;
    char words[64];
    if (left < 0)
        REPORT(chain, REPORT_WARNING, "\"%s\" expired %s ago: clients will refuse it",
               path, span_words(-left, words, sizeof words));
    else if (facts->not_before > now)
        REPORT(chain, REPORT_WARNING,
               "\"%s\" is not valid yet, only in %s: clients will refuse it", path,
               span_words(facts->not_before - now, words, sizeof words));
    else if (left < (facts->not_after - facts->not_before) / 5)
        REPORT(chain, REPORT_WARNING,
               "\"%s\" expires in %s, less than a fifth of its lifetime", path,
               span_words(left, words, sizeof words));
    return true;
}

/* A host name, or one below a wildcard that is the whole left label. */
static bool is_served_name(const char *name, size_t length)
{
    if (length >= 2 && name[0] == '*' && name[1] == '.') {
        name += 2;
        length -= 2;
    }
    if (length == 0 || length > 255 || name[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)name[i];
        if (!isalnum(c) && c != '-' && c != '.' && c != '_' && c != ':')
            return false;
    }
    return true;
}

static bool add_name(const struct chain *chain, struct leaf_facts *facts,
                     const char *name, size_t length)
{
    if (!is_served_name(name, length)) {
        REPORT(chain, REPORT_WARNING, "\"%s\" has a name that cannot be served: \"%.*s\"",
               chain->section->chain, (int)length, name);
        return true;
    }
    char *copy = strndup(name, length);
    char **names = realloc(facts->names, (facts->name_count + 1) * sizeof *names);
    if (names)
        facts->names = names;
    if (!copy || !names) {
        free(copy);
        REPORT(chain, REPORT_FAULT, "no memory for the names in \"%s\"",
               chain->section->chain);
        return false;
    }
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    facts->names[facts->name_count++] = copy;
    return true;
}

/* The subject's common name counts only where there are no alternative names (RFC 6125
 * section 6.4.4). */
static bool leaf_read_names(const struct chain *chain, struct leaf_facts *facts)
{
    const struct DecodedCert *leaf = &chain->parsed[0];
    bool has_san = false;
    for (const DNS_entry *entry = leaf->altNames; entry; entry = entry->next) {
        bool added = true;
        if (entry->type == ASN_DNS_TYPE)
            added = add_name(chain, facts, entry->name, (size_t)entry->len);
        else if (entry->type == ASN_IP_TYPE && entry->ipString)
            added = add_name(chain, facts, entry->ipString, strlen(entry->ipString));
        else
            continue;
        if (!added)
            return false;
        has_san = true;
    }
    if (!has_san && leaf->subjectCN && leaf->subjectCNLen > 0 &&
        is_served_name(leaf->subjectCN, (size_t)leaf->subjectCNLen) &&
        !add_name(chain, facts, leaf->subjectCN, (size_t)leaf->subjectCNLen))
        return false;
    if (facts->name_count == 0)
        REPORT(chain, REPORT_WARNING,
               "\"%s\" is not valid for any name; it serves only as the default",
               chain->section->chain);
    return true;
}

static void leaf_check_use(const struct chain *chain)
{
    const struct DecodedCert *leaf = &chain->parsed[0];
    if (leaf->extExtKeyUsageSet &&
        (leaf->extExtKeyUsage & (EXTKEYUSE_SERVER_AUTH | EXTKEYUSE_ANY)) == 0)
        REPORT(
            chain, REPORT_WARNING,
            "\"%s\" is not meant for servers (its extended key usage lacks serverAuth): "
            "clients will refuse it",
            chain->section->chain);
}
