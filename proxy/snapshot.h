/*
 * One configuration as a worker serves it: the config with the TLS contexts built from
 * it. Immutable and counted: sessions keep the one they began with, so that a reload
 * touches no established connection.
 */
#ifndef PROXY_SNAPSHOT_H
#define PROXY_SNAPSHOT_H

#include "certs/certstore.h"
#include "config/bundle.h"
#include "config/config.h"
#include "proxy/error.h"
#include "proxy/pool.h"
#include "proxy/route.h"

struct snapshot {
    unsigned references;
    struct config *config;      /* owned */
    struct certstore *certs;    /* owned */
    struct route_table *routes; /* owned */
    struct pool **pools;        /* owned, each counted; by backend; NULL: none yet */
};

/* Takes `config`, also on failure (NULL).  Findings go to the report; the snapshot may
 * serve only if it gained no error.  `tickets` as in certstore_new.  One reference is the
 * caller's. */
struct snapshot *snapshot_new(struct config *config, const struct bundle *bundle,
                              struct ticket_keys *tickets,
                              struct report *report) MUST_CHECK;

struct snapshot *snapshot_keep(struct snapshot *snapshot);

/* NULL is allowed. */
void snapshot_release(struct snapshot *snapshot);

#endif
