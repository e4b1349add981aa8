/*
 * A status for somebody who is woken at night: what is wrong first, then the rest, in at
 * most 100 columns.
 */
#ifndef PROXY_STATUS_TEXT_H
#define PROXY_STATUS_TEXT_H

#include <stdbool.h>

#include "proxy/status.h"

/* With `color` what is wrong is red: for terminals. */
void status_write_text(FILE *out, const struct status *status, bool color);

#endif
