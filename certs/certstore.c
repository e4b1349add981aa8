#include "certs/certstore.h"

#include <stdlib.h>
#include <string.h>

#include "certs/certcheck.h"
#include "certs/client_policy.h"

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
    struct cert_set served;      /* by their place in the configuration */
    struct ticket_keys *tickets; /* borrowed; NULL: none are issued */
    bool policies_bad;           /* that is reported; no context can be built with them */
};

static const struct text_list all;

static bool add_certificate(struct certstore *store, const struct config *config,
                            size_t index, const struct bundle *bundle,
                            struct report *report);
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
static const struct certificate *find_sni(const struct certstore *store,
                                          const struct text_list *among, const char *sni,
                                          uint32_t key_types, bool *known);
static const struct certificate *find_default(const struct certstore *store,
                                              uint32_t key_types);
static const struct certificate *find_first(const struct certstore *store,
                                            const struct text_list *among,
                                            uint32_t key_types);

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
        if (!add_certificate(store, config, i, bundle, report)) {
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
    return certstore_find_among(store, &all, sni, key_types);
}

const struct certificate *certstore_find_among(const struct certstore *store,
                                               const struct text_list *names,
                                               const char *sni, uint32_t key_types)
{
    bool known = false;
    const struct certificate *found = find_sni(store, names, sni, key_types, &known);
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

bool certstore_knows(const struct certstore *store, const char *sni)
{
    bool known = false;
    (void)find_sni(store, &all, sni, ~(uint32_t)0, &known);
    return known;
}

const struct cert_set *certstore_served(const struct certstore *store)
{
    return &store->served;
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
                            size_t index, const struct bundle *bundle,
                            struct report *report)
{
    const struct config_certificate *section = &config->certificates[index];
    if (!section->chain || section->left_out)
        return true; /* reported where it was read */
    const struct blob pem = bundle_find(bundle, section->chain);
    if (pem.data && pem.size == 0)
        return true; /* reported where the file could not be read */
    if (!pem.data) {
        certcheck_report(report, REPORT_FAULT, config, section, section->chain_line,
                         "the chain file \"%s\" was not handed over", section->chain);
        return true;
    }
    struct leaf_facts facts = {0};
    const struct certificate_parts parts = {.config = config,
                                            .section = section,
                                            .bundle = bundle,
                                            .facts = &facts,
                                            .tickets = store->tickets,
                                            .policies_bad = store->policies_bad};
    if (certcheck_chain(config, section, pem, &facts, report) &&
        certificate_open(&store->certificates[store->count], &parts, report)) {
        store->count++;
        cert_set_add(&store->served, index);
    }
    leaf_facts_close(&facts);
    return true;
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

/* An empty list is all of them. */
static bool is_among(const struct certificate *certificate, const struct text_list *among)
{
    for (size_t i = 0; i < among->count; i++) {
        if (certificate_is_of(certificate, among->items[i]))
            return true;
    }
    return among->count == 0;
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
        if (!is_among(entry->certificate, among))
            continue;
        *known = true;
        if (fits(entry->certificate, key_types))
            return entry->certificate;
    }
    return NULL;
}

/* Exact name, then one-label wildcard. */
static const struct certificate *find_sni(const struct certstore *store,
                                          const struct text_list *among, const char *sni,
                                          uint32_t key_types, bool *known)
{
    const struct certificate *found = find_name(store, among, sni, key_types, known);
    const char *parent = strchr(sni, '.');
    if (found || !parent || parent == sni || strlen(parent) >= NAME_MAX_BYTES)
        return found;
    char wildcard[NAME_MAX_BYTES + 1];
    wildcard[0] = '*';
    memcpy(wildcard + 1, parent, strlen(parent) + 1);
    return find_name(store, among, wildcard, key_types, known);
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
                certificate_is_of(certificate, among->items[i]))
                return certificate;
        }
    }
    return NULL;
}
