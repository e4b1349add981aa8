/* The configuration file as commands read it that only want to know what it says. */
#ifndef PROXY_OWN_CONFIG_H
#define PROXY_OWN_CONFIG_H

#include "config/config.h"

/* What could be understood of `file`, even if it has errors.  NULL: it cannot be read. */
struct config *own_config_read(const char *file, struct error *error) MUST_CHECK;

#endif
