/*
 * Whether TLS 1.2 resumes.  Its resumptions have no key exchange: whoever steals the
 * ticket key or the session cache opens them, and the sessions they come from.
 */
#include "proxy/prove_parts.h"
#include "proxy/prove_session.h"

/* One way to resume. */
struct memory {
    const char *id;
    const char *claim_resumes;
    const char *claim_refuses;
    const char *claim_untested;
    bool ticket;
};

static const struct memory by_session_id = {
    .id = "resumption-tls12-id",
    .claim_resumes = "TLS 1.2 resumes from its session cache (no key exchange)",
    .claim_refuses = "TLS 1.2 does not resume by session ID",
    .claim_untested = "TLS 1.2 resumption by session ID was not tested"};

static const struct memory by_ticket = {
    .id = "resumption-tls12-ticket",
    .claim_resumes = "TLS 1.2 resumes from tickets (no key exchange)",
    .claim_refuses = "TLS 1.2 does not resume from tickets",
    .claim_untested = "TLS 1.2 resumption from tickets was not tested",
    .ticket = true};

static void try_memory(struct prove *prove, const struct memory *memory);
static void try_again(struct prove *prove, const struct memory *memory,
                      struct prove_session *first);

void prove_resume_tls12(struct prove *prove)
{
    if (prove->scans[SCAN_TLS12].count == 0)
        return;
    try_memory(prove, &by_session_id);
    try_memory(prove, &by_ticket);
}

static void try_memory(struct prove *prove, const struct memory *memory)
{
    const struct prove_session_options options = {.wants_ticket = memory->ticket,
                                                  .ca = prove->target.ca};
    struct prove_session first;
    struct error error = {.text = ""};

    if (!prove_session_open(&first, &prove->target, &options, &error)) {
        prove_text_add(&prove->evidence,
                       "no handshake with ECDHE and AEAD, all that this client has: %s",
                       error.text);
        PROVE_ADD(prove, PROVE_INFO, memory->id, "%s", memory->claim_untested);
    } else if (memory->ticket ? !first.answer.has_ticket : !first.answer.has_session_id) {
        prove_text_add(&prove->evidence, "%s; full handshake, %s came back",
                       memory->ticket ? "session_ticket offered"
                                      : "no session_ticket offered",
                       memory->ticket ? "no NewSessionTicket" : "an empty session ID");
        PROVE_ADD(prove, PROVE_OK, memory->id, "%s", memory->claim_refuses);
    } else {
        try_again(prove, memory, &first);
    }
    if (first.is_done && prove->target.ca && !prove->trust_is_known) {
        prove->trust_is_known = true;
        prove->trust_error = first.trust_error;
    }
    prove_session_close(&first);
}

static void try_again(struct prove *prove, const struct memory *memory,
                      struct prove_session *first)
{
    WOLFSSL_SESSION *kept = prove_session_take(first);
    const struct prove_session_options options = {.wants_ticket = memory->ticket,
                                                  .resume = kept};
    struct prove_session second;
    struct error error = {.text = ""};
    const char *what = memory->ticket ? "ticket" : "session ID";
    char words[PROVE_WORDS_MAX];

    const bool done = prove_session_open(&second, &prove->target, &options, &error);
    const struct prove_answer *answer = &second.answer;
    prove_text_add(&prove->evidence, "%s of a full handshake offered; came back: %s",
                   what, prove_answer_words(answer, words));
    if (memory->ticket)
        prove_text_add(&prove->evidence, " (lifetime %u s)",
                       first->answer.ticket_lifetime_s);
    if (answer->is_resumed) {
        prove_text_add(&prove->evidence,
                       ", then ChangeCipherSpec at once: no Certificate, no "
                       "ServerKeyExchange");
        PROVE_ADD(prove, PROVE_FAIL, memory->id, "%s", memory->claim_resumes);
    } else if (done) {
        prove_text_add(&prove->evidence, ", a full handshake");
        PROVE_ADD(prove, PROVE_OK, memory->id, "%s", memory->claim_refuses);
    } else {
        prove_text_add(&prove->evidence, "; %s", error.text);
        PROVE_ADD(prove, prove_answer_is_refusal(answer) ? PROVE_OK : PROVE_INFO,
                  memory->id, "%s",
                  prove_answer_is_refusal(answer) ? memory->claim_refuses
                                                  : memory->claim_untested);
    }
    prove_session_close(&second);
    wolfSSL_SESSION_free(kept);
}
