/*
 * The command line.  Each command says what to type next when it fails.  Exit codes: 0
 * fine, 1 failed, 2 usage.
 */
#ifndef PROXY_CLI_H
#define PROXY_CLI_H

enum { EXIT_FINE, EXIT_FAILED, EXIT_USAGE };

#define CLI_DEFAULT_FILE "/etc/pawl/proxy.ini"

/* Runs the command in `arguments` (the program's own name first). */
int cli_run(int count, char **arguments);

#endif
