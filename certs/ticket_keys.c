#include "certs/ticket_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/random.h>

#include "certs/vault.h"

enum {
    IV_BYTES = 12,
    TAG_BYTES = 16,
    AAD_BYTES = TICKET_NAME_BYTES + TICKET_BINDING_BYTES,
    /* Where the library keeps the nonce of the resumption secret in a ticket's plaintext.
     * It counts up along a chain of resumptions, whose 256th would fail. */
    NONCE_LENGTH_AT = 67,
    NONCE_AT = 68,
    NONCE_LAST = 250
};

/* A key that is ready to use. */
struct ticket_slot {
    struct ticket_key key;
    Aes aes;
    bool ready;
};

struct ticket_keys {
    struct vault vault;        /* owned; holds the slots */
    struct ticket_slot *slots; /* TICKET_RING_KEYS, as in the ring */
    WC_RNG rng;
    struct ticket_counts *counts; /* borrowed, or own_counts */
    struct ticket_counts own_counts;
};

/* A ticket as the library hands it over. */
struct ticket {
    uint8_t *name; /* TICKET_NAME_BYTES */
    uint8_t *iv;   /* WOLFSSL_TICKET_IV_SZ, of which IV_BYTES count */
    uint8_t *mac;  /* WOLFSSL_TICKET_MAC_SZ, of which TAG_BYTES count */
    uint8_t *text;
    word32 length;
};

static int on_ticket(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ],
                     unsigned char iv[WOLFSSL_TICKET_IV_SZ],
                     unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int encrypt,
                     unsigned char *text, int length, int *out_length, void *argument);
static bool ticket_seal(const struct ticket_context *context,
                        const struct ticket *ticket);
static bool ticket_seal_for_nobody(struct ticket_keys *keys, const struct ticket *ticket);
static bool ticket_open(const struct ticket_context *context,
                        const struct ticket *ticket);
static struct ticket_slot *slot_to_encrypt(const struct ticket_keys *keys, uint64_t now);
static struct ticket_slot *slot_by_name(const struct ticket_keys *keys,
                                        const uint8_t *name, uint64_t now);
static void slot_fill(struct ticket_slot *slot, const struct ticket_key *key);
static void slot_wipe(struct ticket_slot *slot);
static void aad_write(uint8_t aad[AAD_BYTES], const struct ticket *ticket,
                      const struct ticket_context *context);

uint64_t ticket_clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool ticket_ring_turn(struct ticket_ring *ring, uint64_t window_ms, uint64_t now_ms,
                      struct error *error)
{
    struct ticket_key *newest = &ring->keys[0];

    for (size_t i = 0; i < TICKET_RING_KEYS; i++) {
        if (ring->keys[i].ends_ms <= now_ms)
            explicit_bzero(&ring->keys[i], sizeof(ring->keys[i]));
    }
    if (newest->ends_ms != 0 && now_ms < newest->encrypts_until_ms)
        return true;
    ring->keys[1] = *newest;
    explicit_bzero(newest, sizeof(*newest));
    if (getrandom(newest->name, sizeof(newest->name), 0) != sizeof(newest->name) ||
        getrandom(newest->secret, sizeof(newest->secret), 0) != sizeof(newest->secret)) {
        explicit_bzero(newest, sizeof(*newest));
        return error_set_errno(error, errno, "cannot make a ticket key");
    }
    newest->encrypts_until_ms = now_ms + window_ms / 2;
    newest->ends_ms = now_ms + window_ms;
    return true;
}

uint64_t ticket_ring_due_ms(const struct ticket_ring *ring)
{
    uint64_t due = ring->keys[0].encrypts_until_ms;

    if (ring->keys[1].ends_ms != 0 && ring->keys[1].ends_ms < due)
        due = ring->keys[1].ends_ms;
    return due;
}

void ticket_ring_wipe(struct ticket_ring *ring)
{
    explicit_bzero(ring, sizeof(*ring));
}

struct ticket_keys *ticket_keys_new(struct error *error)
{
    struct ticket_keys *keys = calloc(1, sizeof(*keys));

    if (!keys || wc_InitRng(&keys->rng) != 0) {
        (void)error_set(error, "cannot start the random number generator for tickets");
        free(keys);
        return NULL;
    }
    keys->counts = &keys->own_counts;
    keys->slots = vault_take(&keys->vault, TICKET_RING_KEYS * sizeof(*keys->slots));
    if (keys->slots)
        return keys;
    (void)error_set(error, "no memory for ticket keys");
    ticket_keys_free(keys);
    return NULL;
}

void ticket_keys_count(struct ticket_keys *keys, struct ticket_counts *counts)
{
    keys->counts = counts;
}

void ticket_keys_replace(struct ticket_keys *keys, const struct ticket_ring *ring)
{
    for (size_t i = 0; i < TICKET_RING_KEYS; i++) {
        slot_wipe(&keys->slots[i]);
        if (ring->keys[i].ends_ms != 0)
            slot_fill(&keys->slots[i], &ring->keys[i]);
    }
}

uint64_t ticket_keys_expire(struct ticket_keys *keys, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < TICKET_RING_KEYS; i++) {
        struct ticket_slot *slot = &keys->slots[i];
        if (slot->ready && slot->key.ends_ms <= now_ms)
            slot_wipe(slot);
        if (slot->ready && slot->key.ends_ms < next)
            next = slot->key.ends_ms;
    }
    return next;
}

void ticket_keys_free(struct ticket_keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; keys->slots && i < TICKET_RING_KEYS; i++)
        slot_wipe(&keys->slots[i]);
    vault_close(&keys->vault);
    wc_FreeRng(&keys->rng);
    free(keys);
}

bool ticket_keys_attach(WOLFSSL_CTX *context, struct ticket_context *tickets,
                        uint64_t window_ms, struct error *error)
{
    const unsigned lifetime_s = (unsigned)(window_ms / 2 / 1000);
    const int lifetime = lifetime_s > 0 ? (int)lifetime_s : 1;

    /* The first is what the client is told, the second what is accepted. */
    if (wolfSSL_CTX_set_TicketEncCb(context, on_ticket) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_set_TicketEncCtx(context, tickets) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_set_TicketHint(context, lifetime) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_set_timeout(context, (unsigned)lifetime) != WOLFSSL_SUCCESS)
        return error_set(error, "cannot set up session tickets");
    return true;
}

/* Sealing never fails, because that would fail the handshake; opening may, and costs a
 * full handshake. */
static int on_ticket(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ],
                     unsigned char iv[WOLFSSL_TICKET_IV_SZ],
                     unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int encrypt,
                     unsigned char *text, int length, int *out_length, void *argument)
{
    const struct ticket_context *context = argument;
    const struct ticket ticket = {
        .name = name, .iv = iv, .mac = mac, .text = text, .length = (word32)length};

    (void)ssl;
    if (!context->keys || length <= NONCE_AT)
        return WOLFSSL_TICKET_RET_REJECT;
    struct ticket_counts *counts = context->keys->counts;
    *out_length = length;
    if (encrypt) {
        bool sealed = ticket_seal(context, &ticket) ||
                      ticket_seal_for_nobody(context->keys, &ticket);
        counts->issued += sealed;
        return sealed ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_REJECT;
    }
    if (ticket_open(context, &ticket) && text[NONCE_LENGTH_AT] == 1 &&
        text[NONCE_AT] < NONCE_LAST) {
        counts->accepted++;
        return WOLFSSL_TICKET_RET_OK;
    }
    counts->rejected++;
    return WOLFSSL_TICKET_RET_REJECT;
}

static bool ticket_seal(const struct ticket_context *context, const struct ticket *ticket)
{
    struct ticket_keys *keys = context->keys;
    struct ticket_slot *slot = slot_to_encrypt(keys, ticket_clock_ms());
    uint8_t aad[AAD_BYTES];

    if (!slot || wc_RNG_GenerateBlock(&keys->rng, ticket->iv, WOLFSSL_TICKET_IV_SZ) != 0)
        return false;
    memcpy(ticket->name, slot->key.name, TICKET_NAME_BYTES);
    aad_write(aad, ticket, context);
    /* The library wants no zero bytes only in what it calls the mac; the tag is its first
     * half, the rest means nothing. */
    memset(ticket->mac, 0xff, WOLFSSL_TICKET_MAC_SZ);
    return wc_AesGcmEncrypt(&slot->aes, ticket->text, ticket->text, ticket->length,
                            ticket->iv, IV_BYTES, ticket->mac, TAG_BYTES, aad,
                            sizeof(aad)) == 0;
}

/* Without a key (the master is gone, say) the client still gets a ticket, of random
 * bytes: its next connection is a full handshake. */
static bool ticket_seal_for_nobody(struct ticket_keys *keys, const struct ticket *ticket)
{
    return wc_RNG_GenerateBlock(&keys->rng, ticket->name, TICKET_NAME_BYTES) == 0 &&
           wc_RNG_GenerateBlock(&keys->rng, ticket->iv, WOLFSSL_TICKET_IV_SZ) == 0 &&
           wc_RNG_GenerateBlock(&keys->rng, ticket->mac, WOLFSSL_TICKET_MAC_SZ) == 0 &&
           wc_RNG_GenerateBlock(&keys->rng, ticket->text, ticket->length) == 0;
}

static bool ticket_open(const struct ticket_context *context, const struct ticket *ticket)
{
    struct ticket_slot *slot =
        slot_by_name(context->keys, ticket->name, ticket_clock_ms());
    uint8_t aad[AAD_BYTES];

    if (!slot)
        return false;
    aad_write(aad, ticket, context);
    return wc_AesGcmDecrypt(&slot->aes, ticket->text, ticket->text, ticket->length,
                            ticket->iv, IV_BYTES, ticket->mac, TAG_BYTES, aad,
                            sizeof(aad)) == 0;
}

static struct ticket_slot *slot_to_encrypt(const struct ticket_keys *keys, uint64_t now)
{
    struct ticket_slot *newest = &keys->slots[0];

    return newest->ready && now < newest->key.encrypts_until_ms ? newest : NULL;
}

/* The clock decides, not whether somebody has come to wipe it yet. */
static struct ticket_slot *slot_by_name(const struct ticket_keys *keys,
                                        const uint8_t *name, uint64_t now)
{
    for (size_t i = 0; i < TICKET_RING_KEYS; i++) {
        struct ticket_slot *slot = &keys->slots[i];
        if (slot->ready && now < slot->key.ends_ms &&
            memcmp(slot->key.name, name, TICKET_NAME_BYTES) == 0)
            return slot;
    }
    return NULL;
}

static void slot_fill(struct ticket_slot *slot, const struct ticket_key *key)
{
    slot->key = *key;
    slot->ready = wc_AesInit(&slot->aes, NULL, INVALID_DEVID) == 0 &&
                  wc_AesGcmSetKey(&slot->aes, key->secret, sizeof(key->secret)) == 0;
}

static void slot_wipe(struct ticket_slot *slot)
{
    if (slot->ready)
        wc_AesFree(&slot->aes);
    explicit_bzero(slot, sizeof(*slot));
}

static void aad_write(uint8_t aad[AAD_BYTES], const struct ticket *ticket,
                      const struct ticket_context *context)
{
    memcpy(aad, ticket->name, TICKET_NAME_BYTES);
    memcpy(aad + TICKET_NAME_BYTES, context->binding, TICKET_BINDING_BYTES);
}
