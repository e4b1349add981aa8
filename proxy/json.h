/*
 * Writes JSON (RFC 8259) to a stream.  Commas and quotes are its business; every string
 * comes out as valid UTF-8 without control bytes, whatever went in.
 */
#ifndef PROXY_JSON_H
#define PROXY_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *out;    /* borrowed */
    bool started; /* something precedes in the object or array that is open */
};

/* `key` is NULL within arrays and for the outermost value. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);

/* A value of NULL is written as null. */
void json_text(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_signed(struct json *json, const char *key, int64_t value);
void json_bool(struct json *json, const char *key, bool value);

/* Milliseconds, written as seconds. */
void json_ms(struct json *json, const char *key, uint64_t ms);

/* The comma and the key, for a number that the caller writes to `out` itself. */
void json_key(struct json *json, const char *key);

/* `value` in its quotes. */
void json_write_string(FILE *out, const char *value);

#endif
