/*
 * The keys of TLS 1.3 session tickets (STEK).  The master makes them and pushes them to
 * the workers, so that a ticket of one resumes on another; nothing else ever holds them,
 * and no key outlives the forward-secrecy window:
 *
 *   age 0 ........ window / 2 ........ window
 *   encrypts       decrypts only       wiped everywhere
 *
 * A ticket lives half a window, so a key's end comes after the last of its tickets.
 */
#ifndef CERTS_TICKET_KEYS_H
#define CERTS_TICKET_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "proxy/error.h"

enum { TICKET_NAME_BYTES = 16, TICKET_SECRET_BYTES = 32, TICKET_RING_KEYS = 2 };

struct ticket_key {
    uint8_t name[TICKET_NAME_BYTES]; /* public; what a ticket begins with */
    uint8_t secret[TICKET_SECRET_BYTES];
    uint64_t encrypts_until_ms; /* by ticket_clock_ms */
    uint64_t ends_ms;           /* 0: there is no key here */
};

/* The newest first.  Plain bytes, so that it can be sent. */
struct ticket_ring {
    struct ticket_key keys[TICKET_RING_KEYS];
};

/* Milliseconds since boot, time asleep included: a machine that is suspended does not
 * lengthen the life of a key. */
uint64_t ticket_clock_ms(void);

/* For the master: wipes what has ended and makes a new key when the newest may no longer
 * encrypt.  The ring must lie in memory of a vault.  Fails only without random numbers.
 */
bool ticket_ring_turn(struct ticket_ring *ring, uint64_t window_ms, uint64_t now_ms,
                      struct error *error) MUST_CHECK;

/* When ticket_ring_turn has something to do next. */
uint64_t ticket_ring_due_ms(const struct ticket_ring *ring);

void ticket_ring_wipe(struct ticket_ring *ring);

/* A worker's copy. */
struct ticket_keys;

/* What is counted with it, for others to read. */
struct ticket_counts {
    uint64_t issued;
    uint64_t accepted;
    uint64_t rejected; /* shown by a client, and good for nothing here */
};

struct ticket_keys *ticket_keys_new(struct error *error) MUST_CHECK;

/* Has it count in `counts` (borrowed, must outlive the keys) from now on. */
void ticket_keys_count(struct ticket_keys *keys, struct ticket_counts *counts);

/* Replaces all keys by those of `ring`, which stays the caller's to wipe. */
void ticket_keys_replace(struct ticket_keys *keys, const struct ticket_ring *ring);

/* Wipes the keys that have ended.  Returns when the next one ends, UINT64_MAX: never. */
uint64_t ticket_keys_expire(struct ticket_keys *keys, uint64_t now_ms);

void ticket_keys_free(struct ticket_keys *keys);

/* What a ticket is bound to: it resumes only where this is the same. */
enum { TICKET_BINDING_BYTES = 32 };

struct ticket_context {
    struct ticket_keys *keys; /* borrowed; NULL: every ticket is refused */
    uint8_t binding[TICKET_BINDING_BYTES];
};

/* Has `context` issue and accept tickets that live half of `window_ms`.  `tickets` is
 * borrowed for the life of the context. */
bool ticket_keys_attach(WOLFSSL_CTX *context, struct ticket_context *tickets,
                        uint64_t window_ms, struct error *error) MUST_CHECK;

#endif
