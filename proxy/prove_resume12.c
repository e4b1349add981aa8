/*
 * Whether TLS 1.2 resumes.  Its resumptions have no key exchange: whoever steals the
 * ticket key or the session cache opens them, and the sessions they come from.
 */
#include "proxy/prove_parts.h"
#include "proxy/prove_session.h"

/* A server of several processes may remember in one of them only, so that one refusal
 * says little.  Fresh sessions are taken, too: connections that follow each other closely
 * often meet the same process. */
enum { ROUNDS = 4, TRIES = 2 };

/* One way to resume. */
struct memory {
    const char *id;
    const char *words; /* for what is offered */
    const char *claim_resumes;
    const char *claim_refuses;
    const char *claim_untested;
    const char *nothing; /* what comes back where there is nothing to resume from */
    bool ticket;
};

static const struct memory by_session_id = {
    .id = "resumption-tls12-id",
    .words = "session ID",
    .claim_resumes = "TLS 1.2 resumes from its session cache (no key exchange)",
    .claim_refuses = "TLS 1.2 does not resume by session ID",
    .claim_untested = "TLS 1.2 resumption by session ID was not tested",
    .nothing = "full handshake without session_ticket; an empty session ID came back"};

static const struct memory by_ticket = {
    .id = "resumption-tls12-ticket",
    .words = "ticket",
    .claim_resumes = "TLS 1.2 resumes from tickets (no key exchange)",
    .claim_refuses = "TLS 1.2 does not resume from tickets",
    .claim_untested = "TLS 1.2 resumption from tickets was not tested",
    .nothing =
        "full handshake with session_ticket offered; no NewSessionTicket came back",
    .ticket = true};

enum outcome { OUTCOME_RESUMED, OUTCOME_FULL, OUTCOME_NOTHING, OUTCOME_FAILED };

static void try_memory(struct prove *prove, const struct memory *memory);
static enum outcome try_round(struct prove *prove, const struct memory *memory);
static enum outcome try_again(struct prove *prove, const struct memory *memory,
                              const struct prove_session *first, WOLFSSL_SESSION *kept);

void prove_resume_tls12(struct prove *prove)
{
    if (prove->scans[SCAN_TLS12].count == 0)
        return;
    try_memory(prove, &by_session_id);
    try_memory(prove, &by_ticket);
}

/* The evidence is written where the outcome is known. */
static void try_memory(struct prove *prove, const struct memory *memory)
{
    enum outcome outcome = OUTCOME_FULL;

    for (unsigned round = 0; round < ROUNDS && outcome == OUTCOME_FULL; round++)
        outcome = try_round(prove, memory);
    switch (outcome) {
    case OUTCOME_RESUMED:
        PROVE_ADD(prove, PROVE_FAIL, memory->id, "%s", memory->claim_resumes);
        break;
    case OUTCOME_FULL:
        prove_text_add(&prove->evidence,
                       "%s offered %d times, from %d full handshakes; came back: full "
                       "handshakes alone",
                       memory->words, ROUNDS * TRIES, ROUNDS);
        PROVE_ADD(prove, PROVE_OK, memory->id, "%s", memory->claim_refuses);
        break;
    case OUTCOME_NOTHING:
        prove_text_add(&prove->evidence, "%s", memory->nothing);
        PROVE_ADD(prove, PROVE_OK, memory->id, "%s", memory->claim_refuses);
        break;
    case OUTCOME_FAILED:
        PROVE_ADD(prove, PROVE_INFO, memory->id, "%s", memory->claim_untested);
        break;
    }
}

static enum outcome try_round(struct prove *prove, const struct memory *memory)
{
    const struct prove_session_options options = {.wants_ticket = memory->ticket,
                                                  .ca = prove->target.ca};
    struct prove_session first;
    struct error error = {.text = ""};
    enum outcome outcome = OUTCOME_NOTHING;

    if (!prove_session_open(&first, &prove->target, &options, &error)) {
        prove_text_add(&prove->evidence,
                       "no handshake with ECDHE and AEAD, all that this client has: %s",
                       error.text);
        outcome = OUTCOME_FAILED;
    } else if (memory->ticket ? first.answer.has_ticket : first.answer.has_session_id) {
        WOLFSSL_SESSION *kept = prove_session_take(&first);
        outcome = OUTCOME_FULL;
        prove_session_hang_up(&first);
        for (unsigned i = 0; i < TRIES && outcome == OUTCOME_FULL; i++)
            outcome = try_again(prove, memory, &first, kept);
        wolfSSL_SESSION_free(kept);
    }
    if (first.is_done && prove->target.ca && !prove->trust_is_known) {
        prove->trust_is_known = true;
        prove->trust_error = first.trust_error;
    }
    prove_session_close(&first);
    return outcome;
}

static enum outcome try_again(struct prove *prove, const struct memory *memory,
                              const struct prove_session *first, WOLFSSL_SESSION *kept)
{
    const struct prove_session_options options = {.wants_ticket = memory->ticket,
                                                  .resume = kept};
    struct prove_session second;
    struct error error = {.text = ""};
    char words[PROVE_WORDS_MAX];

    const bool done = prove_session_open(&second, &prove->target, &options, &error);
    const struct prove_answer *answer = &second.answer;
    const enum outcome outcome = answer->is_resumed ? OUTCOME_RESUMED
                                 : done             ? OUTCOME_FULL
                                                    : OUTCOME_FAILED;
    if (outcome != OUTCOME_FULL)
        prove_text_add(&prove->evidence, "%s of a full handshake offered; came back: %s",
                       memory->words, prove_answer_words(answer, words));
    if (outcome == OUTCOME_FAILED)
        prove_text_add(&prove->evidence, "; %s", error.text);
    if (outcome == OUTCOME_RESUMED)
        prove_text_add(&prove->evidence,
                       ", then ChangeCipherSpec at once: no Certificate, "
                       "no ServerKeyExchange");
    if (outcome == OUTCOME_RESUMED && memory->ticket)
        prove_text_add(&prove->evidence, "; ticket lifetime %u s",
                       first->answer.ticket_lifetime_s);
    prove_session_close(&second);
    return outcome;
}
