/*
 * The keyholder as a role: joins certs/keyholder.h to the master's messages.
 */
#ifndef PROXY_KEYHOLDER_ROLE_H
#define PROXY_KEYHOLDER_ROLE_H

#include "proxy/role.h"

extern const struct role keyholder_role;

#endif
