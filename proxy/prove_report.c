#include "proxy/prove_report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const text_verdicts[PROVE_VERDICTS] = {[PROVE_OK] = "ok",
                                                          [PROVE_WARN] = "warn",
                                                          [PROVE_FAIL] = "FAIL",
                                                          [PROVE_INFO] = "info"};
static const char *const json_verdicts[PROVE_VERDICTS] = {[PROVE_OK] = "ok",
                                                          [PROVE_WARN] = "warn",
                                                          [PROVE_FAIL] = "fail",
                                                          [PROVE_INFO] = "info"};

void prove_text_add(struct prove_text *text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    const size_t room = sizeof text->text - text->length;
    const int written = vsnprintf(text->text + text->length, room, format, arguments);
    va_end(arguments);
    if (written < 0)
        return;
    if ((size_t)written < room) {
        text->length += (size_t)written;
        return;
    }
    text->length = sizeof text->text - 1;
    memcpy(text->text + text->length - 3, "...", 3);
}

void prove_text_add_peer(struct prove_text *text, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const char c = bytes[i];
        prove_text_add(text, "%c", c >= ' ' && c <= '~' ? c : '?');
    }
}

void prove_report_add(struct prove_report *report, enum prove_verdict verdict,
                      const char *id, struct prove_text *text, const char *claim, ...)
{
    char words[PROVE_CLAIM_MAX];
    va_list arguments;

    va_start(arguments, claim);
    (void)vsnprintf(words, sizeof words, claim, arguments);
    va_end(arguments);
    report->verdicts[verdict]++;
    if (report->count < PROVE_FINDINGS_MAX)
        report->findings[report->count++] =
            (struct prove_finding){.verdict = verdict,
                                   .id = id,
                                   .claim = strdup(words),
                                   .evidence = strdup(text->text)};
    *text = (struct prove_text){.length = 0};
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

void prove_report_print(const struct prove_report *report,
                        const struct prove_target *target, FILE *out)
{
    int width = 0;

    (void)fprintf(out, "%s%s%s\n\n", target->text, target->name[0] ? ", as " : "",
                  target->name);
    for (size_t i = 0; i < report->count; i++) {
        const int length = (int)strlen(or_empty(report->findings[i].claim));
        width = length > width ? length : width;
    }
    for (size_t i = 0; i < report->count; i++) {
        const struct prove_finding *finding = &report->findings[i];
        (void)fprintf(out, "%-5s %-*s  %s\n", text_verdicts[finding->verdict], width,
                      or_empty(finding->claim), or_empty(finding->evidence));
    }
    (void)fprintf(out,
                  "\n%zu FAIL, %zu warn, %zu ok, %zu info, from %u connections in "
                  "%.1f s\n",
                  report->verdicts[PROVE_FAIL], report->verdicts[PROVE_WARN],
                  report->verdicts[PROVE_OK], report->verdicts[PROVE_INFO],
                  target->connections,
                  (double)(prove_now_ms() - target->start_ms) / 1000);
}

static void json_string(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            (void)fprintf(out, "\\%c", *c);
        else if (*c < ' ' || *c >= 0x7f)
            (void)fprintf(out, "\\u%04x", *c);
        else
            (void)fputc(*c, out);
    }
    (void)fputc('"', out);
}

static void json_member(FILE *out, const char *name, const char *value)
{
    json_string(out, name);
    (void)fputs(": ", out);
    json_string(out, or_empty(value));
}

void prove_report_print_json(const struct prove_report *report,
                             const struct prove_target *target, FILE *out)
{
    (void)fputs("{", out);
    json_member(out, "target", target->text);
    (void)fputs(", ", out);
    json_member(out, "name", target->name);
    (void)fprintf(out, ", \"connections\": %u", target->connections);
    for (int i = 0; i < PROVE_VERDICTS; i++)
        (void)fprintf(out, ", \"%s\": %zu", json_verdicts[i], report->verdicts[i]);
    (void)fputs(", \"findings\": [", out);
    for (size_t i = 0; i < report->count; i++) {
        const struct prove_finding *finding = &report->findings[i];
        (void)fputs(i > 0 ? ",\n  {" : "\n  {", out);
        json_member(out, "id", finding->id);
        (void)fputs(", ", out);
        json_member(out, "verdict", json_verdicts[finding->verdict]);
        (void)fputs(", ", out);
        json_member(out, "claim", finding->claim);
        (void)fputs(", ", out);
        json_member(out, "evidence", finding->evidence);
        (void)fputs("}", out);
    }
    (void)fputs("\n]}\n", out);
}

void prove_report_print_json_error(const char *target, const struct error *error,
                                   FILE *out)
{
    (void)fputs("{", out);
    json_member(out, "target", target);
    (void)fputs(", ", out);
    json_member(out, "error", error->text);
    (void)fputs("}\n", out);
}

void prove_report_close(struct prove_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->findings[i].claim);
        free(report->findings[i].evidence);
    }
    *report = (struct prove_report){0};
}
