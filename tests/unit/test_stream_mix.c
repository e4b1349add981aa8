/* Both directions at once, in pieces of random size, through the smallest socket buffers,
 * compared byte for byte. */
#include "proxy/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"
#include "tests/unit/stream_pair.h"

enum { TOTAL_BYTES = 300000, PIECE_MAX = 20000, DEADLINE_S = 60 };

/* One direction. */
struct flow {
    uint8_t *bytes; /* all that is to be sent */
    uint8_t *arrived;
    size_t written;
    size_t read;
    bool ended; /* the writer has ended */
    bool over;  /* and the reader has seen it */
};

struct mix {
    struct stream_pair pair;
    struct flow to_server;
    struct flow to_client;
    unsigned seed;
};

static unsigned draw(struct mix *mix, unsigned below)
{
    mix->seed = mix->seed * 1103515245u + 12345u;
    return (mix->seed >> 16) % below;
}

static void flow_open(struct flow *flow, unsigned seed)
{
    *flow =
        (struct flow){.bytes = malloc(TOTAL_BYTES), .arrived = malloc(2 * TOTAL_BYTES)};
    assert_true(flow->bytes && flow->arrived);
    net_pattern(flow->bytes, TOTAL_BYTES, seed);
}

static void flow_close(struct flow *flow)
{
    assert_int_equal(flow->read, TOTAL_BYTES);
    assert_memory_equal(flow->arrived, flow->bytes, TOTAL_BYTES);
    free(flow->bytes);
    free(flow->arrived);
}

/* The next piece to write; 0: nothing left. */
static size_t flow_piece(struct mix *mix, const struct flow *flow)
{
    const size_t left = TOTAL_BYTES - flow->written;
    const size_t piece = 1 + draw(mix, draw(mix, 2) == 0 ? 50 : PIECE_MAX);
    return piece < left ? piece : left;
}

static void server_writes(struct mix *mix)
{
    struct flow *flow = &mix->to_client;
    struct stream *server = &mix->pair.server;
    if (stream_has_output(server)) {
        assert_int_not_equal(stream_flush(server), IO_ERROR);
        return;
    }
    const size_t piece = flow_piece(mix, flow);
    if (piece > 0) {
        assert_int_equal(stream_write(server, flow->bytes + flow->written, piece), IO_OK);
        flow->written += piece;
    } else if (!flow->ended) {
        flow->ended = true;
        assert_int_equal(stream_end_write(server), IO_OK);
    }
}

static void server_reads(struct mix *mix)
{
    struct flow *flow = &mix->to_server;
    struct stream *server = &mix->pair.server;
    size_t length;
    if (server->read_ended)
        return;
    assert_int_not_equal(stream_read(server, &length), IO_ERROR);
    memcpy(flow->arrived + flow->read, stream_pair_scratch.plain, length);
    flow->read += length;
    assert_true(stream_settle(server));
    flow->over = server->read_ended;
}

static void client_writes(struct mix *mix)
{
    struct flow *flow = &mix->to_server;
    struct tls_client *client = &mix->pair.client;
    if (client->out_end > 0) {
        (void)tls_client_send(client, 1 + draw(mix, 5000));
        return;
    }
    const size_t piece = flow_piece(mix, flow);
    if (piece > 0) {
        tls_client_write(client, flow->bytes + flow->written, piece);
        flow->written += piece;
    } else if (!flow->ended) {
        flow->ended = true;
        tls_client_notify(client);
    }
}

static void client_reads(struct mix *mix)
{
    struct flow *flow = &mix->to_client;
    if (flow->over)
        return;
    const int got = tls_client_read(&mix->pair.client, flow->arrived + flow->read,
                                    1 + draw(mix, PIECE_MAX));
    assert_int_not_equal(got, -2);
    flow->read += got > 0 ? (size_t)got : 0;
    flow->over = got == 0;
}

static void run_mix(const int fds[2], enum tls_client_version version, unsigned seed)
{
    static void (*const moves[])(struct mix *) = {server_writes, server_reads,
                                                  client_writes, client_reads};
    struct mix mix = {.seed = seed};
    const time_t start = time(NULL);
    flow_open(&mix.to_server, seed);
    flow_open(&mix.to_client, ~seed);
    stream_pair_begin(&mix.pair, fds, version);
    stream_pair_handshake(&mix.pair);
    while (!mix.to_client.over || !mix.to_server.over) {
        assert_true(time(NULL) - start < DEADLINE_S);
        moves[draw(&mix, 4)](&mix);
    }
    assert_false(mix.pair.server.truncated);
    assert_true(stream_pair_owns_nothing(&mix.pair.server));
    stream_pair_close(&mix.pair);
    flow_close(&mix.to_server);
    flow_close(&mix.to_client);
}

static void run_mixes(void (*make)(int fds[2]), enum tls_client_version version)
{
    for (unsigned seed = 1; seed <= 3; seed++) {
        int fds[2];
        make(fds);
        net_pair_shrink(fds);
        run_mix(fds, version, seed);
    }
}

static void loses_nothing_over_a_unix_socket(void **state)
{
    (void)state;
    run_mixes(net_pair_unix, CLIENT_TLS13);
}

static void loses_nothing_over_tcp(void **state)
{
    (void)state;
    run_mixes(net_pair_tcp, CLIENT_TLS13);
}

static void loses_nothing_with_tls_1_2(void **state)
{
    (void)state;
    run_mixes(net_pair_unix, CLIENT_TLS12);
}

static int open_contexts(void **state)
{
    (void)state;
    tls_contexts_open();
    return 0;
}

static int close_contexts(void **state)
{
    (void)state;
    tls_contexts_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loses_nothing_over_a_unix_socket),
        cmocka_unit_test(loses_nothing_over_tcp),
        cmocka_unit_test(loses_nothing_with_tls_1_2),
    };
    return cmocka_run_group_tests(tests, open_contexts, close_contexts);
}
