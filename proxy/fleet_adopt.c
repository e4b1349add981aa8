/* The old program's processes when it is executed again: they have served all the time.
 */
#include <string.h>

#include "proxy/master.h"

bool fleet_adopt(struct master *master, struct handover *from, struct error *error)
{
    if (!fleet_make(master, from->workers, error))
        return false;
    for (size_t i = 0; i < from->process_count; i++) {
        struct handover_process *item = &from->processes[i];
        struct process *process = NULL;
        for (size_t j = 0; j < master->process_count && !process; j++) {
            if (strcmp(master->processes[j].role->name, item->role) == 0 &&
                master->processes[j].index == item->index)
                process = &master->processes[j];
        }
        if (item->pid == 0 || !process)
            continue;
        if (item->stats_fd >= 0 && !process_take_page(process, item->stats_fd, error))
            return false;
        item->stats_fd = -1;
        if (!process_adopt(process, item->pid, item->control_fd, item->generation, error))
            return false;
        item->control_fd = -1;
        ledger_note_start(master, process);
    }
    for (size_t i = 0; i < master->process_count; i++) {
        if (master->processes[i].pid == 0 &&
            fleet_wants(&master->processes[i], master->current))
            process_restart_later(&master->processes[i]);
    }
    return true;
}
