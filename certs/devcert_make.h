/*
 * The half of devcert that sees private keys: looks at the files, makes what is missing
 * or bad, and writes it.  Runs only in the child that devcert.c forks for it.
 */
#ifndef CERTS_DEVCERT_MAKE_H
#define CERTS_DEVCERT_MAKE_H

#include "certs/devcert.h"

/* `paths` names the files; `ca_key` is where the CA's key is kept. */
bool devcert_make(const struct devcert *paths, const char *ca_key,
                  struct error *error) MUST_CHECK;

#endif
