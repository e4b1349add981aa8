/*
 * The sockets on which the admin process listens, bound and kept by the master, so that a
 * replacement of that process finds them.  TCP ones, and unix ones whose file has mode
 * 0660 and goes when the address does.
 */
#ifndef PROXY_ADMIN_SOCKETS_H
#define PROXY_ADMIN_SOCKETS_H

#include "config/config.h"
#include "proxy/error.h"

struct admin_socket {
    struct address address;
    int fd;       /* owned; -1: none here */
    bool wanted;  /* by the configuration that is being prepared */
    bool current; /* by the one in service */
};

/* Room for those in service and those being prepared. */
enum { ADMIN_SOCKETS = 2 * ADDRESS_LIST_MAX };

struct admin_sockets {
    struct admin_socket items[ADMIN_SOCKETS];
    size_t count;
};

/* Binds what `config` names and is not bound yet; problems go to the report. */
void admin_sockets_prepare(struct admin_sockets *sockets, const struct config *config,
                           struct report *report);

/* The prepared addresses are the ones in service; the others are closed here. */
void admin_sockets_commit(struct admin_sockets *sockets);

/* Closes what only the prepared configuration wanted. */
void admin_sockets_abort(struct admin_sockets *sockets);

void admin_sockets_close(struct admin_sockets *sockets);

#endif
