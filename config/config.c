#include "config/config.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/bundle.h"
#include "config/check.h"
#include "config/expand.h"
#include "config/keys.h"
#include "config/reader.h"
#include "config/suggest.h"

enum { KEYS_MAX = 64 }; /* room for the lines of all keys of a section */

/* One text on its way to becoming a struct config. */
struct parse {
    struct config *config; /* borrowed */
    struct report *report; /* borrowed */
    const struct section_type
        *type; /* of the section that keys go to; NULL: keys are only
                  skipped, as their section is reported already */
    enum section_kind kind;
    void *section; /* where they go: borrowed from config, or scratch */
    void *scratch; /* owned; for a section that config has no place for */
    unsigned section_line;
    char title[2 * READER_WORD_MAX]; /* the header as it should be: "[listener web]" */
    unsigned
        key_lines[KEYS_MAX];  /* of the section, by place in the table; 0: not there */
    bool key_meant[KEYS_MAX]; /* the same for keys that were misspelt */
    bool seen[SECTION_KINDS]; /* a section of the kind was meant, be it misspelt */
    bool memory_short;
};

static void on_item(void *context, const struct reader_item *item);
static void section_start(struct parse *parse, const struct reader_item *item);
static bool section_allowed(struct parse *parse, const struct reader_item *item);
static bool section_place(struct parse *parse, const struct reader_item *item,
                          bool allowed);
static void *array_grow(struct config *config, const struct section_type *type);
static bool has_key(const struct parse *parse, const struct key *key);
static void section_end(struct parse *parse);
static void key_take(struct parse *parse, const struct reader_item *item);
static void report_unknown_section(struct parse *parse, const struct reader_item *item);
static void report_unknown_key(struct parse *parse, const struct reader_item *item);
static void check_required_sections(struct parse *parse);
static void mark_left_out(struct config *config, const struct bundle *bundle);
static struct config *config_new(const char *file);

#define PARSE_ERROR(parse, line, ...)                                                    \
    report_add((parse)->report, REPORT_ERROR, (parse)->config->file, line, __VA_ARGS__)

struct config *config_read(const char *text, size_t length, const char *file,
                           struct report *report)
{
    struct config *config = config_new(file);
    struct parse parse = {.config = config, .report = report};
    if (config == NULL) {
        report_add(report, REPORT_ERROR, file, 0, "there is no memory to read it");
        return NULL;
    }
    reader_read(text, length, file, report, on_item, &parse);
    section_end(&parse);
    if (parse.memory_short) {
        PARSE_ERROR(&parse, 0, "there is no memory to read it");
        config_free(config);
        return NULL;
    }
    check_required_sections(&parse);
    check_config(config, report);
    return config;
}

struct config *config_read_bundle(const struct bundle *bundle, struct report *report)
{
    const struct blob text = bundle_find(bundle, CONFIG_BLOB_TEXT);
    const struct blob name = bundle_find(bundle, CONFIG_BLOB_FILE);
    char *file = name.data != NULL ? strndup((const char *)name.data, name.size)
                                   : strdup("configuration");
    if (file == NULL) {
        report_add(report, REPORT_ERROR, NULL, 0,
                   "there is no memory for a configuration");
        return NULL;
    }
    if (text.data == NULL) {
        report_add(report, REPORT_ERROR, file, 0, "the bundle holds no configuration");
    }
    struct config *config = config_read(text.data != NULL ? (const char *)text.data : "",
                                        text.size, file, report);
    free(file);
    if (config != NULL) {
        const struct blob index = bundle_find(bundle, CONFIG_BLOB_INDEX);
        if (!expand_directories(config, (const char *)index.data, index.size)) {
            report_add(report, REPORT_ERROR, config->file, 0,
                       "there is no memory for the certificates of a directory");
        }
        mark_left_out(config, bundle);
    }
    return config;
}

uint32_t config_may_lack(const struct config *config)
{
    const struct choice_list *parts = &config->proxy.unsafe_without;
    uint32_t bits = 0;

    for (size_t i = 0; i < parts->count; i++)
        bits |= UINT32_C(1) << parts->items[i];
    return bits;
}

unsigned config_worker_count(const struct config *config)
{
    unsigned count = (unsigned)config->proxy.workers;
    cpu_set_t processors;
    if (count == 0 && sched_getaffinity(0, sizeof(processors), &processors) == 0) {
        count = (unsigned)CPU_COUNT(&processors);
    } else if (count == 0) { /* a machine with more processors than the set has bits */
        const long online = sysconf(_SC_NPROCESSORS_ONLN);
        count = online > 0 ? (unsigned)online : 1;
    }
    return count < CONFIG_WORKERS_MAX ? count : CONFIG_WORKERS_MAX;
}

void config_free(struct config *config)
{
    if (config == NULL) {
        return;
    }
    for (unsigned kind = 0; kind < SECTION_KINDS; kind++) {
        const struct section_type *type = &keys_sections[kind];
        char *section = (char *)config + type->offset;
        size_t count = 1;
        char *array = NULL;
        if (type->sample != NULL) {
            memcpy(&array, section, sizeof(array));
            memcpy(&count, (char *)config + type->count_offset, sizeof(count));
            section = array;
        }
        for (size_t i = 0; i < count; i++) {
            keys_clear((enum section_kind)kind, section + i * type->size);
        }
        free(array);
    }
    free(config->file);
    free(config);
}

static struct config *config_new(const char *file)
{
    struct config *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        return NULL;
    }
    config->file = strdup(file);
    if (config->file == NULL || !keys_set_defaults(SECTION_PROXY, &config->proxy, NULL) ||
        !keys_set_defaults(SECTION_TLS, &config->tls, NULL) ||
        !keys_set_defaults(SECTION_LIMITS, &config->limits, NULL) ||
        !keys_set_defaults(SECTION_LOG, &config->log, NULL)) {
        config_free(config);
        return NULL;
    }
    return config;
}

static void on_item(void *context, const struct reader_item *item)
{
    struct parse *parse = context;
    if (item->key == NULL) {
        section_end(parse);
        section_start(parse, item);
    } else if (item->section[0] == '\0') {
        PARSE_ERROR(parse, item->line, "key \"%s\" stands above the first section",
                    item->key);
    } else if (parse->type != NULL) {
        key_take(parse, item);
    }
}

/* Directs the keys that follow to their struct.  Those of a section that must not be
 * there are read and checked all the same, and thrown away. */
static void section_start(struct parse *parse, const struct reader_item *item)
{
    snprintf(parse->title, sizeof(parse->title), "[%s%s%s]", item->section,
             item->name[0] != '\0' ? " " : "", item->name);
    parse->type = keys_find_section(item->section);
    if (parse->type == NULL) {
        report_unknown_section(parse, item);
        return;
    }
    parse->kind = (enum section_kind)(parse->type - keys_sections);
    parse->section_line = item->line;
    parse->seen[parse->kind] = true;
    assert(parse->type->keys->count <= KEYS_MAX);
    memset(parse->key_lines, 0, sizeof(parse->key_lines));
    memset(parse->key_meant, 0, sizeof(parse->key_meant));
    if (!section_place(parse, item, section_allowed(parse, item))) {
        parse->memory_short = true;
        parse->type = NULL;
    }
}

/* Reports what is wrong with a header of a known kind; false if its section has no place.
 */
static bool section_allowed(struct parse *parse, const struct reader_item *item)
{
    const char *word = parse->type->word;
    if (parse->type->sample == NULL) {
        const struct config_section *section =
            (const void *)((const char *)parse->config + parse->type->offset);
        if (item->name[0] != '\0') {
            PARSE_ERROR(parse, item->line, "section [%s] takes no name, but has \"%s\"",
                        word, item->name);
            return false;
        }
        if (section->line != 0) {
            PARSE_ERROR(parse, item->line, "section [%s] is already in line %u", word,
                        section->line);
            return false;
        }
        return true;
    }
    if (item->name[0] == '\0') {
        PARSE_ERROR(parse, item->line, "section [%s] has no name (write [%s %s])", word,
                    word, parse->type->sample);
        return false;
    }
    if (!keys_is_name(item->name)) {
        PARSE_ERROR(
            parse, item->line,
            "section [%s %s]: a name has only letters, digits, \".\", \"_\" and \"-\"",
            word, item->name);
        return false;
    }
    return true;
}

/* Finds or makes the struct that the section's keys go to; fails only without memory. */
static bool section_place(struct parse *parse, const struct reader_item *item,
                          bool allowed)
{
    const struct section_type *type = parse->type;
    if (!allowed) {
        parse->scratch = calloc(1, type->size);
        parse->section = parse->scratch;
        return parse->section != NULL;
    }
    if (type->sample == NULL) {
        parse->section = (char *)parse->config + type->offset;
    } else {
        parse->section = array_grow(parse->config, type);
    }
    if (parse->section == NULL) {
        return false;
    }
    struct config_section *section = parse->section;
    snprintf(section->name, sizeof(section->name), "%s", item->name);
    section->line = item->line;
    return type->sample == NULL || keys_set_defaults(parse->kind, parse->section, NULL);
}

/* Appends a zeroed struct to the array of its kind; the array is full whenever its count
 * is a power of two. */
static void *array_grow(struct config *config, const struct section_type *type)
{
    char *array = NULL;
    size_t count = 0;
    memcpy(&array, (char *)config + type->offset, sizeof(array));
    memcpy(&count, (char *)config + type->count_offset, sizeof(count));
    if ((count & (count - 1)) == 0) {
        char *larger = reallocarray(array, count == 0 ? 1 : count * 2, type->size);
        if (larger == NULL) {
            return NULL; /* the array stays in config, which frees it */
        }
        array = larger;
        memcpy((char *)config + type->offset, &array, sizeof(array));
    }
    void *section = array + count * type->size;
    memset(section, 0, type->size);
    count++;
    memcpy((char *)config + type->count_offset, &count, sizeof(count));
    return section;
}

/* Be it misspelt. */
static bool has_key(const struct parse *parse, const struct key *key)
{
    const size_t place = keys_place(parse->kind, key);
    return parse->key_lines[place] != 0 || parse->key_meant[place];
}

/* Reports the keys that the section lacks, now that all of it was read. */
static void section_end(struct parse *parse)
{
    if (parse->type == NULL) {
        return;
    }
    for (size_t i = 0; i < parse->type->keys->count; i++) {
        const struct key *key = &parse->type->keys->keys[i];
        if (key->required && !has_key(parse, key) &&
            (key->unless == NULL ||
             !has_key(parse, keys_find(parse->kind, key->unless)))) {
            PARSE_ERROR(parse, parse->section_line,
                        "%s lacks the key \"%s\" (such as %s = %s)", parse->title,
                        key->name, key->name, key->sample);
        }
    }
    if (parse->scratch != NULL) {
        keys_clear(parse->kind, parse->scratch);
        free(parse->scratch);
        parse->scratch = NULL;
    }
    parse->type = NULL;
}

static void key_take(struct parse *parse, const struct reader_item *item)
{
    const struct key *key = keys_find(parse->kind, item->key);
    if (key == NULL) {
        report_unknown_key(parse, item);
        return;
    }
    unsigned *first_line = &parse->key_lines[keys_place(parse->kind, key)];
    if (*first_line != 0 && !keys_is_list(key)) {
        PARSE_ERROR(parse, item->line, "key \"%s\" in %s is already in line %u",
                    item->key, parse->title, *first_line);
        return;
    }
    *first_line = item->line;
    if (key->line_offset != 0) {
        memcpy((char *)parse->section + key->line_offset, &item->line,
               sizeof(item->line));
    }
    struct error error = {.text = ""};
    if (!keys_read(key, item->value, parse->config->file, parse->section, &error)) {
        PARSE_ERROR(parse, item->line, "%s in %s: %s", key->name, parse->title,
                    error.text);
    }
}

static void report_unknown_section(struct parse *parse, const struct reader_item *item)
{
    struct suggestion suggestion;
    suggestion_init(&suggestion, item->section);
    for (size_t i = 0; i < SECTION_KINDS; i++) {
        suggestion_offer(&suggestion, keys_sections[i].word);
    }
    if (suggestion.best != NULL) { /* so that it is not reported as missing, too */
        parse->seen[keys_find_section(suggestion.best) - keys_sections] = true;
    }
    PARSE_ERROR(parse, item->line, "unknown section %s%s", parse->title,
                suggestion_words(&suggestion));
}

static void report_unknown_key(struct parse *parse, const struct reader_item *item)
{
    struct suggestion suggestion;
    const struct section_type *other = NULL;
    suggestion_init(&suggestion, item->key);
    for (size_t i = 0; i < parse->type->keys->count; i++) {
        suggestion_offer(&suggestion, parse->type->keys->keys[i].name);
    }
    for (unsigned kind = 0; kind < SECTION_KINDS; kind++) {
        if (keys_find(kind, item->key) != NULL) {
            other = &keys_sections[kind];
        }
    }
    if (suggestion.best != NULL) { /* so that it is not reported as lacking, too */
        const struct key *meant = keys_find(parse->kind, suggestion.best);
        parse->key_meant[keys_place(parse->kind, meant)] = true;
    }
    if (other != NULL) {
        PARSE_ERROR(parse, item->line, "unknown key \"%s\" in %s (it belongs in [%s%s])",
                    item->key, parse->title, other->word, other->sample ? " NAME" : "");
    } else {
        PARSE_ERROR(parse, item->line, "unknown key \"%s\" in %s%s", item->key,
                    parse->title, suggestion_words(&suggestion));
    }
}

static void check_required_sections(struct parse *parse)
{
    for (size_t i = 0; i < SECTION_KINDS; i++) {
        const struct section_type *type = &keys_sections[i];
        if (type->required && !parse->seen[i]) {
            PARSE_ERROR(parse, 0, "there is no section [%s NAME]", type->word);
        }
    }
}

static void mark_left_out(struct config *config, const struct bundle *bundle)
{
    const struct blob blob = bundle_find(bundle, CONFIG_BLOB_LEFT_OUT);
    struct cert_set set;
    if (blob.data == NULL || blob.size != sizeof(set)) {
        return;
    }
    memcpy(&set, blob.data, sizeof(set));
    for (size_t i = 0; i < config->certificate_count; i++) {
        config->certificates[i].left_out = cert_set_has(&set, i);
    }
}
