#include "proxy/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    ROLE_MAX = 32,
    SECOND_MAX = 32, /* "2026-11-23T08:25:00" with its NUL, with room for year 10000 */
    /* Kept free until log_end for what closes a line: `,"truncated":true}` and newline.
     */
    TAIL_MAX = 24,
};

/* How a byte string is written: as bare words, as a value in text, as a JSON string. */
enum escape { ESCAPE_MESSAGE, ESCAPE_VALUE, ESCAPE_JSON };

static struct {
    enum log_level level;
    enum log_format format;
    char role[ROLE_MAX];
    bool is_socket; /* standard error is one, as under a service manager */
    uint64_t lost;  /* lines since the last one that was written */
    time_t second;  /* the one that second_text shows */
    char second_text[SECOND_MAX];
} logger = {.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_TEXT, .second = -1};

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

static void log_sentence(enum log_level level, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
static void time_write(char *text, size_t size);
static size_t line_room(const struct log_line *line);
static bool line_put(struct log_line *line, const char *bytes, size_t length);
static void line_put_words(struct log_line *line, const char *words);
static void line_put_escaped(struct log_line *line, enum escape escape, const char *text);
static bool line_put_key(struct log_line *line, const char *key, size_t value_length);
static size_t escape_one(enum escape escape, const char *text, char *out, size_t *taken);
static size_t escape_json(const unsigned char *text, char *out, size_t *taken);
static size_t utf8_length(const unsigned char *text);
static bool value_needs_quotes(const char *value);
static void write_line(const char *bytes, size_t length);
static bool write_whole(const char *bytes, size_t length);

void log_open(const char *role, enum log_level level, enum log_format format)
{
    struct stat status;
    snprintf(logger.role, sizeof(logger.role), "%s", role);
    logger.is_socket = fstat(STDERR_FILENO, &status) == 0 && S_ISSOCK(status.st_mode);
    log_configure(level, format);
}

void log_never_wait(void)
{
    struct stat status;
    if (fstat(STDERR_FILENO, &status) < 0 || !S_ISFIFO(status.st_mode)) {
        return;
    }
    const int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return; /* as good as can be had */
    }
    (void)dup2(fd, STDERR_FILENO);
    (void)close(fd);
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
    if (!log_enabled(level)) {
        return;
    }
    char now[SECOND_MAX + 8];
    time_write(now, sizeof(now));
    const bool json = logger.format == LOG_FORMAT_JSON;
    line_put_words(line, json ? "{\"time\":\"" : "");
    line_put_words(line, now);
    line_put_words(line, json ? "\",\"level\":\"" : " ");
    line_put_words(line, level_names[level]);
    line_put_words(line, json ? "\",\"role\":\"" : " ");
    line_put_escaped(line, json ? ESCAPE_JSON : ESCAPE_MESSAGE, logger.role);
    line_put_words(line, json ? "\",\"message\":\"" : ": ");
    line_put_escaped(line, json ? ESCAPE_JSON : ESCAPE_MESSAGE, message);
    if (json) {
        line->buffer[line->length++] =
            '"'; /* of the tail's room if the message was cut */
    }
}

void log_text(struct log_line *line, const char *key, const char *value)
{
    if (value == NULL || !line_put_key(line, key, 1)) {
        return;
    }
    if (logger.format == LOG_FORMAT_JSON || value_needs_quotes(value)) {
        line->buffer[line->length++] = '"'; /* line_put_key kept room for it */
        line_put_escaped(
            line, logger.format == LOG_FORMAT_JSON ? ESCAPE_JSON : ESCAPE_VALUE, value);
        line->buffer[line->length++] = '"'; /* of the tail's room if the value was cut */
    } else {
        line_put_escaped(line, ESCAPE_VALUE, value);
    }
}

void log_number(struct log_line *line, const char *key, uint64_t value)
{
    char digits[24];
    const int length = snprintf(digits, sizeof(digits), "%" PRIu64, value);
    if (line_put_key(line, key, (size_t)length)) {
        line_put_words(line, digits);
    }
}

void log_end(struct log_line *line)
{
    if (line->length == 0) {
        return;
    }
    const bool json = logger.format == LOG_FORMAT_JSON;
    const char *tail = json ? "}\n" : "\n";
    if (line->truncated) {
        tail = json ? ",\"truncated\":true}\n" : " truncated=yes\n";
    }
    const size_t tail_length = strlen(tail);
    memcpy(line->buffer + line->length, tail, tail_length);
    const size_t length = line->length + tail_length;
    line->length = 0;
    write_line(line->buffer, length);
}

static void log_sentence(enum log_level level, const char *format, va_list arguments)
{
    if (!log_enabled(level)) {
        return;
    }
    char message[LOG_LINE_MAX];
    struct log_line line;
    vsnprintf(message, sizeof(message), format, arguments);
    log_begin(&line, level, message);
    log_end(&line);
}

/* The calendar is worked out once a second; a line costs a clock reading. */
static void time_write(char *text, size_t size)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != logger.second) {
        struct tm calendar;
        gmtime_r(&now.tv_sec, &calendar);
        strftime(logger.second_text, sizeof(logger.second_text), "%Y-%m-%dT%H:%M:%S",
                 &calendar);
        logger.second = now.tv_sec;
    }
    snprintf(text, size, "%s.%03uZ", logger.second_text,
             (unsigned)(now.tv_nsec / 1000000) % 1000);
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

static void line_put_escaped(struct log_line *line, enum escape escape, const char *text)
{
    while (*text != '\0') {
        char out[8];
        size_t taken = 1;
        const size_t length = escape_one(escape, text, out, &taken);
        if (!line_put(line, out, length)) {
            return;
        }
        text += taken;
    }
}

/* Starts a field if its name and `value_length` bytes of its value fit. */
static bool line_put_key(struct log_line *line, const char *key, size_t value_length)
{
    if (line->length == 0 || line->truncated) {
        return false;
    }
    char start[80];
    const int length = logger.format == LOG_FORMAT_JSON
                           ? snprintf(start, sizeof(start), ",\"%s\":", key)
                           : snprintf(start, sizeof(start), " %s=", key);
    if (length < 0 || (size_t)length >= sizeof(start) ||
        (size_t)length + value_length > line_room(line)) {
        line->truncated = true;
        return false;
    }
    return line_put(line, start, (size_t)length);
}

/* Writes the next character of `text` as it is to be shown, at most 8 bytes, and says how
 * many bytes of `text` it stands for. */
static size_t escape_one(enum escape escape, const char *text, char *out, size_t *taken)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char byte = (unsigned char)*text;
    *taken = 1;
    if (escape == ESCAPE_JSON) {
        return escape_json((const unsigned char *)text, out, taken);
    }
    const bool plain = byte >= 0x20 && byte < 0x7f && byte != '\\' &&
                       (byte != '"' || escape == ESCAPE_MESSAGE);
    if (plain) {
        out[0] = (char)byte;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
}

/* UTF-8 passes as it is, except for control characters; a byte that is no UTF-8 is shown
 * as the character of that number. */
static size_t escape_json(const unsigned char *text, char *out, size_t *taken)
{
    unsigned shown = text[0];
    if (shown == '"' || shown == '\\') {
        out[0] = '\\';
        out[1] = (char)shown;
        return 2;
    }
    if (shown >= 0x20 && shown < 0x7f) {
        out[0] = (char)shown;
        return 1;
    }
    const size_t length = utf8_length(text);
    if (length > 1) {
        *taken = length;
        if (text[0] != 0xc2 || text[1] >= 0xa0) {
            memcpy(out, text, length);
            return length;
        }
        shown = text[1]; /* a control character of two bytes: U+0080 to U+009F */
    }
    snprintf(out, 8, "\\u%04x", shown & 0xff);
    return 6;
}

/* Length of the UTF-8 character of several bytes at `text` (RFC 3629), 0 if there is
 * none. The NUL at the end of the string is no continuation byte, so nothing past it is
 * read. */
static size_t utf8_length(const unsigned char *text)
{
    const unsigned first = text[0];
    const size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || first > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    const unsigned second = text[1];
    const bool overlong =
        (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool surrogate = first == 0xed && second >= 0xa0;
    const bool beyond = first == 0xf4 && second >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

static bool value_needs_quotes(const char *value)
{
    return *value == '\0' || strpbrk(value, " \t\"=") != NULL;
}

/* A reader that does not keep up costs lines, never service. */
static void write_line(const char *bytes, size_t length)
{
    if (logger.lost > 0) {
        const uint64_t lost = logger.lost;
        struct log_line note;
        logger.lost = 0;
        log_begin(&note, LOG_LEVEL_WARNING, "lines were lost, the log was not read");
        log_number(&note, "lost", lost);
        log_end(&note);
        if (logger.lost > 0) {
            logger.lost = lost + 1;
            return;
        }
    }
    if (!write_whole(bytes, length)) {
        logger.lost++;
    }
}

/* False if nothing could be written now.  Lines are shorter than PIPE_BUF, so that a pipe
 * takes all or nothing. */
static bool write_whole(const char *bytes, size_t length)
{
    bool begun = false;
    while (length > 0) {
        const ssize_t written = logger.is_socket ? send(STDERR_FILENO, bytes, length,
                                                        MSG_DONTWAIT | MSG_NOSIGNAL)
                                                 : write(STDERR_FILENO, bytes, length);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return begun || errno != EAGAIN; /* else nobody is left to tell */
        }
        begun = true;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}
