/*
 * Another binary in place of this one, in the same process: the new one is tried as a
 * child, then executed with the listening sockets and ticket keys (handover.h).  It
 * starts processes of its own beside the old ones, which serve on; once all are ready it
 * lets go of the old ones, which finish what is open.  If that fails, it executes the old
 * program again, to which its processes were loyal all the time.  In the master.
 *
 *   upgrade.c   the image that is replaced: trial, execution
 *   takeover.c  the one that replaces it: adoption, end or way back
 *   departing.c the processes of the image before, until their end
 *   bequest.c   what other parts of the master leave to it
 */
#ifndef PROXY_UPGRADE_H
#define PROXY_UPGRADE_H

#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>

#include "proxy/alarm.h"
#include "proxy/handover.h"
#include "proxy/trial.h"

/* The variable of the environment that names the descriptor of what is handed over. */
#define UPGRADE_VARIABLE "PAWL_HANDOVER"

struct master;

struct upgrade {
    char binary[PATH_MAX];  /* where a new one is looked for; "": nowhere */
    char *const *arguments; /* borrowed; NULL: there is nothing to execute it with */
    struct trial *trial;    /* owned; while one runs */
    bool passed;            /* to be executed as soon as nothing else is under way */
    bool taking_over;       /* from.processes serve still */
    bool going_back;        /* this is the old image again */
    bool drain_wanted;      /* was told to end while taking over */
    struct handover from;   /* owned with its descriptors */
    struct event *patience; /* owned; for being ready */
    struct event *soon;     /* owned; executes, signals being blocked */
    sigset_t signals;       /* that were blocked before */
    struct handover_process *departing; /* owned array */
    size_t departing_count;
    struct alarm *departing_alarm; /* owned */
};

/* Finds the binary, and takes what was handed over if this process is the one for it. */
bool upgrade_open(struct master *master, char *const *arguments,
                  struct error *error) MUST_CHECK;
void upgrade_close(struct master *master);

/* Begins one.  If this succeeds, whoever waits on the control socket is told when it is
 * over, by whichever program that is. */
bool master_upgrade(struct master *master, struct error *error) MUST_CHECK;

/* Ends a trial, if one runs. */
void upgrade_cancel(struct master *master, const char *reason);

/* Whether one is under way that everything else has to wait for. */
bool upgrade_is_pending(const struct master *master);

/* Executes a binary that has passed its trial; to be called when nothing else is under
 * way. */
void upgrade_consider(struct master *master);

/* Executes `binary` (NULL: the program of the way back) with what is in `handover`;
 * returns only if that fails. */
void upgrade_execute(struct master *master, struct handover *handover, const char *binary,
                     struct error *error);

/* Adds what both ways have in common: sockets, tickets, departing processes. */
bool upgrade_collect(struct master *master, struct handover *handover,
                     struct error *error) MUST_CHECK;

/* Logs and tells how it ended. */
void upgrade_end(struct master *master, bool ok, const char *text);

/* Has a descriptor stay open over an upgrade; takes it.  Names are the caller's to choose
 * and to tell apart. */
bool upgrade_keep(struct master *master, const char *name, int fd) MUST_CHECK;

/* Closes those that nobody has taken. */
void upgrade_drop_kept(struct master *master);

/* The descriptor that was kept under the name, the caller's from now on; -1: there is
 * none (any more). */
int upgrade_take(struct master *master, const char *name);

/* takeover.c */

bool takeover_begin(struct master *master, struct error *error) MUST_CHECK;

/* The old image again: goes on as if nothing had been tried. */
bool takeover_resume(struct master *master, struct error *error) MUST_CHECK;

/* Before the first configuration is committed: the counters go on where they are. */
void takeover_carry_counters(struct master *master);

/* After it: the old processes are let go. */
void takeover_finish(struct master *master);

/* Executes the old program again.  Returns false if there is none, or if it cannot be. */
bool takeover_go_back(struct master *master, const char *reason);

/* Whether being told to end has to wait; it is not forgotten. */
bool upgrade_delays(struct master *master);

/* bequest.c: before another program is executed, and in it. */
void bequest_leave(struct master *master);
void bequest_take(struct master *master);

/* departing.c */

bool departing_open(struct master *master, struct error *error) MUST_CHECK;
bool departing_add(struct master *master, const struct handover_process *process);
size_t departing_count(const struct master *master);
void departing_kill(struct master *master);

/* Whether it was one of them, or one that still serves for the image before. */
bool departing_on_child_exit(struct master *master, pid_t pid, int status);

#endif
