/*
 * The demo app as a role: a backend in a process of its own, for `pawl demo` only.
 */
#ifndef PROXY_DEMO_ROLE_H
#define PROXY_DEMO_ROLE_H

#include "proxy/role.h"

extern const struct role demo_role;

#endif
