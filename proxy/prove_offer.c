/*
 * What a server makes of offers other than suites: groups one by one, compression, early
 * data.  By hand-made hellos.
 */
#include <string.h>

#include "proxy/prove_hello.h"
#include "proxy/prove_parts.h"
#include "proxy/prove_suites.h"

enum { TLS_1_2 = 0x0303, TLS_1_3 = 0x0304, COMPRESSION_DEFLATE = 1, SECP256R1 = 0x0017 };

static const uint16_t only_tls13[] = {TLS_1_3};

struct group_tally {
    size_t offered;
    size_t found;
    size_t weak;
    size_t hybrid;
    size_t unanswered;
};

static void offer_groups(struct prove *prove, bool tls13);
static void try_group(struct prove *prove, bool tls13, const struct prove_group *group,
                      struct group_tally *tally);
static void report_groups(struct prove *prove, bool tls13,
                          const struct group_tally *tally);
static void offer_deflate(struct prove *prove);
static void offer_early_data(struct prove *prove);
static struct prove_hello hello_tls12(const struct prove *prove);
static struct prove_hello hello_tls13(const struct prove *prove);

void prove_offer_groups(struct prove *prove)
{
    if (prove->tls13.count > 0)
        offer_groups(prove, true);
    if (prove->scans[SCAN_TLS12].count > 0)
        offer_groups(prove, false);
}

void prove_offer_rest(struct prove *prove)
{
    if (prove->scans[SCAN_TLS12].count > 0)
        offer_deflate(prove);
    if (prove->tls13.count > 0)
        offer_early_data(prove);
}

/* Hellos of what the server is known to agree to. */
static struct prove_hello hello_tls12(const struct prove *prove)
{
    static const uint16_t groups[] = {0x001d, 0x0017, 0x0018, 0x0019};

    return (struct prove_hello){.legacy_version = TLS_1_2,
                                .suites = prove->scans[SCAN_TLS12].suites,
                                .suite_count = prove->scans[SCAN_TLS12].count,
                                .groups = groups,
                                .group_count = sizeof groups / sizeof groups[0],
                                .name = prove->target.name};
}

static struct prove_hello hello_tls13(const struct prove *prove)
{
    static const uint16_t groups[] = {0x11ec, 0x001d, 0x0017, 0x0018, 0x0019};

    return (struct prove_hello){.legacy_version = TLS_1_2,
                                .versions = only_tls13,
                                .version_count = 1,
                                .suites = prove->tls13.suites,
                                .suite_count = prove->tls13.count,
                                .groups = groups,
                                .group_count = sizeof groups / sizeof groups[0],
                                .name = prove->target.name};
}

/* Only with these does TLS 1.2 name a group. */
static size_t keep_ecdhe(const struct prove *prove, uint16_t *suites)
{
    const struct prove_scan *scan = &prove->scans[SCAN_TLS12];
    char text[PROVE_NAME_MAX];
    size_t count = 0;

    for (size_t i = 0; i < scan->count; i++) {
        const char *name = prove_suite_name(scan->suites[i], text);
        if (prove_suite_traits(name) & SUITE_ECDHE)
            suites[count++] = scan->suites[i];
    }
    return count;
}

static void offer_groups(struct prove *prove, bool tls13)
{
    struct group_tally tally = {0};

    for (size_t i = 0; i < prove_groups_count; i++) {
        const struct prove_group *group = &prove_groups[i];
        if (tls13 ? group->tls13 : group->tls12)
            try_group(prove, tls13, group, &tally);
    }
    report_groups(prove, tls13, &tally);
}

/* Whether a hello with these groups makes the server take the first. */
static bool is_taken(struct prove *prove, bool tls13, const uint16_t *groups,
                     size_t group_count, bool *answered)
{
    uint16_t suites[PROVE_SUITES_MAX];
    struct prove_hello hello = tls13 ? hello_tls13(prove) : hello_tls12(prove);
    struct prove_answer answer;

    if (!tls13) {
        hello.suites = suites;
        hello.suite_count = keep_ecdhe(prove, suites);
    }
    if (hello.suite_count == 0)
        return false;
    hello.groups = groups;
    hello.group_count = group_count;
    prove_hello_ask(&prove->target, &hello, &answer);
    const bool agreed = prove_answer_is_agreement(&answer);
    const bool taken = agreed && answer.group == groups[0];
    *answered = *answered && (agreed || prove_answer_is_refusal(&answer));
    prove_answer_close(&answer);
    return taken;
}

/* In TLS 1.2 the curve of an ECDSA certificate must be among the groups, too (RFC 8422
 * section 5.1), so a group that is refused alone is offered again with P-256 after it. */
static void try_group(struct prove *prove, bool tls13, const struct prove_group *group,
                      struct group_tally *tally)
{
    const uint16_t groups[] = {group->id, SECP256R1};
    bool answered = true;
    bool taken = is_taken(prove, tls13, groups, 1, &answered);

    if (!taken && !tls13)
        taken = is_taken(prove, tls13, groups, 2, &answered);
    tally->offered++;
    tally->unanswered += !answered;
    if (!taken)
        return;
    prove_text_add(&prove->evidence, "%s%s", tally->found > 0 ? ", " : "", group->name);
    tally->found++;
    tally->weak += group->weak;
    tally->hybrid += group->hybrid;
}

static void report_groups(struct prove *prove, bool tls13,
                          const struct group_tally *tally)
{
    const char *id = tls13 ? "groups-tls13" : "groups-tls12";
    const char *version = tls13 ? "TLS 1.3" : "TLS 1.2";
    const char *how = tls13 ? "without a key share" : "with the ECDHE suites";

    prove_text_add(&prove->evidence, "%sof %zu groups, each offered alone %s",
                   tally->found > 0 ? "; " : "none ", tally->offered, how);
    if (!tls13)
        prove_text_add(&prove->evidence, " or before P-256");
    if (tally->unanswered > 0)
        prove_text_add(&prove->evidence, "; %zu were not answered", tally->unanswered);
    if (tally->weak > 0)
        PROVE_ADD(prove, PROVE_FAIL, id, "%s agrees to weak groups, under 112 bits",
                  version);
    else if (tally->found > 0 && tally->unanswered == 0)
        PROVE_ADD(prove, PROVE_OK, id, "%s agrees to strong groups only", version);
    else if (tally->unanswered > 0)
        PROVE_ADD(prove, PROVE_INFO, id, "groups of %s were not fully tested", version);
    else
        PROVE_ADD(prove, PROVE_INFO, id, "%s agrees to no known group", version);
}

static void offer_deflate(struct prove *prove)
{
    struct prove_hello hello = hello_tls12(prove);
    struct prove_answer answer;
    char words[PROVE_WORDS_MAX];

    hello.deflate = true;
    prove_hello_ask(&prove->target, &hello, &answer);
    const bool agreed = prove_answer_is_agreement(&answer);
    const bool refused =
        prove_answer_is_refusal(&answer) || (agreed && answer.compression == 0);
    prove_text_add(&prove->evidence, "DEFLATE offered before none; came back: %s%s",
                   prove_answer_words(&answer, words),
                   !agreed                  ? ""
                   : answer.compression > 0 ? ", compressed"
                                            : ", no compression");
    if (agreed && answer.compression != 0)
        PROVE_ADD(prove, PROVE_FAIL, "compression", "TLS 1.2 compresses (CRIME)");
    else
        PROVE_ADD(prove, refused ? PROVE_OK : PROVE_INFO, "compression",
                  refused ? "compression is refused" : "compression was not tested");
    prove_answer_close(&answer);
}

/* Early data is accepted only together with its ticket, so an answer that selects none
 * has not accepted it.  What a real ticket allows is told by prove_resume.c. */
static void offer_early_data(struct prove *prove)
{
    struct prove_hello hello = hello_tls13(prove);
    struct prove_answer answer;
    char words[PROVE_WORDS_MAX];

    hello.early_data = true;
    prove_hello_ask(&prove->target, &hello, &answer);
    const bool agreed = prove_answer_is_agreement(&answer);
    prove_text_add(&prove->evidence, "early_data with a made-up ticket; came back: %s%s",
                   prove_answer_words(&answer, words),
                   agreed && !answer.psk_selected ? ", no pre_shared_key" : "");
    if (agreed && answer.psk_selected)
        PROVE_ADD(prove, PROVE_FAIL, "early-data-hello",
                  "a made-up ticket with early data is accepted");
    else if (agreed || prove_answer_is_refusal(&answer))
        PROVE_ADD(prove, PROVE_OK, "early-data-hello",
                  "early data without a real ticket is not accepted");
    else
        PROVE_ADD(prove, PROVE_INFO, "early-data-hello",
                  "early data without a real ticket was not tested");
    prove_answer_close(&answer);
}
