/* A generation without the certificates that cannot be served. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/bundle.h"
#include "config/passphrase.h"
#include "proxy/generation.h"

/* One kind of bundle while it is made anew. */
struct reduction {
    struct bundle_builder *builder; /* owned */
    struct bundle_source *next;     /* owned; as captured now */
    struct bundle_source *older;    /* owned; NULL: there is none */
};

static bool reduction_open(struct reduction *reduction, const char *title, int next_fd,
                           int older_fd, struct error *error);
static void reduction_close(struct reduction *reduction);
static bool copy_certificate(struct reduction *chains, struct reduction *keys,
                             const struct config_certificate *certificate, bool is_older,
                             struct error *error);
static bool copy_text(const struct reduction *chains, struct error *error);
static bool copy_clients(const struct reduction *chains, const struct config *config,
                         struct error *error);
static bool copy_kept(struct generation *generation, struct reduction *chains,
                      struct reduction *keys, const struct generation *older,
                      struct error *error);
static bool has_same_clients(const struct config *config, const struct bundle *a,
                             const struct bundle *b);
static bool is_offered(const struct generation *older,
                       const struct config_certificate *certificate);
static bool is_same_certificate(const struct config_certificate *a,
                                const struct config_certificate *b);
static bool is_same_text(const char *a, const char *b);
static bool replace_bundles(struct generation *generation, const struct reduction *chains,
                            const struct reduction *keys, struct error *error);
static bool has_same_blob(const struct bundle *a, const struct bundle *b,
                          const char *name);

bool generation_reduce(struct generation *generation, const struct cert_set *served,
                       const struct generation *older, struct error *error)
{
    const struct config *config = generation->config;
    struct reduction chains = {0};
    struct reduction keys = {0};
    bool ok = reduction_open(&chains, "pawl-bundle", generation->bundle_fd,
                             older ? older->bundle_fd : -1, error) &&
              reduction_open(&keys, "pawl-keys", generation->keys_fd,
                             older ? older->keys_fd : -1, error) &&
              copy_text(&chains, error) && copy_clients(&chains, config, error);
    generation->offered = *served;
    generation->kept = 0;
    for (size_t i = 0; ok && i < config->certificate_count; i++) {
        if (cert_set_has(served, i))
            ok = copy_certificate(&chains, &keys, &config->certificates[i], false, error);
    }
    ok = ok && (!older || copy_kept(generation, &chains, &keys, older, error)) &&
         generation_add_left_out(generation, chains.builder, error) &&
         replace_bundles(generation, &chains, &keys, error);
    reduction_close(&chains);
    reduction_close(&keys);
    return ok;
}

bool generation_is_same(const struct generation *a, const struct generation *b)
{
    bool same = cert_set_equal(&a->offered, &b->offered) &&
                a->config->certificate_count == b->config->certificate_count &&
                a->config->clients_count == b->config->clients_count;
    struct bundle *left = same ? bundle_open(a->bundle_fd, NULL) : NULL;
    struct bundle *right = left ? bundle_open(b->bundle_fd, NULL) : NULL;

    same = same && right && has_same_clients(a->config, left, right);
    for (size_t i = 0; same && i < a->config->certificate_count; i++) {
        const struct config_certificate *certificate = &a->config->certificates[i];
        if (!cert_set_has(&a->offered, i))
            continue;
        same = is_same_certificate(certificate, &b->config->certificates[i]) &&
               has_same_blob(left, right, certificate->chain) &&
               (!certificate->staple || has_same_blob(left, right, certificate->staple));
    }
    bundle_close(left);
    bundle_close(right);
    return same;
}

static bool reduction_open(struct reduction *reduction, const char *title, int next_fd,
                           int older_fd, struct error *error)
{
    reduction->builder = bundle_builder_new(title, error);
    if (!reduction->builder)
        return false;
    reduction->next = bundle_source_open(next_fd, error);
    if (reduction->next && older_fd >= 0)
        reduction->older = bundle_source_open(older_fd, error);
    return reduction->next && (older_fd < 0 || reduction->older);
}

static void reduction_close(struct reduction *reduction)
{
    bundle_builder_free(reduction->builder);
    bundle_source_close(reduction->next);
    bundle_source_close(reduction->older);
}

static bool copy_text(const struct reduction *chains, struct error *error)
{
    if (bundle_source_has(chains->next, CONFIG_BLOB_INDEX) &&
        !bundle_add_copy(chains->builder, chains->next, CONFIG_BLOB_INDEX, error))
        return false;
    return bundle_add_copy(chains->builder, chains->next, CONFIG_BLOB_TEXT, error) &&
           bundle_add_copy(chains->builder, chains->next, CONFIG_BLOB_FILE, error);
}

/* What policies name is needed whatever certificates are served. */
static bool copy_clients(const struct reduction *chains, const struct config *config,
                         struct error *error)
{
    for (size_t i = 0; i < config->clients_count; i++) {
        const struct config_clients *clients = &config->clients[i];
        if (!bundle_add_copy(chains->builder, chains->next, clients->ca, error) ||
            (clients->crl &&
             !bundle_add_copy(chains->builder, chains->next, clients->crl, error)))
            return false;
    }
    return true;
}

static bool copy_certificate(struct reduction *chains, struct reduction *keys,
                             const struct config_certificate *certificate, bool is_older,
                             struct error *error)
{
    const struct bundle_source *source = is_older ? chains->older : chains->next;
    const struct bundle_source *key_source = is_older ? keys->older : keys->next;
    char passphrase[PASSPHRASE_NAME_MAX];

    passphrase_name(certificate, passphrase);
    if (bundle_source_has(key_source, passphrase) &&
        !bundle_add_copy(keys->builder, key_source, passphrase, error))
        return false;
    if (certificate->staple && bundle_source_has(source, certificate->staple) &&
        !bundle_add_copy(chains->builder, source, certificate->staple, error))
        return false;
    return bundle_add_copy(chains->builder, source, certificate->chain, error) &&
           bundle_add_copy(keys->builder, key_source, certificate->key, error);
}

/* A file that a served certificate names is there as it is now, and cannot be there as it
 * was, too; but then that certificate stands in. */
static bool copy_kept(struct generation *generation, struct reduction *chains,
                      struct reduction *keys, const struct generation *older,
                      struct error *error)
{
    const struct config *config = generation->config;
    struct cert_set kept = {.bits = {0}};

    for (size_t i = 0; i < config->certificate_count; i++) {
        const struct config_certificate *certificate = &config->certificates[i];
        if (!cert_set_has(&generation->offered, i) && is_offered(older, certificate) &&
            !bundle_has(chains->builder, certificate->chain) &&
            !bundle_has(keys->builder, certificate->key))
            cert_set_add(&kept, i);
    }
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (!cert_set_has(&kept, i))
            continue;
        if (!copy_certificate(chains, keys, &config->certificates[i], true, error))
            return false;
        cert_set_add(&generation->offered, i);
        generation->kept++;
    }
    return true;
}

static bool is_offered(const struct generation *older,
                       const struct config_certificate *certificate)
{
    if (!certificate->chain || !certificate->key)
        return false;
    for (size_t i = 0; i < older->config->certificate_count; i++) {
        if (is_same_certificate(&older->config->certificates[i], certificate))
            return cert_set_has(&older->offered, i);
    }
    return false;
}

static bool is_same_certificate(const struct config_certificate *a,
                                const struct config_certificate *b)
{
    return strcmp(a->section.name, b->section.name) == 0 && a->chain && b->chain &&
           strcmp(a->chain, b->chain) == 0 && a->key && b->key &&
           strcmp(a->key, b->key) == 0 &&
           is_same_text(a->passphrase_file, b->passphrase_file) &&
           is_same_text(a->passphrase_command, b->passphrase_command);
}

/* Either may be NULL. */
static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool replace_bundles(struct generation *generation, const struct reduction *chains,
                            const struct reduction *keys, struct error *error)
{
    const int bundle_fd = bundle_seal(chains->builder, error);
    const int keys_fd = bundle_fd < 0 ? -1 : bundle_seal(keys->builder, error);

    if (keys_fd < 0) {
        if (bundle_fd >= 0)
            close(bundle_fd);
        return false;
    }
    close(generation->bundle_fd);
    close(generation->keys_fd);
    generation->bundle_fd = bundle_fd;
    generation->keys_fd = keys_fd;
    return true;
}

static bool has_same_clients(const struct config *config, const struct bundle *a,
                             const struct bundle *b)
{
    bool same = true;

    for (size_t i = 0; same && i < config->clients_count; i++) {
        const struct config_clients *clients = &config->clients[i];
        same = (!clients->ca || has_same_blob(a, b, clients->ca)) &&
               (!clients->crl || has_same_blob(a, b, clients->crl));
    }
    return same;
}

static bool has_same_blob(const struct bundle *a, const struct bundle *b,
                          const char *name)
{
    const struct blob left = bundle_find(a, name);
    const struct blob right = bundle_find(b, name);

    if (!left.data || !right.data)
        return !left.data && !right.data;
    return left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
}
