#include "certs/client.h"

#include <stdlib.h>
#include <string.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "certs/client_names.h"
#include "certs/client_policy.h"

enum { NAMES_MAX = 256 };

static void forget_intermediates(struct client *client);
static void keep_text(char **place, const char *text);
static bool judge_names(struct client *client, const WOLFSSL_BUFFER_INFO *leaf,
                        bool good);
static void refuse(struct client *client, enum client_verdict verdict, const char *words);
static void refuse_by_error(struct client *client, int error, bool is_leaf);

struct client *client_new(WOLFSSL *ssl, const struct config_clients *policy,
                          bool keep_certificate)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->policy = policy;
    client->context = wolfSSL_get_SSL_CTX(ssl);
    client->keep_certificate = keep_certificate;
    wolfSSL_SetCertCbCtx(ssl, client);
    return client;
}

bool client_may_stay(struct client *client, WOLFSSL *ssl)
{
    forget_intermediates(client);
    if (wolfSSL_session_reused(ssl)) {
        refuse(client, CLIENT_MISSING, "the session was resumed without a certificate");
        return false;
    }
    if (client->verdict == CLIENT_UNSEEN && client->policy->mode == CLIENTS_OPTIONAL)
        client->verdict = CLIENT_ABSENT;
    if (client->verdict == CLIENT_UNSEEN)
        refuse(client, CLIENT_MISSING, "the client sent no certificate");
    return client->verdict == CLIENT_ACCEPTED || client->verdict == CLIENT_ABSENT;
}

bool client_explain(struct client *client, int tls_error)
{
    if (client->verdict != CLIENT_ACCEPTED && client->verdict != CLIENT_UNSEEN &&
        client->verdict != CLIENT_ABSENT)
        return true;
    switch (tls_error) {
    case NO_PEER_CERT:
        refuse(client, CLIENT_MISSING, "the client sent no certificate");
        return true;
    case NO_PEER_VERIFY:
    case SIG_VERIFY_E:
    case VERIFY_SIGN_ERROR:
    case VERIFY_CERT_ERROR:
    case RSA_PAD_E:
    case BAD_PADDING_E:
    case ASN_SIG_CONFIRM_E:
        /* It was found good, so what failed is the proof that it is the client's. */
        if (client->verdict != CLIENT_ACCEPTED)
            return false;
        refuse(client, CLIENT_UNTRUSTED,
               "the client did not prove that it has the certificate's key");
        return true;
    default:
        return false;
    }
}

void client_drop_certificate(struct client *client)
{
    free(client->certificate);
    client->certificate = NULL;
    client->certificate_size = 0;
}

void client_free(struct client *client)
{
    if (!client)
        return;
    if (client->verdict != CLIENT_ACCEPTED && client->verdict != CLIENT_ABSENT)
        forget_intermediates(client);
    free(client->certificate);
    free(client->cn);
    free(client->san);
    free(client->detail);
    free(client);
}

/* The library keeps the intermediate certificates that clients send, and would take them
 * for good after they have expired. */
static void forget_intermediates(struct client *client)
{
    (void)wolfSSL_CertManagerUnloadIntermediateCerts(
        wolfSSL_CTX_GetCertManager(client->context));
}

/* The library's word is kept where it is bad, and gets another question where it is good:
 * is this client on the list?  Called for the leaf always, for others when they fail. */
int client_on_verify(int good, WOLFSSL_X509_STORE_CTX *store)
{
    struct client *client = store->userCtx;
    const bool is_leaf = store->error_depth == 0;

    if (!client)
        return 0;
    if (store->totalCerts == 0) {
        if (good && client->policy->mode == CLIENTS_OPTIONAL) {
            client->verdict = CLIENT_ABSENT;
            return 1;
        }
        refuse(client, CLIENT_MISSING, "the client sent no certificate");
        return 0;
    }
    if (!good)
        refuse_by_error(client, store->error, is_leaf);
    /* The names are for the log also where the rest is bad. */
    if (!judge_names(client, &store->certs[0], good))
        return 0;
    return good;
}

/* "" is no text; without memory there is none either. */
static void keep_text(char **place, const char *text)
{
    free(*place);
    *place = text[0] != '\0' ? strdup(text) : NULL;
}

/* Notes who the client says it is, and whether that is on the list. */
static bool judge_names(struct client *client, const WOLFSSL_BUFFER_INFO *leaf, bool good)
{
    DecodedCert *certificate = malloc(sizeof *certificate);
    char names[NAMES_MAX];
    if (!certificate) {
        refuse(client, CLIENT_UNTRUSTED, "out of memory");
        return false;
    }
    wc_InitDecodedCert(certificate, leaf->buffer, leaf->length, NULL);
    bool ok = wc_ParseCert(certificate, CERT_TYPE, NO_VERIFY, NULL) == 0;
    if (!ok)
        refuse(client, CLIENT_UNTRUSTED, "the certificate cannot be parsed");
    if (ok) {
        client_names_write_cn(certificate, names, sizeof names);
        keep_text(&client->cn, names);
        client_names_write_san(certificate, names, sizeof names);
        keep_text(&client->san, names);
    }
    if (ok && good && !client_names_allow(client->policy, certificate)) {
        refuse(client, CLIENT_NOT_ALLOWED,
               "none of its names is on the allow lists of the policy");
        ok = false;
    }
    wc_FreeDecodedCert(certificate);
    free(certificate);
    if (!ok || !good)
        return ok;
    if (client->keep_certificate && !client->certificate) {
        client->certificate = malloc(leaf->length);
        if (!client->certificate)
            return false;
        memcpy(client->certificate, leaf->buffer, leaf->length);
        client->certificate_size = leaf->length;
    }
    if (client->verdict == CLIENT_UNSEEN)
        client->verdict = CLIENT_ACCEPTED;
    return client->verdict == CLIENT_ACCEPTED;
}

/* The first reason counts, and no later word takes it back. */
static void refuse(struct client *client, enum client_verdict verdict, const char *words)
{
    if (client->verdict != CLIENT_UNSEEN && client->verdict != CLIENT_ACCEPTED &&
        client->verdict != CLIENT_ABSENT)
        return;
    client->verdict = verdict;
    keep_text(&client->detail, words);
}

static void refuse_by_error(struct client *client, int error, bool is_leaf)
{
    enum client_verdict verdict = CLIENT_UNTRUSTED;
    char words[ERROR_TEXT_MAX];
    switch (error) {
    case ASN_BEFORE_DATE_E:
    case ASN_AFTER_DATE_E:
        verdict = CLIENT_EXPIRED;
        break;
    case CRL_CERT_REVOKED:
    case CRL_MISSING:
    case CRL_CERT_DATE_ERR:
        verdict = CLIENT_REVOKED;
        break;
    case EXTKEYUSE_AUTH_E:
    case KEYUSE_SIGNATURE_E:
        verdict = CLIENT_WRONG_USE;
        break;
    case NO_PEER_CERT:
        refuse(client, CLIENT_MISSING, "the client sent no certificate");
        return;
    default:
        break;
    }
    (void)snprintf(words, sizeof words, "%s: %s",
                   is_leaf ? "the client's certificate"
                           : "an intermediate certificate of the client",
                   client_policy_words(error));
    refuse(client, verdict, words);
}
