/*
 * Handshakes of TLS 1.3 with the library's client: the hybrid group, tickets, and whether
 * every resumption mixes in a fresh key exchange.
 */
#include <string.h>

#include "proxy/prove_parts.h"
#include "proxy/prove_session.h"
#include "proxy/prove_suites.h"
#include "proxy/prove_ticket.h"

enum { X25519MLKEM768 = 0x11ec, DAY_S = 24 * 60 * 60, HEX_BYTES = 6, ATTEMPTS = 6 };

/* The sessions of this part come one after the other; each may be several KB. */
struct resumption {
    struct prove *prove;
    WOLFSSL_SESSION *ticket; /* owned; NULL: none */
    uint16_t group;          /* of the handshakes: the library insists on the ticket's */
    struct prove_session session;
    struct error error;
};

static void report_hybrid(struct resumption *resumption);
static void report_tickets(struct resumption *resumption);
static void report_fresh_share(struct resumption *resumption);
static void report_psk_ke(struct resumption *resumption);

void prove_resume_tls13(struct prove *prove)
{
    struct resumption resumption = {.prove = prove};

    if (prove->tls13.count == 0)
        return;
    report_hybrid(&resumption);
    if (resumption.session.is_done)
        report_tickets(&resumption);
    prove_session_close(&resumption.session);
    if (resumption.ticket) {
        report_fresh_share(&resumption);
        report_psk_ke(&resumption);
    }
    wolfSSL_SESSION_free(resumption.ticket);
}

/* The certificates and the verdict of the library on them are for another part. */
static void keep_chain(struct prove *prove, struct prove_session *session)
{
    if (session->is_done && prove->target.ca && !prove->trust_is_known) {
        prove->trust_is_known = true;
        prove->trust_error = session->trust_error;
    }
    if (!session->chain || prove->chain_count > 0)
        return;
    struct prove_answer *answer = &prove->chains[prove->chain_count++];
    *answer = (struct prove_answer){.chain = session->chain,
                                    .chain_count = session->chain_count};
    memcpy(answer->chain_at, session->chain_at, sizeof answer->chain_at);
    session->chain = NULL;
}

static void report_hybrid(struct resumption *resumption)
{
    struct prove *prove = resumption->prove;
    const struct prove_session_options options = {
        .tls13 = true, .group = X25519MLKEM768, .ca = prove->target.ca};
    char words[PROVE_WORDS_MAX];

    const bool done = prove_session_open(&resumption->session, &prove->target, &options,
                                         &resumption->error);
    const struct prove_answer *answer = &resumption->session.answer;
    keep_chain(prove, &resumption->session);
    prove_text_add(&prove->evidence,
                   "X25519MLKEM768 offered first, with its key share; ");
    if (done)
        prove_text_add(&prove->evidence, "handshake done: %s%s",
                       prove_answer_words(answer, words),
                       answer->retried ? ", after a HelloRetryRequest" : "");
    else
        prove_text_add(&prove->evidence, "handshake failed: %s; came back: %s",
                       resumption->error.text, prove_answer_words(answer, words));
    if (!done)
        PROVE_ADD(prove, PROVE_INFO, "post-quantum",
                  "post-quantum key exchange was not tested");
    else if (answer->group == X25519MLKEM768)
        PROVE_ADD(prove, PROVE_OK, "post-quantum",
                  "post-quantum key exchange is negotiated");
    else
        PROVE_ADD(prove, PROVE_WARN, "post-quantum",
                  "no post-quantum key exchange: recorded traffic waits for a machine");
}

static void report_lifetime(struct prove *prove, const struct prove_tickets *tickets)
{
    prove_text_add(&prove->evidence, "ticket_lifetime of %zu NewSessionTicket%s: %u s",
                   tickets->count, tickets->count == 1 ? "" : "s", tickets->lifetime_s);
    if (tickets->lifetime_s > DAY_S)
        PROVE_ADD(prove, PROVE_WARN, "ticket-lifetime",
                  "tickets may be used for more than a day");
    else
        PROVE_ADD(prove, PROVE_INFO, "ticket-lifetime", "tickets may be used for %u %s",
                  tickets->lifetime_s < 120 ? tickets->lifetime_s
                                            : tickets->lifetime_s / 60,
                  tickets->lifetime_s < 120 ? "s" : "min");
}

static void report_early_data(struct prove *prove, const struct prove_tickets *tickets)
{
    if (tickets->early_data > 0) {
        prove_text_add(&prove->evidence,
                       "%zu of %zu NewSessionTickets have early_data, up to %u bytes",
                       tickets->early_data, tickets->count, tickets->early_data_max);
        PROVE_ADD(prove, PROVE_FAIL, "early-data",
                  "0-RTT is offered (replayable, not forward secret)");
    } else {
        prove_text_add(&prove->evidence,
                       "%zu NewSessionTicket%s decrypted, none has early_data",
                       tickets->count, tickets->count == 1 ? "" : "s");
        PROVE_ADD(prove, PROVE_OK, "early-data", "0-RTT is not offered");
    }
}

static void report_tickets(struct resumption *resumption)
{
    enum { FIRST_TICKET_MS = 1500 };
    struct prove *prove = resumption->prove;
    struct prove_tickets tickets;

    prove_session_listen(&resumption->session, FIRST_TICKET_MS);
    if (!prove_tickets_read(&tickets, &resumption->session) ||
        (tickets.count == 0 && tickets.unread > 0)) {
        prove_text_add(&prove->evidence,
                       "records after the handshake could not be opened");
        PROVE_ADD(prove, PROVE_INFO, "tickets", "tickets of TLS 1.3 were not tested");
        return;
    }
    if (tickets.count == 0) {
        prove_text_add(&prove->evidence,
                       "no NewSessionTicket within %d ms of the handshake",
                       FIRST_TICKET_MS);
        PROVE_ADD(prove, PROVE_OK, "tickets",
                  "TLS 1.3 gives no tickets, so nothing resumes");
        return;
    }
    report_early_data(prove, &tickets);
    report_lifetime(prove, &tickets);
    resumption->ticket = prove_session_take(&resumption->session);
    resumption->group = resumption->session.answer.group;
}

/* The new ticket, where there is one, replaces the one that was used. */
static void take_next_ticket(struct resumption *resumption)
{
    enum { NEXT_TICKET_MS = 700 };
    struct prove_tickets tickets = {0};

    prove_session_listen(&resumption->session, NEXT_TICKET_MS);
    if (prove_tickets_read(&tickets, &resumption->session) && tickets.count > 0) {
        wolfSSL_SESSION_free(resumption->ticket);
        resumption->ticket = prove_session_take(&resumption->session);
    }
}

static bool connect_with(struct resumption *resumption,
                         const struct prove_session_options *options)
{
    return prove_session_open(&resumption->session, &resumption->prove->target, options,
                              &resumption->error);
}

/* A server of several processes may know its ticket in one of them only, so one full
 * handshake says little. */
static bool connect_until_resumed(struct resumption *resumption,
                                  const struct prove_session_options *options)
{
    for (unsigned attempt = 1;; attempt++) {
        const bool done = connect_with(resumption, options);
        const struct prove_answer *answer = &resumption->session.answer;
        if (attempt == ATTEMPTS || answer->psk_selected ||
            !prove_answer_is_agreement(answer))
            return done;
        prove_session_close(&resumption->session);
    }
}

static void add_share(struct prove_text *text, const struct prove_answer *answer)
{
    char name[PROVE_NAME_MAX];

    prove_text_add(text, "%s key share ", prove_group_name(answer->group, name));
    for (size_t i = 0; i < answer->share_len && i < HEX_BYTES; i++)
        prove_text_add(text, "%02x", answer->share[i]);
    prove_text_add(text, "...");
}

static bool is_same_share(const struct prove_answer *a, const struct prove_answer *b)
{
    return a->share_len == b->share_len && memcmp(a->share, b->share, a->share_len) == 0;
}

/* Two resumptions; judged by the ServerHellos of both. */
static void judge_fresh_share(struct prove *prove, const struct prove_answer *first,
                              const struct prove_answer *second)
{
    if (!first->psk_selected) {
        prove_text_add(&prove->evidence, "ticket offered with psk_dhe_ke; came back: "
                                         "ServerHello without pre_shared_key");
        PROVE_ADD(prove, PROVE_INFO, "resumption-tls13",
                  "TLS 1.3 gives tickets but did not resume");
        return;
    }
    prove_text_add(&prove->evidence, "psk_dhe_ke, two resumptions: ServerHello with ");
    if (first->has_share)
        add_share(&prove->evidence, first);
    prove_text_add(&prove->evidence, " and ");
    if (second->has_share)
        add_share(&prove->evidence, second);
    if (!first->has_share || (second->psk_selected && !second->has_share))
        PROVE_ADD(prove, PROVE_FAIL, "resumption-tls13",
                  "TLS 1.3 resumes without a key exchange");
    else if (is_same_share(first, second))
        PROVE_ADD(prove, PROVE_FAIL, "resumption-tls13",
                  "TLS 1.3 reuses its key share for resumptions");
    else
        PROVE_ADD(prove, PROVE_OK, "resumption-tls13",
                  "TLS 1.3 resumes with a fresh key exchange each time");
}

static void report_fresh_share(struct resumption *resumption)
{
    struct prove *prove = resumption->prove;
    struct prove_session_options options = {.tls13 = true, .group = resumption->group};

    options.resume = resumption->ticket;
    bool done = connect_until_resumed(resumption, &options);
    if (done)
        take_next_ticket(resumption);
    const struct prove_answer first = resumption->session.answer; /* less its chain */
    prove_session_close(&resumption->session);
    if (done) {
        options.resume = resumption->ticket;
        done = connect_until_resumed(resumption, &options);
        if (done)
            judge_fresh_share(prove, &first, &resumption->session.answer);
        prove_session_close(&resumption->session);
    }
    if (!done) {
        prove_text_add(&prove->evidence,
                       "ticket offered with psk_dhe_ke; no handshake: %s",
                       resumption->error.text);
        PROVE_ADD(prove, PROVE_INFO, "resumption-tls13",
                  "resumption of TLS 1.3 was not tested");
    }
}

static void judge_psk_ke(struct resumption *resumption)
{
    struct prove *prove = resumption->prove;
    const struct prove_answer *answer = &resumption->session.answer;
    char words[PROVE_WORDS_MAX];

    prove_text_add(&prove->evidence,
                   "fresh ticket offered with psk_ke alone; came back: %s",
                   prove_answer_words(answer, words));
    if (answer->kind == ANSWER_SERVER_HELLO)
        prove_text_add(&prove->evidence, ", %s pre_shared_key, %s key_share",
                       answer->psk_selected ? "with" : "no",
                       answer->has_share ? "with" : "no");
    if (answer->kind == ANSWER_SERVER_HELLO && answer->psk_selected && !answer->has_share)
        PROVE_ADD(prove, PROVE_FAIL, "psk-ke",
                  "psk_ke is accepted: a stolen ticket key opens the session");
    else if (prove_answer_is_agreement(answer))
        PROVE_ADD(prove, PROVE_OK, "psk-ke", "psk_ke falls back to a full key exchange");
    else if (prove_answer_is_refusal(answer))
        PROVE_ADD(prove, PROVE_OK, "psk-ke", "psk_ke is refused");
    else
        PROVE_ADD(prove, PROVE_INFO, "psk-ke", "psk_ke was not tested");
}

/* A ticket that nobody has used, from a connection of its own: one that was used may be
 * turned down for that alone. */
static void report_psk_ke(struct resumption *resumption)
{
    struct prove *prove = resumption->prove;
    struct prove_session_options options = {.tls13 = true, .group = resumption->group};

    const bool fresh = connect_with(resumption, &options);
    if (fresh)
        take_next_ticket(resumption);
    prove_session_close(&resumption->session);
    if (!fresh) {
        prove_text_add(&prove->evidence, "no fresh ticket: %s", resumption->error.text);
        PROVE_ADD(prove, PROVE_INFO, "psk-ke", "psk_ke was not tested");
        return;
    }
    options.psk_ke = true;
    options.resume = resumption->ticket;
    /* The library may not go along with the answer; what counts is on the wire. */
    if (!connect_until_resumed(resumption, &options) &&
        resumption->session.in.length == 0)
        resumption->session.answer.error = resumption->error;
    judge_psk_ke(resumption);
    prove_session_close(&resumption->session);
}
