#include "proxy/stats_master.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proxy/stats.h"

enum { READ_ATTEMPTS = 100 };

static const char *const state_names[MASTER_STATES] = {
    [MASTER_STARTING] = "starting",   [MASTER_SERVING] = "serving",
    [MASTER_RELOADING] = "reloading", [MASTER_LAME_DUCK] = "lame duck",
    [MASTER_DRAINING] = "draining",   [MASTER_STOPPING] = "stopping",
};

static const char *const result_names[RELOAD_RESULTS] = {
    [RELOAD_ACCEPTED] = "accepted",
    [RELOAD_REFUSED] = "refused",
};

const char *master_state_name(enum master_state state)
{
    return state_names[state];
}

const char *reload_result_name(enum reload_result result)
{
    return result_names[result];
}

void stats_text_set(struct stats_text *text, const char *value)
{
    uint64_t sequence = text->sequence;

    __atomic_store_n(&text->sequence, sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    (void)snprintf(text->text, sizeof(text->text), "%s", value);
    __atomic_store_n(&text->sequence, sequence + 2, __ATOMIC_RELEASE);
}

bool stats_text_get(const struct stats_text *text, char value[STATS_TEXT_MAX])
{
    for (int i = 0; i < READ_ATTEMPTS; i++) {
        uint64_t before = __atomic_load_n(&text->sequence, __ATOMIC_ACQUIRE);
        memcpy(value, text->text, STATS_TEXT_MAX);
        value[STATS_TEXT_MAX - 1] = '\0';
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (before % 2 == 0 && stats_read(&text->sequence) == before)
            return true;
    }
    value[0] = '\0';
    return false;
}

size_t stats_master_process_count(const struct stats_master *stats)
{
    uint64_t count = __atomic_load_n(&stats->process_count, __ATOMIC_ACQUIRE);

    return count < STATS_PROCESSES ? (size_t)count : STATS_PROCESSES;
}

uint64_t stats_wall_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
