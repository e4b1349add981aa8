/*
 * A configuration in two phases: every process builds it aside and answers; only if all
 * are ready, and the master found nothing wrong itself, is it committed everywhere.  The
 * first configuration takes the same way.
 */
#include <string.h>

#include "proxy/log.h"
#include "proxy/master.h"

static void reload_check_identity(struct master *master);
static void reload_check_fixed(struct master *master);
static void reload_start_fleet(struct master *master);
static void reload_conclude(struct master *master);
static void reload_accept(struct master *master);
static void reload_refuse(struct master *master);
static void reload_log_findings(const struct master *master);
static size_t reload_address_count(const struct config *config);

void reload_begin(struct master *master)
{
    bool first = !master->current;

    master->reload_wanted = false;
    master->state = first ? MASTER_STARTING : MASTER_RELOADING;
    master->next =
        generation_capture(master->source, ++master->last_generation, &master->report);
    if (!master->next || master->next->bundle_fd < 0) {
        reload_conclude(master);
        return;
    }
    if (first) {
        reload_start_fleet(master);
        return;
    }
    reload_check_fixed(master);
    sockets_prepare(&master->sockets, master->next->config, &master->report);
    fleet_prepare(master);
    reload_consider(master);
}

void reload_consider(struct master *master)
{
    switch (master->state) {
    case MASTER_STARTING:
    case MASTER_RELOADING:
        if (master->next && !fleet_is_preparing(master))
            reload_conclude(master);
        return;
    case MASTER_SERVING:
        if (master->reload_wanted && !fleet_is_preparing(master))
            reload_begin(master);
        return;
    case MASTER_DRAINING:
    case MASTER_STOPPING:
        return;
    }
}

void reload_give_up(struct master *master)
{
    if (master->next &&
        (master->state == MASTER_STARTING || master->state == MASTER_RELOADING))
        reload_conclude(master);
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
        report_add(&master->report, REPORT_ERROR, config->file,
                   config->proxy.section.line,
                   "workers would change from %u to %u, which needs a restart",
                   master->worker_count, workers);
    if (strcmp(old->user, config->proxy.user) != 0)
        report_add(&master->report, REPORT_ERROR, config->file, config->proxy.user_line,
                   "user would change from \"%s\" to \"%s\", which needs a restart",
                   old->user, config->proxy.user);
}

/* Even for a configuration that cannot be served one of each role is started, as long as
 * it can be handed over: they know what is wrong with certificates and keys. */
static void reload_start_fleet(struct master *master)
{
    const struct config *config = master->next->config;
    struct error error;

    log_configure(config->log.level, config->log.format);
    reload_check_identity(master);
    master->sockets.workers = config_worker_count(config);
    sockets_prepare(&master->sockets, config, &master->report);
    bool hopeless = master->report.errors > 0;
    if (!fleet_start(master, hopeless ? 1 : master->sockets.workers, &error)) {
        report_add(&master->report, REPORT_ERROR, NULL, 0, "%s", error.text);
        reload_conclude(master);
        return;
    }
    fleet_prepare(master);
    reload_consider(master);
}

static void reload_conclude(struct master *master)
{
    reload_log_findings(master);
    if (master->report.errors == 0)
        reload_accept(master);
    else
        reload_refuse(master);
    report_close(&master->report);
    master->report = (struct report){0};
    reload_consider(master);
}

static void reload_accept(struct master *master)
{
    bool first = !master->current;
    const struct config *config = master->next->config;
    struct log_line line;

    window_follow(master, &config->tls);
    fleet_commit(master);
    sockets_commit(&master->sockets);
    generation_free(master->current);
    master->current = master->next;
    master->next = NULL;
    master->state = MASTER_SERVING;
    log_configure(config->log.level, config->log.format);

    log_begin(&line, LOG_LEVEL_INFO, first ? "ready" : "reloaded");
    log_number(&line, "generation", master->current->number);
    log_number(&line, "listeners", config->listener_count);
    log_number(&line, "addresses", reload_address_count(config));
    log_number(&line, "certificates", config->certificate_count);
    log_number(&line, "workers", master->worker_count);
    log_end(&line);
    if (first && master->on_ready)
        master->on_ready(master->on_ready_argument);
}

static void reload_refuse(struct master *master)
{
    size_t errors = master->report.errors;

    fleet_abort(master);
    sockets_abort(&master->sockets);
    generation_free(master->next);
    master->next = NULL;
    if (master->current) {
        master->state = MASTER_SERVING;
        log_error("reload refused, the configuration in service stays (errors=%zu)",
                  errors);
        return;
    }
    log_error("not started (errors=%zu)", errors);
    master_stop(master, 1);
}

static void reload_log_findings(const struct master *master)
{
    const struct report *report = &master->report;

    for (size_t i = 0; i < report->count; i++) {
        if (report->entries[i].level == REPORT_ERROR)
            log_error("%s", report->entries[i].text);
        else
            log_warning("%s", report->entries[i].text);
    }
    if (report->dropped > 0)
        log_warning("and %zu more findings", report->dropped);
}

static size_t reload_address_count(const struct config *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config->listener_count; i++)
        count += config->listeners[i].addresses.count;
    return count;
}
