#include "tests/unit/tls_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs/tls_policy.h"
#include "tests/unit/certs_lab.h"

static WOLFSSL_CTX *server_context;
static WOLFSSL_CTX *client_contexts[2];

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "tls_client: %s\n", what);
    abort();
}

void tls_contexts_open(void)
{
    struct error error = {.text = ""};
    struct lab lab;
    size_t chain_size, key_size;
    must(wolfSSL_Init() == WOLFSSL_SUCCESS, "wolfSSL does not start");
    lab_open(&lab);
    lab_key(&lab, "server", "p256");
    lab_run(&lab, "openssl req -x509 -new -key server.key -out server.pem -days 10 "
                  "-subj /CN=server.test");
    char *chain = lab_read(&lab, "server.pem", &chain_size);
    char *key = lab_read(&lab, "server.key", &key_size);
    lab_close(&lab);

    server_context = wolfSSL_CTX_new(wolfTLS_server_method());
    must(server_context && tls_policy_apply(server_context, &tls_policy_widest, &error),
         error.text);
    must(wolfSSL_CTX_use_certificate_chain_buffer(server_context, (const uint8_t *)chain,
                                                  (long)chain_size) == WOLFSSL_SUCCESS,
         "chain");
    must(wolfSSL_CTX_use_PrivateKey_buffer(server_context, (const uint8_t *)key,
                                           (long)key_size,
                                           WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS,
         "key");
    free(chain);
    free(key);
    client_contexts[CLIENT_TLS12] = wolfSSL_CTX_new(wolfTLSv1_2_client_method());
    client_contexts[CLIENT_TLS13] = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    for (int i = 0; i < 2; i++) {
        must(client_contexts[i] != NULL, "no memory");
        wolfSSL_CTX_set_verify(client_contexts[i], WOLFSSL_VERIFY_NONE, NULL);
    }
}

void tls_contexts_close(void)
{
    wolfSSL_CTX_free(server_context);
    wolfSSL_CTX_free(client_contexts[0]);
    wolfSSL_CTX_free(client_contexts[1]);
    wolfSSL_Cleanup();
}

WOLFSSL_CTX *tls_server_context(void)
{
    return server_context;
}

static int on_receive(WOLFSSL *ssl, char *bytes, int size, void *argument)
{
    const struct tls_client *client = argument;
    (void)ssl;
    const ssize_t got = recv(client->fd, bytes, (size_t)size, 0);
    if (got > 0)
        return (int)got;
    if (got == 0)
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    return errno == EAGAIN ? WOLFSSL_CBIO_ERR_WANT_READ : WOLFSSL_CBIO_ERR_GENERAL;
}

static int on_send(WOLFSSL *ssl, char *bytes, int size, void *argument)
{
    struct tls_client *client = argument;
    (void)ssl;
    must((size_t)size <= TLS_CLIENT_OUT_MAX - client->out_end, "too much output");
    memcpy(client->out + client->out_end, bytes, (size_t)size);
    client->out_end += (size_t)size;
    return size;
}

void tls_client_open(struct tls_client *client, int fd, enum tls_client_version version)
{
    tls_client_open_with(client, fd, client_contexts[version]);
}

void tls_client_open_with(struct tls_client *client, int fd, WOLFSSL_CTX *context)
{
    *client = (struct tls_client){.fd = fd, .out = malloc(TLS_CLIENT_OUT_MAX)};
    client->ssl = wolfSSL_new(context);
    must(client->out && client->ssl, "no memory");
    wolfSSL_SSLSetIORecv(client->ssl, on_receive);
    wolfSSL_SSLSetIOSend(client->ssl, on_send);
    wolfSSL_SetIOReadCtx(client->ssl, client);
    wolfSSL_SetIOWriteCtx(client->ssl, client);
}

bool tls_client_connect(struct tls_client *client)
{
    const int result = wolfSSL_connect(client->ssl);
    if (result == WOLFSSL_SUCCESS)
        return true;
    client->failed = wolfSSL_get_error(client->ssl, result) != WOLFSSL_ERROR_WANT_READ;
    return false;
}

void tls_client_write(struct tls_client *client, const void *bytes, size_t length)
{
    must(wolfSSL_write(client->ssl, bytes, (int)length) == (int)length, "write");
}

void tls_client_notify(struct tls_client *client)
{
    (void)wolfSSL_shutdown(client->ssl);
}

size_t tls_client_send(struct tls_client *client, size_t most)
{
    size_t length = client->out_end - client->out_start;
    if (length > most)
        length = most;
    if (length == 0)
        return 0;
    const ssize_t sent =
        send(client->fd, client->out + client->out_start, length, MSG_NOSIGNAL);
    if (sent < 0)
        return 0;
    client->out_start += (size_t)sent;
    if (client->out_start == client->out_end)
        client->out_start = client->out_end = 0;
    return (size_t)sent;
}

int tls_client_read(struct tls_client *client, void *bytes, size_t size)
{
    const int got = wolfSSL_read(client->ssl, bytes, (int)size);
    if (got > 0)
        return got;
    switch (wolfSSL_get_error(client->ssl, got)) {
    case WOLFSSL_ERROR_WANT_READ:
        return -1;
    case WOLFSSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return -2;
    }
}

void tls_client_hang_up(struct tls_client *client)
{
    if (client->fd >= 0)
        (void)close(client->fd);
    client->fd = -1;
}

void tls_client_close(struct tls_client *client)
{
    tls_client_hang_up(client);
    wolfSSL_free(client->ssl);
    free(client->out);
    *client = (struct tls_client){.fd = -1};
}
