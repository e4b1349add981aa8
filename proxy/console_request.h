/*
 * What an operator asks for on the control socket: one line, a verb and its words.  The
 * whole protocol, which a person can speak with `socat - UNIX:PATH`:
 *
 *   Pawl     pawl 1 VERSION           the protocol's number, and who speaks it
 *   client   VERB [WORD...]           at most 256 bytes with the line end, within 5 s
 *   Pawl     +TEXT                    a line for standard output, any number of them
 *            -TEXT                    a line for standard error
 *            =CODE                    the exit code; the end
 *
 *   status [json] [color]             how Pawl is doing
 *   sessions [json] [LIMIT]           the oldest live sessions
 *   reload                            reads everything again; answers when it is decided
 *   stop [now] [nowait]               answers once all processes have ended, or at once
 *   upgrade                           replaces the program by the one on disk
 *   log LEVEL                         what is logged, until the next reload
 *   prove                             facts for `pawl prove`
 *
 * A connection that ends without =CODE has no result.  Pure code: what comes is read
 * here, console.c does it.
 */
#ifndef PROXY_CONSOLE_REQUEST_H
#define PROXY_CONSOLE_REQUEST_H

#include <stddef.h>

#include "proxy/error.h"

enum {
    CONSOLE_PROTOCOL = 1,
    CONSOLE_REQUEST_MAX = 256, /* bytes, the line end included */
    CONSOLE_WORDS_MAX = 4
};

enum console_verb {
    CONSOLE_STATUS,
    CONSOLE_SESSIONS,
    CONSOLE_RELOAD,
    CONSOLE_STOP,
    CONSOLE_UPGRADE,
    CONSOLE_LOG,
    CONSOLE_PROVE
};
enum { CONSOLE_VERBS = CONSOLE_PROVE + 1 };

struct console_request {
    enum console_verb verb;
    char text[CONSOLE_REQUEST_MAX];
    const char *words[CONSOLE_WORDS_MAX]; /* behind the verb; in `text` */
    size_t count;
};

/* Reads one line without its line end.  Words are printable ASCII, with blanks between
 * them. */
bool console_request_read(struct console_request *request, const char *line,
                          size_t length, struct error *error) MUST_CHECK;

/* Whether the word stands behind the verb; it is then taken out. */
bool console_request_take(struct console_request *request, const char *word);

/* Refuses words that nobody took. */
bool console_request_is_done(const struct console_request *request,
                             struct error *error) MUST_CHECK;

#endif
