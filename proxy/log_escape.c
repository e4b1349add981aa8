#include "proxy/log_escape.h"

#include <stdio.h>
#include <string.h>

static bool is_plain(enum log_escape escape, unsigned char byte);
static size_t escape_json(const unsigned char *text, char *out, size_t *taken);
static size_t utf8_length(const unsigned char *text);

size_t log_escape_plain(enum log_escape escape, const char *text)
{
    size_t length = 0;

    while (is_plain(escape, (unsigned char)text[length]))
        length++;
    return length;
}

size_t log_escape_one(enum log_escape escape, const char *text, char *out, size_t *taken)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char byte = (unsigned char)*text;

    *taken = 1;
    if (is_plain(escape, byte)) {
        out[0] = (char)byte;
        return 1;
    }
    if (escape == LOG_ESCAPE_JSON)
        return escape_json((const unsigned char *)text, out, taken);
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
}

bool log_escape_needs_quotes(const char *value)
{
    return *value == '\0' || strpbrk(value, " \t\"=") != NULL;
}

/* Not so the NUL at the end. */
static bool is_plain(enum log_escape escape, unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '\\' &&
           (byte != '"' || escape == LOG_ESCAPE_MESSAGE);
}

/* UTF-8 passes as it is, except for control characters; a byte that is no UTF-8 is shown
 * as the character of that number. */
static size_t escape_json(const unsigned char *text, char *out, size_t *taken)
{
    unsigned shown = text[0];

    if (shown == '"' || shown == '\\') {
        out[0] = '\\';
        out[1] = (char)shown;
        return 2;
    }
    const size_t length = utf8_length(text);
    if (length > 1) {
        *taken = length;
        if (text[0] != 0xc2 || text[1] >= 0xa0) {
            memcpy(out, text, length);
            return length;
        }
        shown = text[1]; /* a control character of two bytes: U+0080 to U+009F */
    }
    (void)snprintf(out, LOG_ESCAPED_MAX, "\\u%04x", shown & 0xff);
    return 6;
}

/* Length of the UTF-8 character of several bytes at `text` (RFC 3629), 0 if there is
 * none.  The NUL at the end of the string is no continuation byte, so nothing past it is
 * read. */
static size_t utf8_length(const unsigned char *text)
{
    const unsigned first = text[0];
    const size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (length == 0 || first > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    const unsigned second = text[1];
    const bool overlong =
        (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool surrogate = first == 0xed && second >= 0xa0;
    const bool beyond = first == 0xf4 && second >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}
