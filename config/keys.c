#include "config/keys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* A choice is stored through an unsigned, whatever enum it is of. */
static_assert(sizeof(enum send_proxy) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_level) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_format) == sizeof(unsigned), "enums are not unsigned");

/* In the order of the enums they stand for. */
static const char *const send_proxy_words[] = {"off", "v1", "v2", "v2-tls", NULL};
static const char *const log_level_words[] = {"error", "warning", "info", "debug", NULL};
static const char *const log_format_words[] = {"text", "json", NULL};

const struct section_type keys_sections[SECTION_KINDS] = {
    [SECTION_PROXY] = {.word = "proxy",
                       .size = sizeof(struct config_proxy),
                       .offset = offsetof(struct config, proxy),
                       .help = "The process as a whole"},
    [SECTION_LISTENER] = {.word = "listener",
                          .sample = "web",
                          .required = true,
                          .size = sizeof(struct config_listener),
                          .offset = offsetof(struct config, listeners),
                          .count_offset = offsetof(struct config, listener_count),
                          .help = "Where clients connect; any number of these sections"},
    [SECTION_CERTIFICATE] = {.word = "certificate",
                             .sample = "main",
                             .required = true,
                             .size = sizeof(struct config_certificate),
                             .offset = offsetof(struct config, certificates),
                             .count_offset = offsetof(struct config, certificate_count),
                             .help =
                                 "A certificate with its private key; clients get the "
                                 "one whose names match"},
    [SECTION_BACKEND] = {.word = "backend",
                         .sample = "app",
                         .required = true,
                         .size = sizeof(struct config_backend),
                         .offset = offsetof(struct config, backends),
                         .count_offset = offsetof(struct config, backend_count),
                         .help = "Where the decrypted bytes go"},
    [SECTION_LIMITS] = {.word = "limits",
                        .size = sizeof(struct config_limits),
                        .offset = offsetof(struct config, limits),
                        .help = "How long things may take"},
    [SECTION_LOG] = {.word = "log",
                     .size = sizeof(struct config_log),
                     .offset = offsetof(struct config, log),
                     .help = "What goes to standard error"},
};

#define PROXY(member)                                                                    \
    .section = SECTION_PROXY, .offset = offsetof(struct config_proxy, member)
#define LISTENER(member)                                                                 \
    .section = SECTION_LISTENER, .offset = offsetof(struct config_listener, member)
#define CERTIFICATE(member)                                                              \
    .section = SECTION_CERTIFICATE, .offset = offsetof(struct config_certificate, member)
#define BACKEND(member)                                                                  \
    .section = SECTION_BACKEND, .offset = offsetof(struct config_backend, member)
#define LIMIT(member)                                                                    \
    .section = SECTION_LIMITS, .type = KEY_DURATION,                                     \
    .offset = offsetof(struct config_limits, member)
#define LOG(member)        .section = SECTION_LOG, .offset = offsetof(struct config_log, member)
#define LINE(kind, member) .line_offset = offsetof(struct config_##kind, member)

const struct key keys_table[] = {
    {.name = "workers",
     PROXY(workers),
     .type = KEY_COUNT_OR_AUTO,
     .min = 1,
     .max = CONFIG_WORKERS_MAX,
     .standard = "auto",
     .help = "Worker processes; auto is one for each processor that Pawl may use"},
    {.name = "user",
     PROXY(user),
     LINE(proxy, user_line),
     .type = KEY_NAME,
     .standard = "nobody",
     .help = "The user that everything facing the network runs as; matters only when "
             "Pawl is started as root"},

    {.name = "address",
     LISTENER(addresses),
     LINE(listener, address_line),
     .type = KEY_LISTEN,
     .required = true,
     .sample = "*:443",
     .help = "Addresses to listen on, separated by commas; *:443 is port 443 of every "
             "address of the machine, IPv4 and IPv6"},
    {.name = "backend",
     LISTENER(backend_name),
     LINE(listener, backend_line),
     .type = KEY_NAME,
     .sample = "app",
     .help = "Name of the backend; may be left out when there is only one"},

    {.name = "chain",
     CERTIFICATE(chain),
     LINE(certificate, chain_line),
     .type = KEY_PATH,
     .required = true,
     .sample = "/etc/pawl/fullchain.pem",
     .help = "PEM file with the certificate first, then the intermediate ones"},
    {.name = "key",
     CERTIFICATE(key),
     LINE(certificate, key_line),
     .type = KEY_PATH,
     .required = true,
     .sample = "/etc/pawl/privkey.pem",
     .help = "PEM file with the private key, and nothing else: the chain's file goes to "
             "the processes that face the network, the key's never does"},
    {.name = "default",
     CERTIFICATE(is_default),
     LINE(certificate, default_line),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether clients that ask for no name or an unknown one get this certificate; "
         "if no section says so, they get the first"},

    {.name = "address",
     BACKEND(addresses),
     LINE(backend, address_line),
     .type = KEY_CONNECT,
     .required = true,
     .sample = "127.0.0.1:3000",
     .help = "Addresses to connect to, separated by commas; the next is tried when one "
             "fails"},
    {.name = "wait",
     BACKEND(wait_ms),
     .type = KEY_DURATION,
     .min = 0,
     .max = 10 * MINUTE,
     .standard = "5s",
     .help = "How long a client waits for a backend that refuses connections, while Pawl "
             "tries again; with 0s each address is tried once"},
    {.name = "allow_remote_plaintext",
     BACKEND(allow_remote_plaintext),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Whether decrypted bytes may leave this machine; everybody on the way to the "
         "backend can read them"},
    {.name = "send_proxy",
     BACKEND(send_proxy),
     .type = KEY_CHOICE,
     .choices = send_proxy_words,
     .standard = "off",
     .help = "PROXY protocol header that tells the backend the client's address; v2-tls "
             "adds what is known of its TLS session"},

    {.name = "handshake_timeout",
     LIMIT(handshake_timeout_ms),
     .min = 100,
     .max = 10 * MINUTE,
     .standard = "10s",
     .help = "From accepting a client to the end of its TLS handshake"},
    {.name = "connect_timeout",
     LIMIT(connect_timeout_ms),
     .min = 10,
     .max = 10 * MINUTE,
     .standard = "5s",
     .help = "For one attempt to connect to one backend address"},
    {.name = "idle_timeout",
     LIMIT(idle_timeout_ms),
     .min = 100,
     .max = 7 * DAY,
     .standard = "10m",
     .help = "Without a byte in either direction"},
    {.name = "half_close_timeout",
     LIMIT(half_close_timeout_ms),
     .min = 100,
     .max = 7 * DAY,
     .standard = "1m",
     .help = "Without a byte once one side has said that it sends no more"},
    {.name = "linger_timeout",
     LIMIT(linger_timeout_ms),
     .min = 10,
     .max = MINUTE,
     .standard = "5s",
     .help = "For a client to take the last bytes of a closing connection"},
    {.name = "drain_timeout",
     LIMIT(drain_timeout_ms),
     .min = 0,
     .max = DAY,
     .standard = "30s",
     .help =
         "For the connections there are to end by themselves when Pawl is told to stop"},

    {.name = "level",
     LOG(level),
     .type = KEY_CHOICE,
     .choices = log_level_words,
     .standard = "info",
     .help = "The least important lines to write; info is one line for each connection"},
    {.name = "format",
     LOG(format),
     .type = KEY_CHOICE,
     .choices = log_format_words,
     .standard = "text",
     .help = "Lines for people or one JSON object each"},
};

const size_t keys_count = sizeof(keys_table) / sizeof(keys_table[0]);

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
    for (size_t i = 0; i < keys_count; i++) {
        if (keys_table[i].section == section && strcmp(keys_table[i].name, name) == 0) {
            return &keys_table[i];
        }
    }
    return NULL;
}

bool keys_set_defaults(enum section_kind kind, void *section, struct error *error)
{
    for (size_t i = 0; i < keys_count; i++) {
        const struct key *key = &keys_table[i];
        if (key->section == kind && key->standard != NULL &&
            !keys_read(key, key->standard, "", section, error)) {
            return false;
        }
    }
    return true;
}

void keys_clear(enum section_kind kind, void *section)
{
    for (size_t i = 0; i < keys_count; i++) {
        const struct key *key = &keys_table[i];
        if (key->section == kind && (key->type == KEY_NAME || key->type == KEY_PATH)) {
            char *string = NULL;
            void *place = (char *)section + key->offset;
            memcpy(&string, place, sizeof(string));
            free(string);
            memset(place, 0, sizeof(string));
        }
    }
}
