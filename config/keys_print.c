#include "config/keys.h"

#include <string.h>

enum { PRINT_WIDTH = 90 };

static const char ini_introduction[] =
    "; Every key that Pawl knows, with its default.  What a line may hold is at most "
    "199\n"
    "; bytes and starts in the first column.  A comment is a line that starts with \";\" "
    "or\n"
    "; \"#\", or the rest of a line from a \";\" with a blank before it: a value can "
    "hold \";\"\n"
    "; only where no blank is in front.  Values take no quotes.  Durations have a unit: "
    "ms,\n"
    "; s, m, h or d.  Relative paths are taken from the directory of this file.\n"
    ";\n"
    "; A listener, a certificate and a backend are enough; `pawl check` looks at the "
    "file.\n";

static void print_plain(FILE *out);
static void print_markdown(FILE *out);
static void print_row(FILE *out, const struct section_type *section,
                      const struct key *key);
static void print_ini(FILE *out);
static void print_man(FILE *out);
static void print_man_key(FILE *out, const struct key *key);
static void print_man_text(FILE *out, const char *text);
static void print_header(FILE *out, const struct section_type *section, bool example);
static void print_wrapped(FILE *out, const char *margin, const char *text);
static const char *standard_of(const struct key *key);

void keys_print(FILE *out, enum keys_style style)
{
    switch (style) {
    case KEYS_PLAIN:
        print_plain(out);
        return;
    case KEYS_MARKDOWN:
        print_markdown(out);
        return;
    case KEYS_INI:
        print_ini(out);
        return;
    case KEYS_MAN:
        print_man(out);
        return;
    }
}

static void print_plain(FILE *out)
{
    char takes[128];
    for (unsigned kind = 0; kind < SECTION_KINDS; kind++) {
        fprintf(out, "%s", kind == 0 ? "" : "\n");
        print_header(out, &keys_sections[kind], false);
        print_wrapped(out, "  ", keys_sections[kind].help);
        const struct key_table *table = keys_sections[kind].keys;
        for (size_t i = 0; i < table->count; i++) {
            const struct key *key = &table->keys[i];
            keys_describe(key, takes, sizeof(takes));
            fprintf(out, "\n  %s = %s  (%s%s)\n", key->name, takes,
                    key->standard != NULL ? "default " : "", standard_of(key));
            print_wrapped(out, "      ", key->help);
        }
    }
}

static void print_markdown(FILE *out)
{
    fputs("| Section | Key | Value | Default | Meaning |\n|---|---|---|---|---|\n", out);
    for (unsigned kind = 0; kind < SECTION_KINDS; kind++) {
        const struct key_table *table = keys_sections[kind].keys;
        for (size_t i = 0; i < table->count; i++) {
            print_row(out, &keys_sections[kind], &table->keys[i]);
        }
    }
}

static void print_row(FILE *out, const struct section_type *section,
                      const struct key *key)
{
    char takes[128];
    const char *mark = key->standard != NULL ? "`" : "";
    keys_describe(key, takes, sizeof(takes));
    fprintf(out, "| `[%s%s]` | `%s` | %s | %s%s%s | %s |\n", section->word,
            section->sample != NULL ? " NAME" : "", key->name, takes, mark,
            standard_of(key), mark, key->help);
}

static void print_ini(FILE *out)
{
    char takes[128];
    fputs(ini_introduction, out);
    for (unsigned kind = 0; kind < SECTION_KINDS; kind++) {
        fputs("\n", out);
        print_wrapped(out, "; ", keys_sections[kind].help);
        print_header(out, &keys_sections[kind], true);
        const struct key_table *table = keys_sections[kind].keys;
        for (size_t i = 0; i < table->count; i++) {
            const struct key *key = &table->keys[i];
            keys_describe(key, takes, sizeof(takes));
            fputs("\n", out);
            print_wrapped(out, "; ", key->help);
            fprintf(out, "; Takes: %s\n%s%s = %s\n", takes, key->is_aside ? "; " : "",
                    key->name, key->standard != NULL ? key->standard : key->sample);
        }
    }
}

/* mdoc(7).  Each text begins with \& so that nothing in it can be taken for a macro. */
static void print_man(FILE *out)
{
    for (unsigned kind = 0; kind < SECTION_KINDS; kind++) {
        const struct section_type *section = &keys_sections[kind];
        const struct key_table *table = section->keys;
        fprintf(out, ".Ss [%s%s]\n", section->word,
                section->sample != NULL ? " NAME" : "");
        fputs("\\&", out);
        print_man_text(out, section->help);
        fputs(".\n.Bl -tag -width Ds\n", out);
        for (size_t i = 0; i < table->count; i++) {
            print_man_key(out, &table->keys[i]);
        }
        fputs(".El\n", out);
    }
}

static void print_man_key(FILE *out, const struct key *key)
{
    char takes[128];
    keys_describe(key, takes, sizeof(takes));
    fprintf(out, ".It Sy %s No \"= ", key->name);
    print_man_text(out, takes);
    fputs("\"\n\\&", out);
    print_man_text(out, key->help);
    fprintf(out, ".\n\\&%s", key->standard != NULL ? "Default: " : "");
    print_man_text(out, key->standard != NULL ? key->standard
                        : key->required       ? "Required"
                                              : "There is no default");
    fputs(".\n", out);
}

/* Hyphens are written as what can be copied from the page. */
static void print_man_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\') {
            fputs("\\e", out);
        } else {
            fprintf(out, "%s%c", *text == '-' ? "\\" : "", *text);
        }
    }
}

static void print_header(FILE *out, const struct section_type *section, bool example)
{
    if (section->sample == NULL) {
        fprintf(out, "[%s]\n", section->word);
    } else {
        fprintf(out, "[%s %s]\n", section->word, example ? section->sample : "NAME");
    }
}

/* Breaks the sentence between words, puts the margin in front of each line, and a full
 * stop behind. */
static void print_wrapped(FILE *out, const char *margin, const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        const size_t length = strcspn(text, " ");
        const bool fits = column > 0 && column + 1 + length < PRINT_WIDTH;
        if (!fits) {
            fprintf(out, "%s%s", column > 0 ? "\n" : "", margin);
            column = strlen(margin);
        } else {
            fputs(" ", out);
            column++;
        }
        fprintf(out, "%.*s", (int)length, text);
        column += length;
        text += length + (text[length] == ' ');
    }
    fputs(".\n", out);
}

static const char *standard_of(const struct key *key)
{
    if (key->standard != NULL) {
        return key->standard;
    }
    return key->required ? "required" : "none";
}
