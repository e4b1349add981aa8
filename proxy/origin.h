/*
 * Where a session behind a load balancer comes from, by the balancer's word.
 */
#ifndef PROXY_ORIGIN_H
#define PROXY_ORIGIN_H

#include "proxy/proxy_read.h"
#include "proxy/session.h"

struct origin {
    union ip_endpoint client;
    union ip_endpoint server; /* that the client connected to */
    struct session_peer via;  /* the balancer */
};

#endif
