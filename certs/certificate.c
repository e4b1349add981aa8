#include "certs/certificate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/wolfcrypt/sha256.h>

#include "certs/certcheck.h"
#include "certs/client_policy.h"
#include "certs/keyholder_client.h"

static bool build(struct certificate *certificate, const struct certificate_parts *parts,
                  struct error *error);
static WOLFSSL_CTX *build_context(const struct config_tls *tls,
                                  const struct leaf_facts *facts, struct error *error);
static bool attach_tickets(struct certificate *certificate,
                           const struct certificate_parts *parts, struct error *error);
static bool build_guarded(struct certificate *certificate,
                          const struct certificate_parts *parts, struct error *error);
static bool guard(struct guarded *guarded, const struct certificate_parts *parts,
                  const struct config_clients *policy, struct error *error);
static bool is_reachable(const struct certificate *certificate,
                         const struct config *config,
                         const struct config_clients *policy);
static void attach_staple(struct certificate *certificate,
                          const struct certificate_parts *parts, struct report *report);
static bool send_staple(struct certificate *certificate);

bool certificate_open(struct certificate *certificate,
                      const struct certificate_parts *parts, struct report *report)
{
    struct leaf_facts *facts = parts->facts;
    struct error error;
    certificate->name = parts->section->section.name;
    if (!build(certificate, parts, &error)) {
        certcheck_report(report, REPORT_FAULT, parts->config, parts->section,
                         parts->section->chain_line, "cannot use \"%s\": %s",
                         parts->section->chain, error.text);
        certificate_close(certificate);
        return false;
    }
    attach_staple(certificate, parts, report);
    certificate->key_type = facts->key_type;
    memcpy(certificate->spki_hash, facts->spki_hash, SPKI_HASH_BYTES);
    certificate->not_after = facts->not_after;
    certificate->names = facts->names;
    certificate->name_count = facts->name_count;
    facts->names = NULL;
    facts->name_count = 0;
    return true;
}

/* What a directory holds is called "section/entry", and a section's name has no slash. */
bool certificate_is_of(const struct certificate *certificate, const char *name)
{
    const size_t length = strlen(name);
    return strncmp(certificate->name, name, length) == 0 &&
           (certificate->name[length] == '\0' || certificate->name[length] == '/');
}

void certificate_close(struct certificate *certificate)
{
    wolfSSL_CTX_free(certificate->context);
    for (size_t i = 0; i < certificate->guarded_count; i++)
        wolfSSL_CTX_free(certificate->guarded[i].context);
    free(certificate->guarded);
    staple_close(&certificate->staple);
    for (size_t i = 0; i < certificate->name_count; i++)
        free(certificate->names[i]);
    free(certificate->names);
    *certificate = (struct certificate){0};
}

static bool build(struct certificate *certificate, const struct certificate_parts *parts,
                  struct error *error)
{
    certificate->context = build_context(&parts->config->tls, parts->facts, error);
    return certificate->context && attach_tickets(certificate, parts, error) &&
           (parts->policies_bad || build_guarded(certificate, parts, error));
}

/* The context gets the public key where the library wants a private one: it reads from it
 * only what kind of signature to ask the callbacks for. */
static WOLFSSL_CTX *build_context(const struct config_tls *tls,
                                  const struct leaf_facts *facts, struct error *error)
{
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (!context) {
        (void)error_set(error, "no memory for a TLS context");
        return NULL;
    }
    keyholder_client_attach(context);
    bool ok = tls_policy_apply(context, tls, error);
    if (ok && wolfSSL_CTX_use_certificate_chain_buffer_format(
                  context, facts->chain, (long)facts->chain_size,
                  WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS)
        ok = error_set(error, "the TLS library does not take the chain");
    if (ok &&
        wolfSSL_CTX_use_PrivateKey_buffer(context, facts->spki, (long)facts->spki_size,
                                          WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS)
        ok = error_set(error, "the TLS library does not take the public key");
    /* One generator for the connections of a context: they live in one thread. */
    if (ok && wolfSSL_CTX_new_rng(context) != WOLFSSL_SUCCESS)
        ok = error_set(error, "cannot start the random number generator");
    if (ok)
        return context;
    wolfSSL_CTX_free(context);
    return NULL;
}

/* A ticket resumes only with the key pair it was issued under. */
static bool attach_tickets(struct certificate *certificate,
                           const struct certificate_parts *parts, struct error *error)
{
    static_assert((int)TICKET_BINDING_BYTES == (int)SPKI_HASH_BYTES, "one is the other");
    if (!parts->tickets)
        return true;
    certificate->tickets.keys = parts->tickets;
    memcpy(certificate->tickets.binding, parts->facts->spki_hash, TICKET_BINDING_BYTES);
    return ticket_keys_attach(certificate->context, &certificate->tickets,
                              parts->config->tls.window_ms, error);
}

/* One context more for each policy under which clients can get this certificate. */
static bool build_guarded(struct certificate *certificate,
                          const struct certificate_parts *parts, struct error *error)
{
    const struct config *config = parts->config;
    certificate->guarded =
        calloc(config->clients_count + 1, sizeof *certificate->guarded);
    if (!certificate->guarded)
        return error_set(error, "no memory for client policies");
    certificate->guarded_count = config->clients_count;
    for (size_t i = 0; i < config->clients_count; i++) {
        struct guarded *guarded = &certificate->guarded[i];
        memcpy(guarded->tickets.binding, parts->facts->spki_hash, TICKET_BINDING_BYTES);
        if (!is_reachable(certificate, config, &config->clients[i]))
            continue;
        guarded->context = build_context(&config->tls, parts->facts, error);
        if (!guarded->context || !guard(guarded, parts, &config->clients[i], error))
            return false;
    }
    return true;
}

/* No ticket is issued or taken here; and were one, it would be bound to the policy. */
static bool guard(struct guarded *guarded, const struct certificate_parts *parts,
                  const struct config_clients *policy, struct error *error)
{
    uint8_t both[TICKET_BINDING_BYTES + CLIENT_POLICY_HASH_BYTES];
    memcpy(both, guarded->tickets.binding, TICKET_BINDING_BYTES);
    if (!client_policy_hash(policy, parts->bundle, both + TICKET_BINDING_BYTES) ||
        wc_Sha256Hash(both, sizeof both, guarded->tickets.binding) != 0)
        return error_set(error, "cannot take the hash of a client policy");
    return client_policy_attach(guarded->context, policy, parts->bundle, error) &&
           ticket_keys_attach(guarded->context, &guarded->tickets,
                              parts->config->tls.window_ms, error);
}

static bool is_reachable(const struct certificate *certificate,
                         const struct config *config, const struct config_clients *policy)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].clients == policy)
            return true;
    }
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->clients != policy)
            continue;
        if (route->certificates.count == 0)
            return true;
        for (size_t j = 0; j < route->certificates.count; j++) {
            if (certificate_is_of(certificate, route->certificates.items[j]))
                return true;
        }
    }
    return false;
}

/* Without a response that is fit the certificate serves as well. */
static void attach_staple(struct certificate *certificate,
                          const struct certificate_parts *parts, struct report *report)
{
    const struct config_certificate *section = parts->section;
    const struct blob serial = {parts->facts->serial, parts->facts->serial_size};
    struct staple *staple = &certificate->staple;
    struct error error = {.text = "the TLS library does not take it"};
    if (!section->staple)
        return;
    const struct blob der = bundle_find(parts->bundle, section->staple);
    if (!der.data || der.size == 0)
        return; /* reported where the file could not be read */
    staple->name = section->section.name;
    if (staple_open(staple, der, serial, time(NULL), &error) && send_staple(certificate))
        return;
    certcheck_report(report, REPORT_WARNING, parts->config, section, section->staple_line,
                     "the OCSP response in \"%s\" is not sent: %s", section->staple,
                     error.text);
    staple_close(staple);
}

static bool send_staple(struct certificate *certificate)
{
    bool ok = staple_attach(certificate->context, &certificate->staple);
    for (size_t i = 0; ok && i < certificate->guarded_count; i++) {
        WOLFSSL_CTX *context = certificate->guarded[i].context;
        ok = !context || staple_attach(context, &certificate->staple);
    }
    return ok;
}
