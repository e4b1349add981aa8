/*
 * What the master and its roles say to each other: fixed-size messages over a SEQPACKET
 * socketpair, descriptors alongside.  Neither side believes the other: sizes, types, text
 * and the number of descriptors are checked on arrival.
 */
#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

#include <stdint.h>

#include "proxy/error.h"

enum { CONTROL_TEXT_MAX = 1300, CONTROL_FDS_MAX = 2, CONTROL_TIMEOUT_S = 5 };

enum control_type {
    /* master to role */
    CONTROL_START = 1, /* number: by enum control_start_number */
    CONTROL_LISTENER,  /* text: address; fd: listening socket */
    CONTROL_PREPARE,   /* fds: bundle, and for keyholders the keys */
    CONTROL_COMMIT,
    CONTROL_ABORT,
    CONTROL_CHANNEL,   /* fd: the socketpair between worker and keyholder */
    CONTROL_TICKETS,   /* text: the bytes of a struct ticket_ring; wiped on both sides */
    CONTROL_STATS,     /* number[0]: whose; fd: the page that the role counts on, from its
                          start, or one that it may read */
    CONTROL_LOG,       /* number: enum control_log_number; generation: which sockets these
                          are; fd: one connected to the syslog daemon, if there is any */
    CONTROL_SESSIONS,  /* number[0]: records there is room for; fd: the page for them */
    CONTROL_RESOLVE,   /* number: RESOLVED_QUERY; text: the host to look up */
    CONTROL_ADDRESSES, /* text: the bytes of a struct resolved, of one backend */
    CONTROL_DRAIN,     /* finish sessions, then exit */
    CONTROL_STOP,      /* exit now */
    CONTROL_PING,      /* answer PONG */
    /* role to master */
    CONTROL_SANDBOXED, /* number: by enum control_sandbox_number; text: what is missing */
    CONTROL_FORBIDDEN, /* number[0]: the system call that the role now dies of */
    CONTROL_FINDING,   /* number[0]: enum report_level; text */
    CONTROL_SERVED, /* text: the bytes of a struct cert_set; what the role could serve */
    CONTROL_RESOLVED, /* number: enum control_resolved_number; text: the bytes of a struct
                         resolved, or why there is none */
    CONTROL_PREPARED,
    CONTROL_REFUSED, /* after its findings */
    CONTROL_PONG,
    CONTROL_LISTED,  /* number: records written, sessions in all; to a CONTROL_SESSIONS */
    CONTROL_LOG_CUT, /* the syslog daemon has left the socket of this generation */
    CONTROL_TYPE_END
};

enum control_start_number {
    START_UID,
    START_GID,
    START_DROP,
    START_LOG_LEVEL,
    START_LOG_FORMAT,
    START_MAY_LACK, /* bits by enum sandbox_part */
    START_WORKERS,  /* how many there are, also where the configuration says auto */
    CONTROL_NUMBERS
};

enum control_resolved_number { RESOLVED_QUERY, RESOLVED_FOUND };

enum control_log_number {
    LOG_NUMBER_LEVEL,
    LOG_NUMBER_FORMAT,
    LOG_NUMBER_TARGET,
    LOG_NUMBER_FACILITY,
    LOG_NUMBER_REPEATS
};

/* See struct sandbox_state.  With SANDBOXED_REFUSED the role ends: the text says why. */
enum control_sandbox_number {
    SANDBOXED_IN_FORCE,
    SANDBOXED_LANDLOCK_ABI,
    SANDBOXED_UID,
    SANDBOXED_REFUSED
};

struct control_message {
    uint32_t type;
    uint32_t generation;
    uint32_t number[CONTROL_NUMBERS];
    char text[CONTROL_TEXT_MAX]; /* NUL-terminated */
};

/* Descriptors that came with a message, -1 where none; owned by whoever received them. */
struct control_fds {
    int fd[CONTROL_FDS_MAX];
};

/* Makes the two ends, close-on-exec.  Sends wait at most CONTROL_TIMEOUT_S. */
bool control_pair(int ends[2], struct error *error) MUST_CHECK;

/* Sends one message with `fds` (may be NULL; -1 entries are left out), which stay the
 * caller's. */
bool control_send(int socket, const struct control_message *message,
                  const struct control_fds *fds, struct error *error) MUST_CHECK;

enum control_result {
    CONTROL_MESSAGE,
    CONTROL_NOTHING, /* nothing there now */
    CONTROL_CLOSED,  /* the other side is gone */
    CONTROL_INVALID  /* what came is no message: do not go on with this peer */
};

/* Takes one message if there is one; never waits unless `wait`. */
enum control_result control_receive(int socket, bool wait,
                                    struct control_message *message,
                                    struct control_fds *fds);

void control_fds_close(struct control_fds *fds);

#endif
