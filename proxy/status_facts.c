#include "proxy/status_facts.h"

#include <stdlib.h>

#include "certs/certcheck.h"

struct status_facts {
    size_t count;
    struct leaf_facts *leaves;               /* owned */
    struct status_certificate *certificates; /* owned; their names are of the leaves */
};

static void status_facts_read(const struct config *config, const struct bundle *bundle,
                              size_t index, struct status_facts *facts);

struct status_facts *status_facts_new(const struct config *config,
                                      const struct bundle *bundle)
{
    struct status_facts *facts = calloc(1, sizeof(*facts));
    size_t room = config->certificate_count + 1;

    if (!facts)
        return NULL;
    facts->leaves = calloc(room, sizeof(*facts->leaves));
    facts->certificates = calloc(room, sizeof(*facts->certificates));
    if (!facts->leaves || !facts->certificates) {
        status_facts_free(facts);
        return NULL;
    }
    facts->count = config->certificate_count;
    for (size_t i = 0; i < facts->count; i++)
        status_facts_read(config, bundle, i, facts);
    return facts;
}

void status_facts_show(const struct status_facts *facts, struct status *status)
{
    status->certificates = facts->certificates;
    status->certificate_count = facts->count;
}

void status_facts_free(struct status_facts *facts)
{
    if (!facts)
        return;
    for (size_t i = 0; facts->leaves && i < facts->count; i++)
        leaf_facts_close(&facts->leaves[i]);
    free(facts->leaves);
    free(facts->certificates);
    free(facts);
}

/* What is wrong with a certificate was said when it was loaded. */
static void status_facts_read(const struct config *config, const struct bundle *bundle,
                              size_t index, struct status_facts *facts)
{
    const struct config_certificate *section = &config->certificates[index];
    struct status_certificate *certificate = &facts->certificates[index];
    struct leaf_facts *leaf = &facts->leaves[index];
    struct report report = {0};

    certificate->section = section->section.name;
    certificate->served = !section->left_out;
    const struct blob chain =
        section->chain ? bundle_find(bundle, section->chain) : (struct blob){0};
    if (chain.data && certcheck_chain(config, section, chain, leaf, &report)) {
        certificate->key_type = key_type_name(leaf->key_type);
        certificate->names = (const char *const *)leaf->names;
        certificate->name_count = leaf->name_count;
        certificate->not_before_ms =
            leaf->not_before > 0 ? (uint64_t)leaf->not_before * 1000 : 0;
        certificate->not_after_ms =
            leaf->not_after > 0 ? (uint64_t)leaf->not_after * 1000 : 0;
    }
    report_close(&report);
}
