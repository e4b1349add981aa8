/*
 * The first step of a session behind a load balancer: is it one that may say who its
 * clients are, and what does it say?
 */
#include "proxy/origin.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/worker.h"

static bool origin_is_trusted(const struct session *session);
static enum session_step origin_enter(struct session *session);
static bool origin_take(struct session *session, const struct proxy_header *header);

enum session_step origin_run(struct session *session, unsigned events)
{
    struct stream *client = &session->client;
    struct proxy_header header;
    struct error error;
    size_t length;

    if ((events & SESSION_ENTERED) && !origin_is_trusted(session))
        return session_end(session, STEP_CLOSE, REASON_PROXY_UNTRUSTED,
                           "it is in none of proxy_networks");
    if (events & SESSION_TIMEOUT)
        return session_end(session, STEP_CLOSE, REASON_HANDSHAKE_TIMEOUT,
                           "no whole PROXY header within handshake_timeout");
    if (!(events & SESSION_CLIENT_READABLE))
        return STEP_WAIT;
    enum io received = stream_receive(client);
    if (received == IO_ERROR)
        return session_end(session, STEP_CLOSE, REASON_CLIENT_RESET, "%s",
                           stream_error_text(client));
    const uint8_t *bytes = stream_received(client, &length);
    switch (proxy_read(bytes, length, &header, &error)) {
    case PROXY_INCOMPLETE:
        return client->fin_received
                   ? session_end(session, STEP_CLOSE, REASON_CLIENT_CLOSED, NULL)
                   : STEP_WAIT;
    case PROXY_MALFORMED:
        return session_end(session, STEP_CLOSE, REASON_PROXY_MALFORMED, "%s", error.text);
    case PROXY_COMPLETE:
        break;
    }
    stream_skip(client, header.length);
    if (header.known && !origin_take(session, &header))
        return session_end(session, STEP_CLOSE, REASON_INTERNAL, "out of memory");
    return header.known ? origin_enter(session) : STEP_NEXT;
}

/* The balancer was not asked for; now there is a client. */
static enum session_step origin_enter(struct session *session)
{
    struct worker *worker = session->worker;
    enum limits_answer answer = limits_enter(worker->limits, &session->origin->client.any,
                                             worker->now_ms, &session->source);

    if (answer == LIMITS_ADMITTED)
        return STEP_NEXT;
    session->source = 0;
    return session_end(session, STEP_CLOSE, REASON_SOURCE_LIMIT, "%s",
                       limits_answer_name(answer));
}

static bool origin_is_trusted(const struct session *session)
{
    const struct session_peer *peer = &session->peer;
    uint8_t address[NETWORK_ADDRESS_BYTES] = {[10] = 0xff, [11] = 0xff};

    if (peer->family == AF_INET)
        memcpy(address + sizeof(address) - 4, peer->address, 4);
    else
        memcpy(address, peer->address, sizeof(address));
    return network_list_has(&session->listener->proxy_networks, address);
}

/* From here on the client is who the balancer says. */
static bool origin_take(struct session *session, const struct proxy_header *header)
{
    struct origin *origin = malloc(sizeof(*origin));

    if (!origin)
        return false;
    *origin = (struct origin){
        .client = header->client, .server = header->server, .via = session->peer};
    session->origin = origin;
    session_set_peer(session, &origin->client.any);
    return true;
}
