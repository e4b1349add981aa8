/*
 * The names of what a TLS server can negotiate: suites, groups, versions and alerts.
 * Facts of the IANA registry; the traits of a suite follow from its name.
 */
#ifndef PROXY_PROVE_SUITES_H
#define PROXY_PROVE_SUITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/prove_names.h"

struct prove_suite {
    uint16_t id;
    const char *name; /* as registered, without "TLS_" */
};

/* What is to be known of a suite of TLS 1.2 and before. */
enum prove_trait {
    SUITE_STATIC_RSA = 1 << 0, /* the certificate's key decrypts the session's */
    SUITE_STATIC_DH = 1 << 1,  /* the certificate's key is half of the exchange */
    SUITE_ECDHE = 1 << 2,
    SUITE_DHE = 1 << 3,
    SUITE_ANON = 1 << 4,
    SUITE_PSK = 1 << 5,    /* pre-shared key without an ephemeral exchange */
    SUITE_EXPORT = 1 << 6, /* weakened on purpose */
    SUITE_NULL = 1 << 7,   /* no encryption */
    SUITE_RC4 = 1 << 8,
    SUITE_BLOCK64 = 1 << 9, /* DES, 3DES, RC2, IDEA, GOST 28147 */
    SUITE_CBC = 1 << 10,
    SUITE_SHORT_TAG = 1 << 11, /* CCM with 8 bytes of tag */
    SUITE_AEAD = 1 << 12,
};

/* Suites of SSL 3.0 to TLS 1.2.  Left out are those that need an extension or a library
 * of their own to be offered at all (SRP, Kerberos, ECCPWD, ECJPAKE). */
extern const struct prove_suite prove_suites_tls12[];
extern const size_t prove_suites_tls12_count;

extern const struct prove_suite prove_suites_tls13[];
extern const size_t prove_suites_tls13_count;

/* A set of enum prove_trait. */
unsigned prove_suite_traits(const char *name);

/* Forward secret, encrypted and authenticated in one. */
bool prove_suite_is_modern(unsigned traits);

/* The name of a suite; `text` is used where the registry has none. */
const char *prove_suite_name(uint16_t id, char text[PROVE_NAME_MAX]);

#endif
