#include "certs/keyholder_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event_struct.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "certs/keyholder_msg.h"
#include "proxy/log.h"

enum {
    BUCKET_COUNT = 1024, /* power of two; ids count up, so they spread evenly */
    DIGEST_INFO_MAX = 128
};

enum job_state { JOB_IDLE, JOB_WAITING, JOB_SIGNED, JOB_FAILED };

struct sign_job {
    struct keyholder_client *client;       /* borrowed */
    const struct certificate *certificate; /* borrowed */
    void (*on_signed)(void *argument);
    void *argument;
    enum job_state state;
    enum sign_status status;     /* of the reply */
    uint64_t asked_us;           /* when; while waiting */
    struct sign_request request; /* valid unless JOB_IDLE */
    uint16_t signature_length;
    uint8_t signature[SIGN_SIGNATURE_MAX];
    TAILQ_ENTRY(sign_job) in_order; /* while waiting */
    LIST_ENTRY(sign_job) in_bucket; /* while waiting */
};

TAILQ_HEAD(job_queue, sign_job);
LIST_HEAD(job_bucket, sign_job);

struct keyholder_client {
    struct event_base *base; /* borrowed */
    int channel_fd;          /* owned; -1: lost, or not there yet */
    struct event readable;
    struct event writable;
    struct event flush; /* made active by the first request of a loop turn */
    bool blocked;       /* the channel took no more: `writable` is waited for */
    uint64_t last_id;
    struct sign_counts *counts; /* borrowed, or own_counts */
    struct sign_counts own_counts;
    struct job_queue waiting; /* borrowed jobs, by id: first the sent, then the unsent */
    struct sign_job *next_unsent;            /* in waiting; NULL: all are sent */
    struct job_bucket buckets[BUCKET_COUNT]; /* the same jobs */
    struct sign_request requests[SIGN_BATCH_MAX];
    struct sign_reply replies[SIGN_BATCH_MAX];
};

static int on_ecc_sign(WOLFSSL *ssl, const unsigned char *digest, unsigned digest_length,
                       unsigned char *out, word32 *out_length, const unsigned char *key,
                       unsigned key_size, void *job);
static int on_rsa_sign(WOLFSSL *ssl, const unsigned char *info, unsigned info_length,
                       unsigned char *out, word32 *out_length, const unsigned char *key,
                       unsigned key_size, void *job);
static int on_rsa_pss_sign(WOLFSSL *ssl, const unsigned char *digest,
                           unsigned digest_length, unsigned char *out,
                           unsigned *out_length, int hash, int mgf,
                           const unsigned char *key, unsigned key_size, void *job);
static int on_ed25519_sign(WOLFSSL *ssl, const unsigned char *message,
                           unsigned message_length, unsigned char *out,
                           unsigned *out_length, const unsigned char *key,
                           unsigned key_size, void *job);
static int job_sign(struct sign_job *job, enum sign_scheme scheme, const uint8_t *input,
                    size_t input_length, uint8_t *out, word32 *out_length);
static void job_ask(struct sign_job *job, enum sign_scheme scheme, const uint8_t *input,
                    size_t input_length);
static void job_forget(struct sign_job *job);
static uint64_t clock_us(void);
static void on_readable(evutil_socket_t fd, short what, void *argument);
static void on_flush(evutil_socket_t fd, short what, void *argument);
static void on_writable(evutil_socket_t fd, short what, void *argument);
static void flush(struct keyholder_client *client);
static size_t receive_replies(struct keyholder_client *client);
static bool take_reply(struct keyholder_client *client, const struct sign_reply *reply);
static void lose_channel(struct keyholder_client *client, const char *reason);
static void close_channel(struct keyholder_client *client);

struct keyholder_client *keyholder_client_new(struct event_base *base,
                                              struct error *error)
{
    struct keyholder_client *client = calloc(1, sizeof *client);
    if (!client) {
        error_set(error, "no memory for the channel to the keyholder");
        return NULL;
    }
    client->base = base;
    client->channel_fd = -1;
    client->counts = &client->own_counts;
    TAILQ_INIT(&client->waiting);
    for (size_t i = 0; i < BUCKET_COUNT; i++)
        LIST_INIT(&client->buckets[i]);
    if (event_assign(&client->flush, base, -1, 0, on_flush, client) < 0) {
        error_set(error, "cannot make an event for the keyholder");
        free(client);
        return NULL;
    }
    return client;
}

void keyholder_client_count(struct keyholder_client *client, struct sign_counts *counts)
{
    client->counts = counts;
}

void keyholder_client_set_channel(struct keyholder_client *client, int fd)
{
    close_channel(client);
    if (event_assign(&client->readable, client->base, fd, EV_READ | EV_PERSIST,
                     on_readable, client) < 0 ||
        event_assign(&client->writable, client->base, fd, EV_WRITE, on_writable, client) <
            0 ||
        event_add(&client->readable, NULL) < 0) {
        log_error("cannot watch the channel to the keyholder");
        (void)close(fd);
        return;
    }
    client->channel_fd = fd;
    if (client->next_unsent)
        event_active(&client->flush, EV_TIMEOUT, 0);
}

void keyholder_client_attach(WOLFSSL_CTX *context)
{
    wolfSSL_CTX_SetEccSignCb(context, on_ecc_sign);
    wolfSSL_CTX_SetRsaSignCb(context, on_rsa_sign);
    wolfSSL_CTX_SetRsaPssSignCb(context, on_rsa_pss_sign);
    wolfSSL_CTX_SetEd25519SignCb(context, on_ed25519_sign);
}

struct sign_job *sign_job_new(struct keyholder_client *client, WOLFSSL *ssl,
                              const struct certificate *certificate,
                              void (*on_signed)(void *argument), void *argument)
{
    struct sign_job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->client = client;
    job->certificate = certificate;
    job->on_signed = on_signed;
    job->argument = argument;
    wolfSSL_SetEccSignCtx(ssl, job);
    wolfSSL_SetRsaSignCtx(ssl, job);
    wolfSSL_SetRsaPssSignCtx(ssl, job);
    wolfSSL_SetEd25519SignCtx(ssl, job);
    return job;
}

bool sign_job_is_waiting(const struct sign_job *job)
{
    return job->state == JOB_WAITING;
}

bool sign_job_has_failed(const struct sign_job *job)
{
    return job && job->state == JOB_FAILED;
}

void sign_job_free(struct sign_job *job)
{
    if (!job)
        return;
    job_forget(job);
    free(job);
}

void keyholder_client_free(struct keyholder_client *client)
{
    if (!client)
        return;
    while (!TAILQ_EMPTY(&client->waiting))
        job_forget(TAILQ_FIRST(&client->waiting));
    close_channel(client);
    (void)event_del(&client->flush);
    free(client);
}

static int on_ecc_sign(WOLFSSL *ssl, const unsigned char *digest, unsigned digest_length,
                       unsigned char *out, word32 *out_length, const unsigned char *key,
                       unsigned key_size, void *job)
{
    (void)ssl;
    (void)key;
    (void)key_size;
    return job_sign(job, SIGN_ECDSA, digest, digest_length, out, out_length);
}

/* The library hands over a DigestInfo; the keyholder makes its own from a bare digest, so
 * that nothing else can be signed. */
static int on_rsa_sign(WOLFSSL *ssl, const unsigned char *info, unsigned info_length,
                       unsigned char *out, word32 *out_length, const unsigned char *key,
                       unsigned key_size, void *job)
{
    static const struct {
        enum sign_scheme scheme;
        enum wc_HashType hash;
        unsigned length;
    } rows[] = {
        {SIGN_RSA_PKCS1_SHA256, WC_HASH_TYPE_SHA256, 32},
        {SIGN_RSA_PKCS1_SHA384, WC_HASH_TYPE_SHA384, 48},
        {SIGN_RSA_PKCS1_SHA512, WC_HASH_TYPE_SHA512, 64},
    };
    (void)ssl;
    (void)key;
    (void)key_size;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (info_length <= rows[i].length)
            continue;
        const uint8_t *digest = info + info_length - rows[i].length;
        uint8_t expected[DIGEST_INFO_MAX];
        const word32 size = wc_EncodeSignature(expected, digest, rows[i].length,
                                               wc_HashGetOID(rows[i].hash));
        if (size == info_length && memcmp(expected, info, size) == 0)
            return job_sign(job, rows[i].scheme, digest, rows[i].length, out, out_length);
    }
    return BAD_FUNC_ARG;
}

static int on_rsa_pss_sign(WOLFSSL *ssl, const unsigned char *digest,
                           unsigned digest_length, unsigned char *out,
                           unsigned *out_length, int hash, int mgf,
                           const unsigned char *key, unsigned key_size, void *job)
{
    (void)ssl;
    (void)mgf;
    (void)key;
    (void)key_size;
    const enum wc_HashType type = wc_OidGetHash(hash);
    if (type == WC_HASH_TYPE_SHA256)
        return job_sign(job, SIGN_RSA_PSS_SHA256, digest, digest_length, out, out_length);
    if (type == WC_HASH_TYPE_SHA384)
        return job_sign(job, SIGN_RSA_PSS_SHA384, digest, digest_length, out, out_length);
    if (type == WC_HASH_TYPE_SHA512)
        return job_sign(job, SIGN_RSA_PSS_SHA512, digest, digest_length, out, out_length);
    return BAD_FUNC_ARG;
}

static int on_ed25519_sign(WOLFSSL *ssl, const unsigned char *message,
                           unsigned message_length, unsigned char *out,
                           unsigned *out_length, const unsigned char *key,
                           unsigned key_size, void *job)
{
    (void)ssl;
    (void)key;
    (void)key_size;
    return job_sign(job, SIGN_ED25519, message, message_length, out, out_length);
}

/* Called again for every attempt at the handshake, with the same input until the library
 * has its signature.  Another input is another question. */
static int job_sign(struct sign_job *job, enum sign_scheme scheme, const uint8_t *input,
                    size_t input_length, uint8_t *out, word32 *out_length)
{
    if (!job || input_length > SIGN_INPUT_MAX)
        return BAD_FUNC_ARG;
    if (job->state == JOB_IDLE || job->request.scheme != scheme ||
        job->request.input_length != input_length ||
        memcmp(job->request.input, input, input_length) != 0)
        job_ask(job, scheme, input, input_length);
    switch (job->state) {
    case JOB_IDLE:
    case JOB_WAITING:
        return WC_PENDING_E;
    case JOB_FAILED:
        return job->status == SIGN_UNKNOWN_KEY ? NO_PRIVATE_KEY : BAD_STATE_E;
    case JOB_SIGNED:
        break;
    }
    if (*out_length < job->signature_length)
        return BUFFER_E;
    memcpy(out, job->signature, job->signature_length);
    *out_length = job->signature_length;
    return 0;
}

static void job_ask(struct sign_job *job, enum sign_scheme scheme, const uint8_t *input,
                    size_t input_length)
{
    struct keyholder_client *client = job->client;
    job_forget(job);
    job->request = (struct sign_request){.id = ++client->last_id,
                                         .scheme = (uint16_t)scheme,
                                         .input_length = (uint16_t)input_length};
    memcpy(job->request.spki_hash, job->certificate->spki_hash, SPKI_HASH_BYTES);
    memcpy(job->request.input, input, input_length);
    job->state = JOB_WAITING;
    job->asked_us = clock_us();
    client->counts->waiting++;
    TAILQ_INSERT_TAIL(&client->waiting, job, in_order);
    LIST_INSERT_HEAD(&client->buckets[job->request.id % BUCKET_COUNT], job, in_bucket);
    if (!client->next_unsent)
        client->next_unsent = job;
    if (client->channel_fd >= 0 && !client->blocked)
        event_active(&client->flush, EV_TIMEOUT, 0);
}

static void job_forget(struct sign_job *job)
{
    struct keyholder_client *client = job->client;
    if (job->state == JOB_WAITING) {
        client->counts->waiting--;
        if (client->next_unsent == job)
            client->next_unsent = TAILQ_NEXT(job, in_order);
        TAILQ_REMOVE(&client->waiting, job, in_order);
        LIST_REMOVE(job, in_bucket);
    }
    job->state = JOB_IDLE;
}

static uint64_t clock_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_flush(evutil_socket_t fd, short what, void *argument)
{
    struct keyholder_client *client = argument;
    (void)fd;
    (void)what;
    if (!client->blocked)
        flush(client);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    struct keyholder_client *client = argument;
    (void)fd;
    (void)what;
    client->blocked = false;
    flush(client);
}

/* Sends what is unsent, in packets as full as possible. */
static void flush(struct keyholder_client *client)
{
    while (client->channel_fd >= 0 && client->next_unsent) {
        struct sign_job *job = client->next_unsent;
        size_t count = 0;
        for (; job && count < SIGN_BATCH_MAX; job = TAILQ_NEXT(job, in_order))
            client->requests[count++] = job->request;
        if (send(client->channel_fd, client->requests, count * sizeof client->requests[0],
                 MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            client->next_unsent = job;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == ENOBUFS)
            client->blocked = event_add(&client->writable, NULL) == 0;
        if (!client->blocked && errno == EPIPE)
            close_channel(client); /* the reading side learns the same */
        else if (!client->blocked)
            lose_channel(client, strerror(errno));
        return;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct keyholder_client *client = argument;
    (void)fd;
    (void)what;
    const size_t count = receive_replies(client);
    /* The owner may do anything in on_signed but free the client: the replies are a copy,
     * and each one looks for its job anew. */
    for (size_t i = 0; i < count; i++) {
        if (take_reply(client, &client->replies[i]))
            continue;
        lose_channel(client, "it sent a reply that is not well-formed");
        return;
    }
}

/* One packet; returns the number of replies in it. */
static size_t receive_replies(struct keyholder_client *client)
{
    const ssize_t length = recv(client->channel_fd, client->replies,
                                sizeof client->replies, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (length == 0 || (length < 0 && errno == ECONNRESET)) {
        /* The master says why and sends another. */
        log_debug("the channel to the keyholder has ended");
        close_channel(client);
        return 0;
    }
    if (length < 0) {
        lose_channel(client, strerror(errno));
        return 0;
    }
    const size_t size = (size_t)length;
    if (size > sizeof client->replies || size % sizeof client->replies[0] != 0) {
        lose_channel(client, "it sent a packet that holds no whole replies");
        return 0;
    }
    return size / sizeof client->replies[0];
}

static struct sign_job *find_job(struct keyholder_client *client, uint64_t id)
{
    struct sign_job *job;
    LIST_FOREACH (job, &client->buckets[id % BUCKET_COUNT], in_bucket) {
        if (job->request.id == id)
            return job;
    }
    return NULL;
}

static void warn_failed(const struct sign_job *job, enum sign_status status)
{
    const char *why = "it failed";
    if (status == SIGN_UNKNOWN_KEY)
        why = "it does not have the key";
    else if (status == SIGN_BAD_REQUEST)
        why = "it refused the request";
    log_warning("the keyholder did not sign for certificate \"%s\": %s",
                job->certificate->name, why);
}

/* False for a reply that no keyholder of ours sends.  A reply to nobody is none: its
 * connection may have ended meanwhile. */
static bool take_reply(struct keyholder_client *client, const struct sign_reply *reply)
{
    if (!sign_reply_is_valid(reply))
        return false;
    struct sign_job *job = find_job(client, reply->id);
    if (!job)
        return reply->id <= client->last_id;
    job_forget(job);
    job->status = (enum sign_status)reply->status;
    job->state = reply->status == SIGN_DONE ? JOB_SIGNED : JOB_FAILED;
    job->signature_length = reply->signature_length;
    memcpy(job->signature, reply->signature, reply->signature_length);
    histogram_add(&client->counts->latency_us, clock_us() - job->asked_us);
    if (job->state == JOB_SIGNED)
        client->counts->made++;
    else
        client->counts->refused++;
    if (job->state == JOB_FAILED)
        warn_failed(job, job->status);
    job->on_signed(job->argument);
    return true;
}

/* What has no reply yet waits for the next channel. */
static void lose_channel(struct keyholder_client *client, const char *reason)
{
    log_warning("the channel to the keyholder is given up: %s", reason);
    close_channel(client);
}

static void close_channel(struct keyholder_client *client)
{
    if (client->channel_fd >= 0) {
        (void)event_del(&client->readable);
        (void)event_del(&client->writable);
        (void)close(client->channel_fd);
    }
    client->channel_fd = -1;
    client->blocked = false;
    const struct sign_job *job;
    TAILQ_FOREACH (job, &client->waiting, in_order) {
        if (job == client->next_unsent)
            break;
        client->counts->resent++;
    }
    client->next_unsent = TAILQ_FIRST(&client->waiting);
}
