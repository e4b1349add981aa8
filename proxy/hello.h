/*
 * The ClientHello, read before any TLS object exists (RFC 8446 section 4.1.2, RFC 5246
 * section 7.4.1.2).  A slow or hostile client therefore costs its socket and its bytes.
 * Runs in the worker on the worker's scratch; keeps no pointer into its input.
 */
#ifndef PROXY_HELLO_H
#define PROXY_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/error.h"

enum {
    HELLO_BYTES_MAX = 64 * 1024, /* records of one ClientHello, headers included */
    HELLO_RECORD_HEADER = 5,
    HELLO_SNI_MAX = 256,
    HELLO_ALPN_MAX = 256,
};

enum hello_status {
    HELLO_INCOMPLETE, /* so far well-formed; more bytes are needed */
    HELLO_COMPLETE,
    HELLO_REFUSED
};

/* What made a hello unacceptable: a closed set, one counter each. */
enum hello_refusal {
    HELLO_REFUSAL_NONE,
    HELLO_REFUSAL_PLAIN_HTTP, /* an HTTP request where TLS is spoken */
    HELLO_REFUSAL_NOT_TLS,
    HELLO_REFUSAL_MALFORMED,
    HELLO_REFUSAL_TOO_LARGE,
    HELLO_REFUSAL_VERSION,   /* nothing from TLS 1.2 up */
    HELLO_REFUSAL_SUITE,     /* no suite with ephemeral key exchange and AEAD */
    HELLO_REFUSAL_GROUP,     /* no common group */
    HELLO_REFUSAL_SIGNATURE, /* no signature algorithm that any key type could serve */
    HELLO_REFUSAL_PSK_KE,    /* resumption without a fresh key exchange */
    HELLO_REFUSAL_SNI        /* a name that is not a host name */
};
enum { HELLO_REFUSALS = HELLO_REFUSAL_SNI + 1 };

struct hello {
    char sni[HELLO_SNI_MAX];      /* lower case, no trailing dot; "" when absent */
    uint8_t alpn[HELLO_ALPN_MAX]; /* the ProtocolNameList as sent, without its length; cut
                                     between names when larger */
    size_t alpn_len;
    uint16_t legacy_version;
    uint16_t
        best_version;   /* highest offered one that we speak (0x0303, 0x0304), else 0 */
    uint32_t key_types; /* set of 1u << enum key_type whose signatures are accepted with
                           best_version; TLS 1.2: the suites allow it too */
    bool has_groups;    /* supported_groups was sent */
    bool group_hybrid;  /* X25519MLKEM768 */
    bool group_x25519;
    bool group_p256;
    bool suite_tls13;      /* any of our TLS 1.3 suites */
    bool suite_tls12;      /* any of our TLS 1.2 suites */
    uint8_t ciphers_tls13; /* sets of 1u << enum tls_cipher, by what goes with them */
    uint8_t ciphers_ecdsa; /* TLS 1.2: ECDSA and EdDSA certificates */
    uint8_t ciphers_rsa;
    bool psk_offered;
    bool psk_dhe_ke; /* among psk_key_exchange_modes */
    bool psk_ke;
    size_t suite_count;
};

/* The parser's progress over growing input, so that one-byte writes cost no rescanning of
 * what was seen.  Zero-initialise for each connection. */
struct hello_scan {
    uint32_t record_offset;   /* of the first record header not yet passed */
    uint32_t handshake_bytes; /* handshake payload in the records passed */
    uint32_t message_bytes; /* length of the whole message with its header; 0: unknown */
};

struct hello_verdict {
    enum hello_refusal refusal;
    uint8_t alert;      /* AlertDescription to send; 0: none, close silently */
    struct error error; /* in words: what the client offered and what was missing */
};

/*
 * Looks at the `length` bytes received so far, always from the connection's first byte,
 * and when the ClientHello is whole fills `hello`, and judges it by the forward-secrecy
 * policy. `assembly` is scratch of at least HELLO_BYTES_MAX bytes, used when the message
 * is spread over several records.
 */
enum hello_status hello_read(struct hello_scan *scan, const uint8_t *bytes, size_t length,
                             uint8_t *assembly, struct hello *hello,
                             struct hello_verdict *verdict) MUST_CHECK;

/* Whether the whole message lay in several records; `assembly` then holds it. */
static inline bool hello_is_spread(const struct hello_scan *scan)
{
    return scan->record_offset != HELLO_RECORD_HEADER + scan->message_bytes;
}

/* The closed set's words for log and counters: "plain_http", "version", ... */
const char *hello_refusal_name(enum hello_refusal refusal);

#endif
