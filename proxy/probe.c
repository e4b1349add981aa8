#include "proxy/probe.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/dial.h"

struct probe {
    struct probe_context context;
    int fd;         /* owned; -1 between two checks */
    size_t sent;    /* bytes of the plan's words */
    size_t matched; /* bytes of the expected answer */
    bool connecting;
    struct event io;    /* initialised while there is a socket */
    struct event timer; /* the next check, or the time-out of this one */
};

static void probe_begin(struct probe *probe);
static void probe_wait(struct probe *probe, short what);
static void probe_on_event(evutil_socket_t fd, short what, void *argument);
static void probe_on_timer(evutil_socket_t fd, short what, void *argument);
static void probe_talk(struct probe *probe);
static void probe_listen(struct probe *probe);
static void probe_end(struct probe *probe, bool good, const char *cause);
static void probe_set_timer(struct probe *probe, uint64_t ms);

void probe_plan_make(struct probe_plan *plan, const struct config_check *check,
                     enum send_proxy send_proxy)
{
    /* Plans are compared as bytes. */
    memset(plan, 0, sizeof(*plan));
    memcpy(&plan->check, check, sizeof(plan->check));
    if (check->mode == CHECK_OFF)
        return;
    plan->word_count = proxy_protocol_write_own(send_proxy, plan->words);
    if (check->mode != CHECK_SEND)
        return;
    memcpy(plan->words + plan->word_count, check->send.data, check->send.length);
    plan->word_count += check->send.length;
}

struct probe *probe_new(const struct probe_context *context)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    uint32_t random = 0;

    if (!probe)
        return NULL;
    probe->context = *context;
    probe->fd = -1;
    evtimer_assign(&probe->timer, context->base, probe_on_timer, probe);
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        random = 0;
    probe_set_timer(probe, random % context->plan->check.interval_ms);
    return probe;
}

void probe_free(struct probe *probe)
{
    if (!probe)
        return;
    event_del(&probe->timer);
    if (probe->fd >= 0) {
        event_del(&probe->io);
        close(probe->fd);
    }
    free(probe);
}

static void probe_begin(struct probe *probe)
{
    struct error error;

    probe->sent = probe->matched = 0;
    probe->fd = dial_open(probe->context.address, &probe->connecting, &error);
    if (probe->fd < 0) {
        probe_end(probe, false, error.text);
        return;
    }
    event_assign(&probe->io, probe->context.base, probe->fd, 0, probe_on_event, probe);
    probe_set_timer(probe, probe->context.plan->check.timeout_ms);
    if (probe->connecting)
        probe_wait(probe, EV_WRITE);
    else
        probe_talk(probe);
}

static void probe_wait(struct probe *probe, short what)
{
    event_del(&probe->io);
    event_assign(&probe->io, probe->context.base, probe->fd, what, probe_on_event, probe);
    event_add(&probe->io, NULL);
}

static void probe_on_event(evutil_socket_t fd, short what, void *argument)
{
    struct probe *probe = argument;
    struct error error;

    if (what & EV_READ) {
        probe_listen(probe);
        return;
    }
    if (probe->connecting && !dial_has_connected(fd, &error)) {
        probe_end(probe, false, error.text);
        return;
    }
    probe->connecting = false;
    probe_talk(probe);
}

static void probe_on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct probe *probe = argument;

    (void)fd;
    (void)what;
    if (probe->fd < 0)
        probe_begin(probe);
    else
        probe_end(probe, false,
                  probe->connecting ? "no connection within check_timeout"
                                    : "no answer within check_timeout");
}

static void probe_talk(struct probe *probe)
{
    const struct probe_plan *plan = probe->context.plan;

    while (probe->sent < plan->word_count) {
        ssize_t sent = send(probe->fd, plan->words + probe->sent,
                            plan->word_count - probe->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            probe_wait(probe, EV_WRITE);
            return;
        }
        if (sent < 0) {
            probe_end(probe, false, strerror(errno));
            return;
        }
        probe->sent += (size_t)sent;
    }
    if (plan->check.mode == CHECK_SEND)
        probe_wait(probe, EV_READ);
    else
        probe_end(probe, true, NULL);
}

/* No more is read than can be compared. */
static void probe_listen(struct probe *probe)
{
    const struct byte_text *expected = &probe->context.plan->check.expect;
    uint8_t answer[BYTE_TEXT_MAX];

    ssize_t got = recv(probe->fd, answer, expected->length - probe->matched, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        probe_wait(probe, EV_READ);
        return;
    }
    if (got <= 0) {
        probe_end(probe, false,
                  got < 0 ? strerror(errno) : "it hung up before its answer was whole");
        return;
    }
    if (memcmp(answer, expected->data + probe->matched, (size_t)got) != 0) {
        probe_end(probe, false, "its answer does not begin with check_expect");
        return;
    }
    probe->matched += (size_t)got;
    if (probe->matched == expected->length)
        probe_end(probe, true, NULL);
    else
        probe_wait(probe, EV_READ);
}

/* The callback comes last: it may free the probe. */
static void probe_end(struct probe *probe, bool good, const char *cause)
{
    if (probe->fd >= 0) {
        event_del(&probe->io);
        close(probe->fd);
        probe->fd = -1;
    }
    probe_set_timer(probe, probe->context.plan->check.interval_ms);
    probe->context.on_result(probe->context.argument, good, cause);
}

static void probe_set_timer(struct probe *probe, uint64_t ms)
{
    const struct timeval delay = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    evtimer_add(&probe->timer, &delay);
}
