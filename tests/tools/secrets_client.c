/*
 * A TLS client that tells all its secrets, for the test that searches Pawl's memory for
 * them.  The linker puts it between the library and the library's key derivation, so it
 * also knows what no key log has: the shared secret of the key exchange, the handshake
 * and the master secret.
 *
 *   secrets_client HOST PORT [--version 1.2|1.3] [--group NAME] [--suite NAME]
 *
 * Prints a line `secret LABEL HEX` for each secret as soon as it is known, `public GROUP
 * HEX` for the keys that the server's secrets belong to (its own, for ML-KEM ours), and
 * `ready` after the handshake.  Then each line of standard input is sent and the answer
 * awaited, and `echoed` is printed; at its end the connection is closed.
 */
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/kdf.h>
#include <wolfssl/wolfcrypt/wc_mlkem.h>

enum { TIMEOUT_S = 30, LINE_MAX_BYTES = 256 };

/* What the linker calls these functions when it wraps them. */
int __real_wc_Tls13_HKDF_Extract_ex(byte *prk, const byte *salt, word32 salt_length,
                                    byte *ikm, word32 ikm_length, int digest, void *heap,
                                    int device);
int __wrap_wc_Tls13_HKDF_Extract_ex(byte *prk, const byte *salt, word32 salt_length,
                                    byte *ikm, word32 ikm_length, int digest, void *heap,
                                    int device);
int __real_wc_Tls13_HKDF_Expand_Label_ex(byte *okm, word32 okm_length, const byte *prk,
                                         word32 prk_length, const byte *protocol,
                                         word32 protocol_length, const byte *label,
                                         word32 label_length, const byte *info,
                                         word32 info_length, int digest, void *heap,
                                         int device);
int __wrap_wc_Tls13_HKDF_Expand_Label_ex(byte *okm, word32 okm_length, const byte *prk,
                                         word32 prk_length, const byte *protocol,
                                         word32 protocol_length, const byte *label,
                                         word32 label_length, const byte *info,
                                         word32 info_length, int digest, void *heap,
                                         int device);
int __real_wc_PRF_TLS(byte *out, word32 out_length, const byte *secret,
                      word32 secret_length, const byte *label, word32 label_length,
                      const byte *seed, word32 seed_length, int sha256, int hash,
                      void *heap, int device);
int __wrap_wc_PRF_TLS(byte *out, word32 out_length, const byte *secret,
                      word32 secret_length, const byte *label, word32 label_length,
                      const byte *seed, word32 seed_length, int sha256, int hash,
                      void *heap, int device);
int __real_wc_curve25519_shared_secret_ex(curve25519_key *private, curve25519_key *public,
                                          byte *out, word32 *length, int endian);
int __wrap_wc_curve25519_shared_secret_ex(curve25519_key *private, curve25519_key *public,
                                          byte *out, word32 *length, int endian);
int __real_wc_ecc_shared_secret(ecc_key *private, ecc_key *public, byte *out,
                                word32 *length);
int __wrap_wc_ecc_shared_secret(ecc_key *private, ecc_key *public, byte *out,
                                word32 *length);
int __real_wc_MlKemKey_EncodePublicKey(MlKemKey *key, byte *out, word32 length);
int __wrap_wc_MlKemKey_EncodePublicKey(MlKemKey *key, byte *out, word32 length);

static void fail(const char *what)
{
    fprintf(stderr, "secrets_client: %s\n", what);
    exit(1);
}

static void tell_of(const char *kind, const char *label, size_t label_length,
                    const byte *secret, size_t length)
{
    printf("%s ", kind);
    for (size_t i = 0; i < label_length; i++)
        putchar(label[i] == ' ' ? '_' : label[i]);
    putchar(' ');
    for (size_t i = 0; i < length; i++)
        printf("%02x", secret[i]);
    putchar('\n');
    fflush(stdout);
}

static void tell(const char *label, size_t label_length, const byte *secret,
                 size_t length)
{
    tell_of("secret", label, label_length, secret, length);
}

int __wrap_wc_curve25519_shared_secret_ex(curve25519_key *private, curve25519_key *public,
                                          byte *out, word32 *length, int endian)
{
    byte key[CURVE25519_KEYSIZE];
    word32 size = sizeof key;

    if (wc_curve25519_export_public_ex(public, key, &size, EC25519_LITTLE_ENDIAN) == 0)
        tell_of("public", "x25519", 6, key, size);
    return __real_wc_curve25519_shared_secret_ex(private, public, out, length, endian);
}

int __wrap_wc_ecc_shared_secret(ecc_key *private, ecc_key *public, byte *out,
                                word32 *length)
{
    byte key[2 * MAX_ECC_BYTES + 1];
    word32 size = sizeof key;

    if (wc_ecc_export_x963(public, key, &size) == 0)
        tell_of("public", "p256", 4, key, size);
    return __real_wc_ecc_shared_secret(private, public, out, length);
}

int __wrap_wc_MlKemKey_EncodePublicKey(MlKemKey *key, byte *out, word32 length)
{
    const int result = __real_wc_MlKemKey_EncodePublicKey(key, out, length);

    tell_of("public", "mlkem", 5, out, length);
    return result;
}

int __wrap_wc_Tls13_HKDF_Extract_ex(byte *prk, const byte *salt, word32 salt_length,
                                    byte *ikm, word32 ikm_length, int digest, void *heap,
                                    int device)
{
    static const char *const names[][2] = {
        {"", "early"}, {"shared", "handshake"}, {"", "master"}};
    static unsigned count;

    if (ikm_length > 0 && count == 1)
        tell(names[1][0], strlen(names[1][0]), ikm, ikm_length);
    const int result = __real_wc_Tls13_HKDF_Extract_ex(prk, salt, salt_length, ikm,
                                                       ikm_length, digest, heap, device);
    const size_t length = digest == WC_SHA384 ? 48 : 32;
    /* The early secret is public without a pre-shared key. */
    if (count == 1 || count == 2)
        tell(names[count][1], strlen(names[count][1]), prk, length);
    count++;
    return result;
}

int __wrap_wc_Tls13_HKDF_Expand_Label_ex(byte *okm, word32 okm_length, const byte *prk,
                                         word32 prk_length, const byte *protocol,
                                         word32 protocol_length, const byte *label,
                                         word32 label_length, const byte *info,
                                         word32 info_length, int digest, void *heap,
                                         int device)
{
    const int result = __real_wc_Tls13_HKDF_Expand_Label_ex(
        okm, okm_length, prk, prk_length, protocol, protocol_length, label, label_length,
        info, info_length, digest, heap, device);

    tell((const char *)label, label_length, okm, okm_length);
    return result;
}

int __wrap_wc_PRF_TLS(byte *out, word32 out_length, const byte *secret,
                      word32 secret_length, const byte *label, word32 label_length,
                      const byte *seed, word32 seed_length, int sha256, int hash,
                      void *heap, int device)
{
    const int result =
        __real_wc_PRF_TLS(out, out_length, secret, secret_length, label, label_length,
                          seed, seed_length, sha256, hash, heap, device);

    if (label_length > 6 && memcmp(label + label_length - 6, "secret", 6) == 0)
        tell("shared", 6, secret, secret_length);
    tell((const char *)label, label_length, out, out_length);
    return result;
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
    return fd;
}

static int read_group(const char *name)
{
    if (strcmp(name, "X25519MLKEM768") == 0)
        return WOLFSSL_X25519MLKEM768;
    return strcmp(name, "P-256") == 0 ? WOLFSSL_ECC_SECP256R1 : WOLFSSL_ECC_X25519;
}

static WOLFSSL *make_tls(int argc, char **argv)
{
    static const struct option names[] = {{"version", required_argument, NULL, 'v'},
                                          {"group", required_argument, NULL, 'g'},
                                          {"suite", required_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    const char *suite = NULL;
    int old = 0, group = WOLFSSL_X25519MLKEM768;

    for (int key; (key = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (key == 'v')
            old = strcmp(optarg, "1.2") == 0;
        else if (key == 'g')
            group = read_group(optarg);
        else if (key == 's')
            suite = optarg;
        else
            exit(2);
    }
    WOLFSSL_CTX *context =
        wolfSSL_CTX_new(old ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());
    if (context == NULL)
        fail("no context");
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    if (suite != NULL && wolfSSL_CTX_set_cipher_list(context, suite) != WOLFSSL_SUCCESS)
        fail("the suite is refused");
    WOLFSSL *ssl = wolfSSL_new(context);
    wolfSSL_CTX_free(context);
    if (ssl == NULL || wolfSSL_set_groups(ssl, &group, 1) != WOLFSSL_SUCCESS)
        fail("the group is refused");
    if (!old && wolfSSL_UseKeyShare(ssl, (word16)group) != WOLFSSL_SUCCESS)
        fail("the key share is refused");
    wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, "app.example", 11);
    return ssl;
}

static void echo(WOLFSSL *ssl, const char *line)
{
    char answer[LINE_MAX_BYTES];
    const int length = (int)strlen(line);

    if (wolfSSL_write(ssl, line, length) != length)
        fail("cannot write");
    for (int got = 0; got < length;) {
        const int part = wolfSSL_read(ssl, answer, sizeof answer);
        if (part <= 0)
            fail("cannot read");
        got += part;
    }
    printf("echoed\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[LINE_MAX_BYTES];

    wolfSSL_Init();
    WOLFSSL *ssl = make_tls(argc, argv);
    if (argc - optind != 2)
        fail("usage: secrets_client HOST PORT [options]");
    const int fd = connect_tcp(argv[optind], argv[optind + 1]);
    wolfSSL_set_fd(ssl, fd);
    if (wolfSSL_connect(ssl) != WOLFSSL_SUCCESS)
        fail(wolfSSL_ERR_reason_error_string((unsigned long)wolfSSL_get_error(ssl, 0)));
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL)
        echo(ssl, line);
    wolfSSL_shutdown(ssl);
    wolfSSL_free(ssl);
    close(fd);
    return 0;
}
