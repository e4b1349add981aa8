/*
 * The log: one line per thing worth saying, in words and key=value, as text or JSON, to
 * standard error or a syslog daemon.  Every process logs for itself under its own name.
 * Nothing here waits or allocates.  Includes nothing of ours but its own parts:
 *
 *   log.c         lines
 *   log_escape.c  bytes of peers
 *   log_flood.c   which lines are too many of a kind
 *   log_sink.c    where lines go
 */
#ifndef PROXY_LOG_H
#define PROXY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Where lines go.  A syslog daemon gets RFC 5424, or what the C library sends: that is
 * what most daemons expect on /dev/log unless they are told otherwise. */
enum log_place { LOG_PLACE_STDERR, LOG_PLACE_SYSLOG, LOG_PLACE_SYSLOG_LOCAL };

/* By what a syslog daemon sorts lines. */
enum log_facility {
    LOG_FACILITY_USER,
    LOG_FACILITY_DAEMON,
    LOG_FACILITY_AUTH,
    LOG_FACILITY_AUTHPRIV,
    LOG_FACILITY_LOCAL0,
    LOG_FACILITY_LOCAL7 = LOG_FACILITY_LOCAL0 + 7
};

enum { LOG_REPEAT_MAX = 1000000 };

/* `role` ("master", "worker 0") is copied and stands in every line.  Lines go to standard
 * error, all of them. */
void log_open(const char *role, enum log_level level, enum log_format format);
/* Has standard error never block this process and those it starts: a pipe or a terminal
 * is opened anew, so that others who share it are not touched.  Lines that cannot be
 * written are counted, and the count is logged when one can be again. */
void log_never_wait(void);
/* Says what was put off so far; for the end of the process. */
void log_finish(void);

void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);

/* How many lines of a kind (level, message and reason are the same) are written in a
 * second; the rest is summarised in one line.  0: all are written. */
void log_limit_repeats(unsigned limit);

/* The lines from now on go to standard error; or as datagrams to the connected socket
 * `fd` (taken; -1: there is none now, lines are lost until one comes) in the `form` of
 * one of the syslog places, and, if `stderr_too`, to standard error as well. */
void log_to_stderr(void);
void log_to_syslog(int fd, enum log_place form, enum log_facility facility,
                   bool stderr_too);
/* Ends what `stderr_too` began. */
void log_leave_stderr(void);

/* Whether the syslog daemon has left the socket: log_to_syslog with another one is due.
 */
bool log_is_cut(void);

/* Has `call(argument)` called when the log has begun to put something off (the summary of
 * a flood, word of lost lines) or was cut off.  Until log_flush returns false there is no
 * further call. */
void log_on_put_off(void (*call)(void *argument), void *argument);

/* Says what was put off and is due; true: more is put off, call it again in a second. */
bool log_flush(void);

/* A whole line that is one sentence. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum { LOG_LINE_MAX = 2048, LOG_REASON_MAX = 32 };

/* A line with fields: log_begin, any number of log_text/log_number, log_end.  What does
 * not fit is cut, the line stays well-formed.  Cheap to abandon when !log_enabled. */
struct log_line {
    char buffer[LOG_LINE_MAX];
    size_t length;
    bool truncated;
    bool is_each; /* see log_each */
    enum log_level level;
    size_t time; /* in the buffer: the time's place */
    size_t time_length;
    size_t body;         /* in the buffer: what comes behind time and level; 0 in JSON */
    const char *message; /* borrowed from log_begin to log_end */
    const char *name;    /* the message if it is the same for all lines of its kind */
    char reason[LOG_REASON_MAX];
};

/* `message` is a literal: it names the kind of line. */
void log_begin(struct log_line *line, enum log_level level, const char *message);
/* Every line of this kind is written, however many there are. */
void log_each(struct log_line *line);
/* Adds key=value; a NULL value adds nothing.  The value is escaped and, where it holds
 * blanks or quotes, quoted.  The key "reason" takes part in telling kinds of lines apart.
 */
void log_text(struct log_line *line, const char *key, const char *value);
void log_number(struct log_line *line, const char *key, uint64_t value);
void log_end(struct log_line *line);

#endif
