#include "proxy/prove_connection.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/kdf.h>
#include <wolfssl/wolfcrypt/memory.h>

#include "proxy/prove_hello.h"

enum {
    RECORD_CHANGE_CIPHER_SPEC = 20,
    RECORD_HANDSHAKE = 22,
    MESSAGE_CLIENT_KEY_EXCHANGE = 16,
    MESSAGE_FINISHED = 20,
    RANDOM_AT = 4 + 2, /* in either hello */
    RANDOM_BYTES = 32,
    MASTER_BYTES = 48,
    X25519_BYTES = CURVE25519_KEYSIZE,
    X25519 = 0x001d,
    HASH_BYTES_MAX = 48,
    IMPLICIT_BYTES = 4,
    TLS_1_2 = 0x0303
};

/* What the keys are made from. */
struct agreement {
    struct prove_answer answer;
    size_t server_hello_at; /* in the transcript */
    bool sha384;
    size_t key_len;
    uint8_t public_key[X25519_BYTES];
    uint8_t shared[X25519_BYTES];
    uint8_t master[MASTER_BYTES];
};

static bool agree(struct prove_connection *connection, struct agreement *agreement,
                  struct error *error);
static bool exchange_keys(struct prove_connection *connection,
                          struct agreement *agreement, struct error *error);
static bool make_secrets(struct prove_connection *connection,
                         struct agreement *agreement) MUST_CHECK;
static bool finish(struct prove_connection *connection, const struct agreement *agreement,
                   struct error *error);
static bool add(struct prove_connection *connection, const void *bytes, size_t length);

bool prove_connection_open(struct prove_connection *connection,
                           struct prove_target *target, struct error *error)
{
    struct agreement agreement = {.sha384 = false};

    *connection = (struct prove_connection){.link = {.fd = -1}};
    connection->in.bytes = malloc(PROVE_CAPTURE_MAX);
    connection->transcript = malloc(PROVE_TRANSCRIPT_MAX);
    if (!connection->in.bytes || !connection->transcript)
        return error_set(error, "no memory");
    const bool open = prove_link_open(&connection->link, target, error) &&
                      agree(connection, &agreement, error) &&
                      exchange_keys(connection, &agreement, error) &&
                      finish(connection, &agreement, error);
    prove_answer_close(&agreement.answer);
    wc_ForceZero(&agreement, sizeof agreement);
    return open;
}

static bool add(struct prove_connection *connection, const void *bytes, size_t length)
{
    if (length > PROVE_TRANSCRIPT_MAX - connection->transcript_len)
        return false;
    memcpy(connection->transcript + connection->transcript_len, bytes, length);
    connection->transcript_len += length;
    return true;
}

static bool send_record(struct prove_connection *connection, uint8_t type,
                        const uint8_t *bytes, size_t length)
{
    uint8_t record[5 + PROVE_HELLO_BYTES_MAX];
    const uint8_t header[5] = {type, 3, 3, (uint8_t)(length >> 8), (uint8_t)length};

    if (length > PROVE_HELLO_BYTES_MAX)
        return false;
    memcpy(record, header, sizeof header);
    memcpy(record + sizeof header, bytes, length);
    return prove_link_send(&connection->link, record, sizeof header + length);
}

static enum prove_receipt receive_more(struct prove_connection *connection)
{
    struct prove_capture *in = &connection->in;
    size_t got = 0;

    if (in->length == PROVE_CAPTURE_MAX)
        return RECEIPT_RESET;
    const enum prove_receipt receipt = prove_link_receive(
        &connection->link, in->bytes + in->length, PROVE_CAPTURE_MAX - in->length, &got);
    in->length += got;
    return receipt;
}

/* The server's flight is added as it came: what was hashed must be what was sent. */
static bool add_flight(struct prove_connection *connection)
{
    struct cursor input = cursor_over(connection->in.bytes, connection->in.length);

    while (input.left > 0) {
        const uint8_t type = cursor_u8(&input);
        (void)cursor_u16(&input);
        const struct cursor payload = cursor_vector16(&input);
        if (input.failed)
            return false;
        if (type == RECORD_HANDSHAKE && !add(connection, payload.at, payload.left))
            return false;
    }
    connection->in_read = connection->in.length;
    return true;
}

static bool is_usable(const struct agreement *agreement, struct error *error)
{
    const struct prove_answer *answer = &agreement->answer;
    char words[PROVE_WORDS_MAX];

    if (answer->kind != ANSWER_SERVER_HELLO || answer->version != TLS_1_2 ||
        answer->group != X25519 || answer->share_len != X25519_BYTES)
        return error_set(error, "no handshake of TLS 1.2 with X25519 and AES-GCM: %s",
                         prove_answer_words(answer, words));
    return true;
}

static bool agree(struct prove_connection *connection, struct agreement *agreement,
                  struct error *error)
{
    static const uint16_t suites[] = {0xc02b, 0xc02f, 0xc02c, 0xc030};
    static const uint16_t groups[] = {X25519, 0x0017, 0x0018, 0x0019};
    const struct prove_hello hello = {.legacy_version = TLS_1_2,
                                      .suites = suites,
                                      .suite_count = sizeof suites / sizeof suites[0],
                                      .groups = groups,
                                      .group_count = sizeof groups / sizeof groups[0],
                                      .name = connection->link.target->name};
    uint8_t message[PROVE_HELLO_BYTES_MAX];
    struct prove_answer *answer = &agreement->answer;

    const size_t length = prove_hello_message(&hello, message, sizeof message);
    if (length == 0 || !add(connection, message, length) ||
        !send_record(connection, RECORD_HANDSHAKE, message, length))
        return error_set(error, "the hello could not be sent");
    agreement->server_hello_at = length;
    enum prove_progress progress = PROGRESS_MORE;
    while (progress == PROGRESS_MORE && receive_more(connection) == RECEIPT_BYTES)
        progress =
            prove_answer_read(answer, connection->in.bytes, connection->in.length, false);
    if (progress == PROGRESS_MORE)
        return error_set(error, "the server's flight did not come");
    agreement->sha384 = answer->suite == 0xc02c || answer->suite == 0xc030;
    agreement->key_len = agreement->sha384 ? 32 : 16;
    return is_usable(agreement, error) &&
           (add_flight(connection) || error_set(error, "the server's flight is damaged"));
}

static bool make_share(struct agreement *agreement)
{
    static const uint8_t base[X25519_BYTES] = {9};
    uint8_t secret[X25519_BYTES];

    if (getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret)
        return false;
    secret[0] &= 248; /* RFC 7748 section 5 */
    secret[X25519_BYTES - 1] &= 127;
    secret[X25519_BYTES - 1] |= 64;
    const bool made =
        wc_curve25519_generic(X25519_BYTES, agreement->public_key, X25519_BYTES, secret,
                              X25519_BYTES, base) == 0 &&
        wc_curve25519_generic(X25519_BYTES, agreement->shared, X25519_BYTES, secret,
                              X25519_BYTES, agreement->answer.share) == 0;
    wc_ForceZero(secret, sizeof secret);
    return made;
}

static bool exchange_keys(struct prove_connection *connection,
                          struct agreement *agreement, struct error *error)
{
    uint8_t message[5 + X25519_BYTES] = {MESSAGE_CLIENT_KEY_EXCHANGE, 0, 0,
                                         1 + X25519_BYTES, X25519_BYTES};

    if (!make_share(agreement))
        return error_set(error, "the key exchange failed");
    memcpy(message + 5, agreement->public_key, X25519_BYTES);
    if (!add(connection, message, sizeof message) || !make_secrets(connection, agreement))
        return error_set(error, "the keys could not be made");
    return send_record(connection, RECORD_HANDSHAKE, message, sizeof message) ||
           error_set(error, "the key exchange could not be sent");
}

struct prf_input {
    const uint8_t *secret;
    size_t secret_len;
    const char *label;
    const uint8_t *seed;
    size_t seed_len;
};

static bool prf(const struct agreement *agreement, const struct prf_input *input,
                uint8_t *out, size_t length)
{
    return wc_PRF_TLS(out, (word32)length, input->secret, (word32)input->secret_len,
                      (const byte *)input->label, (word32)strlen(input->label),
                      input->seed, (word32)input->seed_len, 1,
                      agreement->sha384 ? sha384_mac : sha256_mac, NULL,
                      INVALID_DEVID) == 0;
}

/* Returns the length of the hash, 0 if there is none. */
static size_t hash_transcript(const struct prove_connection *connection,
                              const struct agreement *agreement,
                              uint8_t hash[HASH_BYTES_MAX])
{
    const word32 length = (word32)connection->transcript_len;

    if (agreement->sha384)
        return wc_Sha384Hash(connection->transcript, length, hash) == 0 ? 48 : 0;
    return wc_Sha256Hash(connection->transcript, length, hash) == 0 ? 32 : 0;
}

static void split_keys(struct prove_connection *connection,
                       const struct agreement *agreement, const uint8_t *block)
{
    struct prove_keys *client = &connection->client;
    struct prove_keys *server = &connection->server;
    const size_t key_len = agreement->key_len;

    *client = (struct prove_keys){.key_len = key_len};
    *server = *client;
    memcpy(client->key, block, key_len);
    memcpy(server->key, block + key_len, key_len);
    memcpy(client->iv, block + 2 * key_len, IMPLICIT_BYTES);
    memcpy(server->iv, block + 2 * key_len + IMPLICIT_BYTES, IMPLICIT_BYTES);
}

/* RFC 5246 sections 6.3 and 8.1; with the extended master secret, RFC 7627 section 4. */
static bool make_secrets(struct prove_connection *connection, struct agreement *agreement)
{
    const uint8_t *client_random = connection->transcript + RANDOM_AT;
    const uint8_t *server_random =
        connection->transcript + agreement->server_hello_at + RANDOM_AT;
    uint8_t seed[2 * RANDOM_BYTES];
    uint8_t hash[HASH_BYTES_MAX];
    uint8_t block[2 * 32 + 2 * IMPLICIT_BYTES];

    const size_t hash_len = hash_transcript(connection, agreement, hash);
    memcpy(seed, client_random, RANDOM_BYTES);
    memcpy(seed + RANDOM_BYTES, server_random, RANDOM_BYTES);
    const bool extended = agreement->answer.extended_master_secret;
    const struct prf_input master = {.secret = agreement->shared,
                                     .secret_len = X25519_BYTES,
                                     .label = extended ? "extended master secret"
                                                       : "master secret",
                                     .seed = extended ? hash : seed,
                                     .seed_len = extended ? hash_len : sizeof seed};
    if (hash_len == 0 || !prf(agreement, &master, agreement->master, MASTER_BYTES))
        return false;
    memcpy(seed, server_random, RANDOM_BYTES);
    memcpy(seed + RANDOM_BYTES, client_random, RANDOM_BYTES);
    const struct prf_input keys = {.secret = agreement->master,
                                   .secret_len = MASTER_BYTES,
                                   .label = "key expansion",
                                   .seed = seed,
                                   .seed_len = sizeof seed};
    if (!prf(agreement, &keys, block, sizeof block))
        return false;
    split_keys(connection, agreement, block);
    return true;
}

static bool send_finished(struct prove_connection *connection,
                          const struct agreement *agreement)
{
    static const uint8_t change = 1;
    uint8_t hash[HASH_BYTES_MAX];
    uint8_t message[4 + PROVE_VERIFY_BYTES] = {MESSAGE_FINISHED, 0, 0,
                                               PROVE_VERIFY_BYTES};

    const struct prf_input finished = {.secret = agreement->master,
                                       .secret_len = MASTER_BYTES,
                                       .label = "client finished",
                                       .seed = hash,
                                       .seed_len =
                                           hash_transcript(connection, agreement, hash)};
    if (finished.seed_len == 0 ||
        !prf(agreement, &finished, connection->verify_data, PROVE_VERIFY_BYTES))
        return false;
    memcpy(message + 4, connection->verify_data, PROVE_VERIFY_BYTES);
    return send_record(connection, RECORD_CHANGE_CIPHER_SPEC, &change, 1) &&
           prove_connection_send(connection, RECORD_HANDSHAKE, message, sizeof message);
}

/* Passes a ticket and what else comes before the server changes its keys. */
static bool await_change(struct prove_connection *connection)
{
    for (;;) {
        struct cursor input = cursor_over(connection->in.bytes + connection->in_read,
                                          connection->in.length - connection->in_read);
        const uint8_t type = cursor_u8(&input);
        (void)cursor_u16(&input);
        (void)cursor_vector16(&input);
        if (!input.failed) {
            connection->in_read = connection->in.length - input.left;
            if (type == RECORD_CHANGE_CIPHER_SPEC)
                return true;
            if (type != RECORD_HANDSHAKE)
                return false;
        } else if (receive_more(connection) != RECEIPT_BYTES) {
            return false;
        }
    }
}

static bool finish(struct prove_connection *connection, const struct agreement *agreement,
                   struct error *error)
{
    struct prove_plain *plain = malloc(sizeof *plain);

    const bool done = plain && send_finished(connection, agreement) &&
                      await_change(connection) &&
                      prove_connection_receive(connection, plain) == RECEIPT_BYTES &&
                      plain->type == RECORD_HANDSHAKE && plain->length > 0 &&
                      plain->bytes[0] == MESSAGE_FINISHED;
    free(plain);
    return done || error_set(error, "the server did not finish the handshake");
}

bool prove_connection_send(struct prove_connection *connection, uint8_t type,
                           const uint8_t *bytes, size_t length)
{
    uint8_t record[PROVE_HELLO_BYTES_MAX + 64];
    const size_t sealed = prove_record_seal(&connection->client, type, bytes, length,
                                            record, sizeof record);
    return sealed > 0 && prove_link_send(&connection->link, record, sealed);
}

enum prove_receipt prove_connection_receive(struct prove_connection *connection,
                                            struct prove_plain *plain)
{
    plain->length = 0;
    for (;;) {
        struct cursor input = cursor_over(connection->in.bytes + connection->in_read,
                                          connection->in.length - connection->in_read);
        const bool opened = prove_record_open(&connection->server, &input, plain);
        if (opened) {
            connection->in_read = connection->in.length - input.left;
            return RECEIPT_BYTES;
        }
        plain->length = 0;
        if (!input.failed)
            return RECEIPT_RESET;
        const enum prove_receipt receipt = receive_more(connection);
        if (receipt != RECEIPT_BYTES)
            return receipt;
    }
}

void prove_connection_close(struct prove_connection *connection)
{
    prove_link_close(&connection->link);
    free(connection->in.bytes);
    free(connection->transcript);
    wc_ForceZero(connection, sizeof *connection);
    connection->link.fd = -1;
}
