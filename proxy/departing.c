/*
 * Processes of the image that was replaced: they were let go, finish what is open, and
 * are reaped here.  Whoever has not ended in time is killed.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "proxy/log.h"
#include "proxy/master.h"

static void departing_on_due(void *argument);
static void departing_set_alarm(struct master *master);

bool departing_open(struct master *master, struct error *error)
{
    master->upgrade.departing_alarm =
        alarm_new(master->base, departing_on_due, master, error);
    return master->upgrade.departing_alarm != NULL;
}

bool departing_add(struct master *master, const struct handover_process *process)
{
    struct upgrade *upgrade = &master->upgrade;
    size_t count = upgrade->departing_count;
    struct handover_process *list =
        reallocarray(upgrade->departing, count + 1, sizeof(*list));

    if (!list)
        return false;
    upgrade->departing = list;
    list[count] = *process;
    list[count].control_fd = list[count].stats_fd = -1;
    upgrade->departing_count++;
    departing_set_alarm(master);
    return true;
}

size_t departing_count(const struct master *master)
{
    return master->upgrade.departing_count;
}

void departing_kill(struct master *master)
{
    const struct upgrade *upgrade = &master->upgrade;

    for (size_t i = 0; i < upgrade->departing_count; i++)
        (void)kill(upgrade->departing[i].pid, SIGKILL);
    for (size_t i = 0; i < upgrade->from.process_count; i++) {
        if (upgrade->taking_over && upgrade->from.processes[i].pid > 0)
            (void)kill(upgrade->from.processes[i].pid, SIGKILL);
    }
}

bool departing_on_child_exit(struct master *master, pid_t pid, int status)
{
    struct upgrade *upgrade = &master->upgrade;

    for (size_t i = 0; i < upgrade->from.process_count; i++) {
        if (upgrade->from.processes[i].pid == pid) {
            upgrade->from.processes[i].pid = 0;
            return true;
        }
    }
    for (size_t i = 0; i < upgrade->departing_count; i++) {
        struct handover_process *process = &upgrade->departing[i];
        if (process->pid != pid)
            continue;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            log_warning("%s %u from before the upgrade did not end in peace",
                        process->role, process->index);
        *process = upgrade->departing[--upgrade->departing_count];
        if (upgrade->departing_count == 0)
            log_info("all processes from before the upgrade have ended");
        departing_set_alarm(master);
        return true;
    }
    return false;
}

static void departing_on_due(void *argument)
{
    struct master *master = argument;
    const struct upgrade *upgrade = &master->upgrade;
    uint64_t now = ticket_clock_ms();

    for (size_t i = 0; i < upgrade->departing_count; i++) {
        struct handover_process *process = &upgrade->departing[i];
        if (process->until_ms > now)
            continue;
        log_warning("%s %u from before the upgrade has not ended in time and is killed",
                    process->role, process->index);
        (void)kill(process->pid, SIGKILL);
        process->until_ms = UINT64_MAX;
    }
    departing_set_alarm(master);
}

static void departing_set_alarm(struct master *master)
{
    const struct upgrade *upgrade = &master->upgrade;
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < upgrade->departing_count; i++) {
        if (upgrade->departing[i].until_ms < next)
            next = upgrade->departing[i].until_ms;
    }
    alarm_set(upgrade->departing_alarm, next);
}
