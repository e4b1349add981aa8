#include "certs/client_policy.h"

#include <stdlib.h>
#include <string.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "certs/client.h"
#include "certs/pem.h"

enum { DER_SEQUENCE = 0x30 };

/* A file of a policy while it is put on a context. */
struct loading {
    WOLFSSL_CTX *context;
    const char *path;
    struct error *error;
    int (*load)(WOLFSSL_CTX *context, const uint8_t *der, long size);
    const char *label; /* of the PEM blocks to load */
    const char *thing; /* what they are, in words */
    unsigned expired;  /* those that were left out because they are */
};

static bool check_policy(const struct config *config, const struct config_clients *policy,
                         const struct bundle *bundle, struct report *report);
static bool load_authorities(WOLFSSL_CTX *context, const char *path, struct blob file,
                             unsigned *expired, struct error *error);
static bool load_revocations(WOLFSSL_CTX *context, const char *path, struct blob file,
                             unsigned *expired, struct error *error);
static bool load_blocks(struct loading *loading, struct blob file);
static bool load_block(struct loading *loading, const struct pem_block *block,
                       unsigned number);
static bool load_der(struct loading *loading, const uint8_t *der, size_t size,
                     unsigned number);
static int load_ca(WOLFSSL_CTX *context, const uint8_t *der, long size);
static int load_crl(WOLFSSL_CTX *context, const uint8_t *der, long size);

bool client_policy_check(const struct config *config, const struct bundle *bundle,
                         struct report *report)
{
    bool good = true;
    for (size_t i = 0; i < config->clients_count; i++)
        good = check_policy(config, &config->clients[i], bundle, report) && good;
    return good;
}

bool client_policy_attach(WOLFSSL_CTX *context, const struct config_clients *policy,
                          const struct bundle *bundle, struct error *error)
{
    const struct blob ca = bundle_find(bundle, policy->ca);
    int mode = WOLFSSL_VERIFY_PEER;
    unsigned expired = 0;

    if (policy->mode == CLIENTS_REQUIRED)
        mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    wolfSSL_CTX_set_verify(context, mode, client_on_verify);
    if (wolfSSL_CTX_no_ticket_TLSv13(context) != 0)
        return error_set(error, "cannot turn off TLS 1.3 tickets");
    if (!load_authorities(context, policy->ca, ca, &expired, error))
        return false;
    return !policy->crl ||
           load_revocations(context, policy->crl, bundle_find(bundle, policy->crl),
                            &expired, error);
}

static bool hash_bytes(wc_Sha256 *sha, const void *bytes, size_t size)
{
    /* The length keeps neighbours apart. */
    const uint64_t length = size;
    return wc_Sha256Update(sha, (const uint8_t *)&length, sizeof length) == 0 &&
           wc_Sha256Update(sha, bytes, (word32)size) == 0;
}

static bool hash_list(wc_Sha256 *sha, const struct text_list *list)
{
    bool ok = hash_bytes(sha, &list->count, sizeof list->count);
    for (size_t i = 0; ok && i < list->count; i++)
        ok = hash_bytes(sha, list->items[i], strlen(list->items[i]));
    return ok;
}

bool client_policy_hash(const struct config_clients *policy, const struct bundle *bundle,
                        uint8_t hash[CLIENT_POLICY_HASH_BYTES])
{
    const struct blob ca = bundle_find(bundle, policy->ca);
    const struct blob crl =
        policy->crl ? bundle_find(bundle, policy->crl) : (struct blob){0};
    const struct text_list *const lists[] = {&policy->allow_cn, &policy->allow_dns,
                                             &policy->allow_uri, &policy->allow_email};
    wc_Sha256 sha;
    if (wc_InitSha256(&sha) != 0)
        return false;
    bool ok = hash_bytes(&sha, policy->section.name, strlen(policy->section.name)) &&
              hash_bytes(&sha, &policy->mode, sizeof policy->mode) &&
              hash_bytes(&sha, ca.data, ca.size) &&
              hash_bytes(&sha, crl.data ? crl.data : (const uint8_t *)"", crl.size);
    for (size_t i = 0; ok && i < sizeof lists / sizeof lists[0]; i++)
        ok = hash_list(&sha, lists[i]);
    for (size_t i = 0; ok && i < policy->allow_ip.count; i++) {
        const struct network *network = &policy->allow_ip.items[i];
        ok = hash_bytes(&sha, network->address, sizeof network->address) &&
             hash_bytes(&sha, &network->bits, sizeof network->bits);
    }
    ok = ok && wc_Sha256Final(&sha, hash) == 0;
    wc_Sha256Free(&sha);
    return ok;
}

/* Tries the files on a context of their own. */
static bool check_policy(const struct config *config, const struct config_clients *policy,
                         const struct bundle *bundle, struct report *report)
{
    struct error error = {.text = "out of memory"};
    struct blob ca = {0};
    struct blob crl = {0};
    unsigned expired = 0;
    unsigned crl_expired = 0;

    if (policy->ca)
        ca = bundle_find(bundle, policy->ca);
    if (policy->crl)
        crl = bundle_find(bundle, policy->crl);
    /* An empty blob stands for a file that could not be read. */
    if (ca.size == 0 || (policy->crl && crl.size == 0))
        return false;
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (context)
        wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, NULL);
    const bool ca_good =
        context && load_authorities(context, policy->ca, ca, &expired, &error);
    const bool good =
        ca_good && (!policy->crl ||
                    load_revocations(context, policy->crl, crl, &crl_expired, &error));
    if (!good)
        report_add(report, REPORT_ERROR, config->file,
                   ca_good ? policy->crl_line : policy->ca_line, "clients \"%s\": %s",
                   policy->section.name, error.text);
    if (expired > 0)
        report_add(report, REPORT_WARNING, config->file, policy->ca_line,
                   "clients \"%s\": %u of the authorities in \"%s\" have expired or are "
                   "not valid yet; nobody whom they certify is accepted",
                   policy->section.name, expired, policy->ca);
    if (crl_expired > 0)
        report_add(
            report, REPORT_WARNING, config->file, policy->crl_line,
            "clients \"%s\": %u of the revocation lists in \"%s\" are out of date; "
            "nobody whom they could name is accepted",
            policy->section.name, crl_expired, policy->crl);
    wolfSSL_CTX_free(context);
    return good;
}

static bool load_authorities(WOLFSSL_CTX *context, const char *path, struct blob file,
                             unsigned *expired, struct error *error)
{
    struct loading loading = {.context = context,
                              .path = path,
                              .error = error,
                              .load = load_ca,
                              .label = "CERTIFICATE",
                              .thing = "certificate"};
    const bool ok = load_blocks(&loading, file);
    *expired = loading.expired;
    return ok;
}

/* Only the client's own certificate is looked up: an authority above it that is revoked
 * has to be taken out of the file of authorities. */
static bool load_revocations(WOLFSSL_CTX *context, const char *path, struct blob file,
                             unsigned *expired, struct error *error)
{
    struct loading loading = {.context = context,
                              .path = path,
                              .error = error,
                              .load = load_crl,
                              .label = "X509 CRL",
                              .thing = "revocation list"};
    if (wolfSSL_CTX_EnableCRL(context, 0) != WOLFSSL_SUCCESS)
        return error_set(error, "cannot turn on revocation lists");
    const bool is_der = file.size > 0 && file.data[0] == DER_SEQUENCE;
    const bool ok = is_der ? load_der(&loading, file.data, file.size, 1)
                           : load_blocks(&loading, file);
    *expired = loading.expired;
    return ok;
}

static bool load_blocks(struct loading *loading, struct blob file)
{
    struct pem_block block;
    size_t offset = 0;
    unsigned count = 0;
    enum pem_result found = PEM_END;
    while (file.data && (found = pem_next(file, &offset, &block)) == PEM_BLOCK) {
        if (pem_is_private_key(&block))
            return error_set(loading->error,
                             "\"%s\" holds a private key, which no process that faces "
                             "the network may get",
                             loading->path);
        if (!pem_is(&block, loading->label))
            continue;
        if (!load_block(loading, &block, ++count))
            return false;
    }
    if (found == PEM_BROKEN)
        return error_set(loading->error, "\"%s\" ends within a block", loading->path);
    return count > 0 || error_set(loading->error, "\"%s\" holds no %s in PEM",
                                  loading->path, loading->thing);
}

static bool load_block(struct loading *loading, const struct pem_block *block,
                       unsigned number)
{
    size_t size = pem_der_max(block);
    uint8_t *der = malloc(size);
    if (!der)
        return error_set(loading->error, "out of memory");
    /* What cannot be decoded is nothing that could be loaded. */
    if (!pem_decode(block, der, &size))
        size = 0;
    const bool ok = load_der(loading, der, size, number);
    free(der);
    return ok;
}

/* The library looks at dates here, of an authority never again: what is out of date is
 * left out.  Nobody gets in by its word then, which is the safe side. */
static bool load_der(struct loading *loading, const uint8_t *der, size_t size,
                     unsigned number)
{
    const int result =
        size > 0 ? loading->load(loading->context, der, (long)size) : ASN_PARSE_E;
    if (result == ASN_AFTER_DATE_E || result == ASN_BEFORE_DATE_E ||
        result == CRL_CERT_DATE_ERR) {
        loading->expired++;
        return true;
    }
    return result == WOLFSSL_SUCCESS ||
           error_set(loading->error, "\"%s\", %s %u: %s", loading->path, loading->thing,
                     number, client_policy_words(result));
}

/* The library would take anything; what cannot be parsed it judges itself. */
static bool is_authority(const uint8_t *der, long size)
{
    DecodedCert *certificate = malloc(sizeof *certificate);
    bool is = false;
    if (!certificate)
        return false;
    wc_InitDecodedCert(certificate, der, (word32)size, NULL);
    const int parsed = wc_ParseCert(certificate, CERT_TYPE, NO_VERIFY, NULL);
    if (parsed != 0)
        is = true;
    else
        is = certificate->isCA && (!certificate->extKeyUsageSet ||
                                   certificate->extKeyUsage & KEYUSE_KEY_CERT_SIGN);
    wc_FreeDecodedCert(certificate);
    free(certificate);
    return is;
}

static int load_ca(WOLFSSL_CTX *context, const uint8_t *der, long size)
{
    return is_authority(der, size)
               ? wolfSSL_CTX_load_verify_buffer(context, der, size, WOLFSSL_FILETYPE_ASN1)
               : NOT_CA_ERROR;
}

static int load_crl(WOLFSSL_CTX *context, const uint8_t *der, long size)
{
    return wolfSSL_CTX_LoadCRLBuffer(context, der, size, WOLFSSL_FILETYPE_ASN1);
}

const char *client_policy_words(int error)
{
    switch (error) {
    case ASN_BEFORE_DATE_E:
        return "it is not valid yet";
    case ASN_AFTER_DATE_E:
        return "it has expired";
    case CRL_CERT_REVOKED:
        return "it is revoked";
    case CRL_MISSING:
        return "crl has no current revocation list of its issuer";
    case CRL_CERT_DATE_ERR:
        return "the revocation list of its issuer is out of date";
    case EXTKEYUSE_AUTH_E:
        return "its extended key usage does not include client authentication";
    case KEYUSE_SIGNATURE_E:
        return "its key usage does not include digital signatures";
    case ASN_NO_SIGNER_E:
        return "its issuer is none of the authorities in ca";
    case ASN_SELF_SIGNED_E:
        return "it is signed by itself, and none of the authorities in ca";
    case ASN_SIG_CONFIRM_E:
        return "its signature does not verify";
    case ASN_NAME_INVALID_E:
        return "a name in it is outside what its issuer may certify";
    case ASN_PATHLEN_SIZE_E:
    case ASN_PATHLEN_INV_E:
    case MAX_CHAIN_ERROR:
        return "its chain is longer than allowed";
    case NOT_CA_ERROR:
        return "it is no certificate of an authority (basicConstraints lacks CA:TRUE)";
    case ASN_CRL_NO_SIGNER_E:
        return "none of the authorities in ca has signed it";
    case ASN_CRL_CONFIRM_E:
        return "its signature does not verify";
    default:
        return wolfSSL_ERR_reason_error_string((unsigned long)error);
    }
}
