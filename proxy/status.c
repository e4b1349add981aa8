#include "proxy/status.h"

#include <string.h>

#include <wolfssl/version.h>

#include "config/keys.h"
#include "proxy/json.h"
#include "proxy/status_figures.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };

static void status_write_master(struct json *json, const struct status *status);
static void status_write_reload(struct json *json, const struct status *status);
static void status_write_window(struct json *json, const struct status *status);
static void status_write_processes(struct json *json, const struct status *status);
static void status_write_sandbox(struct json *json, uint64_t parts);
static void status_write_workers(struct json *json, const struct status *status);
static void status_write_backends(struct json *json, const struct status *status);
static void status_write_certificates(struct json *json, const struct status *status);
static void status_write_figures(struct json *json, const struct status *status);
static void status_write_figure(struct json *json, const struct status *status,
                                const struct stats_family *family);
static void status_write_histogram(struct json *json, const struct status *status,
                                   const struct stats_family *family);
static uint64_t span(uint64_t from, uint64_t to);

void status_now(struct status *status)
{
    status->wall_ms = stats_wall_ms();
    status->ticket_ms = ticket_clock_ms();
}

bool status_is_ready(const struct status *status, struct error *why)
{
    uint64_t state = stats_read(&status->master->state);

    if (state >= MASTER_STATES || (state != MASTER_SERVING && state != MASTER_RELOADING))
        return error_set(why, "%s",
                         state < MASTER_STATES
                             ? master_state_name((enum master_state)state)
                             : "in a state this version does not know");
    for (size_t i = 0; i < status->config->backend_count; i++) {
        const struct config_backend *backend = &status->config->backends[i];
        const char *name = backend->section.name;
        struct stats_backend sums;
        if (backend->required && status_backend(status, name, &sums) &&
            sums.down == status->worker_count)
            return error_set(why, "backend \"%s\" is down", name);
    }
    return true;
}

int64_t status_days_left(const struct status *status,
                         const struct status_certificate *certificate)
{
    int64_t left = (int64_t)certificate->not_after_ms - (int64_t)status->wall_ms;

    return left >= 0 ? left / DAY_MS : -((DAY_MS - 1 - left) / DAY_MS);
}

bool status_backend(const struct status *status, const char *name,
                    struct stats_backend *sums)
{
    bool found = false;

    *sums = (struct stats_backend){.connected = 0};
    (void)snprintf(sums->name, sizeof(sums->name), "%s", name);
    for (size_t i = 0; i < status->worker_count; i++) {
        for (size_t j = 0; j < STATS_BACKENDS; j++) {
            const struct stats_backend *one = &status->workers[i]->backends[j];
            /* Another process wrote the name: it may have no end. */
            if (name[0] == '\0' || strncmp(one->name, name, sizeof(one->name)) != 0)
                continue;
            sums->connected += stats_read(&one->connected);
            sums->failed += stats_read(&one->failed);
            sums->retries += stats_read(&one->retries);
            sums->down += stats_read(&one->down);
            sums->addresses += stats_read(&one->addresses);
            sums->addresses_down += stats_read(&one->addresses_down);
            found = true;
            break;
        }
    }
    return found;
}

void status_write_json(FILE *out, const struct status *status)
{
    struct json json = {.out = out};

    json_open(&json, NULL, '{');
    status_write_master(&json, status);
    status_write_reload(&json, status);
    status_write_window(&json, status);
    status_write_processes(&json, status);
    status_write_workers(&json, status);
    status_write_backends(&json, status);
    status_write_certificates(&json, status);
    status_write_figures(&json, status);
    json_close(&json, '}');
    fputc('\n', out);
}

static void status_write_master(struct json *json, const struct status *status)
{
    const struct stats_master *master = status->master;
    uint64_t state = stats_read(&master->state);
    struct error why;
    bool ready = status_is_ready(status, &why);

    json_text(json, "version", PAWL_VERSION);
    json_text(json, "wolfssl", LIBWOLFSSL_VERSION_STRING);
    json_text(json, "state",
              state < MASTER_STATES ? master_state_name((enum master_state)state) : NULL);
    json_bool(json, "ready", ready);
    json_text(json, "not_ready_because", ready ? NULL : why.text);
    json_number(json, "pid", stats_read(&master->pid));
    json_ms(json, "now", status->wall_ms);
    json_ms(json, "started", stats_read(&master->started_ms));
    json_ms(json, "uptime_seconds",
            span(stats_read(&master->started_ms), status->wall_ms));
}

static void status_write_reload(struct json *json, const struct status *status)
{
    const struct stats_master *master = status->master;
    uint64_t result = stats_read(&master->last_reload_result);
    char text[STATS_TEXT_MAX];

    json_open(json, "configuration", '{');
    json_text(json, "file", status->config->file);
    json_number(json, "generation", stats_read(&master->generation));
    json_ms(json, "loaded", stats_read(&master->loaded_ms));
    json_number(json, "certificates_kept", stats_read(&master->certificates_kept));
    json_ms(json, "last_reload", stats_read(&master->last_reload_ms));
    json_text(json, "last_result",
              result < RELOAD_RESULTS ? reload_result_name((enum reload_result)result)
                                      : NULL);
    (void)stats_text_get(&master->last_reload_error, text);
    json_text(json, "last_error", text[0] ? text : NULL);
    json_close(json, '}');
}

static void status_write_window(struct json *json, const struct status *status)
{
    const struct stats_master *master = status->master;

    const struct config_tls *tls = &status->config->tls;

    json_open(json, "window", '{');
    json_ms(json, "seconds", tls->window_ms);
    /* The keys by which the operator has let connections keep their secrets longer. */
    json_open(json, "exceptions", '[');
    if (tls->min_version == TLS_1_2 && tls->tls12_max_lifetime_ms > tls->window_ms)
        json_text(json, NULL, "tls12_max_lifetime");
    if (tls->unanswered_rekey == UNANSWERED_KEEP)
        json_text(json, NULL, "unanswered_rekey");
    json_close(json, ']');
    json_bool(json, "tickets", stats_read(&master->window_ms) > 0);
    json_ms(json, "next_rotation_seconds",
            span(status->ticket_ms, stats_read(&master->rotation_due_ms)));
    json_open(json, "keys", '[');
    for (size_t i = 0; i < TICKET_RING_KEYS; i++) {
        const struct stats_ticket_key *key = &master->ticket_keys[i];
        uint64_t ends = stats_read(&key->ends_ms);
        if (ends <= status->ticket_ms)
            continue;
        json_open(json, NULL, '{');
        json_ms(json, "age_seconds", span(stats_read(&key->made_ms), status->ticket_ms));
        json_bool(json, "encrypts",
                  stats_read(&key->encrypts_until_ms) > status->ticket_ms);
        json_ms(json, "ends_in_seconds", ends - status->ticket_ms);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void status_write_processes(struct json *json, const struct status *status)
{
    json_open(json, "processes", '[');
    for (size_t i = 0; i < stats_master_process_count(status->master); i++) {
        const struct stats_process *process = &status->master->processes[i];
        uint64_t started = stats_read(&process->started_ms);
        char role[STATS_ROLE_MAX];
        if (started == 0)
            continue;
        (void)snprintf(role, sizeof(role), "%.*s", STATS_ROLE_MAX - 1, process->role);
        json_open(json, NULL, '{');
        json_text(json, "role", role);
        json_number(json, "index", stats_read(&process->index));
        json_number(json, "pid", stats_read(&process->pid));
        json_bool(json, "serving", stats_read(&process->serving) != 0);
        json_ms(json, "started", started);
        json_number(json, "restarts", stats_read(&process->restarts));
        json_number(json, "uid", stats_read(&process->uid));
        status_write_sandbox(json, stats_read(&process->sandbox));
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Its parts are called as the key is that may do without them. */
static void status_write_sandbox(struct json *json, uint64_t parts)
{
    const char *const *words = keys_find(SECTION_PROXY, "unsafe_without")->choices;

    json_open(json, "sandbox", '[');
    for (size_t i = 0; words[i]; i++) {
        if (parts & UINT64_C(1) << i)
            json_text(json, NULL, words[i]);
    }
    json_close(json, ']');
}

static void status_write_workers(struct json *json, const struct status *status)
{
    json_open(json, "workers", '[');
    for (size_t i = 0; i < status->worker_count; i++) {
        const struct stats_worker *worker = status->workers[i];
        uint64_t sessions = 0;
        for (size_t j = 0; j < SESSION_STATES; j++)
            sessions += stats_read(&worker->sessions[j]);
        json_open(json, NULL, '{');
        json_number(json, "index", i);
        json_number(json, "generation", stats_read(&worker->generation));
        json_number(json, "sessions", sessions);
        json_number(json, "accepted", stats_read(&worker->accepted));
        json_number(json, "received_bytes", stats_read(&worker->bytes_in));
        json_number(json, "sent_bytes", stats_read(&worker->bytes_out));
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void status_write_backends(struct json *json, const struct status *status)
{
    json_open(json, "backends", '[');
    for (size_t i = 0; i < status->config->backend_count; i++) {
        const struct config_backend *backend = &status->config->backends[i];
        struct stats_backend sums;
        (void)status_backend(status, backend->section.name, &sums);
        json_open(json, NULL, '{');
        json_text(json, "name", backend->section.name);
        json_open(json, "addresses", '[');
        for (size_t j = 0; j < backend->addresses.count; j++)
            json_text(json, NULL, backend->addresses.items[j].text);
        json_close(json, ']');
        json_bool(json, "required", backend->required);
        json_number(json, "workers_down", sums.down);
        json_number(json, "connected", sums.connected);
        json_number(json, "failed", sums.failed);
        json_number(json, "retries", sums.retries);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void status_write_certificates(struct json *json, const struct status *status)
{
    json_open(json, "certificates", '[');
    for (size_t i = 0; i < status->certificate_count; i++) {
        const struct status_certificate *certificate = &status->certificates[i];
        json_open(json, NULL, '{');
        json_text(json, "name", certificate->section);
        json_bool(json, "served", certificate->served != 0);
        json_text(json, "key_type", certificate->key_type);
        json_open(json, "names", '[');
        for (size_t j = 0; j < certificate->name_count; j++)
            json_text(json, NULL, certificate->names[j]);
        json_close(json, ']');
        if (certificate->key_type) {
            json_ms(json, "not_before", certificate->not_before_ms);
            json_ms(json, "not_after", certificate->not_after_ms);
            json_signed(json, "days_left", status_days_left(status, certificate));
        }
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Every figure of the table that is no part of what was said already. */
static void status_write_figures(struct json *json, const struct status *status)
{
    json_open(json, "figures", '{');
    for (size_t i = 0; i < stats_family_count; i++) {
        const struct stats_family *family = &stats_families[i];
        if (family->source != STATS_OF_WORKERS &&
            (family->source != STATS_OF_MASTER || family->type == STATS_STATE))
            continue;
        if (family->type == STATS_HISTOGRAM)
            status_write_histogram(json, status, family);
        else
            status_write_figure(json, status, family);
    }
    json_close(json, '}');
}

/* One number, or a list of those that are not 0 with their labels. */
static void status_write_figure(struct json *json, const struct status *status,
                                const struct stats_family *family)
{
    struct figure_thing thing;

    if (!figure_thing_read(status, family->source, 0, &thing))
        return;
    if (family->labels[0].count == 0) {
        json_key(json, family->name);
        stats_write_number(json->out, figure_value(status, family, &thing, 0),
                           family->unit);
        return;
    }
    json_open(json, family->name, '[');
    for (size_t i = 0; i < figure_count(family); i++) {
        uint64_t value = figure_value(status, family, &thing, i);
        if (value == 0)
            continue;
        json_open(json, NULL, '{');
        for (size_t j = 0; j < STATS_LABELS && family->labels[j].count > 0; j++)
            json_text(json, family->labels[j].name,
                      family->labels[j].word(stats_family_place(family, i, j)));
        json_key(json, "value");
        stats_write_number(json->out, value, family->unit);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Pairs of a bound in seconds, null for none, and how many were within this bucket. */
static void status_write_histogram(struct json *json, const struct status *status,
                                   const struct stats_family *family)
{
    struct histogram sums;

    figure_histogram(status, family, &sums);
    json_open(json, family->name, '{');
    json_key(json, "sum");
    stats_write_number(json->out, sums.sum, family->unit);
    json_open(json, "buckets", '[');
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        json_open(json, NULL, '[');
        json_key(json, NULL);
        if (i + 1 < HISTOGRAM_BUCKETS)
            stats_write_number(json->out, figure_bound(i), family->unit);
        else
            fputs("null", json->out);
        json_number(json, NULL, sums.buckets[i]);
        json_close(json, ']');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static uint64_t span(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}
