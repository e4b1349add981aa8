/*
 * Where the lines of a process go: standard error, a syslog daemon's socket, or both.
 * Nothing here ever waits for a reader.  Includes nothing of ours but the log.
 */
#ifndef PROXY_LOG_SINK_H
#define PROXY_LOG_SINK_H

#include "proxy/log.h"

/* A line as log.c has made it, for both kinds of places. */
struct log_record {
    enum log_level level;
    const char *text; /* the line with its newline */
    size_t length;
    size_t body;      /* where it goes on after time and level; 0: they are inside */
    const char *time; /* RFC 3339, in UTC */
    size_t time_length;
    const char *name; /* words for its kind; NULL: it has none */
};

/* Looks at what standard error is. */
void log_sink_open(void);
void log_sink_never_wait(void);

/* As log_to_stderr, log_to_syslog and log_leave_stderr of log.h. */
void log_sink_set_stderr(void);
void log_sink_set_syslog(int fd, enum log_place form, enum log_facility facility,
                         bool stderr_too);
void log_sink_leave_stderr(void);

/* False: the line is lost; none of the places took it. */
bool log_sink_write(const struct log_record *record);

/* Whether the syslog socket leads nowhere any more; nothing is tried until another comes.
 */
bool log_sink_is_cut(void);

#endif
