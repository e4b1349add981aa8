#include "proxy/session_record.h"

#include <inttypes.h>
#include <string.h>

#include "proxy/human.h"

#define END(text) ((text)[sizeof(text) - 1] = '\0')

void session_record_take(struct session_record *record,
                         const struct session_record *foreign)
{
    memcpy(record, foreign, sizeof(*record));
    END(record->client);
    END(record->listener);
    END(record->sni);
    END(record->backend);
    END(record->version);
    END(record->group);
    END(record->cipher);
    if (record->state >= SESSION_STATES)
        record->state = SESSION_LINGER;
}

void session_record_print_heading(FILE *out)
{
    (void)fprintf(out, "%-3s %-9s %6s %6s %9s %9s  %-21s %s\n", "WRK", "STATE", "AGE",
                  "IDLE", "IN", "OUT", "CLIENT", "LISTENER  SNI -> BACKEND  TLS");
}

void session_record_print(FILE *out, const struct session_record *record, unsigned worker)
{
    char age[HUMAN_TEXT_MAX], idle[HUMAN_TEXT_MAX], in[HUMAN_TEXT_MAX],
        sent[HUMAN_TEXT_MAX];

    (void)fprintf(
        out, "%-3u %-9s %6s %6s %9s %9s  ", worker,
        session_state_name((enum session_state)record->state),
        human_duration(record->age_ms, age), human_duration(record->idle_ms, idle),
        human_bytes(record->bytes_in, in), human_bytes(record->bytes_out, sent));
    human_print(out, record->client);
    for (size_t i = strlen(record->client); i < 21; i++)
        (void)fputc(' ', out);
    (void)fputc(' ', out);
    human_print(out, record->listener);
    (void)fputs("  ", out);
    human_print(out, record->sni[0] ? record->sni : "-");
    (void)fputs(" -> ", out);
    human_print(out, record->backend[0] ? record->backend : "-");
    if (record->version[0]) {
        (void)fputs("  ", out);
        human_print(out, record->version);
        (void)fputc(' ', out);
        human_print(out, record->group);
        (void)fputc(' ', out);
        human_print(out, record->cipher);
        (void)fputs(record->resumed ? " resumed\n" : "\n", out);
    } else {
        (void)fputc('\n', out);
    }
}

static void print_member(FILE *out, const char *name, const char *value)
{
    (void)fprintf(out, ", \"%s\": ", name);
    if (value[0])
        human_print_json(out, value);
    else
        (void)fputs("null", out);
}

void session_record_print_json(FILE *out, const struct session_record *record,
                               unsigned worker)
{
    (void)fprintf(out, "{\"worker\": %u", worker);
    print_member(out, "client", record->client);
    print_member(out, "listener", record->listener);
    print_member(out, "sni", record->sni);
    print_member(out, "state", session_state_name((enum session_state)record->state));
    print_member(out, "version", record->version);
    print_member(out, "group", record->group);
    print_member(out, "cipher", record->cipher);
    (void)fprintf(out,
                  ", \"resumed\": %s, \"age_seconds\": %.3f, \"idle_seconds\": %.3f, "
                  "\"bytes_in\": %" PRIu64 ", \"bytes_out\": %" PRIu64,
                  record->resumed ? "true" : "false", (double)record->age_ms / 1000,
                  (double)record->idle_ms / 1000, record->bytes_in, record->bytes_out);
    print_member(out, "backend", record->backend);
    (void)fputs("}", out);
}
