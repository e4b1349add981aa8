/*
 * The step of a session that reaches a backend: the targets of its pool one after the
 * other, again after a growing pause until `wait` is over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs/client.h"
#include "proxy/dial.h"
#include "proxy/origin.h"
#include "proxy/proxy_protocol.h"
#include "proxy/session.h"
#include "proxy/worker.h"

enum { BACKOFF_FIRST_MS = 10, BACKOFF_MOST_MS = 250, ID_BYTES = 16 };

static enum session_step backend_try_next(struct session *session);
static struct pool *backend_pool(const struct session *session);
static void backend_take(struct session *session, struct target *target);
static enum session_step backend_finish_attempt(struct session *session);
static enum session_step backend_pause(struct session *session);
static enum session_step backend_give_up(struct session *session);
static void backend_note_failure(struct session *session, const struct error *error);
static enum session_step backend_connected(struct session *session);
static enum session_step backend_hear_client(struct session *session);
static bool backend_introduce(struct session *session);
static bool backend_make_id(struct session *session);
static void backend_add_identity(const struct session *session,
                                 struct proxy_facts *facts);

enum session_step backend_run(struct session *session, unsigned events)
{
    struct session_connect *connect = &session->connect;

    if ((events & SESSION_CLIENT_WRITABLE) && stream_flush(&session->client) == IO_ERROR)
        return session_end(session, STEP_CLOSE, REASON_CLIENT_RESET, "%s",
                           stream_error_text(&session->client));
    if (events & SESSION_CLIENT_READABLE) {
        enum session_step step = backend_hear_client(session);
        if (step != STEP_WAIT)
            return step;
    }
    if (events & SESSION_ENTERED) {
        if (!backend_introduce(session))
            return session_end(session, STEP_CLOSE, REASON_INTERNAL, "out of memory");
        connect->started_ms = session_now(session);
        connect->backoff_ms = BACKOFF_FIRST_MS;
        connect->tried = (struct pool_tried){.set = 0};
        return backend_try_next(session);
    }
    if (events & SESSION_BACKEND_WRITABLE)
        return backend_finish_attempt(session);
    if (!(events & SESSION_TIMEOUT))
        return STEP_WAIT;
    if (connect->connecting) {
        struct error error;
        (void)error_set(&error, "%s: no connection within connect_timeout",
                        session->backend_address->text);
        connect->timed_out = true;
        backend_note_failure(session, &error);
    } else {
        connect->tried.set = 0;
        backend_pool(session)->stats->retries++;
    }
    return backend_try_next(session);
}

/* Tries the addresses that are left of this round. */
static enum session_step backend_try_next(struct session *session)
{
    struct session_connect *connect = &session->connect;
    struct pool *pool = backend_pool(session);
    struct target *target;

    while ((target = pool_pick(pool, &connect->tried, session_now(session)))) {
        struct error error;

        backend_take(session, target);
        connect->timed_out = false;
        session->phase_us = stats_clock_us();
        int fd = dial_open(&target->address, &connect->connecting, &error);
        if (fd < 0) {
            backend_note_failure(session, &error);
            continue;
        }
        stream_take(&session->backend, fd);
        if (!connect->connecting)
            return backend_connected(session);
        session->deadline_ms =
            session_now(session) + session->snapshot->config->limits.connect_timeout_ms;
        return STEP_WAIT;
    }
    return backend_pause(session);
}

static struct pool *backend_pool(const struct session *session)
{
    const struct snapshot *snapshot = session->snapshot;

    return snapshot->pools[session->target - snapshot->config->backends];
}

static void backend_take(struct session *session, struct target *target)
{
    target_release(session->reached);
    session->reached = target_keep(target);
    session->backend_address = &target->address;
    session->connect.in_use = true;
    target_begin(target);
}

static enum session_step backend_finish_attempt(struct session *session)
{
    struct error cause, error;

    if (dial_has_connected(session->backend.fd, &cause))
        return backend_connected(session);
    (void)error_set(&error, "%s: %s", session->backend_address->text, cause.text);
    backend_note_failure(session, &error);
    return backend_try_next(session);
}

static void backend_note_failure(struct session *session, const struct error *error)
{
    struct pool *pool = backend_pool(session);

    target_failed(session->reached, session_now(session), pool->rest_ms);
    pool->stats->failed++;
    session->connect.in_use = session->connect.connecting = false;
    session_drop_backend(session);
    (void)session_end(session, STEP_WAIT, REASON_BACKEND_UNREACHABLE, "%s", error->text);
}

/* All addresses failed: wait a little, in case the backend is just being restarted. */
static enum session_step backend_pause(struct session *session)
{
    struct session_connect *connect = &session->connect;
    uint64_t end = connect->started_ms + session->target->wait_ms;

    if (!session->detail)
        (void)session_end(session, STEP_WAIT, REASON_BACKEND_UNREACHABLE,
                          backend_pool(session)->target_count > 0
                              ? "checks call every address down"
                              : "its name has not been resolved yet");
    if (session_now(session) >= end)
        return backend_give_up(session);
    session->deadline_ms = session_now(session) + connect->backoff_ms;
    if (session->deadline_ms > end)
        session->deadline_ms = end;
    connect->backoff_ms *= 2;
    if (connect->backoff_ms > BACKOFF_MOST_MS)
        connect->backoff_ms = BACKOFF_MOST_MS;
    return STEP_WAIT;
}

static enum session_step backend_give_up(struct session *session)
{
    session->reason =
        session->connect.timed_out ? REASON_BACKEND_TIMEOUT : REASON_BACKEND_UNREACHABLE;
    return STEP_END;
}

static enum session_step backend_connected(struct session *session)
{
    target_connected(session->reached);
    backend_pool(session)->stats->connected++;
    histogram_add(&session->worker->stats->connect_us,
                  stats_clock_us() - session->phase_us);
    session->connect.connecting = false;
    session->active_ms = session_now(session);
    /* What failed before is not why the session will end. */
    free(session->detail);
    session->detail = NULL;
    return STEP_NEXT;
}

/*
 * What the client says while a backend is being reached, up to one read of it, is kept
 * for the backend, and so is its end.  A client that has hung up without a word is not
 * waited for: it is far likelier to be gone than to listen.
 */
static enum session_step backend_hear_client(struct session *session)
{
    struct stream *client = &session->client;
    size_t length;

    enum io got = stream_read(client, &length);
    if (length > 0 && !stream_keep(&session->backend, client->scratch->plain, length))
        return session_end(session, STEP_CLOSE, REASON_INTERNAL, "out of memory");
    session->bytes_in += length;
    session->worker->stats->bytes_in += length;
    if (got == IO_ERROR)
        return session_client_failed(session);
    if (client->read_ended && session->bytes_in == 0)
        return session_end(session, STEP_END, REASON_CLIENT_CLOSED,
                           "before a backend was reached");
    return STEP_WAIT;
}

/* Tells the backend who the client is, before the client's first byte. */
static bool backend_introduce(struct session *session)
{
    enum send_proxy kind = session->target->send_proxy;
    struct sockaddr_storage client = {0}, server = {0};
    socklen_t client_length = sizeof(client), server_length = sizeof(server);
    WOLFSSL *ssl = session->client.ssl;
    uint8_t header[PROXY_HEADER_MAX];

    if (kind == SEND_PROXY_OFF)
        return true;
    if (kind == SEND_PROXY_V2_TLS && !backend_make_id(session))
        return false;
    (void)getpeername(session->client.fd, (struct sockaddr *)&client, &client_length);
    (void)getsockname(session->client.fd, (struct sockaddr *)&server, &server_length);
    const struct origin *origin = session->origin;
    struct proxy_facts facts = {
        .client = origin ? &origin->client.any : (struct sockaddr *)&client,
        .server = origin ? &origin->server.any : (struct sockaddr *)&server,
        .sni = session->sni,
        .alpn = session->alpn,
        .tls_version = wolfSSL_get_version(ssl),
        .tls_cipher = wolfSSL_get_cipher(ssl),
        .tls_group = wolfSSL_get_curve_name(ssl),
        .unique_id = session->id,
    };
    backend_add_identity(session, &facts);
    size_t length = proxy_protocol_write(kind, &facts, header);
    if (session->identity)
        client_drop_certificate(session->identity);
    return stream_keep(&session->backend, header, length);
}

/* By which a line of our log and one of the backend's are found to be of one session. */
static bool backend_make_id(struct session *session)
{
    uint8_t random[ID_BYTES];
    char *text = malloc(2 * ID_BYTES + 1);

    if (!text || getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random)) {
        free(text);
        return false;
    }
    for (size_t i = 0; i < ID_BYTES; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", random[i]);
    session->id = text;
    return true;
}

static void backend_add_identity(const struct session *session, struct proxy_facts *facts)
{
    const struct client *identity = session->identity;

    if (!identity || identity->verdict != CLIENT_ACCEPTED)
        return;
    facts->client_verified = true;
    facts->client_cn = identity->cn;
    facts->certificate = identity->certificate;
    facts->certificate_size = identity->certificate_size;
}
