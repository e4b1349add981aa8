/*
 * The log: one line per thing worth saying, in words and key=value, as text or JSON, to
 * stderr, each line in one write.  Every process logs for itself under its own name.
 * Peer bytes are escaped here and nowhere else.  Includes nothing of ours.
 */
#ifndef PROXY_LOG_H
#define PROXY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* `role` ("master", "worker 0") is copied and stands in every line. */
void log_open(const char *role, enum log_level level, enum log_format format);
/* Has standard error never block this process and those it starts: if it is a pipe, it is
 * opened anew, so that others who share it are not touched.  Lines that cannot be written
 * are counted, and the count is logged when one can be again. */
void log_never_wait(void);

void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);

/* A whole line that is one sentence. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum { LOG_LINE_MAX = 2048 };

/* A line with fields: log_begin, any number of log_text/log_number, log_end.  What does
 * not fit is cut, the line stays well-formed.  Cheap to abandon when !log_enabled. */
struct log_line {
    char buffer[LOG_LINE_MAX];
    size_t length;
    bool truncated;
};

void log_begin(struct log_line *line, enum log_level level, const char *message);
/* Adds key=value; a NULL value adds nothing.  The value is escaped and, where it holds
 * blanks or quotes, quoted. */
void log_text(struct log_line *line, const char *key, const char *value);
void log_number(struct log_line *line, const char *key, uint64_t value);
void log_end(struct log_line *line);

#endif
