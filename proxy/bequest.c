/* What other parts of the master leave to the program that takes this one's place. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/master.h"

#define ADMIN_PREFIX "admin "
#define LEDGER_NAME  "ledger"

static void bequest_take_admin(struct master *master);
static void bequest_take_ledger(struct master *master);
static void bequest_keep_restarts(struct stats_process *process);

/* Copies: the sockets themselves are still needed if the program cannot be executed. */
void bequest_leave(struct master *master)
{
    const struct admin_sockets *sockets = &master->admin_sockets;
    char name[HANDOVER_NAME_MAX];

    console_hand_over(master->console, upgrade_keep);
    for (size_t i = 0; i < sockets->count; i++) {
        const struct admin_socket *item = &sockets->items[i];
        (void)snprintf(name, sizeof(name), ADMIN_PREFIX "%s", item->address.text);
        int fd = item->current ? fcntl(item->fd, F_DUPFD_CLOEXEC, 0) : -1;
        if (fd >= 0 && !upgrade_keep(master, name, fd))
            log_error("out of memory for %s", name);
    }
    int fd = fcntl(master->stats_fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0 && !upgrade_keep(master, LEDGER_NAME, fd))
        log_error("out of memory for %s", LEDGER_NAME);
}

void bequest_take(struct master *master)
{
    console_take_over(master->console, upgrade_take);
    bequest_take_admin(master);
    bequest_take_ledger(master);
}

static void bequest_take_admin(struct master *master)
{
    const struct handover *from = &master->upgrade.from;
    struct admin_sockets *sockets = &master->admin_sockets;
    const size_t prefix = strlen(ADMIN_PREFIX);
    struct address_list list;
    struct error error;

    for (size_t i = 0; i < from->fd_count; i++) {
        struct handover_fd *item = &from->fds[i];
        if (item->use != HANDOVER_KEPT || item->fd < 0 ||
            strncmp(item->name, ADMIN_PREFIX, prefix) != 0 ||
            sockets->count == ADMIN_SOCKETS ||
            !value_read_addresses(item->name + prefix, ADDRESS_LISTEN_LOCAL, &list,
                                  &error) ||
            list.count != 1)
            continue;
        sockets->items[sockets->count++] = (struct admin_socket){
            .address = list.items[0], .fd = item->fd, .wanted = true, .current = true};
        item->fd = -1;
    }
}

/* The figures go on; those of the page that was, the earlier admin process still reads.
 */
static void bequest_take_ledger(struct master *master)
{
    struct error error;
    int fd = upgrade_take(master, LEDGER_NAME);

    if (fd < 0)
        return;
    const struct stats_master *before =
        master->upgrade.from.counters == STATS_LAYOUT
            ? stats_page_map(fd, sizeof(*before), false, &error)
            : NULL;
    if (before)
        *master->stats = *before;
    /* These are others. */
    master->stats->process_count = 0;
    for (size_t i = 0; i < STATS_PROCESSES; i++)
        bequest_keep_restarts(&master->stats->processes[i]);
    stats_page_unmap(before, sizeof(*before));
    close(fd);
}

/* The process is another one from now on, but it is counted on: see ledger_note_start. */
static void bequest_keep_restarts(struct stats_process *process)
{
    const struct stats_process before = *process;

    memset(process, 0, sizeof(*process));
    memcpy(process->role, before.role, sizeof(process->role));
    process->role[sizeof(process->role) - 1] = '\0';
    process->index = before.index;
    process->restarts = before.restarts;
}
