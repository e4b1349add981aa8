#include "config/refusal.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

const char *refusal_of_version(const char *word)
{
    static const char *const old[] = {"1.0",   "1.1",     "SSLv3",
                                      "TLSv1", "TLSv1.0", "TLSv1.1"};
    for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        if (strcasecmp(word, old[i]) == 0) {
            return "it knows no authenticated encryption and is not compiled in";
        }
    }
    return NULL;
}

const char *refusal_of_suite(const char *word)
{
    static const struct {
        const char *part;
        const char *reason;
    } reasons[] = {
        {"NULL", "it encrypts nothing"},
        {"anon", "it authenticates nobody"},
        {"EXPORT", "it was weakened on purpose"},
        {"PSK", "it rests on a secret of outsiders"},
        {"CBC", "CBC mode is not authenticated encryption and is not compiled in"},
        {"RC4", "RC4 is broken"},
        {"DES", "DES is broken"},
        {"DHE_RSA", "finite-field groups are slow and often weak; ECDHE does the same"},
        {"DH_", "a static key exchange is not forward-secret"},
        {"TLS_RSA_", "RSA key exchange is not forward-secret: who gets the certificate's "
                     "key reads all recorded traffic"},
        {"CCM", "CCM is not compiled in; GCM and ChaCha20 are faster and as strong"},
    };
    bool ephemeral = strstr(word, "ECDHE") != NULL;
    if (strstr(word, "_GCM_") != NULL &&
        (ephemeral || strncmp(word, "TLS_AES", 7) == 0)) {
        return "suites are named by their cipher here: AES-128-GCM or AES-256-GCM";
    }
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        bool names_exchange = strncmp(reasons[i].part, "DH", 2) == 0;
        if (strstr(word, reasons[i].part) != NULL && !(ephemeral && names_exchange)) {
            return reasons[i].reason;
        }
    }
    return NULL;
}

const char *refusal_of_group(const char *word)
{
    if (strncasecmp(word, "ffdhe", 5) == 0) {
        return "finite-field groups are slow; use X25519";
    }
    if (strcasecmp(word, "secp384r1") == 0 || strcasecmp(word, "secp521r1") == 0 ||
        strncasecmp(word, "P-", 2) == 0) {
        return "it costs a server several times X25519 and adds no security that the "
               "others lack (P-256 is written secp256r1)";
    }
    return NULL;
}
