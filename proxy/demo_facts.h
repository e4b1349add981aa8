/*
 * What the PROXY v2 header in front of a connection says about its client (HAProxy's
 * proxy-protocol.txt, section 2.2), as the demo reads it.
 */
#ifndef PROXY_DEMO_FACTS_H
#define PROXY_DEMO_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEMO_HEADER_MAX = 4096, DEMO_TEXT_MAX = 256, DEMO_ADDRESS_MAX = 64 };

/* Texts are printable ASCII, "" when not told. */
struct demo_facts {
    bool present; /* the connection came with a header that tells something */
    char client[DEMO_ADDRESS_MAX]; /* 192.0.2.1:56789, [2001:db8::1]:56789 */
    char server[DEMO_ADDRESS_MAX];
    char sni[DEMO_TEXT_MAX];
    char alpn[DEMO_TEXT_MAX];
    char tls_version[DEMO_TEXT_MAX];
    char tls_cipher[DEMO_TEXT_MAX];
    char tls_group[DEMO_TEXT_MAX];
};

enum demo_header {
    DEMO_HEADER_INCOMPLETE,
    DEMO_HEADER_WHOLE,
    DEMO_HEADER_ABSENT, /* the bytes are of another protocol */
    DEMO_HEADER_MALFORMED
};

/* Looks at the first bytes of a connection.  With DEMO_HEADER_WHOLE, `facts` is filled
 * and `header_len` is what to take off the front. */
enum demo_header demo_facts_read(const uint8_t *bytes, size_t length,
                                 struct demo_facts *facts, size_t *header_len);

/* The key exchange withstands a quantum computer as well. */
bool demo_facts_is_hybrid(const struct demo_facts *facts);

#endif
