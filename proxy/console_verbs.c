/* What the console does for each request. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/value.h"
#include "proxy/console.h"
#include "proxy/human.h"
#include "proxy/json.h"
#include "proxy/log.h"
#include "proxy/master.h"
#include "proxy/worker.h"

enum { SESSIONS_STANDARD = 100 };

static void verb_status(struct console *console, struct console_client *client,
                        struct console_request *request);
static void verb_prove(struct console *console, struct console_client *client,
                       struct console_request *request);
static void verb_log(struct console *console, struct console_client *client,
                     struct console_request *request);
static void verb_sessions(struct console *console, struct console_client *client,
                          struct console_request *request);
static void verb_reload(struct console *console, struct console_client *client,
                        struct console_request *request);
static void verb_stop(struct console *console, struct console_client *client,
                      struct console_request *request);
static void verb_upgrade(struct console *console, struct console_client *client,
                         struct console_request *request);
static bool console_may_wait(struct console *console, struct console_client *client);
static bool console_is_ending(const struct console *console);
static bool request_is_done(struct console_client *client,
                            const struct console_request *request);
static uint64_t console_count_sessions(const struct console *console);
static void console_print_listing(struct console *console, FILE *out);
static void console_write_listing(struct console *console, FILE *out);

static void (*const VERBS[CONSOLE_VERBS])(struct console *console,
                                          struct console_client *client,
                                          struct console_request *request) = {
    [CONSOLE_STATUS] = verb_status,   [CONSOLE_SESSIONS] = verb_sessions,
    [CONSOLE_RELOAD] = verb_reload,   [CONSOLE_STOP] = verb_stop,
    [CONSOLE_UPGRADE] = verb_upgrade, [CONSOLE_LOG] = verb_log,
    [CONSOLE_PROVE] = verb_prove,
};

void console_answer(struct console *console, struct console_client *client,
                    struct console_request *request)
{
    VERBS[request->verb](console, client, request);
}

void console_on_reload_ended(struct console *console, const struct report *report,
                             bool refused)
{
    const struct master *master = console->master;

    for (size_t i = 0; i < CONSOLE_CLIENTS; i++) {
        struct console_client *client = &console->clients[i];
        if (!console_client_waits(client, CONSOLE_WAIT_RELOAD) || !client->begun)
            continue;
        for (size_t j = 0; j < report->count; j++)
            console_client_say(client, '-', "%s%s",
                               report->entries[j].level == REPORT_WARNING ? "warning: "
                                                                          : "",
                               report->entries[j].text);
        if (report->dropped > 0)
            console_client_say(client, '-', "and %zu more", report->dropped);
        if (refused)
            console_client_say(client, '-',
                               "reload refused (%zu error%s); the configuration in "
                               "service stays, generation %" PRIu32,
                               report->errors + report->faults,
                               report->errors + report->faults == 1 ? "" : "s",
                               master->current ? master->current->number : 0);
        else
            console_client_say(client, '+',
                               "reloaded: generation %" PRIu32
                               ", %zu listeners, %zu certificates, %zu backends",
                               master->current->number,
                               master->current->config->listener_count,
                               cert_set_count(&master->current->offered),
                               master->current->config->backend_count);
        console_client_end(client, refused ? 1 : 0);
    }
}

void console_on_upgrade_ended(struct console *console, bool ok, const char *text)
{
    for (size_t i = 0; i < CONSOLE_CLIENTS; i++) {
        struct console_client *client = &console->clients[i];
        if (!console_client_waits(client, CONSOLE_WAIT_UPGRADE))
            continue;
        if (ok)
            console_client_say(client, '+', "upgraded: pawl %s serves", PAWL_VERSION);
        else
            console_client_say(client, '-', "not upgraded, pawl %s goes on: %s",
                               PAWL_VERSION, text);
        console_client_end(client, ok ? 0 : 1);
    }
}

void console_on_listed(struct console *console, struct process *process,
                       const struct control_message *message)
{
    listing_on_listed(console->listing, process, message);
}

void console_report_progress(struct console *console)
{
    uint64_t sessions = console_count_sessions(console);
    bool any = false;

    for (size_t i = 0; i < CONSOLE_CLIENTS; i++) {
        struct console_client *client = &console->clients[i];
        if (!console_client_waits(client, CONSOLE_WAIT_STOP))
            continue;
        any = true;
        console_client_say(client, '+', "%" PRIu64 " session%s left", sessions,
                           sessions == 1 ? "" : "s");
    }
    if (!any)
        (void)event_del(console->tick);
}

/* Sends what was written to `out`, unless `failed`, and ends. */
static void verb_finish(struct console_client *client, FILE *out, char **text,
                        size_t *length, const char *failed)
{
    if (out && fclose(out) != 0)
        failed = "out of memory";
    if (failed)
        console_client_say(client, '-', "%s", failed);
    else
        console_client_print(client, *text, *length);
    free(*text);
    console_client_end(client, failed ? 1 : 0);
}

static void verb_status(struct console *console, struct console_client *client,
                        struct console_request *request)
{
    bool as_json = console_request_take(request, "json");
    bool color = console_request_take(request, "color");
    struct error error = {.text = "out of memory"};
    char *text = NULL;
    size_t length = 0;

    if (!request_is_done(client, request))
        return;
    FILE *out = open_memstream(&text, &length);
    bool written = out && console_write_status(console, out, as_json, color, &error);
    verb_finish(client, out, &text, &length, written ? NULL : error.text);
}

static void verb_prove(struct console *console, struct console_client *client,
                       struct console_request *request)
{
    struct error error = {.text = "out of memory"};
    char *text = NULL;
    size_t length = 0;

    if (!request_is_done(client, request))
        return;
    FILE *out = open_memstream(&text, &length);
    bool written = out && console_write_proof(console, out, &error);
    verb_finish(client, out, &text, &length, written ? NULL : error.text);
}

static void verb_log(struct console *console, struct console_client *client,
                     struct console_request *request)
{
    static const char *const words[] = {[LOG_LEVEL_ERROR] = "error",
                                        [LOG_LEVEL_WARNING] = "warning",
                                        [LOG_LEVEL_INFO] = "info",
                                        [LOG_LEVEL_DEBUG] = "debug"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (request->count != 1 || strcmp(request->words[0], words[i]) != 0)
            continue;
        log_info("log level %s asked for on the control socket", words[i]);
        log_target_set_level(console->master, (enum log_level)i);
        console_client_say(client, '+',
                           "every process logs %s from now on, until the next reload",
                           words[i]);
        console_client_end(client, 0);
        return;
    }
    console_client_say(client, '-', "log takes error, warning, info or debug");
    console_client_end(client, 2);
}

static void verb_sessions(struct console *console, struct console_client *client,
                          struct console_request *request)
{
    uint64_t limit = SESSIONS_STANDARD;
    struct error error;

    client->as_json = console_request_take(request, "json");
    if (request->count == 1 &&
        value_read_count(request->words[0], 1, SESSION_RECORDS_MAX, &limit, &error))
        request->count = 0;
    if (!request_is_done(client, request) || !console_may_wait(console, client))
        return;
    client->limit = (unsigned)limit;
    console_client_wait(client, CONSOLE_WAIT_SESSIONS);
    console_next_listing(console);
}

/* Those who ask while one is under way get theirs after it. */
void console_next_listing(struct console *console)
{
    struct error error;

    for (size_t i = 0; i < CONSOLE_CLIENTS && !listing_is_active(console->listing); i++) {
        struct console_client *client = &console->clients[i];
        if (!console_client_waits(client, CONSOLE_WAIT_SESSIONS))
            continue;
        client->begun = true;
        if (listing_begin(console->listing, client->limit, &error))
            return;
        console_client_say(client, '-', "%s", error.text);
        console_client_end(client, 1);
    }
}

void console_on_listing(void *argument)
{
    struct console *console = argument;

    for (size_t i = 0; i < CONSOLE_CLIENTS; i++) {
        struct console_client *client = &console->clients[i];
        char *text = NULL;
        size_t length = 0;
        if (!console_client_waits(client, CONSOLE_WAIT_SESSIONS) || !client->begun)
            continue;
        FILE *out = open_memstream(&text, &length);
        if (out) {
            if (client->as_json)
                console_write_listing(console, out);
            else
                console_print_listing(console, out);
            (void)fclose(out);
            console_client_print(client, text, length);
        }
        free(text);
        int silent = listing_find_silent(console->listing, 0);
        for (int w = silent; w >= 0;
             w = listing_find_silent(console->listing, (unsigned)w + 1))
            console_client_say(client, '-', "worker %d did not answer in time", w);
        console_client_end(client, silent >= 0 || !text ? 1 : 0);
    }
    listing_end(console->listing);
    console_next_listing(console);
}

static void console_print_listing(struct console *console, FILE *out)
{
    struct listing *listing = console->listing;
    struct session_record record;
    unsigned worker = 0;
    uint64_t count = 0;

    session_record_print_heading(out);
    for (; listing_take(listing, &record, &worker); count++)
        session_record_print(out, &record, worker);
    if (count < listing_total(listing))
        (void)fprintf(
            out, "the %" PRIu64 " oldest of %" PRIu64 " sessions; --limit N shows more\n",
            count, listing_total(listing));
    else
        (void)fprintf(out, "%" PRIu64 " session%s\n", count, count == 1 ? "" : "s");
}

static void console_write_listing(struct console *console, FILE *out)
{
    struct json json = {.out = out};
    struct session_record record;
    unsigned worker = 0;

    json_open(&json, NULL, '{');
    json_number(&json, "total", listing_total(console->listing));
    json_open(&json, "sessions", '[');
    while (listing_take(console->listing, &record, &worker))
        session_record_write_json(&json, &record, worker);
    json_close(&json, ']');
    json_close(&json, '}');
    (void)fputc('\n', out);
}

static void verb_reload(struct console *console, struct console_client *client,
                        struct console_request *request)
{
    struct master *master = console->master;

    if (!request_is_done(client, request) || !console_may_wait(console, client))
        return;
    if (console_is_ending(console)) {
        console_client_say(client, '-', "Pawl is stopping, so nothing is reloaded");
        console_client_end(client, 1);
        return;
    }
    log_info("reload asked for on the control socket");
    console_client_wait(client, CONSOLE_WAIT_RELOAD);
    master->reload_wanted = true;
    reload_consider(master);
}

static void verb_stop(struct console *console, struct console_client *client,
                      struct console_request *request)
{
    struct master *master = console->master;
    bool now = console_request_take(request, "now");
    bool waits = !console_request_take(request, "nowait");
    char text[HUMAN_TEXT_MAX];

    if (!request_is_done(client, request) ||
        (waits && !console_may_wait(console, client)))
        return;
    if (!now && master->current)
        console_client_say(
            client, '+', "draining: %" PRIu64 " sessions have up to %s",
            console_count_sessions(console),
            human_duration(master->current->config->limits.drain_timeout_ms, text));
    else
        console_client_say(client, '+', "stopping");
    if (waits)
        console_client_wait(client, CONSOLE_WAIT_STOP);
    else
        console_client_end(client, 0);
    log_info("%s asked for on the control socket", now ? "stop" : "drain");
    if (now)
        master_stop(master, master->current ? 0 : 1);
    else
        master_drain(master);
}

static void verb_upgrade(struct console *console, struct console_client *client,
                         struct console_request *request)
{
    struct error error;

    if (!request_is_done(client, request) || !console_may_wait(console, client))
        return;
    log_info("upgrade asked for on the control socket");
    console_client_wait(client, CONSOLE_WAIT_UPGRADE);
    if (!master_upgrade(console->master, &error)) {
        console_client_say(client, '-', "not upgraded, pawl %s goes on: %s", PAWL_VERSION,
                           error.text);
        console_client_end(client, 1);
    }
}

/* Some places are for those who are answered at once. */
static bool console_may_wait(struct console *console, struct console_client *client)
{
    size_t waiting = 0;

    for (size_t i = 0; i < CONSOLE_CLIENTS; i++) {
        if (console->clients[i].state == CONSOLE_CLIENT_WAITS)
            waiting++;
    }
    if (waiting < CONSOLE_WAITING_MAX)
        return true;
    console_client_say(client, '-', "%zu others wait already; try again", waiting);
    console_client_end(client, 1);
    return false;
}

static bool console_is_ending(const struct console *console)
{
    return console->master->state == MASTER_LAME_DUCK ||
           console->master->state == MASTER_DRAINING ||
           console->master->state == MASTER_STOPPING;
}

static bool request_is_done(struct console_client *client,
                            const struct console_request *request)
{
    struct error error;

    if (console_request_is_done(request, &error))
        return true;
    console_client_say(client, '-', "%s", error.text);
    console_client_end(client, 2);
    return false;
}

static uint64_t console_count_sessions(const struct console *console)
{
    const struct master *master = console->master;
    uint64_t sessions = 0;

    for (size_t i = 0; i < master->process_count; i++) {
        const struct process *process = &master->processes[i];
        if (process->role != &worker_role || process->pid == 0 || !process->stats)
            continue;
        for (size_t state = 0; state < SESSION_STATES; state++)
            sessions += process->stats->sessions[state];
    }
    return sessions;
}
