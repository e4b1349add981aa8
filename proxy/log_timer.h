/*
 * Has the log of this process say in time what it puts off.  There is a timer only while
 * something is put off.
 */
#ifndef PROXY_LOG_TIMER_H
#define PROXY_LOG_TIMER_H

#include <event2/event.h>

#include "proxy/error.h"

struct log_timer;

/* `on_cut(argument)` is called from the event loop, at once and then every second, while
 * lines are lost because the syslog daemon has left its socket; `base` and `argument` are
 * borrowed.  One for each process. */
struct log_timer *log_timer_new(struct event_base *base, void (*on_cut)(void *argument),
                                void *argument, struct error *error) MUST_CHECK;

/* NULL is allowed. */
void log_timer_free(struct log_timer *timer);

#endif
