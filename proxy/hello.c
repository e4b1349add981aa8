#include "proxy/hello.h"

#include <string.h>

#include "proxy/hello_offer.h"

enum {
    RECORD_HEADER_BYTES = 5,
    RECORD_PAYLOAD_MAX = 1 << 14,
    RECORD_HANDSHAKE = 22,
    MESSAGE_HEADER_BYTES = 4,
    MESSAGE_CLIENT_HELLO = 1,
    /* What is left for the message when it comes in as few records as possible. */
    MESSAGE_BYTES_MAX = HELLO_BYTES_MAX - RECORD_HEADER_BYTES
};

static enum hello_status read_foreign(const uint8_t *bytes, size_t length,
                                      struct hello_verdict *verdict);
static bool is_whole(const struct hello_scan *scan);
static enum hello_status pass_record(struct hello_scan *scan, const uint8_t *bytes,
                                     size_t length, struct hello_verdict *verdict);
static enum hello_status read_message(const struct hello_scan *scan, const uint8_t *bytes,
                                      uint8_t *assembly, struct hello *hello,
                                      struct hello_verdict *verdict);

enum hello_status hello_read(struct hello_scan *scan, const uint8_t *bytes, size_t length,
                             uint8_t *assembly, struct hello *hello,
                             struct hello_verdict *verdict)
{
    verdict->refusal = HELLO_REFUSAL_NONE;
    verdict->alert = HELLO_ALERT_NONE;
    verdict->error.text[0] = '\0';

    if (length == 0)
        return HELLO_INCOMPLETE;
    if (bytes[0] != RECORD_HANDSHAKE)
        return read_foreign(bytes, length, verdict);

    while (!is_whole(scan)) {
        const enum hello_status passed = pass_record(scan, bytes, length, verdict);
        if (passed != HELLO_COMPLETE)
            return passed;
    }
    return read_message(scan, bytes, assembly, hello, verdict);
}

const char *hello_refusal_name(enum hello_refusal refusal)
{
    switch (refusal) {
    case HELLO_REFUSAL_NONE:
        return "none";
    case HELLO_REFUSAL_PLAIN_HTTP:
        return "plain_http";
    case HELLO_REFUSAL_NOT_TLS:
        return "not_tls";
    case HELLO_REFUSAL_MALFORMED:
        return "malformed";
    case HELLO_REFUSAL_TOO_LARGE:
        return "too_large";
    case HELLO_REFUSAL_VERSION:
        return "version";
    case HELLO_REFUSAL_SUITE:
        return "suite";
    case HELLO_REFUSAL_GROUP:
        return "group";
    case HELLO_REFUSAL_SIGNATURE:
        return "signature";
    case HELLO_REFUSAL_PSK_KE:
        return "psk_ke";
    case HELLO_REFUSAL_SNI:
        return "sni";
    }
    return "unknown";
}

bool hello_refuse(struct hello_verdict *verdict, enum hello_refusal refusal,
                  enum hello_alert alert)
{
    verdict->refusal = refusal;
    verdict->alert = (uint8_t)alert;
    return false;
}

static bool refuse_malformed(struct hello_verdict *verdict, enum hello_alert alert)
{
    return hello_refuse(verdict, HELLO_REFUSAL_MALFORMED, alert);
}

/* Peers that do not speak TLS get no alert: they would show it as garbage, or not at all.
 */
static enum hello_status read_foreign(const uint8_t *bytes, size_t length,
                                      struct hello_verdict *verdict)
{
    static const char *const methods[] = {"GET ",     "HEAD ",    "POST ",  "PUT ",
                                          "DELETE ",  "CONNECT ", "PATCH ", "TRACE ",
                                          "OPTIONS ", "PRI "};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        const size_t method_len = strlen(methods[i]);
        const size_t seen = length < method_len ? length : method_len;
        if (memcmp(bytes, methods[i], seen) != 0)
            continue;
        if (seen < method_len)
            return HELLO_INCOMPLETE;
        error_set(&verdict->error, "client speaks plain HTTP where TLS is expected");
        hello_refuse(verdict, HELLO_REFUSAL_PLAIN_HTTP, HELLO_ALERT_NONE);
        return HELLO_REFUSED;
    }
    if (bytes[0] & 0x80)
        error_set(&verdict->error,
                  "client does not speak TLS: its first byte is 0x%02x, "
                  "as in an SSL 2.0 hello or binary data",
                  bytes[0]);
    else
        error_set(&verdict->error, "client does not speak TLS: its first byte is 0x%02x",
                  bytes[0]);
    hello_refuse(verdict, HELLO_REFUSAL_NOT_TLS, HELLO_ALERT_NONE);
    return HELLO_REFUSED;
}

static bool is_whole(const struct hello_scan *scan)
{
    return scan->message_bytes > 0 && scan->handshake_bytes == scan->message_bytes;
}

/*
 * Judges as much of a record header as has come.  The version in it means nothing (RFC
 * 8446 section 5.1) but tells TLS from other things and SSL 3.0 from TLS.
 */
static bool check_record_header(const struct hello_scan *scan, const uint8_t *record,
                                size_t length, struct hello_verdict *verdict)
{
    if (length >= 1 && record[0] != RECORD_HANDSHAKE) {
        error_set(&verdict->error, "record of type %u inside the ClientHello", record[0]);
        return refuse_malformed(verdict, HELLO_ALERT_UNEXPECTED_MESSAGE);
    }
    if (length >= 2 && record[1] != 3) {
        error_set(&verdict->error, "client does not speak TLS: record version %u",
                  record[1]);
        return scan->record_offset == 0
                   ? hello_refuse(verdict, HELLO_REFUSAL_NOT_TLS, HELLO_ALERT_NONE)
                   : refuse_malformed(verdict, HELLO_ALERT_DECODE_ERROR);
    }
    if (length >= 3 && record[2] == 0) {
        error_set(&verdict->error,
                  "client sends SSL 3.0 records, TLS 1.2 is the least accepted");
        return hello_refuse(verdict, HELLO_REFUSAL_VERSION, HELLO_ALERT_PROTOCOL_VERSION);
    }
    if (length >= 3 && record[2] > 3) {
        error_set(&verdict->error, "record version 0x03%02x does not exist", record[2]);
        return refuse_malformed(verdict, HELLO_ALERT_DECODE_ERROR);
    }
    return true;
}

static bool check_record_length(const struct hello_scan *scan, size_t payload,
                                struct hello_verdict *verdict)
{
    if (payload == 0) {
        error_set(&verdict->error, "empty handshake record");
        return refuse_malformed(verdict, HELLO_ALERT_UNEXPECTED_MESSAGE);
    }
    if (payload > RECORD_PAYLOAD_MAX) {
        error_set(&verdict->error, "record of %zu bytes, at most %d are allowed", payload,
                  RECORD_PAYLOAD_MAX);
        return refuse_malformed(verdict, HELLO_ALERT_RECORD_OVERFLOW);
    }
    if (scan->record_offset + RECORD_HEADER_BYTES + payload > HELLO_BYTES_MAX) {
        error_set(&verdict->error, "ClientHello takes more than %d bytes of records",
                  HELLO_BYTES_MAX);
        return hello_refuse(verdict, HELLO_REFUSAL_TOO_LARGE,
                            HELLO_ALERT_ILLEGAL_PARAMETER);
    }
    return true;
}

/* Copies up to `wanted` bytes of handshake payload from the records at `bytes`, whose
 * headers were checked before, and returns how many there were. */
static size_t collect_payload(const uint8_t *bytes, size_t length, uint8_t *out,
                              size_t wanted)
{
    size_t count = 0;
    struct cursor records = cursor_over(bytes, length);
    while (count < wanted && records.left > RECORD_HEADER_BYTES) {
        cursor_take(&records, 3);
        size_t payload = cursor_u16(&records);
        if (payload > records.left)
            payload = records.left;
        const size_t part = payload < wanted - count ? payload : wanted - count;
        memcpy(out + count, records.at, part);
        count += part;
        cursor_take(&records, payload);
    }
    return count;
}

/* Finds the message's length as soon as its header is there: it may be spread over up to
 * four records, since none is empty. */
static bool learn_message_length(struct hello_scan *scan, const uint8_t *bytes,
                                 size_t length, struct hello_verdict *verdict)
{
    uint8_t header[MESSAGE_HEADER_BYTES];
    const size_t count = collect_payload(bytes, length, header, sizeof header);
    if (count > 0 && header[0] != MESSAGE_CLIENT_HELLO) {
        error_set(&verdict->error, "first handshake message has type %u, not ClientHello",
                  header[0]);
        return refuse_malformed(verdict, HELLO_ALERT_UNEXPECTED_MESSAGE);
    }
    if (count < sizeof header)
        return true;

    struct cursor rest = cursor_over(header + 1, sizeof header - 1);
    const uint32_t message = MESSAGE_HEADER_BYTES + cursor_u24(&rest);
    if (message > MESSAGE_BYTES_MAX) {
        error_set(&verdict->error, "ClientHello of %u bytes, at most %d are accepted",
                  message, MESSAGE_BYTES_MAX);
        return hello_refuse(verdict, HELLO_REFUSAL_TOO_LARGE,
                            HELLO_ALERT_ILLEGAL_PARAMETER);
    }
    scan->message_bytes = message;
    return true;
}

/* Moves past the record at scan->record_offset if it is whole (HELLO_COMPLETE). */
static enum hello_status pass_record(struct hello_scan *scan, const uint8_t *bytes,
                                     size_t length, struct hello_verdict *verdict)
{
    const uint8_t *record = bytes + scan->record_offset;
    const size_t available = length - scan->record_offset;
    if (!check_record_header(scan, record, available, verdict))
        return HELLO_REFUSED;
    /* Its header and a byte must still fit, or the rest could never be received. */
    if (scan->record_offset + RECORD_HEADER_BYTES >= HELLO_BYTES_MAX) {
        error_set(&verdict->error, "ClientHello over %d bytes in its records",
                  HELLO_BYTES_MAX);
        hello_refuse(verdict, HELLO_REFUSAL_TOO_LARGE, HELLO_ALERT_ILLEGAL_PARAMETER);
        return HELLO_REFUSED;
    }
    if (available < RECORD_HEADER_BYTES)
        return HELLO_INCOMPLETE;

    const uint32_t payload = (uint32_t)record[3] << 8 | record[4];
    if (!check_record_length(scan, payload, verdict))
        return HELLO_REFUSED;
    if (scan->message_bytes == 0 && !learn_message_length(scan, bytes, length, verdict))
        return HELLO_REFUSED;
    /* The keys change after the ClientHello, so it ends with its record (RFC 8446
     * section 5.1). */
    if (scan->message_bytes > 0 &&
        scan->handshake_bytes + payload > scan->message_bytes) {
        error_set(&verdict->error,
                  "more handshake data in the last record of the ClientHello");
        refuse_malformed(verdict, HELLO_ALERT_UNEXPECTED_MESSAGE);
        return HELLO_REFUSED;
    }
    if (available - RECORD_HEADER_BYTES < payload)
        return HELLO_INCOMPLETE;

    scan->record_offset += RECORD_HEADER_BYTES + payload;
    scan->handshake_bytes += payload;
    return HELLO_COMPLETE;
}

static enum hello_status read_message(const struct hello_scan *scan, const uint8_t *bytes,
                                      uint8_t *assembly, struct hello *hello,
                                      struct hello_verdict *verdict)
{
    const uint8_t *message = bytes + RECORD_HEADER_BYTES;
    const bool in_one_record =
        scan->record_offset == RECORD_HEADER_BYTES + scan->message_bytes;
    if (!in_one_record) {
        collect_payload(bytes, scan->record_offset, assembly, scan->message_bytes);
        message = assembly;
    }

    memset(hello, 0, sizeof *hello);
    struct hello_offer offer = {.hello = hello, .verdict = verdict};
    if (!hello_offer_read(&offer, message + MESSAGE_HEADER_BYTES,
                          scan->message_bytes - MESSAGE_HEADER_BYTES))
        return HELLO_REFUSED;
    return hello_policy_judge(&offer) ? HELLO_COMPLETE : HELLO_REFUSED;
}
