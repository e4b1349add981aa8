#include "proxy/alarm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "proxy/log.h"

struct alarm {
    int fd;              /* owned */
    struct event *event; /* owned */
    void (*on_due)(void *argument);
    void *argument;
};

static void alarm_on_due(evutil_socket_t fd, short what, void *argument);

struct alarm *alarm_new(struct event_base *base, void (*on_due)(void *argument),
                        void *argument, struct error *error)
{
    struct alarm *alarm = calloc(1, sizeof(*alarm));

    if (!alarm) {
        (void)error_set(error, "out of memory");
        return NULL;
    }
    *alarm = (struct alarm){.on_due = on_due, .argument = argument};
    alarm->fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (alarm->fd >= 0)
        alarm->event =
            event_new(base, alarm->fd, EV_READ | EV_PERSIST, alarm_on_due, alarm);
    if (alarm->event && event_add(alarm->event, NULL) == 0)
        return alarm;
    (void)error_set_errno(error, errno, "cannot make a timer");
    alarm_free(alarm);
    return NULL;
}

void alarm_set(struct alarm *alarm, uint64_t at_ms)
{
    /* A moment of zero would switch the timer off, which is what never wants. */
    const bool never = at_ms == UINT64_MAX;
    const struct itimerspec when = {
        .it_value = {.tv_sec = never ? 0 : (time_t)(at_ms / 1000),
                     .tv_nsec = never ? 0 : (long)(at_ms % 1000 * 1000000 + 1)}};

    if (timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
        log_error("cannot set a timer");
}

void alarm_free(struct alarm *alarm)
{
    if (!alarm)
        return;
    if (alarm->event)
        event_free(alarm->event);
    if (alarm->fd >= 0)
        close(alarm->fd);
    free(alarm);
}

static void alarm_on_due(evutil_socket_t fd, short what, void *argument)
{
    struct alarm *alarm = argument;
    uint64_t times;

    (void)what;
    if (read(fd, &times, sizeof(times)) == sizeof(times))
        alarm->on_due(alarm->argument);
}
