#include "proxy/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proxy/log_escape.h"
#include "proxy/log_flood.h"
#include "proxy/log_sink.h"

enum {
    ROLE_MAX = 32,
    SECOND_MAX = 32, /* "2026-11-23T08:25:00" with its NUL, with room for year 10000 */
    DIGITS_MAX = 20, /* of UINT64_MAX */
    /* Kept free until log_end for what closes a line: `,"truncated":true}` and newline.
     */
    TAIL_MAX = 24,
};

static struct {
    enum log_level level;
    enum log_format format;
    char role[ROLE_MAX];
    uint64_t lost; /* lines since the last one that was written */
    bool put_off;  /* on_put_off was called, and log_flush has more to do */
    time_t second; /* the one that second_text shows */
    size_t second_length;
    char second_text[SECOND_MAX];
    void (*on_put_off)(void *argument);
    void *on_put_off_argument;
    struct log_flood flood;
} logger = {.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_TEXT, .second = -1};

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

static void log_sentence(enum log_level level, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
static void line_start(struct log_line *line, enum log_level level, const char *message);
static void line_put_time(struct log_line *line);
static size_t line_room(const struct log_line *line);
static bool line_put(struct log_line *line, const char *bytes, size_t length);
static void line_put_words(struct log_line *line, const char *words);
static void line_put_escaped(struct log_line *line, enum log_escape escape,
                             const char *text);
static bool line_put_key(struct log_line *line, const char *key, size_t value_length);
static bool line_is_admitted(const struct log_line *line);
static void line_write(struct log_line *line);
static bool line_send(struct log_line *line);
static bool say_lost(void);
static void say_suppressed(bool all);
static void put_off(void);
static uint64_t now_ms(void);

void log_open(const char *role, enum log_level level, enum log_format format)
{
    (void)snprintf(logger.role, sizeof(logger.role), "%s", role);
    log_sink_open();
    log_to_stderr();
    log_limit_repeats(0);
    log_configure(level, format);
}

void log_never_wait(void)
{
    log_sink_never_wait();
}

void log_finish(void)
{
    say_suppressed(true);
    if (logger.lost > 0)
        (void)say_lost();
}

void log_configure(enum log_level level, enum log_format format)
{
    logger.level = level;
    logger.format = format;
}

bool log_enabled(enum log_level level)
{
    return level <= logger.level;
}

void log_limit_repeats(unsigned limit)
{
    say_suppressed(true);
    logger.flood.limit = limit;
}

void log_to_stderr(void)
{
    log_sink_set_stderr();
    if (logger.lost > 0)
        put_off();
}

void log_to_syslog(int fd, enum log_place form, enum log_facility facility,
                   bool stderr_too)
{
    log_sink_set_syslog(fd, form, facility, stderr_too);
    if (logger.lost > 0)
        put_off();
}

void log_leave_stderr(void)
{
    log_sink_leave_stderr();
}

bool log_is_cut(void)
{
    return log_sink_is_cut();
}

void log_on_put_off(void (*call)(void *argument), void *argument)
{
    logger.on_put_off = call;
    logger.on_put_off_argument = argument;
    logger.put_off = false;
}

bool log_flush(void)
{
    say_suppressed(false);
    if (logger.lost > 0 && !log_sink_is_cut())
        (void)say_lost();
    logger.put_off = logger.flood.held > 0 || logger.lost > 0;
    return logger.put_off;
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_sentence(LOG_LEVEL_ERROR, format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_sentence(LOG_LEVEL_WARNING, format, arguments);
    va_end(arguments);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_sentence(LOG_LEVEL_INFO, format, arguments);
    va_end(arguments);
}

void log_debug(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_sentence(LOG_LEVEL_DEBUG, format, arguments);
    va_end(arguments);
}

void log_begin(struct log_line *line, enum log_level level, const char *message)
{
    line->length = 0; /* stays so in a line that is not wanted */
    line->truncated = false;
    if (!log_enabled(level))
        return;
    line_start(line, level, message);
    line->name = message;
}

void log_each(struct log_line *line)
{
    line->is_each = true;
}

void log_text(struct log_line *line, const char *key, const char *value)
{
    const bool json = logger.format == LOG_FORMAT_JSON;

    if (value == NULL || !line_put_key(line, key, 1))
        return;
    if (strcmp(key, "reason") == 0)
        (void)snprintf(line->reason, sizeof(line->reason), "%s", value);
    if (json || log_escape_needs_quotes(value)) {
        line->buffer[line->length++] = '"'; /* line_put_key kept room for it */
        line_put_escaped(line, json ? LOG_ESCAPE_JSON : LOG_ESCAPE_VALUE, value);
        line->buffer[line->length++] = '"'; /* of the tail's room if the value was cut */
    } else {
        line_put_escaped(line, LOG_ESCAPE_VALUE, value);
    }
}

void log_number(struct log_line *line, const char *key, uint64_t value)
{
    char digits[DIGITS_MAX];
    size_t first = sizeof(digits);

    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    if (line_put_key(line, key, sizeof(digits) - first))
        (void)line_put(line, digits + first, sizeof(digits) - first);
}

void log_end(struct log_line *line)
{
    if (line->length == 0)
        return;
    if (logger.flood.held > 0)
        say_suppressed(false);
    if (line_is_admitted(line))
        line_write(line);
    else
        put_off();
    line->length = 0;
}

static void log_sentence(enum log_level level, const char *format, va_list arguments)
{
    char message[LOG_LINE_MAX];
    struct log_line line;

    if (!log_enabled(level))
        return;
    (void)vsnprintf(message, sizeof(message), format, arguments);
    line.length = 0;
    line.truncated = false;
    line_start(&line, level, message);
    log_end(&line);
}

static void line_start(struct log_line *line, enum log_level level, const char *message)
{
    const bool json = logger.format == LOG_FORMAT_JSON;
    const enum log_escape escape = json ? LOG_ESCAPE_JSON : LOG_ESCAPE_MESSAGE;

    line->is_each = false;
    line->level = level;
    line->message = message;
    line->name = NULL;
    line->reason[0] = '\0';
    if (json)
        line_put_words(line, "{\"time\":\"");
    line_put_time(line);
    line_put_words(line, json ? "\",\"level\":\"" : " ");
    line_put_words(line, level_names[level]);
    line_put_words(line, json ? "\",\"role\":\"" : " ");
    line->body = json ? 0 : line->length;
    line_put_escaped(line, escape, logger.role);
    line_put_words(line, json ? "\",\"message\":\"" : ": ");
    line_put_escaped(line, escape, message);
    if (json)
        line->buffer[line->length++] =
            '"'; /* of the tail's room if the message was cut */
}

/* The calendar is worked out once a second; a line costs a clock reading. */
static void line_put_time(struct log_line *line)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != logger.second) {
        struct tm calendar;
        (void)gmtime_r(&now.tv_sec, &calendar);
        logger.second_length = strftime(logger.second_text, sizeof(logger.second_text),
                                        "%Y-%m-%dT%H:%M:%S", &calendar);
        logger.second = now.tv_sec;
    }
    const unsigned ms = (unsigned)(now.tv_nsec / 1000000);
    const char fraction[] = {'.', (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10),
                             (char)('0' + ms % 10), 'Z'};
    line->time = line->length;
    (void)line_put(line, logger.second_text, logger.second_length);
    (void)line_put(line, fraction, sizeof(fraction));
    line->time_length = line->length - line->time;
}

/* A closing quote may stand in the tail's room already. */
static size_t line_room(const struct log_line *line)
{
    const size_t end = sizeof(line->buffer) - TAIL_MAX;
    return line->length < end ? end - line->length : 0;
}

/* Appends all bytes or none; once something did not fit, nothing more is taken. */
static bool line_put(struct log_line *line, const char *bytes, size_t length)
{
    if (line->truncated || length > line_room(line)) {
        line->truncated = true;
        return false;
    }
    memcpy(line->buffer + line->length, bytes, length);
    line->length += length;
    return true;
}

static void line_put_words(struct log_line *line, const char *words)
{
    (void)line_put(line, words, strlen(words));
}

static void line_put_escaped(struct log_line *line, enum log_escape escape,
                             const char *text)
{
    while (*text != '\0' && !line->truncated) {
        const size_t plain = log_escape_plain(escape, text);
        const size_t room = line_room(line);
        const size_t taken_plain = plain < room ? plain : room;
        (void)line_put(line, text, taken_plain);
        text += taken_plain;
        if (*text == '\0')
            return;
        char out[LOG_ESCAPED_MAX];
        size_t taken = 1;
        const size_t length = log_escape_one(escape, text, out, &taken);
        (void)line_put(line, out, length);
        text += taken;
    }
}

/* Starts a field if its name and `value_length` bytes of its value fit. */
static bool line_put_key(struct log_line *line, const char *key, size_t value_length)
{
    const bool json = logger.format == LOG_FORMAT_JSON;
    const size_t length = strlen(key);

    if (line->length == 0 || line->truncated)
        return false;
    if (length + 4 + value_length > line_room(line)) {
        line->truncated = true;
        return false;
    }
    (void)line_put(line, json ? ",\"" : " ", json ? 2 : 1);
    (void)line_put(line, key, length);
    return line_put(line, json ? "\":" : "=", json ? 2 : 1);
}

/* Who asks for debug lines looks for something, and gets them all. */
static bool line_is_admitted(const struct log_line *line)
{
    return line->is_each || line->level == LOG_LEVEL_DEBUG || logger.flood.limit == 0 ||
           log_flood_admit(&logger.flood, line->level, line->message, line->reason,
                           now_ms());
}

/* A reader that does not keep up costs lines, never service. */
static void line_write(struct log_line *line)
{
    const bool said = logger.lost == 0 || (!log_sink_is_cut() && say_lost());

    if (said && line_send(line))
        return;
    logger.lost++;
    put_off();
}

static bool line_send(struct log_line *line)
{
    const bool json = logger.format == LOG_FORMAT_JSON;
    const char *tail = json ? "}\n" : "\n";

    if (line->truncated)
        tail = json ? ",\"truncated\":true}\n" : " truncated=yes\n";
    const size_t tail_length = strlen(tail);
    memcpy(line->buffer + line->length, tail, tail_length);
    const struct log_record record = {
        .level = line->level,
        .text = line->buffer,
        .length = line->length + tail_length,
        .body = line->body,
        .time = line->buffer + line->time,
        .time_length = line->time_length,
        .name = line->name,
    };
    return log_sink_write(&record);
}

static bool say_lost(void)
{
    struct log_line line = {.length = 0};

    line_start(&line, LOG_LEVEL_WARNING, "lines were lost, the log was not read");
    log_number(&line, "lost", logger.lost);
    if (!line_send(&line))
        return false;
    logger.lost = 0;
    return true;
}

static void say_suppressed(bool all)
{
    struct log_kind kind;
    const uint64_t now = now_ms();

    while (log_flood_take(&logger.flood, all, now, &kind)) {
        struct log_line line = {.length = 0};
        line_start(&line, (enum log_level)kind.level, kind.message);
        log_text(&line, "reason", kind.reason[0] != '\0' ? kind.reason : NULL);
        log_number(&line, "suppressed", kind.suppressed);
        log_number(&line, "window_ms", now - kind.since_ms);
        line_write(&line);
    }
}

static void put_off(void)
{
    if (logger.put_off || !logger.on_put_off)
        return;
    logger.put_off = true;
    logger.on_put_off(logger.on_put_off_argument);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
