/* What the master hands to the admin process: everybody's counters, and its sockets. */
#include <unistd.h>

#include "proxy/master.h"
#include "proxy/worker.h"

static bool fleet_admin_send_page(struct process *admin, unsigned number, int page_fd,
                                  struct error *error);

bool fleet_admin_send_pages(const struct master *master, struct process *admin,
                            struct error *error)
{
    if (!fleet_admin_send_page(admin, STATS_PAGE_MASTER, master->stats_fd, error))
        return false;
    for (size_t i = 0; i < master->process_count; i++) {
        const struct process *process = &master->processes[i];
        if (process->role == &worker_role &&
            !fleet_admin_send_page(admin, process->index, process->stats_fd, error))
            return false;
    }
    return true;
}

void fleet_admin_send_sockets(const struct master *master, struct process *admin)
{
    const struct admin_sockets *sockets = &master->admin_sockets;

    for (size_t i = 0; i < sockets->count; i++) {
        const struct admin_socket *item = &sockets->items[i];
        const struct control_fds fds = {.fd = {item->fd, -1}};
        if (item->wanted)
            process_tell(admin, CONTROL_LISTENER, 0, item->address.text, &fds);
    }
}

static bool fleet_admin_send_page(struct process *admin, unsigned number, int page_fd,
                                  struct error *error)
{
    const struct control_message message = {.type = CONTROL_STATS, .number = {number}};
    const struct control_fds fds = {.fd = {stats_page_read_only(page_fd, error), -1}};

    if (fds.fd[0] < 0)
        return false;
    process_tell_message(admin, &message, &fds);
    close(fds.fd[0]);
    return true;
}
