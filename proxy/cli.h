/*
 * The command line.  Each command says what to type next when it fails.  Exit codes: 0
 * fine, 1 failed, 2 usage.
 */
#ifndef PROXY_CLI_H
#define PROXY_CLI_H

#include <stdbool.h>

enum { EXIT_FINE, EXIT_FAILED, EXIT_USAGE };

#define CLI_DEFAULT_FILE "/etc/pawl/proxy.ini"

/* Runs the command in `arguments` (the program's own name first). */
int cli_run(int count, char **arguments);

/* What follows is for the commands. */

/* Says what is wrong with a command's arguments; returns EXIT_USAGE. */
int cli_usage(const char *name, const char *problem, const char *word);

/* The value after an option, where it has one: *i then stands on it. */
bool cli_take_value(int count, char **arguments, int *i, const char *option,
                    const char **value);

#endif
