/* A status to write about: a configuration, two workers' pages, a master's page. */
#ifndef TESTS_UNIT_STATUS_LAB_H
#define TESTS_UNIT_STATUS_LAB_H

#include "proxy/status.h"

struct status_lab {
    struct config config;
    struct config_backend backends[2]; /* "app", "api" */
    struct status_certificate certificate;
    struct stats_master master;
    struct stats_worker pages[2];
    const struct stats_worker *workers[2];
    struct status status;
};

extern struct status_lab status_lab;

/* Setup: everything serves, nothing has happened yet. */
int status_lab_begin(void **state);

/* What `write` writes about it; valid until the next call. */
const char *status_lab_text(void (*write)(FILE *out, const struct status *status));

#endif
