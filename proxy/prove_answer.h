/*
 * What a server answers to a ClientHello, read from the bytes of the connection up to
 * where encryption starts.  Nothing in it is trusted: lengths are checked, sizes are
 * bounded, and what makes no sense is an answer of its own kind.
 */
#ifndef PROXY_PROVE_ANSWER_H
#define PROXY_PROVE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/prove_net.h"

enum {
    PROVE_ANSWER_BYTES_MAX = 128 * 1024,
    PROVE_SHARE_MAX = 2048,
    PROVE_CHAIN_COUNT_MAX = 12
};

enum prove_answer_kind {
    ANSWER_NONE,         /* there is none: `error` says why nobody could be asked */
    ANSWER_SERVER_HELLO, /* agreed, the whole flight in order */
    ANSWER_RETRY,        /* TLS 1.3: agreed, but asks for another key share */
    ANSWER_ALERT,
    ANSWER_CLOSED,
    ANSWER_RESET,
    ANSWER_SILENCE, /* not within the time */
    ANSWER_NONSENSE /* `error` says what is wrong with it */
};

struct prove_answer {
    enum prove_answer_kind kind;
    uint8_t alert;
    uint16_t version; /* agreed on */
    uint16_t suite;
    uint8_t compression;
    uint16_t group; /* of the key exchange, 0: none seen */
    uint8_t share[PROVE_SHARE_MAX];
    size_t share_len; /* the server's half of the key exchange, as much as fits */
    bool has_share;   /* TLS 1.3: key_share in the ServerHello */
    bool psk_selected;
    bool retried;       /* there was a HelloRetryRequest */
    bool renegotiation; /* renegotiation_info */
    bool extended_master_secret;
    bool is_resumed; /* TLS 1.2: ChangeCipherSpec without a ServerHelloDone before it */
    bool has_session_id; /* TLS 1.2: the server gave one */
    bool has_ticket;     /* TLS 1.2: NewSessionTicket */
    uint32_t ticket_lifetime_s;
    bool has_exchange; /* TLS 1.2: ServerKeyExchange */
    unsigned dh_bits;  /* of its DHE prime */
    size_t staple_len; /* TLS 1.2: bytes of the OCSP response */
    bool is_encrypted; /* what followed could not be read any more */
    /* The certificates as sent: `chain_count` of them in `chain`, owned. */
    uint8_t *chain;
    size_t chain_at[PROVE_CHAIN_COUNT_MAX + 1]; /* where each starts, and the end */
    size_t chain_count;
    struct error error;
};

enum prove_progress {
    PROGRESS_MORE, /* so far well-formed, not complete */
    PROGRESS_DONE
};

/* Reads `length` bytes, always from the start of the connection, replacing what `answer`
 * held.  Done is what decides: a flight of TLS 1.2, a ServerHello of TLS 1.3 or a request
 * to retry, an alert, nonsense.  With `whole`, of a handshake that was carried on, also
 * what comes after the retry or the first flight, as far as it is not encrypted. */
enum prove_progress prove_answer_read(struct prove_answer *answer, const uint8_t *bytes,
                                      size_t length, bool whole);

/* Receives from `link` until the answer is complete or no more comes. */
void prove_answer_receive(struct prove_answer *answer, struct prove_link *link);

/* The server would go on with the handshake. */
bool prove_answer_is_agreement(const struct prove_answer *answer);

/* The server turned the offer down, and said so or hung up. */
bool prove_answer_is_refusal(const struct prove_answer *answer);

/* In words: "ServerHello TLS 1.2, ECDHE_RSA_WITH_AES_128_GCM_SHA256", "alert
 * handshake_failure"... */
enum { PROVE_WORDS_MAX = 640 };
const char *prove_answer_words(const struct prove_answer *answer,
                               char words[PROVE_WORDS_MAX]);

void prove_answer_close(struct prove_answer *answer);

#endif
