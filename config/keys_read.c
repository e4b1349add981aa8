#include "config/keys.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/bundle.h"
#include "config/passphrase.h"

static bool read_count_or_word(const struct key *key, const char *text, uint64_t *value,
                               struct error *error);
static bool read_duration_or_word(const struct key *key, const char *text,
                                  uint64_t *value, struct error *error);
static bool read_choice(const struct key *key, const char *text, void *place,
                        struct error *error);
static bool read_choices(const struct key *key, const char *text,
                         struct choice_list *list, struct error *error);
static bool find_choice(const struct key *key, const char *word, unsigned *choice,
                        struct error *error);
static bool read_name(const char *text, void *place, struct error *error);
static bool read_path(const char *text, const char *file, void *place,
                      struct error *error);
static bool read_path_or_word(const struct key *key, const char *text, const char *file,
                              void *place, struct error *error);
static bool put_string(char *string, void *place, struct error *error);
static void join_choices(const struct key *key, char *text, size_t size);

const struct section_type *keys_find_section(const char *word)
{
    for (size_t i = 0; i < SECTION_KINDS; i++) {
        if (strcmp(keys_sections[i].word, word) == 0) {
            return &keys_sections[i];
        }
    }
    return NULL;
}

const struct key *keys_find(enum section_kind section, const char *name)
{
    const struct key_table *table = keys_sections[section].keys;
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->keys[i].name, name) == 0) {
            return &table->keys[i];
        }
    }
    return NULL;
}

size_t keys_place(enum section_kind section, const struct key *key)
{
    return (size_t)(key - keys_sections[section].keys->keys);
}

bool keys_set_defaults(enum section_kind kind, void *section, struct error *error)
{
    const struct key_table *table = keys_sections[kind].keys;
    for (size_t i = 0; i < table->count; i++) {
        const struct key *key = &table->keys[i];
        if (key->standard != NULL && !keys_read(key, key->standard, "", section, error)) {
            return false;
        }
    }
    return true;
}

void keys_clear(enum section_kind kind, void *section)
{
    const struct key_table *table = keys_sections[kind].keys;
    for (size_t i = 0; i < table->count; i++) {
        const struct key *key = &table->keys[i];
        void *place = (char *)section + key->offset;
        if (key->type == KEY_LIST) {
            text_list_clear(place);
        }
        if (key->type == KEY_NETWORKS) {
            network_list_clear(place);
        }
        if (key->type == KEY_NAME || key->type == KEY_PATH ||
            key->type == KEY_PATH_OR_WORD || key->type == KEY_COMMAND) {
            char *string = NULL;
            memcpy(&string, place, sizeof(string));
            free(string);
            memset(place, 0, sizeof(string));
        }
    }
}

bool keys_is_name(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    const size_t length = strlen(text);
    return length > 0 && length < CONFIG_NAME_MAX && strspn(text, allowed) == length;
}

bool keys_check_name(char *item, struct error *error)
{
    return keys_is_name(item) ||
           error_set(error,
                     "\"%s\" is not a name (letters, digits, \".\", \"_\" and \"-\")",
                     item);
}

bool keys_is_list(const struct key *key)
{
    return key->type == KEY_LIST || key->type == KEY_NETWORKS;
}

bool keys_read(const struct key *key, const char *text, const char *file, void *section,
               struct error *error)
{
    void *place = (char *)section + key->offset;
    if (text[0] == '\0') {
        return error_set(error, "the value is empty");
    }
    if (text[0] == '"' && key->type != KEY_BYTES) {
        return error_set(error, "the value is in quotes (write it without)");
    }
    switch (key->type) {
    case KEY_BOOL:
        return value_read_bool(text, place, error);
    case KEY_COUNT:
        return value_read_count(text, key->min, key->max, place, error);
    case KEY_COUNT_OR_WORD:
        return read_count_or_word(key, text, place, error);
    case KEY_DURATION:
        return value_read_duration(text, key->min, key->max, place, error);
    case KEY_DURATION_OR_WORD:
        return read_duration_or_word(key, text, place, error);
    case KEY_CHOICE:
        return read_choice(key, text, place, error);
    case KEY_CHOICES:
        return read_choices(key, text, place, error);
    case KEY_NAME:
        return read_name(text, place, error);
    case KEY_PATH:
        return read_path(text, file, place, error);
    case KEY_PATH_OR_WORD:
        return read_path_or_word(key, text, file, place, error);
    case KEY_COMMAND:
        return passphrase_check_command(text, error) &&
               put_string(strdup(text), place, error);
    case KEY_LISTEN:
        return value_read_addresses(text, ADDRESS_LISTEN, place, error);
    case KEY_LISTEN_LOCAL:
        return value_read_addresses(text, ADDRESS_LISTEN_LOCAL, place, error);
    case KEY_CONNECT:
        return value_read_addresses(text, ADDRESS_CONNECT, place, error);
    case KEY_BYTES:
        return value_read_bytes(text, place, error);
    case KEY_LIST:
        return text_list_append(place, text, key->check_item, error);
    case KEY_NETWORKS:
        return network_list_append(place, text, error);
    }
    return error_set(error, "the key is of no known type");
}

void keys_describe(const struct key *key, char *text, size_t size)
{
    char min[32];
    char max[32];
    char words[64];
    switch (key->type) {
    case KEY_BOOL:
        snprintf(text, size, "yes, no");
        return;
    case KEY_COUNT:
        snprintf(text, size, "%" PRIu64 " to %" PRIu64, key->min, key->max);
        return;
    case KEY_COUNT_OR_WORD:
        join_choices(key, words, sizeof(words));
        snprintf(text, size, "%s, %" PRIu64 " to %" PRIu64, words, key->min, key->max);
        return;
    case KEY_DURATION:
        value_write_duration(key->min, min, sizeof(min));
        value_write_duration(key->max, max, sizeof(max));
        snprintf(text, size, "%s to %s", min, max);
        return;
    case KEY_DURATION_OR_WORD:
        value_write_duration(key->min, min, sizeof(min));
        value_write_duration(key->max, max, sizeof(max));
        snprintf(text, size, "%s, %s, %s to %s", key->choices[0], key->choices[1], min,
                 max);
        return;
    case KEY_CHOICE:
        join_choices(key, text, size);
        return;
    case KEY_CHOICES:
        if (key->standard != NULL)
            snprintf(text, size, "some of the default, in any order");
        else
            join_choices(key, text, size);
        return;
    case KEY_NAME:
        snprintf(text, size, "name");
        return;
    case KEY_PATH:
        snprintf(text, size, "path");
        return;
    case KEY_PATH_OR_WORD:
        snprintf(text, size, "%s, %s, path", key->choices[0], key->choices[1]);
        return;
    case KEY_COMMAND:
        snprintf(text, size, "/PATH word ...");
        return;
    case KEY_LISTEN:
        snprintf(text, size, "HOST:PORT, systemd:NAME, ...");
        return;
    case KEY_LISTEN_LOCAL:
    case KEY_CONNECT:
        snprintf(text, size, "HOST:PORT, unix:PATH, ...");
        return;
    case KEY_BYTES:
        snprintf(text, size, "text with \\r \\n \\t \\s \\xNN");
        return;
    case KEY_LIST:
        snprintf(text, size, "%s", key->takes);
        return;
    case KEY_NETWORKS:
        snprintf(text, size, "IP address, NETWORK/BITS, ...");
        return;
    }
}

static bool read_count_or_word(const struct key *key, const char *text, uint64_t *value,
                               struct error *error)
{
    const char *second = key->choices[1];
    if (strcmp(text, key->choices[0]) == 0) {
        *value = 0;
        return true;
    }
    if (second != NULL && strcmp(text, second) == 0) {
        *value = UINT64_MAX;
        return true;
    }
    if (strspn(text, "0123456789") != strlen(text)) {
        return error_set(
            error,
            "\"%s\" is neither \"%s\"%s%s%s nor a number from %" PRIu64 " to %" PRIu64,
            text, key->choices[0], second != NULL ? " nor \"" : "",
            second != NULL ? second : "", second != NULL ? "\"" : "", key->min, key->max);
    }
    return value_read_count(text, key->min, key->max, value, error);
}

static bool read_duration_or_word(const struct key *key, const char *text,
                                  uint64_t *value, struct error *error)
{
    if (strcmp(text, key->choices[0]) == 0) {
        *value = 0;
        return true;
    }
    if (strcmp(text, key->choices[1]) == 0) {
        *value = UINT64_MAX;
        return true;
    }
    return value_read_duration(text, key->min, key->max, value, error);
}

static bool read_choice(const struct key *key, const char *text, void *place,
                        struct error *error)
{
    unsigned choice = 0;
    if (!find_choice(key, text, &choice, error)) {
        return false;
    }
    memcpy(place, &choice, sizeof(choice));
    return true;
}

/* Words between commas, none twice. */
static bool read_choices(const struct key *key, const char *text,
                         struct choice_list *list, struct error *error)
{
    struct choice_list read = {.count = 0};
    char word[CONFIG_NAME_MAX];
    bool taken[CHOICE_LIST_MAX] = {false};
    do {
        text += strspn(text, " \t");
        size_t length = strcspn(text, ", \t");
        const char *rest = text + length + strspn(text + length, " \t");
        if (length == 0 || length >= sizeof(word) || (*rest != ',' && *rest != '\0')) {
            return error_set(error, "it takes words with commas between them");
        }
        memcpy(word, text, length);
        word[length] = '\0';
        unsigned choice = 0;
        if (!find_choice(key, word, &choice, error)) {
            return false;
        }
        if (taken[choice]) {
            return error_set(error, "\"%s\" stands there twice", word);
        }
        taken[choice] = true;
        read.items[read.count++] = (uint8_t)choice;
        text = *rest == ',' ? rest + 1 : NULL;
    } while (text != NULL);
    *list = read;
    return true;
}

static bool find_choice(const struct key *key, const char *word, unsigned *choice,
                        struct error *error)
{
    for (unsigned i = 0; key->choices[i] != NULL; i++) {
        if (strcmp(key->choices[i], word) == 0) {
            *choice = i;
            return true;
        }
    }
    const char *reason = key->refusal != NULL ? key->refusal(word) : NULL;
    if (reason != NULL) {
        return error_set(error, "\"%s\" is refused: %s", word, reason);
    }
    char choices[ERROR_TEXT_MAX];
    join_choices(key, choices, sizeof(choices));
    return error_set(error, "\"%s\" is none of %s", word, choices);
}

static bool read_name(const char *text, void *place, struct error *error)
{
    if (!keys_is_name(text)) {
        return error_set(error,
                         "\"%s\" is not a name (letters, digits, \".\", \"_\" and \"-\")",
                         text);
    }
    return put_string(strdup(text), place, error);
}

static bool read_path(const char *text, const char *file, void *place,
                      struct error *error)
{
    const char *slash = strrchr(file, '/');
    char *path = NULL;
    if (text[0] == '/' || slash == NULL) {
        path = strdup(text);
    } else if (asprintf(&path, "%.*s/%s", (int)(slash - file), file, text) < 0) {
        path = NULL;
    }
    if (path != NULL && strlen(path) >= BUNDLE_NAME_MAX) {
        free(path);
        return error_set(error, "the path is longer than the system allows");
    }
    return put_string(path, place, error);
}

static bool read_path_or_word(const struct key *key, const char *text, const char *file,
                              void *place, struct error *error)
{
    for (size_t i = 0; key->choices[i] != NULL; i++) {
        if (strcmp(key->choices[i], text) == 0) {
            return put_string(strdup(text), place, error);
        }
    }
    return read_path(text, file, place, error);
}

/* Takes `string` and frees what stood in its place. */
static bool put_string(char *string, void *place, struct error *error)
{
    if (string == NULL) {
        return error_set(error, "there is no memory");
    }
    char *before = NULL;
    memcpy(&before, place, sizeof(before));
    free(before);
    memcpy(place, &string, sizeof(string));
    return true;
}

static void join_choices(const struct key *key, char *text, size_t size)
{
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; key->choices[i] != NULL && length < size; i++) {
        const int added = snprintf(text + length, size - length, "%s%s",
                                   i == 0 ? "" : ", ", key->choices[i]);
        length += added > 0 ? (size_t)added : 0;
    }
}
