#include "proxy/hello_offer.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "certs/tls_policy.h"

enum {
    RANDOM_BYTES = 32,
    SESSION_ID_MAX = 32,
    BINDER_BYTES_MIN = 32,
    NAME_HOST = 0,
    EXTENSION_PRE_SHARED_KEY = 41,
    EXTENSION_VALUES = 1 << 16
};

#define KEY_SET(type) (1u << (type))

/* Reads the whole of one extension's data; false: malformed, or refused by the reader. */
typedef bool extension_reader(struct hello_offer *offer, struct cursor data);

static extension_reader read_server_name, read_groups, read_signatures, read_alpn,
    read_versions, read_psk_modes, read_pre_shared_key;

static const struct extension {
    uint16_t type;
    const char *name;
    extension_reader *read;
} extensions[] = {
    {0, "server_name", read_server_name},
    {10, "supported_groups", read_groups},
    {13, "signature_algorithms", read_signatures},
    {16, "application_layer_protocol_negotiation", read_alpn},
    {EXTENSION_PRE_SHARED_KEY, "pre_shared_key", read_pre_shared_key},
    {43, "supported_versions", read_versions},
    {45, "psk_key_exchange_modes", read_psk_modes},
};

static bool read_suites(struct hello_offer *offer);
static bool read_compression(struct hello_offer *offer, struct cursor methods);
static bool read_extensions(struct hello_offer *offer, struct cursor list);

static bool refuse_malformed(struct hello_offer *offer, enum hello_alert alert)
{
    return hello_refuse(offer->verdict, HELLO_REFUSAL_MALFORMED, alert);
}

bool hello_offer_read(struct hello_offer *offer, const uint8_t *body, size_t length)
{
    struct cursor message = cursor_over(body, length);
    offer->hello->legacy_version = cursor_u16(&message);
    cursor_take(&message, RANDOM_BYTES);
    const struct cursor session_id = cursor_vector8(&message);
    offer->suites = cursor_vector16(&message);
    const struct cursor compression = cursor_vector8(&message);
    /* A hello of TLS 1.2 may end here. */
    struct cursor list = {0};
    if (message.left > 0)
        list = cursor_vector16(&message);
    if (!cursor_is_done(&message) || session_id.left > SESSION_ID_MAX) {
        error_set(&offer->verdict->error,
                  "malformed ClientHello: its parts do not add up");
        return refuse_malformed(offer, HELLO_ALERT_DECODE_ERROR);
    }
    return read_suites(offer) && read_compression(offer, compression) &&
           read_extensions(offer, list);
}

/* Ours: by their code points, with what they sign and encrypt with. */
static void note_suite(struct hello_offer *offer, uint16_t suite)
{
    static const struct {
        uint16_t tls13, ecdsa, rsa;
    } suites[CIPHER_COUNT] = {
        [CIPHER_AES_128_GCM] = {0x1301, 0xc02b, 0xc02f},
        [CIPHER_AES_256_GCM] = {0x1302, 0xc02c, 0xc030},
        [CIPHER_CHACHA20_POLY1305] = {0x1303, 0xcca9, 0xcca8},
    };
    struct hello *hello = offer->hello;

    for (unsigned i = 0; i < CIPHER_COUNT; i++) {
        const uint8_t cipher = (uint8_t)(1u << i);
        hello->ciphers_tls13 |= suite == suites[i].tls13 ? cipher : 0;
        hello->ciphers_ecdsa |= suite == suites[i].ecdsa ? cipher : 0;
        hello->ciphers_rsa |= suite == suites[i].rsa ? cipher : 0;
    }
}

static bool read_suites(struct hello_offer *offer)
{
    struct cursor suites = offer->suites;
    if (suites.left == 0 || suites.left % 2 != 0) {
        error_set(&offer->verdict->error,
                  "malformed ClientHello: cipher suites of %zu bytes", suites.left);
        return refuse_malformed(offer, HELLO_ALERT_DECODE_ERROR);
    }
    while (suites.left > 0) {
        const uint16_t suite = cursor_u16(&suites);
        if (hello_is_grease(suite) || hello_is_signal_suite(suite))
            continue;
        offer->hello->suite_count++;
        note_suite(offer, suite);
    }
    offer->suite_ecdsa = offer->hello->ciphers_ecdsa != 0;
    offer->suite_rsa = offer->hello->ciphers_rsa != 0;
    offer->hello->suite_tls13 = offer->hello->ciphers_tls13 != 0;
    offer->hello->suite_tls12 = offer->suite_ecdsa || offer->suite_rsa;
    return true;
}

static bool read_compression(struct hello_offer *offer, struct cursor methods)
{
    offer->only_null_compression = methods.left == 1;
    while (methods.left > 0)
        if (cursor_u8(&methods) == 0)
            return true;
    error_set(&offer->verdict->error,
              "malformed ClientHello: null compression is not offered");
    return refuse_malformed(offer, HELLO_ALERT_ILLEGAL_PARAMETER);
}

static bool read_extension(struct hello_offer *offer, uint16_t type, struct cursor data)
{
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
        if (extensions[i].type != type)
            continue;
        if (extensions[i].read(offer, data))
            return true;
        if (offer->verdict->refusal != HELLO_REFUSAL_NONE)
            return false;
        error_set(&offer->verdict->error, "malformed ClientHello: extension %s",
                  extensions[i].name);
        return refuse_malformed(offer, HELLO_ALERT_DECODE_ERROR);
    }
    return true;
}

/* The bit for each type seen costs 8 KiB of stack, and keeps thousands of tiny extensions
 * from costing a comparison with each other. */
static bool read_extensions(struct hello_offer *offer, struct cursor list)
{
    uint8_t seen[EXTENSION_VALUES / 8] = {0};
    while (list.left > 0) {
        const uint16_t type = cursor_u16(&list);
        const struct cursor data = cursor_vector16(&list);
        if (list.failed) {
            error_set(&offer->verdict->error,
                      "malformed ClientHello: extensions cut short");
            return refuse_malformed(offer, HELLO_ALERT_DECODE_ERROR);
        }
        const uint8_t bit = (uint8_t)(1u << type % 8);
        if (seen[type / 8] & bit) {
            error_set(&offer->verdict->error, "malformed ClientHello: extension %u twice",
                      type);
            return refuse_malformed(offer, HELLO_ALERT_ILLEGAL_PARAMETER);
        }
        seen[type / 8] |= bit;
        if (!read_extension(offer, type, data))
            return false;
        /* Its binders sign everything in front of them (RFC 8446 section 4.2.11). */
        if (type == EXTENSION_PRE_SHARED_KEY && list.left > 0) {
            error_set(&offer->verdict->error,
                      "malformed ClientHello: pre_shared_key is not the last extension");
            return refuse_malformed(offer, HELLO_ALERT_ILLEGAL_PARAMETER);
        }
    }
    return true;
}

/* unrecognized_name is the one alert that RFC 6066 section 3 has for names, and it tells
 * the client's user what to look at. */
static bool refuse_name(struct hello_offer *offer)
{
    offer->hello->sni[0] = '\0';
    return hello_refuse(offer->verdict, HELLO_REFUSAL_SNI, HELLO_ALERT_UNRECOGNIZED_NAME);
}

/* Clients must not send addresses here (RFC 6066 section 3) but some do; they are kept as
 * text, which no certificate is found by. */
static bool take_name(struct hello_offer *offer, struct cursor name)
{
    char *sni = offer->hello->sni;
    size_t length = 0;
    int foreign = -1; /* first byte that no host name has */
    while (name.left > 0) {
        const uint8_t byte = cursor_u8(&name);
        const bool usual = (byte < 0x80 && isalnum(byte)) || strchr("-._", byte) != NULL;
        if ((!usual || byte == '\0') && foreign < 0)
            foreign = byte;
        sni[length++] = (char)(byte < 0x80 ? tolower(byte) : byte);
    }
    sni[length] = '\0';

    struct in6_addr address;
    if (foreign >= 0 && (foreign != ':' || inet_pton(AF_INET6, sni, &address) != 1)) {
        error_set(
            &offer->verdict->error,
            "client asks for a server name with byte 0x%02x, which no host name has",
            (unsigned)foreign);
        return refuse_name(offer);
    }
    if (sni[length - 1] == '.')
        sni[--length] = '\0';
    if (length == 0) {
        error_set(&offer->verdict->error,
                  "client asks for a server name without a label");
        return refuse_name(offer);
    }
    return true;
}

/* RFC 6066 section 3: at most one name of each type, and host_name is the only type. */
static bool read_server_name(struct hello_offer *offer, struct cursor data)
{
    struct cursor names = cursor_vector16(&data);
    const uint8_t type = cursor_u8(&names);
    const struct cursor name = cursor_vector16(&names);
    if (!cursor_is_done(&data) || !cursor_is_done(&names))
        return false;
    if (type != NAME_HOST) {
        error_set(&offer->verdict->error,
                  "client names a server by type %u, not by host name", type);
        return refuse_name(offer);
    }
    if (name.left == 0 || name.left >= HELLO_SNI_MAX) {
        error_set(&offer->verdict->error, "client asks for a server name of %zu bytes",
                  name.left);
        return refuse_name(offer);
    }
    return take_name(offer, name);
}

/* A vector of 16-bit values that fills the extension and is not empty. */
static bool take_values(struct cursor *data, struct cursor *values)
{
    *values = cursor_vector16(data);
    return cursor_is_done(data) && values->left > 0 && values->left % 2 == 0;
}

static bool read_groups(struct hello_offer *offer, struct cursor data)
{
    struct cursor values;
    if (!take_values(&data, &values))
        return false;
    offer->hello->has_groups = true;
    offer->groups = values;
    while (values.left > 0) {
        const uint16_t group = cursor_u16(&values);
        offer->hello->group_hybrid |= group == 0x11ec;
        offer->hello->group_x25519 |= group == 0x001d;
        offer->hello->group_p256 |= group == 0x0017;
        offer->group_p384 |= group == 0x0018;
    }
    return true;
}

/* In TLS 1.3 a scheme names the curve of the key, in TLS 1.2 only the hash; PKCS #1 v1.5
 * signs handshakes in TLS 1.2 only.  SHA-1 counts nowhere. */
static void note_signature(struct hello_offer *offer, uint16_t scheme)
{
    switch (scheme) {
    case 0x0403:
        offer->tls13_key_types |= KEY_SET(KEY_ECDSA_P256);
        offer->tls12_key_types |= KEY_SET(KEY_ECDSA_P256) | KEY_SET(KEY_ECDSA_P384);
        break;
    case 0x0503:
        offer->tls13_key_types |= KEY_SET(KEY_ECDSA_P384);
        offer->tls12_key_types |= KEY_SET(KEY_ECDSA_P256) | KEY_SET(KEY_ECDSA_P384);
        break;
    case 0x0603:
        offer->tls12_key_types |= KEY_SET(KEY_ECDSA_P256) | KEY_SET(KEY_ECDSA_P384);
        break;
    case 0x0807:
        offer->tls13_key_types |= KEY_SET(KEY_ED25519);
        offer->tls12_key_types |= KEY_SET(KEY_ED25519);
        break;
    case 0x0804:
    case 0x0805:
    case 0x0806:
        offer->tls13_key_types |= KEY_SET(KEY_RSA);
        offer->tls12_key_types |= KEY_SET(KEY_RSA);
        break;
    case 0x0401:
    case 0x0501:
    case 0x0601:
        offer->tls12_key_types |= KEY_SET(KEY_RSA);
        break;
    }
}

static bool read_signatures(struct hello_offer *offer, struct cursor data)
{
    struct cursor values;
    if (!take_values(&data, &values))
        return false;
    offer->has_signatures = true;
    offer->signatures = values;
    while (values.left > 0)
        note_signature(offer, cursor_u16(&values));
    return true;
}

static bool read_alpn(struct hello_offer *offer, struct cursor data)
{
    struct cursor names = cursor_vector16(&data);
    if (!cursor_is_done(&data) || names.left == 0)
        return false;
    const uint8_t *list = names.at;
    size_t fitting = 0;
    while (names.left > 0) {
        const struct cursor name = cursor_vector8(&names);
        if (names.failed || name.left == 0)
            return false;
        if ((size_t)(names.at - list) <= HELLO_ALPN_MAX)
            fitting = (size_t)(names.at - list);
    }
    memcpy(offer->hello->alpn, list, fitting);
    offer->hello->alpn_len = fitting;
    return true;
}

static bool read_versions(struct hello_offer *offer, struct cursor data)
{
    const struct cursor values = cursor_vector8(&data);
    if (!cursor_is_done(&data) || values.left == 0 || values.left % 2 != 0)
        return false;
    offer->has_versions = true;
    offer->versions = values;
    return true;
}

static bool read_psk_modes(struct hello_offer *offer, struct cursor data)
{
    struct cursor modes = cursor_vector8(&data);
    if (!cursor_is_done(&data) || modes.left == 0)
        return false;
    offer->has_psk_modes = true;
    while (modes.left > 0) {
        const uint8_t mode = cursor_u8(&modes);
        offer->hello->psk_ke |= mode == 0;
        offer->hello->psk_dhe_ke |= mode == 1;
    }
    return true;
}

/* One binder for each identity (RFC 8446 section 4.2.11). */
static bool read_pre_shared_key(struct hello_offer *offer, struct cursor data)
{
    struct cursor identities = cursor_vector16(&data);
    struct cursor binders = cursor_vector16(&data);
    if (!cursor_is_done(&data) || identities.left == 0)
        return false;
    while (identities.left > 0) {
        const struct cursor identity = cursor_vector16(&identities);
        cursor_take(&identities, 4); /* obfuscated_ticket_age */
        const struct cursor binder = cursor_vector8(&binders);
        if (identities.failed || identity.left == 0 || binder.failed ||
            binder.left < BINDER_BYTES_MIN)
            return false;
    }
    offer->hello->psk_offered = true;
    return cursor_is_done(&binders);
}
