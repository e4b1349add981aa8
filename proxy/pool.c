#include "proxy/pool.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"

static struct pool *pool_find(struct pool_set *set, const char *name);
static struct pool *pool_new(struct pool_set *set, const char *name);
static void pool_release(struct pool *pool);
static void pool_follow(struct pool *pool, const struct config_backend *backend);
static void pool_retire(struct pool *pool);
static void pool_add(struct pool *pool, const struct address *address, bool resolved);
static bool pool_mark(struct pool *pool, const struct address *address, bool resolved);
static void pool_sweep(struct pool *pool);
static void pool_check_all(struct pool *pool);
static void pool_drop(struct pool *pool, unsigned place);
static void pool_start_probe(struct pool *pool, struct target *target);
static void pool_stop_probe(struct target *target);
static bool pool_is_spared(const struct pool *pool, const struct target *target);
static void pool_on_check(void *argument, bool good, const char *cause);
static void pool_count(const struct pool *pool);

void pool_set_init(struct pool_set *set, struct event_base *base)
{
    *set = (struct pool_set){.base = base, .speaks = true};
    LIST_INIT(&set->pools);
}

struct pool **pool_set_take(struct pool_set *set, const struct config *config)
{
    struct pool **pools = calloc(config->backend_count + 1, sizeof(struct pool *));

    for (size_t i = 0; pools && i < config->backend_count; i++) {
        const char *name = config->backends[i].section.name;
        pools[i] = pool_find(set, name);
        if (!pools[i])
            pools[i] = pool_new(set, name);
        if (!pools[i]) {
            pool_set_give_back(pools, i);
            return NULL;
        }
        pools[i]->references++;
    }
    return pools;
}

void pool_set_give_back(struct pool **pools, size_t count)
{
    for (size_t i = 0; pools && i < count; i++)
        pool_release(pools[i]);
    free(pools);
}

void pool_set_follow(struct pool_set *set, const struct config *config)
{
    struct pool *pool;

    LIST_FOREACH (pool, &set->pools, link) {
        const struct config_backend *backend = NULL;
        for (size_t i = 0; i < config->backend_count && !backend; i++) {
            if (strcmp(config->backends[i].section.name, pool->name) == 0)
                backend = &config->backends[i];
        }
        if (backend)
            pool_follow(pool, backend);
        else
            pool_retire(pool);
    }
}

void pool_set_resolved(struct pool_set *set, const char *name,
                       const struct address *addresses, size_t count)
{
    struct pool *pool = pool_find(set, name);

    if (!pool)
        return;
    for (unsigned i = 0; i < pool->target_count; i++)
        pool->targets[i]->is_resolved = false;
    for (size_t i = 0; i < count; i++)
        (void)pool_mark(pool, &addresses[i], true);
    pool_sweep(pool);
    for (size_t i = 0; i < count; i++)
        pool_add(pool, &addresses[i], true);
    pool_check_all(pool);
}

struct target *pool_pick(struct pool *pool, struct pool_tried *tried, uint64_t now_ms)
{
    unsigned best = POOL_TARGETS_MAX;
    enum target_rank best_rank = TARGET_LAST_HOPE;

    if (tried->version != pool->version)
        *tried = (struct pool_tried){.version = pool->version};
    for (unsigned i = 0; i < pool->target_count; i++) {
        unsigned place = (pool->next + i) % pool->target_count;
        const struct target *target = pool->targets[place];
        enum target_rank rank = target_rank(target, now_ms);
        if ((tried->set >> place & 1) || pool_is_spared(pool, target))
            continue;
        bool better = best == POOL_TARGETS_MAX || rank < best_rank ||
                      (rank == best_rank && pool->balance == BALANCE_LEAST_CONNECTIONS &&
                       target->sessions < pool->targets[best]->sessions);
        if (better) {
            best = place;
            best_rank = rank;
        }
    }
    if (best == POOL_TARGETS_MAX)
        return NULL;
    tried->set |= (uint32_t)1 << best;
    pool->next = best + 1;
    return pool->targets[best];
}

/* To connect is what the check `connect` does, so a session may as well find out; a wrong
 * answer, however, is no place for clients. */
static bool pool_is_spared(const struct pool *pool, const struct target *target)
{
    return target->health == TARGET_DOWN && pool->plan.check.mode == CHECK_SEND;
}

static struct pool *pool_find(struct pool_set *set, const char *name)
{
    struct pool *pool;

    LIST_FOREACH (pool, &set->pools, link) {
        if (strcmp(pool->name, name) == 0)
            return pool;
    }
    return NULL;
}

static struct pool *pool_new(struct pool_set *set, const char *name)
{
    struct pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    memcpy(pool->name, name, strnlen(name, sizeof(pool->name) - 1));
    pool->set = set;
    pool->stats = &set->uncounted;
    LIST_INSERT_HEAD(&set->pools, pool, link);
    return pool;
}

static void pool_release(struct pool *pool)
{
    if (--pool->references > 0)
        return;
    while (pool->target_count > 0)
        pool_drop(pool, pool->target_count - 1);
    pool_count(pool);
    LIST_REMOVE(pool, link);
    free(pool);
}

static void pool_follow(struct pool *pool, const struct config_backend *backend)
{
    const struct address_list *list = &backend->addresses;
    struct probe_plan plan;
    bool named = false;

    pool->balance = backend->balance;
    pool->rest_ms = backend->rest_ms;
    if (pool->set->stats)
        pool->stats = stats_backend_of(pool->set->stats, pool->name);
    probe_plan_make(&plan, &backend->check, backend->send_proxy);
    bool same_plan = memcmp(&plan, &pool->plan, sizeof(plan)) == 0;
    for (size_t i = 0; i < list->count; i++)
        named = named || address_is_name(&list->items[i]);
    for (unsigned i = 0; i < pool->target_count; i++) {
        struct target *target = pool->targets[i];
        target->is_configured = false;
        target->is_resolved = target->is_resolved && named;
        if (!same_plan)
            pool_stop_probe(target);
    }
    memcpy(&pool->plan, &plan, sizeof(plan));
    for (size_t i = 0; i < list->count; i++)
        (void)pool_mark(pool, &list->items[i], false);
    pool_sweep(pool);
    for (size_t i = 0; i < list->count; i++) {
        if (!address_is_name(&list->items[i]))
            pool_add(pool, &list->items[i], false);
    }
    pool_check_all(pool);
}

static void pool_retire(struct pool *pool)
{
    memset(&pool->plan, 0, sizeof(pool->plan));
    for (unsigned i = 0; i < pool->target_count; i++)
        pool_stop_probe(pool->targets[i]);
    pool_count(pool);
    pool->stats = &pool->set->uncounted;
}

/* Whether there is a target of this address, which then is one of these. */
static bool pool_mark(struct pool *pool, const struct address *address, bool resolved)
{
    for (unsigned i = 0; i < pool->target_count; i++) {
        struct target *target = pool->targets[i];
        if (!address_equal(&target->address, address))
            continue;
        if (resolved)
            target->is_resolved = true;
        else
            target->is_configured = true;
        return true;
    }
    return false;
}

static void pool_add(struct pool *pool, const struct address *address, bool resolved)
{
    struct target *target = NULL;

    if (pool_mark(pool, address, resolved))
        return;
    if (pool->target_count < POOL_TARGETS_MAX)
        target = target_new(address);
    if (!target) {
        log_error("backend \"%s\": there is no room for %s", pool->name, address->text);
        return;
    }
    target->pool = pool;
    pool->targets[pool->target_count++] = target;
    pool->version++;
    (void)pool_mark(pool, address, resolved);
}

/* Drops the targets that nobody names any more. */
static void pool_sweep(struct pool *pool)
{
    for (unsigned i = pool->target_count; i-- > 0;) {
        const struct target *target = pool->targets[i];
        if (!target->is_configured && !target->is_resolved)
            pool_drop(pool, i);
    }
}

/* To be called when the targets or the plan have changed. */
static void pool_check_all(struct pool *pool)
{
    for (unsigned i = 0; i < pool->target_count; i++) {
        if (pool->plan.check.mode != CHECK_OFF && !pool->targets[i]->probe)
            pool_start_probe(pool, pool->targets[i]);
    }
    pool_count(pool);
}

static void pool_drop(struct pool *pool, unsigned place)
{
    struct target *target = pool->targets[place];

    pool_stop_probe(target);
    target->pool = NULL;
    target_release(target);
    pool->target_count--;
    memmove(&pool->targets[place], &pool->targets[place + 1],
            (pool->target_count - place) * sizeof(pool->targets[0]));
    pool->version++;
}

static void pool_start_probe(struct pool *pool, struct target *target)
{
    const struct probe_context context = {.base = pool->set->base,
                                          .address = &target->address,
                                          .plan = &pool->plan,
                                          .on_result = pool_on_check,
                                          .argument = target};

    target->probe = probe_new(&context);
    if (!target->probe)
        log_error("backend \"%s\": no memory to check %s", pool->name,
                  target->address.text);
}

static void pool_stop_probe(struct target *target)
{
    probe_free(target->probe);
    target->probe = NULL;
    target_forget_checks(target);
}

static void pool_on_check(void *argument, bool good, const char *cause)
{
    struct target *target = argument;
    struct pool *pool = target->pool;
    const struct config_check *check = &pool->plan.check;
    enum target_health before = target->health;
    struct log_line line;

    if (!target_checked(target, good, check->rise, check->fall))
        return;
    pool_count(pool);
    if (before == TARGET_UNKNOWN && good)
        return;
    enum log_level level = good ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
    level = pool->set->speaks ? level : LOG_LEVEL_DEBUG;
    if (!log_enabled(level))
        return;
    log_begin(&line, level, good ? "backend address up again" : "backend address down");
    log_text(&line, "backend", pool->name);
    log_text(&line, "address", target->address.text);
    log_number(&line, "checks", good ? target->good_checks : target->bad_checks);
    log_text(&line, "detail", cause);
    log_end(&line);
}

static void pool_count(const struct pool *pool)
{
    uint64_t down = 0;

    for (unsigned i = 0; i < pool->target_count; i++)
        down += pool->targets[i]->health == TARGET_DOWN;
    pool->stats->addresses = pool->target_count;
    pool->stats->addresses_down = down;
    pool->stats->down = pool->target_count > 0 && down == pool->target_count;
}
