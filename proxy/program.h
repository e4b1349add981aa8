/*
 * Runs a command of the configuration, in the master or `pawl check`.  What it prints
 * goes into memory that is never read here.
 */
#ifndef PROXY_PROGRAM_H
#define PROXY_PROGRAM_H

#include <stddef.h>

#include "proxy/error.h"

enum { PROGRAM_TIMEOUT_S = 10 };

/* Runs `text` (passphrase_check_command has let it pass) as the user that this process
 * runs as, without a shell or a terminal, with an environment of its own, and waits until
 * it ends; with its whole process group it is killed when the time is over.  What it says
 * on standard error appears where ours does.  Returns a descriptor of what it printed,
 * which is not nothing and at most `most_bytes`, or -1.  Sets `*hung` if the time was
 * over, and runs nothing if it is set: what one waits for in vain, others may, too. */
int program_run(const char *text, size_t most_bytes, bool *hung,
                struct error *error) MUST_CHECK;

#endif
