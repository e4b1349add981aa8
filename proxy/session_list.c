/* A worker's live sessions as records. */
#include <assert.h>
#include <stdio.h>

#include "proxy/session_record.h"
#include "proxy/worker.h"

static void record_write(struct session_record *record, const struct session *session);

size_t session_record_list(const struct worker *worker, struct session_record *records,
                           size_t room)
{
    const struct session *session;
    size_t count = 0;

    TAILQ_FOREACH (session, &worker->sessions, link) {
        if (count == room)
            break;
        record_write(&records[count++], session);
    }
    return count;
}

/* The page is new, hence zero: short texts need no padding. */
static void record_write(struct session_record *record, const struct session *session)
{
    uint64_t now = session_now(session);
    WOLFSSL *ssl = session->client.ssl;

    record->age_ms = now - session->started_ms;
    record->idle_ms = now - session->active_ms;
    record->bytes_in = session->bytes_in;
    record->bytes_out = session->bytes_out;
    record->state = session->state;
    static_assert(sizeof(record->client) >= SESSION_PEER_TEXT_MAX, "an address fits");
    (void)session_peer_text(&session->peer, record->client);
    (void)snprintf(record->listener, sizeof(record->listener), "%.*s",
                   CONFIG_NAME_MAX - 1, session->listener->section.name);
    if (session->sni)
        (void)snprintf(record->sni, sizeof(record->sni), "%s", session->sni);
    if (session->backend_address)
        (void)snprintf(record->backend, sizeof(record->backend), "%s",
                       session->backend_address->text);
    if (!ssl || !session->client.secure)
        return;
    record->resumed = wolfSSL_session_reused(ssl) != 0;
    (void)snprintf(record->version, sizeof(record->version), "%s",
                   wolfSSL_get_version(ssl));
    (void)snprintf(record->group, sizeof(record->group), "%s",
                   wolfSSL_get_curve_name(ssl));
    (void)snprintf(record->cipher, sizeof(record->cipher), "%s", wolfSSL_get_cipher(ssl));
}
