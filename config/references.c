#include "config/references.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "config/names.h"

struct references {
    struct config *config; /* borrowed */
    struct report *report; /* borrowed */
    struct names listeners;
    struct names certificates;
    struct names backends;
    struct names clients;
    struct names routes;
};

/* One name of a route, for finding another route that has it. */
struct route_name {
    const char *name;
    const struct config_route *route;
};

static bool open_names(struct references *references);
static void resolve_listener(struct references *references,
                             struct config_listener *listener);
static void resolve_route(struct references *references, struct config_route *route);
static void check_backends(struct references *references,
                           const struct config_listener *listener);
static bool check_route_names(struct references *references);
static void check_route_name(struct references *references, void **tree,
                             const struct route_name *place);
static void check_clients(struct references *references,
                          const struct config_clients *clients);
static int route_name_compare(const void *a, const void *b);
static void keep(void *node);

#define REFERENCE_ERROR(references, line, ...)                                           \
    report_add((references)->report, REPORT_ERROR, (references)->config->file, line,     \
               __VA_ARGS__)

bool check_references(struct config *config, struct report *report)
{
    struct references references = {.config = config, .report = report};
    bool ok = open_names(&references);
    for (size_t i = 0; ok && i < config->listener_count; i++) {
        resolve_listener(&references, &config->listeners[i]);
    }
    for (size_t i = 0; ok && i < config->route_count; i++) {
        resolve_route(&references, &config->routes[i]);
    }
    for (size_t i = 0; ok && i < config->listener_count; i++) {
        check_backends(&references, &config->listeners[i]);
    }
    ok = ok && check_route_names(&references);
    for (size_t i = 0; ok && i < config->clients_count; i++) {
        check_clients(&references, &config->clients[i]);
    }
    names_close(&references.listeners);
    names_close(&references.certificates);
    names_close(&references.backends);
    names_close(&references.clients);
    names_close(&references.routes);
    return ok;
}

#define NAMES(array, length, title)                                                      \
    (struct names)                                                                       \
    {                                                                                    \
        .word = (title), .items = (array), .count = (length),                            \
        .item_size = sizeof(*(array))                                                    \
    }

static bool open_names(struct references *references)
{
    struct config *config = references->config;
    struct report *report = references->report;
    references->listeners = NAMES(config->listeners, config->listener_count, "listener");
    references->certificates =
        NAMES(config->certificates, config->certificate_count, "certificate");
    references->backends = NAMES(config->backends, config->backend_count, "backend");
    references->clients = NAMES(config->clients, config->clients_count, "clients");
    references->routes = NAMES(config->routes, config->route_count, "route");
    return names_open(&references->listeners, config, report) &&
           names_open(&references->certificates, config, report) &&
           names_open(&references->backends, config, report) &&
           names_open(&references->clients, config, report) &&
           names_open(&references->routes, config, report);
}

static const void *find(struct references *references, const struct names *names,
                        const struct reference *reference)
{
    if (reference->name == NULL) {
        return NULL;
    }
    return names_find(names, references->config, reference, references->report);
}

static void resolve_listener(struct references *references,
                             struct config_listener *listener)
{
    const struct config *config = references->config;
    listener->clients =
        find(references, &references->clients,
             &(struct reference){"listener", &listener->section, listener->clients_line,
                                 listener->clients_name});
    listener->backend =
        find(references, &references->backends,
             &(struct reference){"listener", &listener->section, listener->backend_line,
                                 listener->backend_name});
    if (listener->backend_line == 0 && config->backend_count == 1) {
        listener->backend = config->backends;
    }
}

static void resolve_route(struct references *references, struct config_route *route)
{
    route->listener =
        find(references, &references->listeners,
             &(struct reference){"route", &route->section, route->listener_line,
                                 route->listener_name});
    route->backend = find(references, &references->backends,
                          &(struct reference){"route", &route->section,
                                              route->backend_line, route->backend_name});
    route->clients = find(references, &references->clients,
                          &(struct reference){"route", &route->section,
                                              route->clients_line, route->clients_name});
    for (size_t i = 0; i < route->certificates.count; i++) {
        (void)find(references, &references->certificates,
                   &(struct reference){"route", &route->section, route->certificates_line,
                                       route->certificates.items[i]});
    }
}

/* A listener without a backend serves its routes only; each of them needs one. */
static void check_backends(struct references *references,
                           const struct config_listener *listener)
{
    const struct config *config = references->config;
    bool routed = false;
    if (listener->backend != NULL || listener->backend_line != 0) {
        return;
    }
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        const bool applies = route->listener_name == NULL || route->listener == listener;
        routed = routed || applies;
        if (applies && route->backend_line == 0 && config->backend_count > 1) {
            REFERENCE_ERROR(
                references, route->section.line,
                "route \"%s\": neither it nor listener \"%s\" names a backend "
                "(choose one: backend = %s)",
                route->section.name, listener->section.name,
                config->backends[0].section.name);
        }
    }
    if (!routed && config->backend_count > 1) {
        REFERENCE_ERROR(
            references, listener->section.line,
            "listener \"%s\": there are several backends (choose one: backend = %s)",
            listener->section.name, config->backends[0].section.name);
    }
}

/* Of two routes for the same clients the second would never be taken. */
static bool check_route_names(struct references *references)
{
    const struct config *config = references->config;
    size_t count = 0;
    for (size_t i = 0; i < config->route_count; i++) {
        count += config->routes[i].sni.count + 1;
    }
    struct route_name *places = calloc(count + 1, sizeof(*places));
    if (places == NULL) {
        return false;
    }
    void *tree = NULL;
    struct route_name *place = places;
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->alpn.count > 0) {
            continue;
        }
        if (route->sni_line == 0) {
            *place = (struct route_name){"", route};
            check_route_name(references, &tree, place++);
        }
        for (size_t j = 0; j < route->sni.count; j++) {
            *place = (struct route_name){route->sni.items[j], route};
            check_route_name(references, &tree, place++);
        }
    }
    tdestroy(tree, keep);
    free(places);
    return true;
}

static void check_route_name(struct references *references, void **tree,
                             const struct route_name *place)
{
    const struct route_name *const *node = tsearch(place, tree, route_name_compare);
    if (node == NULL || *node == place) {
        return; /* without memory the route is merely not compared */
    }
    const struct config_route *first = (*node)->route;
    REFERENCE_ERROR(
        references,
        place->route->sni_line != 0 ? place->route->sni_line : place->route->section.line,
        "route \"%s\": %s%s%s is already routed by route \"%s\" in line %u",
        place->route->section.name, place->name[0] != '\0' ? "\"" : "",
        place->name[0] != '\0' ? place->name : "every name",
        place->name[0] != '\0' ? "\"" : "", first->section.name, first->section.line);
}

/* Somebody who wrote a policy believes that it guards something. */
static void check_clients(struct references *references,
                          const struct config_clients *clients)
{
    const struct config *config = references->config;
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].clients == clients) {
            return;
        }
    }
    for (size_t i = 0; i < config->route_count; i++) {
        if (config->routes[i].clients == clients) {
            return;
        }
    }
    report_add(references->report, REPORT_WARNING, config->file, clients->section.line,
               "clients \"%s\": no listener and no route names this policy, so it guards "
               "nothing",
               clients->section.name);
}

static int route_name_compare(const void *a, const void *b)
{
    const struct route_name *left = a;
    const struct route_name *right = b;
    const char *const left_listener =
        left->route->listener_name != NULL ? left->route->listener_name : "";
    const char *const right_listener =
        right->route->listener_name != NULL ? right->route->listener_name : "";
    const int order = strcmp(left->name, right->name);
    return order != 0 ? order : strcmp(left_listener, right_listener);
}

/* The tree only borrows what it orders. */
static void keep(void *node)
{
    (void)node;
}
