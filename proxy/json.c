#include "proxy/json.h"

#include <inttypes.h>

static size_t json_sequence_length(const unsigned char *at);

void json_open(struct json *json, const char *key, char bracket)
{
    json_key(json, key);
    fputc(bracket, json->out);
    json->started = false;
}

void json_close(struct json *json, char bracket)
{
    fputc(bracket, json->out);
    json->started = true;
}

void json_text(struct json *json, const char *key, const char *value)
{
    json_key(json, key);
    if (value)
        json_write_string(json->out, value);
    else
        fputs("null", json->out);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
    json_key(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_signed(struct json *json, const char *key, int64_t value)
{
    json_key(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void json_bool(struct json *json, const char *key, bool value)
{
    json_key(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_ms(struct json *json, const char *key, uint64_t ms)
{
    json_key(json, key);
    fprintf(json->out, "%" PRIu64 ".%03u", ms / 1000, (unsigned)(ms % 1000));
}

void json_key(struct json *json, const char *key)
{
    if (json->started)
        fputc(',', json->out);
    json->started = true;
    if (!key)
        return;
    json_write_string(json->out, key);
    fputc(':', json->out);
}

void json_write_string(FILE *out, const char *value)
{
    const unsigned char *at = (const unsigned char *)value;

    fputc('"', out);
    while (*at) {
        size_t length = json_sequence_length(at);
        if (length == 0) {
            fputs("\\ufffd", out); /* the replacement character */
            at++;
        } else if (*at == '"' || *at == '\\') {
            fprintf(out, "\\%c", *at++);
        } else if (*at < 0x20 || *at == 0x7f) {
            fprintf(out, "\\u%04x", *at++);
        } else {
            fwrite(at, 1, length, out);
            at += length;
        }
    }
    fputc('"', out);
}

/* Of the UTF-8 sequence at `at` (RFC 3629), which ends in NUL somewhere; 0: it is none.
 */
static size_t json_sequence_length(const unsigned char *at)
{
    unsigned low = 0x80, high = 0xbf; /* of the second byte */
    size_t length;

    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    if (at[0] < 0xe0)
        length = 2;
    else
        length = at[0] < 0xf0 ? 3 : 4;
    if (at[0] == 0xe0)
        low = 0xa0; /* else it would have been shorter */
    else if (at[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (at[0] == 0xf0)
        low = 0x90;
    else if (at[0] == 0xf4)
        high = 0x8f; /* beyond Unicode */
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}
