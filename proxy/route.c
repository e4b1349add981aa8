#include "proxy/route.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/cursor.h"

/* One name of one route.  Sorted by name, then by listener, then in the order of the
 * configuration. */
struct entry {
    const char *name;                       /* borrowed; "": any or none */
    const struct config_listener *listener; /* borrowed; NULL: all */
    const struct config_route *route;
};

struct route_table {
    size_t count;
    struct entry entries[];
};

/* The routes for one name on one listener. */
struct span {
    const struct entry *entries; /* borrowed */
    size_t count;
};

static int compare_keys(const struct entry *a, const struct entry *b);
static int compare_entries(const void *a, const void *b);
static struct span find_closest(const struct route_table *table,
                                const struct config_listener *listener, const char *sni);
static struct span find_name(const struct route_table *table,
                             const struct config_listener *listener, const char *name);
static struct span find_span(const struct route_table *table, const struct entry *key);
static const struct config_route *choose(const struct span *span,
                                         const struct hello *hello);
static const char *find_common(const struct text_list *protocols,
                               const struct hello *hello);
static bool is_offered(const struct hello *hello, const char *protocol);

static const struct text_list no_names;

struct route_table *route_table_new(const struct config *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config->route_count; i++)
        count += config->routes[i].sni.count > 0 ? config->routes[i].sni.count : 1;
    struct route_table *table =
        calloc(1, sizeof(*table) + count * sizeof(table->entries[0]));
    if (!table)
        return NULL;
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->sni.count == 0)
            table->entries[table->count++] = (struct entry){"", route->listener, route};
        for (size_t j = 0; j < route->sni.count; j++)
            table->entries[table->count++] =
                (struct entry){route->sni.items[j], route->listener, route};
    }
    qsort(table->entries, table->count, sizeof(table->entries[0]), compare_entries);
    return table;
}

enum route_result route_find(const struct route_table *table,
                             const struct config_listener *listener,
                             const struct hello *hello, struct route *route)
{
    const struct span span = find_closest(table, listener, hello->sni);
    const struct config_route *chosen = NULL;

    if (span.count > 0) {
        chosen = choose(&span, hello);
        if (!chosen)
            return ROUTE_NO_PROTOCOL;
    }
    *route = (struct route){
        .section = chosen,
        .backend = chosen && chosen->backend ? chosen->backend : listener->backend,
        .clients = chosen && chosen->clients ? chosen->clients : listener->clients,
        .certificates = chosen ? &chosen->certificates : &no_names,
    };
    if (!route->backend)
        return ROUTE_NO_NAME;
    const struct text_list *protocols =
        chosen && chosen->alpn.count > 0 ? &chosen->alpn : &listener->alpn;
    if (protocols->count == 0 || hello->alpn_len == 0)
        return ROUTE_FOUND;
    route->protocol = find_common(protocols, hello);
    return route->protocol ? ROUTE_FOUND : ROUTE_NO_PROTOCOL;
}

void route_table_free(struct route_table *table)
{
    free(table);
}

static int compare_keys(const struct entry *a, const struct entry *b)
{
    int order = strcmp(a->name, b->name);

    if (order != 0)
        return order;
    return (a->listener > b->listener) - (a->listener < b->listener);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    int order = compare_keys(left, right);

    return order != 0 ? order
                      : (left->route > right->route) - (left->route < right->route);
}

static struct span find_closest(const struct route_table *table,
                                const struct config_listener *listener, const char *sni)
{
    struct span span = find_name(table, listener, sni);
    const char *parent = strchr(sni, '.');

    if (span.count == 0 && parent && parent != sni) {
        char wildcard[HELLO_SNI_MAX + 1] = "*";
        memcpy(wildcard + 1, parent, strlen(parent) + 1);
        span = find_name(table, listener, wildcard);
    }
    return span.count > 0 ? span : find_name(table, listener, "");
}

static struct span find_name(const struct route_table *table,
                             const struct config_listener *listener, const char *name)
{
    const struct span own = find_span(table, &(struct entry){name, listener, NULL});

    return own.count > 0 ? own : find_span(table, &(struct entry){name, NULL, NULL});
}

static struct span find_span(const struct route_table *table, const struct entry *key)
{
    size_t low = 0, high = table->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_keys(&table->entries[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    struct span span = {.entries = table->entries + low};
    while (low + span.count < table->count &&
           compare_keys(&table->entries[low + span.count], key) == 0)
        span.count++;
    return span;
}

/* The first with a protocol that the client offers, else the first for all protocols.  A
 * client that says nothing of protocols gets the first of all if there is none such. */
static const struct config_route *choose(const struct span *span,
                                         const struct hello *hello)
{
    const struct config_route *general = NULL;

    for (size_t i = 0; i < span->count; i++) {
        const struct config_route *route = span->entries[i].route;
        if (route->alpn.count > 0 && find_common(&route->alpn, hello))
            return route;
        if (route->alpn.count == 0 && !general)
            general = route;
    }
    if (!general && hello->alpn_len == 0)
        return span->entries[0].route;
    return general;
}

/* RFC 7301 section 3.2: the server's preference decides. */
static const char *find_common(const struct text_list *protocols,
                               const struct hello *hello)
{
    for (size_t i = 0; i < protocols->count; i++) {
        if (is_offered(hello, protocols->items[i]))
            return protocols->items[i];
    }
    return NULL;
}

static bool is_offered(const struct hello *hello, const char *protocol)
{
    struct cursor offer = cursor_over(hello->alpn, hello->alpn_len);
    size_t length = strlen(protocol);

    while (offer.left > 0) {
        const struct cursor name = cursor_vector8(&offer);
        if (!name.failed && name.left == length && memcmp(name.at, protocol, length) == 0)
            return true;
    }
    return false;
}
