/*
 * The admin process: serves what the others count, to whoever the operator lets ask.  It
 * maps their pages to read only, has public certificates for their dates, and neither
 * clients' bytes nor keys.  Runs only while [admin] address is set.
 */
#ifndef PROXY_ADMIN_ROLE_H
#define PROXY_ADMIN_ROLE_H

#include "proxy/role.h"

/* The calls of this role. */
extern const struct role admin_role;

#endif
