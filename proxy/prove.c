#include "proxy/prove.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/cli.h"
#include "proxy/own_config.h"
#include "proxy/prove_instance.h"
#include "proxy/prove_parts.h"
#include "proxy/prove_session.h"

/* What any client can ask any server, in the order of the report.  What only the instance
 * itself can tell is prove_instance.c. */
static void (*const server_parts[])(struct prove *) = {
    prove_judge_suites, prove_offer_groups, prove_offer_rest,   prove_renegotiate,
    prove_resume_tls13, prove_resume_tls12, prove_chain_report,
};

static bool find_address(const struct prove_options *options, char text[ADDRESS_TEXT_MAX],
                         struct error *error);
static int ask(struct prove *prove, const struct prove_options *options);
static int fail(const struct prove_options *options, const char *host,
                const struct error *error);
static void prove_free(struct prove *prove);

int prove_run(const struct prove_options *options)
{
    struct error error = {.text = ""};
    char address[ADDRESS_TEXT_MAX];
    const char *host = options->host;

    if (!host) {
        if (!find_address(options, address, &error))
            return fail(options, "", &error);
        host = address;
    }
    struct prove *prove = calloc(1, sizeof *prove);
    if (!prove || wolfSSL_Init() != WOLFSSL_SUCCESS) {
        free(prove);
        (void)error_set(&error, "cannot start the TLS library");
        return fail(options, host, &error);
    }
    int code = EXIT_FAILED;
    if (prove_target_read(&prove->target, host, &error))
        code = ask(prove, options);
    else
        code = fail(options, host, &error);
    prove_free(prove);
    wolfSSL_Cleanup();
    return code;
}

/* What was not tested must not pass for clean. */
static void report_end(struct prove *prove)
{
    struct error error;

    if (prove_target_has_patience(&prove->target, &error))
        return;
    prove_text_add(&prove->evidence, "%s", error.text);
    PROVE_ADD(prove, PROVE_FAIL, "run", "the run was cut short: much was not tested");
}

static int ask(struct prove *prove, const struct prove_options *options)
{
    prove->target.ca = options->ca;
    if (options->name)
        (void)snprintf(prove->target.name, sizeof prove->target.name, "%s",
                       options->name);
    if (prove_scan_versions(prove)) {
        for (size_t i = 0; i < sizeof server_parts / sizeof server_parts[0]; i++)
            server_parts[i](prove);
        if (!options->host)
            prove_instance(prove, options->control, options->file);
    }
    report_end(prove);
    if (options->json)
        prove_report_print_json(&prove->report, &prove->target, stdout);
    else
        prove_report_print(&prove->report, &prove->target, stdout);
    return prove->report.verdicts[PROVE_FAIL] > 0 ? EXIT_FAILED : EXIT_FINE;
}

static int fail(const struct prove_options *options, const char *host,
                const struct error *error)
{
    if (options->json)
        prove_report_print_json_error(host, error, stdout);
    (void)fprintf(stderr, "pawl prove: %s\n", error->text);
    return EXIT_FAILED;
}

static const struct config_listener *find_listener(const struct config *config,
                                                   const char *name)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (!name || strcmp(config->listeners[i].section.name, name) == 0)
            return &config->listeners[i];
    }
    return NULL;
}

/* An address that means all of the machine is reached over the loopback. */
static void reach_address(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
    static const char *const everywhere[] = {"*:", "0.0.0.0:", "[::]:"};

    for (size_t i = 0; i < sizeof everywhere / sizeof everywhere[0]; i++) {
        const size_t length = strlen(everywhere[i]);
        if (strncmp(address->text, everywhere[i], length) == 0) {
            (void)snprintf(text, ADDRESS_TEXT_MAX, "%s:%s",
                           i == 2 ? "[::1]" : "127.0.0.1", address->text + length);
            return;
        }
    }
    (void)snprintf(text, ADDRESS_TEXT_MAX, "%s", address->text);
}

static bool find_address(const struct prove_options *options, char text[ADDRESS_TEXT_MAX],
                         struct error *error)
{
    struct config *config = own_config_read(options->file, error);
    if (!config)
        return false;
    const struct config_listener *listener = find_listener(config, options->listener);
    const bool found = listener && listener->addresses.count > 0;
    if (found && address_activation_name(&listener->addresses.items[0]))
        (void)error_set(error,
                        "%s: where %s listens, the service manager knows; name HOST:PORT",
                        options->file, listener->addresses.items[0].text);
    else if (found)
        reach_address(&listener->addresses.items[0], text);
    else if (options->listener)
        (void)error_set(error, "%s: there is no listener \"%s\" with an address",
                        options->file, options->listener);
    else
        (void)error_set(error, "%s: there is no listener with an address", options->file);
    const bool reachable =
        found && !address_activation_name(&listener->addresses.items[0]);
    config_free(config);
    return reachable;
}

static void prove_free(struct prove *prove)
{
    for (size_t i = 0; i < prove->chain_count; i++)
        prove_answer_close(&prove->chains[i]);
    prove_report_close(&prove->report);
    free(prove);
}
