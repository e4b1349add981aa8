/*
 * Tells whether some memory holds a key of which only an effect is known, by trying every
 * 32 bytes of it, for the test that searches Pawl's memory for keys.
 *
 *   key_finder ticket TICKET           the AES-256 key that opens a session ticket
 *   key_finder x25519 PUBLIC           the private key of a public one
 *   key_finder p256 PUBLIC             the same, PUBLIC is 04 || x || y
 *   key_finder mlkem PUBLIC SHARED     the random message that ML-KEM wrapped
 *
 * Arguments are hexadecimal, the memory is standard input.  Prints each key found.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/sha3.h>

enum { KEY_BYTES = 32, STEP = 4, ARGUMENT_MAX = 2048, NAME_BYTES = 16, IV_BYTES = 16 };

struct argument {
    byte bytes[ARGUMENT_MAX];
    word32 length;
};

static struct argument first, second;

static void fail(const char *what)
{
    fprintf(stderr, "key_finder: %s\n", what);
    exit(1);
}

static void read_hex(const char *text, struct argument *argument)
{
    for (; text[0] && text[1]; text += 2) {
        const char digits[3] = {text[0], text[1], 0};
        if (argument->length == ARGUMENT_MAX)
            fail("an argument is too long");
        argument->bytes[argument->length++] = (byte)strtoul(digits, NULL, 16);
    }
}

/* A ticket is name, iv, length, ciphertext and tag.  The plaintext begins with the
 * version and the suite and tells at 67 how long the nonce is.  To encrypt the ciphertext
 * in GCM is to decrypt it, and needs no tag. */
static bool opens_ticket(const byte *key)
{
    enum { HEAD = NAME_BYTES + IV_BYTES + 2, PART = 80, NONCE_LENGTH_AT = 67 };
    byte plain[PART], tag[WC_AES_BLOCK_SIZE];
    Aes aes;

    if (first.length < HEAD + PART)
        fail("the ticket is too short");
    wc_AesInit(&aes, NULL, INVALID_DEVID);
    const bool done =
        wc_AesGcmSetKey(&aes, key, KEY_BYTES) == 0 &&
        wc_AesGcmEncrypt(&aes, plain, first.bytes + HEAD, PART, first.bytes + NAME_BYTES,
                         GCM_NONCE_MID_SZ, tag, sizeof tag, NULL, 0) == 0;
    wc_AesFree(&aes);
    return done && plain[0] == 3 && plain[1] == 4 && plain[2] == 0x13 && plain[3] >= 1 &&
           plain[3] <= 3 && plain[NONCE_LENGTH_AT] == 1;
}

static bool makes_x25519(const byte *key)
{
    byte private[KEY_BYTES], public[KEY_BYTES];

    memcpy(private, key, sizeof private);
    private[0] &= 248;
    private[31] = (byte)((private[31] & 127) | 64);
    return wc_curve25519_make_pub(sizeof public, public, sizeof private, private) == 0 &&
           memcmp(public, first.bytes, sizeof public) == 0;
}

static bool makes_p256_big(const byte *key)
{
    ecc_key pair;
    byte x[KEY_BYTES], y[KEY_BYTES];
    word32 x_length = sizeof x, y_length = sizeof y;

    wc_ecc_init(&pair);
    const bool same = wc_ecc_import_private_key_ex(key, KEY_BYTES, NULL, 0, &pair,
                                                   ECC_SECP256R1) == 0 &&
                      wc_ecc_make_pub(&pair, NULL) == 0 &&
                      wc_ecc_export_public_raw(&pair, x, &x_length, y, &y_length) == 0 &&
                      x_length == sizeof x && memcmp(x, first.bytes + 1, sizeof x) == 0;
    wc_ecc_free(&pair);
    return same;
}

/* Numbers are kept in either order of bytes. */
static bool makes_p256(const byte *key)
{
    byte turned[KEY_BYTES];

    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = key[sizeof turned - 1 - i];
    return makes_p256_big(key) || makes_p256_big(turned);
}

/* FIPS 203, algorithm 17: (K, r) = G(m || H(ek)). */
static bool makes_mlkem(const byte *message)
{
    byte hash[KEY_BYTES], both[2 * KEY_BYTES];
    wc_Sha3 sha;

    wc_InitSha3_256(&sha, NULL, INVALID_DEVID);
    wc_Sha3_256_Update(&sha, first.bytes, first.length);
    wc_Sha3_256_Final(&sha, hash);
    wc_InitSha3_512(&sha, NULL, INVALID_DEVID);
    wc_Sha3_512_Update(&sha, message, KEY_BYTES);
    wc_Sha3_512_Update(&sha, hash, sizeof hash);
    wc_Sha3_512_Final(&sha, both);
    return memcmp(both, second.bytes, KEY_BYTES) == 0;
}

/* Random bytes repeat themselves seldom, texts and pointers often. */
static bool looks_random(const byte *bytes)
{
    bool seen[256] = {false};
    size_t different = 0;

    for (size_t i = 0; i < KEY_BYTES; i++) {
        different += !seen[bytes[i]];
        seen[bytes[i]] = true;
    }
    return different >= 22;
}

static byte *read_memory(size_t *length)
{
    size_t capacity = 1 << 20;
    byte *memory = malloc(capacity);

    *length = 0;
    while (memory != NULL) {
        const size_t got = fread(memory + *length, 1, capacity - *length, stdin);
        *length += got;
        if (got == 0)
            return memory;
        if (*length == capacity) {
            byte *larger = realloc(memory, capacity *= 2);
            if (larger == NULL)
                break;
            memory = larger;
        }
    }
    fail("out of memory");
    return NULL;
}

static void show(const byte *key)
{
    for (size_t i = 0; i < KEY_BYTES; i++)
        printf("%02x", key[i]);
    putchar('\n');
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*is_it)(const byte *key);
    } kinds[] = {{"ticket", opens_ticket},
                 {"x25519", makes_x25519},
                 {"p256", makes_p256},
                 {"mlkem", makes_mlkem}};
    size_t length;

    if (argc < 3)
        fail("usage: key_finder ticket|x25519|p256|mlkem HEX [HEX]");
    read_hex(argv[2], &first);
    if (argc > 3)
        read_hex(argv[3], &second);
    byte *memory = read_memory(&length);
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        if (strcmp(kinds[kind].name, argv[1]) != 0)
            continue;
        for (size_t at = 0; at + KEY_BYTES <= length; at += STEP) {
            if (looks_random(memory + at) && kinds[kind].is_it(memory + at))
                show(memory + at);
        }
    }
    free(memory);
    return 0;
}
