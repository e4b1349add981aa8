/*
 * The keyholder: the process that holds private keys and does one thing with them, sign.
 * It has one socketpair to its worker, no files and no network; it never exits because of
 * what a worker sent.  Keys of the previous configuration stay until the handshakes that
 * may still need them are over.
 */
#ifndef CERTS_KEYHOLDER_H
#define CERTS_KEYHOLDER_H

#include <event2/event.h>

#include "config/bundle.h"
#include "config/config.h"
#include "proxy/error.h"

struct keyholder;

/* `base` is borrowed. */
struct keyholder *keyholder_new(struct event_base *base, struct error *error) MUST_CHECK;

/* Loads every private key of `config` from the bundle `keys` (blobs named by the key's
 * path) aside and checks that it belongs to the leaf of the chain in `chains`.  All
 * problems go to `report`; keyholder_served says what is left.  A second prepare replaces
 * the first. The bundles are needed only during the call; whoever owns `keys` should
 * close it at once: it holds the key files as text. */
bool keyholder_prepare(struct keyholder *keyholder, const struct config *config,
                       const struct bundle *chains, const struct bundle *keys,
                       struct report *report);

/* The certificates of the prepared configuration that there are keys for; NULL: nothing
 * is prepared. */
const struct cert_set *keyholder_served(const struct keyholder *keyholder);

/* The prepared keys become current; the former ones are kept for
 * limits.handshake_timeout and then wiped. */
void keyholder_commit(struct keyholder *keyholder);

/* Wipes what was prepared. */
void keyholder_abort(struct keyholder *keyholder);

/* Takes the socketpair to the worker; replaces one taken before. */
void keyholder_set_channel(struct keyholder *keyholder, int fd);

/* Whether the worker's end is gone. */
bool keyholder_is_idle(const struct keyholder *keyholder);

void keyholder_free(struct keyholder *keyholder);

#endif
