#include "proxy/prove_record.h"

#include <string.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

enum {
    TAG_BYTES = 16,
    NONCE_BYTES = 12,
    IMPLICIT_BYTES = 4,
    EXPLICIT_BYTES = 8,
    HEADER_BYTES = 5,
    AAD_BYTES_MAX = 13,
    VERSION_TLS_1_2 = 0x0303
};

static bool open_tls13(struct prove_keys *keys, const uint8_t header[HEADER_BYTES],
                       struct cursor payload, struct prove_plain *plain);
static bool open_tls12(struct prove_keys *keys, uint8_t type, struct cursor payload,
                       struct prove_plain *plain);
static void put_sequence(uint64_t sequence, uint8_t out[EXPLICIT_BYTES]);

bool prove_keys_take(struct prove_keys *keys, const struct prove_session *session)
{
    const uint16_t suite = session->answer.suite;
    const uint8_t *key = wolfSSL_GetServerWriteKey(session->ssl);
    const uint8_t *iv = wolfSSL_GetServerWriteIV(session->ssl);
    const int key_len = wolfSSL_GetKeySize(session->ssl);

    if (suite < 0x1301 || suite > 0x1303 || !key || !iv || key_len <= 0 ||
        (size_t)key_len > sizeof keys->key)
        return false;
    *keys = (struct prove_keys){
        .key_len = (size_t)key_len, .tls13 = true, .chacha = suite == 0x1303};
    memcpy(keys->key, key, keys->key_len);
    memcpy(keys->iv, iv, NONCE_BYTES);
    return true;
}

bool prove_record_open(struct prove_keys *keys, struct cursor *input,
                       struct prove_plain *plain)
{
    const uint8_t *header = input->at;
    const uint8_t type = cursor_u8(input);
    (void)cursor_u16(input);
    const struct cursor payload = cursor_vector16(input);

    if (payload.failed)
        return false;
    return keys->tls13 ? open_tls13(keys, header, payload, plain)
                       : open_tls12(keys, type, payload, plain);
}

struct aead {
    const uint8_t *nonce;
    const uint8_t *aad;
    size_t aad_len;
};

/* `in` ends in the tag. */
static bool decrypt(const struct prove_keys *keys, const struct aead *aead,
                    struct cursor in, uint8_t *out)
{
    const word32 length = (word32)(in.left - TAG_BYTES);
    const uint8_t *tag = in.at + length;
    Aes aes;

    if (keys->chacha)
        return wc_ChaCha20Poly1305_Decrypt(keys->key, aead->nonce, aead->aad,
                                           (word32)aead->aad_len, in.at, length, tag,
                                           out) == 0;
    if (wc_AesInit(&aes, NULL, INVALID_DEVID) != 0)
        return false;
    const bool opened =
        wc_AesGcmSetKey(&aes, keys->key, (word32)keys->key_len) == 0 &&
        wc_AesGcmDecrypt(&aes, out, in.at, length, aead->nonce, NONCE_BYTES, tag,
                         TAG_BYTES, aead->aad, (word32)aead->aad_len) == 0;
    wc_AesFree(&aes);
    return opened;
}

/* RFC 8446 section 5.2 and 5.3. */
static bool open_tls13(struct prove_keys *keys, const uint8_t header[HEADER_BYTES],
                       struct cursor payload, struct prove_plain *plain)
{
    uint8_t nonce[NONCE_BYTES];
    uint8_t sequence[EXPLICIT_BYTES];

    if (payload.left <= TAG_BYTES || payload.left - TAG_BYTES > PROVE_PLAIN_MAX)
        return false;
    memcpy(nonce, keys->iv, NONCE_BYTES);
    put_sequence(keys->sequence++, sequence);
    for (size_t i = 0; i < EXPLICIT_BYTES; i++)
        nonce[IMPLICIT_BYTES + i] ^= sequence[i];
    const struct aead aead = {.nonce = nonce, .aad = header, .aad_len = HEADER_BYTES};
    if (!decrypt(keys, &aead, payload, plain->bytes))
        return false;
    plain->length = payload.left - TAG_BYTES;
    while (plain->length > 0 && plain->bytes[plain->length - 1] == 0)
        plain->length--;
    if (plain->length == 0)
        return false;
    plain->type = plain->bytes[--plain->length];
    return true;
}

static void put_sequence(uint64_t sequence, uint8_t out[EXPLICIT_BYTES])
{
    for (size_t i = 0; i < EXPLICIT_BYTES; i++)
        out[i] = (uint8_t)(sequence >> 8 * (EXPLICIT_BYTES - 1 - i));
}

/* RFC 5246 section 6.2.3.3: sequence, type, version, length of the plaintext. */
static void put_aad(const struct prove_keys *keys, uint8_t type, size_t length,
                    uint8_t aad[AAD_BYTES_MAX])
{
    put_sequence(keys->sequence, aad);
    aad[8] = type;
    aad[9] = VERSION_TLS_1_2 >> 8;
    aad[10] = VERSION_TLS_1_2 & 0xff;
    aad[11] = (uint8_t)(length >> 8);
    aad[12] = (uint8_t)length;
}

/* RFC 5288 section 3: four bytes of the nonce are secret, eight are sent. */
static bool open_tls12(struct prove_keys *keys, uint8_t type, struct cursor payload,
                       struct prove_plain *plain)
{
    uint8_t nonce[NONCE_BYTES];
    uint8_t aad[AAD_BYTES_MAX];

    if (payload.left < EXPLICIT_BYTES + TAG_BYTES ||
        payload.left - EXPLICIT_BYTES - TAG_BYTES > PROVE_PLAIN_MAX)
        return false;
    memcpy(nonce, keys->iv, IMPLICIT_BYTES);
    const struct cursor sent = cursor_take(&payload, EXPLICIT_BYTES);
    memcpy(nonce + IMPLICIT_BYTES, sent.at, EXPLICIT_BYTES);
    plain->length = payload.left - TAG_BYTES;
    plain->type = type;
    put_aad(keys, type, plain->length, aad);
    keys->sequence++;
    const struct aead aead = {.nonce = nonce, .aad = aad, .aad_len = AAD_BYTES_MAX};
    return decrypt(keys, &aead, payload, plain->bytes);
}

size_t prove_record_seal(struct prove_keys *keys, uint8_t type, const uint8_t *bytes,
                         size_t length, uint8_t *out, size_t size)
{
    const size_t payload = EXPLICIT_BYTES + length + TAG_BYTES;
    uint8_t *text = out + HEADER_BYTES + EXPLICIT_BYTES;
    uint8_t nonce[NONCE_BYTES];
    uint8_t aad[AAD_BYTES_MAX];
    Aes aes;

    if (keys->tls13 || length > 1 << 14 || size < HEADER_BYTES + payload)
        return 0;
    const uint8_t header[HEADER_BYTES] = {type, VERSION_TLS_1_2 >> 8,
                                          VERSION_TLS_1_2 & 0xff, (uint8_t)(payload >> 8),
                                          (uint8_t)payload};
    memcpy(out, header, HEADER_BYTES);
    put_sequence(keys->sequence, out + HEADER_BYTES);
    memcpy(nonce, keys->iv, IMPLICIT_BYTES);
    memcpy(nonce + IMPLICIT_BYTES, out + HEADER_BYTES, EXPLICIT_BYTES);
    put_aad(keys, type, length, aad);
    keys->sequence++;
    if (wc_AesInit(&aes, NULL, INVALID_DEVID) != 0)
        return 0;
    const bool sealed =
        wc_AesGcmSetKey(&aes, keys->key, (word32)keys->key_len) == 0 &&
        wc_AesGcmEncrypt(&aes, text, bytes, (word32)length, nonce, NONCE_BYTES,
                         text + length, TAG_BYTES, aad, AAD_BYTES_MAX) == 0;
    wc_AesFree(&aes);
    return sealed ? HEADER_BYTES + payload : 0;
}
