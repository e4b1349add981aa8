/*
 * `pawl prove`: asks a TLS server what it agrees to and shows the evidence.  A process of
 * its own, which talks to the server as any client could; of a Pawl that it finds through
 * its configuration it asks the control socket and the kernel, too.
 */
#ifndef PROXY_PROVE_H
#define PROXY_PROVE_H

#include <stdbool.h>

struct prove_options {
    const char *host;     /* HOST:PORT; NULL: that of a listener */
    const char *listener; /* its name; NULL: the first of the file */
    const char *file;     /* configuration with the listener */
    const char *control; /* the control socket of a listener's Pawl; NULL: as in `file` */
    const char *ca;      /* trusted certificates; NULL: trust is not judged */
    const char *name;    /* SNI; NULL: HOST, unless it is a number */
    bool json;
};

/* Returns an exit code: failed if a finding says FAIL or nobody could be asked. */
int prove_run(const struct prove_options *options);

#endif
