#include "proxy/backend.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs/client.h"
#include "proxy/origin.h"
#include "proxy/proxy_protocol.h"
#include "proxy/session.h"
#include "proxy/worker.h"

enum { BACKOFF_FIRST_MS = 10, BACKOFF_MOST_MS = 250, ID_BYTES = 16 };

static enum session_step backend_try_next(struct session *session);
static enum session_step backend_finish_attempt(struct session *session);
static enum session_step backend_pause(struct session *session);
static enum session_step backend_give_up(struct session *session);
static void backend_note_failure(struct session *session, const struct error *error);
static enum session_step backend_connected(struct session *session);
static enum session_step backend_hear_client(struct session *session);
static bool backend_introduce(struct session *session);
static struct stats_backend *backend_stats(const struct session *session);
static bool backend_make_id(struct session *session);
static void backend_add_identity(const struct session *session,
                                 struct proxy_facts *facts);

int backend_open(const struct address *address, bool *connecting, struct error *error)
{
    const struct sockaddr *target = (const struct sockaddr *)&address->storage;
    const int on = 1;

    *connecting = false;
    int fd = socket(target->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)error_set_errno(error, errno, "%s: cannot make a socket", address->text);
        return -1;
    }
    if (target->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, target, address->length) == 0)
        return fd;
    if (errno == EINPROGRESS) {
        *connecting = true;
        return fd;
    }
    (void)error_set_errno(error, errno, "%s", address->text);
    close(fd);
    return -1;
}

bool backend_has_connected(int fd, struct error *error)
{
    int cause = 0;
    socklen_t length = sizeof(cause);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &length) < 0)
        cause = errno;
    return cause == 0 || error_set(error, "%s", strerror(cause));
}

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
        connect->first = (uint8_t)snapshot_rotate(session->snapshot, session->target);
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
        connect->tried = 0;
        backend_stats(session)->retries++;
    }
    return backend_try_next(session);
}

/* Tries the addresses that are left of this round. */
static enum session_step backend_try_next(struct session *session)
{
    const struct config_backend *backend = session->target;
    struct session_connect *connect = &session->connect;

    while (connect->tried < backend->addresses.count) {
        size_t index =
            ((size_t)connect->first + connect->tried++) % backend->addresses.count;
        struct error error;

        session->backend_address = &backend->addresses.items[index];
        connect->timed_out = false;
        session->phase_us = stats_clock_us();
        int fd = backend_open(session->backend_address, &connect->connecting, &error);
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

static enum session_step backend_finish_attempt(struct session *session)
{
    struct error cause, error;

    if (backend_has_connected(session->backend.fd, &cause))
        return backend_connected(session);
    (void)error_set(&error, "%s: %s", session->backend_address->text, cause.text);
    backend_note_failure(session, &error);
    return backend_try_next(session);
}

static void backend_note_failure(struct session *session, const struct error *error)
{
    session->connect.connecting = false;
    backend_stats(session)->failed++;
    session_drop_backend(session);
    (void)session_end(session, STEP_WAIT, REASON_BACKEND_UNREACHABLE, "%s", error->text);
}

/* All addresses failed: wait a little, in case the backend is just being restarted. */
static enum session_step backend_pause(struct session *session)
{
    struct session_connect *connect = &session->connect;
    uint64_t end = connect->started_ms + session->target->wait_ms;

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
    session->connect.connecting = false;
    backend_stats(session)->connected++;
    histogram_add(&session->worker->stats->connect_us,
                  stats_clock_us() - session->phase_us);
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

static struct stats_backend *backend_stats(const struct session *session)
{
    return stats_backend_of(session->worker->stats, session->target->section.name);
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
