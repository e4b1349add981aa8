#include "proxy/prove_ticket.h"

#include "proxy/prove_record.h"

enum { RECORD_HANDSHAKE = 22, MESSAGE_NEW_SESSION_TICKET = 4, EXTENSION_EARLY_DATA = 42 };

bool prove_tickets_read(struct prove_tickets *tickets,
                        const struct prove_session *session)
{
    struct prove_keys keys;
    struct prove_plain plain;

    *tickets = (struct prove_tickets){0};
    if (!prove_keys_take(&keys, session))
        return false;
    struct cursor input = cursor_over(session->in.bytes + session->in_handshake,
                                      session->in.length - session->in_handshake);
    while (input.left > 0) {
        tickets->records++;
        if (!prove_record_open(&keys, &input, &plain))
            break;
        if (plain.type == RECORD_HANDSHAKE &&
            !prove_tickets_add(tickets, plain.bytes, plain.length))
            break;
    }
    tickets->unread += input.failed || input.left > 0;
    return true;
}

/* RFC 8446 section 4.6.1. */
static bool read_ticket(struct prove_tickets *tickets, struct cursor body)
{
    const uint32_t lifetime_s =
        (uint32_t)cursor_u16(&body) << 16 | (uint32_t)cursor_u16(&body);
    (void)cursor_take(&body, 4);  /* what is added to its age */
    (void)cursor_vector8(&body);  /* nonce */
    (void)cursor_vector16(&body); /* the ticket */
    struct cursor extensions = cursor_vector16(&body);
    while (extensions.left > 0) {
        const uint16_t type = cursor_u16(&extensions);
        struct cursor data = cursor_vector16(&extensions);
        if (type == EXTENSION_EARLY_DATA && !extensions.failed) {
            tickets->early_data++;
            tickets->early_data_max = (uint32_t)cursor_u16(&data) << 16;
            tickets->early_data_max |= cursor_u16(&data);
        }
    }
    if (body.failed || extensions.failed)
        return false;
    tickets->count++;
    if (lifetime_s > tickets->lifetime_s)
        tickets->lifetime_s = lifetime_s;
    return true;
}

bool prove_tickets_add(struct prove_tickets *tickets, const uint8_t *bytes, size_t length)
{
    struct cursor input = cursor_over(bytes, length);

    while (input.left > 0) {
        const uint8_t type = cursor_u8(&input);
        const size_t size = cursor_u24(&input);
        const struct cursor body = cursor_take(&input, size);
        if (input.failed)
            return false;
        if (type == MESSAGE_NEW_SESSION_TICKET && !read_ticket(tickets, body))
            return false;
    }
    return true;
}
