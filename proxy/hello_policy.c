/*
 * What a ClientHello must offer so that every connection gets an ephemeral key exchange
 * and nothing weaker; and, when it does not, what it offered, in words.
 */
#include <stdio.h>
#include <string.h>

#include "certs/tls_policy.h"
#include "proxy/hello_offer.h"

enum { WORDS_MAX = 256, LISTED_MAX = 8, NAME_MAX_BYTES = 32 };

#define KEY_SET(type) (1u << (type))

static uint16_t best_version(const struct hello_offer *offer);
static uint32_t key_types(const struct hello_offer *offer);
static bool judge_version(struct hello_offer *offer);
static bool judge_suite(struct hello_offer *offer);
static bool judge_group(struct hello_offer *offer);
static bool judge_psk(struct hello_offer *offer);
static bool judge_signature(struct hello_offer *offer);

bool hello_policy_judge(struct hello_offer *offer)
{
    offer->hello->best_version = best_version(offer);
    offer->hello->key_types = key_types(offer);
    return judge_version(offer) && judge_suite(offer) && judge_group(offer) &&
           judge_psk(offer) && judge_signature(offer);
}

static bool is_tls13(const struct hello_offer *offer)
{
    return offer->hello->best_version == TLS_VERSION_1_3;
}

/* With supported_versions the list alone counts; without it a client that claims more
 * than TLS 1.2 gets TLS 1.2 (RFC 8446 section 4.2.1). */
static uint16_t best_version(const struct hello_offer *offer)
{
    if (!offer->has_versions)
        return offer->hello->legacy_version >= TLS_VERSION_1_2 ? TLS_VERSION_1_2 : 0;
    uint16_t best = 0;
    struct cursor versions = offer->versions;
    while (versions.left > 0) {
        const uint16_t version = cursor_u16(&versions);
        if ((version == TLS_VERSION_1_2 || version == TLS_VERSION_1_3) && version > best)
            best = version;
    }
    return best;
}

/* TLS 1.2 ties the signature to the suite, and the curve of an ECDSA key to the groups
 * (RFC 8422 section 5.1). */
static uint32_t key_types(const struct hello_offer *offer)
{
    if (is_tls13(offer))
        return offer->tls13_key_types;
    uint32_t possible = 0;
    if (offer->suite_ecdsa)
        possible |= KEY_SET(KEY_ED25519);
    if (offer->suite_ecdsa && offer->hello->group_p256)
        possible |= KEY_SET(KEY_ECDSA_P256);
    if (offer->suite_ecdsa && offer->group_p384)
        possible |= KEY_SET(KEY_ECDSA_P384);
    if (offer->suite_rsa)
        possible |= KEY_SET(KEY_RSA);
    return possible & offer->tls12_key_types;
}

struct value_name {
    uint16_t value;
    const char *name;
};

static const struct value_name version_names[] = {{0x0002, "SSL 2.0"},
                                                  {0x0300, "SSL 3.0"},
                                                  {0x0301, "TLS 1.0"},
                                                  {0x0302, "TLS 1.1"},
                                                  {0x0303, "TLS 1.2"},
                                                  {0x0304, "TLS 1.3"},
                                                  {0, NULL}};

static const struct value_name group_names[] = {{0x0015, "secp224r1"},
                                                {0x0016, "secp256k1"},
                                                {0x0017, "secp256r1"},
                                                {0x0018, "secp384r1"},
                                                {0x0019, "secp521r1"},
                                                {0x001a, "brainpoolP256r1"},
                                                {0x001b, "brainpoolP384r1"},
                                                {0x001c, "brainpoolP512r1"},
                                                {0x001d, "x25519"},
                                                {0x001e, "x448"},
                                                {0x0100, "ffdhe2048"},
                                                {0x0101, "ffdhe3072"},
                                                {0x0102, "ffdhe4096"},
                                                {0x0103, "ffdhe6144"},
                                                {0x0104, "ffdhe8192"},
                                                {0x0200, "mlkem512"},
                                                {0x0201, "mlkem768"},
                                                {0x0202, "mlkem1024"},
                                                {0x11eb, "secp256r1mlkem768"},
                                                {0x11ec, "x25519mlkem768"},
                                                {0x11ed, "secp384r1mlkem1024"},
                                                {0x6399, "x25519kyber768draft00"},
                                                {0, NULL}};

static const struct value_name signature_names[] = {{0x0101, "rsa_pkcs1_md5"},
                                                    {0x0201, "rsa_pkcs1_sha1"},
                                                    {0x0202, "dsa_sha1"},
                                                    {0x0203, "ecdsa_sha1"},
                                                    {0x0301, "rsa_pkcs1_sha224"},
                                                    {0x0303, "ecdsa_sha224"},
                                                    {0x0401, "rsa_pkcs1_sha256"},
                                                    {0x0403, "ecdsa_secp256r1_sha256"},
                                                    {0x0501, "rsa_pkcs1_sha384"},
                                                    {0x0503, "ecdsa_secp384r1_sha384"},
                                                    {0x0601, "rsa_pkcs1_sha512"},
                                                    {0x0603, "ecdsa_secp521r1_sha512"},
                                                    {0x0804, "rsa_pss_rsae_sha256"},
                                                    {0x0805, "rsa_pss_rsae_sha384"},
                                                    {0x0806, "rsa_pss_rsae_sha512"},
                                                    {0x0807, "ed25519"},
                                                    {0x0808, "ed448"},
                                                    {0x0809, "rsa_pss_pss_sha256"},
                                                    {0x080a, "rsa_pss_pss_sha384"},
                                                    {0x080b, "rsa_pss_pss_sha512"},
                                                    {0, NULL}};

/* Cipher suites have no short names that everyone shares; their code points do. */
static const struct value_name suite_names[] = {{0, NULL}};

static void write_name(const struct value_name *names, uint16_t value, char *text,
                       size_t size)
{
    while (names->name != NULL && names->value != value)
        names++;
    if (names->name != NULL)
        snprintf(text, size, "%s", names->name);
    else
        snprintf(text, size, "0x%04x", value);
}

/* "a, b, c" out of a vector of 16-bit values, without the ones that mean nothing. */
static void write_list(const struct value_name *names, struct cursor values, char *text,
                       size_t size)
{
    size_t length = 0;
    unsigned count = 0;
    snprintf(text, size, "none");
    while (values.left > 0) {
        const uint16_t value = cursor_u16(&values);
        if (hello_is_grease(value) ||
            (names == suite_names && hello_is_signal_suite(value)))
            continue;
        char name[NAME_MAX_BYTES] = "...";
        if (count < LISTED_MAX)
            write_name(names, value, name, sizeof name);
        const char *separator = count > 0 ? ", " : "";
        const int added = snprintf(text + length, size - length, "%s%s", separator, name);
        if (count++ == LISTED_MAX || added < 0 || (size_t)added >= size - length)
            return;
        length += (size_t)added;
    }
}

static bool judge_version(struct hello_offer *offer)
{
    if (offer->hello->best_version != 0)
        return true;
    uint16_t highest = offer->has_versions ? 0 : offer->hello->legacy_version;
    struct cursor versions = offer->versions;
    while (versions.left > 0) {
        const uint16_t version = cursor_u16(&versions);
        if (version > highest && !hello_is_grease(version))
            highest = version;
    }
    char name[NAME_MAX_BYTES];
    write_name(version_names, highest, name, sizeof name);
    error_set(&offer->verdict->error,
              "client offers at best %s, TLS 1.2 is the least accepted", name);
    return hello_refuse(offer->verdict, HELLO_REFUSAL_VERSION,
                        HELLO_ALERT_PROTOCOL_VERSION);
}

/* The suites must serve the version that will be negotiated: a client of TLS 1.3 that
 * lists only suites of TLS 1.2 would fail later, without words. */
static bool judge_suite(struct hello_offer *offer)
{
    const struct hello *hello = offer->hello;
    if (is_tls13(offer) ? hello->suite_tls13 : hello->suite_tls12) {
        if (!is_tls13(offer) || offer->only_null_compression)
            return true;
        error_set(&offer->verdict->error,
                  "malformed ClientHello: compression in TLS 1.3");
        return hello_refuse(offer->verdict, HELLO_REFUSAL_MALFORMED,
                            HELLO_ALERT_ILLEGAL_PARAMETER);
    }
    char list[WORDS_MAX];
    const char *plural = hello->suite_count == 1 ? "" : "s";
    write_list(suite_names, offer->suites, list, sizeof list);
    if (is_tls13(offer) && hello->suite_tls12)
        error_set(
            &offer->verdict->error,
            "client offers TLS 1.3 with %zu suite%s (%s), none of TLS 1.3 with AEAD",
            hello->suite_count, plural, list);
    else
        error_set(
            &offer->verdict->error,
            "client offers %zu suite%s (%s), none with ephemeral key exchange and AEAD",
            hello->suite_count, plural, list);
    return hello_refuse(offer->verdict, HELLO_REFUSAL_SUITE,
                        HELLO_ALERT_HANDSHAKE_FAILURE);
}

/* TLS 1.3 demands the extension by itself (RFC 8446 section 9.2); in TLS 1.2 its absence
 * would leave the curve to the server, which is no reason to guess. */
static bool judge_group(struct hello_offer *offer)
{
    const struct hello *hello = offer->hello;
    const bool classic = hello->group_x25519 || hello->group_p256;
    if (classic || (is_tls13(offer) && hello->group_hybrid))
        return true;
    const char *needed =
        is_tls13(offer) ? "x25519mlkem768, x25519 or secp256r1" : "x25519 or secp256r1";
    if (!hello->has_groups) {
        error_set(&offer->verdict->error, "client offers no groups; %s is needed",
                  needed);
        return hello_refuse(offer->verdict, HELLO_REFUSAL_GROUP,
                            is_tls13(offer) ? HELLO_ALERT_MISSING_EXTENSION
                                            : HELLO_ALERT_HANDSHAKE_FAILURE);
    }
    char list[WORDS_MAX];
    write_list(group_names, offer->groups, list, sizeof list);
    error_set(&offer->verdict->error, "client offers groups %s; %s is needed", list,
              needed);
    return hello_refuse(offer->verdict, HELLO_REFUSAL_GROUP,
                        HELLO_ALERT_HANDSHAKE_FAILURE);
}

/*
 * Resumption without a fresh key exchange would let the ticket key open the connection.
 * The client that allows nothing else has no acceptable set of parameters:
 * handshake_failure. Without any modes its hello is incomplete: missing_extension (RFC
 * 8446 section 4.2.9).
 */
static bool judge_psk(struct hello_offer *offer)
{
    const struct hello *hello = offer->hello;
    if (!is_tls13(offer) || !hello->psk_offered || hello->psk_dhe_ke)
        return true;
    if (!offer->has_psk_modes) {
        error_set(&offer->verdict->error,
                  "client offers resumption without psk_key_exchange_modes");
        return hello_refuse(offer->verdict, HELLO_REFUSAL_PSK_KE,
                            HELLO_ALERT_MISSING_EXTENSION);
    }
    error_set(&offer->verdict->error,
              "client offers resumption only without a fresh key "
              "exchange%s; psk_dhe_ke is needed",
              hello->psk_ke ? " (psk_ke)" : "");
    return hello_refuse(offer->verdict, HELLO_REFUSAL_PSK_KE,
                        HELLO_ALERT_HANDSHAKE_FAILURE);
}

static bool judge_signature(struct hello_offer *offer)
{
    if (offer->hello->key_types != 0)
        return true;
    if (!offer->has_signatures) {
        error_set(&offer->verdict->error, "client offers no signature_algorithms");
        return hello_refuse(offer->verdict, HELLO_REFUSAL_SIGNATURE,
                            is_tls13(offer) ? HELLO_ALERT_MISSING_EXTENSION
                                            : HELLO_ALERT_HANDSHAKE_FAILURE);
    }
    char list[WORDS_MAX];
    write_list(signature_names, offer->signatures, list, sizeof list);
    error_set(&offer->verdict->error,
              "client accepts signatures %s; none that a key of ours "
              "could make for its %s suites%s",
              list, is_tls13(offer) ? "TLS 1.3" : "TLS 1.2",
              is_tls13(offer) ? "" : " and groups");
    return hello_refuse(offer->verdict, HELLO_REFUSAL_SIGNATURE,
                        HELLO_ALERT_HANDSHAKE_FAILURE);
}
