/*
 * The certificates of one configuration, in a worker: one TLS context each, found by the
 * client's SNI and by the kinds of signature it accepts.  Holds public certificates only;
 * the contexts sign through keyholder_client.  Immutable once built.
 */
#ifndef CERTS_CERTSTORE_H
#define CERTS_CERTSTORE_H

#include <stdint.h>

#include "certs/certificate.h"
#include "certs/ticket_keys.h"
#include "config/bundle.h"
#include "config/config.h"
#include "proxy/error.h"

struct certstore;

/* Reads every certificate of `config` out of `bundle`, checks it (certcheck.h) and builds
 * its context.  All problems go to `report`; a certificate with a fault is not in the
 * store. `config` and `bundle` are needed only during the call, apart from the section
 * names, which are borrowed.  `tickets` (borrowed, must
 * outlive the store) are the keys of session tickets; NULL: none are issued.  NULL
 * without memory. */
struct certstore *certstore_new(const struct config *config, const struct bundle *bundle,
                                struct ticket_keys *tickets,
                                struct report *report) MUST_CHECK;

/* The certificate for a client: exact name, then one-label wildcard, then the default; of
 * several for one name the cheapest to sign with that `key_types` (a set of
 * 1u << enum key_type) allows.  `sni` is lower case, "" for none.  NULL: none fits. */
const struct certificate *certstore_find(const struct certstore *store, const char *sni,
                                         uint32_t key_types);

/* The same among the certificates of the sections in `names`, of which the first is the
 * default; with no names among all.  The name of a directory stands for what is in it. */
const struct certificate *certstore_find_among(const struct certstore *store,
                                               const struct text_list *names,
                                               const char *sni, uint32_t key_types);

/* The context for clients under the policy with this index in the configuration.  NULL:
 * there is none, and none can stand in for it. */
WOLFSSL_CTX *certstore_guarded(const struct certificate *certificate, size_t policy);

/* Whether there is a certificate for `sni` itself, whatever key it has. */
bool certstore_knows(const struct certstore *store, const char *sni);

/* Those of the configuration that the store holds. */
const struct cert_set *certstore_served(const struct certstore *store);

/* The i-th certificate in the order of the configuration, NULL past the last. */
const struct certificate *certstore_at(const struct certstore *store, size_t index);

void certstore_free(struct certstore *store);

#endif
