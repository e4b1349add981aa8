/*
 * A stream under test as the server of a real TLS client, or as one end of a plain
 * socket, sharing one scratch as in the worker.
 */
#ifndef TESTS_STREAM_PAIR_H
#define TESTS_STREAM_PAIR_H

#include "proxy/stream.h"
#include "tests/unit/tls_client.h"

struct stream_pair {
    struct stream server;
    struct tls_client client;
};

/* What the worker would own. */
extern struct scratch stream_pair_scratch;

/* Connected, nothing said yet. */
void stream_pair_begin(struct stream_pair *pair, const int fds[2],
                       enum tls_client_version version);

/* Until both sides have finished the handshake. */
void stream_pair_handshake(struct stream_pair *pair);

/* The two together, over a unix socket pair and TLS 1.3. */
void stream_pair_open(struct stream_pair *pair);

/* The client encrypts and sends all. */
void stream_pair_say(struct stream_pair *pair, const void *bytes, size_t length);

/* The client reads `length` bytes while the server flushes.  Returns how many came before
 * the end, and in *last what tls_client_read said then. */
size_t stream_pair_hear(struct stream_pair *pair, uint8_t *bytes, size_t length,
                        int *last);

/* The server reads until `length` bytes have come or the stream has ended or failed;
 * returns their number.  Each read is one event. */
size_t stream_pair_read(struct stream *stream, uint8_t *bytes, size_t length);

void stream_pair_close(struct stream_pair *pair);

/* Neither input nor output is kept, and the scratch belongs to nobody. */
bool stream_pair_owns_nothing(const struct stream *stream);

#endif
