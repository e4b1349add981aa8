/*
 * An OCSP response (RFC 6960) that is stapled to handshakes: read from a file, sent as it
 * is.  Only what decides whether to send it is looked at: which certificate it is about,
 * what it says, and for how long.  The client checks the signature.
 */
#ifndef CERTS_STAPLE_H
#define CERTS_STAPLE_H

#include <time.h>

#include "certs/tls_policy.h"
#include "config/bundle.h"
#include "proxy/error.h"

enum staple_status { STAPLE_GOOD, STAPLE_REVOKED, STAPLE_UNKNOWN };

/* The first answer in a response. */
struct staple_facts {
    struct blob serial; /* of the certificate; borrowed from the response */
    enum staple_status status;
    time_t this_update;
    time_t next_update; /* 0: none is given */
};

struct staple {
    uint8_t *response; /* owned; NULL: there is none to send */
    size_t size;
    time_t from;
    time_t until;     /* 0: for ever */
    const char *name; /* of the certificate's section; borrowed */
    bool warned;      /* that its time is over */
};

/* Reads a DER response; every length in it is checked.  The sentence needs the path in
 * front. */
bool staple_read(struct blob der, struct staple_facts *facts,
                 struct error *error) MUST_CHECK;

/* Takes a copy of the response in `der` if it is fit for the certificate of `serial` at
 * the moment `now`. */
bool staple_open(struct staple *staple, struct blob der, struct blob serial, time_t now,
                 struct error *error) MUST_CHECK;

/* Has it sent to the clients of `context` that ask, as long as its time lasts.  `staple`
 * is borrowed for the life of the context. */
bool staple_attach(WOLFSSL_CTX *context, struct staple *staple) MUST_CHECK;

void staple_close(struct staple *staple);

#endif
