/*
 * What a configuration must fulfil as a whole, beyond the single value: sections that
 * name each other, addresses that collide, bytes that would leave the machine in the
 * clear.
 */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config/config.h"

/* Reports every contradiction, and fills config_listener.backend. */
void check_config(struct config *config, struct report *report);

#endif
