#include "proxy/session_record.h"

#include <string.h>

#include "proxy/human.h"
#include "proxy/json.h"

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

void session_record_write_json(struct json *json, const struct session_record *record,
                               unsigned worker)
{
    json_open(json, NULL, '{');
    json_number(json, "worker", worker);
    json_text(json, "client", record->client);
    json_text(json, "listener", record->listener);
    json_text(json, "sni", record->sni[0] ? record->sni : NULL);
    json_text(json, "state", session_state_name((enum session_state)record->state));
    json_text(json, "version", record->version[0] ? record->version : NULL);
    json_text(json, "group", record->group[0] ? record->group : NULL);
    json_text(json, "cipher", record->cipher[0] ? record->cipher : NULL);
    json_bool(json, "resumed", record->resumed != 0);
    json_text(json, "backend", record->backend[0] ? record->backend : NULL);
    json_ms(json, "age_seconds", record->age_ms);
    json_ms(json, "idle_seconds", record->idle_ms);
    json_number(json, "received_bytes", record->bytes_in);
    json_number(json, "sent_bytes", record->bytes_out);
    json_close(json, '}');
}
