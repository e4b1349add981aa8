#include "proxy/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/client.h"
#include "proxy/log.h"
#include "proxy/origin.h"
#include "proxy/worker.h"

enum { DETAIL_MAX = 512 };

static_assert(SESSION_PEER_TEXT_MAX >= INET6_ADDRSTRLEN + 16,
              "room for port and brackets");

static enum session_step session_run_linger(struct session *session, unsigned events);

/* The life of a session.  A new phase is one row and one function. */
static enum session_step (*const phases[SESSION_STATES])(struct session *session,
                                                         unsigned events) = {
    [SESSION_PROXY] = origin_run,        [SESSION_HELLO] = handshake_run_hello,
    [SESSION_HANDSHAKE] = handshake_run, [SESSION_CONNECT] = backend_run,
    [SESSION_RELAY] = relay_run,         [SESSION_LINGER] = session_run_linger,
};

static bool session_cuts_backend(const struct session *session);
static uint64_t session_deadline(const struct session *session);
static void session_update_events(struct session *session);
static short session_client_interest(const struct session *session);
static short session_backend_interest(const struct session *session);
static void session_watch(struct session *session, struct event *event, int fd,
                          short interest);
static void session_on_client(evutil_socket_t fd, short what, void *argument);
static void session_on_backend(evutil_socket_t fd, short what, void *argument);
static void session_on_timer(evutil_socket_t fd, short what, void *argument);
static void session_move(struct session *session, enum session_state state);
static void session_count(const struct session *session);
static void session_log(const struct session *session);
static void session_log_tls(const struct session *session, struct log_line *line);

void session_start(struct worker *worker, const struct config_listener *listener, int fd,
                   const struct sockaddr *peer)
{
    struct session *session = calloc(1, sizeof(*session));

    if (!session) {
        close(fd);
        worker_pause_accepting(worker, strerror(ENOMEM));
        return;
    }
    session->worker = worker;
    session->snapshot = snapshot_keep(worker->current);
    session->listener = listener;
    session->state = listener->accept_proxy ? SESSION_PROXY : SESSION_HELLO;
    session->started_ms = session->active_ms = worker->now_ms;
    session->phase_us = stats_clock_us();
    session->timer_due_ms = UINT64_MAX;
    stream_init(&session->client, worker->scratch);
    stream_init(&session->backend, worker->scratch);
    event_assign(&session->client_event, worker->base, -1, 0, session_on_client, session);
    event_assign(&session->backend_event, worker->base, -1, 0, session_on_backend,
                 session);
    evtimer_assign(&session->timer, worker->base, session_on_timer, session);
    TAILQ_INSERT_TAIL(&worker->sessions, session, link);
    worker->session_count++;
    worker->stats->accepted++;
    worker->stats->sessions[session->state]++;

    session_set_peer(session, peer);
    stream_take(&session->client, fd);
    session_on_event(session, SESSION_ENTERED | SESSION_CLIENT_READABLE);
}

void session_on_event(struct session *session, unsigned events)
{
    for (;;) {
        switch (phases[session->state](session, events)) {
        case STEP_WAIT:
            if (!stream_settle(&session->client)) {
                (void)session_end(session, STEP_CLOSE, REASON_INTERNAL, "out of memory");
                session_close(session);
                return;
            }
            session_update_events(session);
            return;
        case STEP_NEXT:
            session_move(session, session->state + 1);
            break;
        case STEP_END:
            session_move(session, SESSION_LINGER);
            break;
        case STEP_CLOSE:
            session_close(session);
            return;
        }
        events = SESSION_ENTERED;
    }
}

void session_drain(struct session *session)
{
    if (session->state == SESSION_LINGER)
        return;
    (void)session_end(session, STEP_END, REASON_DRAIN, NULL);
    session_move(session, SESSION_LINGER);
    session_on_event(session, SESSION_ENTERED);
}

static void session_move(struct session *session, enum session_state state)
{
    uint64_t *counts = session->worker->stats->sessions;

    counts[session->state]--;
    counts[state]++;
    session->state = state;
}

void session_close(struct session *session)
{
    struct worker *worker = session->worker;

    session_log(session);
    session_count(session);
    event_del(&session->client_event);
    event_del(&session->backend_event);
    event_del(&session->timer);
    sign_job_free(session->sign_job);
    stream_close(&session->client, false);
    client_free(session->identity);
    stream_close(&session->backend, session_cuts_backend(session));
    session_leave_target(session);
    target_release(session->reached);
    snapshot_release(session->snapshot);
    TAILQ_REMOVE(&worker->sessions, session, link);
    free(session->origin);
    free(session->id);
    free(session->sni);
    free(session->detail);
    free(session);
    worker_on_session_closed(worker);
}

void session_drop_backend(struct session *session)
{
    session_watch(session, &session->backend_event, -1, 0);
    stream_drop_socket(&session->backend);
}

void session_leave_target(struct session *session)
{
    struct session_connect *connect = &session->connect;

    if (!connect->in_use)
        return;
    if (connect->connecting)
        target_give_up(session->reached);
    else
        target_leave(session->reached);
    connect->in_use = connect->connecting = false;
}

enum session_step session_end(struct session *session, enum session_step step,
                              enum session_reason reason, const char *format, ...)
{
    char text[DETAIL_MAX];

    session->reason = reason;
    session->ended_in = session->state;
    if (!format)
        return step;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    free(session->detail);
    session->detail = strdup(text);
    return step;
}

uint64_t session_now(const struct session *session)
{
    return session->worker->now_ms;
}

/* The backend has nothing more to say.  The client gets its last bytes, and time to take
 * them: closing a socket with unread input would reset them away. */
static enum session_step session_run_linger(struct session *session, unsigned events)
{
    struct stream *client = &session->client;

    if (events & SESSION_ENTERED) {
        sign_job_free(session->sign_job);
        session->sign_job = NULL;
        /* The backend refused what the client may still be sending. */
        if (session->backend.write_failed)
            client->read_ended = client->fin_received;
        session_watch(session, &session->backend_event, -1, 0);
        stream_close(&session->backend, session_cuts_backend(session));
        session_leave_target(session);
        session->deadline_ms =
            session_now(session) + session->snapshot->config->limits.linger_timeout_ms;
        if (!reason_of(session->reason)->graceful || !client->secure)
            stream_shut_write(client);
        else if (stream_end_write(client) == IO_ERROR)
            return STEP_CLOSE;
    }
    if (events & SESSION_TIMEOUT)
        return STEP_CLOSE;
    if ((events & SESSION_CLIENT_WRITABLE) && stream_flush(client) == IO_ERROR)
        return STEP_CLOSE;
    if ((events & SESSION_CLIENT_READABLE) && stream_discard(client) == IO_ERROR)
        return STEP_CLOSE;
    if (client->fin_received)
        client->read_ended = true;
    return client->read_ended && !stream_has_output(client) ? STEP_CLOSE : STEP_WAIT;
}

/* Whether the backend has less than the client had to say.  It must not take that for
 * all, and gets a reset. */
static bool session_cuts_backend(const struct session *session)
{
    return !session->client.read_ended || stream_has_output(&session->backend);
}

void session_set_peer(struct session *session, const struct sockaddr *peer)
{
    struct session_peer *kept = &session->peer;

    kept->family = peer->sa_family;
    if (peer->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, peer, sizeof(in));
        memcpy(kept->address, &in.sin_addr, sizeof(in.sin_addr));
        kept->port = in.sin_port;
    } else if (peer->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, peer, sizeof(in6));
        memcpy(kept->address, &in6.sin6_addr, sizeof(in6.sin6_addr));
        kept->port = in6.sin6_port;
    }
}

static uint64_t session_deadline(const struct session *session)
{
    const struct config_limits *limits = &session->snapshot->config->limits;

    switch (session->state) {
    case SESSION_PROXY:
    case SESSION_HELLO:
    case SESSION_HANDSHAKE:
        return session->started_ms + limits->handshake_timeout_ms;
    case SESSION_CONNECT:
    case SESSION_LINGER:
        return session->deadline_ms;
    case SESSION_RELAY:
        return relay_deadline(session);
    }
    return 0;
}

/* The only place that adds or removes the session's events: from its state, nothing else.
 * The timer is lazy: it moves only when a deadline comes nearer. */
static void session_update_events(struct session *session)
{
    uint64_t now = session_now(session);
    uint64_t deadline = session_deadline(session);

    session_watch(session, &session->client_event, session->client.fd,
                  session_client_interest(session));
    session_watch(session, &session->backend_event, session->backend.fd,
                  session_backend_interest(session));
    if (deadline >= session->timer_due_ms)
        return;
    uint64_t left = deadline > now ? deadline - now : 0;
    const struct timeval delay = {.tv_sec = (time_t)(left / 1000),
                                  .tv_usec = (suseconds_t)(left % 1000 * 1000)};
    evtimer_add(&session->timer, &delay);
    session->timer_due_ms = deadline;
}

static short session_client_interest(const struct session *session)
{
    const struct stream *client = &session->client;
    bool reads = false;

    switch (session->state) {
    case SESSION_PROXY:
    case SESSION_HELLO:
        reads = true;
        break;
    case SESSION_HANDSHAKE:
        reads = !sign_job_is_waiting(session->sign_job);
        break;
    case SESSION_CONNECT:
        reads = !client->read_ended && session->bytes_in == 0;
        break;
    case SESSION_RELAY:
        reads = !client->read_ended && !stream_has_output(&session->backend);
        break;
    case SESSION_LINGER:
        reads = !client->read_ended;
        break;
    }
    return (short)((reads ? EV_READ : 0) | (stream_has_output(client) ? EV_WRITE : 0));
}

static short session_backend_interest(const struct session *session)
{
    const struct stream *backend = &session->backend;

    if (session->state == SESSION_CONNECT)
        return session->connect.connecting ? EV_WRITE : 0;
    if (session->state != SESSION_RELAY)
        return 0;
    bool reads = !backend->read_ended && !stream_has_output(&session->client);
    return (short)((reads ? EV_READ : 0) | (stream_has_output(backend) ? EV_WRITE : 0));
}

static void session_watch(struct session *session, struct event *event, int fd,
                          short interest)
{
    short watched = (short)(event_get_events(event) & (EV_READ | EV_WRITE));

    if (watched == interest && event_get_fd(event) == fd)
        return;
    event_callback_fn callback = event_get_callback(event);
    event_del(event);
    event_assign(event, session->worker->base, fd,
                 interest ? (short)(interest | EV_PERSIST) : 0, callback, session);
    if (interest)
        event_add(event, NULL);
}

static void session_on_client(evutil_socket_t fd, short what, void *argument)
{
    struct session *session = argument;

    (void)fd;
    worker_tick(session->worker);
    session_on_event(session, (what & EV_READ ? SESSION_CLIENT_READABLE : 0u) |
                                  (what & EV_WRITE ? SESSION_CLIENT_WRITABLE : 0u));
}

static void session_on_backend(evutil_socket_t fd, short what, void *argument)
{
    struct session *session = argument;

    (void)fd;
    worker_tick(session->worker);
    session_on_event(session, (what & EV_READ ? SESSION_BACKEND_READABLE : 0u) |
                                  (what & EV_WRITE ? SESSION_BACKEND_WRITABLE : 0u));
}

static void session_on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct session *session = argument;

    (void)fd;
    (void)what;
    worker_tick(session->worker);
    session->timer_due_ms = UINT64_MAX;
    if (session_now(session) >= session_deadline(session))
        session_on_event(session, SESSION_TIMEOUT);
    else
        session_update_events(session);
}

static void session_count(const struct session *session)
{
    struct stats_worker *stats = session->worker->stats;

    stats->sessions[session->state]--;
    if (session->ended_in <= SESSION_HANDSHAKE) {
        stats->handshakes_failed[session->reason]++;
    } else {
        stats->sessions_ended[session->reason]++;
        histogram_add(&stats->session_ms, session_now(session) - session->started_ms);
    }
    if (session->reason == REASON_HELLO_REFUSED)
        stats->hellos_refused[session->refusal]++;
}

static void session_log(const struct session *session)
{
    const struct reason *ending = reason_of(session->reason);
    bool established = session->client.secure;
    char peer[SESSION_PEER_TEXT_MAX];
    struct log_line line;
    enum log_level level = ending->level;

    /* Port scans and health checks of load balancers: nobody was failed. */
    if (session->state <= SESSION_HELLO && session->reason == REASON_CLIENT_CLOSED)
        level = LOG_LEVEL_DEBUG;
    if (!log_enabled(level))
        return;
    log_begin(&line, level, established ? "session closed" : "handshake failed");
    if (established && level == LOG_LEVEL_INFO)
        log_each(&line);
    log_text(&line, "client", session_peer_text(&session->peer, peer));
    if (session->origin)
        log_text(&line, "via", session_peer_text(&session->origin->via, peer));
    log_text(&line, "listener", session->listener->section.name);
    if (session->route)
        log_text(&line, "route", session->route->section.name);
    log_text(&line, "sni", session->sni);
    if (session->identity) {
        log_text(&line, "client_cn", session->identity->cn);
        log_text(&line, "client_san", session->identity->san);
    }
    if (established)
        session_log_tls(session, &line);
    log_number(&line, "duration_ms", session_now(session) - session->started_ms);
    log_text(&line, "state", session_state_name(session->ended_in));
    log_text(&line, "reason",
             session->reason == REASON_HELLO_REFUSED
                 ? hello_refusal_name(session->refusal)
                 : ending->name);
    log_text(&line, "detail", session->detail);
    log_end(&line);
}

static void session_log_tls(const struct session *session, struct log_line *line)
{
    WOLFSSL *ssl = session->client.ssl;

    log_text(line, "version", wolfSSL_get_version(ssl));
    log_text(line, "cipher", wolfSSL_get_cipher(ssl));
    log_text(line, "group", wolfSSL_get_curve_name(ssl));
    log_text(line, "alpn", session->alpn);
    log_text(line, "certificate", session->certificate->name);
    if (wolfSSL_session_reused(ssl))
        log_text(line, "resumed", "yes");
    if (session->backend_address)
        log_text(line, "backend", session->backend_address->text);
    log_text(line, "id", session->id);
    log_number(line, "bytes_in", session->bytes_in);
    log_number(line, "bytes_out", session->bytes_out);
}

const char *session_peer_text(const struct session_peer *peer, char *text)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char host[INET6_ADDRSTRLEN] = "?";
    bool v4 = peer->family == AF_INET;

    if (peer->family == AF_INET6 && memcmp(peer->address, mapped, sizeof(mapped)) == 0) {
        (void)inet_ntop(AF_INET, peer->address + sizeof(mapped), host, sizeof(host));
        v4 = true;
    } else {
        (void)inet_ntop(peer->family, peer->address, host, sizeof(host));
    }
    (void)snprintf(text, SESSION_PEER_TEXT_MAX, v4 ? "%s:%u" : "[%s]:%u", host,
                   ntohs(peer->port));
    return text;
}
