/*
 * What is known of the certificates of a configuration, for people who watch: read once
 * out of the bundle that carries them.  Public data only.
 */
#ifndef PROXY_STATUS_FACTS_H
#define PROXY_STATUS_FACTS_H

#include "config/bundle.h"
#include "config/config.h"
#include "proxy/status.h"

struct status_facts;

/* `config` is borrowed for the life of the facts, `bundle` only during the call.  A
 * certificate that cannot be read is there without its dates.  NULL without memory. */
struct status_facts *status_facts_new(const struct config *config,
                                      const struct bundle *bundle) MUST_CHECK;

/* Puts them in. */
void status_facts_show(const struct status_facts *facts, struct status *status);

/* NULL is allowed. */
void status_facts_free(struct status_facts *facts);

#endif
