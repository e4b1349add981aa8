#include "proxy/prove_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/cursor.h"
#include "proxy/prove_suites.h"

enum {
    RECORD_CHANGE_CIPHER_SPEC = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_APPLICATION_DATA = 23,
    RECORD_PAYLOAD_MAX = (1 << 14) + 2048,
    ALERT_LEVEL_WARNING = 1,
    TLS_1_3 = 0x0304,
    RANDOM_BYTES = 32,
    CURVE_NAMED = 3
};

enum message_type {
    MESSAGE_SERVER_HELLO = 2,
    MESSAGE_NEW_SESSION_TICKET = 4,
    MESSAGE_CERTIFICATE = 11,
    MESSAGE_SERVER_KEY_EXCHANGE = 12,
    MESSAGE_SERVER_HELLO_DONE = 14,
    MESSAGE_CERTIFICATE_STATUS = 22
};

enum hello_extension {
    EXTENSION_MASTER_SECRET = 23,
    EXTENSION_PSK = 41,
    EXTENSION_VERSIONS = 43,
    EXTENSION_KEY_SHARE = 51,
    EXTENSION_RENEGOTIATION = 0xff01
};

/* One reading of all bytes there are. */
struct reading {
    struct prove_answer *answer; /* borrowed */
    uint8_t *messages;           /* owned: payload of the handshake records */
    size_t length;
    bool whole;
    bool flight_done;
    bool change_cipher_spec;
};

/* The random of a ServerHello that is a HelloRetryRequest: RFC 8446 section 4.1.3. */
static const uint8_t retry_random[RANDOM_BYTES] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
    0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
    0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

static enum prove_progress read_records(struct reading *reading, const uint8_t *bytes,
                                        size_t length);
static bool read_messages(struct reading *reading);
static bool read_message(struct reading *reading, enum message_type type,
                         struct cursor body);
static bool read_server_hello(struct reading *reading, struct cursor body);
static bool read_extensions(struct prove_answer *answer, struct cursor *body, bool retry);
static bool read_certificate(struct prove_answer *answer, struct cursor body);
static bool read_key_exchange(struct prove_answer *answer, struct cursor body);
static bool is_over(const struct reading *reading);

static bool nonsense(struct prove_answer *answer, const char *what)
{
    answer->kind = ANSWER_NONSENSE;
    return error_set(&answer->error, "%s", what);
}

enum prove_progress prove_answer_read(struct prove_answer *answer, const uint8_t *bytes,
                                      size_t length, bool whole)
{
    prove_answer_close(answer);
    *answer = (struct prove_answer){.kind = ANSWER_NONE};
    struct reading reading = {.answer = answer, .whole = whole};
    reading.messages = malloc(length + 1);
    if (!reading.messages) {
        (void)nonsense(answer, "no memory");
        return PROGRESS_DONE;
    }
    const enum prove_progress progress = read_records(&reading, bytes, length);
    free(reading.messages);
    return progress;
}

/* Alerts count wherever they come; warnings only when they are all there is. */
static enum prove_progress read_alert(struct prove_answer *answer, struct cursor payload)
{
    const uint8_t level = cursor_u8(&payload);
    const uint8_t alert = cursor_u8(&payload);

    if (payload.failed) {
        (void)nonsense(answer, "an alert without its two bytes");
        return PROGRESS_DONE;
    }
    /* unrecognized_name may come as a warning with a ServerHello behind it. */
    if (level == ALERT_LEVEL_WARNING && alert != 0)
        return PROGRESS_MORE;
    answer->kind = ANSWER_ALERT;
    answer->alert = alert;
    return PROGRESS_DONE;
}

static bool check_header(struct prove_answer *answer, uint8_t type, uint16_t version,
                         size_t payload)
{
    if (type < RECORD_CHANGE_CIPHER_SPEC || type > RECORD_APPLICATION_DATA ||
        version >> 8 != 3)
        return nonsense(answer, "what came back is not TLS");
    if (payload > RECORD_PAYLOAD_MAX)
        return nonsense(answer, "a record is longer than TLS allows");
    return true;
}

static enum prove_progress read_records(struct reading *reading, const uint8_t *bytes,
                                        size_t length)
{
    struct prove_answer *answer = reading->answer;
    struct cursor input = cursor_over(bytes, length);

    while (input.left >= 5) {
        const uint8_t type = cursor_u8(&input);
        const uint16_t version = cursor_u16(&input);
        const size_t payload_len = cursor_u16(&input);
        if (!check_header(answer, type, version, payload_len))
            return PROGRESS_DONE;
        if (input.left < payload_len)
            return PROGRESS_MORE;
        const struct cursor payload = cursor_take(&input, payload_len);
        if (type == RECORD_ALERT) {
            if (read_alert(answer, payload) == PROGRESS_DONE)
                return PROGRESS_DONE;
        } else if (type == RECORD_HANDSHAKE) {
            memcpy(reading->messages + reading->length, payload.at, payload.left);
            reading->length += payload.left;
            if (!read_messages(reading))
                return PROGRESS_DONE;
        } else if (type == RECORD_CHANGE_CIPHER_SPEC) {
            reading->change_cipher_spec = true;
            answer->is_resumed = answer->kind == ANSWER_SERVER_HELLO &&
                                 answer->version < TLS_1_3 && !reading->flight_done;
        } else {
            answer->is_encrypted = true;
        }
        if (is_over(reading))
            return PROGRESS_DONE;
    }
    if (input.left > 0 && (bytes[length - input.left] < RECORD_CHANGE_CIPHER_SPEC ||
                           bytes[length - input.left] > RECORD_APPLICATION_DATA)) {
        (void)nonsense(answer, "what came back is not TLS");
        return PROGRESS_DONE;
    }
    return PROGRESS_MORE;
}

/* Nothing that follows can be read, or is needed. */
static bool is_over(const struct reading *reading)
{
    const struct prove_answer *answer = reading->answer;

    if (answer->kind == ANSWER_RETRY)
        return !reading->whole;
    if (answer->kind != ANSWER_SERVER_HELLO)
        return answer->is_encrypted;
    return answer->version >= TLS_1_3 || (reading->flight_done && !reading->whole) ||
           reading->change_cipher_spec || answer->is_encrypted;
}

/* Takes the whole messages off the front.  False: nonsense. */
static bool read_messages(struct reading *reading)
{
    struct cursor input = cursor_over(reading->messages, reading->length);

    while (input.left >= 4 && (reading->whole || !reading->flight_done)) {
        struct cursor ahead = input;
        const enum message_type type = (enum message_type)cursor_u8(&ahead);
        const size_t length = cursor_u24(&ahead);
        if (length > PROVE_ANSWER_BYTES_MAX)
            return nonsense(reading->answer, "a message is too long");
        if (ahead.left < length)
            break;
        const struct cursor body = cursor_take(&ahead, length);
        input = ahead;
        if (!read_message(reading, type, body))
            return false;
    }
    memmove(reading->messages, input.at, input.left);
    reading->length = input.left;
    return true;
}

static bool read_message(struct reading *reading, enum message_type type,
                         struct cursor body)
{
    struct prove_answer *answer = reading->answer;

    if (type == MESSAGE_SERVER_HELLO)
        return read_server_hello(reading, body);
    if (answer->kind != ANSWER_SERVER_HELLO)
        return nonsense(answer, "a handshake message before the ServerHello");
    if (type == MESSAGE_CERTIFICATE)
        return read_certificate(answer, body);
    if (type == MESSAGE_SERVER_KEY_EXCHANGE)
        return read_key_exchange(answer, body);
    if (type == MESSAGE_CERTIFICATE_STATUS) {
        (void)cursor_u8(&body);
        answer->staple_len = cursor_u24(&body);
    } else if (type == MESSAGE_NEW_SESSION_TICKET) {
        answer->ticket_lifetime_s = (uint32_t)cursor_u16(&body) << 16;
        answer->ticket_lifetime_s |= cursor_u16(&body);
        answer->has_ticket = cursor_u16(&body) > 0;
    } else if (type == MESSAGE_SERVER_HELLO_DONE) {
        reading->flight_done = true;
    }
    return !body.failed || nonsense(answer, "a handshake message is cut short");
}

static bool read_server_hello(struct reading *reading, struct cursor body)
{
    struct prove_answer *answer = reading->answer;

    if (answer->kind == ANSWER_SERVER_HELLO)
        return nonsense(answer, "a second ServerHello");
    answer->version = cursor_u16(&body);
    const struct cursor random = cursor_take(&body, RANDOM_BYTES);
    const struct cursor session = cursor_vector8(&body);
    answer->suite = cursor_u16(&body);
    answer->compression = cursor_u8(&body);
    if (body.failed || session.left > RANDOM_BYTES)
        return nonsense(answer, "the ServerHello is cut short");
    answer->has_session_id = session.left > 0;
    const bool retry = memcmp(random.at, retry_random, RANDOM_BYTES) == 0;
    if (retry && answer->retried)
        return nonsense(answer, "a second HelloRetryRequest");
    if (body.left > 0 && !read_extensions(answer, &body, retry))
        return nonsense(answer, "the extensions of the ServerHello are damaged");
    if (answer->version < 0x0300 || answer->version > TLS_1_3)
        return nonsense(answer, "a ServerHello with a version that does not exist");
    answer->retried = answer->retried || retry;
    answer->kind = retry ? ANSWER_RETRY : ANSWER_SERVER_HELLO;
    return true;
}

static void read_key_share(struct prove_answer *answer, struct cursor *data, bool retry)
{
    answer->group = cursor_u16(data);
    if (retry)
        return;
    const struct cursor share = cursor_vector16(data);
    answer->has_share = !share.failed;
    answer->share_len = share.left < PROVE_SHARE_MAX ? share.left : PROVE_SHARE_MAX;
    if (answer->has_share)
        memcpy(answer->share, share.at, answer->share_len);
}

static bool read_extensions(struct prove_answer *answer, struct cursor *body, bool retry)
{
    struct cursor list = cursor_vector16(body);

    while (list.left > 0) {
        const uint16_t type = cursor_u16(&list);
        struct cursor data = cursor_vector16(&list);
        if (list.failed)
            return false;
        if (type == EXTENSION_VERSIONS)
            answer->version = cursor_u16(&data);
        else if (type == EXTENSION_KEY_SHARE)
            read_key_share(answer, &data, retry);
        else if (type == EXTENSION_PSK)
            answer->psk_selected = true;
        else if (type == EXTENSION_RENEGOTIATION)
            answer->renegotiation = true;
        else if (type == EXTENSION_MASTER_SECRET)
            answer->extended_master_secret = true;
        if (data.failed)
            return false;
    }
    return cursor_is_done(body) && !list.failed;
}

static bool read_certificate(struct prove_answer *answer, struct cursor body)
{
    const size_t length = cursor_u24(&body);
    struct cursor list = cursor_take(&body, length);

    if (list.failed || body.left > 0 || answer->chain)
        return nonsense(answer, "the Certificate message is damaged");
    answer->chain = malloc(length + 1);
    if (!answer->chain)
        return nonsense(answer, "no memory");
    while (list.left > 0 && answer->chain_count < PROVE_CHAIN_COUNT_MAX) {
        const size_t size = cursor_u24(&list);
        const struct cursor one = cursor_take(&list, size);
        if (list.failed)
            return nonsense(answer, "the Certificate message is damaged");
        const size_t at = answer->chain_at[answer->chain_count];
        memcpy(answer->chain + at, one.at, one.left);
        answer->chain_at[++answer->chain_count] = at + one.left;
    }
    return true;
}

static unsigned bits_of(struct cursor number)
{
    while (number.left > 0 && number.at[0] == 0)
        (void)cursor_u8(&number);
    if (number.left == 0)
        return 0;
    unsigned bits = (unsigned)(number.left - 1) * 8;
    for (unsigned first = number.at[0]; first > 0; first >>= 1)
        bits++;
    return bits;
}

/* ECDHE: RFC 8422 section 5.4; DHE: RFC 5246 section 7.4.3; PSK hints are not read. */
static bool read_key_exchange(struct prove_answer *answer, struct cursor body)
{
    char text[PROVE_NAME_MAX];
    const char *suite = prove_suite_name(answer->suite, text);
    const unsigned traits = prove_suite_traits(suite);

    answer->has_exchange = true;
    if (strstr(suite, "PSK"))
        (void)cursor_vector16(&body); /* the hint */
    if (strncmp(suite, "ECDH", 4) == 0) {
        if (cursor_u8(&body) == CURVE_NAMED)
            answer->group = cursor_u16(&body);
        const struct cursor point = cursor_vector8(&body);
        if (!point.failed) {
            answer->share_len = point.left;
            memcpy(answer->share, point.at, point.left);
        }
    } else if ((traits & SUITE_DHE) || strncmp(suite, "DH_anon", 7) == 0) {
        answer->dh_bits = bits_of(cursor_vector16(&body));
    }
    return !body.failed || nonsense(answer, "the ServerKeyExchange is cut short");
}

void prove_answer_receive(struct prove_answer *answer, struct prove_link *link)
{
    uint8_t *bytes = malloc(PROVE_ANSWER_BYTES_MAX);
    size_t length = 0;
    enum prove_receipt receipt = RECEIPT_BYTES;

    while (bytes && length < PROVE_ANSWER_BYTES_MAX) {
        size_t got = 0;
        receipt = prove_link_receive(link, bytes + length,
                                     PROVE_ANSWER_BYTES_MAX - length, &got);
        if (receipt != RECEIPT_BYTES)
            break;
        length += got;
        if (prove_answer_read(answer, bytes, length, false) == PROGRESS_DONE)
            break;
    }
    free(bytes);
    if (receipt == RECEIPT_SILENCE)
        link->target->silences++;
    /* An agreement is one even if the flight is never finished. */
    if (answer->kind != ANSWER_NONE)
        return;
    switch (receipt) {
    case RECEIPT_END:
        answer->kind = ANSWER_CLOSED;
        break;
    case RECEIPT_RESET:
        answer->kind = ANSWER_RESET;
        break;
    case RECEIPT_SILENCE:
        answer->kind = ANSWER_SILENCE;
        break;
    case RECEIPT_BYTES:
        (void)nonsense(answer, "more bytes than any answer needs");
        break;
    }
}

bool prove_answer_is_agreement(const struct prove_answer *answer)
{
    return answer->kind == ANSWER_SERVER_HELLO || answer->kind == ANSWER_RETRY;
}

bool prove_answer_is_refusal(const struct prove_answer *answer)
{
    return answer->kind == ANSWER_ALERT || answer->kind == ANSWER_CLOSED ||
           answer->kind == ANSWER_RESET;
}

static const char *agreement_words(const struct prove_answer *answer,
                                   char words[PROVE_WORDS_MAX])
{
    char version[PROVE_NAME_MAX], suite[PROVE_NAME_MAX], group[PROVE_NAME_MAX];

    (void)snprintf(words, PROVE_WORDS_MAX, "%s %s, %s%s%s",
                   answer->kind == ANSWER_RETRY ? "HelloRetryRequest" : "ServerHello",
                   prove_version_name(answer->version, version),
                   prove_suite_name(answer->suite, suite), answer->group ? ", " : "",
                   answer->group ? prove_group_name(answer->group, group) : "");
    return words;
}

const char *prove_answer_words(const struct prove_answer *answer,
                               char words[PROVE_WORDS_MAX])
{
    char name[PROVE_NAME_MAX];

    switch (answer->kind) {
    case ANSWER_SERVER_HELLO:
    case ANSWER_RETRY:
        return agreement_words(answer, words);
    case ANSWER_ALERT:
        (void)snprintf(words, PROVE_WORDS_MAX, "alert %s",
                       prove_alert_name(answer->alert, name));
        return words;
    case ANSWER_CLOSED:
        return "closed without an answer";
    case ANSWER_RESET:
        return "connection reset";
    case ANSWER_SILENCE:
        return "no answer in time";
    case ANSWER_NONSENSE:
    case ANSWER_NONE:
        break;
    }
    (void)snprintf(words, PROVE_WORDS_MAX, "%s", answer->error.text);
    return words;
}

void prove_answer_close(struct prove_answer *answer)
{
    free(answer->chain);
    answer->chain = NULL;
    answer->chain_count = 0;
}
