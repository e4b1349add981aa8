/*
 * `pawl check`: everything that a start or a reload would find, without either.
 */
#ifndef PROXY_CHECK_H
#define PROXY_CHECK_H

/* Prints each finding on standard error, and a summary on standard output when there is
 * no error.  Returns the exit code. */
int check_run(const char *file);

#endif
