#include <stdlib.h>
#include <string.h>

#include "certs/client.h"
#include "proxy/cursor.h"
#include "proxy/offer.h"
#include "proxy/session.h"
#include "proxy/worker.h"

static enum session_step handshake_begin(struct session *session,
                                         const struct hello *hello);
static enum session_step handshake_choose(struct session *session,
                                          const struct hello *hello, struct route *route);
static bool handshake_is_unknown_name(const struct session *session,
                                      const struct hello *hello);
static enum session_step handshake_refuse_protocols(struct session *session,
                                                    const struct hello *hello);
static bool handshake_start_tls(struct session *session,
                                const struct config_clients *clients);
static bool handshake_answer_alpn(struct session *session);
static enum session_step handshake_refuse_client(struct session *session);
static enum session_step handshake_finish(struct session *session);
static enum session_step handshake_refuse_hello(struct session *session,
                                                const struct hello_verdict *verdict);
static void handshake_count(const struct session *session,
                            const struct tls_outcome *outcome);
static enum session_step handshake_refuse(struct session *session, uint8_t alert,
                                          enum session_reason reason, const char *detail);
static enum session_step handshake_lost(struct session *session);
static enum session_step handshake_failed(struct session *session);
static const char *handshake_alert_words(int alert);

enum {
    ALERT_HANDSHAKE_FAILURE = 40,
    ALERT_UNRECOGNIZED_NAME = 112,
    ALERT_NO_APPLICATION_PROTOCOL = 120,
    ALERT_LEVEL_FATAL = 2
};

enum session_step handshake_run_hello(struct session *session, unsigned events)
{
    struct stream *client = &session->client;
    struct hello hello;
    struct hello_verdict verdict;
    size_t length;

    if (events & SESSION_TIMEOUT)
        return session_end(session, STEP_CLOSE, REASON_HANDSHAKE_TIMEOUT,
                           "no whole ClientHello within handshake_timeout");
    if (!(events & (SESSION_CLIENT_READABLE | SESSION_ENTERED)))
        return STEP_WAIT;
    /* What came behind a PROXY header is there already. */
    enum io received = events & SESSION_CLIENT_READABLE ? stream_receive(client) : IO_OK;
    if (received == IO_ERROR)
        return handshake_lost(session);
    if (received == IO_AGAIN)
        return STEP_WAIT;

    const uint8_t *bytes = stream_received(client, &length);
    switch (hello_read(&session->scan, bytes, length, client->scratch->plain, &hello,
                       &verdict)) {
    case HELLO_INCOMPLETE:
        if (length < HELLO_BYTES_MAX)
            return client->fin_received ? handshake_lost(session) : STEP_WAIT;
        return session_end(session, STEP_CLOSE, REASON_INTERNAL,
                           "a ClientHello without end");
    case HELLO_REFUSED:
        return handshake_refuse_hello(session, &verdict);
    case HELLO_COMPLETE:
        if (hello_is_spread(&session->scan))
            stream_repack(client, session->scan.record_offset, client->scratch->plain,
                          session->scan.message_bytes);
        return handshake_begin(session, &hello);
    }
    return STEP_WAIT;
}

enum session_step handshake_run(struct session *session, unsigned events)
{
    struct stream *client = &session->client;

    if (events & SESSION_TIMEOUT)
        return session_end(
            session, STEP_END, REASON_HANDSHAKE_TIMEOUT,
            sign_job_is_waiting(session->sign_job)
                ? "the keyholder gave no signature within handshake_timeout"
                : "the client did not finish within handshake_timeout");
    if ((events & SESSION_CLIENT_WRITABLE) && stream_flush(client) == IO_ERROR)
        return handshake_lost(session);
    if ((events & SESSION_CLIENT_READABLE) && stream_receive(client) == IO_ERROR)
        return handshake_lost(session);
    if (sign_job_is_waiting(session->sign_job))
        return STEP_WAIT;

    switch (stream_accept(client)) {
    case IO_OK:
        return handshake_finish(session);
    case IO_AGAIN:
        return client->fin_received ? handshake_lost(session) : STEP_WAIT;
    case IO_PENDING:
        return STEP_WAIT;
    case IO_ERROR:
        return handshake_failed(session);
    }
    return STEP_WAIT;
}

/* The library has agreed to something; is it what the configuration allows? */
static enum session_step handshake_finish(struct session *session)
{
    struct tls_outcome outcome;
    struct error error;

    sign_job_free(session->sign_job);
    session->sign_job = NULL;
    session->rekeyed_ms = session_now(session);
    if (!tls_policy_holds(session->client.ssl, &session->snapshot->config->tls, &outcome,
                          &error))
        return session_end(session, STEP_END, REASON_TLS_ERROR, "%s", error.text);
    if (session->identity && !client_may_stay(session->identity, session->client.ssl))
        return handshake_refuse_client(session);
    handshake_count(session, &outcome);
    return STEP_NEXT;
}

static void handshake_count(const struct session *session,
                            const struct tls_outcome *outcome)
{
    struct stats_worker *stats = session->worker->stats;

    stats->handshakes[outcome->version][outcome->group][outcome->cipher]
                     [outcome->resumed]++;
    histogram_add(&stats->handshake_us, stats_clock_us() - session->phase_us);
}

static void handshake_on_signed(void *argument)
{
    struct session *session = argument;

    worker_tick(session->worker);
    session_on_event(session, SESSION_SIGNED);
}

static enum session_step handshake_begin(struct session *session,
                                         const struct hello *hello)
{
    const struct config_tls *tls = &session->snapshot->config->tls;
    struct route route = {0};
    struct hello_verdict verdict;

    session->sni = hello->sni[0] ? strdup(hello->sni) : NULL;
    if (!offer_is_recent(hello, tls, &verdict))
        return handshake_refuse_hello(session, &verdict);
    enum session_step chosen = handshake_choose(session, hello, &route);
    if (chosen != STEP_NEXT)
        return chosen;
    if (!offer_suits(hello, tls, session->certificate->key_type, &verdict))
        return handshake_refuse_hello(session, &verdict);
    if (!handshake_start_tls(session, route.clients))
        return session_end(session, STEP_CLOSE, REASON_INTERNAL, "out of memory for TLS");
    return STEP_NEXT;
}

/* What this client gets: route, protocol, certificate. */
static enum session_step handshake_choose(struct session *session,
                                          const struct hello *hello, struct route *route)
{
    const struct snapshot *snapshot = session->snapshot;
    enum route_result result =
        route_find(snapshot->routes, session->listener, hello, route);

    session->route = route->section;
    session->target = route->backend;
    session->alpn = route->protocol;
    switch (result) {
    case ROUTE_NO_NAME:
        return handshake_refuse(session, ALERT_UNRECOGNIZED_NAME, REASON_NO_ROUTE,
                                hello->sni[0] ? "no route of this listener has that name"
                                              : "the client asks for no name, and this "
                                                "listener serves only routes");
    case ROUTE_NO_PROTOCOL:
        return handshake_refuse_protocols(session, hello);
    case ROUTE_FOUND:
        break;
    }
    if (handshake_is_unknown_name(session, hello))
        return handshake_refuse(session, ALERT_UNRECOGNIZED_NAME, REASON_UNKNOWN_SNI,
                                "no certificate and no route has this name (unknown_sni "
                                "= refuse)");
    session->certificate = certstore_find_among(snapshot->certs, route->certificates,
                                                hello->sni, hello->key_types);
    if (session->certificate)
        return STEP_NEXT;
    struct error error;
    offer_explain_keys(hello, &error);
    return handshake_refuse(session, ALERT_HANDSHAKE_FAILURE, REASON_NO_CERTIFICATE,
                            error.text);
}

/* Whether the listener refuses the name: nothing in the configuration has it. */
static bool handshake_is_unknown_name(const struct session *session,
                                      const struct hello *hello)
{
    bool routed = session->route && session->route->sni.count > 0;

    return session->listener->unknown_sni == UNKNOWN_SNI_REFUSE && hello->sni[0] &&
           !routed && !certstore_knows(session->snapshot->certs, hello->sni);
}

static enum session_step handshake_refuse_protocols(struct session *session,
                                                    const struct hello *hello)
{
    struct cursor offer = cursor_over(hello->alpn, hello->alpn_len);
    char words[HELLO_ALPN_MAX + 64] = "the client offers only other protocols:";
    size_t length = strlen(words);

    /* A name takes no more room here than it has in the list. */
    while (offer.left > 0) {
        const struct cursor name = cursor_vector8(&offer);
        words[length++] = ' ';
        for (size_t i = 0; i < name.left; i++)
            words[length++] = name.at[i] != 0 ? (char)name.at[i] : '?';
    }
    words[length] = '\0';
    return handshake_refuse(session, ALERT_NO_APPLICATION_PROTOCOL, REASON_NO_PROTOCOL,
                            words);
}

/* A client under a policy never gets the context that asks for no certificate. */
static bool handshake_start_tls(struct session *session,
                                const struct config_clients *clients)
{
    struct stream *client = &session->client;
    WOLFSSL_CTX *context = session->certificate->context;

    if (clients)
        context = certstore_guarded(
            session->certificate, (size_t)(clients - session->snapshot->config->clients));
    if (!context || !stream_start_tls(client, context) || !handshake_answer_alpn(session))
        return false;
    if (clients && !(session->identity = client_new(
                         client->ssl, clients, session->target->send_proxy_certificate)))
        return false;
    session->sign_job = sign_job_new(session->worker->keyholder, client->ssl,
                                     session->certificate, handshake_on_signed, session);
    return session->sign_job != NULL;
}

static bool handshake_answer_alpn(struct session *session)
{
    char protocol[HELLO_ALPN_MAX];

    if (!session->alpn)
        return true;
    size_t length = strnlen(session->alpn, sizeof(protocol) - 1);
    memcpy(protocol, session->alpn, length);
    protocol[length] = '\0';
    return wolfSSL_UseALPN(session->client.ssl, protocol, (unsigned)length,
                           WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS;
}

static enum session_step handshake_refuse_hello(struct session *session,
                                                const struct hello_verdict *verdict)
{
    session->refusal = verdict->refusal;
    return handshake_refuse(session, verdict->alert, REASON_HELLO_REFUSED,
                            verdict->error.text);
}

static enum session_step handshake_refuse(struct session *session, uint8_t alert,
                                          enum session_reason reason, const char *detail)
{
    if (alert != 0) {
        /* RFC 8446 section 6: a plaintext alert record. */
        const uint8_t record[] = {21, 3, 3, 0, 2, ALERT_LEVEL_FATAL, alert};
        stream_write_raw(&session->client, record, sizeof(record));
    }
    return session_end(session, STEP_END, reason, "%s", detail);
}

static enum session_step handshake_lost(struct session *session)
{
    if (session->client.fin_received || session->client.read_ended)
        return session_end(session, STEP_CLOSE, REASON_CLIENT_CLOSED, NULL);
    return session_end(session, STEP_CLOSE, REASON_CLIENT_RESET, "%s",
                       stream_error_text(&session->client));
}

static enum session_step handshake_failed(struct session *session)
{
    const struct stream *client = &session->client;
    WOLFSSL_ALERT_HISTORY history;

    if (client->read_ended || client->error > 0)
        return handshake_lost(session);
    if (wolfSSL_get_alert_history(client->ssl, &history) == WOLFSSL_SUCCESS &&
        history.last_rx.level == ALERT_LEVEL_FATAL)
        return session_end(session, STEP_CLOSE, REASON_TLS_ALERT, "the client says: %s",
                           handshake_alert_words(history.last_rx.code));
    if (session->identity && client_explain(session->identity, client->error))
        return handshake_refuse_client(session);
    if (sign_job_has_failed(session->sign_job))
        return session_end(session, STEP_END, REASON_SIGNING_FAILED,
                           "the keyholder refused to sign for certificate \"%s\"",
                           session->certificate->name);
    return session_end(session, STEP_END, REASON_TLS_ERROR, "%s",
                       stream_error_text(client));
}

static enum session_step handshake_refuse_client(struct session *session)
{
    static const enum session_reason reasons[] = {
        [CLIENT_UNSEEN] = REASON_CLIENT_CERT_MISSING,
        [CLIENT_ABSENT] = REASON_CLIENT_CERT_MISSING,
        [CLIENT_MISSING] = REASON_CLIENT_CERT_MISSING,
        [CLIENT_ACCEPTED] = REASON_INTERNAL,
        [CLIENT_UNTRUSTED] = REASON_CLIENT_CERT_UNTRUSTED,
        [CLIENT_EXPIRED] = REASON_CLIENT_CERT_EXPIRED,
        [CLIENT_REVOKED] = REASON_CLIENT_CERT_REVOKED,
        [CLIENT_WRONG_USE] = REASON_CLIENT_CERT_EKU,
        [CLIENT_NOT_ALLOWED] = REASON_CLIENT_CERT_NOT_ALLOWED,
    };
    const struct client *identity = session->identity;

    return session_end(session, STEP_END, reasons[identity->verdict], "%s",
                       identity->detail ? identity->detail : "out of memory");
}

/* RFC 8446 section 6.2, as an operator wants to read it. */
static const char *handshake_alert_words(int alert)
{
    static const struct {
        int code;
        const char *words;
    } alerts[] = {
        {10, "unexpected message (unexpected_message)"},
        {20, "a record was damaged (bad_record_mac)"},
        {40, "no acceptable parameters (handshake_failure)"},
        {42, "the certificate is damaged (bad_certificate)"},
        {43, "the certificate's type is not supported (unsupported_certificate)"},
        {44, "the certificate is revoked (certificate_revoked)"},
        {45, "the certificate has expired (certificate_expired)"},
        {46, "the certificate is not acceptable (certificate_unknown)"},
        {47, "a field was out of range (illegal_parameter)"},
        {48, "the certificate's issuer is not trusted (unknown_ca)"},
        {49, "access denied (access_denied)"},
        {50, "a message could not be decoded (decode_error)"},
        {51, "a signature did not verify (decrypt_error)"},
        {70, "the protocol version is not supported (protocol_version)"},
        {71, "security is insufficient (insufficient_security)"},
        {80, "internal error (internal_error)"},
        {90, "canceled by the user (user_canceled)"},
        {109, "an extension is missing (missing_extension)"},
        {110, "an extension is not supported (unsupported_extension)"},
        {112, "the name is not recognized (unrecognized_name)"},
        {116, "a certificate is required (certificate_required)"},
        {120, "no common application protocol (no_application_protocol)"},
    };

    for (size_t i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++) {
        if (alerts[i].code == alert)
            return alerts[i].words;
    }
    return "an alert this version has no words for";
}
