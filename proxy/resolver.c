#include "proxy/resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <time.h>

#include "proxy/log.h"

enum { RETRY_FIRST_MS = 1000, WORDS_MAX = 1024 };

/* A name is asked about once for backends that may be anywhere and once for those that
 * must be on this machine, since what is a good answer differs. */
struct resolver_host {
    LIST_ENTRY(resolver_host) link;
    uint32_t id;
    char name[ADDRESS_TEXT_MAX];
    bool anywhere;
    bool serves; /* a configuration in service has it */
    bool wanted; /* the one that is prepared, or now begins to serve, does */
    struct resolved addresses;     /* that are in use */
    char cause[ERROR_TEXT_MAX];    /* why the last answer was no good; "" if it was */
    char remote[ADDRESS_TEXT_MAX]; /* of another machine, in the last answer; "" none */
    bool answered;                 /* once at least, be it by silence */
    bool asked;                    /* and not answered yet */
    bool given_up;                 /* on the answer to this one */
    bool troubled;                 /* and the log knows */
    uint64_t asked_ms;
    uint64_t due_ms;
    uint64_t interval_ms;
    uint64_t retry_ms;
};

LIST_HEAD(resolver_hosts, resolver_host);

struct resolver {
    const struct resolver_events *events;
    void *argument;
    struct event *timer; /* owned */
    struct resolver_hosts hosts;
    uint32_t last_id;
};

static struct resolver_host *resolver_find(const struct resolver *resolver,
                                           const struct config_backend *backend,
                                           const struct address *address);
static bool resolver_want(struct resolver *resolver, const struct config_backend *backend,
                          const struct address *address);
static void resolver_on_timer(evutil_socket_t fd, short what, void *argument);
static void resolver_tick(struct resolver *resolver);
static void resolver_tick_host(struct resolver *resolver, struct resolver_host *host,
                               uint64_t now);
static uint64_t resolver_due(const struct resolver_host *host);
static void resolver_take(struct resolver *resolver, struct resolver_host *host,
                          const struct resolved *resolved);
static void resolver_fail(struct resolver_host *host, const char *cause);
static void resolver_log_trouble(struct resolver_host *host);
static void resolver_log_addresses(const struct resolver_host *host);
static uint64_t resolver_now_ms(void);

struct resolver *resolver_new(struct event_base *base,
                              const struct resolver_events *events, void *argument,
                              struct error *error)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (resolver) {
        LIST_INIT(&resolver->hosts);
        resolver->events = events;
        resolver->argument = argument;
        resolver->timer = evtimer_new(base, resolver_on_timer, resolver);
    }
    if (resolver && resolver->timer)
        return resolver;
    (void)error_set(error, "out of memory");
    free(resolver);
    return NULL;
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    while (!LIST_EMPTY(&resolver->hosts)) {
        struct resolver_host *host = LIST_FIRST(&resolver->hosts);
        LIST_REMOVE(host, link);
        free(host);
    }
    event_free(resolver->timer);
    free(resolver);
}

bool resolver_is_needed(const struct config *config)
{
    for (size_t i = 0; i < config->backend_count; i++) {
        const struct address_list *list = &config->backends[i].addresses;
        for (size_t j = 0; j < list->count; j++) {
            if (address_is_name(&list->items[j]))
                return true;
        }
    }
    return false;
}

void resolver_prepare(struct resolver *resolver, const struct config *next,
                      struct report *report)
{
    for (size_t i = 0; i < next->backend_count; i++) {
        const struct config_backend *backend = &next->backends[i];
        for (size_t j = 0; j < backend->addresses.count; j++) {
            const struct address *address = &backend->addresses.items[j];
            if (address_is_name(address) && !resolver_want(resolver, backend, address))
                report_add(report, REPORT_ERROR, next->file, backend->address_line,
                           "backend \"%s\": there is no memory to resolve %s",
                           backend->section.name, address->text);
        }
    }
    resolver_tick(resolver);
}

bool resolver_is_waiting(const struct resolver *resolver)
{
    const struct resolver_host *host;

    LIST_FOREACH (host, &resolver->hosts, link) {
        if (host->wanted && !host->answered)
            return true;
    }
    return false;
}

void resolver_judge(const struct resolver *resolver, const struct config *next,
                    struct report *report)
{
    for (size_t i = 0; i < next->backend_count; i++) {
        const struct config_backend *backend = &next->backends[i];
        for (size_t j = 0; j < backend->addresses.count; j++) {
            const struct address *address = &backend->addresses.items[j];
            const struct resolver_host *host = resolver_find(resolver, backend, address);
            if (host && host->remote[0] != '\0')
                resolver_report_remote(next, backend, address, host->remote, report);
            else if (host && host->answered && host->addresses.count == 0 &&
                     backend->resolve == RESOLVE_REQUIRED)
                resolver_report_failure(next, backend, address, host->cause, report);
        }
    }
}

void resolver_settle(struct resolver *resolver, const struct config *current)
{
    struct resolver_host *host, *following;
    struct report none = {0};

    LIST_FOREACH (host, &resolver->hosts, link) {
        host->wanted = host->serves = false;
        host->interval_ms = UINT64_MAX;
    }
    if (current)
        resolver_prepare(resolver, current, &none);
    report_close(&none);
    for (host = LIST_FIRST(&resolver->hosts); host; host = following) {
        following = LIST_NEXT(host, link);
        host->serves = host->wanted;
        host->wanted = false;
        if (host->serves)
            continue;
        LIST_REMOVE(host, link);
        free(host);
    }
}

void resolver_answer(struct resolver *resolver, uint32_t id,
                     const struct resolved *resolved, const char *cause)
{
    bool waiting = resolver_is_waiting(resolver);
    struct resolver_host *host;

    LIST_FOREACH (host, &resolver->hosts, link) {
        if (host->id == id)
            break;
    }
    /* It may have been forgotten meanwhile, or be an answer to what nobody asked. */
    if (!host || !host->asked)
        return;
    host->asked = false;
    if (resolved)
        resolver_take(resolver, host, resolved);
    else
        resolver_fail(host, cause);
    resolver_tick(resolver);
    if (waiting && !resolver_is_waiting(resolver))
        resolver->events->on_settled(resolver->argument);
}

void resolver_ask_again(struct resolver *resolver)
{
    struct resolver_host *host;

    LIST_FOREACH (host, &resolver->hosts, link) {
        if (host->asked)
            host->due_ms = resolver_now_ms();
        host->asked = false;
    }
    resolver_tick(resolver);
}

bool resolver_collect(const struct resolver *resolver,
                      const struct config_backend *backend, struct resolved *all)
{
    bool named = false;

    *all = (struct resolved){.count = 0};
    memcpy(all->name, backend->section.name,
           strnlen(backend->section.name, sizeof(all->name) - 1));
    for (size_t i = 0; i < backend->addresses.count; i++) {
        const struct address *address = &backend->addresses.items[i];
        const struct resolver_host *host = resolver_find(resolver, backend, address);
        char name[ADDRESS_TEXT_MAX];
        named = named || address_is_name(address);
        if (!host)
            continue;
        uint16_t port = address_split_name(address, name);
        for (uint32_t j = 0; j < host->addresses.count && all->count < RESOLVED_MAX;
             j++) {
            all->items[all->count] = host->addresses.items[j];
            all->items[all->count++].port = port;
        }
    }
    return named;
}

void resolver_report_failure(const struct config *config,
                             const struct config_backend *backend,
                             const struct address *address, const char *cause,
                             struct report *report)
{
    report_add(
        report, backend->resolve == RESOLVE_REQUIRED ? REPORT_ERROR : REPORT_WARNING,
        config->file, backend->address_line, "backend \"%s\": cannot resolve %s: %s%s",
        backend->section.name, address->text, cause,
        backend->resolve == RESOLVE_REQUIRED
            ? " (with resolve = eventually Pawl starts all the same)"
            : "");
}

void resolver_report_remote(const struct config *config,
                            const struct config_backend *backend,
                            const struct address *address, const char *example,
                            struct report *report)
{
    report_add(
        report, REPORT_ERROR, config->file, backend->address_line,
        "backend \"%s\": %s is %s, another machine, and everybody on the way could "
        "read what Pawl has decrypted (if that network is trusted, write "
        "allow_remote_plaintext = yes)",
        backend->section.name, address->text, example);
}

/* NULL also for what is no name. */
static struct resolver_host *resolver_find(const struct resolver *resolver,
                                           const struct config_backend *backend,
                                           const struct address *address)
{
    char name[ADDRESS_TEXT_MAX];
    struct resolver_host *host;

    if (!address_is_name(address))
        return NULL;
    (void)address_split_name(address, name);
    LIST_FOREACH (host, &resolver->hosts, link) {
        if (host->anywhere == backend->allow_remote_plaintext &&
            strcasecmp(host->name, name) == 0)
            return host;
    }
    return NULL;
}

static bool resolver_want(struct resolver *resolver, const struct config_backend *backend,
                          const struct address *address)
{
    struct resolver_host *host = resolver_find(resolver, backend, address);

    if (!host) {
        host = calloc(1, sizeof(*host));
        if (!host)
            return false;
        host->id = ++resolver->last_id;
        host->anywhere = backend->allow_remote_plaintext;
        host->due_ms = host->asked_ms = resolver_now_ms();
        host->interval_ms = UINT64_MAX;
        host->retry_ms = RETRY_FIRST_MS;
        (void)address_split_name(address, host->name);
        LIST_INSERT_HEAD(&resolver->hosts, host, link);
    }
    host->wanted = true;
    if (backend->resolve_interval_ms < host->interval_ms)
        host->interval_ms = backend->resolve_interval_ms;
    return true;
}

static void resolver_on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct resolver *resolver = argument;
    bool waiting = resolver_is_waiting(resolver);

    (void)fd;
    (void)what;
    resolver_tick(resolver);
    if (waiting && !resolver_is_waiting(resolver))
        resolver->events->on_settled(resolver->argument);
}

/* Does what is due, and sets the timer for what is due next. */
static void resolver_tick(struct resolver *resolver)
{
    uint64_t now = resolver_now_ms();
    uint64_t next = UINT64_MAX;
    struct resolver_host *host;

    LIST_FOREACH (host, &resolver->hosts, link) {
        resolver_tick_host(resolver, host, now);
        uint64_t due = resolver_due(host);
        next = due < next ? due : next;
    }
    if (next == UINT64_MAX) {
        evtimer_del(resolver->timer);
        return;
    }
    uint64_t left = next > now ? next - now : 0;
    const struct timeval delay = {.tv_sec = (time_t)(left / 1000),
                                  .tv_usec = (suseconds_t)(left % 1000 * 1000)};
    evtimer_add(resolver->timer, &delay);
}

static void resolver_tick_host(struct resolver *resolver, struct resolver_host *host,
                               uint64_t now)
{
    if (host->asked && now >= host->asked_ms + RESOLVER_HANG_MS) {
        host->asked = false;
        host->due_ms = now + host->retry_ms;
        resolver->events->on_hang(resolver->argument);
    } else if (host->asked && !host->given_up &&
               now >= host->asked_ms + RESOLVER_PATIENCE_MS) {
        host->given_up = true;
        resolver_fail(host, "no answer within 5s");
    }
    if (host->asked || now < host->due_ms)
        return;
    if (resolver->events->ask(resolver->argument, host->id, host->name)) {
        host->asked = true;
        host->given_up = false;
        host->asked_ms = now;
    } else {
        host->due_ms = now + RETRY_FIRST_MS;
        if (!host->answered && now >= host->asked_ms + RESOLVER_PATIENCE_MS)
            resolver_fail(host, "the resolver does not run");
    }
}

static uint64_t resolver_due(const struct resolver_host *host)
{
    if (!host->asked)
        return host->due_ms;
    return host->asked_ms + (host->given_up ? RESOLVER_HANG_MS : RESOLVER_PATIENCE_MS);
}

static void resolver_take(struct resolver *resolver, struct resolver_host *host,
                          const struct resolved *resolved)
{
    struct resolved fresh = *resolved;
    char cause[ERROR_TEXT_MAX];

    host->remote[0] = '\0';
    for (uint32_t i = 0; i < fresh.count; i++)
        fresh.items[i].port = 0;
    resolved_normalise(&fresh);
    if (!host->anywhere)
        (void)resolved_keep_local(&fresh, host->remote);
    if (host->remote[0] != '\0')
        (void)snprintf(cause, sizeof(cause), "it is %s, another machine", host->remote);
    if (fresh.count == 0) {
        resolver_fail(host, host->remote[0] != '\0'
                                ? cause
                                : "it has no address that can be connected to");
        return;
    }
    host->answered = true;
    host->due_ms = resolver_now_ms() + host->interval_ms;
    host->retry_ms = RETRY_FIRST_MS;
    bool changed = !resolved_equal(&fresh, &host->addresses);
    host->addresses = fresh;
    (void)snprintf(host->cause, sizeof(host->cause), "%s",
                   host->remote[0] != '\0' ? cause : "");
    resolver_log_trouble(host);
    if (!changed)
        return;
    if (host->serves)
        resolver_log_addresses(host);
    resolver->events->on_change(resolver->argument);
}

static void resolver_fail(struct resolver_host *host, const char *cause)
{
    host->answered = true;
    (void)snprintf(host->cause, sizeof(host->cause), "%s", cause);
    host->retry_ms =
        host->retry_ms < host->interval_ms ? host->retry_ms : host->interval_ms;
    host->due_ms = resolver_now_ms() + host->retry_ms;
    host->retry_ms *= 2;
    resolver_log_trouble(host);
}

/* One line when it begins, one when it is over. */
static void resolver_log_trouble(struct resolver_host *host)
{
    bool troubled = host->cause[0] != '\0';

    if (!host->serves || troubled == host->troubled)
        return;
    host->troubled = troubled;
    if (!troubled)
        log_info("host \"%s\" resolves again", host->name);
    else if (host->remote[0] != '\0')
        log_error("host \"%s\": %s, and allow_remote_plaintext is not set; that address "
                  "is not used",
                  host->name, host->cause);
    else
        log_warning("cannot resolve \"%s\": %s; %s", host->name, host->cause,
                    host->addresses.count > 0 ? "its addresses stay as they were"
                                              : "it has no address so far");
}

static void resolver_log_addresses(const struct resolver_host *host)
{
    char words[WORDS_MAX];
    struct log_line line;

    resolved_words(&host->addresses, words, sizeof(words));
    log_begin(&line, LOG_LEVEL_INFO, "addresses of a host have changed");
    log_text(&line, "host", host->name);
    log_text(&line, "addresses", words);
    log_end(&line);
}

static uint64_t resolver_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
