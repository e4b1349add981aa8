/*
 * The application behind `pawl demo`: a small web server that shows each request as it
 * arrived through Pawl, with the TLS facts from the PROXY header in front of it.  Its own
 * process, on a loopback socket; nothing it shows is used to decide anything.
 */
#ifndef PROXY_DEMO_H
#define PROXY_DEMO_H

#include "proxy/error.h"

struct demo;
struct event_base;

/*
 * Serves HTTP/1.1 on `listen_fd`, a nonblocking listening socket, which is taken also
 * when this fails (NULL).  Connections start with a PROXY v2 header, or are served
 * without facts when they start with anything else. /          the page          /json
 * the same as JSON      POST /echo  the body again /bytes/N   N bytes, byte i having the
 * value i % 251         /slow/MS    after MS ms
 */
struct demo *demo_new(struct event_base *base, int listen_fd,
                      struct error *error) MUST_CHECK;

/* Ends all connections; `demo` may be NULL. */
void demo_free(struct demo *demo);

#endif
