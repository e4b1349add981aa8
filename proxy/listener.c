#include "proxy/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/sockets.h"
#include "proxy/worker.h"

/* Connections taken in one turn of the loop, so that sessions get theirs. */
enum { ACCEPT_BATCH = 16 };

enum accept_result { ACCEPT_TAKEN, ACCEPT_EMPTY, ACCEPT_EXHAUSTED };

static void listener_on_readable(evutil_socket_t fd, short what, void *argument);
static enum accept_result listener_accept(struct listener *listener);
static void listener_admit(struct listener *listener, int fd,
                           const struct sockaddr *peer);
static void listener_refuse(struct listener *listener, int fd, enum limits_answer answer,
                            uint32_t source);
static void listener_accept_empty(struct listener *listener);
static const struct config_listener *listener_config(const struct config *config,
                                                     const char *address);
static void listener_free(struct listener *listener);

void listener_add(struct worker *worker, const char *address, int fd)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    if (!listener) {
        log_error("cannot take the listening socket of %s: out of memory", address);
        close(fd);
        return;
    }
    listener->worker = worker;
    listener->fd = fd;
    (void)snprintf(listener->address, sizeof(listener->address), "%s", address);
    event_assign(&listener->event, worker->base, fd, EV_READ | EV_PERSIST,
                 listener_on_readable, listener);
    SLIST_INSERT_HEAD(&worker->listeners, listener, link);
}

struct listener *listener_find(const struct worker *worker, const char *address)
{
    struct listener *listener;

    SLIST_FOREACH (listener, &worker->listeners, link) {
        if (strcmp(listener->address, address) == 0)
            return listener;
    }
    return NULL;
}

void listener_retire_all(struct worker *worker, const struct config *next_config)
{
    struct listener *listener, *next;

    for (listener = SLIST_FIRST(&worker->listeners); listener; listener = next) {
        next = SLIST_NEXT(listener, link);
        if (listener_config(next_config, listener->address))
            continue;
        if (listener->config)
            listener_accept_empty(listener);
        SLIST_REMOVE(&worker->listeners, listener, listener, link);
        listener_free(listener);
    }
}

void listener_adopt_all(struct worker *worker)
{
    struct listener *listener;

    SLIST_FOREACH (listener, &worker->listeners, link) {
        listener->config = listener_config(worker->current->config, listener->address);
    }
    if (!worker->accept_paused)
        listener_resume_all(worker);
}

void listener_abort_all(struct worker *worker)
{
    struct listener *listener, *next;

    for (listener = SLIST_FIRST(&worker->listeners); listener; listener = next) {
        next = SLIST_NEXT(listener, link);
        if (listener->config)
            continue;
        SLIST_REMOVE(&worker->listeners, listener, listener, link);
        listener_free(listener);
    }
}

void listener_drain_all(struct worker *worker)
{
    struct listener *listener;

    SLIST_FOREACH (listener, &worker->listeners, link) {
        if (listener->config)
            listener_accept_empty(listener);
    }
    listener_close_all(worker);
}

void listener_pause_all(struct worker *worker)
{
    struct listener *listener;

    SLIST_FOREACH (listener, &worker->listeners, link) {
        event_del(&listener->event);
    }
}

void listener_resume_all(struct worker *worker)
{
    struct listener *listener;

    SLIST_FOREACH (listener, &worker->listeners, link) {
        if (listener->config)
            event_add(&listener->event, NULL);
    }
}

void listener_close_all(struct worker *worker)
{
    while (!SLIST_EMPTY(&worker->listeners)) {
        struct listener *listener = SLIST_FIRST(&worker->listeners);
        SLIST_REMOVE_HEAD(&worker->listeners, link);
        listener_free(listener);
    }
}

static void listener_on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct listener *listener = argument;

    (void)fd;
    (void)what;
    worker_tick(listener->worker);
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (listener_accept(listener) != ACCEPT_TAKEN)
            return;
    }
}

static enum accept_result listener_accept(struct listener *listener)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);

    if (!worker_may_accept(listener->worker))
        return ACCEPT_EXHAUSTED;
    int fd = accept4(listener->fd, (struct sockaddr *)&peer, &length,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        listener_admit(listener, fd, (struct sockaddr *)&peer);
        return ACCEPT_TAKEN;
    }
    switch (errno) {
    case EAGAIN:
        return ACCEPT_EMPTY;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
        /* The socket does not listen any more.  The master gives a new worker a good one.
         */
        log_error("cannot accept on %s: %s", listener->address, strerror(errno));
        event_del(&listener->event);
        event_base_loopbreak(listener->worker->base);
        return ACCEPT_EXHAUSTED;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        worker_pause_accepting(listener->worker, strerror(errno));
        return ACCEPT_EXHAUSTED;
    default:
        /* That one connection failed before it was accepted. */
        return ACCEPT_TAKEN;
    }
}

/* Who the client is behind a load balancer is not known yet. */
static void listener_admit(struct listener *listener, int fd, const struct sockaddr *peer)
{
    struct worker *worker = listener->worker;
    enum limits_answer answer = LIMITS_ADMITTED;
    uint32_t source = 0;

    if (!listener->config->accept_proxy)
        answer = limits_enter(worker->limits, peer, worker->now_ms, &source);
    if (answer != LIMITS_ADMITTED) {
        listener_refuse(listener, fd, answer, source);
        return;
    }
    limits_on_accepted(worker->limits);
    session_start(worker, listener->config, fd, peer, source);
}

/* With a reset, so that nothing of the connection stays in the kernel.  The line has no
 * port: those of a flood are alike. */
static void listener_refuse(struct listener *listener, int fd, enum limits_answer answer,
                            uint32_t source)
{
    const struct linger reset = {.l_onoff = 1};
    char text[LIMITS_SOURCE_TEXT_MAX];
    struct log_line line;

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    if (!log_enabled(LOG_LEVEL_INFO))
        return;
    log_begin(&line, LOG_LEVEL_INFO, "connection refused");
    log_text(&line, "source", limits_source_text(listener->worker->limits, source, text));
    log_text(&line, "listener", listener->config->section.name);
    log_text(&line, "reason", limits_answer_name(answer));
    log_end(&line);
}

/* At most what the queue holds: a flood must not keep it open. */
static void listener_accept_empty(struct listener *listener)
{
    for (int i = 0; i < SOCKETS_BACKLOG; i++) {
        if (listener_accept(listener) != ACCEPT_TAKEN)
            return;
    }
}

static const struct config_listener *listener_config(const struct config *config,
                                                     const char *address)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct address_list *list = &config->listeners[i].addresses;
        for (size_t j = 0; j < list->count; j++) {
            if (strcmp(list->items[j].text, address) == 0)
                return &config->listeners[i];
        }
    }
    return NULL;
}

static void listener_free(struct listener *listener)
{
    event_del(&listener->event);
    close(listener->fd);
    free(listener);
}
