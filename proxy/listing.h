/*
 * The live sessions of all workers at one moment, gathered by the master for the
 *console: every worker that runs writes its oldest ones into a page made for it and
 * says so; one that does not in time is named.  One listing at a time.
 */
#ifndef PROXY_LISTING_H
#define PROXY_LISTING_H

#include "proxy/control.h"
#include "proxy/session_record.h"

struct master;
struct process;
struct listing;

struct listing *listing_new(struct master *master, void (*on_done)(void *argument),
                            void *argument) MUST_CHECK;

/* Asks all workers for their oldest sessions, `limit` together.  on_done is called later,
 * never from here. */
bool listing_begin(struct listing *listing, size_t limit, struct error *error) MUST_CHECK;

bool listing_is_active(const struct listing *listing);

/* What a worker has answered. */
void listing_on_listed(struct listing *listing, const struct process *process,
                       const struct control_message *message);

/* For on_done: the oldest of what has not been taken yet.  False: there is no more. */
bool listing_take(struct listing *listing, struct session_record *record,
                  unsigned *worker);

/* For on_done: how many sessions there are in all, of those who answered. */
uint64_t listing_total(const struct listing *listing);

/* For on_done: the first worker from `worker` on that did not answer; -1: none. */
int listing_find_silent(const struct listing *listing, unsigned worker);

void listing_end(struct listing *listing);
void listing_free(struct listing *listing);

#endif
