/* clang-format off */
/*
 * pawl: the entry of every process.  The table is the security model on one screen: each
 * role is this binary again, started by the master with nothing but its control socket, and
 * enters the sandbox before it reads its first configuration (role.c, sandbox.c).
 *
 *   role        holds                          network            files
 *   master      no key bytes, no client bytes  binds only         configuration, certificates
 *   worker      public certificates            clients, backends  none
 *   keyholder   private keys                   none               none
 *   admin       counters, public certificates  admin addresses    none
 *   resolver    nothing                        name servers       what names are found with
 *   demo-app    nothing                        one loopback port  none
 *
 * The same in the kernel's terms is the table in sandbox_profile.c.
 */
/* clang-format on */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/admin_role.h"
#include "proxy/cli.h"
#include "proxy/demo_role.h"
#include "proxy/keyholder_role.h"
#include "proxy/resolver_role.h"
#include "proxy/worker.h"

static const struct role *const ROLES[] = {&worker_role, &keyholder_role, &admin_role,
                                           &resolver_role, &demo_role};

/* A descriptor opened later must never become what the log is written to. */
static void open_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            abort();
    }
}

int main(int count, char **arguments)
{
    open_standard_descriptors();
    for (size_t i = 0; count == 3 && i < sizeof(ROLES) / sizeof(ROLES[0]); i++) {
        if (strcmp(arguments[1], ROLES[i]->name) == 0 && arguments[2][0] >= '0' &&
            arguments[2][0] <= '9')
            return role_run(ROLES[i], (unsigned)strtoul(arguments[2], NULL, 10));
    }
    return cli_run(count, arguments);
}
