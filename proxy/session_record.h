/*
 * Live sessions as a worker lists them for the operator: fixed records in a page of
 * memory that master and worker share for this one question.  The master believes nothing
 * in it.
 */
#ifndef PROXY_SESSION_RECORD_H
#define PROXY_SESSION_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/config.h"
#include "proxy/session_state.h"

struct json;
struct worker;

/* More would keep a worker's loop for longer than anybody should wait. */
enum { SESSION_RECORDS_MAX = 10000 };

struct session_record {
    uint64_t age_ms;
    uint64_t idle_ms; /* since the last byte */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint32_t state; /* enum session_state */
    uint32_t resumed;
    char client[64];
    char listener[CONFIG_NAME_MAX];
    char sni[256]; /* the client's bytes; "": none */
    char backend[ADDRESS_TEXT_MAX];
    char version[16]; /* what follows is "" before the handshake's end */
    char group[32];
    char cipher[48];
};

/* session_list.c: writes the oldest sessions, the oldest first; returns how many. */
size_t session_record_list(const struct worker *worker, struct session_record *records,
                           size_t room);

/* Makes a record out of one that another process wrote: every text ends, the state is
 * one. */
void session_record_take(struct session_record *record,
                         const struct session_record *foreign);

/* As a line of a table, or as an object in an array. */
void session_record_print_heading(FILE *out);
void session_record_print(FILE *out, const struct session_record *record,
                          unsigned worker);
void session_record_write_json(struct json *json, const struct session_record *record,
                               unsigned worker);

#endif
