/*
 * A TLS client on wolfSSL for the end-to-end tests: it can offer X25519MLKEM768, which
 * Debian's OpenSSL cannot, and cut its ClientHello into many records and writes.
 *
 *   tls_client HOST PORT [--sni NAME] [--ca FILE] [--groups A,B] [--shares N]
 *              [--version 1.2|1.3] [--record N] [--write N] [--request TEXT]
 *
 * Prints version=, cipher=, group=, hello_bytes= lines, then what the server answers to
 * TEXT.  Exit code 0 only if the handshake succeeded and the connection ended cleanly.
 */
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

enum { GROUPS_MAX = 4, TIMEOUT_S = 30, RECORD_HEADER = 5, CHUNK = 16384 };

struct options {
    const char *host;
    const char *port;
    const char *sni;
    const char *ca;
    const char *request;
    const char *version;
    int groups[GROUPS_MAX];
    int group_count;
    int share_count; /* key shares to send, for the first groups; 0: for the first only */
    size_t record;   /* payload of the ClientHello's records; 0: one record */
    size_t write;    /* bytes for each write of it; 0: all at once */
};

struct connection {
    int fd;
    const struct options *options;
    bool hello_sent;
    size_t hello_bytes;
};

static void fail(const char *what)
{
    fprintf(stderr, "tls_client: %s\n", what);
    exit(1);
}

static int read_group(const char *name)
{
    if (strcmp(name, "X25519MLKEM768") == 0)
        return WOLFSSL_X25519MLKEM768;
    if (strcmp(name, "X25519") == 0)
        return WOLFSSL_ECC_X25519;
    if (strcmp(name, "P-256") == 0)
        return WOLFSSL_ECC_SECP256R1;
    if (strcmp(name, "P-384") == 0)
        return WOLFSSL_ECC_SECP384R1;
    fail("unknown group");
    return 0;
}

static void read_groups(char *list, struct options *options)
{
    char *rest = list;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        if (options->group_count == GROUPS_MAX)
            fail("too many groups");
        options->groups[options->group_count++] = read_group(name);
    }
}

static void read_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {{"sni", required_argument, NULL, 's'},
                                          {"ca", required_argument, NULL, 'c'},
                                          {"groups", required_argument, NULL, 'g'},
                                          {"shares", required_argument, NULL, 'n'},
                                          {"record", required_argument, NULL, 'r'},
                                          {"write", required_argument, NULL, 'w'},
                                          {"request", required_argument, NULL, 'q'},
                                          {"version", required_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};

    for (int key; (key = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (key) {
        case 's':
            options->sni = optarg;
            break;
        case 'c':
            options->ca = optarg;
            break;
        case 'g':
            read_groups(optarg, options);
            break;
        case 'n':
            options->share_count = atoi(optarg);
            break;
        case 'r':
            options->record = strtoul(optarg, NULL, 10);
            break;
        case 'w':
            options->write = strtoul(optarg, NULL, 10);
            break;
        case 'q':
            options->request = optarg;
            break;
        case 'v':
            options->version = optarg;
            break;
        default:
            exit(2);
        }
    }
    if (argc - optind != 2)
        fail("usage: tls_client HOST PORT [options]");
    options->host = argv[optind];
    options->port = argv[optind + 1];
}

static int connect_tcp(const struct options *options)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST};
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    const int on = 1;
    struct addrinfo *found = NULL;

    if (getaddrinfo(options->host, options->port, &hints, &found) != 0)
        fail("not a numeric address");
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
        fail("cannot connect");
    freeaddrinfo(found);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    return fd;
}

static void send_all(int fd, const unsigned char *bytes, size_t length, size_t step)
{
    while (length > 0) {
        const size_t wanted = step > 0 && step < length ? step : length;
        const ssize_t sent = send(fd, bytes, wanted, MSG_NOSIGNAL);
        if (sent <= 0)
            fail("cannot send");
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* The handshake's transcript does not contain record headers, so the message may be cut
 * into other records than wolfSSL made. */
static void send_hello(struct connection *connection, const unsigned char *bytes,
                       size_t length)
{
    static unsigned char records[8 * CHUNK];
    const struct options *options = connection->options;
    size_t used = 0;

    connection->hello_bytes = length;
    if (options->record == 0) {
        send_all(connection->fd, bytes, length, options->write);
        return;
    }
    for (size_t at = RECORD_HEADER; at < length;) {
        const size_t left = length - at;
        const size_t part = left < options->record ? left : options->record;
        if (used + RECORD_HEADER + part > sizeof records)
            fail("--record is too small");
        memcpy(records + used, bytes, 3);
        records[used + 3] = (unsigned char)(part >> 8);
        records[used + 4] = (unsigned char)part;
        memcpy(records + used + RECORD_HEADER, bytes + at, part);
        used += RECORD_HEADER + part;
        at += part;
    }
    send_all(connection->fd, records, used, options->write);
}

static int on_send(WOLFSSL *ssl, char *bytes, int length, void *argument)
{
    struct connection *connection = argument;

    (void)ssl;
    if (connection->hello_sent) {
        send_all(connection->fd, (unsigned char *)bytes, (size_t)length, 0);
    } else {
        connection->hello_sent = true;
        send_hello(connection, (unsigned char *)bytes, (size_t)length);
    }
    return length;
}

static int on_receive(WOLFSSL *ssl, char *bytes, int length, void *argument)
{
    const struct connection *connection = argument;

    (void)ssl;
    const ssize_t received = recv(connection->fd, bytes, (size_t)length, 0);
    if (received > 0)
        return (int)received;
    return received == 0 ? WOLFSSL_CBIO_ERR_CONN_CLOSE : WOLFSSL_CBIO_ERR_CONN_RST;
}

static WOLFSSL_CTX *make_context(const struct options *options)
{
    const bool old = options->version != NULL && strcmp(options->version, "1.2") == 0;
    WOLFSSL_CTX *context =
        wolfSSL_CTX_new(old ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());

    if (context == NULL)
        fail("no context");
    if (options->ca == NULL)
        wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    else if (wolfSSL_CTX_load_verify_locations(context, options->ca, NULL) !=
             WOLFSSL_SUCCESS)
        fail("cannot read the CA");
    wolfSSL_CTX_SetIOSend(context, on_send);
    wolfSSL_CTX_SetIORecv(context, on_receive);
    return context;
}

static WOLFSSL *make_tls(WOLFSSL_CTX *context, struct options *options,
                         struct connection *connection)
{
    WOLFSSL *ssl = wolfSSL_new(context);

    if (ssl == NULL)
        fail("no memory");
    wolfSSL_SetIOReadCtx(ssl, connection);
    wolfSSL_SetIOWriteCtx(ssl, connection);
    if (options->sni != NULL)
        wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, options->sni,
                       (unsigned short)strlen(options->sni));
    if (options->group_count == 0)
        options->groups[options->group_count++] = WOLFSSL_X25519MLKEM768;
    if (wolfSSL_set_groups(ssl, options->groups, options->group_count) != WOLFSSL_SUCCESS)
        fail("the groups are refused");
    const int shares = options->share_count > 0 ? options->share_count : 1;
    for (int i = 0; i < shares && i < options->group_count; i++) {
        if (wolfSSL_version(ssl) == TLS1_3_VERSION &&
            wolfSSL_UseKeyShare(ssl, (unsigned short)options->groups[i]) !=
                WOLFSSL_SUCCESS)
            fail("the key share is refused");
    }
    return ssl;
}

static void shake_hands(WOLFSSL *ssl)
{
    char words[WOLFSSL_MAX_ERROR_SZ];

    if (wolfSSL_connect(ssl) == WOLFSSL_SUCCESS)
        return;
    wolfSSL_ERR_error_string((unsigned long)wolfSSL_get_error(ssl, 0), words);
    fail(words);
}

static void talk(WOLFSSL *ssl, const char *request)
{
    char bytes[CHUNK];
    int length;

    if (wolfSSL_write(ssl, request, (int)strlen(request)) <= 0)
        fail("cannot write");
    while ((length = wolfSSL_read(ssl, bytes, sizeof bytes)) > 0)
        fwrite(bytes, 1, (size_t)length, stdout);
    if (wolfSSL_get_error(ssl, length) != WOLFSSL_ERROR_ZERO_RETURN)
        fail("the server ended without close_notify");
}

int main(int argc, char **argv)
{
    struct options options = {0};

    wolfSSL_Init();
    read_options(argc, argv, &options);
    struct connection connection = {.fd = connect_tcp(&options), .options = &options};
    WOLFSSL_CTX *context = make_context(&options);
    WOLFSSL *ssl = make_tls(context, &options, &connection);
    shake_hands(ssl);
    printf("version=%s\ncipher=%s\ngroup=%s\nhello_bytes=%zu\n", wolfSSL_get_version(ssl),
           wolfSSL_get_cipher_name(ssl), wolfSSL_get_curve_name(ssl),
           connection.hello_bytes);
    if (options.request != NULL)
        talk(ssl, options.request);
    wolfSSL_shutdown(ssl);
    wolfSSL_free(ssl);
    wolfSSL_CTX_free(context);
    close(connection.fd);
    wolfSSL_Cleanup();
    return 0;
}
