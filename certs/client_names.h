/*
 * The names in a client's certificate: judged by the allow lists of a policy, and put in
 * words.
 */
#ifndef CERTS_CLIENT_NAMES_H
#define CERTS_CLIENT_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn.h>

#include "config/config.h"

/* Whether one name of the certificate is in one of the lists, or all lists are empty. */
bool client_names_allow(const struct config_clients *policy,
                        const struct DecodedCert *certificate);

/* Writes the common name; bytes that would end a string become "?". */
void client_names_write_cn(const struct DecodedCert *certificate, char *text,
                           size_t size);

/* Writes the subject alternative names, "DNS:a URI:b", cut between names where there is
 * no room. */
void client_names_write_san(const struct DecodedCert *certificate, char *text,
                            size_t size);

#endif
