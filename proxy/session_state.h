/*
 * The states of a session, in the order of its life, and their names for log and
 * counters.
 */
#ifndef PROXY_SESSION_STATE_H
#define PROXY_SESSION_STATE_H

enum session_state {
    SESSION_PROXY,     /* only with accept_proxy: the balancer says who the client is */
    SESSION_HELLO,     /* the ClientHello is collected; no TLS object exists */
    SESSION_HANDSHAKE, /* may wait for the keyholder */
    SESSION_CONNECT,   /* a backend address is being reached */
    SESSION_RELAY,
    SESSION_LINGER /* the client takes the last bytes; the backend is closed */
};
enum { SESSION_STATES = SESSION_LINGER + 1 };

const char *session_state_name(enum session_state state);

#endif
