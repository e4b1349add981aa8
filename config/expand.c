#include "config/expand.h"

#include <stdlib.h>
#include <string.h>

#include "config/keys.h"

/* A record is four strings, each with its NUL: place of the section, name, chain, key. */
struct record {
    size_t section;
    const char *name;
    const char *chain;
    const char *key;
};

struct index {
    const char *at;
    const char *end;
};

static bool has_directories(const struct config *config);
static bool index_next(struct index *index, struct record *record);
static const char *index_string(struct index *index);
static bool expand_section(const struct config_certificate *section,
                           const struct record *record,
                           struct config_certificate *certificate);

void expand_write(FILE *index, size_t section, const char *name, const char *chain,
                  const char *key)
{
    fprintf(index, "%zu%c%s%c%s%c%s%c", section, 0, name, 0, chain, 0, key, 0);
}

bool expand_directories(struct config *config, const char *bytes, size_t size)
{
    struct index index = {.at = bytes, .end = bytes + size};
    struct record record = {0};
    const size_t room = config->certificate_count + CONFIG_CERTIFICATES_MAX;
    struct config_certificate *all = NULL;
    size_t count = 0;

    if (!has_directories(config))
        return true;
    all = calloc(room, sizeof(*all));
    bool ok = all != NULL;
    bool more = ok && bytes && index_next(&index, &record);
    for (size_t i = 0; ok && i < config->certificate_count; i++) {
        const struct config_certificate *section = &config->certificates[i];
        if (!section->directory)
            all[count++] = *section;
        for (; ok && more && record.section == i && section->directory && count < room;
             more = index_next(&index, &record))
            ok = expand_section(section, &record, &all[count++]);
    }
    for (size_t i = 0; i < (ok ? config->certificate_count : count); i++) {
        struct config_certificate *gone = ok ? &config->certificates[i] : &all[i];
        if (gone->directory)
            keys_clear(SECTION_CERTIFICATE, gone);
    }
    free(ok ? config->certificates : all);
    if (ok) {
        config->certificates = all;
        config->certificate_count = count;
    }
    return ok;
}

static bool has_directories(const struct config *config)
{
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (config->certificates[i].directory)
            return true;
    }
    return false;
}

static bool index_next(struct index *index, struct record *record)
{
    const char *section = index_string(index);

    record->name = index_string(index);
    record->chain = index_string(index);
    record->key = index_string(index);
    if (!section || !record->name || !record->chain || !record->key)
        return false;
    record->section = strtoul(section, NULL, 10);
    return true;
}

static const char *index_string(struct index *index)
{
    const char *string = index->at;
    const size_t left = (size_t)(index->end - index->at);
    const size_t length = left > 0 ? strnlen(string, left) : 0;

    if (length == left)
        return NULL;
    index->at += length + 1;
    return string;
}

/* NULL stays NULL; false only without memory. */
static bool copy_text(const char *text, char **copy)
{
    *copy = text ? strdup(text) : NULL;
    return *copy || !text;
}

static bool expand_section(const struct config_certificate *section,
                           const struct record *record,
                           struct config_certificate *certificate)
{
    *certificate = (struct config_certificate){
        .section.line = section->section.line,
        .chain = strdup(record->chain),
        .key = strdup(record->key),
        .directory = strdup(section->directory),
        .chain_line = section->directory_line,
        .key_line = section->directory_line,
        .directory_line = section->directory_line,
        .passphrase_file_line = section->passphrase_file_line,
        .passphrase_command_line = section->passphrase_command_line,
        .is_default = section->is_default,
        .default_line = section->default_line,
    };
    const int length =
        snprintf(certificate->section.name, sizeof(certificate->section.name), "%s%s%s",
                 section->section.name, record->name[0] ? "/" : "", record->name);
    return length > 0 && certificate->chain && certificate->key &&
           certificate->directory &&
           copy_text(section->passphrase_file, &certificate->passphrase_file) &&
           copy_text(section->passphrase_command, &certificate->passphrase_command);
}
