#include "proxy/status_figures.h"

#include <assert.h>
#include <string.h>

static uint64_t figure_number(const struct status *status,
                              const struct stats_family *family,
                              const struct figure_thing *thing, size_t index);
static uint64_t figure_sum(const struct status *status, const struct stats_family *family,
                           size_t index);
static const uint64_t *figure_numbers(const void *page,
                                      const struct stats_family *family);

size_t figure_things(const struct status *status, enum stats_source source)
{
    switch (source) {
    case STATS_OF_WORKERS:
    case STATS_OF_MASTER:
    case STATS_OF_BUILD:
        return 1;
    case STATS_OF_EACH_WORKER:
        return status->worker_count;
    case STATS_OF_BACKENDS:
        return status->config->backend_count;
    case STATS_OF_TICKET_KEYS:
        return TICKET_RING_KEYS;
    case STATS_OF_PROCESSES:
        return stats_master_process_count(status->master);
    case STATS_OF_CERTIFICATES:
        return status->certificate_count;
    }
    return 0;
}

bool figure_thing_read(const struct status *status, enum stats_source source,
                       size_t place, struct figure_thing *thing)
{
    const struct stats_master *master = status->master;

    thing->page = NULL;
    thing->name[0] = '\0';
    switch (source) {
    case STATS_OF_WORKERS:
    case STATS_OF_BUILD:
        break;
    case STATS_OF_MASTER:
        thing->page = master;
        break;
    case STATS_OF_EACH_WORKER:
        thing->page = status->workers[place];
        (void)snprintf(thing->name, sizeof(thing->name), "%zu", place);
        break;
    case STATS_OF_BACKENDS:
        thing->page = &thing->backend;
        (void)snprintf(thing->name, sizeof(thing->name), "%s",
                       status->config->backends[place].section.name);
        (void)status_backend(status, thing->name, &thing->backend);
        break;
    case STATS_OF_TICKET_KEYS:
        thing->page = &master->ticket_keys[place];
        (void)snprintf(thing->name, sizeof(thing->name), "%zu", place);
        return stats_read(&master->ticket_keys[place].ends_ms) > status->ticket_ms;
    case STATS_OF_PROCESSES:
        thing->page = &master->processes[place];
        (void)snprintf(thing->name, sizeof(thing->name), "%.*s %u", STATS_ROLE_MAX,
                       master->processes[place].role,
                       (unsigned)stats_read(&master->processes[place].index));
        return stats_read(&master->processes[place].started_ms) != 0;
    case STATS_OF_CERTIFICATES:
        thing->page = &status->certificates[place];
        (void)snprintf(thing->name, sizeof(thing->name), "%s",
                       status->certificates[place].section);
        break;
    }
    return true;
}

size_t figure_count(const struct stats_family *family)
{
    bool is_added_up = family->labels[0].count > 0 && !family->labels[0].name;

    return is_added_up ? 1 : stats_family_size(family);
}

uint64_t figure_value(const struct status *status, const struct stats_family *family,
                      const struct figure_thing *thing, size_t index)
{
    if (family->source == STATS_OF_BUILD)
        return 1;
    if (family->type == STATS_STATE)
        return stats_read(figure_numbers(thing->page, family)) == index;
    if (figure_count(family) == stats_family_size(family))
        return figure_number(status, family, thing, index);
    uint64_t sum = 0;
    for (size_t i = 0; i < stats_family_size(family); i++)
        sum += figure_number(status, family, thing, i);
    return sum;
}

void figure_histogram(const struct status *status, const struct stats_family *family,
                      struct histogram *sums)
{
    static_assert(offsetof(struct histogram, sum) == HISTOGRAM_BUCKETS * sizeof(uint64_t),
                  "a histogram is its buckets and then their sum");

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        sums->buckets[i] = figure_sum(status, family, i);
    sums->sum = figure_sum(status, family, HISTOGRAM_BUCKETS);
}

uint64_t figure_bound(size_t bucket)
{
    return (uint64_t)1 << (bucket + HISTOGRAM_FIRST_BIT);
}

static uint64_t figure_number(const struct status *status,
                              const struct stats_family *family,
                              const struct figure_thing *thing, size_t index)
{
    if (family->source == STATS_OF_WORKERS)
        return figure_sum(status, family, index);
    uint64_t number = stats_read(figure_numbers(thing->page, family) + index);
    if (family->type == STATS_AGE)
        return number < status->ticket_ms ? status->ticket_ms - number : 0;
    return number;
}

static uint64_t figure_sum(const struct status *status, const struct stats_family *family,
                           size_t index)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < status->worker_count; i++)
        sum += stats_read(figure_numbers(status->workers[i], family) + index);
    return sum;
}

static const uint64_t *figure_numbers(const void *page, const struct stats_family *family)
{
    return (const uint64_t *)(const void *)((const char *)page + family->offset);
}
