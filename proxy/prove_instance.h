/*
 * What only a running Pawl itself and its kernel can tell `pawl prove`: how old its
 * ticket keys are, and how its processes are shut in.  Its facts come over the control
 * socket, one a line (console_status.c); the judgement is made here.
 */
#ifndef PROXY_PROVE_INSTANCE_H
#define PROXY_PROVE_INSTANCE_H

#include <stdint.h>
#include <sys/types.h>

#include "proxy/prove_parts.h"

enum { INSTANCE_KEYS_MAX = 8, INSTANCE_PROCESSES_MAX = 1024, INSTANCE_ROLE_MAX = 16 };

struct prove_instance_process {
    char role[INSTANCE_ROLE_MAX];
    unsigned index;
    pid_t pid;
};

struct prove_instance {
    uint64_t window_ms; /* 0: nothing has been said yet */
    unsigned tickets;
    uint64_t rotation_ms; /* until then */
    uint64_t tls12_max_lifetime_ms;
    unsigned unanswered_keep;
    struct prove_instance_key {
        uint64_t age_ms;
        int64_t left_ms; /* until it is wiped */
    } keys[INSTANCE_KEYS_MAX];
    size_t key_count;
    struct prove_instance_process processes[INSTANCE_PROCESSES_MAX];
    size_t process_count;
    unsigned unknown; /* lines that were not understood */
};

/* One line of facts. */
void prove_instance_read(struct prove_instance *instance, const char *line);

/* What was said about the window, as findings. */
void prove_instance_judge_window(struct prove *prove,
                                 const struct prove_instance *instance);

/* What the kernel says about the processes, as findings. */
void prove_instance_judge_processes(struct prove *prove,
                                    const struct prove_instance *instance);

/* Asks and judges.  `control` and `file` as in struct console_call. */
void prove_instance(struct prove *prove, const char *control, const char *file);

#endif
