#include "config/reader.h"

#include <ctype.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"

struct reader {
    const char *rest; /* borrowed: what is not read yet */
    const char *end;
    const char *file;      /* borrowed */
    struct report *report; /* borrowed */
    void (*on_item)(void *context, const struct reader_item *item);
    void *context;
    unsigned line;                     /* the one that was read last; from 1 */
    bool skipping;                     /* below a header that cannot be read */
    char section[READER_WORD_MAX + 1]; /* of the header that applies */
    char name[READER_WORD_MAX + 1];
};

/* A line without its end and without blanks around it. */
struct text_line {
    const char *start;
    size_t length;
};

static char *on_line(char *buffer, int size, void *stream);
static int on_key(void *user, const char *section, const char *key, const char *value);
static bool encoding_check(struct reader *reader);
static struct text_line line_take(struct reader *reader);
static bool line_check(struct reader *reader, struct text_line *line);
static bool bytes_check(struct reader *reader, const struct text_line *line);
static bool key_check(struct reader *reader, const struct text_line *line);
static bool header_read(struct reader *reader, const struct text_line *line);
static void header_announce(struct reader *reader, const struct text_line *words);
static const char *find_stop(const char *at, const char *end, const char *stops);
static void trim(struct text_line *line);

#define READER_ERROR(reader, ...)                                                        \
    report_add((reader)->report, REPORT_ERROR, (reader)->file, (reader)->line,           \
               __VA_ARGS__)

void reader_read(const char *text, size_t length, const char *file, struct report *report,
                 void (*on_item)(void *context, const struct reader_item *item),
                 void *context)
{
    struct reader reader = {
        .rest = text,
        .end = text + length,
        .file = file,
        .report = report,
        .on_item = on_item,
        .context = context,
    };
    if (length > CONFIG_TEXT_MAX) {
        READER_ERROR(&reader, "the file is over %d MiB", CONFIG_TEXT_MAX / (1024 * 1024));
        return;
    }
    if (!encoding_check(&reader)) {
        return;
    }
    const int result = ini_parse_stream(on_line, &reader, on_key, &reader);
    if (result > 0) {
        reader.line = (unsigned)result;
        READER_ERROR(&reader, "the line cannot be understood");
    } else if (result < 0) {
        READER_ERROR(&reader, "there is no memory to read it");
    }
}

/* inih's source of lines, in the manner of fgets.  What was reported, and what needs
 * nothing from inih, becomes an empty line. */
static char *on_line(char *buffer, int size, void *stream)
{
    struct reader *reader = stream;
    if (reader->rest == reader->end) {
        return NULL;
    }
    struct text_line line = line_take(reader);
    const bool wanted = line_check(reader, &line) && line.length < (size_t)size;
    memcpy(buffer, line.start, wanted ? line.length : 0);
    buffer[wanted ? line.length : 0] = '\0';
    return buffer;
}

/* inih's word about the line that on_line has just handed to it. */
static int on_key(void *user, const char *section, const char *key, const char *value)
{
    (void)section; /* header_read has it, and knows of sections without keys as well */
    struct reader *reader = user;
    if (!reader->skipping) {
        const struct reader_item item = {
            .section = reader->section,
            .name = reader->name,
            .key = key,
            .value = value,
            .line = reader->line,
        };
        reader->on_item(reader->context, &item);
    }
    return 1;
}

static bool encoding_check(struct reader *reader)
{
    const size_t length = (size_t)(reader->end - reader->rest);
    if (length >= 2 && (memcmp(reader->rest, "\xff\xfe", 2) == 0 ||
                        memcmp(reader->rest, "\xfe\xff", 2) == 0)) {
        READER_ERROR(reader, "the file is UTF-16: save it as UTF-8");
        return false;
    }
    return true;
}

/* The next line without its end, and the first without a byte order mark. */
static struct text_line line_take(struct reader *reader)
{
    const char *start = reader->rest;
    const char *end = memchr(start, '\n', (size_t)(reader->end - start));
    reader->rest = end != NULL ? end + 1 : reader->end;
    end = end != NULL ? end : reader->end;
    reader->line++;
    if (reader->line == 1 && end - start >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0) {
        start += 3;
    }
    if (end > start && end[-1] == '\r') {
        end--;
    }
    return (struct text_line){.start = start, .length = (size_t)(end - start)};
}

/* Trims the line, reports what is wrong with it, and says whether inih is to see it. */
static bool line_check(struct reader *reader, struct text_line *line)
{
    const char *const margin = line->start;
    trim(line);
    if (!bytes_check(reader, line)) {
        return false;
    }
    if (line->length == 0 || line->start[0] == ';' || line->start[0] == '#') {
        return false;
    }
    if (line->start != margin) {
        /* inih gets the line without its margin, so that other errors in it show too. */
        READER_ERROR(reader,
                     "the indented line continues the line above, which Pawl does "
                     "not support: remove the blanks");
    }
    if (line->length > READER_LINE_MAX) {
        READER_ERROR(reader, "the line is longer than %d bytes", READER_LINE_MAX);
        reader->skipping = reader->skipping || line->start[0] == '[';
        return false;
    }
    return line->start[0] == '[' ? header_read(reader, line) : key_check(reader, line);
}

static bool bytes_check(struct reader *reader, const struct text_line *line)
{
    for (size_t i = 0; i < line->length; i++) {
        const unsigned char byte = (unsigned char)line->start[i];
        if (byte == '\0') {
            READER_ERROR(reader, "the line holds a NUL byte");
            return false;
        }
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            READER_ERROR(reader, "the line holds a control character");
            return false;
        }
    }
    return true;
}

/* Stops where inih stops, so that both see the same key. */
static bool key_check(struct reader *reader, const struct text_line *line)
{
    const char *end = line->start + line->length;
    const char *stop = find_stop(line->start, end, "=:");
    if (stop == NULL) {
        READER_ERROR(reader, "the line is no section, no comment and no \"key = value\"");
        return false;
    }
    struct text_line key = {.start = line->start, .length = (size_t)(stop - line->start)};
    trim(&key);
    if (key.length == 0) {
        READER_ERROR(reader, "there is no key in front of \"%c\"", *stop);
        return false;
    }
    if (key.length > READER_WORD_MAX) {
        READER_ERROR(reader, "the key is longer than %d bytes", READER_WORD_MAX);
        return false;
    }
    if (*stop == ':') {
        READER_ERROR(reader, "\":\" follows \"%.*s\" in place of \"=\"", (int)key.length,
                     key.start);
        return false;
    }
    return true;
}

/* Makes the header the one that applies and announces it. */
static bool header_read(struct reader *reader, const struct text_line *line)
{
    const char *end = line->start + line->length;
    const char *stop = find_stop(line->start + 1, end, "]");
    reader->skipping = true;
    if (stop == NULL) {
        READER_ERROR(reader, "the section header has no \"]\"");
        return false;
    }
    struct text_line words = {.start = line->start + 1,
                              .length = (size_t)(stop - line->start - 1)};
    trim(&words);
    if (words.length == 0) {
        READER_ERROR(reader, "the section header is empty");
        return false;
    }
    if (stop - line->start - 1 > READER_WORD_MAX) {
        READER_ERROR(reader, "the section header is longer than %d bytes",
                     READER_WORD_MAX);
        return false;
    }
    struct text_line rest = {.start = stop + 1, .length = (size_t)(end - stop - 1)};
    trim(&rest);
    if (rest.length > 0 && rest.start[0] != ';' && rest.start[0] != '#') {
        READER_ERROR(reader, "\"%.*s\" stands behind the section header",
                     (int)rest.length, rest.start);
    }
    reader->skipping = false;
    header_announce(reader, &words);
    return true;
}

static void header_announce(struct reader *reader, const struct text_line *words)
{
    size_t split = 0;
    while (split < words->length && !isspace((unsigned char)words->start[split])) {
        split++;
    }
    struct text_line name = {.start = words->start + split,
                             .length = words->length - split};
    trim(&name);
    snprintf(reader->section, sizeof(reader->section), "%.*s", (int)split, words->start);
    snprintf(reader->name, sizeof(reader->name), "%.*s", (int)name.length, name.start);
    const struct reader_item item = {
        .section = reader->section, .name = reader->name, .line = reader->line};
    reader->on_item(reader->context, &item);
}

/* The first of `stops`, or NULL if a comment (";" after a blank) or the end comes first.
 */
static const char *find_stop(const char *at, const char *end, const char *stops)
{
    bool after_blank = false;
    for (; at < end; at++) {
        if (strchr(stops, *at) != NULL) {
            return at;
        }
        if (after_blank && *at == ';') {
            return NULL;
        }
        after_blank = isspace((unsigned char)*at) != 0;
    }
    return NULL;
}

static void trim(struct text_line *line)
{
    while (line->length > 0 && isspace((unsigned char)line->start[0])) {
        line->start++;
        line->length--;
    }
    while (line->length > 0 && isspace((unsigned char)line->start[line->length - 1])) {
        line->length--;
    }
}
