/*
 * One operator's connection in the master: a request comes, lines go.  Never waits: what
 * the operator does not take is kept up to a bound, and one who takes nothing for a while
 * is dropped.
 */
#ifndef PROXY_CONSOLE_CLIENT_H
#define PROXY_CONSOLE_CLIENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "proxy/error.h"

struct bufferevent;
struct console_client;

enum console_client_state {
    CONSOLE_CLIENT_FREE,
    CONSOLE_CLIENT_ASKS,  /* the request is not there yet */
    CONSOLE_CLIENT_WAITS, /* for what `wait` says */
    CONSOLE_CLIENT_ENDS   /* the last bytes are on their way */
};

enum console_wait {
    CONSOLE_WAIT_RELOAD,
    CONSOLE_WAIT_STOP,
    CONSOLE_WAIT_SESSIONS,
    CONSOLE_WAIT_UPGRADE
};

/* What became of a client is told to its owner. */
struct console_client_events {
    void (*on_request)(void *owner, struct console_client *client, const char *line,
                       size_t length);
    void (*on_free)(void *owner); /* there is room for another */
};

/* Zero-initialised: free. */
struct console_client {
    enum console_client_state state;
    struct bufferevent *stream; /* owned */
    const struct console_client_events *events;
    void *owner;
    enum console_wait wait;
    bool begun;     /* of WAIT_RELOAD: the reload that was asked for is under way */
    bool as_json;   /* of WAIT_SESSIONS */
    unsigned limit; /* likewise */
    bool overflown; /* more was to be said than is kept */
};

/* Takes a connected non-blocking socket and greets. */
bool console_client_open(struct console_client *client, struct event_base *base, int fd,
                         const struct console_client_events *events,
                         void *owner) MUST_CHECK;

/* The same with a connection that waited in the program before this one: it has been
 * greeted and has asked. */
bool console_client_resume(struct console_client *client, struct event_base *base, int fd,
                           const struct console_client_events *events, void *owner,
                           enum console_wait wait) MUST_CHECK;

/* Waits from now on, for as long as it takes. */
void console_client_wait(struct console_client *client, enum console_wait wait);
bool console_client_waits(const struct console_client *client, enum console_wait wait);

/* One line for standard output ('+') or error ('-'); what is not printable becomes '?'.
 */
void console_client_say(struct console_client *client, char kind, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Text of whole lines for standard output, as it is. */
void console_client_print(struct console_client *client, const char *text, size_t length);

/* Says the exit code; the connection ends once it is out. */
void console_client_end(struct console_client *client, int code);

/* At once, after one attempt to send what is left. */
void console_client_drop(struct console_client *client);

#endif
