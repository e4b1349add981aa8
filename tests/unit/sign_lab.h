/*
 * What tests of signing share: certificates of every kind, a keyholder_client, and a
 * keyholder in the same event loop or a socket by which the test plays one.
 */
#ifndef TESTS_SIGN_LAB_H
#define TESTS_SIGN_LAB_H

#include "certs/keyholder.h"
#include "certs/keyholder_client.h"
#include "certs/keyholder_msg.h"
#include "tests/unit/certs_lab.h"
#include "tests/unit/tls_pair.h"

enum { DEADLINE_MS = 5000, KEY_KINDS = 4 };

struct sign_lab {
    struct lab lab;
    struct bundle *chains;
    struct bundle *keys;
    struct certstore *store; /* p256, p384, ed25519, rsa */
    WOLFSSL_CTX *client_contexts[2];
    struct event_base *base;
    struct keyholder_client *signer;
    struct keyholder *keyholder; /* NULL: the test plays it, */
    int holder_fd;               /* by this */
};

extern struct sign_lab sign_lab;

/* For the whole group, then for each test: without a keyholder, or with one. */
int sign_lab_open(void **state);
int sign_lab_close(void **state);
int sign_lab_start_alone(void **state);
int sign_lab_start(void **state);
int sign_lab_stop(void **state);

void sign_lab_make_keyholder(void);
void sign_lab_join_keyholder(void);

long sign_lab_now_ms(void);

/* One turn of the event loop, without waiting. */
void sign_lab_turn(void);

void sign_lab_open_pair(struct tls_pair *pair, size_t certificate,
                        enum tls_pair_version version);

/* Goes on until the server waits for its signature. */
void sign_lab_bring_to_signature(struct tls_pair *pair);

/* Goes on until the handshake is over; whether it succeeded. */
bool sign_lab_complete(struct tls_pair *pair);

#endif
