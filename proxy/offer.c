#include "proxy/offer.h"

#include <stdio.h>
#include <string.h>

#include "certs/certcheck.h"
#include "proxy/hello_offer.h"

enum { WORDS_MAX = 160 };

static const char *const cipher_names[CIPHER_COUNT] = {
    [CIPHER_AES_128_GCM] = "AES-128-GCM",
    [CIPHER_AES_256_GCM] = "AES-256-GCM",
    [CIPHER_CHACHA20_POLY1305] = "CHACHA20-POLY1305",
};
static const char *const group_names[GROUP_COUNT] = {
    [GROUP_X25519MLKEM768] = "X25519MLKEM768",
    [GROUP_X25519] = "X25519",
    [GROUP_SECP256R1] = "secp256r1",
};

static bool offer_has_cipher(const struct hello *hello, const struct config_tls *tls,
                             enum key_type key_type, struct hello_verdict *verdict);
static bool offer_has_group(const struct hello *hello, const struct config_tls *tls,
                            struct hello_verdict *verdict);
static bool offer_is_tls13(const struct hello *hello);
static unsigned offer_groups(const struct hello *hello);
static unsigned set_of(const struct choice_list *list);
static void write_set(unsigned set, const char *const *names, size_t count, char *text);

bool offer_is_recent(const struct hello *hello, const struct config_tls *tls,
                     struct hello_verdict *verdict)
{
    if (tls->min_version != TLS_1_3 || offer_is_tls13(hello))
        return true;
    (void)error_set(&verdict->error, "client offers at best TLS 1.2, min_version is 1.3");
    return hello_refuse(verdict, HELLO_REFUSAL_VERSION, HELLO_ALERT_PROTOCOL_VERSION);
}

bool offer_suits(const struct hello *hello, const struct config_tls *tls,
                 enum key_type key_type, struct hello_verdict *verdict)
{
    return offer_has_cipher(hello, tls, key_type, verdict) &&
           offer_has_group(hello, tls, verdict);
}

void offer_explain_keys(const struct hello *hello, struct error *error)
{
    const char *names[KEY_TYPE_COUNT];
    char words[WORDS_MAX];

    for (int type = 0; type < KEY_TYPE_COUNT; type++)
        names[type] = key_type_name((enum key_type)type);
    write_set(hello->key_types, names, KEY_TYPE_COUNT, words);
    (void)error_set(error,
                    "client accepts signatures of %s keys with %s, and no certificate "
                    "for this name has such a key",
                    words, offer_is_tls13(hello) ? "TLS 1.3" : "TLS 1.2");
}

static bool offer_has_cipher(const struct hello *hello, const struct config_tls *tls,
                             enum key_type key_type, struct hello_verdict *verdict)
{
    const unsigned offered = offer_is_tls13(hello) ? hello->ciphers_tls13
                             : key_type == KEY_RSA ? hello->ciphers_rsa
                                                   : hello->ciphers_ecdsa;
    char theirs[WORDS_MAX], ours[WORDS_MAX];

    if (offered & set_of(&tls->suites))
        return true;
    write_set(offered, cipher_names, CIPHER_COUNT, theirs);
    write_set(set_of(&tls->suites), cipher_names, CIPHER_COUNT, ours);
    (void)error_set(&verdict->error,
                    "client offers %s with %s, none that suites allows: %s", theirs,
                    offer_is_tls13(hello) ? "TLS 1.3" : "TLS 1.2", ours);
    return hello_refuse(verdict, HELLO_REFUSAL_SUITE, HELLO_ALERT_HANDSHAKE_FAILURE);
}

static bool offer_has_group(const struct hello *hello, const struct config_tls *tls,
                            struct hello_verdict *verdict)
{
    char theirs[WORDS_MAX], ours[WORDS_MAX];

    if (offer_groups(hello) & set_of(&tls->groups))
        return true;
    write_set(offer_groups(hello), group_names, GROUP_COUNT, theirs);
    write_set(set_of(&tls->groups), group_names, GROUP_COUNT, ours);
    (void)error_set(&verdict->error,
                    "client offers %s with %s, none that groups allows: %s", theirs,
                    offer_is_tls13(hello) ? "TLS 1.3" : "TLS 1.2", ours);
    return hello_refuse(verdict, HELLO_REFUSAL_GROUP, HELLO_ALERT_HANDSHAKE_FAILURE);
}

static bool offer_is_tls13(const struct hello *hello)
{
    return hello->best_version == TLS_VERSION_1_3;
}

/* The hybrid group is one of TLS 1.3 alone. */
static unsigned offer_groups(const struct hello *hello)
{
    return (hello->group_hybrid && offer_is_tls13(hello) ? 1u << GROUP_X25519MLKEM768
                                                         : 0) |
           (hello->group_x25519 ? 1u << GROUP_X25519 : 0) |
           (hello->group_p256 ? 1u << GROUP_SECP256R1 : 0);
}

static unsigned set_of(const struct choice_list *list)
{
    unsigned set = 0;

    for (size_t i = 0; i < list->count; i++)
        set |= 1u << list->items[i];
    return set;
}

/* "A, B"; WORDS_MAX bytes hold all there are. */
static void write_set(unsigned set, const char *const *names, size_t count, char *text)
{
    size_t length = 0;

    (void)snprintf(text, WORDS_MAX, "none");
    for (size_t i = 0; i < count; i++) {
        if (!(set & 1u << i))
            continue;
        const int added = snprintf(text + length, WORDS_MAX - length, "%s%s",
                                   length > 0 ? ", " : "", names[i]);
        if (added < 0 || (size_t)added >= WORDS_MAX - length)
            return;
        length += (size_t)added;
    }
}
