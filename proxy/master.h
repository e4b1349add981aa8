/*
 * The master: reads the configuration, opens files, binds sockets, supervises the roles
 * and replaces configurations in two phases.  It sees no byte of a client and none of a
 * key.
 *
 *   master.c    start, signals, end
 *   drain.c     the end in peace
 *   fleet.c     the processes: starting, linking, replacing them
 *   window.c    the ticket keys
 *   reload.c    prepare everywhere, then commit everywhere or nowhere
 *   log_target.c  where all processes log
 *   ledger.c    what of all that is counted
 *   resolve.c   the names of backends
 *   upgrade.h   another binary in place of this one
 *   watchdog.c  signs of life for the service manager
 */
#ifndef PROXY_MASTER_H
#define PROXY_MASTER_H

#include <event2/event.h>

#include "certs/ticket_keys.h"
#include "certs/vault.h"
#include "proxy/activation.h"
#include "proxy/admin_sockets.h"
#include "proxy/alarm.h"
#include "proxy/console.h"
#include "proxy/generation.h"
#include "proxy/log_target.h"
#include "proxy/notify.h"
#include "proxy/process.h"
#include "proxy/resolver.h"
#include "proxy/sandbox.h"
#include "proxy/sockets.h"
#include "proxy/stats_master.h"
#include "proxy/upgrade.h"
#include "proxy/watch.h"

enum { MASTER_SIGNALS = 6 };

struct master {
    struct event_base *base;     /* owned */
    const struct source *source; /* borrowed */
    struct generation *current;  /* owned; NULL before the first commit */
    struct generation *next;     /* owned; while one is being prepared */
    struct report report;        /* findings on `next` */
    struct report last_report;   /* those on the one before */
    struct cert_set served; /* of `next`: what every process that answered can serve */
    unsigned reductions;    /* of `next`, so far */
    bool renewing;          /* `next` is `current` with its files as they are now */
    bool renewal_wanted;
    struct watch *watch;       /* owned; of the files that certificates come from */
    struct resolver *resolver; /* owned */
    struct sockets sockets;    /* owned */
    struct admin_sockets admin_sockets;     /* owned */
    struct identity identity;               /* whom the roles run as */
    char sandbox_complaint[ERROR_TEXT_MAX]; /* logged last */
    struct process *processes;              /* owned; see fleet.c for their order */
    size_t process_count;
    unsigned worker_count;
    uint32_t last_generation;
    struct vault vault;         /* owned; holds the ring */
    struct ticket_ring *ring;   /* the ticket keys */
    uint64_t window_ms;         /* that they are made for; 0: no tickets */
    struct alarm *window_alarm; /* owned */
    struct console *console;    /* owned; the control socket */
    enum master_state state;    /* set by ledger_note_state alone */
    struct stats_master *stats; /* owned mapping; there as soon as anything is */
    int stats_fd;               /* owned; of the same page */
    struct upgrade upgrade;
    struct activation activation; /* owned; sockets of the service manager */
    struct notify notify;         /* owned */
    struct event *watchdog;       /* owned; NULL: nobody asks for signs of life */
    uint64_t settled_ms; /* for how long who was connecting is let in; 0: is not now */
    bool trial;          /* prepares everything, serves nothing, ends */
    bool reload_wanted;  /* asked for while something else was under way */
    struct log_target log;
    int exit_code;
    struct event *signals[MASTER_SIGNALS]; /* owned */
    struct event *deadline;                /* owned; for drain and stop */
    void (*on_ready)(void *argument);      /* may be NULL */
    void *on_ready_argument;
};

struct master_options {
    struct source source;
    void (*on_ready)(void *argument); /* called once everything serves; may be NULL */
    void *on_ready_argument;
    char *const
        *arguments; /* of main, to execute a new binary with; NULL: none ever is */
    bool trial;     /* see struct master */
};

/* Runs until it is told to end; returns the exit code. */
int master_run(const struct master_options *options);

/* Ends everything: at once, or after the sessions have finished. */
void master_stop(struct master *master, int exit_code);
void master_drain(struct master *master);

/* Tells the service manager what is in service. */
void master_notify_ready(const struct master *master);

/* Goes on with the end when processes have ended. */
void master_on_fewer(struct master *master);

/* When a drain goes on, or what has not ended is killed; in place of the time before. */
void master_set_deadline(struct master *master, uint64_t ms);

/* drain.c: the next step of a lame duck. */
void drain_go_on(struct master *master);

/* watchdog.c */
bool watchdog_open(struct master *master, struct error *error) MUST_CHECK;
void watchdog_close(struct master *master);

/* fleet.c */

/* Makes and starts all processes for `workers` workers. */
bool fleet_start(struct master *master, unsigned workers, struct error *error) MUST_CHECK;

/* The same without starting any. */
bool fleet_make(struct master *master, unsigned workers, struct error *error) MUST_CHECK;

/* Whether the configuration has a use for the process. */
bool fleet_wants(const struct process *process, const struct generation *generation);

/* Goes on with the processes that were handed over, instead of starting any; takes their
 * descriptors. */
bool fleet_adopt(struct master *master, struct handover *from,
                 struct error *error) MUST_CHECK;

/* Sends the next configuration to every process that serves. */
void fleet_prepare(struct master *master);

/* Commits it, or has it forgotten; in the order that never leaves a worker without the
 * keys it needs. */
void fleet_commit(struct master *master);
void fleet_abort(struct master *master);

/* Ends the processes that the configuration in service has no use for. */
void fleet_settle(struct master *master);

/* How many processes of the role (NULL: of any) are running. */
size_t fleet_running(const struct master *master, const struct role *role);

/* Whether any process has a configuration to answer. */
bool fleet_is_preparing(const struct master *master);

/* Tells every process of the role (NULL: all) to end by DRAIN or STOP. */
void fleet_end(struct master *master, const struct role *role, enum control_type how);

void fleet_kill(struct master *master);
void fleet_on_child_exit(struct master *master, pid_t pid, int status);
void fleet_close(struct master *master);

/* resolve.c */

bool resolve_open(struct master *master, struct error *error) MUST_CHECK;

/* Tells one worker, or all, what the names of `config` stand for. */
void resolve_send(struct master *master, struct process *worker,
                  const struct config *config);
void resolve_send_all(struct master *master, const struct config *config);

/* Takes the resolver's word; false: it is nonsense. */
bool resolve_on_message(void *master, const struct control_message *message);

/* fleet_admin.c */

/* Gives the admin process, which has just been started, all pages to read only: the
 * master's and, from the first to the last, the workers'. */
bool fleet_admin_send_pages(const struct master *master, struct process *admin,
                            struct error *error) MUST_CHECK;

/* Gives it the sockets of the configuration that is being prepared; it knows those it
 * has. */
void fleet_admin_send_sockets(const struct master *master, struct process *admin);

/* window.c */

bool window_open(struct master *master, struct error *error) MUST_CHECK;
void window_close(struct master *master);

/* Keeps the keys that `tls` asks for, from now on, in every worker. */
void window_follow(struct master *master, const struct config_tls *tls);

/* Gives the present keys to one worker. */
void window_send(struct master *master, struct process *process);

/* ledger.c */

bool ledger_open(struct master *master, struct error *error) MUST_CHECK;
void ledger_close(struct master *master);

/* Enters a state. */
void ledger_note_state(struct master *master, enum master_state state);

/* `current` has just gone into service. */
void ledger_note_accepted(struct master *master);

/* What became of what was being prepared, and what was found in it. */
void ledger_note_result(struct master *master, enum reload_result result,
                        const struct report *report);

/* A process was started; or it serves now, or has ended. */
void ledger_note_start(struct master *master, const struct process *process);
void ledger_note_process(struct master *master, const struct process *process);

/* The ring has turned, and will again at `due_ms` (UINT64_MAX: never). */
void ledger_note_window(struct master *master, uint64_t due_ms);

/* reload.c

   Which certificates are served is agreed on by the bundle alone.  Every process that
   prepares a generation answers with those it can serve: a worker knows the chains, a
   keyholder the keys.  If that is not all that the bundles offer, the master makes new
   bundles that offer only what all can serve (and what is in service already, as it was)
   and has these prepared instead.  What is committed was therefore built without a fault
   by every process, and one that is replaced later gets the same. */

/* Captures the source again and has it prepared; at the start, for the first time. */
void reload_begin(struct master *master);

/* Refuses what is being prepared without waiting for further answers. */
void reload_give_up(struct master *master);

/* Drops what is being prepared, if anything is. */
void reload_forget(struct master *master);

/* The same with the configuration in service: only its certificates are read again.
 * For the watch; `master` is a struct master. */
void reload_on_change(void *master);

/* To be called whenever something has changed that a decision may wait for. */
void reload_consider(struct master *master);

#endif
