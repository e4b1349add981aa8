/*
 * A TLS client that sends records which carry nothing, until the server has enough.
 *
 *   flood_client HOST PORT key_update|empty|alert [1.2|1.3]
 *
 * Prints sent=N, the records until the connection broke; exit code 1 if that took 10 s.
 */
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

enum { TIMEOUT_S = 20, PATIENCE_S = 10, RECORD_ROOM = 256 };
enum { ALERT = 21, APPLICATION_DATA = 23, WARNING = 1, USER_CANCELED = 90 };

/* The library would not send such records, but it can make them; not by a public call. */
int BuildTls13Message(WOLFSSL *ssl, byte *record, int room, const byte *bytes, int length,
                      int type, int hash, int size_only, int async);
int BuildMessage(WOLFSSL *ssl, byte *record, int room, const byte *bytes, int length,
                 int type, int hash, int size_only, int async, int epoch);

static void fail(const char *what)
{
    fprintf(stderr, "flood_client: %s\n", what);
    exit(1);
}

static int connect_tcp(const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST};
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    struct addrinfo *found = NULL;

    if (getaddrinfo(host, port, &hints, &found) != 0)
        fail("not a numeric address");
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
        fail("cannot connect");
    freeaddrinfo(found);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    return fd;
}

static bool send_record(WOLFSSL *ssl, int fd, const byte *bytes, int length, int type)
{
    byte record[RECORD_ROOM];
    const int made =
        wolfSSL_version(ssl) == TLS1_3_VERSION
            ? BuildTls13Message(ssl, record, sizeof record, bytes, length, type, 0, 0, 0)
            : BuildMessage(ssl, record, sizeof record, bytes, length, type, 0, 0, 0, 0);
    if (made <= 0)
        fail("cannot make a record");
    return send(fd, record, (size_t)made, MSG_NOSIGNAL) == made;
}

static bool send_one(WOLFSSL *ssl, int fd, const char *kind)
{
    static const byte none[1];
    static const byte warning[] = {WARNING, USER_CANCELED};

    if (strcmp(kind, "empty") == 0)
        return send_record(ssl, fd, none, 0, APPLICATION_DATA);
    if (strcmp(kind, "alert") == 0)
        return send_record(ssl, fd, warning, sizeof warning, ALERT);
    return wolfSSL_update_keys(ssl) == WOLFSSL_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        fail("usage: flood_client HOST PORT key_update|empty|alert [1.2|1.3]");
    signal(SIGPIPE, SIG_IGN);
    wolfSSL_Init();
    const bool old = argc > 4 && strcmp(argv[4], "1.2") == 0;
    WOLFSSL_CTX *context =
        wolfSSL_CTX_new(old ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    WOLFSSL *ssl = wolfSSL_new(context);
    if (ssl == NULL)
        fail("no memory");
    const int fd = connect_tcp(argv[1], argv[2]);
    wolfSSL_set_fd(ssl, fd);
    if (wolfSSL_connect(ssl) != WOLFSSL_SUCCESS)
        fail("the handshake failed");
    const time_t end = time(NULL) + PATIENCE_S;
    long sent = 0;
    bool cut = false;
    while (!cut && time(NULL) < end) {
        cut = !send_one(ssl, fd, argv[3]);
        sent += !cut;
    }
    printf("sent=%ld\n", sent);
    wolfSSL_free(ssl);
    wolfSSL_CTX_free(context);
    close(fd);
    return cut ? 0 : 1;
}
