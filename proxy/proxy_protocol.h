/*
 * The PROXY protocol header that tells a backend who the client is (HAProxy's
 * proxy-protocol.txt, versions 1 and 2).  Written once per session by the worker, before
 * the first byte of the client.
 */
#ifndef PROXY_PROXY_PROTOCOL_H
#define PROXY_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config/config.h"

/* Room for a client's certificate, and within what receivers take. */
enum { PROXY_HEADER_MAX = 8192 };

struct proxy_facts {
    const struct sockaddr *client; /* peer address of the client's connection */
    const struct sockaddr *server; /* local address of it */
    const char *sni;               /* "" or NULL: none */
    const char *alpn;              /* negotiated; "" or NULL: none */
    const char *tls_version;       /* "TLSv1.3"; NULL: none */
    const char *tls_cipher;
    const char *tls_group;
    const char *unique_id;      /* of this session; NULL: none */
    bool client_verified;       /* the client presented a certificate, and it is good */
    const char *client_cn;      /* its common name; NULL: none */
    const uint8_t *certificate; /* it itself in DER; NULL: not to be told */
    size_t certificate_size;
};

/* Writes the header of the wanted kind (never SEND_PROXY_OFF) into `out`, which has room
 * for PROXY_HEADER_MAX bytes, and returns its length.  TLVs that do not fit are left out;
 * the certificate comes last, so that it is left out first.
 * Addresses that are not IP are sent as UNKNOWN/UNSPEC. */
size_t proxy_protocol_write(enum send_proxy kind, const struct proxy_facts *facts,
                            uint8_t *out);

/* The header of a connection that Pawl makes for itself, and for no client (sections 2.1
 * and 2.2: UNKNOWN, LOCAL).  Returns its length, 0 if the kind is SEND_PROXY_OFF. */
enum { PROXY_OWN_MAX = 16 };
size_t proxy_protocol_write_own(enum send_proxy kind, uint8_t out[PROXY_OWN_MAX]);

#endif
