#include "proxy/log_flood.h"

#include <stdio.h>
#include <string.h>

static uint64_t hash_add(uint64_t hash, const char *text);
static bool kind_is_over(const struct log_kind *kind, uint64_t now_ms);
static struct log_kind *flood_find(struct log_flood *flood, uint64_t hash,
                                   uint64_t now_ms);

bool log_flood_admit(struct log_flood *flood, unsigned level, const char *message,
                     const char *reason, uint64_t now_ms)
{
    if (flood->limit == 0)
        return true;
    const uint64_t hash =
        hash_add(hash_add(0xcbf29ce484222325u ^ level, message), reason);
    struct log_kind *kind = flood_find(flood, hash, now_ms);
    if (!kind)
        return true;
    if (kind->hash != hash || kind_is_over(kind, now_ms)) {
        if (kind->suppressed > 0)
            return true; /* until its summary was taken */
        *kind = (struct log_kind){.hash = hash, .since_ms = now_ms, .level = level};
    }
    if (kind->printed < flood->limit) {
        kind->printed++;
        return true;
    }
    if (kind->suppressed++ == 0) {
        flood->held++;
        (void)snprintf(kind->message, sizeof(kind->message), "%s", message);
        (void)snprintf(kind->reason, sizeof(kind->reason), "%s", reason);
    }
    return false;
}

bool log_flood_take(struct log_flood *flood, bool all, uint64_t now_ms,
                    struct log_kind *summary)
{
    for (size_t i = 0; flood->held > 0 && i < LOG_FLOOD_KINDS; i++) {
        struct log_kind *kind = &flood->kinds[i];
        if (kind->suppressed == 0 || (!all && !kind_is_over(kind, now_ms)))
            continue;
        *summary = *kind;
        *kind = (struct log_kind){0};
        flood->held--;
        return true;
    }
    return false;
}

static bool kind_is_over(const struct log_kind *kind, uint64_t now_ms)
{
    return now_ms - kind->since_ms >= LOG_FLOOD_WINDOW_MS;
}

/* The kind's place, or one that is free or whose window has passed without a flood. NULL:
 * all are in use, and what cannot be counted is let through. */
static struct log_kind *flood_find(struct log_flood *flood, uint64_t hash,
                                   uint64_t now_ms)
{
    struct log_kind *spare = NULL;

    for (size_t i = 0; i < LOG_FLOOD_KINDS; i++) {
        struct log_kind *kind = &flood->kinds[i];
        if (kind->hash == hash)
            return kind;
        if (!spare && kind->suppressed == 0 &&
            (kind->printed == 0 || kind_is_over(kind, now_ms)))
            spare = kind;
    }
    return spare;
}

/* FNV-1a; the end of the text counts, so that no two texts run together. */
static uint64_t hash_add(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    } while (*text++ != '\0');
    return hash;
}
