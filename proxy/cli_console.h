/* The commands that ask a running Pawl: see console_call.h.  All take -c FILE or
 * --control PATH. */
#ifndef PROXY_CLI_CONSOLE_H
#define PROXY_CLI_CONSOLE_H

int cli_status(int count, char **arguments);
int cli_sessions(int count, char **arguments);
int cli_reload(int count, char **arguments);
int cli_stop(int count, char **arguments);
int cli_upgrade(int count, char **arguments);
int cli_log(int count, char **arguments);

#endif
