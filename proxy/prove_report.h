/*
 * What `pawl prove` found: one finding a line, each with its evidence, as text or as one
 * JSON object.
 */
#ifndef PROXY_PROVE_REPORT_H
#define PROXY_PROVE_REPORT_H

#include <stdio.h>

#include "proxy/error.h"
#include "proxy/prove_net.h"

enum prove_verdict {
    PROVE_OK,
    PROVE_WARN,
    PROVE_FAIL,
    PROVE_INFO, /* a fact without judgement, or something that was not tested */
    PROVE_VERDICTS
};

enum { PROVE_TEXT_MAX = 32 * 1024, PROVE_CLAIM_MAX = 200, PROVE_FINDINGS_MAX = 200 };

struct prove_finding {
    enum prove_verdict verdict;
    const char *id; /* a literal, stable: scripts look for it */
    char *claim;    /* owned: true as it stands, whatever the verdict */
    char *evidence; /* owned: what was offered, what came back */
};

/* Zero-initialise, then prove_report_close. */
struct prove_report {
    struct prove_finding findings[PROVE_FINDINGS_MAX];
    size_t count;
    size_t verdicts[PROVE_VERDICTS];
};

/* A growing sentence of evidence; what does not fit is cut, with "..." at the end. */
struct prove_text {
    char text[PROVE_TEXT_MAX];
    size_t length;
};

void prove_text_add(struct prove_text *text, const char *format, ...) PRINTF_LIKE(2, 3);

/* Bytes of a peer: what is not printable ASCII becomes '?'. */
void prove_text_add_peer(struct prove_text *text, const char *bytes, size_t length);

/* The evidence is `text->text`, which is emptied for the next one. */
void prove_report_add(struct prove_report *report, enum prove_verdict verdict,
                      const char *id, struct prove_text *text, const char *claim, ...)
    PRINTF_LIKE(5, 6);

void prove_report_print(const struct prove_report *report,
                        const struct prove_target *target, FILE *out);
void prove_report_print_json(const struct prove_report *report,
                             const struct prove_target *target, FILE *out);

/* The object for a server that could not be asked. */
void prove_report_print_json_error(const char *target, const struct error *error,
                                   FILE *out);

void prove_report_close(struct prove_report *report);

#endif
