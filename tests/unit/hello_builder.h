/*
 * Builds ClientHellos from a recipe of hexadecimal pieces, wraps them into records, and
 * always reads them from a buffer of exactly their size, so that the sanitizers see every
 * step outside.
 */
#ifndef TESTS_UNIT_HELLO_BUILDER_H
#define TESTS_UNIT_HELLO_BUILDER_H

#include "proxy/hello.h"

enum { BYTES_MAX = 80 * 1024 };

#define SUITES_TLS13  "130113021303"
#define SUITES_ECDSA  "c02bc02ccca9"
#define SUITES_RSA    "c02fc030cca8"
#define SUITES_STATIC "002f0035000ac013"
#define PSK_IDENTITY  "000361626300000000"
#define PSK_BINDER    "200102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
#define PSK           "0009" PSK_IDENTITY "0021" PSK_BINDER

/* Values in hexadecimal; NULL leaves the extension out. */
struct recipe {
    unsigned legacy_version;
    const char *suites;
    const char *compression;
    const char *sni; /* text */
    size_t sni_len;  /* 0: up to its NUL */
    const char *alpn;
    const char *groups;
    const char *signatures;
    const char *versions;
    const char *psk_modes;
    const char *raw;     /* whole extensions as they are */
    size_t filler_bytes; /* of an unknown extension */
    const char *psk;
};

struct bytes {
    uint8_t at[BYTES_MAX];
    size_t length;
};

struct outcome {
    enum hello_status status;
    struct hello hello;
    struct hello_verdict verdict;
    struct hello_scan scan;
};

/* A client of TLS 1.3 and 1.2 with the hybrid group, and one of TLS 1.2 only. */
extern const struct recipe recipe_modern;
extern const struct recipe recipe_tls12;

void put(struct bytes *out, size_t value, size_t width);
void put_hex(struct bytes *out, const char *hex);

/* Writes the handshake message; replaces what `message` held. */
void build(const struct recipe *recipe, struct bytes *message);

/* Cuts the message into records of `payload` bytes. */
void wrap(const struct bytes *message, size_t payload, struct bytes *records);

/* Continues `outcome` with `length` bytes. */
void read_more(struct outcome *outcome, const uint8_t *bytes, size_t length);

struct outcome read_bytes(const uint8_t *bytes, size_t length);
struct outcome read_records(const struct bytes *records);
struct outcome read_message(const struct bytes *message);
struct outcome read_recipe(struct recipe recipe);
struct outcome read_hex(const char *hex);

/* `words` is the whole sentence; NULL: there is one. */
void expect_refusal(const struct outcome *outcome, enum hello_refusal refusal,
                    unsigned alert, const char *words);
void expect_malformed(const struct outcome *outcome);

#endif
