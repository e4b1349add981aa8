/*
 * The trial of a new binary before it takes over: run as a child with the arguments of
 * this one and TRIAL_OPTION, it reads the configuration, starts processes of its own, has
 * them prepare everything, serves nothing and ends.  It passes if it says so and ends
 * with 0 in time.  In the master.
 */
#ifndef PROXY_TRIAL_H
#define PROXY_TRIAL_H

#include <event2/event.h>
#include <stdio.h>
#include <sys/types.h>

#include "proxy/error.h"

#define TRIAL_OPTION "--trial"

struct trial;

/* `on_end(argument, reason)` is called once, from the loop; NULL: it passed.  What the
 * child says of errors is logged before.  `arguments` end in NULL. */
struct trial *trial_start(struct event_base *base, const char *binary,
                          char *const *arguments,
                          void (*on_end)(void *argument, const char *reason),
                          void *argument, struct error *error) MUST_CHECK;

/* To be called with what waitpid returned; whether it was the trial's child. */
bool trial_on_child_exit(struct trial *trial, pid_t pid, int status);

/* Kills the child, which is left to be reaped.  NULL is allowed. */
void trial_free(struct trial *trial);

/* In the child: says that everything could be prepared. */
void trial_pass(FILE *out);

#endif
