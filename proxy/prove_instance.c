#include "proxy/prove_instance.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "proxy/console_call.h"
#include "proxy/human.h"
#include "proxy/prove_process.h"

/* A key is wiped by a timer, which may be a little late. */
enum { LATE_MS = 2000, SHOWN_MAX = 4, SECCOMP_FILTER = 2 };

static void judge_keys(struct prove *prove, const struct prove_instance *instance);
static void judge_tls12(struct prove *prove, const struct prove_instance *instance);
static void judge_role(struct prove *prove, const struct prove_instance *instance,
                       const char *role, const char *id);
static enum prove_verdict judge_process(struct prove *prove,
                                        const struct prove_instance_process *process,
                                        bool shown);
static void judge_network(struct prove *prove, const struct prove_instance *instance);
static void on_line(void *argument, char kind, const char *line);
static enum prove_verdict worse(enum prove_verdict a, enum prove_verdict b);

void prove_instance_read(struct prove_instance *instance, const char *line)
{
    struct prove_instance_process process = {.pid = 0};
    struct prove_instance_key key;
    int pid = 0;

    if (sscanf(line, "key %" SCNu64 " %" SCNd64, &key.age_ms, &key.left_ms) == 2 &&
        instance->key_count < INSTANCE_KEYS_MAX) {
        instance->keys[instance->key_count++] = key;
        return;
    }
    if (sscanf(line, "process %15s %u %d", process.role, &process.index, &pid) == 3 &&
        pid > 0 && instance->process_count < INSTANCE_PROCESSES_MAX) {
        process.pid = pid;
        instance->processes[instance->process_count++] = process;
        return;
    }
    if (sscanf(line, "window %" SCNu64, &instance->window_ms) != 1 &&
        sscanf(line, "tickets %u", &instance->tickets) != 1 &&
        sscanf(line, "rotation %" SCNu64, &instance->rotation_ms) != 1 &&
        sscanf(line, "tls12_max_lifetime %" SCNu64, &instance->tls12_max_lifetime_ms) !=
            1 &&
        sscanf(line, "unanswered_keep %u", &instance->unanswered_keep) != 1)
        instance->unknown++;
}

void prove_instance_judge_window(struct prove *prove,
                                 const struct prove_instance *instance)
{
    judge_keys(prove, instance);
    judge_tls12(prove, instance);
    if (instance->unanswered_keep) {
        prove_text_add(&prove->evidence, "unanswered_rekey = keep");
        PROVE_ADD(
            prove, PROVE_WARN, "window-rekey",
            "clients that do not renew their keys stay connected beyond the window");
    } else {
        prove_text_add(&prove->evidence, "unanswered_rekey = close");
        PROVE_ADD(prove, PROVE_OK, "window-rekey",
                  "no TLS 1.3 connection keeps its keys beyond the window");
    }
}

void prove_instance_judge_processes(struct prove *prove,
                                    const struct prove_instance *instance)
{
    judge_role(prove, instance, "worker", "sandbox-worker");
    judge_role(prove, instance, "keyholder", "sandbox-keyholder");
    judge_network(prove, instance);
}

void prove_instance(struct prove *prove, const char *control, const char *file)
{
    struct prove_instance *instance = calloc(1, sizeof(*instance));
    struct console_call call = {
        .control = control, .file = file, .on_line = on_line, .argument = instance};
    struct error error = {.text = "out of memory"};

    int code = instance ? console_ask(&call, "prove", &error) : -1;
    if (code == 0 && instance->window_ms > 0 && instance->unknown == 0) {
        prove_instance_judge_window(prove, instance);
        prove_instance_judge_processes(prove, instance);
    } else {
        prove_text_add(&prove->evidence, "%s",
                       code < 0 ? error.text : "what it said is not understood");
        PROVE_ADD(prove, PROVE_WARN, "instance",
                  "the running Pawl could not be asked: its ticket keys and processes "
                  "were not tested");
    }
    free(instance);
}

static void judge_keys(struct prove *prove, const struct prove_instance *instance)
{
    char age[HUMAN_TEXT_MAX], left[HUMAN_TEXT_MAX];
    bool good = instance->tickets ? instance->key_count > 0 : instance->key_count == 0;

    prove_text_add(&prove->evidence, "window %s",
                   human_duration(instance->window_ms, age));
    for (size_t i = 0; i < instance->key_count; i++) {
        const struct prove_instance_key *key = &instance->keys[i];
        good = good && key->age_ms <= instance->window_ms + LATE_MS &&
               key->left_ms >= -LATE_MS &&
               key->left_ms <= (int64_t)instance->window_ms + LATE_MS;
        prove_text_add(
            &prove->evidence, "; key %zu is %s old, wiped in %s", i,
            human_duration(key->age_ms, age),
            human_duration(key->left_ms > 0 ? (uint64_t)key->left_ms : 0, left));
    }
    if (!instance->tickets) {
        prove_text_add(&prove->evidence, "; tickets are off");
        PROVE_ADD(prove, good ? PROVE_OK : PROVE_FAIL, "ticket-keys", "%s",
                  good ? "there are no ticket keys"
                       : "ticket keys are kept though there are no tickets");
        return;
    }
    good = good && instance->rotation_ms <= instance->window_ms;
    prove_text_add(&prove->evidence, "; next rotation in %s",
                   human_duration(instance->rotation_ms, age));
    PROVE_ADD(prove, good ? PROVE_OK : PROVE_FAIL, "ticket-keys", "%s",
              good ? "no ticket key outlives the window"
                   : "ticket keys are not renewed within the window");
}

static void judge_tls12(struct prove *prove, const struct prove_instance *instance)
{
    char text[HUMAN_TEXT_MAX];
    bool good = instance->tls12_max_lifetime_ms <= instance->window_ms;

    prove_text_add(&prove->evidence, "tls12_max_lifetime = %s",
                   instance->tls12_max_lifetime_ms == LIFETIME_UNLIMITED
                       ? "unlimited"
                       : human_duration(instance->tls12_max_lifetime_ms, text));
    PROVE_ADD(prove, good ? PROVE_OK : PROVE_WARN, "window-tls12", "%s",
              good ? "no TLS 1.2 connection outlives the window"
                   : "TLS 1.2 connections may outlive the window");
}

static void judge_role(struct prove *prove, const struct prove_instance *instance,
                       const char *role, const char *id)
{
    enum prove_verdict verdict = PROVE_OK;
    size_t count = 0;

    for (size_t i = 0; i < instance->process_count; i++) {
        const struct prove_instance_process *process = &instance->processes[i];
        if (strcmp(process->role, role) != 0)
            continue;
        verdict = worse(verdict, judge_process(prove, process, count < SHOWN_MAX));
        count++;
    }
    if (count > SHOWN_MAX)
        prove_text_add(&prove->evidence, "; and %zu more", count - SHOWN_MAX);
    if (count == 0) {
        prove_text_add(&prove->evidence, "no %s runs", role);
        verdict = PROVE_WARN;
    }
    PROVE_ADD(prove, verdict, id, "%s%s", role,
              verdict == PROVE_OK     ? "s are shut in by the kernel"
              : verdict == PROVE_INFO ? "s could not be looked at"
                                      : "s are not shut in as they should be");
}

/* A process is shown if it is among the first, or if something is wrong with it. */
static enum prove_verdict judge_process(struct prove *prove,
                                        const struct prove_instance_process *process,
                                        bool shown)
{
    enum prove_verdict verdict = PROVE_OK;
    struct prove_process facts;
    struct error error;

    if (!prove_process_read(process->pid, &facts, &error)) {
        prove_text_add(&prove->evidence, "%s; ", error.text);
        return PROVE_INFO;
    }
    if (facts.seccomp != SECCOMP_FILTER)
        verdict = PROVE_WARN;
    if (!facts.no_new_privs || facts.capabilities != 0 || facts.uid == 0)
        verdict = PROVE_FAIL;
    if (!shown && verdict == PROVE_OK)
        return verdict;
    prove_text_add(
        &prove->evidence, "%s%u (pid %d) uid %u, %s, %s, %s",
        prove->evidence.length > 0 ? "; " : "", process->index, (int)process->pid,
        facts.uid, facts.no_new_privs ? "no_new_privs" : "NO no_new_privs",
        facts.seccomp == SECCOMP_FILTER ? "seccomp filter" : "NO seccomp filter",
        facts.capabilities == 0 ? "no capabilities" : "CAPABILITIES");
    return verdict;
}

static void judge_network(struct prove *prove, const struct prove_instance *instance)
{
    enum prove_verdict verdict = PROVE_OK;
    struct error error;

    for (size_t i = 0; i < instance->process_count; i++) {
        const struct prove_instance_process *process = &instance->processes[i];
        unsigned descriptors, sockets, of_network;
        if (strcmp(process->role, "keyholder") != 0)
            continue;
        const char *between = prove->evidence.length > 0 ? "; " : "";
        if (!prove_process_count_sockets(process->pid, &descriptors, &sockets,
                                         &of_network, &error)) {
            verdict = worse(verdict, PROVE_INFO);
            prove_text_add(&prove->evidence, "%s%s", between, error.text);
            continue;
        }
        if (of_network > 0)
            verdict = PROVE_FAIL;
        prove_text_add(&prove->evidence,
                       "%skeyholder %u (pid %d): %u descriptors, %u sockets, %u of them "
                       "not unix",
                       between, process->index, (int)process->pid, descriptors, sockets,
                       of_network);
    }
    PROVE_ADD(prove, verdict, "keys-network", "%s",
              verdict == PROVE_FAIL ? "a process with private keys has a network socket"
              : verdict == PROVE_INFO
                  ? "whether keyholders have network sockets was not "
                    "tested: only root may look"
                  : "no process with private keys has a network socket");
}

static void on_line(void *argument, char kind, const char *line)
{
    struct prove_instance *instance = argument;

    if (kind == '+')
        prove_instance_read(instance, line);
}

static enum prove_verdict worse(enum prove_verdict a, enum prove_verdict b)
{
    static const int weight[PROVE_VERDICTS] = {
        [PROVE_OK] = 0, [PROVE_INFO] = 1, [PROVE_WARN] = 2, [PROVE_FAIL] = 3};

    return weight[b] > weight[a] ? b : a;
}
