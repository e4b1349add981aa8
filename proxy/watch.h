/*
 * Watches files in the master and says when any of them has changed: by inotify on every
 * directory on the way to each of them, symbolic links followed one by one, so that a
 * link that is exchanged anywhere is seen; and by looking once a minute, for file systems
 * and limits where inotify says nothing.  A change is reported once the files have been
 * quiet for a moment.  Reads no file.
 */
#ifndef PROXY_WATCH_H
#define PROXY_WATCH_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/error.h"
#include "proxy/file_list.h"

struct watch;

/* `on_change(argument)` is called from the event loop; `base` and `argument` are
 * borrowed. */
struct watch *watch_new(struct event_base *base, void (*on_change)(void *argument),
                        void *argument, struct error *error) MUST_CHECK;

/* Watches `files` (taken: the list is empty afterwards) in place of those before.
 * `state` is what file_list_state said before they were read; what has changed since is
 * reported.  With `fits` false, what was read was of no use: a change is also reported
 * without one, after a time that doubles while that goes on. */
void watch_follow(struct watch *watch, struct file_list *files, uint64_t state,
                  bool fits);

/* NULL is allowed. */
void watch_free(struct watch *watch);

#endif
