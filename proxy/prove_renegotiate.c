/*
 * Renegotiation: inside a connection of TLS 1.2 a second ClientHello is sent, as RFC 5746
 * wants it, with the Finished of the first handshake in it.
 */
#include <stdlib.h>

#include "proxy/prove_connection.h"
#include "proxy/prove_hello.h"
#include "proxy/prove_names.h"
#include "proxy/prove_parts.h"

enum {
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    MESSAGE_SERVER_HELLO = 2,
    ALERT_CLOSE_NOTIFY = 0,
    ANSWER_MS = 2000,
    TLS_1_2 = 0x0303
};

/* What came back to the second hello. */
enum outcome {
    OUTCOME_AGREED,
    OUTCOME_ALERT,
    OUTCOME_CLOSED,
    OUTCOME_CLOSES_ANYWAY, /* as it does without a second hello */
    OUTCOME_IGNORED,       /* the connection stayed open, and nothing came */
};

/* One question; `plain` is large. */
struct renegotiation {
    struct prove *prove;
    struct prove_connection connection;
    struct prove_plain plain;
    struct error error;
    uint8_t alert;
};

static void report_info(struct prove *prove);
static bool ask(struct renegotiation *asked, enum outcome *outcome);
static enum outcome await_answer(struct renegotiation *asked);
static void report_outcome(struct renegotiation *asked, enum outcome outcome);

void prove_renegotiate(struct prove *prove)
{
    struct renegotiation *asked = calloc(1, sizeof *asked);
    enum outcome outcome;

    if (asked && prove->scans[SCAN_TLS12].count > 0) {
        asked->prove = prove;
        report_info(prove);
        if (ask(asked, &outcome)) {
            report_outcome(asked, outcome);
        } else {
            prove_text_add(&prove->evidence, "%s", asked->error.text);
            PROVE_ADD(prove, PROVE_INFO, "renegotiation", "renegotiation was not tested");
        }
    }
    free(asked);
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

static bool send_hello(struct renegotiation *asked)
{
    static const uint16_t groups[] = {0x001d, 0x0017, 0x0018};
    const struct prove_scan *scan = &asked->prove->scans[SCAN_TLS12];
    struct prove_connection *connection = &asked->connection;
    uint8_t message[PROVE_HELLO_BYTES_MAX];
    const struct prove_hello hello = {.legacy_version = TLS_1_2,
                                      .suites = scan->suites,
                                      .suite_count = scan->count,
                                      .groups = groups,
                                      .group_count = sizeof groups / sizeof groups[0],
                                      .name = asked->prove->target.name,
                                      .verify_data = connection->verify_data,
                                      .verify_data_len = PROVE_VERIFY_BYTES};

    const size_t length = prove_hello_message(&hello, message, sizeof message);
    return length > 0 &&
           prove_connection_send(connection, RECORD_HANDSHAKE, message, length);
}

/* Opens a connection, speaks if `speaks`, and sees what becomes of it. */
static bool watch(struct renegotiation *asked, bool speaks, enum outcome *outcome)
{
    struct prove_connection *connection = &asked->connection;

    bool done = prove_connection_open(connection, &asked->prove->target, &asked->error);
    if (done && speaks && !send_hello(asked))
        done = error_set(&asked->error, "the second hello could not be sent");
    if (done) {
        connection->link.deadline_ms = prove_now_ms() + ANSWER_MS;
        *outcome = await_answer(asked);
    }
    prove_connection_close(connection);
    return done;
}

/* A server that hangs up without a second hello, too, has not refused anything. */
static bool ask(struct renegotiation *asked, enum outcome *outcome)
{
    enum outcome silent = OUTCOME_IGNORED;

    if (!watch(asked, true, outcome))
        return false;
    if (*outcome == OUTCOME_CLOSED &&
        (!watch(asked, false, &silent) || silent != OUTCOME_IGNORED))
        *outcome = OUTCOME_CLOSES_ANYWAY;
    return true;
}

static enum outcome await_answer(struct renegotiation *asked)
{
    const struct prove_plain *plain = &asked->plain;

    for (;;) {
        switch (prove_connection_receive(&asked->connection, &asked->plain)) {
        case RECEIPT_END:
        case RECEIPT_RESET:
            return OUTCOME_CLOSED;
        case RECEIPT_SILENCE:
            return OUTCOME_IGNORED;
        case RECEIPT_BYTES:
            break;
        }
        if (plain->type == RECORD_ALERT && plain->length == 2) {
            asked->alert = plain->bytes[1];
            return asked->alert == ALERT_CLOSE_NOTIFY ? OUTCOME_CLOSED : OUTCOME_ALERT;
        }
        if (plain->type == RECORD_HANDSHAKE && plain->length > 0 &&
            plain->bytes[0] == MESSAGE_SERVER_HELLO)
            return OUTCOME_AGREED;
    }
}

static void report_outcome(struct renegotiation *asked, enum outcome outcome)
{
    struct prove *prove = asked->prove;
    char name[PROVE_NAME_MAX];
    enum prove_verdict verdict = PROVE_OK;
    const char *claim = "renegotiation is refused";

    prove_text_add(&prove->evidence,
                   "second ClientHello, with the first Finished, inside "
                   "a connection of TLS 1.2; came back: ");
    switch (outcome) {
    case OUTCOME_AGREED:
        prove_text_add(&prove->evidence, "ServerHello");
        verdict = PROVE_FAIL;
        claim = "clients may renegotiate";
        break;
    case OUTCOME_ALERT:
        prove_text_add(&prove->evidence, "alert %s",
                       prove_alert_name(asked->alert, name));
        break;
    case OUTCOME_CLOSED:
        prove_text_add(&prove->evidence, "the connection was closed");
        break;
    case OUTCOME_CLOSES_ANYWAY:
        prove_text_add(&prove->evidence, "the connection was closed, as without one");
        verdict = PROVE_INFO;
        claim = "renegotiation was not tested";
        break;
    case OUTCOME_IGNORED:
        prove_text_add(&prove->evidence, "nothing within %d s", ANSWER_MS / 1000);
        claim = "renegotiation is ignored";
        break;
    }
    PROVE_ADD(prove, verdict, "renegotiation", "%s", claim);
}
