/*
 * The one table of figures: what each is called, what it means, and where it lies.  It
 * makes /metrics, the totals of /status and the documentation; a new figure is a member
 * of a page's struct and one row here.  Names and units are those of Prometheus.
 */
#ifndef PROXY_STATS_TABLE_H
#define PROXY_STATS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Whose member a figure is, and so of what there is one. */
enum stats_source {
    STATS_OF_WORKERS,      /* struct stats_worker, summed over all of them */
    STATS_OF_EACH_WORKER,  /* the same, one by one */
    STATS_OF_BACKENDS,     /* struct stats_backend, summed over the workers */
    STATS_OF_MASTER,       /* struct stats_master */
    STATS_OF_TICKET_KEYS,  /* struct stats_ticket_key, one by one */
    STATS_OF_PROCESSES,    /* struct stats_process, one by one */
    STATS_OF_CERTIFICATES, /* struct status_certificate, one by one */
    STATS_OF_BUILD         /* nobody's: always 1, what it says is in its labels */
};

/* A state is a number that chooses a word of its label: published as 1 for that word and
 * 0 for the others.  An age is the moment something began, by ticket_clock_ms: published
 * as the time since. */
enum stats_type { STATS_COUNTER, STATS_GAUGE, STATS_HISTOGRAM, STATS_STATE, STATS_AGE };

#define STATS_PREFIX "pawl_"

/* What the member counts in.  Times are published in seconds. */
enum stats_unit { STATS_PLAIN, STATS_MICROSECONDS, STATS_MILLISECONDS };

enum { STATS_LABELS = 4 };

/* One dimension of a figure that is an array. */
struct stats_label {
    const char *name; /* NULL: all along it are added up */
    size_t count;     /* 0: there is no such dimension */
    const char *(*word)(size_t place);
};

struct stats_family {
    const char *name; /* without the "pawl_" in front */
    const char *help;
    enum stats_source source;
    enum stats_type type;
    enum stats_unit unit;
    size_t offset; /* of a uint64_t, an array of them, or a struct histogram */
    struct stats_label labels[STATS_LABELS];
};

extern const struct stats_family stats_families[];
extern const size_t stats_family_count;

/* How many numbers a figure is; of a state, how many words it chooses among. */
size_t stats_family_size(const struct stats_family *family);

/* The place along dimension `label` that number `index` of the figure has. */
size_t stats_family_place(const struct stats_family *family, size_t index, size_t label);

/* The label that tells the things of one source apart, "backend"; NULL: there is one. */
const char *stats_source_label(enum stats_source source);

/* "counter" and the like. */
const char *stats_type_name(enum stats_type type);

/* Writes `value` of the unit as a decimal number. */
void stats_write_number(FILE *out, uint64_t value, enum stats_unit unit);

/* Prints the table: for a terminal, or as the README's Markdown. */
void stats_table_print(FILE *out, bool markdown);

#endif
