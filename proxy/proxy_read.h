/*
 * The PROXY protocol header that a load balancer in front puts before a client's first
 * byte (HAProxy's proxy-protocol.txt, versions 1 and 2).  Strict and bounded; read by the
 * worker, which has made sure that the balancer is one it believes.
 */
#ifndef PROXY_PROXY_READ_H
#define PROXY_PROXY_READ_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proxy/error.h"

enum {
    PROXY_V1_MAX = 107,     /* bytes of a line, with its end */
    PROXY_READ_MAX = 16384, /* bytes of a version 2 header, TLVs included */
};

union ip_endpoint {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct proxy_header {
    size_t length; /* bytes of it; the client's begin there */
    bool known;    /* it names two IP endpoints; else those of the connection hold */
    union ip_endpoint client;
    union ip_endpoint server;
};

enum proxy_status {
    PROXY_INCOMPLETE, /* so far well-formed; more bytes are needed */
    PROXY_COMPLETE,
    PROXY_MALFORMED /* error says how */
};

/* Looks at the `length` bytes received so far, from the connection's first byte. */
enum proxy_status proxy_read(const uint8_t *bytes, size_t length,
                             struct proxy_header *header, struct error *error) MUST_CHECK;

#endif
