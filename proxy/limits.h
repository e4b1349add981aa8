/*
 * What a worker lets in: connections in all and per second, and for each source - a
 * client's address or network - its connections, its handshakes in progress, and none for
 * a while after too many failures.  Counts belong to this worker alone, which enforces
 * its share of what the configuration allows: workers share no memory that one of them
 * could spoil for the others.
 *
 * Sources live in a table of fixed size, found by a keyed hash so that nobody can choose
 * addresses that collide.  Nothing is allocated for a connection.
 */
#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config/config.h"
#include "proxy/error.h"

enum {
    LIMITS_SOURCES = 65536,     /* that are remembered at once; a power of two */
    LIMITS_FAILED_MS = 10000,   /* failures count together for so long */
    LIMITS_SOURCE_TEXT_MAX = 64 /* with its NUL */
};

enum limits_answer {
    LIMITS_ADMITTED,
    LIMITS_CONNECTIONS, /* the source has too many */
    LIMITS_HANDSHAKES,  /* the source has too many in progress */
    LIMITS_PENALTY      /* the source's handshakes failed too often */
};
enum { LIMITS_REFUSALS = LIMITS_PENALTY }; /* all but the first */

/* Why accepting has to wait. */
enum limits_wait {
    LIMITS_GO,
    LIMITS_WAIT_DESCRIPTORS,
    LIMITS_WAIT_CONNECTIONS,
    LIMITS_WAIT_RATE
};

/* For the statistics. */
struct limits_counts {
    uint64_t refused[LIMITS_REFUSALS]; /* connections, by answer - 1 */
    uint64_t penalties;                /* imposed */
    uint64_t unknown;                  /* let in though the table had no room for them */
    uint64_t wait_connections;         /* times that accepting had to wait */
    uint64_t wait_rate;
    uint64_t sources; /* gauge: remembered now */
};

struct limits_source {
    uint8_t address[16]; /* masked; IPv4 is mapped */
    uint32_t next;       /* in its chain, or in the list of free ones; 0: none */
    uint32_t open;       /* connections */
    uint16_t failed;     /* handshakes since `since`; UINT16_MAX: in penalty */
    uint16_t handshakes; /* in progress */
    uint32_t since;      /* first failure, or begin of the penalty; in 1/10 s */
};

struct limits {
    struct limits_source *sources; /* owned; [0] stands for no source */
    uint32_t *chains;              /* owned; first source by hash; 0: none */
    uint64_t hash_key[2];
    uint32_t free;  /* first unused source; 0: none */
    uint32_t fresh; /* sources from here on were never used */
    uint32_t hand;  /* where the search for something to forget goes on */
    uint32_t known;

    const struct config_limits *config; /* borrowed; the current one */
    struct limits_counts *counts;       /* borrowed */
    size_t descriptors_for;             /* connections that descriptors allow */
    uint64_t connections;               /* this worker's shares */
    uint64_t connections_per_source;
    uint64_t handshakes_per_source;
    uint64_t failed_handshakes;
    uint64_t rate;
    uint64_t credit; /* connections that rate allows now, times 1000 */
    uint64_t credit_ms;
};

/* NULL without memory or random numbers. */
struct limits *limits_new(size_t descriptors_for, struct error *error) MUST_CHECK;

void limits_free(struct limits *limits);

/* Enforces `config`, which must stay until the next call, as one of `workers`.  What is
 * open stays counted. */
void limits_follow(struct limits *limits, const struct config_limits *config,
                   unsigned workers, struct limits_counts *counts);

/* Whether one more can be accepted now that `open` are. */
enum limits_wait limits_may_accept(struct limits *limits, size_t open, uint64_t now_ms);
const char *limits_wait_words(enum limits_wait wait);

/* Whether there is room again after a pause; not at once, so that a pause is one. */
bool limits_has_room(const struct limits *limits, size_t open);

/* One connection was accepted. */
void limits_on_accepted(struct limits *limits);

/* Lets a connection of `peer` in, or counts the refusal.  `*source` is for the calls
 * below; 0: the source has no limits.  After a refusal it is for its text alone. */
enum limits_answer limits_enter(struct limits *limits, const struct sockaddr *peer,
                                uint64_t now_ms, uint32_t *source);
const char *limits_answer_name(enum limits_answer answer);

/* To be called once for each that was let in: its handshake is over.  Returns whether the
 * source's penalty begins with this failure. */
bool limits_end_handshake(struct limits *limits, uint32_t source, bool failed,
                          uint64_t now_ms);

/* To be called once after that: the connection is over. */
void limits_leave(struct limits *limits, uint32_t source);

/* A source as people write it: an address or network. */
const char *limits_source_text(const struct limits *limits, uint32_t source,
                               char text[LIMITS_SOURCE_TEXT_MAX]);

/* One worker's share of a limit: its part and three standard deviations of what chance
 * adds, never more than the limit. */
uint64_t limits_share(uint64_t limit, unsigned workers);

#endif
