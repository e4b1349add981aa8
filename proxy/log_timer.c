#include "proxy/log_timer.h"

#include <stdlib.h>

#include "proxy/log.h"

static const struct timeval AT_ONCE = {.tv_sec = 0};
static const struct timeval LATER = {.tv_sec = 1};

struct log_timer {
    struct event *event; /* owned */
    void (*on_cut)(void *argument);
    void *argument;
};

static void log_timer_on_put_off(void *argument);
static void log_timer_on_due(evutil_socket_t fd, short what, void *argument);

struct log_timer *log_timer_new(struct event_base *base, void (*on_cut)(void *argument),
                                void *argument, struct error *error)
{
    struct log_timer *timer = calloc(1, sizeof(*timer));

    if (timer)
        timer->event = evtimer_new(base, log_timer_on_due, timer);
    if (!timer || !timer->event) {
        (void)error_set(error, "out of memory");
        free(timer);
        return NULL;
    }
    timer->on_cut = on_cut;
    timer->argument = argument;
    log_on_put_off(log_timer_on_put_off, timer);
    return timer;
}

void log_timer_free(struct log_timer *timer)
{
    if (!timer)
        return;
    log_on_put_off(NULL, NULL);
    event_free(timer->event);
    free(timer);
}

/* In the midst of somebody's line: what there is to do is done from the event loop. */
static void log_timer_on_put_off(void *argument)
{
    const struct log_timer *timer = argument;

    evtimer_add(timer->event, log_is_cut() ? &AT_ONCE : &LATER);
}

static void log_timer_on_due(evutil_socket_t fd, short what, void *argument)
{
    const struct log_timer *timer = argument;

    (void)fd;
    (void)what;
    if (log_is_cut())
        timer->on_cut(timer->argument);
    if (log_flush())
        evtimer_add(timer->event, &LATER);
}
