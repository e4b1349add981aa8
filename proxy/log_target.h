/*
 * The master's part of logging: it connects to the syslog daemon for every process, since
 * roles may open nothing, and does so again when the daemon was started anew.  It also
 * says what level is in force.
 */
#ifndef PROXY_LOG_TARGET_H
#define PROXY_LOG_TARGET_H

#include <event2/event.h>
#include <stdint.h>

#include "config/config.h"
#include "proxy/error.h"
#include "proxy/log_timer.h"

struct master;
struct process;

struct log_target {
    enum log_level level; /* in force */
    /* Of the sockets that are out.  Every process has its own, which nobody else can
     * close, fill or connect to something else. */
    uint32_t epoch;
    uint64_t renewed_ms;
    struct event *renewal;   /* owned; pending: new sockets are due */
    struct log_timer *timer; /* owned */
};

bool log_target_open(struct master *master, struct error *error) MUST_CHECK;
void log_target_close(struct master *master);

/* A datagram socket connected to the daemon at `path`, or -1. */
int log_target_connect(const char *path, struct error *error) MUST_CHECK;

/* Reports it if the log cannot go where `config` says. */
void log_target_check(const struct config *config, struct report *report);

/* The same for the master's next configuration; at the start, lines go there from now on,
 * and to standard error as well, so that whoever starts Pawl sees why it does not. */
void log_target_prepare(struct master *master);

/* The next configuration has become the current one: it holds for every process. */
void log_target_commit(struct master *master);

/* Everything serves: standard error is told nothing more, unless it is the target. */
void log_target_started(const struct master *master);

/* Tells one process where and what to log. */
void log_target_tell(struct master *master, struct process *process);

/* A process found that the daemon has left the sockets of this epoch. */
void log_target_on_cut(struct master *master, uint32_t epoch);

/* The level for all processes until the next reload. */
void log_target_set_level(struct master *master, enum log_level level);

#endif
