#include "proxy/limits.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proxy/siphash.h"

enum {
    ADDRESS_BYTES = 16,
    MAPPED_BITS = 96, /* of an IPv4 address, before its own (RFC 4291 section 2.5.5.2) */
    PENALIZED = UINT16_MAX,
    PROBES = 16,   /* sources looked at to find one to forget */
    TICK_MS = 100, /* the unit of `since` */
    PER_SOURCE_AUTO = 4096,
    WHOLE_CREDIT = 1000 /* of one connection */
};

static_assert(sizeof(struct limits_source) == 32, "two sources are a cache line");

static uint64_t limits_per_source(const struct limits *limits, unsigned workers);
static uint64_t limits_some(uint64_t limit);
static uint64_t limits_root(uint64_t square);
static enum limits_answer limits_refuse(struct limits *limits, enum limits_answer answer);
static void limits_address(const struct sockaddr *peer, uint8_t address[ADDRESS_BYTES]);
static bool limits_is_mapped(const uint8_t address[ADDRESS_BYTES]);
static bool limits_is_exempt(const struct limits *limits,
                             const uint8_t address[ADDRESS_BYTES]);
static bool limits_is_private(const uint8_t address[ADDRESS_BYTES]);
static void limits_mask(const struct limits *limits, uint8_t address[ADDRESS_BYTES]);
static uint32_t *limits_chain(const struct limits *limits,
                              const uint8_t address[ADDRESS_BYTES]);
static uint32_t limits_find(const struct limits *limits,
                            const uint8_t address[ADDRESS_BYTES]);
static uint32_t limits_add(struct limits *limits, const uint8_t address[ADDRESS_BYTES],
                           uint32_t now);
static void limits_forget_some(struct limits *limits, uint32_t now);
static void limits_forget(struct limits *limits, uint32_t source);
static void limits_age(const struct limits *limits, struct limits_source *source,
                       uint32_t now);
static uint32_t limits_ticks(uint64_t now_ms);

struct limits *limits_new(size_t descriptors_for, struct error *error)
{
    struct limits *limits = calloc(1, sizeof(*limits));

    if (!limits)
        goto fail;
    /* Large enough to come as pages that take no memory until they are used. */
    limits->sources = calloc(LIMITS_SOURCES + 1, sizeof(*limits->sources));
    limits->chains = calloc(LIMITS_SOURCES, sizeof(*limits->chains));
    if (!limits->sources || !limits->chains)
        goto fail;
    if (getrandom(limits->hash_key, sizeof(limits->hash_key), 0) !=
        (ssize_t)sizeof(limits->hash_key)) {
        (void)error_set_errno(error, errno, "no random numbers for the table of sources");
        limits_free(limits);
        return NULL;
    }
    limits->fresh = limits->hand = 1;
    limits->descriptors_for = descriptors_for;
    return limits;
fail:
    (void)error_set(error, "out of memory for the table of sources");
    limits_free(limits);
    return NULL;
}

void limits_free(struct limits *limits)
{
    if (!limits)
        return;
    free(limits->sources);
    free(limits->chains);
    free(limits);
}

void limits_follow(struct limits *limits, const struct config_limits *config,
                   unsigned workers, struct limits_counts *counts)
{
    limits->config = config;
    limits->counts = counts;
    limits->counts->sources = limits->known;
    limits->connections = limits->descriptors_for;
    if (config->connections != 0) {
        uint64_t share = limits_share(config->connections, workers);
        if (share < limits->connections)
            limits->connections = share;
    }
    limits->connections_per_source = limits_per_source(limits, workers);
    limits->handshakes_per_source =
        limits_share(limits_some(config->handshakes_per_source), workers);
    limits->failed_handshakes =
        limits_share(limits_some(config->failed_handshakes), workers);
    limits->rate = limits_share(limits_some(config->accept_rate), workers);
    /* What one second allows may come at once. */
    if (limits->rate != UINT64_MAX)
        limits->credit = limits->rate * WHOLE_CREDIT;
}

static uint64_t limits_some(uint64_t limit)
{
    return limit ? limit : UINT64_MAX;
}

/* One source alone must not be able to take the place of all others. */
static uint64_t limits_per_source(const struct limits *limits, unsigned workers)
{
    if (limits->config->connections_per_source != 0)
        return limits_share(limits->config->connections_per_source, workers);
    uint64_t half = (limits->connections + 1) / 2;
    uint64_t usual = limits_share(PER_SOURCE_AUTO, workers);
    return half < usual ? half : usual;
}

uint64_t limits_share(uint64_t limit, unsigned workers)
{
    if (workers <= 1 || limit == UINT64_MAX)
        return limit;
    uint64_t mean = limit / workers + (limit % workers != 0);
    uint64_t share = mean + limits_root(9 * mean);
    return share < limit ? share : limit;
}

/* The square root, rounded up. */
static uint64_t limits_root(uint64_t square)
{
    uint64_t low = 0, high = (uint64_t)1 << 31;

    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (middle * middle >= square)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

enum limits_wait limits_may_accept(struct limits *limits, size_t open, uint64_t now_ms)
{
    if (open >= limits->connections) {
        if (limits->connections >= limits->descriptors_for)
            return LIMITS_WAIT_DESCRIPTORS;
        limits->counts->wait_connections++;
        return LIMITS_WAIT_CONNECTIONS;
    }
    if (limits->rate == UINT64_MAX)
        return LIMITS_GO;
    uint64_t passed = now_ms - limits->credit_ms;
    uint64_t most = limits->rate * WHOLE_CREDIT;
    limits->credit_ms = now_ms;
    limits->credit += (passed < 1000 ? passed : 1000) * limits->rate;
    if (limits->credit > most)
        limits->credit = most;
    if (limits->credit >= WHOLE_CREDIT)
        return LIMITS_GO;
    limits->counts->wait_rate++;
    return LIMITS_WAIT_RATE;
}

const char *limits_wait_words(enum limits_wait wait)
{
    switch (wait) {
    case LIMITS_GO:
        break;
    case LIMITS_WAIT_DESCRIPTORS:
        return "no descriptors are left for more";
    case LIMITS_WAIT_CONNECTIONS:
        return "more than connections in [limits] allows";
    case LIMITS_WAIT_RATE:
        return "more in a second than accept_rate in [limits] allows";
    }
    return "";
}

bool limits_has_room(const struct limits *limits, size_t open)
{
    return open + limits->connections / 16 < limits->connections;
}

void limits_on_accepted(struct limits *limits)
{
    if (limits->rate != UINT64_MAX)
        limits->credit -= WHOLE_CREDIT;
}

enum limits_answer limits_enter(struct limits *limits, const struct sockaddr *peer,
                                uint64_t now_ms, uint32_t *source)
{
    uint32_t now = limits_ticks(now_ms);
    uint8_t address[ADDRESS_BYTES];

    *source = 0;
    limits_address(peer, address);
    if (limits_is_exempt(limits, address))
        return LIMITS_ADMITTED;
    limits_mask(limits, address);
    uint32_t found = limits_find(limits, address);
    if (found == 0)
        found = limits_add(limits, address, now);
    struct limits_source *known = &limits->sources[found];
    if (found == 0 || known->handshakes == UINT16_MAX) {
        limits->counts->unknown++;
        return LIMITS_ADMITTED;
    }
    limits_age(limits, known, now);
    *source = found;
    if (known->failed == PENALIZED)
        return limits_refuse(limits, LIMITS_PENALTY);
    if (known->open >= limits->connections_per_source)
        return limits_refuse(limits, LIMITS_CONNECTIONS);
    if (known->handshakes >= limits->handshakes_per_source)
        return limits_refuse(limits, LIMITS_HANDSHAKES);
    known->open++;
    known->handshakes++;
    return LIMITS_ADMITTED;
}

static enum limits_answer limits_refuse(struct limits *limits, enum limits_answer answer)
{
    limits->counts->refused[answer - 1]++;
    return answer;
}

const char *limits_answer_name(enum limits_answer answer)
{
    switch (answer) {
    case LIMITS_ADMITTED:
        return "admitted";
    case LIMITS_CONNECTIONS:
        return "connections_per_source";
    case LIMITS_HANDSHAKES:
        return "handshakes_per_source";
    case LIMITS_PENALTY:
        return "penalty";
    }
    return "";
}

bool limits_end_handshake(struct limits *limits, uint32_t source, bool failed,
                          uint64_t now_ms)
{
    struct limits_source *known = source ? &limits->sources[source] : NULL;
    uint32_t now = limits_ticks(now_ms);

    if (!known)
        return false;
    known->handshakes--;
    limits_age(limits, known, now);
    if (!failed || known->failed == PENALIZED)
        return false;
    if (known->failed == 0)
        known->since = now;
    if (known->failed < limits->failed_handshakes) {
        if (known->failed < PENALIZED - 1)
            known->failed++;
        return false;
    }
    known->failed = PENALIZED;
    known->since = now;
    limits->counts->penalties++;
    return true;
}

void limits_leave(struct limits *limits, uint32_t source)
{
    struct limits_source *known = source ? &limits->sources[source] : NULL;

    if (known && --known->open == 0 && known->failed == 0)
        limits_forget(limits, source);
}

const char *limits_source_text(const struct limits *limits, uint32_t source,
                               char text[LIMITS_SOURCE_TEXT_MAX])
{
    const uint8_t *address = limits->sources[source].address;
    const struct config_limits *config = limits->config;
    bool v4 = limits_is_mapped(address);
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned whole = v4 ? 32 : 128;
    unsigned bits = (unsigned)(v4 ? config->source_prefix_v4 : config->source_prefix_v6);

    (void)inet_ntop(v4 ? AF_INET : AF_INET6, address + (v4 ? MAPPED_BITS / 8 : 0), host,
                    sizeof(host));
    if (bits < whole)
        (void)snprintf(text, LIMITS_SOURCE_TEXT_MAX, "%s/%u", host, bits);
    else
        (void)snprintf(text, LIMITS_SOURCE_TEXT_MAX, "%s", host);
    return text;
}

/* As IPv6, IPv4 mapped; all zero where there is none. */
static void limits_address(const struct sockaddr *peer, uint8_t address[ADDRESS_BYTES])
{
    memset(address, 0, ADDRESS_BYTES);
    if (peer->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, peer, sizeof(in));
        address[10] = address[11] = 0xff;
        memcpy(address + MAPPED_BITS / 8, &in.sin_addr, sizeof(in.sin_addr));
    } else if (peer->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, peer, sizeof(in6));
        memcpy(address, &in6.sin6_addr, ADDRESS_BYTES);
    }
}

static bool limits_is_mapped(const uint8_t address[ADDRESS_BYTES])
{
    static const uint8_t prefix[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};

    return memcmp(address, prefix, sizeof(prefix)) == 0;
}

static bool limits_is_exempt(const struct limits *limits,
                             const uint8_t address[ADDRESS_BYTES])
{
    return (limits->config->exempt_private && limits_is_private(address)) ||
           network_list_has(&limits->config->exempt, address);
}

/* Addresses that mean nothing on the Internet. */
static bool limits_is_private(const uint8_t address[ADDRESS_BYTES])
{
    static const uint8_t loopback[ADDRESS_BYTES] = {[15] = 1};
    const uint8_t *v4 = address + MAPPED_BITS / 8;

    if (!limits_is_mapped(address))
        return (address[0] & 0xfe) == 0xfc ||                         /* RFC 4193 */
               (address[0] == 0xfe && (address[1] & 0xc0) == 0x80) || /* RFC 4291 */
               memcmp(address, loopback, ADDRESS_BYTES) == 0;
    return v4[0] == 127 || v4[0] == 10 ||            /* RFC 1122, RFC 1918 */
           (v4[0] == 172 && (v4[1] & 0xf0) == 16) || /* RFC 1918 */
           (v4[0] == 192 && v4[1] == 168) ||         /* RFC 1918 */
           (v4[0] == 169 && v4[1] == 254) ||         /* RFC 3927 */
           (v4[0] == 100 && (v4[1] & 0xc0) == 64);   /* RFC 6598 */
}

/* Leaves of the address what makes a source. */
static void limits_mask(const struct limits *limits, uint8_t address[ADDRESS_BYTES])
{
    const struct config_limits *config = limits->config;
    uint64_t bits = limits_is_mapped(address) ? MAPPED_BITS + config->source_prefix_v4
                                              : config->source_prefix_v6;

    for (size_t i = 0; i < ADDRESS_BYTES; i++) {
        uint64_t kept = bits < 8 ? bits : 8;
        address[i] &= (uint8_t)(0xff00 >> kept);
        bits -= kept;
    }
}

static uint32_t *limits_chain(const struct limits *limits,
                              const uint8_t address[ADDRESS_BYTES])
{
    return &limits->chains[siphash_16(limits->hash_key, address) % LIMITS_SOURCES];
}

static uint32_t limits_find(const struct limits *limits,
                            const uint8_t address[ADDRESS_BYTES])
{
    uint32_t at = *limits_chain(limits, address);

    while (at && memcmp(limits->sources[at].address, address, ADDRESS_BYTES) != 0)
        at = limits->sources[at].next;
    return at;
}

/* 0: the table is full of sources with open connections, as far as it was looked through.
 */
static uint32_t limits_add(struct limits *limits, const uint8_t address[ADDRESS_BYTES],
                           uint32_t now)
{
    limits_forget_some(limits, now);
    uint32_t added = limits->free;
    if (added)
        limits->free = limits->sources[added].next;
    else if (limits->fresh <= LIMITS_SOURCES)
        added = limits->fresh++;
    if (!added)
        return 0;
    uint32_t *chain = limits_chain(limits, address);
    struct limits_source *source = &limits->sources[added];
    *source = (struct limits_source){.next = *chain};
    memcpy(source->address, address, ADDRESS_BYTES);
    *chain = added;
    limits->counts->sources = ++limits->known;
    return added;
}

/* Forgets, of the next few sources, those about which there is nothing to remember any
 * more; and if the table is full, at least the one that was idle longest. */
static void limits_forget_some(struct limits *limits, uint32_t now)
{
    bool full = limits->free == 0 && limits->fresh > LIMITS_SOURCES;
    uint32_t oldest = 0;

    for (unsigned i = 0; i < (full ? PROBES : 2); i++) {
        uint32_t at = limits->hand;
        struct limits_source *source = &limits->sources[at];
        limits->hand = at + 1 < limits->fresh ? at + 1 : 1;
        if (source->open > 0 || source->failed == 0)
            continue;
        limits_age(limits, source, now);
        if (source->failed == 0)
            limits_forget(limits, at);
        else if (!oldest || now - source->since > now - limits->sources[oldest].since)
            oldest = at;
    }
    if (full && limits->free == 0 && oldest)
        limits_forget(limits, oldest);
}

static void limits_forget(struct limits *limits, uint32_t source)
{
    struct limits_source *known = &limits->sources[source];
    uint32_t *at = limits_chain(limits, known->address);

    while (*at != source)
        at = &limits->sources[*at].next;
    *at = known->next;
    *known = (struct limits_source){.next = limits->free};
    limits->free = source;
    limits->counts->sources = --limits->known;
}

/* Failures and penalties end by themselves. */
static void limits_age(const struct limits *limits, struct limits_source *source,
                       uint32_t now)
{
    uint64_t lasts = source->failed == PENALIZED ? limits->config->penalty_ms
                                                 : (uint64_t)LIMITS_FAILED_MS;

    if ((now - source->since) * (uint64_t)TICK_MS >= lasts)
        source->failed = 0;
}

static uint32_t limits_ticks(uint64_t now_ms)
{
    return (uint32_t)(now_ms / TICK_MS);
}
