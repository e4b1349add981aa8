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
    snapshot->rotation = calloc(config->backend_count + 1, sizeof(*snapshot->rotation));
    snapshot->certs = certstore_new(config, bundle, tickets, report);
    snapshot->routes = route_table_new(config);
    if (snapshot->rotation && snapshot->certs && snapshot->routes)
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
    config_free(snapshot->config);
    free(snapshot->rotation);
    free(snapshot);
}

unsigned snapshot_rotate(struct snapshot *snapshot, const struct config_backend *backend)
{
    size_t index = (size_t)(backend - snapshot->config->backends);

    return snapshot->rotation[index]++ % (unsigned)backend->addresses.count;
}
