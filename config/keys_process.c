#include "config/keys.h"

#include <assert.h>

#include "config/refusal.h"

#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* Far beyond any machine, small enough for all arithmetic. */
#define COUNT_MAX 10000000
/* What fits in the 16 bits that a source has for it. */
#define SMALL_COUNT_MAX 50000

#define IN(kind, member)   .offset = offsetof(struct config_##kind, member)
#define LINE(kind, member) .line_offset = offsetof(struct config_##kind, member)

/* A choice is stored through an unsigned, whatever enum it is of. */
static_assert(sizeof(enum tls_version) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum tls_unanswered) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_level) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_format) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_facility) == sizeof(unsigned), "enums are not unsigned");
static_assert(sizeof(enum log_place) == sizeof(unsigned), "enums are not unsigned");

/* In the order of the enums they stand for. */
static const char *const tls_version_words[] = {"1.2", "1.3", NULL};
static const char *const tls_cipher_words[] = {"AES-128-GCM", "AES-256-GCM",
                                               "CHACHA20-POLY1305", NULL};
static const char *const tls_group_words[] = {"X25519MLKEM768", "X25519", "secp256r1",
                                              NULL};
static const char *const unanswered_words[] = {"close", "keep", NULL};
static const char *const lifetime_words[] = {"window", "unlimited", NULL};
static const char *const auto_words[] = {"auto", NULL};
static const char *const auto_unlimited_words[] = {"auto", "unlimited", NULL};
static const char *const unlimited_words[] = {"unlimited", NULL};
static const char *const control_words[] = {CONTROL_AUTO, CONTROL_OFF, NULL};
static const char *const log_level_words[] = {"error", "warning", "info", "debug", NULL};
static const char *const log_format_words[] = {"text", "json", NULL};
static const char *const log_target_words[] = {"stderr", "syslog", "syslog-local", NULL};

static const char *const log_facility_words[] = {
    "user",   "daemon", "auth",   "authpriv", "local0", "local1", "local2",
    "local3", "local4", "local5", "local6",   "local7", NULL};

static const char *const sandbox_words[] = {"user", "landlock", "seccomp", NULL};

static const struct key proxy_keys[] = {
    {.name = "workers",
     IN(proxy, workers),
     .type = KEY_COUNT_OR_WORD,
     .choices = auto_words,
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
    {.name = "control",
     IN(proxy, control),
     LINE(proxy, control_line),
     .type = KEY_PATH_OR_WORD,
     .choices = control_words,
     .standard = CONTROL_AUTO,
     .help =
         "Unix socket on which pawl status, reload, stop and the like reach a running "
         "Pawl; auto is /run/pawl/control.sock for root and "
         "$XDG_RUNTIME_DIR/pawl/control.sock for others, if that variable is set"},
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
    {.name = "connections",
     .type = KEY_COUNT_OR_WORD,
     IN(limits, connections),
     .choices = auto_words,
     .min = 1,
     .max = COUNT_MAX,
     .standard = "auto",
     .help = "Connections in all; auto is what the limit of open files allows. With so "
             "many open, further ones wait in the kernel's queue. With several workers, "
             "over which the kernel spreads connections at random, each enforces its "
             "share of a limit with a margin for chance, so that together they may allow "
             "somewhat more than a limit says, and refuse nobody below it"},
    {.name = "accept_rate",
     .type = KEY_COUNT_OR_WORD,
     IN(limits, accept_rate),
     .choices = unlimited_words,
     .min = 1,
     .max = COUNT_MAX,
     .standard = "unlimited",
     .help = "New connections in a second, of all clients; further ones wait in the "
             "kernel's queue"},
    {.name = "connections_per_source",
     .type = KEY_COUNT_OR_WORD,
     IN(limits, connections_per_source),
     .choices = auto_unlimited_words,
     .min = 1,
     .max = COUNT_MAX,
     .standard = "auto",
     .help = "Connections of one source, which is a client's address or network; further "
             "ones are reset. auto is 4096, but never more than half of all connections"},
    {.name = "handshakes_per_source",
     .type = KEY_COUNT_OR_WORD,
     IN(limits, handshakes_per_source),
     .choices = unlimited_words,
     .min = 1,
     .max = SMALL_COUNT_MAX,
     .standard = "512",
     .help = "Connections of one source whose TLS handshake is not over; further ones "
             "are reset"},
    {.name = "failed_handshakes",
     .type = KEY_COUNT_OR_WORD,
     IN(limits, failed_handshakes),
     .choices = unlimited_words,
     .min = 1,
     .max = SMALL_COUNT_MAX,
     .standard = "500",
     .help = "Handshakes of one source that may fail by its own doing within 10s; with "
             "more, its new connections are reset for the time of penalty. What is no "
             "client's doing does not count (a name that is not served, a certificate "
             "of ours it does not trust, a check that hangs up without a byte)"},
    {.name = "penalty",
     .type = KEY_DURATION,
     IN(limits, penalty_ms),
     .min = SECOND,
     .max = DAY,
     .standard = "30s",
     .help = "How long new connections of a source with too many failed_handshakes are "
             "reset"},
    {.name = "source_prefix_v4",
     .type = KEY_COUNT,
     IN(limits, source_prefix_v4),
     .min = 8,
     .max = 32,
     .standard = "32",
     .help = "Bits of an IPv4 address that make a source: 32 is each address, 24 a "
             "network of 256"},
    {.name = "source_prefix_v6",
     .type = KEY_COUNT,
     IN(limits, source_prefix_v6),
     .min = 16,
     .max = 128,
     .standard = "64",
     .help =
         "The same for IPv6, where 64 is what one household or machine gets at least"},
    {.name = "exempt_private",
     .type = KEY_BOOL,
     IN(limits, exempt_private),
     .standard = "yes",
     .help = "Whether loopback, private, link-local and carrier-grade NAT addresses have "
             "no limit per source: behind one there may be all clients of a load "
             "balancer, a container network or an office"},
    {.name = "exempt",
     .type = KEY_NETWORKS,
     IN(limits, exempt),
     .is_aside = true,
     .sample = "192.0.2.0/24, 2001:db8::1",
     .help = "Sources without a limit, such as load balancers and monitoring. With "
             "accept_proxy the source is whom the PROXY header names, and the load "
             "balancer itself is never limited"},
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
    {.name = "target",
     IN(log, target),
     LINE(log, target_line),
     .type = KEY_CHOICE,
     .choices = log_target_words,
     .standard = "stderr",
     .help =
         "Where lines go: standard error, or the syslog daemon's socket; syslog-local "
         "is the form that most daemons expect on /dev/log unless told otherwise "
         "(rsyslog, systemd-journald), syslog is RFC 5424"},
    {.name = "syslog_socket",
     IN(log, syslog_socket),
     .type = KEY_PATH,
     .standard = "/dev/log",
     .help =
         "The syslog daemon's unix datagram socket; a daemon that is gone or does not "
         "keep up costs lines, which are counted, and no time"},
    {.name = "syslog_facility",
     IN(log, syslog_facility),
     .type = KEY_CHOICE,
     .choices = log_facility_words,
     .standard = "daemon",
     .help = "The facility that a syslog daemon sorts the lines by"},
    {.name = "repeat_limit",
     IN(log, repeat_limit),
     .type = KEY_COUNT,
     .min = 0,
     .max = LOG_REPEAT_MAX,
     .standard = "20",
     .help = "Lines that say the same (message and reason, whoever it is about) in each "
             "process and second; more are counted and told in one line. Sessions that "
             "ended well and debug lines are all written; 0 writes everything"},
};
const struct key_table keys_of_log = KEY_TABLE(log_keys);

static const struct key admin_keys[] = {
    {.name = "address",
     IN(admin, addresses),
     LINE(admin, address_line),
     .type = KEY_LISTEN_LOCAL,
     .sample = "127.0.0.1:9180",
     .help = "Where to listen, on this machine only: loopback or unix:/PATH, which the "
             "user and group that Pawl is started by can reach; nowhere if not set"},
    {.name = "allow_remote",
     IN(admin, allow_remote),
     .type = KEY_BOOL,
     .standard = "no",
     .help =
         "Allows other addresses, and any name in a request's Host; whoever can connect "
         "can read everything, unencrypted"},
};
const struct key_table keys_of_admin = KEY_TABLE(admin_keys);
