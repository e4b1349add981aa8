/*
 * Renegotiation: inside a real connection of TLS 1.2 a second ClientHello is sent, as RFC
 * 5746 wants it, with the Finished of the first handshake in it.  The library cannot do
 * that, so the record is sealed here with the connection's keys.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/prove_hello.h"
#include "proxy/prove_names.h"
#include "proxy/prove_parts.h"
#include "proxy/prove_record.h"

enum {
    RECORD_CHANGE_CIPHER_SPEC = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    MESSAGE_SERVER_HELLO = 2,
    MESSAGE_FINISHED = 20,
    VERIFY_DATA_BYTES = 12,
    ALERT_CLOSE_NOTIFY = 0,
    ANSWER_MS = 2000,
    TLS_1_2 = 0x0303
};

#define AES_GCM_SUITES                                                                   \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                         \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"

/* What came back to the second hello. */
enum outcome {
    OUTCOME_AGREED,
    OUTCOME_ALERT,
    OUTCOME_CLOSED,
    OUTCOME_CLOSES_ANYWAY, /* as it does without a second hello */
    OUTCOME_IGNORED,       /* the connection stayed open, and nothing came */
    OUTCOME_UNREADABLE
};

static void report_info(struct prove *prove);
static void renegotiate(struct prove *prove, struct prove_session *session,
                        struct prove_plain *plain);
static bool send_hello(struct prove *prove, struct prove_session *session,
                       struct prove_plain *plain);
static enum outcome await_answer(struct prove_session *session, struct prove_plain *plain,
                                 uint8_t *alert);
static bool stays_open(struct prove *prove);
static void report_outcome(struct prove *prove, enum outcome outcome, uint8_t alert);

void prove_renegotiate(struct prove *prove)
{
    static const struct prove_session_options options = {.suites = AES_GCM_SUITES};
    struct prove_session session;
    struct error error = {.text = ""};

    if (prove->scans[SCAN_TLS12].count == 0)
        return;
    report_info(prove);
    struct prove_plain *plain = malloc(sizeof *plain);
    if (plain && prove_session_open(&session, &prove->target, &options, &error)) {
        renegotiate(prove, &session, plain);
    } else {
        prove_text_add(&prove->evidence,
                       "no handshake of TLS 1.2 with ECDHE and AES-GCM: %s", error.text);
        PROVE_ADD(prove, PROVE_INFO, "renegotiation", "renegotiation was not tested");
    }
    if (plain)
        prove_session_close(&session);
    free(plain);
}

/* Without it, clients that cannot tell an attack from a renegotiation may refuse. */
static void report_info(struct prove *prove)
{
    prove_text_add(&prove->evidence, "renegotiation_info offered; ServerHello %s it",
                   prove->renegotiation_info ? "has" : "lacks");
    PROVE_ADD(prove, prove->renegotiation_info ? PROVE_OK : PROVE_WARN,
              "renegotiation-info",
              prove->renegotiation_info
                  ? "the server signals secure renegotiation (RFC 5746)"
                  : "the server does not signal secure renegotiation (RFC 5746)");
}

static void renegotiate(struct prove *prove, struct prove_session *session,
                        struct prove_plain *plain)
{
    uint8_t alert = 0;

    if (!send_hello(prove, session, plain)) {
        prove_text_add(&prove->evidence, "the second hello could not be sent");
        PROVE_ADD(prove, PROVE_INFO, "renegotiation", "renegotiation was not tested");
        return;
    }
    enum outcome outcome = await_answer(session, plain, &alert);
    if (outcome == OUTCOME_ALERT && alert == ALERT_CLOSE_NOTIFY)
        outcome = OUTCOME_CLOSED;
    if (outcome == OUTCOME_CLOSED && !stays_open(prove))
        outcome = OUTCOME_CLOSES_ANYWAY;
    report_outcome(prove, outcome, alert);
}

/* The first record after ChangeCipherSpec in what we sent. */
static bool find_finished(struct prove_session *session, struct prove_keys *keys,
                          struct prove_plain *plain)
{
    struct cursor sent = cursor_over(session->out.bytes, session->out.length);

    for (bool changed = false; !changed;) {
        const uint8_t type = cursor_u8(&sent);
        (void)cursor_u16(&sent);
        (void)cursor_vector16(&sent);
        if (sent.failed)
            return false;
        changed = type == RECORD_CHANGE_CIPHER_SPEC;
    }
    return prove_record_open(keys, &sent, plain) &&
           plain->length == 4 + VERIFY_DATA_BYTES && plain->bytes[0] == MESSAGE_FINISHED;
}

static bool send_hello(struct prove *prove, struct prove_session *session,
                       struct prove_plain *plain)
{
    static const uint16_t groups[] = {0x001d, 0x0017, 0x0018};
    uint8_t verify_data[VERIFY_DATA_BYTES];
    uint8_t message[PROVE_HELLO_BYTES_MAX];
    uint8_t record[PROVE_HELLO_BYTES_MAX + 64];
    struct prove_keys keys;

    if (!prove_keys_take(&keys, session, SIDE_CLIENT) ||
        !find_finished(session, &keys, plain))
        return false;
    memcpy(verify_data, plain->bytes + 4, VERIFY_DATA_BYTES);
    const struct prove_hello hello = {.legacy_version = TLS_1_2,
                                      .suites = prove->scans[SCAN_TLS12].suites,
                                      .suite_count = prove->scans[SCAN_TLS12].count,
                                      .groups = groups,
                                      .group_count = sizeof groups / sizeof groups[0],
                                      .name = prove->target.name,
                                      .verify_data = verify_data,
                                      .verify_data_len = sizeof verify_data};
    const size_t length = prove_hello_message(&hello, message, sizeof message);
    const size_t sealed = prove_record_seal(&keys, RECORD_HANDSHAKE, message, length,
                                            record, sizeof record);
    return length > 0 && sealed > 0 && prove_link_send(&session->link, record, sealed);
}

/* Passes what belongs to the first handshake: ticket, ChangeCipherSpec, Finished. */
static bool open_finished(struct prove_session *session, struct prove_keys *keys,
                          struct prove_plain *plain, struct cursor *input)
{
    *input = cursor_over(session->in.bytes, session->in.length);
    for (bool changed = false; !changed;) {
        const uint8_t type = cursor_u8(input);
        (void)cursor_u16(input);
        (void)cursor_vector16(input);
        if (input->failed)
            return false;
        changed = type == RECORD_CHANGE_CIPHER_SPEC;
    }
    return prove_record_open(keys, input, plain);
}

/* Whether the record decides the matter. */
static bool judge_record(const struct prove_plain *plain, enum outcome *outcome,
                         uint8_t *alert)
{
    if (plain->type == RECORD_ALERT && plain->length == 2) {
        *outcome = OUTCOME_ALERT;
        *alert = plain->bytes[1];
        return true;
    }
    if (plain->type == RECORD_HANDSHAKE && plain->length > 0 &&
        plain->bytes[0] == MESSAGE_SERVER_HELLO) {
        *outcome = OUTCOME_AGREED;
        return true;
    }
    return false; /* application data, HelloRequest */
}

static enum outcome await_answer(struct prove_session *session, struct prove_plain *plain,
                                 uint8_t *alert)
{
    struct prove_capture *in = &session->in;
    struct prove_keys keys;
    struct cursor input;
    enum outcome outcome = OUTCOME_UNREADABLE;

    if (!prove_keys_take(&keys, session, SIDE_SERVER) ||
        !open_finished(session, &keys, plain, &input))
        return OUTCOME_UNREADABLE;
    session->link.deadline_ms = prove_now_ms() + ANSWER_MS;
    while (in->length < PROVE_CAPTURE_MAX) {
        struct cursor ahead = input;
        const uint64_t sequence = keys.sequence;
        if (prove_record_open(&keys, &ahead, plain)) {
            input = ahead;
            if (judge_record(plain, &outcome, alert))
                return outcome;
            continue;
        }
        if (!ahead.failed)
            return OUTCOME_UNREADABLE;
        keys.sequence = sequence;
        size_t got = 0;
        const enum prove_receipt receipt = prove_link_receive(
            &session->link, in->bytes + in->length, PROVE_CAPTURE_MAX - in->length, &got);
        if (receipt != RECEIPT_BYTES)
            return receipt == RECEIPT_SILENCE ? OUTCOME_IGNORED : OUTCOME_CLOSED;
        in->length += got;
        input.left += got;
        input.at = in->bytes + in->length - input.left;
    }
    return OUTCOME_UNREADABLE;
}

/* Whether the server leaves a connection alone on which nothing is said. */
static bool stays_open(struct prove *prove)
{
    static const struct prove_session_options options = {.suites = AES_GCM_SUITES};
    struct prove_session session;
    struct error error;

    const bool done = prove_session_open(&session, &prove->target, &options, &error);
    if (done)
        prove_session_listen(&session, ANSWER_MS);
    const bool open = done && session.timed_out;
    prove_session_close(&session);
    return open;
}

static void report_outcome(struct prove *prove, enum outcome outcome, uint8_t alert)
{
    char name[PROVE_NAME_MAX];
    enum prove_verdict verdict = PROVE_OK;
    const char *claim = "renegotiation is refused";

    prove_text_add(&prove->evidence,
                   "second ClientHello, with the first Finished, sent inside "
                   "a connection of TLS 1.2; came back: ");
    switch (outcome) {
    case OUTCOME_AGREED:
        prove_text_add(&prove->evidence, "ServerHello");
        verdict = PROVE_FAIL;
        claim = "clients may renegotiate";
        break;
    case OUTCOME_ALERT:
        prove_text_add(&prove->evidence, "alert %s", prove_alert_name(alert, name));
        break;
    case OUTCOME_CLOSED:
        prove_text_add(&prove->evidence, "the connection was closed");
        break;
    case OUTCOME_CLOSES_ANYWAY:
        prove_text_add(&prove->evidence,
                       "the connection was closed, as it is without one");
        verdict = PROVE_INFO;
        claim = "renegotiation was not tested";
        break;
    case OUTCOME_IGNORED:
        prove_text_add(&prove->evidence, "nothing within %d s", ANSWER_MS / 1000);
        claim = "renegotiation is ignored";
        break;
    case OUTCOME_UNREADABLE:
        prove_text_add(&prove->evidence, "records that could not be opened");
        verdict = PROVE_INFO;
        claim = "renegotiation was not tested";
        break;
    }
    PROVE_ADD(prove, verdict, "renegotiation", "%s", claim);
}
