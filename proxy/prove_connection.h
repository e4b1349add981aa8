/*
 * A connection of TLS 1.2 made by hand, with X25519 and AES-GCM alone: for renegotiation,
 * which the library neither signals (RFC 5746) nor starts.  Authenticates nobody, so it
 * is good for asking questions only.
 */
#ifndef PROXY_PROVE_CONNECTION_H
#define PROXY_PROVE_CONNECTION_H

#include "proxy/prove_record.h"

enum { PROVE_VERIFY_BYTES = 12, PROVE_TRANSCRIPT_MAX = 160 * 1024 };

/* Open, then always close, also after a failure. */
struct prove_connection {
    struct prove_link link;
    struct prove_capture in;
    size_t in_read;      /* bytes of `in` up to the end of the handshake */
    uint8_t *transcript; /* owned: handshake messages of both sides */
    size_t transcript_len;
    struct prove_keys client; /* for what comes after the handshake */
    struct prove_keys server;
    uint8_t verify_data[PROVE_VERIFY_BYTES]; /* of the client's Finished */
};

bool prove_connection_open(struct prove_connection *connection,
                           struct prove_target *target, struct error *error) MUST_CHECK;

/* Seals `bytes` into a record of `type` and sends it. */
bool prove_connection_send(struct prove_connection *connection, uint8_t type,
                           const uint8_t *bytes, size_t length) MUST_CHECK;

/* The next record, opened, as soon as the link's deadline allows.  RECEIPT_BYTES: it is
 * in `plain`; RECEIPT_RESET also if it cannot be opened, with `plain->length` of 0. */
enum prove_receipt prove_connection_receive(struct prove_connection *connection,
                                            struct prove_plain *plain);

void prove_connection_close(struct prove_connection *connection);

#endif
