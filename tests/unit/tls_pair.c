#include "tests/unit/tls_pair.h"

#include <stdlib.h>
#include <string.h>

#include <wolfssl/wolfcrypt/error-crypt.h>

static unsigned draw(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

/* Sometimes nothing, sometimes less than asked. */
static int shorten(struct tls_pipe *pipe, int size)
{
    if (!pipe->chaos)
        return size;
    if (draw(pipe->chaos) % 3 == 0)
        return 0;
    if (size > 1 && draw(pipe->chaos) % 2 == 0)
        return 1 + (int)(draw(pipe->chaos) % (unsigned)size);
    return size;
}

static int on_receive(WOLFSSL *ssl, char *bytes, int size, void *argument)
{
    struct tls_pipe *pipe = argument;
    (void)ssl;
    size = shorten(pipe, size);
    const size_t have = pipe->end - pipe->start;
    if (size == 0 || have == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    const size_t taken = have < (size_t)size ? have : (size_t)size;
    memcpy(bytes, pipe->bytes + pipe->start, taken);
    pipe->start += taken;
    if (pipe->start == pipe->end)
        pipe->start = pipe->end = 0;
    return (int)taken;
}

static int on_send(WOLFSSL *ssl, char *bytes, int size, void *argument)
{
    struct tls_pipe *pipe = argument;
    (void)ssl;
    size = shorten(pipe, size);
    const size_t room = PIPE_BYTES - pipe->end;
    if (size == 0 || room == 0)
        return WOLFSSL_CBIO_ERR_WANT_WRITE;
    const size_t given = room < (size_t)size ? room : (size_t)size;
    memcpy(pipe->bytes + pipe->end, bytes, given);
    pipe->end += given;
    return (int)given;
}

static void on_signed(void *argument)
{
    struct tls_pair *pair = argument;
    pair->signed_count++;
    if (pair->in_accept)
        pair->signed_in_accept = true;
}

WOLFSSL_CTX *tls_pair_client_context(enum tls_pair_version version, const char *root,
                                     size_t root_size)
{
    WOLFSSL_CTX *context =
        wolfSSL_CTX_new(version == PAIR_TLS12 ? wolfTLSv1_2_client_method()
                                              : wolfTLSv1_3_client_method());
    if (!context ||
        wolfSSL_CTX_load_verify_buffer(context, (const uint8_t *)root, (long)root_size,
                                       WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        abort();
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, NULL);
    return context;
}

static void tie(WOLFSSL *ssl, struct tls_pipe *in, struct tls_pipe *out)
{
    if (!ssl)
        abort();
    wolfSSL_SSLSetIORecv(ssl, on_receive);
    wolfSSL_SSLSetIOSend(ssl, on_send);
    wolfSSL_SetIOReadCtx(ssl, in);
    wolfSSL_SetIOWriteCtx(ssl, out);
}

void tls_pair_open(struct tls_pair *pair, struct keyholder_client *signer,
                   const struct certificate *certificate, WOLFSSL_CTX *client_context,
                   unsigned *chaos)
{
    *pair = (struct tls_pair){.to_server.chaos = chaos, .to_client.chaos = chaos};
    pair->to_server.bytes = malloc(PIPE_BYTES);
    pair->to_client.bytes = malloc(PIPE_BYTES);
    pair->server = wolfSSL_new(certificate->context);
    pair->client = wolfSSL_new(client_context);
    tie(pair->server, &pair->to_server, &pair->to_client);
    tie(pair->client, &pair->to_client, &pair->to_server);
    pair->job = sign_job_new(signer, pair->server, certificate, on_signed, pair);
    if (!pair->job || !pair->to_server.bytes || !pair->to_client.bytes)
        abort();
}

static bool is_wait(int error)
{
    return error == WOLFSSL_ERROR_WANT_READ || error == WOLFSSL_ERROR_WANT_WRITE;
}

static void step_client(struct tls_pair *pair)
{
    const int result = wolfSSL_connect(pair->client);
    pair->client_done = result == WOLFSSL_SUCCESS;
    pair->client_error = pair->client_done ? 0 : wolfSSL_get_error(pair->client, result);
    pair->failed = pair->failed || (!pair->client_done && !is_wait(pair->client_error));
}

static void step_server(struct tls_pair *pair)
{
    pair->in_accept = true;
    const int result = wolfSSL_accept(pair->server);
    pair->in_accept = false;
    pair->server_done = result == WOLFSSL_SUCCESS;
    pair->server_error = pair->server_done ? 0 : wolfSSL_get_error(pair->server, result);
    if (pair->server_error == WC_PENDING_E)
        pair->pendings++;
    else
        pair->failed =
            pair->failed || (!pair->server_done && !is_wait(pair->server_error));
}

bool tls_pair_step(struct tls_pair *pair)
{
    if (!pair->client_done && !pair->failed)
        step_client(pair);
    if (!pair->server_done && !pair->failed)
        step_server(pair);
    return pair->client_done && pair->server_done;
}

static bool carry(WOLFSSL *from, WOLFSSL *to, const char *text)
{
    char got[64] = "";
    const int length = (int)strlen(text);
    bool written = false;
    for (int i = 0; i < 10000; i++) {
        if (!written)
            written = wolfSSL_write(from, text, length) == length;
        if (wolfSSL_read(to, got, sizeof got) == length)
            return strncmp(got, text, (size_t)length) == 0;
    }
    return false;
}

bool tls_pair_talk(struct tls_pair *pair)
{
    return carry(pair->client, pair->server, "from the client") &&
           carry(pair->server, pair->client, "and from the server");
}

void tls_pair_close(struct tls_pair *pair)
{
    sign_job_free(pair->job);
    wolfSSL_free(pair->server);
    wolfSSL_free(pair->client);
    free(pair->to_server.bytes);
    free(pair->to_client.bytes);
    *pair = (struct tls_pair){0};
}
