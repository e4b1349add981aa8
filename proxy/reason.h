/*
 * Why a session ended: the closed set that the log and the counters name, and what each
 * reason means for the two peers.
 */
#ifndef PROXY_REASON_H
#define PROXY_REASON_H

#include <stdbool.h>

#include "proxy/log.h"

enum session_reason {
    REASON_FINISHED,
    REASON_CLIENT_CLOSED,
    REASON_CLIENT_RESET,
    REASON_CLIENT_TRUNCATED,
    REASON_BACKEND_UNREACHABLE,
    REASON_BACKEND_TIMEOUT,
    REASON_BACKEND_RESET,
    REASON_PROXY_UNTRUSTED, /* it may not say who its clients are */
    REASON_PROXY_MALFORMED,
    REASON_SOURCE_LIMIT, /* which one the detail says */
    REASON_HANDSHAKE_TIMEOUT,
    REASON_IDLE_TIMEOUT,
    REASON_HALF_CLOSE_TIMEOUT,
    REASON_HELLO_REFUSED, /* named by hello_refusal_name */
    REASON_NO_ROUTE,      /* nobody serves that name on this listener */
    REASON_NO_PROTOCOL,   /* ALPN without overlap */
    REASON_NO_CERTIFICATE,
    REASON_UNKNOWN_SNI,
    REASON_CLIENT_CERT_MISSING,
    REASON_CLIENT_CERT_UNTRUSTED,
    REASON_CLIENT_CERT_EXPIRED, /* or not yet valid */
    REASON_CLIENT_CERT_REVOKED, /* or the list that would tell is missing */
    REASON_CLIENT_CERT_EKU,     /* not meant for clients */
    REASON_CLIENT_CERT_NOT_ALLOWED,
    REASON_SIGNING_FAILED,
    REASON_TLS_ALERT,
    REASON_TLS_ERROR,
    REASON_FLOOD,
    REASON_WINDOW, /* its keys could not be renewed within the forward-secrecy window */
    REASON_DRAIN,
    REASON_INTERNAL
};
enum { SESSION_REASONS = REASON_INTERNAL + 1 };

struct reason {
    const char *name;
    bool graceful; /* the client gets a close_notify */
    enum log_level level;
};

const struct reason *reason_of(enum session_reason reason);

#endif
