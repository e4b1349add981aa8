/*
 * The NewSessionTickets of a TLS 1.3 connection, opened by hand: the library keeps to
 * itself what they allow.
 */
#ifndef PROXY_PROVE_TICKET_H
#define PROXY_PROVE_TICKET_H

#include "proxy/prove_session.h"

struct prove_tickets {
    size_t count;
    size_t records;          /* that came after the handshake */
    size_t unread;           /* of them, those that could not be opened */
    uint32_t lifetime_s;     /* the longest */
    size_t early_data;       /* tickets that allow it */
    uint32_t early_data_max; /* bytes that the last of them allows */
};

/* False: the suite is none that can be opened. */
bool prove_tickets_read(struct prove_tickets *tickets,
                        const struct prove_session *session) MUST_CHECK;

/* Adds what one handshake record's payload says; false if it is damaged. */
bool prove_tickets_add(struct prove_tickets *tickets, const uint8_t *bytes,
                       size_t length) MUST_CHECK;

#endif
