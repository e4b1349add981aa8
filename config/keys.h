/*
 * The one table of configuration keys: section, name, type, range, default, help.  It
 * reads, checks, prints (`pawl keys`) and documents (the README's table).  A new key is a
 * member of its section's struct in config.h and one entry here: in keys_process.c for
 * what the process is and does, in keys_service.c for whom it serves with what.
 */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include <stdio.h>

#include "config/config.h"

enum keys_style { KEYS_PLAIN, KEYS_MARKDOWN, KEYS_INI };

/* Prints the table: for a terminal, as the README's Markdown table, or as a commented INI
 * file with every key at its default (proxy.ini.example is made of it). */
void keys_print(FILE *out, enum keys_style style);

/* What follows is for the rest of config/. */

enum section_kind {
    SECTION_PROXY,
    SECTION_TLS,
    SECTION_LISTENER,
    SECTION_ROUTE,
    SECTION_CERTIFICATE,
    SECTION_CLIENTS,
    SECTION_BACKEND,
    SECTION_LIMITS,
    SECTION_LOG,
    SECTION_ADMIN,
};
enum { SECTION_KINDS = SECTION_ADMIN + 1 };

struct key_table {
    const struct key *keys;
    size_t count;
};

#define KEY_TABLE(array)                                                                 \
    {                                                                                    \
        array, sizeof(array) / sizeof((array)[0])                                        \
    }

struct section_type {
    const char *word; /* the first in the header */
    const struct key_table *keys;
    const char *sample; /* a name for examples; NULL: the section takes no name */
    bool required;      /* one at least must be in the text */
    size_t size;        /* of its struct, which begins with a struct config_section */
    size_t offset; /* in struct config: of the struct, or of the pointer to the array */
    size_t count_offset; /* in struct config: of the array's size_t count */
    const char *help;
};

/* What a key's text becomes in its section's struct. */
enum key_value_type {
    KEY_BOOL,             /* bool */
    KEY_COUNT,            /* uint64_t from min to max */
    KEY_COUNT_OR_AUTO,    /* the same; `auto` is 0 */
    KEY_DURATION,         /* uint64_t milliseconds from min to max */
    KEY_DURATION_OR_WORD, /* the same; the words of choices are 0 and UINT64_MAX */
    KEY_CHOICE,           /* an enum: the place of the word in choices */
    KEY_CHOICES,          /* struct choice_list of such places */
    KEY_NAME,             /* char *, owned: letters, digits, ".", "_" and "-" */
    KEY_PATH,             /* char *, owned; made relative to the directory of the text */
    KEY_PATH_OR_WORD,     /* the same; the two words of choices stay as they are */
    KEY_COMMAND,          /* char *, owned: words, the first an absolute path */
    KEY_LISTEN,           /* struct address_list to listen on */
    KEY_LISTEN_LOCAL,     /* the same, where unix sockets may be, too */
    KEY_CONNECT,          /* struct address_list to connect to */
    KEY_BYTES,            /* struct byte_text, written with escapes */
    KEY_LIST,             /* struct text_list of words that pass check_item; the key may
                             stand in several lines, whose words add up */
    KEY_NETWORKS,         /* struct network_list; likewise */
};

struct key {
    const char *name;
    enum key_value_type type;
    size_t offset;      /* of the value in the section's struct */
    size_t line_offset; /* of an unsigned for the key's line there; 0: not kept */
    uint64_t min;
    uint64_t max;
    const char *const *choices;               /* the last is NULL */
    const char *(*refusal)(const char *word); /* why a word that is not among the choices
                                                 never will be; NULL: no reason known */
    bool (*check_item)(char *item, struct error *error); /* of a KEY_LIST */
    const char *takes; /* of a KEY_LIST: its items in words */
    bool required;
    const char *unless;   /* the key of the section that makes it not required; or NULL */
    bool is_aside;        /* a comment in the example: it does not go with the others */
    const char *standard; /* the default as text; NULL: there is none */
    const char *sample;   /* a value for examples where there is no default */
    const char *help;     /* one sentence without its full stop */
};

extern const struct section_type keys_sections[SECTION_KINDS];
extern const struct key_table keys_of_proxy, keys_of_tls, keys_of_limits, keys_of_log;
extern const struct key_table keys_of_admin;
extern const struct key_table keys_of_listener, keys_of_route, keys_of_certificate;
extern const struct key_table keys_of_clients, keys_of_backend;

/* NULL if there is no such section or key. */
const struct section_type *keys_find_section(const char *word);
const struct key *keys_find(enum section_kind section, const char *name);

/* Letters, digits, ".", "_" and "-"; at least one, less than CONFIG_NAME_MAX. */
bool keys_is_name(const char *text);

/* The same for an item of a KEY_LIST. */
bool keys_check_name(char *item, struct error *error) MUST_CHECK;

/* Whether the key may stand in several lines of its section. */
bool keys_is_list(const struct key *key);

/* Reads `text` into the key's place in `section`, which is as it was if that fails. */
bool keys_read(const struct key *key, const char *text, const char *file, void *section,
               struct error *error) MUST_CHECK;

/* Sets every key of a zeroed struct to its default; fails only without memory. */
bool keys_set_defaults(enum section_kind kind, void *section,
                       struct error *error) MUST_CHECK;

/* The place of a key in its section's table. */
size_t keys_place(enum section_kind section, const struct key *key);

/* Frees what the keys of a struct own. */
void keys_clear(enum section_kind kind, void *section);

/* What the key takes, in words: "1 to 256, or auto". */
void keys_describe(const struct key *key, char *text, size_t size);

#endif
