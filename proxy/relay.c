#include "proxy/session.h"
#include "proxy/worker.h"

/* A pause after which the next answer starts with small records again. */
enum { QUIET_MS = 1000 };

/* What became of one attempt to move bytes. */
enum relay_result { RELAY_MOVED, RELAY_SOURCE_FAILED, RELAY_SINK_FAILED };

static unsigned relay_begin(struct session *session);
static enum session_step relay_to_backend(struct session *session);
static enum session_step relay_to_client(struct session *session);
static enum relay_result relay_pump(struct session *session, struct stream *from,
                                    struct stream *to, uint64_t *bytes);
static enum session_step relay_flush(struct session *session, unsigned events);
static enum session_step relay_backend_failed(struct session *session);
static uint64_t relay_quiet_deadline(const struct session *session);
static uint64_t relay_keys_deadline(const struct session *session);
static enum session_step relay_on_time(struct session *session);
static enum session_step relay_renew_keys(struct session *session);
static enum session_step relay_settle(struct session *session);

/*
 * Two pumps, one for each direction.  The whole back-pressure rule: while a stream holds
 * output that its peer has not taken, the other stream is not read.
 */
enum session_step relay_run(struct session *session, unsigned events)
{
    struct stream *client = &session->client;
    struct stream *backend = &session->backend;
    enum session_step step = STEP_WAIT;

    if (events & SESSION_TIMEOUT)
        return relay_on_time(session);
    if (events & SESSION_ENTERED)
        events |= relay_begin(session);
    if (events & (SESSION_CLIENT_WRITABLE | SESSION_BACKEND_WRITABLE))
        step = relay_flush(session, events);
    if (step == STEP_WAIT && !client->read_ended && !stream_has_output(backend) &&
        ((events & SESSION_CLIENT_READABLE) || stream_has_input(client)))
        step = relay_to_backend(session);
    if (step == STEP_WAIT && !backend->read_ended && !stream_has_output(client) &&
        (events & SESSION_BACKEND_READABLE))
        step = relay_to_client(session);
    return step == STEP_WAIT ? relay_settle(session) : step;
}

/* Passes on what the client said while the backend was being reached, its end included.
 */
static unsigned relay_begin(struct session *session)
{
    if (session->client.read_ended)
        (void)stream_end_write(&session->backend);
    return stream_has_output(&session->backend) ? SESSION_BACKEND_WRITABLE : 0;
}

static enum session_step relay_to_backend(struct session *session)
{
    uint64_t before = session->bytes_in;
    enum relay_result result =
        relay_pump(session, &session->client, &session->backend, &session->bytes_in);

    session->worker->stats->bytes_in += session->bytes_in - before;
    switch (result) {
    case RELAY_MOVED:
        /* Hanging up without a close_notify after the answer was over cuts nothing off.
         */
        if (session->backend.read_ended)
            session->client.truncated = false;
        return STEP_WAIT;
    case RELAY_SOURCE_FAILED:
        return session_client_failed(session);
    case RELAY_SINK_FAILED:
        return relay_backend_failed(session);
    }
    return STEP_WAIT;
}

static enum session_step relay_to_client(struct session *session)
{
    uint64_t before = session->bytes_out;
    enum relay_result result =
        relay_pump(session, &session->backend, &session->client, &session->bytes_out);

    session->worker->stats->bytes_out += session->bytes_out - before;
    switch (result) {
    case RELAY_MOVED:
        return STEP_WAIT;
    case RELAY_SOURCE_FAILED:
        return session_end(session, STEP_END, REASON_BACKEND_RESET, "%s: %s",
                           session->backend_address->text,
                           stream_error_text(&session->backend));
    case RELAY_SINK_FAILED:
        return session_client_failed(session);
    }
    return STEP_WAIT;
}

/* Reads once, writes what came, and passes the end on behind it. */
static enum relay_result relay_pump(struct session *session, struct stream *from,
                                    struct stream *to, uint64_t *bytes)
{
    uint64_t now = session_now(session);
    size_t length;

    stream_tick(from, now);
    enum io got = stream_read(from, &length);
    if (length > 0) {
        if (now - session->active_ms > QUIET_MS)
            stream_quiet(to);
        session->active_ms = now;
        *bytes += length;
        if (stream_write(to, from->scratch->plain, length) == IO_ERROR)
            return RELAY_SINK_FAILED;
    }
    if (got == IO_ERROR)
        return RELAY_SOURCE_FAILED;
    if (from->read_ended) {
        session->active_ms = now;
        if (stream_end_write(to) == IO_ERROR)
            return RELAY_SINK_FAILED;
    }
    return RELAY_MOVED;
}

static enum session_step relay_flush(struct session *session, unsigned events)
{
    struct stream *client = &session->client;
    struct stream *backend = &session->backend;

    session->active_ms = session_now(session);
    if ((events & SESSION_CLIENT_WRITABLE) && stream_flush(client) == IO_ERROR)
        return session_client_failed(session);
    if ((events & SESSION_BACKEND_WRITABLE) && stream_flush(backend) == IO_ERROR)
        return relay_backend_failed(session);
    return STEP_WAIT;
}

/*
 * The backend takes no more.  It may have answered before it hung up, so what it said is
 * still passed on; where it also reset the connection, reading finds that out behind it.
 */
static enum session_step relay_backend_failed(struct session *session)
{
    stream_abandon_output(&session->backend);
    session->client.read_ended = true;
    return STEP_WAIT;
}

uint64_t relay_deadline(const struct session *session)
{
    uint64_t quiet = relay_quiet_deadline(session);
    uint64_t keys = relay_keys_deadline(session);

    return quiet < keys ? quiet : keys;
}

static uint64_t relay_quiet_deadline(const struct session *session)
{
    const struct config_limits *limits = &session->snapshot->config->limits;

    if (session->client.read_ended || session->backend.read_ended)
        return session->active_ms + limits->half_close_timeout_ms;
    return session->active_ms + limits->idle_timeout_ms;
}

/*
 * When the keys of the connection are due.  TLS 1.3 renews them twice in a window, so
 * that what was sent under the former ones is out of reach before it is a window old,
 * with as much time again for the peer to answer.  TLS 1.2 cannot, and neither can a
 * direction that has ended: there the connection itself is limited.
 */
static uint64_t relay_keys_deadline(const struct session *session)
{
    const struct config_tls *tls = &session->snapshot->config->tls;

    if (stream_can_rekey(&session->client))
        return session->rekeyed_ms + tls->window_ms / 2;
    if (wolfSSL_version(session->client.ssl) == TLS1_3_VERSION)
        return session->rekeyed_ms + tls->window_ms;
    if (tls->tls12_max_lifetime_ms == LIFETIME_UNLIMITED)
        return UINT64_MAX;
    return session->rekeyed_ms + tls->tls12_max_lifetime_ms;
}

static enum session_step relay_on_time(struct session *session)
{
    uint64_t now = session_now(session);

    if (now >= relay_quiet_deadline(session)) {
        if (session->client.read_ended || session->backend.read_ended)
            return session_end(session, STEP_END, REASON_HALF_CLOSE_TIMEOUT, NULL);
        return session_end(session, STEP_END, REASON_IDLE_TIMEOUT, NULL);
    }
    if (now >= relay_keys_deadline(session))
        return relay_renew_keys(session);
    return STEP_WAIT;
}

static enum session_step relay_renew_keys(struct session *session)
{
    struct stream *client = &session->client;

    if (!stream_can_rekey(client))
        return session_end(session, STEP_END, REASON_WINDOW,
                           "its keys cannot be renewed and have reached their age limit");
    if (!stream_is_rekeyed(client) &&
        session->snapshot->config->tls.unanswered_rekey == UNANSWERED_CLOSE)
        return session_end(session, STEP_END, REASON_WINDOW,
                           "the client did not renew its keys when it was asked to");
    if (stream_is_rekeyed(client)) {
        if (stream_rekey(client) == IO_ERROR)
            return session_client_failed(session);
        session->worker->stats->rekeys++;
    }
    session->rekeyed_ms = session_now(session);
    return STEP_WAIT;
}

/* Both directions ended and everything is out: done. */
static enum session_step relay_settle(struct session *session)
{
    const struct stream *client = &session->client;
    const struct stream *backend = &session->backend;

    if (!client->read_ended || !backend->read_ended || stream_has_output(client) ||
        stream_has_output(backend))
        return STEP_WAIT;
    return session_end(session, STEP_NEXT,
                       client->truncated ? REASON_CLIENT_TRUNCATED : REASON_FINISHED,
                       NULL);
}
