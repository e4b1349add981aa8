#include "proxy/metrics.h"

#include <inttypes.h>

#include <wolfssl/version.h>

#include "proxy/status_figures.h"

static void metrics_write_thing(FILE *out, const struct status *status,
                                const struct stats_family *family,
                                const struct figure_thing *thing);
static void metrics_write_labels(FILE *out, const struct stats_family *family,
                                 const struct figure_thing *thing, size_t index);
static void metrics_write_histogram(FILE *out, const struct status *status,
                                    const struct stats_family *family);
static void metrics_write_label(FILE *out, char before, const char *name,
                                const char *value);

void metrics_write(FILE *out, const struct status *status)
{
    struct figure_thing thing;

    for (size_t i = 0; i < stats_family_count; i++) {
        const struct stats_family *family = &stats_families[i];
        fprintf(out, "# HELP " STATS_PREFIX "%s %s\n# TYPE " STATS_PREFIX "%s %s\n",
                family->name, family->help, family->name, stats_type_name(family->type));
        if (family->type == STATS_HISTOGRAM) {
            metrics_write_histogram(out, status, family);
            continue;
        }
        for (size_t j = 0; j < figure_things(status, family->source); j++) {
            if (figure_thing_read(status, family->source, j, &thing))
                metrics_write_thing(out, status, family, &thing);
        }
    }
}

static void metrics_write_thing(FILE *out, const struct status *status,
                                const struct stats_family *family,
                                const struct figure_thing *thing)
{
    for (size_t i = 0; i < figure_count(family); i++) {
        fputs(STATS_PREFIX, out);
        fputs(family->name, out);
        metrics_write_labels(out, family, thing, i);
        fputc(' ', out);
        stats_write_number(out, figure_value(status, family, thing, i), family->unit);
        fputc('\n', out);
    }
}

static void metrics_write_labels(FILE *out, const struct stats_family *family,
                                 const struct figure_thing *thing, size_t index)
{
    const char *source = stats_source_label(family->source);
    char before = '{';

    if (source) {
        metrics_write_label(out, before, source, thing->name);
        before = ',';
    }
    if (family->source == STATS_OF_BUILD) {
        metrics_write_label(out, before, "version", PAWL_VERSION);
        metrics_write_label(out, ',', "wolfssl", LIBWOLFSSL_VERSION_STRING);
        before = ',';
    }
    for (size_t i = 0; i < STATS_LABELS && family->labels[i].name; i++) {
        size_t place = stats_family_place(family, index, i);
        metrics_write_label(out, before, family->labels[i].name,
                            family->labels[i].word(place));
        before = ',';
    }
    if (before == ',')
        fputc('}', out);
}

static void metrics_write_histogram(FILE *out, const struct status *status,
                                    const struct stats_family *family)
{
    struct histogram sums;
    uint64_t count = 0;

    figure_histogram(status, family, &sums);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += sums.buckets[i];
        fprintf(out, STATS_PREFIX "%s_bucket{le=\"", family->name);
        if (i + 1 < HISTOGRAM_BUCKETS)
            stats_write_number(out, figure_bound(i), family->unit);
        else
            fputs("+Inf", out);
        fprintf(out, "\"} %" PRIu64 "\n", count);
    }
    fprintf(out, STATS_PREFIX "%s_sum ", family->name);
    stats_write_number(out, sums.sum, family->unit);
    fprintf(out, "\n" STATS_PREFIX "%s_count %" PRIu64 "\n", family->name, count);
}

/* Names of sections are ours; what a page says is not, and no byte of it may end the line
 * or the value. */
static void metrics_write_label(FILE *out, char before, const char *name,
                                const char *value)
{
    fprintf(out, "%c%s=\"", before, name);
    for (const char *c = value; *c; c++) {
        if (*c == '\\' || *c == '"')
            fprintf(out, "\\%c", *c);
        else if (*c == '\n')
            fputs("\\n", out);
        else
            fputc((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e ? '?' : *c, out);
    }
    fputc('"', out);
}
