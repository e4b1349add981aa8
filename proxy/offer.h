/*
 * What a ClientHello that may be served at all offers of what this configuration allows:
 * the library would find out as well, but could not tell in words what was missing.
 */
#ifndef PROXY_OFFER_H
#define PROXY_OFFER_H

#include "certs/tls_policy.h"
#include "config/config.h"
#include "proxy/hello.h"

/* Whether `tls` allows a version that the client offers.  If not, `verdict` says what is
 * missing. */
bool offer_is_recent(const struct hello *hello, const struct config_tls *tls,
                     struct hello_verdict *verdict) MUST_CHECK;

/* The same for ciphers, with a certificate whose key has this type, and for groups. */
bool offer_suits(const struct hello *hello, const struct config_tls *tls,
                 enum key_type key_type, struct hello_verdict *verdict) MUST_CHECK;

/* The sentence for a client that accepts no signature of any certificate of the name. */
void offer_explain_keys(const struct hello *hello, struct error *error);

#endif
