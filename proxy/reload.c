/*
 * A configuration in two phases: every process builds it aside and answers; only if all
 * are ready, and the master found nothing wrong itself, is it committed everywhere.  The
 * first configuration takes the same way, and so do certificates whose files changed.
 */
#include <string.h>

#include "proxy/log.h"
#include "proxy/master.h"

enum { REDUCTIONS_MAX = 3 };

static void reload_begin_renewal(struct master *master);
static void reload_follow_files(struct master *master);
static void reload_capture(struct master *master, const struct source *source);
static void reload_prepare(struct master *master);
static bool reload_reduce(struct master *master);
static bool reload_is_refused(const struct master *master);
static void reload_drop(struct master *master);
static void reload_check_identity(struct master *master);
static void reload_check_fixed(struct master *master);
static void reload_start_fleet(struct master *master);
static void reload_conclude(struct master *master);
static void reload_accept(struct master *master);
static void reload_refuse(struct master *master);
static const char *reload_first_error(const struct master *master);
static void reload_log_findings(const struct master *master);
static bool reload_was_logged(const struct master *master, const char *text);
static size_t reload_address_count(const struct config *config);

void reload_begin(struct master *master)
{
    master->reload_wanted = false;
    master->renewal_wanted = false; /* it is part of it */
    master->renewing = false;
    struct source source = *master->source;
    source.older = master->current ? master->current->config : NULL;
    console_on_reload_begun(master->console);
    reload_capture(master, &source);
}

void reload_on_change(void *argument)
{
    struct master *master = argument;

    master->renewal_wanted = true;
    reload_consider(master);
}

/* The text is that of the configuration in service: one that was edited since waits for
 * its reload. */
static void reload_begin_renewal(struct master *master)
{
    const struct source source = {.file = master->source->file,
                                  .text = master->current->text,
                                  .older = master->current->config,
                                  .demo_fd = -1};

    master->renewal_wanted = false;
    master->renewing = true;
    reload_capture(master, &source);
}

void reload_consider(struct master *master)
{
    if (upgrade_is_pending(master) && master->state == MASTER_SERVING) {
        upgrade_consider(master);
        return;
    }
    switch (master->state) {
    case MASTER_STARTING:
    case MASTER_RELOADING:
        if (master->next && !fleet_is_preparing(master) &&
            !resolver_is_waiting(master->resolver))
            reload_conclude(master);
        return;
    case MASTER_SERVING:
        if (master->reload_wanted && !fleet_is_preparing(master))
            reload_begin(master);
        else if (master->renewal_wanted && !fleet_is_preparing(master))
            reload_begin_renewal(master);
        return;
    case MASTER_LAME_DUCK:
    case MASTER_DRAINING:
    case MASTER_STOPPING:
        return;
    }
}

void reload_forget(struct master *master)
{
    if (master->next)
        reload_drop(master);
}

void reload_give_up(struct master *master)
{
    if (master->next &&
        (master->state == MASTER_STARTING || master->state == MASTER_RELOADING))
        reload_conclude(master);
}

static void reload_capture(struct master *master, const struct source *source)
{
    bool first = !master->current;

    ledger_note_state(master, first ? MASTER_STARTING : MASTER_RELOADING);
    if (!first && !master->renewing)
        notify_reloading(&master->notify, "reloading");
    master->reductions = 0;
    master->next = generation_capture(source, ++master->last_generation, &master->report);
    if (!master->next || master->next->bundle_fd < 0) {
        reload_conclude(master);
        return;
    }
    /* Whoever tries reads lines of text. */
    if (master->trial) {
        master->next->config->log.format = LOG_FORMAT_TEXT;
        master->next->config->log.target = LOG_PLACE_STDERR;
    }
    log_target_prepare(master);
    if (first) {
        reload_start_fleet(master);
        return;
    }
    reload_check_fixed(master);
    sockets_prepare(&master->sockets, master->next->config, &master->report);
    console_prepare(master->console, master->next->config, &master->report);
    admin_sockets_prepare(&master->admin_sockets, master->next->config, &master->report);
    reload_prepare(master);
}

static void reload_prepare(struct master *master)
{
    master->served = master->next->offered;
    fleet_prepare(master);
    /* What is known of names already stands; the others are asked about meanwhile. */
    resolver_prepare(master->resolver, master->next->config, &master->report);
    reload_consider(master);
}

static void reload_check_identity(struct master *master)
{
    const struct config *config = master->next->config;
    struct error error;

    if (!sandbox_identity(config->proxy.user, &master->identity, &error))
        report_add(&master->report, REPORT_ERROR, config->file, config->proxy.user_line,
                   "%s", error.text);
}

/* What cannot change under running processes is refused, not half applied. */
static void reload_check_fixed(struct master *master)
{
    const struct config_proxy *old = &master->current->config->proxy;
    const struct config *config = master->next->config;
    unsigned workers = config_worker_count(config);

    /* What `auto` meant when Pawl started, it means until it ends. */
    if (config->proxy.workers != old->workers && workers != master->worker_count)
        report_add(
            &master->report, REPORT_ERROR, config->file, config->proxy.section.line,
            "workers would change from %u to %u, which needs an upgrade or a restart",
            master->worker_count, workers);
    if (strcmp(old->user, config->proxy.user) != 0)
        report_add(&master->report, REPORT_ERROR, config->file, config->proxy.user_line,
                   "user would change from \"%s\" to \"%s\", which needs an upgrade or a "
                   "restart",
                   old->user, config->proxy.user);
    if (config_may_lack(master->current->config) != config_may_lack(config))
        report_add(&master->report, REPORT_ERROR, config->file,
                   config->proxy.unsafe_without_line,
                   "unsafe_without would change, which needs a restart");
}

/* Even for a configuration that cannot be served one of each role is started, as long as
 * it can be handed over: they know what is wrong with certificates and keys. */
static void reload_start_fleet(struct master *master)
{
    const struct config *config = master->next->config;
    struct error error;

    reload_check_identity(master);
    master->sockets.workers = config_worker_count(config);
    if (!master->trial) {
        sockets_prepare(&master->sockets, config, &master->report);
        console_prepare(master->console, config, &master->report);
        admin_sockets_prepare(&master->admin_sockets, config, &master->report);
    }
    bool hopeless = master->report.errors > 0;
    if (!fleet_start(master, hopeless ? 1 : master->sockets.workers, &error)) {
        report_add(&master->report, REPORT_ERROR, NULL, 0, "%s", error.text);
        reload_conclude(master);
        return;
    }
    reload_prepare(master);
}

static void reload_conclude(struct master *master)
{
    if (master->next && master->next->config)
        resolver_judge(master->resolver, master->next->config, &master->report);
    if (!reload_is_refused(master) && reload_reduce(master))
        return;
    reload_log_findings(master);
    if (master->renewing || !reload_is_refused(master))
        reload_follow_files(master);
    bool refused = reload_is_refused(master);
    if (refused)
        reload_refuse(master);
    else if (master->renewing && generation_is_same(master->next, master->current))
        reload_drop(master);
    else
        reload_accept(master);
    if (!master->renewing)
        console_on_reload_ended(master->console, &master->report, refused);
    report_close(&master->last_report);
    master->last_report = master->report;
    master->report = (struct report){0};
    reload_consider(master);
}

/* Also where nothing of `next` will be served: it knows best where files may appear. */
static void reload_follow_files(struct master *master)
{
    struct generation *next = master->next;
    struct file_list none = {0};

    if (!next)
        return;
    if (next->config && next->config->proxy.watch)
        watch_follow(master->watch, &next->files, next->files_state,
                     master->report.errors + master->report.faults == 0);
    else
        watch_follow(master->watch, &none, 0, true);
}

static bool reload_is_refused(const struct master *master)
{
    return master->report.errors > 0 ||
           (master->next->config->proxy.strict && master->report.faults > 0);
}

/* Returns whether fewer certificates than were offered are being prepared now. */
static bool reload_reduce(struct master *master)
{
    struct generation *next = master->next;
    struct error error;

    /* At first, what could not even be offered may be kept as it was. */
    bool is_lacking = master->reductions == 0 && master->current &&
                      cert_set_count(&next->offered) < next->config->certificate_count;
    if (!is_lacking && cert_set_equal(&master->served, &next->offered))
        return false;
    if (master->reductions++ == REDUCTIONS_MAX) {
        report_add(&master->report, REPORT_ERROR, NULL, 0,
                   "the processes do not agree on the certificates that can be served");
        return false;
    }
    bool hopeless = cert_set_count(&master->served) == 0 && !master->renewing;
    if (hopeless || !generation_reduce(next, &master->served, master->current, &error)) {
        report_add(&master->report, REPORT_ERROR, NULL, 0, "%s",
                   hopeless ? "there is no certificate that can be served" : error.text);
        return false;
    }
    fleet_abort(master);
    /* Half of a new pair, for example: all that would be served is in service. */
    if (master->renewing && generation_is_same(next, master->current))
        return false;
    reload_prepare(master);
    return true;
}

static void reload_accept(struct master *master)
{
    bool first = !master->current;
    const struct config *config = master->next->config;
    struct log_line line;
    struct error error;

    if (master->trial) {
        trial_pass(stdout);
        master_stop(master, 0);
        return;
    }
    if (first && !sockets_begin(&master->sockets, &error))
        log_error("%s", error.text);
    window_follow(master, &config->tls);
    takeover_carry_counters(master);
    if (!first)
        sockets_retire(&master->sockets);
    generation_free(master->current);
    master->current = master->next;
    master->next = NULL;
    ledger_note_state(master, MASTER_SERVING);
    ledger_note_accepted(master);
    log_target_commit(master);
    resolver_settle(master->resolver, master->current->config);
    resolve_send_all(master, master->current->config);
    fleet_commit(master);
    sockets_commit(&master->sockets);
    admin_sockets_commit(&master->admin_sockets);
    console_commit(master->console);
    fleet_settle(master);

    log_begin(&line, LOG_LEVEL_INFO,
              first              ? "ready"
              : master->renewing ? "certificates reloaded"
                                 : "reloaded");
    log_number(&line, "generation", master->current->number);
    log_number(&line, "listeners", config->listener_count);
    log_number(&line, "addresses", reload_address_count(config));
    size_t offered = cert_set_count(&master->current->offered);
    log_number(&line, "certificates", offered);
    if (master->current->kept > 0)
        log_number(&line, "certificates_kept", master->current->kept);
    if (offered < config->certificate_count)
        log_number(&line, "certificates_left_out", config->certificate_count - offered);
    log_number(&line, "workers", master->worker_count);
    log_end(&line);
    if (first)
        log_target_started(master);
    if (first || !master->renewing)
        master_notify_ready(master);
    if (first && master->on_ready)
        master->on_ready(master->on_ready_argument);
    takeover_finish(master);
}

static void reload_refuse(struct master *master)
{
    size_t errors = master->report.errors + master->report.faults;

    ledger_note_result(master, RELOAD_REFUSED, &master->report);
    reload_drop(master);
    if (master->current) {
        if (!master->renewing) {
            log_error("reload refused, the configuration in service stays (errors=%zu)",
                      errors);
            master_notify_ready(master);
        }
        return;
    }
    if (takeover_go_back(master, reload_first_error(master)))
        return;
    log_error("not started (errors=%zu)", errors);
    master_stop(master, 1);
}

static const char *reload_first_error(const struct master *master)
{
    const struct report *report = &master->report;

    for (size_t i = 0; i < report->count; i++) {
        if (report->entries[i].level != REPORT_WARNING)
            return report->entries[i].text;
    }
    return "the configuration is refused";
}

/* Nothing of `next` goes into service. */
static void reload_drop(struct master *master)
{
    fleet_abort(master);
    sockets_abort(&master->sockets);
    console_abort(master->console);
    admin_sockets_abort(&master->admin_sockets);
    generation_free(master->next);
    master->next = NULL;
    resolver_settle(master->resolver, master->current ? master->current->config : NULL);
    fleet_settle(master);
    if (master->current)
        ledger_note_state(master, MASTER_SERVING);
    if (master->renewing)
        log_debug("files were read again; the certificates in service stay");
}

/* Files are looked at again and again until they fit; what is found in them is said once.
 */
static void reload_log_findings(const struct master *master)
{
    const struct report *report = &master->report;
    const char *outcome =
        master->renewing ? "; what is in service stays until it is right" : "";

    for (size_t i = 0; i < report->count; i++) {
        const struct report_entry *entry = &report->entries[i];
        if (master->renewing && reload_was_logged(master, entry->text))
            continue;
        if (entry->level == REPORT_WARNING)
            log_warning("%s", entry->text);
        else
            log_error("%s%s", entry->text, outcome);
    }
    if (report->dropped > 0 && !master->renewing)
        log_warning("and %zu more findings", report->dropped);
}

static bool reload_was_logged(const struct master *master, const char *text)
{
    const struct report *last = &master->last_report;

    for (size_t i = 0; i < last->count; i++) {
        if (strcmp(last->entries[i].text, text) == 0)
            return true;
    }
    return false;
}

static size_t reload_address_count(const struct config *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config->listener_count; i++)
        count += config->listeners[i].addresses.count;
    return count;
}
