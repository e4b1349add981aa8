/*
 * Reads the figures of stats_table.h out of a status: for each source the things there
 * are of it (one worker, one backend), for each thing the numbers of a figure.
 */
#ifndef PROXY_STATUS_FIGURES_H
#define PROXY_STATUS_FIGURES_H

#include "proxy/stats_table.h"
#include "proxy/status.h"

enum { FIGURE_THING_MAX = CONFIG_TITLE_MAX };

/* One thing of a source, on which figures are read. */
struct figure_thing {
    const void *page;             /* borrowed, or `backend` */
    struct stats_backend backend; /* the sums of all workers */
    char name[FIGURE_THING_MAX];  /* what its label says */
};

/* How many things the source may have; some of them may be none. */
size_t figure_things(const struct status *status, enum stats_source source);

/* False: there is nothing in this place now. */
bool figure_thing_read(const struct status *status, enum stats_source source,
                       size_t place, struct figure_thing *thing);

/* How many numbers are published of a figure: one for each combination of its labels. */
size_t figure_count(const struct stats_family *family);

/* Number `index` of a figure that is no histogram. */
uint64_t figure_value(const struct status *status, const struct stats_family *family,
                      const struct figure_thing *thing, size_t index);

/* A histogram of the workers. */
void figure_histogram(const struct status *status, const struct stats_family *family,
                      struct histogram *sums);

/* The bound of a bucket, in the figure's unit. */
uint64_t figure_bound(size_t bucket);

#endif
