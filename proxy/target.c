#include "proxy/target.h"

#include <limits.h>
#include <stdlib.h>

enum { REST_FIRST_MS = 1000 };

struct target *target_new(const struct address *address)
{
    struct target *target = calloc(1, sizeof(*target));

    if (!target)
        return NULL;
    target->references = 1;
    target->address = *address;
    return target;
}

struct target *target_keep(struct target *target)
{
    target->references++;
    return target;
}

void target_release(struct target *target)
{
    if (target && --target->references == 0)
        free(target);
}

/* Once its rest is over one session finds out, while the others take no risk. */
enum target_rank target_rank(const struct target *target, uint64_t now_ms)
{
    if (target->health == TARGET_DOWN)
        return TARGET_LAST_HOPE;
    if (target->failures > 0 && (now_ms < target->rest_end_ms || target->attempts > 0))
        return TARGET_RESTING;
    return TARGET_FIT;
}

void target_begin(struct target *target)
{
    target->sessions++;
    target->attempts++;
}

void target_connected(struct target *target)
{
    target->attempts--;
    target->failures = 0;
}

/* Sessions that fail together are one failure. */
void target_failed(struct target *target, uint64_t now_ms, uint64_t longest_rest_ms)
{
    uint64_t rest = REST_FIRST_MS;

    target_give_up(target);
    if (longest_rest_ms == 0 || now_ms < target->rest_end_ms)
        return;
    for (unsigned i = 0; i < target->failures && rest < longest_rest_ms; i++)
        rest *= 2;
    if (target->failures < UINT_MAX)
        target->failures++;
    target->rest_end_ms = now_ms + (rest < longest_rest_ms ? rest : longest_rest_ms);
}

void target_give_up(struct target *target)
{
    target->attempts--;
    target->sessions--;
}

void target_leave(struct target *target)
{
    target->sessions--;
}

bool target_checked(struct target *target, bool good, uint64_t rise, uint64_t fall)
{
    enum target_health before = target->health;
    unsigned *count = good ? &target->good_checks : &target->bad_checks;

    *(good ? &target->bad_checks : &target->good_checks) = 0;
    if (*count < UINT_MAX)
        ++*count;
    if (good && (before == TARGET_UNKNOWN || *count >= rise))
        target->health = TARGET_UP;
    if (!good && *count >= fall)
        target->health = TARGET_DOWN;
    /* What it did to sessions while it was down is over. */
    if (before == TARGET_DOWN && target->health == TARGET_UP)
        target->failures = 0;
    return target->health != before;
}

void target_forget_checks(struct target *target)
{
    target->health = TARGET_UNKNOWN;
    target->good_checks = target->bad_checks = 0;
}
