#include "config/keys.h"

#include <assert.h>

#include "config/refusal.h"

#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define IN(kind, member)   .offset = offsetof(struct config_##kind, member)
#define LINE(kind, member) .line_offset = offsetof(struct config_##kind, member)

/* A choice is stored through an unsigned, whatever enum it is of. */
static_assert(sizeof(enum tls_version) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum tls_unanswered) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_level) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_format) == sizeof(unsigned), "enums are not unsigned");

/* In the order of the enums they stand for. */
static const char *const tls_version_words[] = {"1.2", "1.3", NULL};
static const char *const tls_cipher_words[] = {"AES-128-GCM", "AES-256-GCM",
                                               "CHACHA20-POLY1305", NULL};
static const char *const tls_group_words[] = {"X25519MLKEM768", "X25519", "secp256r1",
                                              NULL};
static const char *const unanswered_words[] = {"close", "keep", NULL};
static const char *const lifetime_words[] = {"window", "unlimited", NULL};
static const char *const log_level_words[] = {"error", "warning", "info", "debug", NULL};
static const char *const log_format_words[] = {"text", "json", NULL};

static const char *const sandbox_words[] = {"user", "landlock", "seccomp", NULL};

static const struct key proxy_keys[] = {
    {.name = "workers",
     IN(proxy, workers),
     .type = KEY_COUNT_OR_AUTO,
     .min = 1,
     .max = CONFIG_WORKERS_MAX,
     .standard = "auto",
     .help = "Worker processes; auto is one for each processor that Pawl may use"},
    {.name = "user",
     IN(proxy, user),
     LINE(proxy, user_line),
     .type = KEY_NAME,
     .standard = "nobody",
     .help = "The user that everything facing the network runs as; matters only when "
             "Pawl is started as root"},
    {.name = "strict",
     IN(proxy, strict),
     .type = KEY_BOOL,
     .standard = "no",
     .help = "Whether one certificate that cannot be served refuses a start or reload; "
             "if not, the others serve and the log has an error"},
    {.name = "watch",
     IN(proxy, watch),
     .type = KEY_BOOL,
     .standard = "yes",
     .help =
         "Whether certificates and keys are taken anew by themselves when their files "
         "change; a pair that does not fit keeps the one in service"},
    {.name = "unsafe_without",
     IN(proxy, unsafe_without),
     LINE(proxy, unsafe_without_line),
     .type = KEY_CHOICES,
     .choices = sandbox_words,
     .is_aside = true,
     .sample = "landlock",
     .help = "Parts of the sandbox that Pawl may run without on a machine that lacks "
             "them; what there is applies all the same"},
};
const struct key_table keys_of_proxy = KEY_TABLE(proxy_keys);

static const struct key tls_keys[] = {
    {.name = "window",
     IN(tls, window_ms),
     LINE(tls, window_line),
     .type = KEY_DURATION,
     .min = SECOND,
     .max = DAY,
     .standard = "1h",
     .help = "The forward-secrecy window: whatever is stolen from this machine opens no "
             "traffic older than this; from 5m up"},
    {.name = "tickets",
     IN(tls, tickets),
     .type = KEY_BOOL,
     .standard = "on",
     .help = "Whether TLS 1.3 clients may resume sessions, always with a fresh key "
             "exchange and within the window"},
    {.name = "tls12_max_lifetime",
     IN(tls, tls12_max_lifetime_ms),
     LINE(tls, tls12_max_lifetime_line),
     .type = KEY_DURATION_OR_WORD,
     .choices = lifetime_words,
     .min = SECOND,
     .max = 7 * DAY,
     .standard = "window",
     .help = "When a TLS 1.2 connection, whose keys cannot be renewed, is closed; longer "
             "than the window breaks the promise for that connection"},
    {.name = "unanswered_rekey",
     IN(tls, unanswered_rekey),
     LINE(tls, unanswered_rekey_line),
     .type = KEY_CHOICE,
     .choices = unanswered_words,
     .standard = "close",
     .help = "What becomes of a TLS 1.3 client that has not renewed its keys when the "
             "window is over; many libraries do so only when they next write, so a "
             "download that lasts longer than the window needs keep, which breaks the "
             "promise for that connection"},
    {.name = "min_version",
     IN(tls, min_version),
     .type = KEY_CHOICE,
     .choices = tls_version_words,
     .refusal = refusal_of_version,
     .standard = "1.2",
     .help = "The least version of TLS that is accepted"},
    {.name = "suites",
     IN(tls, suites),
     .type = KEY_CHOICES,
     .choices = tls_cipher_words,
     .refusal = refusal_of_suite,
     .standard = "AES-128-GCM, AES-256-GCM, CHACHA20-POLY1305",
     .help = "Cipher suites by their cipher, the preferred first; each stands for the "
             "TLS 1.3 suite and those of TLS 1.2 with ECDHE"},
    {.name = "groups",
     IN(tls, groups),
     LINE(tls, groups_line),
     .type = KEY_CHOICES,
     .choices = tls_group_words,
     .refusal = refusal_of_group,
     .standard = "X25519MLKEM768, X25519, secp256r1",
     .help = "Groups for the key exchange, the preferred first"},
    {.name = "unsafe_short_window",
     IN(tls, unsafe_short_window),
     .type = KEY_BOOL,
     .standard = "no",
     .help = "Allows windows under 5m, for tests: keys then change so often that little "
             "is resumed"},
};
const struct key_table keys_of_tls = KEY_TABLE(tls_keys);

static const struct key limits_keys[] = {
    {.name = "handshake_timeout",
     .type = KEY_DURATION,
     IN(limits, handshake_timeout_ms),
     .min = 100,
     .max = 10 * MINUTE,
     .standard = "10s",
     .help = "From accepting a client to the end of its TLS handshake"},
    {.name = "connect_timeout",
     .type = KEY_DURATION,
     IN(limits, connect_timeout_ms),
     .min = 10,
     .max = 10 * MINUTE,
     .standard = "5s",
     .help = "For one attempt to connect to one backend address"},
    {.name = "idle_timeout",
     .type = KEY_DURATION,
     IN(limits, idle_timeout_ms),
     .min = 100,
     .max = 7 * DAY,
     .standard = "10m",
     .help = "Without a byte in either direction"},
    {.name = "half_close_timeout",
     .type = KEY_DURATION,
     IN(limits, half_close_timeout_ms),
     .min = 100,
     .max = 7 * DAY,
     .standard = "1m",
     .help = "Without a byte once one side has said that it sends no more"},
    {.name = "linger_timeout",
     .type = KEY_DURATION,
     IN(limits, linger_timeout_ms),
     .min = 10,
     .max = MINUTE,
     .standard = "5s",
     .help = "For a client to take the last bytes of a closing connection"},
    {.name = "lame_duck",
     .type = KEY_DURATION,
     IN(limits, lame_duck_ms),
     .min = 0,
     .max = HOUR,
     .standard = "0s",
     .help = "How long connections are still accepted after Pawl was told to stop, while "
             "its readiness is false already, for a load balancer to take notice"},
    {.name = "drain_timeout",
     .type = KEY_DURATION,
     IN(limits, drain_timeout_ms),
     .min = 0,
     .max = DAY,
     .standard = "30s",
     .help =
         "For the connections there are to end by themselves when Pawl is told to stop"},
};
const struct key_table keys_of_limits = KEY_TABLE(limits_keys);

static const struct key log_keys[] = {
    {.name = "level",
     IN(log, level),
     .type = KEY_CHOICE,
     .choices = log_level_words,
     .standard = "info",
     .help = "The least important lines to write; info is one line for each connection"},
    {.name = "format",
     IN(log, format),
     .type = KEY_CHOICE,
     .choices = log_format_words,
     .standard = "text",
     .help = "Lines for people or one JSON object each"},
};
const struct key_table keys_of_log = KEY_TABLE(log_keys);
