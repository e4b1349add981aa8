/*
 * One side of a session: a socket, with TLS on it (the client's) or without (the
 * backend's).  Runs in the worker, which lends every stream the same scratch buffers; a
 * stream owns bytes only while its peer does not take them or TLS cannot use them yet.
 * The only code that calls wolfSSL's accept, read, write and shutdown.
 */
#ifndef PROXY_STREAM_H
#define PROXY_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "proxy/error.h"
#include "proxy/pending.h"

/*
 * Sizes: one receive fills at most CIPHER_IN; with what TLS may hold of a record from
 * before (under 17 KiB) it never decrypts to more than PLAIN.  A backend read of at most
 * PLAIN_READ encrypts to less than CIPHER_OUT.
 */
enum {
    SCRATCH_CIPHER_IN = 64 * 1024,
    SCRATCH_PLAIN = 96 * 1024,
    SCRATCH_PLAIN_READ = 64 * 1024,
    SCRATCH_CIPHER_OUT = 80 * 1024,
};

struct stream;

/* Used by one event at a time; holds nothing between events. */
struct scratch {
    const struct stream *in_owner; /* whose unconsumed bytes are in cipher_in, or NULL */
    size_t in_start;
    size_t in_end;
    size_t out_length;
    uint8_t cipher_in[SCRATCH_CIPHER_IN];
    uint8_t plain[SCRATCH_PLAIN];
    uint8_t cipher_out[SCRATCH_CIPHER_OUT];
};

struct stream {
    int fd;                    /* owned; -1: none */
    WOLFSSL *ssl;              /* owned; NULL: plain */
    struct scratch *scratch;   /* borrowed */
    struct pending in;         /* ciphertext received, not consumed */
    struct pending out;        /* for the peer, not taken yet */
    int error;                 /* errno or wolfSSL error of the last IO_ERROR */
    uint32_t burst_bytes;      /* written since the connection was last quiet */
    uint32_t control_records;  /* since control_since_ms or the last application data */
    uint64_t control_since_ms; /* by stream_tick */
    bool secure;               /* the handshake is done */
    bool fin_received;         /* the socket has ended */
    bool read_ended;           /* nothing more will come */
    bool truncated;            /* it ended without close_notify */
    bool write_ended;          /* close_notify or end of file is queued behind `out` */
    bool write_shut;           /* and FIN is out */
    bool write_failed;         /* the peer takes nothing more */
    bool broken;  /* reset, timed out: its end is not the end of what was said */
    bool flooded; /* it sent more control records than anybody needs */
};

enum io {
    IO_OK,
    IO_AGAIN,   /* nothing to be had now */
    IO_PENDING, /* the handshake waits for its signature */
    IO_ERROR    /* see error, broken */
};

/* What `flooded` means, for the log. */
#define STREAM_FLOOD_WORDS "too many KeyUpdates, alerts or empty records without data"

void stream_init(struct stream *stream, struct scratch *scratch);

/* Takes a connected or connecting non-blocking socket. */
void stream_take(struct stream *stream, int fd);

/* Puts TLS on the stream. */
bool stream_start_tls(struct stream *stream, WOLFSSL_CTX *context) MUST_CHECK;

/* Receives once into the scratch, behind what was kept.  IO_OK also at end of file, which
 * then shows in read_ended. */
enum io stream_receive(struct stream *stream);

/* What stream_receive has gathered and TLS has not consumed. */
const uint8_t *stream_received(const struct stream *stream, size_t *length);

/* Takes `length` of the received bytes away from TLS. */
static inline void stream_skip(struct stream *stream, size_t length)
{
    stream->scratch->in_start += length;
}

/* Puts the handshake message `message` in as few records as it takes in place of the
 * first `length` received bytes, which held it in more.  wolfSSL wants a message's header
 * whole. */
void stream_repack(struct stream *stream, size_t length, const uint8_t *message,
                   size_t message_length);

/* Goes on with the TLS handshake on the received bytes.  Output, alerts too, is sent.
 * IO_ERROR with read_ended: the client said close_notify. */
enum io stream_accept(struct stream *stream);

/* Reads once into scratch->plain.  Sets *length (0 with IO_OK only at the end, see
 * read_ended).  For TLS one receive's worth of whole records. */
enum io stream_read(struct stream *stream, size_t *length);

/* Tells the stream the time, for its limit of control records. */
static inline void stream_tick(struct stream *stream, uint64_t now_ms)
{
    if (now_ms - stream->control_since_ms >= 1000) {
        stream->control_since_ms = now_ms;
        stream->control_records = 0;
    }
}

/* Renews the keys of a TLS 1.3 connection: ours at once, the peer's when it answers
 * (RFC 8446 section 4.6.3). */
enum io stream_rekey(struct stream *stream);

/* Whether the peer has answered the last stream_rekey with its own. */
bool stream_is_rekeyed(const struct stream *stream);

/* Whether the connection's keys can be renewed: TLS 1.3, and still writing. */
bool stream_can_rekey(const struct stream *stream);

/* Sends, keeping what the peer does not take. */
enum io stream_write(struct stream *stream, const uint8_t *bytes, size_t length);

/* Keeps bytes to be sent before all others, once there is a socket. */
bool stream_keep(struct stream *stream, const uint8_t *bytes, size_t length) MUST_CHECK;

/* Closes the socket alone; what is kept stays for the next one. */
void stream_drop_socket(struct stream *stream);

/* Sends what is kept. */
enum io stream_flush(struct stream *stream);

/* Ends the writing direction once everything is out: close_notify for TLS, then FIN. */
enum io stream_end_write(struct stream *stream);

/* Ends it without close_notify: after a fatal alert. */
void stream_shut_write(struct stream *stream);

/* Gives up what the peer did not take: it takes nothing more. */
void stream_abandon_output(struct stream *stream);

/* Receives and throws away; IO_OK with read_ended at the end of file. */
enum io stream_discard(struct stream *stream);

/* Sends bytes as they are in place of TLS output: an alert before TLS exists. */
void stream_write_raw(struct stream *stream, const uint8_t *bytes, size_t length);

/* Keeps what the event leaves unconsumed; to be called at the end of every event. */
bool stream_settle(struct stream *stream);

static inline bool stream_has_output(const struct stream *stream)
{
    return stream->out.data != NULL;
}

static inline bool stream_has_input(const struct stream *stream)
{
    return stream->in.data != NULL ||
           (stream->scratch->in_owner == stream &&
            stream->scratch->in_start < stream->scratch->in_end);
}

/* The connection was quiet for a while: begin with small records again, so that the first
 * bytes of the next answer need not wait for a whole large record. */
static inline void stream_quiet(struct stream *stream)
{
    stream->burst_bytes = 0;
}

/* In words: what the last IO_ERROR was. */
const char *stream_error_text(const struct stream *stream);

/* Frees and closes; with `abort` the peer is told by a reset rather than an end. */
void stream_close(struct stream *stream, bool abort);

#endif
