/*
 * The listening sockets, in the master: one SO_REUSEPORT socket for each address and
 * worker, bound once and kept, so that a worker that is replaced finds its queue intact
 * and a reload closes nothing that stays.
 */
#ifndef PROXY_SOCKETS_H
#define PROXY_SOCKETS_H

#include "config/config.h"
#include "proxy/error.h"

/* Connections that wait in the queue of one socket, at most. */
enum { SOCKETS_BACKLOG = 4096 };

struct socket_group {
    struct address address;
    int *fds;     /* owned; one for each worker */
    bool wanted;  /* by the configuration that is being prepared */
    bool current; /* by the one in service */
};

struct sockets {
    struct socket_group *groups; /* owned */
    size_t count;
    unsigned workers;
};

/* Binds what `config` names and is not bound yet.  Refuses an address that another
 * process listens on, which SO_REUSEPORT alone would share silently.  Problems go to the
 * report. */
void sockets_prepare(struct sockets *sockets, const struct config *config,
                     struct report *report);

/* Makes sure that a socket which a worker has had listens: one that was shut down there
 * is brought back before the next worker gets it. */
bool sockets_revive(const struct socket_group *group, unsigned worker,
                    struct error *error) MUST_CHECK;

/* The prepared addresses are the ones in service; the others are closed here. */
void sockets_commit(struct sockets *sockets);

/* Closes what only the prepared configuration wanted. */
void sockets_abort(struct sockets *sockets);

void sockets_close(struct sockets *sockets);

#endif
