#include "proxy/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *entry_format(const char *file, unsigned line, const char *text);
static bool report_has(const struct report *report, enum report_level level,
                       const char *text);
static bool report_keep(struct report *report, enum report_level level, char *text);

bool error_set(struct error *error, const char *format, ...)
{
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof(error->text), format, arguments);
        va_end(arguments);
    }
    return false;
}

bool error_set_errno(struct error *error, int code, const char *format, ...)
{
    if (error == NULL) {
        return false;
    }
    va_list arguments;
    va_start(arguments, format);
    const int written = vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    /* The cause matters more than the end of a very long name: the sentence gives way. */
    char words[96];
    char cause[128];
    const int cause_length =
        snprintf(cause, sizeof(cause), ": %s", strerror_r(code, words, sizeof(words)));
    if (written < 0 || cause_length < 0) {
        return false;
    }
    size_t at = (size_t)written;
    const size_t last = sizeof(error->text) - (size_t)cause_length - 1;
    if (at > last) {
        at = last;
    }
    memcpy(error->text + at, cause, (size_t)cause_length + 1);
    return false;
}

void report_add(struct report *report, enum report_level level, const char *file,
                unsigned line, const char *format, ...)
{
    char *sentence = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&sentence, format, arguments) < 0) {
        sentence = NULL;
    }
    va_end(arguments);
    char *text = sentence != NULL ? entry_format(file, line, sentence) : NULL;
    free(sentence);
    const bool known = text != NULL && report_has(report, level, text);
    if (known || !report_keep(report, level, text)) {
        free(text);
    }
}

void report_close(struct report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->entries[i].text);
    }
    free(report->entries);
    *report = (struct report){0};
}

static char *entry_format(const char *file, unsigned line, const char *sentence)
{
    char *text = NULL;
    int length = 0;
    if (file == NULL) {
        length = asprintf(&text, "%s", sentence);
    } else if (line == 0) {
        length = asprintf(&text, "%s: %s", file, sentence);
    } else {
        length = asprintf(&text, "%s:%u: %s", file, line, sentence);
    }
    return length < 0 ? NULL : text;
}

/* A full report is not searched: what comes then is only counted, at a constant cost. */
static bool report_has(const struct report *report, enum report_level level,
                       const char *text)
{
    if (report->count >= REPORT_ENTRIES_MAX) {
        return false;
    }
    for (size_t i = 0; i < report->count; i++) {
        const struct report_entry *entry = &report->entries[i];
        if (entry->level == level && strcmp(entry->text, text) == 0) {
            return true;
        }
    }
    return false;
}

/* Counts the entry and takes `text` if it returns true.  An error for which there is no
 * memory still counts, so that nothing is served on the strength of a lost sentence. */
static bool report_keep(struct report *report, enum report_level level, char *text)
{
    if (level == REPORT_ERROR) {
        report->errors++;
    }
    if (level == REPORT_FAULT) {
        report->faults++;
    }
    if (text == NULL || report->count >= REPORT_ENTRIES_MAX) {
        report->dropped++;
        return false;
    }
    struct report_entry *entries =
        reallocarray(report->entries, report->count + 1, sizeof(*entries));
    if (entries == NULL) {
        report->dropped++;
        return false;
    }
    report->entries = entries;
    entries[report->count++] = (struct report_entry){.level = level, .text = text};
    return true;
}
