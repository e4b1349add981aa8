/*
 * The resolver as a role: asks the system what names stand for, so that nobody who serves
 * has to wait for that.  It has no client's bytes and no keys.
 */
#ifndef PROXY_RESOLVER_ROLE_H
#define PROXY_RESOLVER_ROLE_H

#include "proxy/role.h"

extern const struct role resolver_role;

#endif
