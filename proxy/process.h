/*
 * One role's process as the master sees it: started by fork and exec of this very binary,
 * spoken to over its control socket, replaced with a growing delay when it dies.
 */
#ifndef PROXY_PROCESS_H
#define PROXY_PROCESS_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/types.h>

#include "proxy/control.h"
#include "proxy/role.h"
#include "proxy/sandbox.h"
#include "proxy/stats.h"

enum process_state {
    PROCESS_DOWN,      /* not running; perhaps about to be started again */
    PROCESS_PREPARING, /* was sent a configuration and has not answered */
    PROCESS_PREPARED,  /* is ready to serve it */
    PROCESS_REFUSED,   /* is not */
    PROCESS_ABORTED,   /* has yet to answer about one that was given up meanwhile */
    PROCESS_SERVING    /* has nothing outstanding */
};

struct process;

/* What the master does when something happens to a process. */
struct process_events {
    /* Its sandbox is closed: process->sandbox says how; or, if `refused`, could not be.
     */
    void (*on_sandboxed)(void *master, struct process *process, bool refused);
    void (*on_finding)(void *master, enum report_level level, const char *text);
    /* It can serve these certificates of the configuration that it prepares. */
    void (*on_served)(void *master, const struct cert_set *served);
    /* It says what a name stands for; false: that is nonsense. */
    bool (*on_resolved)(void *master, const struct control_message *message);
    void (*on_answer)(void *master, struct process *process);
    void (*on_listed)(void *master, struct process *process,
                      const struct control_message *message);
    void (*on_log_cut)(void *master, uint32_t epoch);
    /* It is gone and reaped.  `words` say how it ended; NULL: as it was told to. */
    void (*on_exit)(void *master, struct process *process, const char *words);
    /* The delay after an exit is over: start it again. */
    void (*on_restart)(void *master, struct process *process);
};

struct process {
    const struct role *role;
    unsigned index;
    enum process_state state;
    bool serves;         /* a configuration was committed in it */
    bool ending;         /* was told to end; its exit is no accident */
    pid_t pid;           /* 0: not running */
    int control_fd;      /* owned; -1 */
    uint32_t generation; /* sent last */
    uint32_t log_epoch;  /* of the log socket that it was given last */
    uint32_t log_cut;    /* of the one that it called dead last */
    size_t findings;     /* that it has sent about this generation */
    uint32_t listing;    /* CONTROL_SESSIONS that it has yet to answer; 0: none */
    unsigned failures;   /* exits in a row, each soon after its start */
    uint64_t started_ms;
    uint64_t pinged_ms;           /* when it was asked what it has not answered; 0 */
    bool sandboxed;               /* it has said what has come of its sandbox: */
    struct sandbox_state sandbox; /* for people, as it comes from the process itself */
    bool forbidden;               /* it has said that it dies of a system call: */
    uint32_t forbidden_call;      /* this one */
    int stats_fd;                 /* owned; -1: the role counts nothing */
    const struct stats_worker *stats; /* owned mapping of it, or NULL */
    struct event_base *base;          /* borrowed */
    struct event *control_event;      /* owned */
    struct event *restart_timer;      /* owned */
    struct event *answer_timer;       /* owned; kills what does not answer */
    const struct process_events *events;
    void *master;
};

bool process_init(struct process *process, struct event_base *base,
                  const struct role *role, unsigned index,
                  struct error *error) MUST_CHECK;

/* Forks and execs it and sends CONTROL_START with `numbers`. */
bool process_start(struct process *process, const uint32_t numbers[CONTROL_NUMBERS],
                   struct error *error) MUST_CHECK;

/* Sends a message; a process that cannot be told is killed (and then replaced). */
void process_tell(struct process *process, enum control_type type, uint32_t generation,
                  const char *text, const struct control_fds *fds);

/* The same with all that a message can hold. */
void process_tell_message(struct process *process, const struct control_message *message,
                          const struct control_fds *fds);

/* Sends PREPARE and expects an answer in good time. */
void process_prepare(struct process *process, uint32_t generation,
                     const struct control_fds *fds);

/* Goes on with a process that an earlier image of this program started and that has no
 * question open; takes `control_fd`. */
bool process_adopt(struct process *process, pid_t pid, int control_fd,
                   uint32_t generation, struct error *error) MUST_CHECK;

/* Has it count on this page, which is taken, in place of a new one. */
bool process_take_page(struct process *process, int stats_fd,
                       struct error *error) MUST_CHECK;

/* Asks for a sign of life, if it serves, is not to end, and none is awaited. */
void process_ping(struct process *process);

/* For how long one has been awaited. */
uint64_t process_silent_ms(const struct process *process);

/* To be called when waitpid has returned its pid. */
void process_reaped(struct process *process, int status);

/* Has on_restart called after a delay that grows while it keeps dying soon after its
 * start. */
void process_restart_later(struct process *process);

/* Name and number, "worker 0". */
const char *process_title(const struct process *process, char *text, size_t size);

void process_kill(struct process *process);

void process_close(struct process *process);

#endif
