/*
 * The other end of the control socket: how `pawl status`, `reload` and the like find the
 * running Pawl and ask it.  A process of its own.
 */
#ifndef PROXY_CONSOLE_CALL_H
#define PROXY_CONSOLE_CALL_H

#include <stdbool.h>

#include "proxy/console_socket.h"

struct console_call {
    const char *control; /* where it listens; NULL: as the configuration says */
    const char *file;    /* the configuration; NULL: the usual one, if it can be read */
    unsigned patience_s; /* without a line; 0: the usual */
    bool until_exit;     /* wait until the process that answers has ended, too */
    char path[CONSOLE_PATH_MAX]; /* found */
    /* Gets every line, '+' or '-' its kind.  NULL: to standard output and error. */
    void (*on_line)(void *argument, char kind, const char *line);
    void *argument;
};

/* Finds out where it listens. */
bool console_find(struct console_call *call, struct error *error) MUST_CHECK;

/* Finds it, asks, and passes on what it says.  Returns its exit code, or -1 and the error
 * if there is none. */
int console_ask(struct console_call *call, const char *request, struct error *error);

#endif
