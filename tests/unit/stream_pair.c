#include "tests/unit/stream_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/net_pair.h"

enum { DEADLINE_S = 20 };

struct scratch stream_pair_scratch;

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "stream_pair: %s\n", what);
    abort();
}

static bool is_late(time_t *start)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (*start == 0)
        *start = now.tv_sec;
    return now.tv_sec - *start > DEADLINE_S;
}

void stream_pair_begin(struct stream_pair *pair, const int fds[2],
                       enum tls_client_version version)
{
    stream_init(&pair->server, &stream_pair_scratch);
    stream_take(&pair->server, fds[0]);
    must(stream_start_tls(&pair->server, tls_server_context()), "no memory");
    tls_client_open(&pair->client, fds[1], version);
}

void stream_pair_handshake(struct stream_pair *pair)
{
    bool connected = false;
    time_t start = 0;
    while (!connected || !pair->server.secure) {
        must(!is_late(&start) && !pair->client.failed, "no handshake");
        connected = connected || tls_client_connect(&pair->client);
        (void)tls_client_send(&pair->client, TLS_CLIENT_OUT_MAX);
        must(stream_flush(&pair->server) != IO_ERROR, "flush");
        if (!pair->server.secure) {
            must(stream_receive(&pair->server) != IO_ERROR, "receive");
            must(stream_accept(&pair->server) != IO_ERROR, "accept");
        }
        must(stream_settle(&pair->server), "settle");
    }
}

void stream_pair_open(struct stream_pair *pair)
{
    int fds[2];
    net_pair_unix(fds);
    stream_pair_begin(pair, fds, CLIENT_TLS13);
    stream_pair_handshake(pair);
}

void stream_pair_say(struct stream_pair *pair, const void *bytes, size_t length)
{
    time_t start = 0;
    tls_client_write(&pair->client, bytes, length);
    while (pair->client.out_end > 0) {
        must(!is_late(&start), "the socket takes nothing");
        (void)tls_client_send(&pair->client, TLS_CLIENT_OUT_MAX);
    }
}

size_t stream_pair_hear(struct stream_pair *pair, uint8_t *bytes, size_t length,
                        int *last)
{
    size_t total = 0;
    time_t start = 0;
    *last = -1;
    while (total < length) {
        must(!is_late(&start), "nothing to be heard");
        (void)stream_flush(&pair->server);
        *last = tls_client_read(&pair->client, bytes + total, length - total);
        if (*last == 0 || *last == -2)
            break;
        if (*last > 0)
            total += (size_t)*last;
    }
    return total;
}

size_t stream_pair_read(struct stream *stream, uint8_t *bytes, size_t length)
{
    size_t total = 0;
    time_t start = 0;
    while (total < length && !stream->read_ended) {
        size_t got;
        must(!is_late(&start), "nothing to be read");
        const enum io result = stream_read(stream, &got);
        must(got <= length - total, "more than expected");
        memcpy(bytes + total, stream->scratch->plain, got);
        total += got;
        must(stream_settle(stream), "settle");
        if (result == IO_ERROR)
            break;
    }
    return total;
}

void stream_pair_close(struct stream_pair *pair)
{
    stream_close(&pair->server, false);
    tls_client_close(&pair->client);
}

bool stream_pair_owns_nothing(const struct stream *stream)
{
    const struct scratch *scratch = stream->scratch;
    return !stream->in.data && !stream->out.data && scratch->in_owner == NULL &&
           scratch->out_length == 0;
}
