/*
 * Signs of life for the service manager's watchdog.  That the master lives proves little,
 * so it asks every process that serves; one that does not answer in the watchdog's time
 * is replaced.  Only if that cannot be done either the manager is left to act.
 */
#include "proxy/log.h"
#include "proxy/master.h"

static void watchdog_on_tick(evutil_socket_t fd, short what, void *argument);

bool watchdog_open(struct master *master, struct error *error)
{
    uint64_t half_ms = master->notify.watchdog_ms / 2;

    if (half_ms == 0)
        return true;
    const struct timeval period = {.tv_sec = (time_t)(half_ms / 1000),
                                   .tv_usec = (suseconds_t)(half_ms % 1000 * 1000)};
    master->watchdog = event_new(master->base, -1, EV_PERSIST, watchdog_on_tick, master);
    if (!master->watchdog || event_add(master->watchdog, &period) < 0)
        return error_set(error, "out of memory");
    return true;
}

void watchdog_close(struct master *master)
{
    if (master->watchdog)
        event_free(master->watchdog);
    master->watchdog = NULL;
}

static void watchdog_on_tick(evutil_socket_t fd, short what, void *argument)
{
    struct master *master = argument;
    uint64_t patience_ms = master->notify.watchdog_ms;
    bool hopeless = false;
    char title[32];

    (void)fd;
    (void)what;
    for (size_t i = 0; i < master->process_count; i++) {
        struct process *process = &master->processes[i];
        uint64_t silent_ms = process_silent_ms(process);
        hopeless = hopeless || silent_ms >= 2 * patience_ms;
        if (silent_ms >= patience_ms) {
            log_error("%s hangs; it is replaced",
                      process_title(process, title, sizeof(title)));
            process_kill(process);
        }
        process_ping(process);
    }
    if (!hopeless)
        notify_alive(&master->notify);
}
