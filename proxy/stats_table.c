#include "proxy/stats_table.h"

#include <inttypes.h>

#include "config/keys.h"
#include "proxy/stats.h"
#include "proxy/stats_master.h"
#include "proxy/status.h"

static void stats_print_labels(FILE *out, const struct stats_family *family,
                               bool markdown);
static const char *version_word(size_t place);
static const char *group_word(size_t place);
static const char *cipher_word(size_t place);
static const char *resumed_word(size_t place);
static const char *reason_word(size_t place);
static const char *refusal_word(size_t place);
static const char *session_word(size_t place);
static const char *state_word(size_t place);
static const char *result_word(size_t place);

#define WORKERS(member)                                                                  \
    .source = STATS_OF_WORKERS, .offset = offsetof(struct stats_worker, member)
#define EACH_WORKER(member)                                                              \
    .source = STATS_OF_EACH_WORKER, .offset = offsetof(struct stats_worker, member)
#define BACKENDS(member)                                                                 \
    .source = STATS_OF_BACKENDS, .offset = offsetof(struct stats_backend, member)
#define MASTER(member)                                                                   \
    .source = STATS_OF_MASTER, .offset = offsetof(struct stats_master, member)
#define TICKET_KEYS(member)                                                              \
    .source = STATS_OF_TICKET_KEYS, .offset = offsetof(struct stats_ticket_key, member)
#define PROCESSES(member)                                                                \
    .source = STATS_OF_PROCESSES, .offset = offsetof(struct stats_process, member)
#define CERTIFICATES(member)                                                             \
    .source = STATS_OF_CERTIFICATES, .offset = offsetof(struct status_certificate, member)

const struct stats_family stats_families[] = {
    {.name = "build_info",
     .help = "What runs; always 1",
     .source = STATS_OF_BUILD,
     .type = STATS_GAUGE},
    {.name = "connections_accepted_total",
     .help = "Connections taken from listening sockets",
     WORKERS(accepted),
     .type = STATS_COUNTER},
    {.name = "accept_pauses_total",
     .help = "Times that accepting paused, for want of descriptors or memory",
     WORKERS(accept_pauses),
     .type = STATS_COUNTER},
    {.name = "handshakes_total",
     .help = "TLS handshakes that succeeded",
     WORKERS(handshakes),
     .type = STATS_COUNTER,
     .labels = {{"version", STATS_VERSIONS, version_word},
                {"group", GROUP_COUNT, group_word},
                {"cipher", CIPHER_COUNT, cipher_word},
                {"resumed", 2, resumed_word}}},
    {.name = "handshakes_failed_total",
     .help = "Connections that ended before their handshake was over",
     WORKERS(handshakes_failed),
     .type = STATS_COUNTER,
     .labels = {{"reason", SESSION_REASONS, reason_word}}},
    {.name = "hellos_refused_total",
     .help = "Those of them whose ClientHello was refused",
     WORKERS(hellos_refused),
     .type = STATS_COUNTER,
     .labels = {{"reason", HELLO_REFUSALS, refusal_word}}},
    {.name = "handshake_duration_seconds",
     .help = "From accepting a client to the end of its handshake",
     WORKERS(handshake_us),
     .type = STATS_HISTOGRAM,
     .unit = STATS_MICROSECONDS},
    {.name = "signatures_total",
     .help = "Signatures that keyholders made",
     WORKERS(signatures.made),
     .type = STATS_COUNTER},
    {.name = "signatures_refused_total",
     .help = "Signatures that keyholders refused to make",
     WORKERS(signatures.refused),
     .type = STATS_COUNTER},
    {.name = "signatures_resent_total",
     .help = "Requests for signatures sent again to a keyholder that was replaced",
     WORKERS(signatures.resent),
     .type = STATS_COUNTER},
    {.name = "signatures_waiting",
     .help = "Handshakes that wait for a signature",
     WORKERS(signatures.waiting),
     .type = STATS_GAUGE},
    {.name = "signature_duration_seconds",
     .help = "From asking a keyholder for a signature to its answer",
     WORKERS(signatures.latency_us),
     .type = STATS_HISTOGRAM,
     .unit = STATS_MICROSECONDS},
    {.name = "tickets_issued_total",
     .help = "Session tickets given to clients",
     WORKERS(tickets.issued),
     .type = STATS_COUNTER},
    {.name = "tickets_accepted_total",
     .help = "Session tickets that were good",
     WORKERS(tickets.accepted),
     .type = STATS_COUNTER},
    {.name = "tickets_rejected_total",
     .help = "Session tickets that were not: too old, of another listener, or made up",
     WORKERS(tickets.rejected),
     .type = STATS_COUNTER},
    {.name = "rekeys_total",
     .help = "Times that the keys of a live connection were renewed",
     WORKERS(rekeys),
     .type = STATS_COUNTER},
    {.name = "sessions",
     .help = "Sessions by what they are doing",
     WORKERS(sessions),
     .type = STATS_GAUGE,
     .labels = {{"state", SESSION_STATES, session_word}}},
    {.name = "sessions_ended_total",
     .help = "Sessions that had finished their handshake, by why they ended",
     WORKERS(sessions_ended),
     .type = STATS_COUNTER,
     .labels = {{"reason", SESSION_REASONS, reason_word}}},
    {.name = "session_duration_seconds",
     .help = "From accepting a client to the end of its session",
     WORKERS(session_ms),
     .type = STATS_HISTOGRAM,
     .unit = STATS_MILLISECONDS},
    {.name = "received_bytes_total",
     .help = "Plaintext bytes from clients",
     WORKERS(bytes_in),
     .type = STATS_COUNTER},
    {.name = "sent_bytes_total",
     .help = "Plaintext bytes to clients",
     WORKERS(bytes_out),
     .type = STATS_COUNTER},
    {.name = "backend_connect_duration_seconds",
     .help = "Attempts to connect to a backend that succeeded",
     WORKERS(connect_us),
     .type = STATS_HISTOGRAM,
     .unit = STATS_MICROSECONDS},
    {.name = "backend_connects_total",
     .help = "Connections made to a backend",
     BACKENDS(connected),
     .type = STATS_COUNTER},
    {.name = "backend_connect_failures_total",
     .help = "Attempts to connect to a backend that failed",
     BACKENDS(failed),
     .type = STATS_COUNTER},
    {.name = "backend_retries_total",
     .help = "Rounds through all addresses of a backend after the first",
     BACKENDS(retries),
     .type = STATS_COUNTER},
    {.name = "backend_down",
     .help = "Workers that know a backend not to answer",
     BACKENDS(down),
     .type = STATS_GAUGE},
    {.name = "backend_addresses",
     .help = "Addresses of a backend, added up over the workers",
     BACKENDS(addresses),
     .type = STATS_GAUGE},
    {.name = "backend_addresses_down",
     .help = "Those of them that checks call down",
     BACKENDS(addresses_down),
     .type = STATS_GAUGE},
    {.name = "worker_sessions",
     .help = "Sessions of a worker",
     EACH_WORKER(sessions),
     .type = STATS_GAUGE,
     .labels = {{NULL, SESSION_STATES, NULL}}},
    {.name = "worker_generation",
     .help = "Number of the configuration that a worker serves",
     EACH_WORKER(generation),
     .type = STATS_GAUGE},
    {.name = "master_state",
     .help = "1 for what the master is doing",
     MASTER(state),
     .type = STATS_STATE,
     .labels = {{"state", MASTER_STATES, state_word}}},
    {.name = "start_time_seconds",
     .help = "When Pawl was started, since 1970",
     MASTER(started_ms),
     .type = STATS_GAUGE,
     .unit = STATS_MILLISECONDS},
    {.name = "config_generation",
     .help = "Number of the configuration in service",
     MASTER(generation),
     .type = STATS_GAUGE},
    {.name = "config_loaded_timestamp_seconds",
     .help = "When it went into service, since 1970",
     MASTER(loaded_ms),
     .type = STATS_GAUGE,
     .unit = STATS_MILLISECONDS},
    {.name = "config_reloads_total",
     .help = "Configurations read, the first included",
     MASTER(reloads),
     .type = STATS_COUNTER,
     .labels = {{"result", RELOAD_RESULTS, result_word}}},
    {.name = "certificate_renewals_total",
     .help = "Times that certificates whose files changed were taken or refused",
     MASTER(renewals),
     .type = STATS_COUNTER,
     .labels = {{"result", RELOAD_RESULTS, result_word}}},
    {.name = "certificates_kept",
     .help = "Certificates served as they were, because their files no longer fit",
     MASTER(certificates_kept),
     .type = STATS_GAUGE},
    {.name = "window_seconds",
     .help = "The forward-secrecy window that ticket keys are made for; 0: no tickets",
     MASTER(window_ms),
     .type = STATS_GAUGE,
     .unit = STATS_MILLISECONDS},
    {.name = "ticket_key_age_seconds",
     .help = "Age of a ticket key; 0 is the one that encrypts",
     TICKET_KEYS(made_ms),
     .type = STATS_AGE,
     .unit = STATS_MILLISECONDS},
    {.name = "process_up",
     .help = "1 for a process that serves",
     PROCESSES(serving),
     .type = STATS_GAUGE},
    {.name = "process_restarts_total",
     .help = "Times that a process was replaced",
     PROCESSES(restarts),
     .type = STATS_COUNTER},
    {.name = "process_start_timestamp_seconds",
     .help = "When a process was started last, since 1970",
     PROCESSES(started_ms),
     .type = STATS_GAUGE,
     .unit = STATS_MILLISECONDS},
    {.name = "certificate_served",
     .help = "1 for a certificate in service, 0 for one that cannot be served",
     CERTIFICATES(served),
     .type = STATS_GAUGE},
    {.name = "certificate_not_after_timestamp_seconds",
     .help = "When a certificate expires, since 1970",
     CERTIFICATES(not_after_ms),
     .type = STATS_GAUGE,
     .unit = STATS_MILLISECONDS},
};
const size_t stats_family_count = sizeof(stats_families) / sizeof(stats_families[0]);

size_t stats_family_size(const struct stats_family *family)
{
    size_t size = 1;

    for (size_t i = 0; i < STATS_LABELS && family->labels[i].count > 0; i++)
        size *= family->labels[i].count;
    return size;
}

size_t stats_family_place(const struct stats_family *family, size_t index, size_t label)
{
    for (size_t i = STATS_LABELS - 1; i > label; i--) {
        if (family->labels[i].count > 0)
            index /= family->labels[i].count;
    }
    return index % family->labels[label].count;
}

const char *stats_source_label(enum stats_source source)
{
    switch (source) {
    case STATS_OF_EACH_WORKER:
        return "worker";
    case STATS_OF_BACKENDS:
        return "backend";
    case STATS_OF_TICKET_KEYS:
        return "key";
    case STATS_OF_PROCESSES:
        return "process";
    case STATS_OF_CERTIFICATES:
        return "certificate";
    case STATS_OF_WORKERS:
    case STATS_OF_MASTER:
    case STATS_OF_BUILD:
        break;
    }
    return NULL;
}

const char *stats_type_name(enum stats_type type)
{
    switch (type) {
    case STATS_COUNTER:
        return "counter";
    case STATS_HISTOGRAM:
        return "histogram";
    case STATS_GAUGE:
    case STATS_STATE:
    case STATS_AGE:
        break;
    }
    return "gauge";
}

void stats_write_number(FILE *out, uint64_t value, enum stats_unit unit)
{
    uint64_t whole = 1;
    int digits = 0;

    if (unit == STATS_MILLISECONDS) {
        whole = 1000;
        digits = 3;
    } else if (unit == STATS_MICROSECONDS) {
        whole = 1000000;
        digits = 6;
    }
    fprintf(out, "%" PRIu64, value / whole);
    uint64_t rest = value % whole;
    if (rest == 0)
        return;
    for (; rest % 10 == 0; digits--)
        rest /= 10;
    fprintf(out, ".%0*" PRIu64, digits, rest);
}

void stats_table_print(FILE *out, bool markdown)
{
    if (markdown)
        fputs("| Figure | Type | Labels | What it is |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < stats_family_count; i++) {
        const struct stats_family *family = &stats_families[i];
        fprintf(out, markdown ? "| `%s%s` | %s | " : "%s%s (%s", STATS_PREFIX,
                family->name, stats_type_name(family->type));
        stats_print_labels(out, family, markdown);
        fprintf(out, markdown ? " | %s |\n" : ")\n    %s\n", family->help);
    }
}

static void stats_print_labels(FILE *out, const struct stats_family *family,
                               bool markdown)
{
    const char *source = stats_source_label(family->source);
    const char *before = markdown ? "" : " by ";

    if (source) {
        fprintf(out, "%s%s", before, source);
        before = ", ";
    }
    for (size_t i = 0; i < STATS_LABELS && family->labels[i].name; i++) {
        fprintf(out, "%s%s", before, family->labels[i].name);
        before = ", ";
    }
}

static const char *version_word(size_t place)
{
    return place == TLS_1_3 ? "TLSv1.3" : "TLSv1.2";
}

/* Groups and ciphers are called as the configuration calls them. */
static const char *group_word(size_t place)
{
    return keys_find(SECTION_TLS, "groups")->choices[place];
}

static const char *cipher_word(size_t place)
{
    return keys_find(SECTION_TLS, "suites")->choices[place];
}

static const char *resumed_word(size_t place)
{
    return place ? "yes" : "no";
}

static const char *reason_word(size_t place)
{
    return reason_of((enum session_reason)place)->name;
}

static const char *refusal_word(size_t place)
{
    return hello_refusal_name((enum hello_refusal)place);
}

static const char *session_word(size_t place)
{
    return session_state_name((enum session_state)place);
}

static const char *state_word(size_t place)
{
    return master_state_name((enum master_state)place);
}

static const char *result_word(size_t place)
{
    return reload_result_name((enum reload_result)place);
}
