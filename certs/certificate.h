/*
 * A certificate as a worker serves it: one TLS context for clients that need not say who
 * they are, and one for each policy for client certificates under which clients can get
 * it.  The contexts sign through keyholder_client.  Immutable once built.
 */
#ifndef CERTS_CERTIFICATE_H
#define CERTS_CERTIFICATE_H

#include <stdint.h>
#include <time.h>

#include "certs/staple.h"
#include "certs/ticket_keys.h"
#include "certs/tls_policy.h"
#include "config/bundle.h"
#include "config/config.h"
#include "proxy/error.h"

enum { SPKI_HASH_BYTES = 32 };

/* A certificate under a policy for client certificates. */
struct guarded {
    WOLFSSL_CTX *context;          /* owned; NULL: no client comes to this pair */
    struct ticket_context tickets; /* has no keys: no ticket is good here */
};

struct certificate {
    const char *name;              /* of its section; borrowed from the config */
    WOLFSSL_CTX *context;          /* owned */
    struct ticket_context tickets; /* what the context's tickets are bound to */
    struct staple staple;          /* owned; what all contexts send on request */
    struct guarded *guarded;       /* owned; one for each policy of the config */
    size_t guarded_count;
    enum key_type key_type;
    uint8_t spki_hash[SPKI_HASH_BYTES]; /* SHA-256 of its SubjectPublicKeyInfo */
    time_t not_after;
    char **names; /* owned: DNS names and IP addresses it is valid for, lower case */
    size_t name_count;
};

/* What a certificate is built from; all borrowed. */
struct leaf_facts;
struct certificate_parts {
    const struct config *config;
    const struct config_certificate *section;
    const struct bundle *bundle;
    struct leaf_facts *facts;    /* of a chain that is fit; its names are taken */
    struct ticket_keys *tickets; /* outlive the certificate; NULL: none are issued */
    bool policies_bad;           /* that is reported; contexts under them are not built */
};

/* Builds a zeroed certificate, which must then stay where it is: its contexts point into
 * it.  False: it cannot be served, which is in the report, and there is nothing to close.
 */
bool certificate_open(struct certificate *certificate,
                      const struct certificate_parts *parts,
                      struct report *report) MUST_CHECK;

/* Whether the section called `name` is where it comes from, be it as a directory. */
bool certificate_is_of(const struct certificate *certificate, const char *name);

void certificate_close(struct certificate *certificate);

#endif
