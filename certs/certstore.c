#include "certs/certstore.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/wolfcrypt/sha256.h>

#include "certs/certcheck.h"
#include "certs/client_policy.h"
#include "certs/keyholder_client.h"

enum { NAME_MAX_BYTES = 256 };

/* One name of one certificate.  Sorted by name, then the cheapest to sign first, then the
 * order of the configuration. */
struct entry {
    const char *name; /* borrowed from the certificate */
    const struct certificate *certificate;
};

struct certstore {
    struct certificate *certificates; /* owned */
    size_t count;
    struct entry *entries; /* owned */
    size_t entry_count;
    size_t default_index;
    struct ticket_keys *tickets; /* borrowed; NULL: none are issued */
    bool policies_bad;           /* that is reported; no context can be built with them */
};

static bool add_certificate(struct certstore *store, const struct config *config,
                            const struct config_certificate *section,
                            const struct bundle *bundle, struct report *report);
static WOLFSSL_CTX *build_context(const struct config_tls *tls,
                                  const struct leaf_facts *facts, struct error *error);
static bool build_guarded(struct certificate *certificate, const struct config *config,
                          const struct bundle *bundle, const struct leaf_facts *facts,
                          struct error *error);
static bool guard(struct guarded *guarded, const struct config *config,
                  const struct config_clients *policy, const struct bundle *bundle,
                  struct error *error);
static bool is_reachable(const struct config *config, const struct config_clients *policy,
                         const char *certificate);
static bool attach_tickets(struct certstore *store, const struct config_tls *tls,
                           struct certificate *certificate,
                           const struct leaf_facts *facts, struct error *error);
static void choose_default(struct certstore *store, const struct config *config);
static bool build_index(struct certstore *store, const struct config *config,
                        struct report *report);
static void report_twins(const struct certstore *store, const struct config *config,
                         struct report *report);
static int compare_entries(const void *a, const void *b);
static const struct certificate *find_name(const struct certstore *store,
                                           const struct text_list *among,
                                           const char *name, uint32_t key_types,
                                           bool *known);
static const struct certificate *find_default(const struct certstore *store,
                                              uint32_t key_types);
static const struct certificate *find_first(const struct certstore *store,
                                            const struct text_list *among,
                                            uint32_t key_types);
static void certificate_close(struct certificate *certificate);

struct certstore *certstore_new(const struct config *config, const struct bundle *bundle,
                                struct ticket_keys *tickets, struct report *report)
{
    struct certstore *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    store->certificates =
        calloc(config->certificate_count + 1, sizeof *store->certificates);
    if (!store->certificates) {
        certstore_free(store);
        return NULL;
    }
    store->tickets = config->tls.tickets ? tickets : NULL;
    store->policies_bad = !client_policy_check(config, bundle, report);
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (!add_certificate(store, config, &config->certificates[i], bundle, report)) {
            certstore_free(store);
            return NULL;
        }
    }
    choose_default(store, config);
    if (!build_index(store, config, report)) {
        certstore_free(store);
        return NULL;
    }
    return store;
}

const struct certificate *certstore_find(const struct certstore *store, const char *sni,
                                         uint32_t key_types)
{
    static const struct text_list all;
    return certstore_find_among(store, &all, sni, key_types);
}

const struct certificate *certstore_find_among(const struct certstore *store,
                                               const struct text_list *names,
                                               const char *sni, uint32_t key_types)
{
    bool known = false;
    const struct certificate *found = find_name(store, names, sni, key_types, &known);
    const char *parent = strchr(sni, '.');
    if (!found && parent && parent != sni && strlen(parent) < NAME_MAX_BYTES) {
        char wildcard[NAME_MAX_BYTES + 1];
        wildcard[0] = '*';
        memcpy(wildcard + 1, parent, strlen(parent) + 1);
        found = find_name(store, names, wildcard, key_types, &known);
    }
    /* A name that is served, but not with a key the client knows, has no substitute. */
    if (found || known)
        return found;
    return names->count > 0 ? find_first(store, names, key_types)
                            : find_default(store, key_types);
}

WOLFSSL_CTX *certstore_guarded(const struct certificate *certificate, size_t policy)
{
    return policy < certificate->guarded_count ? certificate->guarded[policy].context
                                               : NULL;
}

const struct certificate *certstore_at(const struct certstore *store, size_t index)
{
    return index < store->count ? &store->certificates[index] : NULL;
}

void certstore_free(struct certstore *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < store->count; i++)
        certificate_close(&store->certificates[i]);
    free(store->certificates);
    free(store->entries);
    free(store);
}

/* False only without memory; a certificate with faults is reported and left out. */
static bool add_certificate(struct certstore *store, const struct config *config,
                            const struct config_certificate *section,
                            const struct bundle *bundle, struct report *report)
{
    if (!section->chain)
        return true; /* reported where it was read */
    const struct blob pem = bundle_find(bundle, section->chain);
    if (pem.data && pem.size == 0)
        return true; /* reported where the file could not be read */
    if (!pem.data) {
        certcheck_report(report, REPORT_ERROR, config, section, section->chain_line,
                         "the chain file \"%s\" was not handed over", section->chain);
        return true;
    }
    struct leaf_facts facts = {0};
    struct error error = {.text = ""};
    struct certificate *certificate = &store->certificates[store->count];
    bool ok = certcheck_chain(config, section, pem, &facts, report);
    if (ok) {
        certificate->name = section->section.name;
        certificate->context = build_context(&config->tls, &facts, &error);
        ok = certificate->context &&
             attach_tickets(store, &config->tls, certificate, &facts, &error) &&
             (store->policies_bad ||
              build_guarded(certificate, config, bundle, &facts, &error));
        if (!ok)
            certificate_close(certificate);
    }
    if (!ok && error.text[0]) {
        certcheck_report(report, REPORT_ERROR, config, section, section->chain_line,
                         "cannot use \"%s\": %s", section->chain, error.text);
    }
    if (ok) {
        certificate->key_type = facts.key_type;
        memcpy(certificate->spki_hash, facts.spki_hash, SPKI_HASH_BYTES);
        certificate->not_after = facts.not_after;
        certificate->names = facts.names;
        certificate->name_count = facts.name_count;
        facts.names = NULL;
        facts.name_count = 0;
        store->count++;
    }
    leaf_facts_close(&facts);
    return true;
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

/* One context more for each policy under which clients can get this certificate. */
static bool build_guarded(struct certificate *certificate, const struct config *config,
                          const struct bundle *bundle, const struct leaf_facts *facts,
                          struct error *error)
{
    certificate->guarded =
        calloc(config->clients_count + 1, sizeof *certificate->guarded);
    if (!certificate->guarded)
        return error_set(error, "no memory for client policies");
    certificate->guarded_count = config->clients_count;
    for (size_t i = 0; i < config->clients_count; i++) {
        struct guarded *guarded = &certificate->guarded[i];
        memcpy(guarded->tickets.binding, facts->spki_hash, TICKET_BINDING_BYTES);
        if (!is_reachable(config, &config->clients[i], certificate->name))
            continue;
        guarded->context = build_context(&config->tls, facts, error);
        if (!guarded->context ||
            !guard(guarded, config, &config->clients[i], bundle, error))
            return false;
    }
    return true;
}

/* No ticket is issued or taken here; and were one, it would be bound to the policy. */
static bool guard(struct guarded *guarded, const struct config *config,
                  const struct config_clients *policy, const struct bundle *bundle,
                  struct error *error)
{
    uint8_t both[TICKET_BINDING_BYTES + CLIENT_POLICY_HASH_BYTES];
    memcpy(both, guarded->tickets.binding, TICKET_BINDING_BYTES);
    if (!client_policy_hash(policy, bundle, both + TICKET_BINDING_BYTES) ||
        wc_Sha256Hash(both, sizeof both, guarded->tickets.binding) != 0)
        return error_set(error, "cannot take the hash of a client policy");
    return client_policy_attach(guarded->context, policy, bundle, error) &&
           ticket_keys_attach(guarded->context, &guarded->tickets, config->tls.window_ms,
                              error);
}

static bool is_reachable(const struct config *config, const struct config_clients *policy,
                         const char *certificate)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].clients == policy)
            return true;
    }
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->clients == policy &&
            (route->certificates.count == 0 ||
             text_list_has(&route->certificates, certificate)))
            return true;
    }
    return false;
}

/* A ticket resumes only with the key pair it was issued under. */
static bool attach_tickets(struct certstore *store, const struct config_tls *tls,
                           struct certificate *certificate,
                           const struct leaf_facts *facts, struct error *error)
{
    static_assert((int)TICKET_BINDING_BYTES == (int)SPKI_HASH_BYTES, "one is the other");
    if (!store->tickets)
        return true;
    certificate->tickets.keys = store->tickets;
    memcpy(certificate->tickets.binding, facts->spki_hash, TICKET_BINDING_BYTES);
    return ticket_keys_attach(certificate->context, &certificate->tickets, tls->window_ms,
                              error);
}

static void choose_default(struct certstore *store, const struct config *config)
{
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (!config->certificates[i].is_default)
            continue;
        for (size_t j = 0; j < store->count; j++) {
            if (store->certificates[j].name == config->certificates[i].section.name)
                store->default_index = j;
        }
        return;
    }
}

static bool build_index(struct certstore *store, const struct config *config,
                        struct report *report)
{
    size_t count = 0;
    for (size_t i = 0; i < store->count; i++)
        count += store->certificates[i].name_count;
    store->entries = calloc(count + 1, sizeof *store->entries);
    if (!store->entries)
        return false;
    for (size_t i = 0; i < store->count; i++) {
        const struct certificate *certificate = &store->certificates[i];
        for (size_t j = 0; j < certificate->name_count; j++)
            store->entries[store->entry_count++] =
                (struct entry){certificate->names[j], certificate};
    }
    qsort(store->entries, store->entry_count, sizeof *store->entries, compare_entries);
    report_twins(store, config, report);
    return true;
}

/* The first place that names a certificate is good enough to point at. */
static const struct config_certificate *section_of(const struct config *config,
                                                   const struct certificate *certificate)
{
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (config->certificates[i].section.name == certificate->name)
            return &config->certificates[i];
    }
    return &config->certificates[0];
}

static void report_twins(const struct certstore *store, const struct config *config,
                         struct report *report)
{
    for (size_t i = 1; i < store->entry_count; i++) {
        const struct entry *first = &store->entries[i - 1];
        const struct entry *second = &store->entries[i];
        if (strcmp(first->name, second->name) != 0 ||
            first->certificate->key_type != second->certificate->key_type ||
            first->certificate == second->certificate)
            continue;
        certcheck_report(report, REPORT_WARNING, config,
                         section_of(config, second->certificate), 0,
                         "\"%s\" is also served by certificate \"%s\" with a key of the "
                         "same kind; the first is used",
                         second->name, first->certificate->name);
    }
}

/* Position in the order of what a signature costs us, with a remark: Ed25519 is cheapest
 * of all, but few clients ask for it, and those that do also take P-256. */
static int cost_rank(enum key_type type)
{
    switch (type) {
    case KEY_ECDSA_P256:
        return 0;
    case KEY_ED25519:
        return 1;
    case KEY_ECDSA_P384:
        return 2;
    case KEY_RSA:
        return 3;
    case KEY_TYPE_COUNT:
        break;
    }
    return 4;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    const int order = strcmp(x->name, y->name);
    if (order != 0)
        return order;
    const int cost =
        cost_rank(x->certificate->key_type) - cost_rank(y->certificate->key_type);
    if (cost != 0)
        return cost;
    return (x->certificate > y->certificate) - (x->certificate < y->certificate);
}

static bool fits(const struct certificate *certificate, uint32_t key_types)
{
    return (key_types & (1u << certificate->key_type)) != 0;
}

/* The first entry that is not less than `name`. */
static size_t lower_bound(const struct certstore *store, const char *name)
{
    size_t low = 0;
    size_t high = store->entry_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(store->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Sets `*known` if there is any certificate for the name. */
static const struct certificate *find_name(const struct certstore *store,
                                           const struct text_list *among,
                                           const char *name, uint32_t key_types,
                                           bool *known)
{
    for (size_t i = lower_bound(store, name); i < store->entry_count; i++) {
        const struct entry *entry = &store->entries[i];
        if (strcmp(entry->name, name) != 0)
            break;
        if (among->count > 0 && !text_list_has(among, entry->certificate->name))
            continue;
        *known = true;
        if (fits(entry->certificate, key_types))
            return entry->certificate;
    }
    return NULL;
}

/* Where the default has a key that the client does not know, a certificate for one of the
 * same names stands in. */
static const struct certificate *find_default(const struct certstore *store,
                                              uint32_t key_types)
{
    if (store->count == 0)
        return NULL;
    const struct certificate *certificate = &store->certificates[store->default_index];
    if (fits(certificate, key_types))
        return certificate;
    static const struct text_list all;
    bool known = false;
    for (size_t i = 0; i < certificate->name_count; i++) {
        const struct certificate *other =
            find_name(store, &all, certificate->names[i], key_types, &known);
        if (other)
            return other;
    }
    return NULL;
}

static const struct certificate *find_first(const struct certstore *store,
                                            const struct text_list *among,
                                            uint32_t key_types)
{
    for (size_t i = 0; i < among->count; i++) {
        for (size_t j = 0; j < store->count; j++) {
            const struct certificate *certificate = &store->certificates[j];
            if (fits(certificate, key_types) &&
                strcmp(certificate->name, among->items[i]) == 0)
                return certificate;
        }
    }
    return NULL;
}

static void certificate_close(struct certificate *certificate)
{
    wolfSSL_CTX_free(certificate->context);
    for (size_t i = 0; i < certificate->guarded_count; i++)
        wolfSSL_CTX_free(certificate->guarded[i].context);
    free(certificate->guarded);
    for (size_t i = 0; i < certificate->name_count; i++)
        free(certificate->names[i]);
    free(certificate->names);
    *certificate = (struct certificate){0};
}
