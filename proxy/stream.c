#include "proxy/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

/* Records are small while the peer may still wait for its first bytes, whole after that.
 */
enum {
    RECORD_SMALL = 4096,
    RECORD_FULL = 16384,
    BURST_SMALL_BYTES = 16384,
    RECORD_HEADER_BYTES = 5,
    RECORD_HANDSHAKE = 22,
    /* KeyUpdates, alerts and empty records that a peer may send in one second with no
     * application data among them. */
    CONTROL_RECORDS_MAX = 64
};

/* Whether what is sent leaves now, or with what follows: then the kernel keeps it, for a
 * fifth of a second at most, to send both in one segment. */
enum push { PUSH_NOW = 0, PUSH_MORE = MSG_MORE };

static int stream_on_tls_receive(WOLFSSL *ssl, char *buffer, int size, void *context);
static int stream_on_tls_send(WOLFSSL *ssl, char *buffer, int size, void *context);
static void stream_load(struct stream *stream);
static enum io stream_read_tls(struct stream *stream, size_t *length);
static enum io stream_read_plain(struct stream *stream, size_t *length);
static enum io stream_push(struct stream *stream, enum push push);
static enum io stream_send(struct stream *stream, const uint8_t *bytes, size_t length,
                           enum push push);
static void stream_finish_write(struct stream *stream);
static enum io stream_fail(struct stream *stream, int error);

void stream_init(struct stream *stream, struct scratch *scratch)
{
    *stream = (struct stream){.fd = -1, .scratch = scratch, .out.plaintext = true};
}

void stream_take(struct stream *stream, int fd)
{
    stream->fd = fd;
}

bool stream_start_tls(struct stream *stream, WOLFSSL_CTX *context)
{
    stream->ssl = wolfSSL_new(context);
    if (!stream->ssl)
        return false;
    stream->out.plaintext = false;
    wolfSSL_SSLSetIORecv(stream->ssl, stream_on_tls_receive);
    wolfSSL_SSLSetIOSend(stream->ssl, stream_on_tls_send);
    wolfSSL_SetIOReadCtx(stream->ssl, stream);
    wolfSSL_SetIOWriteCtx(stream->ssl, stream);
    return true;
}

enum io stream_receive(struct stream *stream)
{
    struct scratch *scratch = stream->scratch;

    stream_load(stream);
    size_t room = SCRATCH_CIPHER_IN - scratch->in_end;
    if (room == 0 || stream->fin_received)
        return IO_OK;

    ssize_t got = recv(stream->fd, scratch->cipher_in + scratch->in_end, room, 0);
    if (got < 0)
        return stream_fail(stream, errno);
    if (got == 0)
        stream->fin_received = true;
    scratch->in_end += (size_t)got;
    return IO_OK;
}

const uint8_t *stream_received(const struct stream *stream, size_t *length)
{
    const struct scratch *scratch = stream->scratch;

    if (scratch->in_owner != stream) {
        *length = 0;
        return NULL;
    }
    *length = scratch->in_end - scratch->in_start;
    return scratch->cipher_in + scratch->in_start;
}

void stream_repack(struct stream *stream, size_t length, const uint8_t *message,
                   size_t message_length)
{
    struct scratch *scratch = stream->scratch;
    size_t records = (message_length + RECORD_FULL - 1) / RECORD_FULL;
    uint8_t *end = scratch->cipher_in + scratch->in_start + length;
    uint8_t *out = end - message_length - records * RECORD_HEADER_BYTES;

    scratch->in_start = (size_t)(out - scratch->cipher_in);
    while (message_length > 0) {
        size_t part = message_length < RECORD_FULL ? message_length : RECORD_FULL;
        const uint8_t header[RECORD_HEADER_BYTES] = {RECORD_HANDSHAKE, 3, 1,
                                                     (uint8_t)(part >> 8), (uint8_t)part};
        memcpy(out, header, sizeof(header));
        memcpy(out + sizeof(header), message, part);
        out += sizeof(header) + part;
        message += part;
        message_length -= part;
    }
}

enum io stream_accept(struct stream *stream)
{
    stream_load(stream);
    int result = wolfSSL_accept(stream->ssl);
    int error = wolfSSL_get_error(stream->ssl, result);
    /* Behind what waits for the signature comes the rest of the flight, and behind a
     * ticket, the only thing that TLS 1.3 ends with here, the first answer. */
    bool more = error == WC_PENDING_E || (result == WOLFSSL_SUCCESS &&
                                          wolfSSL_version(stream->ssl) == TLS1_3_VERSION);
    enum io pushed = stream_push(stream, more ? PUSH_MORE : PUSH_NOW);

    if (result == WOLFSSL_SUCCESS) {
        stream->secure = true;
        return pushed;
    }
    if (error == WOLFSSL_ERROR_WANT_READ)
        return pushed == IO_OK ? IO_AGAIN : pushed;
    if (error == WC_PENDING_E)
        return pushed == IO_OK ? IO_PENDING : pushed;
    stream->error = error;
    stream->read_ended = error == WOLFSSL_ERROR_ZERO_RETURN;
    return IO_ERROR;
}

enum io stream_read(struct stream *stream, size_t *length)
{
    *length = 0;
    return stream->ssl ? stream_read_tls(stream, length)
                       : stream_read_plain(stream, length);
}

enum io stream_rekey(struct stream *stream)
{
    int result = wolfSSL_update_keys(stream->ssl);

    if (result != WOLFSSL_SUCCESS) {
        stream->error = wolfSSL_get_error(stream->ssl, result);
        return IO_ERROR;
    }
    return stream_push(stream, PUSH_NOW);
}

bool stream_is_rekeyed(const struct stream *stream)
{
    int awaited = 0;

    return wolfSSL_key_update_response(stream->ssl, &awaited) == 0 && !awaited;
}

bool stream_can_rekey(const struct stream *stream)
{
    return stream->secure && !stream->write_ended && !stream->write_failed &&
           wolfSSL_version(stream->ssl) == TLS1_3_VERSION;
}

enum io stream_write(struct stream *stream, const uint8_t *bytes, size_t length)
{
    if (!stream->ssl)
        return stream_send(stream, bytes, length, PUSH_NOW);

    while (length > 0) {
        size_t record =
            stream->burst_bytes < BURST_SMALL_BYTES ? RECORD_SMALL : RECORD_FULL;
        if (record > length)
            record = length;
        int written = wolfSSL_write(stream->ssl, bytes, (int)record);
        if (written <= 0) {
            stream->error = wolfSSL_get_error(stream->ssl, written);
            stream->scratch->out_length = 0; /* it is nobody else's */
            return IO_ERROR;
        }
        stream->burst_bytes += (uint32_t)written;
        bytes += written;
        length -= (size_t)written;
    }
    if (stream->burst_bytes > BURST_SMALL_BYTES)
        stream->burst_bytes = BURST_SMALL_BYTES;
    return stream_push(stream, PUSH_NOW);
}

bool stream_keep(struct stream *stream, const uint8_t *bytes, size_t length)
{
    return pending_append(&stream->out, bytes, length);
}

void stream_drop_socket(struct stream *stream)
{
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}

enum io stream_flush(struct stream *stream)
{
    struct pending *out = &stream->out;

    if (!out->data)
        return IO_OK;
    ssize_t sent =
        send(stream->fd, out->data + out->start, out->end - out->start, MSG_NOSIGNAL);
    if (sent < 0)
        return stream_fail(stream, errno);
    out->start += (uint32_t)sent;
    if (out->start < out->end)
        return IO_AGAIN;
    pending_free(out);
    stream_finish_write(stream);
    return IO_OK;
}

enum io stream_end_write(struct stream *stream)
{
    enum io result = IO_OK;

    if (stream->write_ended || stream->write_failed)
        return IO_OK;
    if (stream->secure) {
        (void)wolfSSL_shutdown(stream->ssl);
        result = stream_push(stream, PUSH_MORE); /* FIN follows */
    }
    stream->write_ended = true;
    stream_finish_write(stream);
    return result;
}

void stream_shut_write(struct stream *stream)
{
    stream->write_ended = true;
    stream_finish_write(stream);
}

void stream_abandon_output(struct stream *stream)
{
    pending_free(&stream->out);
    stream->write_failed = true;
}

enum io stream_discard(struct stream *stream)
{
    struct scratch *scratch = stream->scratch;

    ssize_t got = recv(stream->fd, scratch->plain, SCRATCH_PLAIN_READ, 0);
    if (got < 0)
        return stream_fail(stream, errno);
    if (got == 0)
        stream->read_ended = true;
    return IO_OK;
}

void stream_write_raw(struct stream *stream, const uint8_t *bytes, size_t length)
{
    (void)stream_send(stream, bytes, length, PUSH_NOW);
}

bool stream_settle(struct stream *stream)
{
    struct scratch *scratch = stream->scratch;

    if (scratch->in_owner != stream)
        return true;
    size_t rest = scratch->in_end - scratch->in_start;
    bool kept = rest == 0 ||
                pending_append(&stream->in, scratch->cipher_in + scratch->in_start, rest);
    scratch->in_owner = NULL;
    scratch->in_start = scratch->in_end = 0;
    return kept;
}

const char *stream_error_text(const struct stream *stream)
{
    if (stream->error > 0)
        return strerror(stream->error);
    return wolfSSL_ERR_reason_error_string((unsigned long)stream->error);
}

void stream_close(struct stream *stream, bool abort)
{
    struct scratch *scratch = stream->scratch;

    if (stream->ssl)
        wolfSSL_free(stream->ssl);
    stream->ssl = NULL;
    pending_free(&stream->in);
    pending_free(&stream->out);
    if (scratch && scratch->in_owner == stream) {
        scratch->in_owner = NULL;
        scratch->in_start = scratch->in_end = 0;
    }
    if (stream->fd < 0)
        return;
    if (abort) {
        const struct linger reset = {.l_onoff = 1};
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    close(stream->fd);
    stream->fd = -1;
}

/* Gives wolfSSL what was received; the end of the socket is not wolfSSL's business, so
 * that the writing direction stays usable after it. */
static int stream_on_tls_receive(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct stream *stream = context;
    struct scratch *scratch = stream->scratch;
    size_t there = scratch->in_end - scratch->in_start;

    (void)ssl;
    if (scratch->in_owner != stream || there == 0 || size <= 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    if (stream->secure && size == RECORD_HEADER_BYTES &&
        ++stream->control_records > CONTROL_RECORDS_MAX) {
        stream->flooded = true;
        return WOLFSSL_CBIO_ERR_GENERAL;
    }
    if (there > (size_t)size)
        there = (size_t)size;
    memcpy(buffer, scratch->cipher_in + scratch->in_start, there);
    scratch->in_start += there;
    return (int)there;
}

/* Gathers what wolfSSL sends; it leaves in one send when the call into wolfSSL is over.
 */
static int stream_on_tls_send(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct stream *stream = context;
    struct scratch *scratch = stream->scratch;
    size_t length = (size_t)size;

    (void)ssl;
    if (size <= 0)
        return WOLFSSL_CBIO_ERR_GENERAL;
    if (length > SCRATCH_CIPHER_OUT - scratch->out_length &&
        stream_push(stream, PUSH_MORE) != IO_OK)
        return WOLFSSL_CBIO_ERR_GENERAL;
    if (length > SCRATCH_CIPHER_OUT)
        return WOLFSSL_CBIO_ERR_GENERAL;
    memcpy(scratch->cipher_out + scratch->out_length, buffer, length);
    scratch->out_length += length;
    return size;
}

static void stream_load(struct stream *stream)
{
    struct scratch *scratch = stream->scratch;
    struct pending *in = &stream->in;

    if (scratch->in_owner == stream)
        return;
    scratch->in_owner = stream;
    scratch->in_start = 0;
    scratch->in_end = in->end - in->start;
    if (in->data)
        memcpy(scratch->cipher_in, in->data + in->start, scratch->in_end);
    pending_free(in);
}

static enum io stream_read_tls(struct stream *stream, size_t *length)
{
    struct scratch *scratch = stream->scratch;
    enum io received = stream_receive(stream);

    if (received == IO_ERROR || (received == IO_AGAIN && scratch->in_end == 0))
        return received;
    for (;;) {
        int got = wolfSSL_read(stream->ssl, scratch->plain + *length,
                               (int)(SCRATCH_PLAIN - *length));
        if (got <= 0) {
            stream->error = wolfSSL_get_error(stream->ssl, got);
            /* The library has narrower limits of its own. */
            if (stream->error == EMPTY_RECORD_LIMIT_E || stream->error == ALERT_COUNT_E)
                stream->flooded = true;
            break;
        }
        *length += (size_t)got;
        stream->control_records = 0;
    }
    /* A KeyUpdate may have been answered, an alert sent. */
    enum io pushed = scratch->out_length > 0 ? stream_push(stream, PUSH_NOW) : IO_OK;
    if (stream->error == WOLFSSL_ERROR_ZERO_RETURN) {
        stream->read_ended = true;
    } else if (stream->error != WOLFSSL_ERROR_WANT_READ) {
        return IO_ERROR;
    } else if (stream->fin_received) {
        stream->read_ended = true;
        stream->truncated = true;
    } else if (pushed == IO_OK && *length == 0) {
        /* Part of a record, or nothing for the application. */
        return IO_AGAIN;
    }
    return pushed;
}

static enum io stream_read_plain(struct stream *stream, size_t *length)
{
    ssize_t got = recv(stream->fd, stream->scratch->plain, SCRATCH_PLAIN_READ, 0);

    if (got < 0)
        return stream_fail(stream, errno);
    /* The kernel reports a reset once; after a send has seen it there is only an end. */
    if (got == 0 && stream->broken)
        return IO_ERROR;
    if (got == 0)
        stream->read_ended = true;
    *length = (size_t)got;
    return IO_OK;
}

static enum io stream_push(struct stream *stream, enum push push)
{
    struct scratch *scratch = stream->scratch;
    size_t length = scratch->out_length;

    scratch->out_length = 0;
    /* Nothing may follow a close_notify, not even the answer to a KeyUpdate (RFC 8446
     * section 6.1). */
    if (length == 0 || stream->write_ended)
        return IO_OK;
    return stream_send(stream, scratch->cipher_out, length, push);
}

/* IO_OK means taken: sent or kept. */
static enum io stream_send(struct stream *stream, const uint8_t *bytes, size_t length,
                           enum push push)
{
    size_t sent = 0;

    if (stream->write_failed)
        return IO_ERROR;
    if (!stream->out.data) {
        ssize_t taken = send(stream->fd, bytes, length, MSG_NOSIGNAL | (int)push);
        if (taken < 0 && stream_fail(stream, errno) == IO_ERROR) {
            stream->write_failed = true;
            return IO_ERROR;
        }
        sent = taken < 0 ? 0 : (size_t)taken;
    }
    if (sent < length && !pending_append(&stream->out, bytes + sent, length - sent))
        return stream_fail(stream, ENOBUFS);
    return IO_OK;
}

static void stream_finish_write(struct stream *stream)
{
    if (!stream->write_ended || stream->write_shut || stream->out.data)
        return;
    (void)shutdown(stream->fd, SHUT_WR);
    stream->write_shut = true;
}

static enum io stream_fail(struct stream *stream, int error)
{
    if (error == EAGAIN || error == EINTR)
        return IO_AGAIN;
    stream->error = error;
    if (error != EPIPE)
        stream->broken = true;
    return IO_ERROR;
}
