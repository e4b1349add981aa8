/*
 * Reads a certificate chain in PEM and judges it: order, expiry, key strength, names.
 * Public data only.
 */
#ifndef CERTS_CERTCHECK_H
#define CERTS_CERTCHECK_H

#include <stdint.h>
#include <time.h>

#include "certs/certstore.h"

enum { SERIAL_MAX_BYTES = 32 };

/* What the leaf of a chain says. */
struct leaf_facts {
    enum key_type key_type;
    uint8_t *spki; /* owned: DER SubjectPublicKeyInfo */
    uint32_t spki_size;
    uint8_t spki_hash[SPKI_HASH_BYTES];
    uint8_t serial[SERIAL_MAX_BYTES];
    size_t serial_size;
    time_t not_before;
    time_t not_after;
    char **names; /* owned: lower case; a wildcard is a whole left label */
    size_t name_count;
    uint8_t *chain; /* owned: DER of the leaf and what follows it, one after another */
    size_t chain_size;
};

/* Checks the chain of `section` in `pem` and fills `facts` (zeroed by the caller).
 * Reports as errors: no certificate, unparsable, key type or size not served, wrong order
 * (a certificate that does not certify the one before it), a private key: workers map the
 * chain, and must never have one.  As warnings: expired or not yet valid (an old
 * certificate serves more people than none), less than a fifth of the lifetime left, no
 * names, not meant for servers, no intermediate.  Returns whether `facts` is usable. */
bool certcheck_chain(const struct config *config,
                     const struct config_certificate *section, struct blob pem,
                     struct leaf_facts *facts, struct report *report);

void leaf_facts_close(struct leaf_facts *facts);

/* SHA-256 of the SubjectPublicKeyInfo of the first certificate in `pem`: the name by
 * which worker and keyholder agree on a key.  Fails in words that need the path in front.
 */
bool certcheck_leaf_hash(struct blob pem, uint8_t hash[SPKI_HASH_BYTES],
                         struct error *error) MUST_CHECK;

/* Adds `file:line: certificate "name": ...` to `report`. */
void certcheck_report(struct report *report, enum report_level level,
                      const struct config *config,
                      const struct config_certificate *section, unsigned line,
                      const char *format, ...) PRINTF_LIKE(6, 7);

/* Whether the key of `upper` verifies the signature of `lower`; true also where the
 * library cannot tell.  Names and dates are another matter. */
struct DecodedCert;
bool certcheck_is_signed_by(const struct DecodedCert *lower,
                            const struct DecodedCert *upper);

/* One of the two date fields of a parsed certificate, still encoded. */
bool certcheck_read_date(const uint8_t *field, int field_size, time_t *when) MUST_CHECK;

/* "ECDSA P-256" and the like. */
const char *key_type_name(enum key_type type);

#endif
