/*
 * Client certificates in a worker: puts a policy of the configuration on a TLS context.
 * Sessions under a policy are never resumed: a ticket holds no certificate, so resuming
 * would be believing without looking.
 */
#ifndef CERTS_CLIENT_POLICY_H
#define CERTS_CLIENT_POLICY_H

#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "config/bundle.h"
#include "config/config.h"
#include "proxy/error.h"

enum { CLIENT_POLICY_HASH_BYTES = 32 };

/* Checks the files of every policy of `config`; problems go to `report`, naming file,
 * line and policy, unless they were found where the file was read.  False: not all can be
 * put on contexts. */
bool client_policy_check(const struct config *config, const struct bundle *bundle,
                         struct report *report);

/* Has `context` ask for client certificates by `policy`, whose files are in `bundle`. */
bool client_policy_attach(WOLFSSL_CTX *context, const struct config_clients *policy,
                          const struct bundle *bundle, struct error *error) MUST_CHECK;

/* What distinguishes the policy from all others: its files and its lists. */
bool client_policy_hash(const struct config_clients *policy, const struct bundle *bundle,
                        uint8_t hash[CLIENT_POLICY_HASH_BYTES]) MUST_CHECK;

/* What an error of the library means for a certificate or list, in words. */
const char *client_policy_words(int error);

#endif
