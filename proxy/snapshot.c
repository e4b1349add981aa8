#include "proxy/snapshot.h"

#include <stdlib.h>

struct snapshot *snapshot_new(struct config *config, const struct bundle *bundle,
                              struct ticket_keys *tickets, struct report *report)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

    if (!snapshot) {
        config_free(config);
        goto fail;
    }
    snapshot->references = 1;
    snapshot->config = config;
    snapshot->certs = certstore_new(config, bundle, tickets, report);
    snapshot->routes = route_table_new(config);
    if (snapshot->certs && snapshot->routes)
        return snapshot;
fail:
    report_add(report, REPORT_ERROR, NULL, 0, "out of memory for the configuration");
    snapshot_release(snapshot);
    return NULL;
}

struct snapshot *snapshot_keep(struct snapshot *snapshot)
{
    snapshot->references++;
    return snapshot;
}

void snapshot_release(struct snapshot *snapshot)
{
    if (!snapshot || --snapshot->references > 0)
        return;
    certstore_free(snapshot->certs);
    route_table_free(snapshot->routes);
    if (snapshot->config)
        pool_set_give_back(snapshot->pools, snapshot->config->backend_count);
    config_free(snapshot->config);
    free(snapshot);
}
