/*
 * What one image of the program leaves to the next that is executed in its place: a
 * sealed memfd of lines, each a word and its values.  Descriptors keep their numbers.
 *
 *   pawl-handover 1                                   the format, first
 *   master PID                                        the process that it is meant for
 *   binary PATH                                       where a new program is found
 *   way-back FD                                       the program that wrote this
 *   generation NUMBER BUNDLE-FD KEYS-FD WORKERS DRAIN-MS   the configuration in service
 *   counters LAYOUT                                   of the pages behind STATS-FD
 *   tickets FD WINDOW-MS                              a pipe that holds the ring of keys
 *   process ROLE INDEX PID CONTROL-FD STATS-FD GENERATION
 *   departing ROLE INDEX PID UNTIL-MS                 of an upgrade before
 *   socket FD ADDRESS                                 listening sockets, in their order
 *   inherited FD NAME                                 the service manager's
 *   kept FD NAME                                      other modules'
 *   failed TEXT                                       on the way back: why
 *   end                                               last
 *
 * -1 is no descriptor.  Lines of unknown words are passed over, so that one that is not
 * vital can be added; whatever changes meaning gets another number in the first line.
 * Nothing that is read is believed: descriptors must be open, and named once.
 */
#ifndef PROXY_HANDOVER_H
#define PROXY_HANDOVER_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proxy/error.h"

enum {
    HANDOVER_FORMAT = 1,
    HANDOVER_BYTES_MAX = 4 * 1024 * 1024,
    HANDOVER_ITEMS_MAX = 65536,
    HANDOVER_ROLE_MAX = 24,
    HANDOVER_NAME_MAX = 256
};

enum handover_use { HANDOVER_SOCKET, HANDOVER_INHERITED, HANDOVER_KEPT };

struct handover_fd {
    enum handover_use use;
    int fd;
    char name[HANDOVER_NAME_MAX]; /* or address */
};

struct handover_process {
    char role[HANDOVER_ROLE_MAX];
    unsigned index;
    pid_t pid;           /* 0: has ended meanwhile */
    int control_fd;      /* -1 where departing */
    int stats_fd;        /* or -1 */
    uint32_t generation; /* that it was sent last */
    uint64_t until_ms;   /* departing: killed then, by ticket_clock_ms; 0: serves */
};

struct handover {
    pid_t master;
    char binary[PATH_MAX];
    int way_back_fd;
    uint32_t generation;
    int bundle_fd;
    int keys_fd;
    unsigned workers;
    uint64_t drain_ms;
    unsigned counters; /* STATS_LAYOUT */
    int ring_fd;
    uint64_t window_ms;
    struct handover_process *processes; /* owned array */
    size_t process_count;
    struct handover_fd *fds; /* owned array */
    size_t fd_count;
    char failed[ERROR_TEXT_MAX]; /* "": it has not */
};

/* Nothing in it yet, all descriptors -1. */
void handover_init(struct handover *handover);

/* Adds to the lists; false without memory or over HANDOVER_ITEMS_MAX. */
bool handover_add_process(struct handover *handover,
                          const struct handover_process *process) MUST_CHECK;
bool handover_add_fd(struct handover *handover, enum handover_use use, int fd,
                     const char *name) MUST_CHECK;

/* The descriptor (close-on-exec, the caller's) of the lines; -1 on failure. */
int handover_write(const struct handover *handover, struct error *error) MUST_CHECK;

/* Reads lines that were written for this process; `fd` stays the caller's.  All
 * descriptors are close-on-exec then, and belong to `handover`. */
bool handover_read(int fd, struct handover *handover, struct error *error) MUST_CHECK;

/* Whether the descriptors stay open over an execve. */
void handover_keep_open(const struct handover *handover, bool open);

/* Frees the lists.  The descriptors stay open. */
void handover_close(struct handover *handover);

/* The same, and closes those that are not -1. */
void handover_close_all(struct handover *handover);

#endif
