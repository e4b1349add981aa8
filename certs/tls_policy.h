/*
 * What Pawl speaks: versions, suites, groups, nothing without an ephemeral key exchange.
 * Applied to every TLS context; and the self-check that the linked library cannot do
 * anything else.  Used by workers and by `pawl version -v`.
 */
#ifndef CERTS_TLS_POLICY_H
#define CERTS_TLS_POLICY_H

#include <stdbool.h>
#include <stdio.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "config/config.h"
#include "proxy/error.h"

/* The kinds of certificate key Pawl serves. */
enum key_type { KEY_ECDSA_P256, KEY_ECDSA_P384, KEY_ED25519, KEY_RSA, KEY_TYPE_COUNT };

/* Everything Pawl speaks, in its order; without tickets. */
extern const struct config_tls tls_policy_widest;

/* Sets versions, suites, groups and resumption policy on a fresh server context, as
 * narrow as `tls` says. */
bool tls_policy_apply(WOLFSSL_CTX *context, const struct config_tls *tls,
                      struct error *error) MUST_CHECK;

/* What a finished handshake has negotiated. */
struct tls_outcome {
    enum tls_version version;
    enum tls_group group;
    enum tls_cipher cipher;
    bool resumed;
};

/* Whether that is within `tls`, and what it is: the library chooses the TLS 1.2 group by
 * its own lights, and policy is checked rather than hoped for. */
bool tls_policy_holds(WOLFSSL *ssl, const struct config_tls *tls,
                      struct tls_outcome *outcome, struct error *error) MUST_CHECK;

/* Proves properties of the linked library: its version, assembly in use, no CBC, PSK, old
 * TLS, renegotiation, default ticket callback, ...  Every missing one is reported as an
 * error; with `out`, each line of evidence is printed there ("ok"/"MISSING"). */
void tls_policy_self_check(FILE *out, struct report *report);

#endif
