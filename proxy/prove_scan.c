/*
 * Which versions and suites a server agrees to: every known suite is offered, the one
 * that was chosen is taken out, and the rest is offered again until the server refuses.
 */
#include <stdio.h>
#include <string.h>

#include "proxy/prove_hello.h"
#include "proxy/prove_parts.h"
#include "proxy/prove_suites.h"

enum {
    TLS_1_2 = 0x0303,
    TLS_1_3 = 0x0304,
    CHUNK_MAX = 120, /* suites of one hello: more than 128 confuse old servers */
    ALERT_PROTOCOL_VERSION = 70
};

/* Suites that are still to be offered. */
struct chunk {
    uint16_t suites[CHUNK_MAX];
    size_t count;
};

static const uint16_t scanned_groups[] = {0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x0100,
                                          0x0101, 0x001a, 0x001b, 0x0016, 0x0015, 0x0013};
static const uint16_t tls13_groups[] = {0x11ec, 0x001d, 0x0017, 0x0018, 0x0019,
                                        0x001e, 0x0100, 0x0101, 0x11eb, 0x11ed,
                                        0x0201, 0x0029, 0x001f, 0x0020};
static const uint16_t only_tls13[] = {TLS_1_3};

static void scan(struct prove *prove, struct prove_scan *scan);
static bool scan_chunk(struct prove *prove, struct prove_scan *scan, struct chunk *chunk);
static bool take_out(struct chunk *chunk, uint16_t suite);
static void keep(struct prove *prove, struct prove_answer *answer);
static void report_wanted(struct prove *prove, const struct prove_scan *scan,
                          const char *id);
static void report_unwanted(struct prove *prove, const struct prove_scan *scan,
                            const char *id);

bool prove_scan_versions(struct prove *prove)
{
    static const uint16_t versions[SCAN_VERSIONS] = {[SCAN_SSL30] = 0x0300,
                                                     [SCAN_TLS10] = 0x0301,
                                                     [SCAN_TLS11] = 0x0302,
                                                     [SCAN_TLS12] = TLS_1_2};
    static const char *const ids[SCAN_VERSIONS] = {[SCAN_SSL30] = "version-ssl30",
                                                   [SCAN_TLS10] = "version-tls10",
                                                   [SCAN_TLS11] = "version-tls11"};
    bool spoken = false;

    prove->tls13.version = TLS_1_3;
    scan(prove, &prove->tls13);
    for (int i = SCAN_TLS12; i >= 0; i--) {
        prove->scans[i].version = versions[i];
        scan(prove, &prove->scans[i]);
        spoken = spoken || prove->scans[i].count > 0;
    }
    report_wanted(prove, &prove->tls13, "version-tls13");
    report_wanted(prove, &prove->scans[SCAN_TLS12], "version-tls12");
    for (int i = SCAN_TLS11; i >= 0; i--)
        report_unwanted(prove, &prove->scans[i], ids[i]);
    spoken = spoken || prove->tls13.count > 0;
    if (!spoken)
        PROVE_ADD(prove, PROVE_FAIL, "tls", "no version of TLS could be negotiated");
    return spoken;
}

static void scan(struct prove *prove, struct prove_scan *scan)
{
    const bool tls13 = scan->version == TLS_1_3;
    const struct prove_suite *suites = tls13 ? prove_suites_tls13 : prove_suites_tls12;
    const size_t count = tls13 ? prove_suites_tls13_count : prove_suites_tls12_count;

    scan->is_complete = true;
    for (size_t at = 0; at < count && scan->is_complete;) {
        struct chunk chunk = {.count = 0};
        while (at < count && chunk.count < CHUNK_MAX)
            chunk.suites[chunk.count++] = suites[at++].id;
        scan->offered += chunk.count;
        if (!scan_chunk(prove, scan, &chunk))
            break;
    }
}

/* False: it makes no sense to offer further chunks. */
static bool scan_chunk(struct prove *prove, struct prove_scan *scan, struct chunk *chunk)
{
    const bool tls13 = scan->version == TLS_1_3;
    const bool extended = scan->version >= 0x0301;
    char words[PROVE_WORDS_MAX];

    while (chunk->count > 0) {
        const struct prove_hello hello = {
            .legacy_version = tls13 ? TLS_1_2 : scan->version,
            .versions = only_tls13,
            .version_count = tls13 ? 1 : 0,
            .suites = chunk->suites,
            .suite_count = chunk->count,
            .groups = tls13 ? tls13_groups : scanned_groups,
            .group_count = tls13 ? sizeof tls13_groups / 2 : sizeof scanned_groups / 2,
            .name = prove->target.name,
            .status_request = extended,
        };
        struct prove_answer answer;
        prove_hello_ask(&prove->target, &hello, &answer);
        scan->hellos++;
        (void)snprintf(scan->last, sizeof scan->last, "%s",
                       prove_answer_words(&answer, words));
        const bool agreed = prove_answer_is_agreement(&answer);
        const bool fits = answer.version == scan->version;
        const bool offered = agreed && fits && take_out(chunk, answer.suite);
        if (offered) {
            scan->suites[scan->count++] = answer.suite;
            keep(prove, &answer);
        }
        const bool refused = prove_answer_is_refusal(&answer);
        const bool last = answer.kind == ANSWER_ALERT &&
                          answer.alert == ALERT_PROTOCOL_VERSION && scan->count == 0;
        prove_answer_close(&answer);
        if (refused || (agreed && !fits))
            return !last && refused;
        if (agreed && !offered)
            (void)snprintf(scan->last, sizeof scan->last,
                           "a suite that was not offered, 0x%04x", answer.suite);
        if (!offered) {
            scan->is_complete = false;
            return false;
        }
    }
    return true;
}

static bool take_out(struct chunk *chunk, uint16_t suite)
{
    for (size_t i = 0; i < chunk->count; i++) {
        if (chunk->suites[i] != suite)
            continue;
        chunk->count--;
        memmove(&chunk->suites[i], &chunk->suites[i + 1],
                (chunk->count - i) * sizeof chunk->suites[0]);
        return true;
    }
    return false;
}

static bool is_same_leaf(const struct prove_answer *a, const struct prove_answer *b)
{
    return a->chain_at[1] == b->chain_at[1] &&
           memcmp(a->chain, b->chain, a->chain_at[1]) == 0;
}

/* What later parts want of the answers; a new certificate moves over. */
static void keep(struct prove *prove, struct prove_answer *answer)
{
    if (answer->dh_bits > 0 &&
        (prove->dh_bits_min == 0 || answer->dh_bits < prove->dh_bits_min))
        prove->dh_bits_min = answer->dh_bits;
    if (answer->version == TLS_1_2 && answer->renegotiation)
        prove->renegotiation_info = true;
    if (answer->staple_len > 0)
        prove->staple_len = answer->staple_len;
    if (answer->chain_count == 0 || prove->chain_count == PROVE_CHAINS_MAX)
        return;
    for (size_t i = 0; i < prove->chain_count; i++) {
        if (is_same_leaf(&prove->chains[i], answer))
            return;
    }
    prove->chains[prove->chain_count++] = *answer;
    answer->chain = NULL;
}

static const char *version_words(const struct prove_scan *scan, char text[PROVE_NAME_MAX])
{
    return prove_version_name(scan->version, text);
}

static void add_evidence(struct prove *prove, const struct prove_scan *scan)
{
    char name[PROVE_NAME_MAX];

    if (scan->count > 0) {
        prove_text_add(&prove->evidence,
                       "%zu of %zu known suites agreed on:", scan->count, scan->offered);
        for (size_t i = 0; i < scan->count; i++)
            prove_text_add(&prove->evidence, "%s %s", i > 0 ? "," : "",
                           prove_suite_name(scan->suites[i], name));
        prove_text_add(&prove->evidence, "; then: %s", scan->last);
    } else {
        prove_text_add(&prove->evidence, "%zu suites in %u hellos offered; came back: %s",
                       scan->offered, scan->hellos, scan->last);
    }
}

/* TLS 1.3 has no successor, and 1.2 may rightly be off. */
static void report_wanted(struct prove *prove, const struct prove_scan *scan,
                          const char *id)
{
    char text[PROVE_NAME_MAX];
    const bool tls13 = scan->version == TLS_1_3;

    add_evidence(prove, scan);
    if (scan->count > 0)
        PROVE_ADD(prove, PROVE_OK, id, "%s is negotiable", version_words(scan, text));
    else if (scan->is_complete)
        PROVE_ADD(prove, tls13 ? PROVE_WARN : PROVE_INFO, id, "%s is refused",
                  version_words(scan, text));
    else
        PROVE_ADD(prove, PROVE_INFO, id, "%s: not tested", version_words(scan, text));
}

static void report_unwanted(struct prove *prove, const struct prove_scan *scan,
                            const char *id)
{
    char text[PROVE_NAME_MAX];

    add_evidence(prove, scan);
    if (scan->count > 0)
        PROVE_ADD(prove, PROVE_FAIL, id, "%s is negotiable", version_words(scan, text));
    else if (scan->is_complete)
        PROVE_ADD(prove, PROVE_OK, id, "%s is refused", version_words(scan, text));
    else
        PROVE_ADD(prove, PROVE_INFO, id, "%s: not tested", version_words(scan, text));
}
