/*
 * The figures of a status in the text format of Prometheus (0.0.4), all of them made from
 * the table in stats_table.c.
 */
#ifndef PROXY_METRICS_H
#define PROXY_METRICS_H

#include <stdio.h>

#include "proxy/status.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_write(FILE *out, const struct status *status);

#endif
