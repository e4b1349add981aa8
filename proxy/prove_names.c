#include "proxy/prove_names.h"

#include <stdio.h>

const struct prove_group prove_groups[] = {
    {0x11ec, "X25519MLKEM768", .tls13 = true, .hybrid = true},
    {0x11eb, "SecP256r1MLKEM768", .tls13 = true, .hybrid = true},
    {0x11ed, "SecP384r1MLKEM1024", .tls13 = true, .hybrid = true},
    {0x0200, "MLKEM512", .tls13 = true, .hybrid = true},
    {0x0201, "MLKEM768", .tls13 = true, .hybrid = true},
    {0x0202, "MLKEM1024", .tls13 = true, .hybrid = true},
    {0x6399, "X25519Kyber768Draft00", .tls13 = true, .hybrid = true},
    {0x001d, "X25519", .tls12 = true, .tls13 = true},
    {0x001e, "X448", .tls12 = true, .tls13 = true},
    {0x0017, "secp256r1", .tls12 = true, .tls13 = true},
    {0x0018, "secp384r1", .tls12 = true, .tls13 = true},
    {0x0019, "secp521r1", .tls12 = true, .tls13 = true},
    {0x0029, "curveSM2", .tls13 = true},
    {0x001f, "brainpoolP256r1tls13", .tls13 = true},
    {0x0020, "brainpoolP384r1tls13", .tls13 = true},
    {0x0021, "brainpoolP512r1tls13", .tls13 = true},
    {0x0100, "ffdhe2048", .tls13 = true},
    {0x0101, "ffdhe3072", .tls13 = true},
    {0x0102, "ffdhe4096", .tls13 = true},
    {0x0103, "ffdhe6144", .tls13 = true},
    {0x0104, "ffdhe8192", .tls13 = true},
    {0x001a, "brainpoolP256r1", .tls12 = true},
    {0x001b, "brainpoolP384r1", .tls12 = true},
    {0x001c, "brainpoolP512r1", .tls12 = true},
    {0x0016, "secp256k1", .tls12 = true},
    {0x0015, "secp224r1", .tls12 = true},
    {0x0014, "secp224k1", .tls12 = true},
    {0x0013, "secp192r1", .tls12 = true, .weak = true},
    {0x0012, "secp192k1", .tls12 = true, .weak = true},
    {0x0011, "secp160r2", .tls12 = true, .weak = true},
    {0x0010, "secp160r1", .tls12 = true, .weak = true},
    {0x000f, "secp160k1", .tls12 = true, .weak = true},
    {0x000e, "sect571r1", .tls12 = true},
    {0x000d, "sect571k1", .tls12 = true},
    {0x000c, "sect409r1", .tls12 = true},
    {0x000b, "sect409k1", .tls12 = true},
    {0x000a, "sect283r1", .tls12 = true},
    {0x0009, "sect283k1", .tls12 = true},
    {0x0008, "sect239k1", .tls12 = true},
    {0x0007, "sect233r1", .tls12 = true},
    {0x0006, "sect233k1", .tls12 = true},
    {0x0005, "sect193r2", .tls12 = true, .weak = true},
    {0x0004, "sect193r1", .tls12 = true, .weak = true},
    {0x0003, "sect163r2", .tls12 = true, .weak = true},
    {0x0002, "sect163r1", .tls12 = true, .weak = true},
    {0x0001, "sect163k1", .tls12 = true, .weak = true},
};

const size_t prove_groups_count = sizeof prove_groups / sizeof prove_groups[0];

const char *prove_group_name(uint16_t id, char text[PROVE_NAME_MAX])
{
    for (size_t i = 0; i < prove_groups_count; i++) {
        if (prove_groups[i].id == id)
            return prove_groups[i].name;
    }
    (void)snprintf(text, PROVE_NAME_MAX, "group 0x%04x", id);
    return text;
}

const char *prove_version_name(uint16_t version, char text[PROVE_NAME_MAX])
{
    static const char *const names[] = {"SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2",
                                        "TLS 1.3"};

    if (version >= 0x0300 && version <= 0x0304)
        return names[version - 0x0300];
    (void)snprintf(text, PROVE_NAME_MAX, "version 0x%04x", version);
    return text;
}

const char *prove_alert_name(uint8_t alert, char text[PROVE_NAME_MAX])
{
    static const struct {
        uint8_t number;
        const char *name;
    } alerts[] = {
        {0, "close_notify"},
        {10, "unexpected_message"},
        {20, "bad_record_mac"},
        {22, "record_overflow"},
        {40, "handshake_failure"},
        {42, "bad_certificate"},
        {47, "illegal_parameter"},
        {48, "unknown_ca"},
        {49, "access_denied"},
        {50, "decode_error"},
        {51, "decrypt_error"},
        {70, "protocol_version"},
        {71, "insufficient_security"},
        {80, "internal_error"},
        {86, "inappropriate_fallback"},
        {90, "user_canceled"},
        {100, "no_renegotiation"},
        {109, "missing_extension"},
        {110, "unsupported_extension"},
        {112, "unrecognized_name"},
        {115, "unknown_psk_identity"},
        {116, "certificate_required"},
        {120, "no_application_protocol"},
    };

    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++) {
        if (alerts[i].number == alert)
            return alerts[i].name;
    }
    (void)snprintf(text, PROVE_NAME_MAX, "alert %u", alert);
    return text;
}
