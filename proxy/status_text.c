#include "proxy/status_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "proxy/human.h"

enum {
    DAYS_TO_WARN = 7,
    COLUMNS = 100,
    NAME_WIDTH = 16,
    CERTIFICATE_WIDTH = 24,
    PLACE_MAX = 40
};

#define RED   "\033[31m"
#define PLAIN "\033[0m"

struct view {
    FILE *out;
    const struct status *status;
    bool color;
};

static void view_head(const struct view *view);
static void view_warnings(const struct view *view);
static void view_warn_of_processes(const struct view *view);
static void view_warn_of_certificates(const struct view *view);
static void view_warn_of_backends(const struct view *view);
static void view_warn_of_window(const struct view *view);
static void view_configuration(const struct view *view);
static void view_window(const struct view *view);
static void view_sessions(const struct view *view);
static void view_processes(const struct view *view);
static void view_process(const struct view *view, const struct stats_process *process);
static void view_certificates(const struct view *view);
static void view_backends(const struct view *view);
static void warn(const struct view *view, const char *format, ...) PRINTF_LIKE(2, 3);
static const char *ago(const struct view *view, uint64_t wall_ms,
                       char text[HUMAN_TEXT_MAX]);
static const char *name_of(const struct stats_process *process, char text[PLACE_MAX]);
static uint64_t handshakes_of(const struct stats_worker *worker);
static uint64_t sum_of(const uint64_t *numbers, size_t count);
static uint64_t span(uint64_t from, uint64_t to);
static void print_addresses(FILE *out, const struct address_list *list, int column);
static void print_names(FILE *out, const struct status_certificate *certificate,
                        int column);
static bool is_number(const char *name);

void status_write_text(FILE *out, const struct status *status, bool color)
{
    const struct view view = {.out = out, .status = status, .color = color};

    view_head(&view);
    view_warnings(&view);
    view_configuration(&view);
    view_window(&view);
    view_sessions(&view);
    view_processes(&view);
    view_certificates(&view);
    view_backends(&view);
}

static void view_head(const struct view *view)
{
    const struct stats_master *master = view->status->master;
    uint64_t state = stats_read(&master->state);
    char up[HUMAN_TEXT_MAX];

    (void)fprintf(
        view->out, "pawl %s  %s  pid %" PRIu64 "  up %s\n", PAWL_VERSION,
        state < MASTER_STATES ? master_state_name((enum master_state)state) : "?",
        stats_read(&master->pid), ago(view, stats_read(&master->started_ms), up));
}

static void view_warnings(const struct view *view)
{
    const struct stats_master *master = view->status->master;
    uint64_t state = stats_read(&master->state);
    char error[STATS_TEXT_MAX], when[HUMAN_TEXT_MAX];

    if (state != MASTER_SERVING && state != MASTER_RELOADING && state < MASTER_STATES)
        warn(view,
             state == MASTER_LAME_DUCK ? "soon no new clients are taken: %s"
                                       : "no new clients are taken: %s",
             master_state_name((enum master_state)state));
    (void)stats_text_get(&master->last_reload_error, error);
    (void)ago(view, stats_read(&master->last_reload_ms), when);
    if (stats_read(&master->last_reload_result) == RELOAD_REFUSED)
        warn(view, "reload refused %s ago: %s", when, error);
    else if (error[0] != '\0')
        warn(view, "since the last reload, %s ago: %s", when, error);
    view_warn_of_processes(view);
    view_warn_of_certificates(view);
    view_warn_of_backends(view);
    view_warn_of_window(view);
}

static void view_warn_of_processes(const struct view *view)
{
    const struct stats_master *master = view->status->master;
    char name[PLACE_MAX], when[HUMAN_TEXT_MAX];

    for (size_t i = 0; i < stats_master_process_count(master); i++) {
        const struct stats_process *process = &master->processes[i];
        uint64_t restarts = stats_read(&process->restarts);
        uint64_t started = stats_read(&process->started_ms);
        if (started == 0)
            continue;
        if (stats_read(&process->pid) == 0)
            warn(view, "%s is not running", name_of(process, name));
        if (restarts > 0)
            warn(view, "%s was restarted %" PRIu64 " time%s, last %s ago",
                 name_of(process, name), restarts, restarts == 1 ? "" : "s",
                 ago(view, started, when));
    }
}

static void view_warn_of_certificates(const struct view *view)
{
    const struct status *status = view->status;
    size_t expired = 0, soon = 0, left_out = 0;

    for (size_t i = 0; i < status->certificate_count; i++) {
        const struct status_certificate *certificate = &status->certificates[i];
        int64_t days = status_days_left(status, certificate);
        left_out += certificate->served == 0;
        if (certificate->not_after_ms == 0)
            continue;
        expired += days < 0;
        soon += days >= 0 && days < DAYS_TO_WARN;
    }
    if (expired > 0)
        warn(view, "%zu certificate%s expired", expired,
             expired == 1 ? " has" : "s have");
    if (soon > 0)
        warn(view, "%zu certificate%s within %d days", soon,
             soon == 1 ? " expires" : "s expire", DAYS_TO_WARN);
    if (left_out > 0)
        warn(view, "%zu certificate%s not served", left_out,
             left_out == 1 ? " is" : "s are");
}

static void view_warn_of_backends(const struct view *view)
{
    const struct status *status = view->status;

    for (size_t i = 0; i < status->config->backend_count; i++) {
        const char *name = status->config->backends[i].section.name;
        struct stats_backend sums;
        if (status_backend(status, name, &sums) && sums.down > 0)
            warn(view, "backend \"%s\" is down, say %" PRIu64 " of %zu workers", name,
                 sums.down, status->worker_count);
    }
}

static void view_warn_of_window(const struct view *view)
{
    const struct status *status = view->status;
    const struct config_tls *tls = &status->config->tls;

    if (tls->tls12_max_lifetime_ms > tls->window_ms)
        warn(view, "TLS 1.2 connections may outlive the window (tls12_max_lifetime)");
    if (tls->unanswered_rekey == UNANSWERED_KEEP)
        warn(view, "clients that do not renew their keys are kept (unanswered_rekey)");
}

static void view_configuration(const struct view *view)
{
    const struct config *config = view->status->config;
    const struct stats_master *master = view->status->master;
    char text[HUMAN_TEXT_MAX];

    (void)fprintf(view->out,
                  "\nconfiguration  %s, generation %" PRIu64 ", in service for %s\n",
                  config->file, stats_read(&master->generation),
                  ago(view, stats_read(&master->loaded_ms), text));
    (void)fprintf(view->out,
                  "reloads        %" PRIu64 " accepted, %" PRIu64
                  " refused; certificates renewed %" PRIu64 " times\n",
                  stats_read(&master->reloads[RELOAD_ACCEPTED]),
                  stats_read(&master->reloads[RELOAD_REFUSED]),
                  stats_read(&master->renewals[RELOAD_ACCEPTED]));
    for (size_t i = 0; i < config->listener_count; i++) {
        int width = fprintf(view->out, "%-13s  %s  ", i == 0 ? "listeners" : "",
                            config->listeners[i].section.name);
        print_addresses(view->out, &config->listeners[i].addresses, width);
    }
}

static void view_window(const struct view *view)
{
    const struct status *status = view->status;
    const struct stats_master *master = status->master;
    char text[HUMAN_TEXT_MAX];
    bool any = false;

    (void)fprintf(view->out, "window         %s; ",
                  human_duration(status->config->tls.window_ms, text));
    if (stats_read(&master->window_ms) == 0) {
        (void)fputs("no tickets\n", view->out);
        return;
    }
    for (size_t i = 0; i < TICKET_RING_KEYS; i++) {
        const struct stats_ticket_key *key = &master->ticket_keys[i];
        if (stats_read(&key->ends_ms) <= status->ticket_ms)
            continue;
        uint64_t age = span(stats_read(&key->made_ms), status->ticket_ms);
        (void)fprintf(view->out, "%s%s", any ? ", " : "ticket keys aged ",
                      human_duration(age, text));
        any = true;
    }
    (void)fprintf(
        view->out, "%s; next rotation in %s\n", any ? "" : "no ticket keys",
        human_duration(span(status->ticket_ms, stats_read(&master->rotation_due_ms)),
                       text));
}

static void view_sessions(const struct view *view)
{
    const struct status *status = view->status;
    uint64_t states[SESSION_STATES] = {0};
    uint64_t live = 0;

    for (size_t i = 0; i < status->worker_count; i++) {
        for (size_t j = 0; j < SESSION_STATES; j++)
            states[j] += stats_read(&status->workers[i]->sessions[j]);
    }
    live = sum_of(states, SESSION_STATES);
    (void)fprintf(view->out, "sessions       %" PRIu64 " live", live);
    for (size_t j = 0; j < SESSION_STATES; j++) {
        if (states[j] > 0)
            (void)fprintf(view->out, ", %" PRIu64 " %s", states[j],
                          session_state_name((enum session_state)j));
    }
    (void)fputc('\n', view->out);
}

static void view_processes(const struct view *view)
{
    const struct stats_master *master = view->status->master;

    (void)fprintf(view->out, "\n%-14s %7s %7s %8s %8s %9s %9s %8s %9s %9s\n", "PROCESS",
                  "PID", "UP", "RESTARTS", "SESSIONS", "ACCEPTED", "HANDSH/S", "FAILED",
                  "IN", "OUT");
    for (size_t i = 0; i < stats_master_process_count(master); i++) {
        if (stats_read(&master->processes[i].started_ms) != 0)
            view_process(view, &master->processes[i]);
    }
}

static void view_process(const struct view *view, const struct stats_process *process)
{
    const struct status *status = view->status;
    uint64_t index = stats_read(&process->index);
    uint64_t pid = stats_read(&process->pid);
    uint64_t restarts = stats_read(&process->restarts);
    char name[PLACE_MAX], up[HUMAN_TEXT_MAX], in[HUMAN_TEXT_MAX], sent[HUMAN_TEXT_MAX];

    (void)fprintf(view->out, "%-14s %7" PRIu64 " %7s %8" PRIu64, name_of(process, name),
                  pid, pid > 0 ? ago(view, stats_read(&process->started_ms), up) : "down",
                  restarts);
    if (strncmp(process->role, "worker", STATS_ROLE_MAX) != 0 ||
        index >= status->worker_count) {
        (void)fputc('\n', view->out);
        return;
    }
    const struct stats_worker *worker = status->workers[index];
    uint64_t up_ms = span(stats_read(&status->master->started_ms), status->wall_ms);
    (void)fprintf(view->out, " %8" PRIu64 " %9" PRIu64 " %9.1f %8" PRIu64 " %9s %9s\n",
                  sum_of(worker->sessions, SESSION_STATES), stats_read(&worker->accepted),
                  (double)handshakes_of(worker) * 1000 / (double)(up_ms > 0 ? up_ms : 1),
                  sum_of(worker->handshakes_failed, SESSION_REASONS),
                  human_bytes(stats_read(&worker->bytes_in), in),
                  human_bytes(stats_read(&worker->bytes_out), sent));
}

static void view_certificates(const struct view *view)
{
    const struct status *status = view->status;

    (void)fprintf(view->out, "\n%-*s %9s  %-12s %s\n", CERTIFICATE_WIDTH, "CERTIFICATE",
                  "DAYS LEFT", "KEY", "NAMES");
    for (size_t i = 0; i < status->certificate_count; i++) {
        const struct status_certificate *certificate = &status->certificates[i];
        int64_t days = status_days_left(status, certificate);
        bool bad = days < DAYS_TO_WARN || certificate->served == 0;
        int width = fprintf(view->out, "%s%-*s ", bad && view->color ? RED : "",
                            CERTIFICATE_WIDTH, certificate->section);
        if (certificate->not_after_ms == 0)
            width += fprintf(view->out, "%9s  ", "?");
        else
            width += fprintf(view->out, "%9" PRId64 "  ", days);
        width += fprintf(view->out, "%-12s ",
                         certificate->served == 0 ? "not served"
                         : certificate->key_type  ? certificate->key_type
                                                  : "unreadable");
        print_names(view->out, certificate, width);
        (void)fprintf(view->out, "%s\n", bad && view->color ? PLAIN : "");
    }
}

static void view_backends(const struct view *view)
{
    const struct status *status = view->status;

    (void)fprintf(view->out, "\n%-*s %-12s %10s %8s %8s  %s\n", NAME_WIDTH, "BACKEND",
                  "STATE", "CONNECTED", "FAILED", "RETRIES", "ADDRESSES");
    for (size_t i = 0; i < status->config->backend_count; i++) {
        const struct config_backend *backend = &status->config->backends[i];
        struct stats_backend sums;
        bool known = status_backend(status, backend->section.name, &sums);
        bool down = known && sums.down > 0;
        int width = fprintf(
            view->out, "%s%-*s %-12s%s %10" PRIu64 " %8" PRIu64 " %8" PRIu64 "  ",
            down && view->color ? RED : "", NAME_WIDTH, backend->section.name,
            down                 ? "down"
            : sums.connected > 0 ? "up"
                                 : "not used yet",
            down && view->color ? PLAIN : "", sums.connected, sums.failed, sums.retries);
        print_addresses(view->out, &backend->addresses, width);
    }
}

/* A terminal breaks long lines better than we would cut a reason. */
static void warn(const struct view *view, const char *format, ...)
{
    va_list arguments;

    (void)fputs(view->color ? RED "WARNING  " : "WARNING  ", view->out);
    va_start(arguments, format);
    (void)vfprintf(view->out, format, arguments);
    va_end(arguments);
    (void)fputs(view->color ? PLAIN "\n" : "\n", view->out);
}

static const char *ago(const struct view *view, uint64_t wall_ms,
                       char text[HUMAN_TEXT_MAX])
{
    return human_duration(span(wall_ms, view->status->wall_ms), text);
}

static const char *name_of(const struct stats_process *process, char text[PLACE_MAX])
{
    (void)snprintf(text, PLACE_MAX, "%.*s %" PRIu64, STATS_ROLE_MAX, process->role,
                   stats_read(&process->index));
    return text;
}

static uint64_t handshakes_of(const struct stats_worker *worker)
{
    return sum_of(&worker->handshakes[0][0][0][0],
                  sizeof(worker->handshakes) / sizeof(uint64_t));
}

static uint64_t sum_of(const uint64_t *numbers, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += stats_read(&numbers[i]);
    return sum;
}

static uint64_t span(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

static void print_addresses(FILE *out, const struct address_list *list, int column)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *text = list->items[i].text;
        if (i > 0 && column + (int)strlen(text) > COLUMNS - 12) {
            (void)fprintf(out, " and %zu more", list->count - i);
            break;
        }
        column += fprintf(out, "%s%s", i > 0 ? ", " : "", text);
    }
    (void)fputc('\n', out);
}

/* As many as fit, those that people know it by first. */
static void print_names(FILE *out, const struct status_certificate *certificate,
                        int column)
{
    size_t count = certificate->name_count;
    size_t printed = 0;

    for (size_t i = 0; i < 2 * count; i++) {
        const char *name = certificate->names[i % count];
        if (is_number(name) != (i >= count))
            continue;
        column += (int)strlen(name) + 2;
        if (printed > 0 && column > COLUMNS - 12) {
            (void)fprintf(out, " and %zu more", count - printed);
            return;
        }
        (void)fputs(printed++ > 0 ? ", " : "", out);
        human_print(out, name);
    }
}

/* An IP address. */
static bool is_number(const char *name)
{
    return strchr(name, ':') || name[strspn(name, "0123456789.")] == '\0';
}
