#include "proxy/check.h"

#include <stdio.h>

#include "certs/keyholder.h"
#include "config/bundle.h"
#include "proxy/cli.h"
#include "proxy/generation.h"
#include "proxy/log_target.h"
#include "proxy/resolver.h"
#include "proxy/sandbox.h"
#include "proxy/snapshot.h"

static void check_generation(const struct generation *generation, struct report *report);
static void check_roles(const struct generation *generation, struct report *report);
static void check_name(const struct config *config, const struct config_backend *backend,
                       const struct address *address, struct report *report);
static void check_keys(const struct config *config, const struct bundle *chains,
                       const struct bundle *keys, struct report *report);
static void check_print(const struct report *report);

int check_run(const char *file)
{
    const struct source source = {.file = file, .demo_fd = -1};
    struct report report = {0};

    struct generation *generation = generation_capture(&source, 1, &report);
    if (generation)
        check_generation(generation, &report);
    check_print(&report);
    size_t errors = report.errors + report.faults;
    if (errors == 0)
        printf("%s: fine: %zu listeners, %zu certificates, %zu backends, %u workers\n",
               file, generation->config->listener_count,
               generation->config->certificate_count, generation->config->backend_count,
               config_worker_count(generation->config));
    else
        fprintf(stderr, "%s: %zu error%s\n", file, errors, errors == 1 ? "" : "s");
    generation_free(generation);
    report_close(&report);
    return errors == 0 ? EXIT_FINE : EXIT_FAILED;
}

static void check_generation(const struct generation *generation, struct report *report)
{
    const struct config *config = generation->config;
    struct identity identity;
    struct error error;

    if (!config || generation->bundle_fd < 0)
        return;
    if (!sandbox_identity(config->proxy.user, &identity, &error))
        report_add(report, REPORT_ERROR, config->file, config->proxy.user_line, "%s",
                   error.text);
    log_target_check(config, report);
    check_roles(generation, report);
    for (size_t i = 0; i < config->backend_count; i++) {
        const struct config_backend *backend = &config->backends[i];
        for (size_t j = 0; j < backend->addresses.count; j++) {
            if (address_is_name(&backend->addresses.items[j]))
                check_name(config, backend, &backend->addresses.items[j], report);
        }
    }
}

/* What resolver and master do with a name, done here and waited for. */
static void check_name(const struct config *config, const struct config_backend *backend,
                       const struct address *address, struct report *report)
{
    char host[ADDRESS_TEXT_MAX], remote[ADDRESS_TEXT_MAX];
    struct resolved resolved;
    struct error error;

    (void)address_split_name(address, host);
    if (!resolved_look_up(host, &resolved, &error))
        resolver_report_failure(config, backend, address, error.text, report);
    else if (!backend->allow_remote_plaintext &&
             resolved_keep_local(&resolved, remote) > 0)
        resolver_report_remote(config, backend, address, remote, report);
}

/* What workers and keyholders do with it, done here. */
static void check_roles(const struct generation *generation, struct report *report)
{
    struct bundle *keys = NULL;
    struct error error;

    if (wolfSSL_Init() != WOLFSSL_SUCCESS) {
        report_add(report, REPORT_ERROR, NULL, 0, "wolfSSL does not start");
        return;
    }
    struct bundle *chains = bundle_open(generation->bundle_fd, &error);
    if (chains)
        keys = bundle_open(generation->keys_fd, &error);
    if (keys) {
        struct config *config = config_read_bundle(chains, report);
        if (config)
            snapshot_release(snapshot_new(config, chains, NULL, report));
        check_keys(generation->config, chains, keys, report);
    } else {
        report_add(report, REPORT_ERROR, NULL, 0, "%s", error.text);
    }
    bundle_close(keys);
    bundle_close(chains);
    wolfSSL_Cleanup();
}

static void check_keys(const struct config *config, const struct bundle *chains,
                       const struct bundle *keys, struct report *report)
{
    struct error error;
    struct keyholder *keyholder = NULL;
    struct event_base *base = event_base_new();

    if (base)
        keyholder = keyholder_new(base, &error);
    else
        (void)error_set(&error, "cannot make an event loop");
    if (keyholder)
        (void)keyholder_prepare(keyholder, config, chains, keys, report);
    else
        report_add(report, REPORT_ERROR, NULL, 0, "%s", error.text);
    keyholder_free(keyholder);
    if (base)
        event_base_free(base);
}

static void check_print(const struct report *report)
{
    for (size_t i = 0; i < report->count; i++)
        fprintf(stderr, "%s%s\n",
                report->entries[i].level == REPORT_WARNING ? "warning: " : "",
                report->entries[i].text);
    if (report->dropped > 0)
        fprintf(stderr, "and %zu more\n", report->dropped);
}
