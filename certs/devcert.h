/*
 * A development CA and a certificate for localhost signed by it, made on demand for
 * `pawl dev` and `pawl demo`.  Never used by `pawl run`.  The keys are made in a child
 * process of their own, so that the caller never has them in its memory.
 */
#ifndef CERTS_DEVCERT_H
#define CERTS_DEVCERT_H

#include <stdbool.h>

#include "proxy/error.h"

enum { DEVCERT_PATH_MAX = 4096 };

struct devcert {
    char ca[DEVCERT_PATH_MAX];    /* ca.pem: what the user may trust */
    char chain[DEVCERT_PATH_MAX]; /* localhost.pem */
    char key[DEVCERT_PATH_MAX];   /* localhost.key, mode 0600 */
    char fingerprint[96];         /* SHA-256 of the leaf as AA:BB:... */
    char ca_fingerprint[96];
};

/* Finds or makes them in `directory` (created 0700 if missing).  What is expired, close
 * to it (30 days), damaged or not matching is made anew; the CA is kept as long as it is
 * good. Two runs at once do not disturb each other. */
bool devcert_ensure(const char *directory, struct devcert *devcert,
                    struct error *error) MUST_CHECK;

/* The user's state directory for Pawl: $XDG_STATE_HOME/pawl or ~/.local/state/pawl. */
bool devcert_default_directory(char *path, size_t size, struct error *error) MUST_CHECK;

#endif
