/*
 * A timer on the clock of ticket_clock_ms: it goes on while the machine is suspended, so
 * that what is due meanwhile is done at once on waking.
 */
#ifndef PROXY_ALARM_H
#define PROXY_ALARM_H

#include <event2/event.h>
#include <stdint.h>

#include "proxy/error.h"

struct alarm;

/* `on_due(argument)` is called from the event loop; `base` and `argument` are borrowed.
 */
struct alarm *alarm_new(struct event_base *base, void (*on_due)(void *argument),
                        void *argument, struct error *error) MUST_CHECK;

/* Sets it to the moment `at_ms` of ticket_clock_ms, in place of the one before;
 * UINT64_MAX: never. */
void alarm_set(struct alarm *alarm, uint64_t at_ms);

/* NULL is allowed. */
void alarm_free(struct alarm *alarm);

#endif
