/*
 * The listening sockets, in the master: one SO_REUSEPORT socket for each address and
 * worker, bound once and kept, so that a worker that is replaced finds its queue intact
 * and a reload closes nothing that stays.  An upgrade may find more of them than workers:
 * then a worker has several, and no queue is left alone.  On sockets that the service
 * manager made, all workers accept.
 */
#ifndef PROXY_SOCKETS_H
#define PROXY_SOCKETS_H

#include "config/config.h"
#include "proxy/activation.h"
#include "proxy/error.h"

/* Connections that wait in the queue of one socket, at most. */
enum { SOCKETS_BACKLOG = 4096 };

struct socket_group {
    struct address address;
    int *fds; /* owned */
    unsigned count;
    unsigned silent; /* those from this one on do not listen yet */
    bool inherited;  /* from the service manager, who keeps them open */
    bool wanted;     /* by the configuration that is being prepared */
    bool current;    /* by the one in service */
};

struct sockets {
    struct socket_group *groups; /* owned */
    size_t count;
    unsigned workers;
    const struct activation *activation; /* borrowed; NULL: nothing was handed over */
};

/* Binds what `config` names and is not bound yet.  Refuses an address that another
 * process listens on, which SO_REUSEPORT alone would share silently.  Problems go to the
 * report. */
void sockets_prepare(struct sockets *sockets, const struct config *config,
                     struct report *report);

/* Whether socket `i` of the group is for `worker`. */
bool sockets_is_for(const struct sockets *sockets, const struct socket_group *group,
                    unsigned i, unsigned worker);

/* Makes sure that socket `i`, which a worker has had, listens: one that was shut down
 * there is brought back before the next worker gets it. */
bool sockets_revive(const struct socket_group *group, unsigned i,
                    struct error *error) MUST_CHECK;

/* Takes a listening socket that was in service in the image of the program before; on
 * failure it is closed. */
bool sockets_adopt(struct sockets *sockets, const struct address *address, int fd,
                   struct error *error) MUST_CHECK;

/* Before the first configuration is committed: has the sockets listen that were added to
 * those of an upgrade, which until then served alone. */
bool sockets_begin(struct sockets *sockets, struct error *error) MUST_CHECK;

/* From now on nobody begins a connection: requests for one are dropped unanswered, while
 * those that were answered can be completed and are then in the queues, also where the
 * client has not spoken yet.  Leaves the service manager's sockets alone. */
void sockets_settle(const struct sockets *sockets);

/* The same for the sockets that the prepared configuration does not name, before it is
 * committed: what is in their queues then is all that the workers have to take. */
void sockets_retire(const struct sockets *sockets);

/* How many connections are on their way into the queues: -1 if the kernel does not tell.
 */
int sockets_count_arriving(const struct sockets *sockets);

/* The prepared addresses are the ones in service; the others are closed here. */
void sockets_commit(struct sockets *sockets);

/* Closes what only the prepared configuration wanted. */
void sockets_abort(struct sockets *sockets);

void sockets_close(struct sockets *sockets);

#endif
