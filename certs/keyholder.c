#include "certs/keyholder.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event_struct.h>

#include "certs/keyring.h"
#include "proxy/log.h"

/* A ring that is on its way out. */
struct retired {
    struct retired *next;
    struct keyholder *keyholder; /* borrowed */
    struct keyring *ring;        /* owned */
    struct event timer;
};

struct keyholder {
    struct event_base *base; /* borrowed */
    WC_RNG rng;
    struct keyring *current;  /* owned; NULL before the first commit */
    struct keyring *prepared; /* owned; NULL between commits */
    struct retired *retired;  /* owned list */
    uint64_t current_wait_ms; /* how long handshakes that began with current may take */
    uint64_t prepared_wait_ms;

    int channel_fd; /* owned; -1: none */
    struct event readable;
    struct event writable;
    bool warned; /* about a packet of this channel */
    size_t
        reply_count; /* replies that the channel did not take yet; not read meanwhile */
    struct sign_reply replies[SIGN_BATCH_MAX];
    struct sign_request requests[SIGN_BATCH_MAX];
};

static void on_readable(evutil_socket_t fd, short what, void *argument);
static void on_writable(evutil_socket_t fd, short what, void *argument);
static void on_retired(evutil_socket_t fd, short what, void *argument);
static size_t receive_requests(struct keyholder *keyholder);
static void send_replies(struct keyholder *keyholder);
static void serve(struct keyholder *keyholder, const struct sign_request *request,
                  struct sign_reply *reply);
static const struct private_key *find_key(const struct keyholder *keyholder,
                                          const uint8_t hash[SPKI_HASH_BYTES]);
static void warn_once(struct keyholder *keyholder, const char *what);
static void close_channel(struct keyholder *keyholder);
static void retire(struct keyholder *keyholder, struct keyring *ring, uint64_t wait_ms);
static void retired_free(struct retired *retired);

struct keyholder *keyholder_new(struct event_base *base, struct error *error)
{
    struct keyholder *keyholder = calloc(1, sizeof *keyholder);
    if (!keyholder) {
        error_set(error, "no memory for the keyholder");
        return NULL;
    }
    keyholder->base = base;
    keyholder->channel_fd = -1;
    if (wc_InitRng(&keyholder->rng) != 0) {
        error_set(error, "cannot start the random number generator");
        free(keyholder);
        return NULL;
    }
    return keyholder;
}

bool keyholder_prepare(struct keyholder *keyholder, const struct config *config,
                       const struct bundle *chains, const struct bundle *keys,
                       struct report *report)
{
    keyholder_abort(keyholder);
    keyholder->prepared = keyring_load(config, chains, keys, &keyholder->rng, report);
    keyholder->prepared_wait_ms = config->limits.handshake_timeout_ms;
    return keyholder->prepared != NULL;
}

const struct cert_set *keyholder_served(const struct keyholder *keyholder)
{
    return keyholder->prepared ? keyring_served(keyholder->prepared) : NULL;
}

void keyholder_commit(struct keyholder *keyholder)
{
    if (!keyholder->prepared)
        return;
    if (keyholder->current)
        retire(keyholder, keyholder->current, keyholder->current_wait_ms);
    keyholder->current = keyholder->prepared;
    keyholder->current_wait_ms = keyholder->prepared_wait_ms;
    keyholder->prepared = NULL;
    log_debug("%zu private keys are in service", keyring_count(keyholder->current));
}

void keyholder_abort(struct keyholder *keyholder)
{
    keyring_free(keyholder->prepared);
    keyholder->prepared = NULL;
}

void keyholder_set_channel(struct keyholder *keyholder, int fd)
{
    close_channel(keyholder);
    keyholder->channel_fd = fd;
    keyholder->warned = false;
    if (event_assign(&keyholder->readable, keyholder->base, fd, EV_READ | EV_PERSIST,
                     on_readable, keyholder) < 0 ||
        event_assign(&keyholder->writable, keyholder->base, fd, EV_WRITE, on_writable,
                     keyholder) < 0 ||
        event_add(&keyholder->readable, NULL) < 0) {
        log_error("cannot watch the channel to the worker");
        (void)close(fd);
        keyholder->channel_fd = -1;
    }
}

bool keyholder_is_idle(const struct keyholder *keyholder)
{
    return keyholder->channel_fd < 0;
}

void keyholder_free(struct keyholder *keyholder)
{
    if (!keyholder)
        return;
    close_channel(keyholder);
    keyring_free(keyholder->current);
    keyring_free(keyholder->prepared);
    while (keyholder->retired)
        retired_free(keyholder->retired);
    wc_FreeRng(&keyholder->rng);
    explicit_bzero(keyholder, sizeof *keyholder);
    free(keyholder);
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct keyholder *keyholder = argument;
    (void)fd;
    (void)what;
    const size_t count = receive_requests(keyholder);
    for (size_t i = 0; i < count; i++)
        serve(keyholder, &keyholder->requests[i], &keyholder->replies[i]);
    keyholder->reply_count = count;
    if (count > 0)
        send_replies(keyholder);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    send_replies(argument);
}

/* A packet of no bytes looks like the end of the channel; only a hang-up is one. */
static bool is_hung_up(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) > 0 &&
           (poll_fd.revents & (POLLHUP | POLLRDHUP | POLLERR));
}

/* One packet; returns the number of requests in it, 0 if there is nothing to serve. */
static size_t receive_requests(struct keyholder *keyholder)
{
    /* With MSG_TRUNC the length is that of the packet, not of what fitted. */
    const ssize_t length = recv(keyholder->channel_fd, keyholder->requests,
                                sizeof keyholder->requests, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return 0;
        log_debug("the channel to the worker is broken: %s", strerror(errno));
        close_channel(keyholder);
        return 0;
    }
    if (length == 0 && is_hung_up(keyholder->channel_fd)) {
        log_debug("the worker is gone");
        close_channel(keyholder);
        return 0;
    }
    const size_t size = (size_t)length;
    if (size == 0 || size > sizeof keyholder->requests ||
        size % sizeof keyholder->requests[0] != 0) {
        warn_once(keyholder, "a packet that holds no whole requests");
        return 0;
    }
    return size / sizeof keyholder->requests[0];
}

/* While the channel does not take the replies, no further request is read. */
static void send_replies(struct keyholder *keyholder)
{
    const size_t size = keyholder->reply_count * sizeof keyholder->replies[0];
    const ssize_t sent = send(keyholder->channel_fd, keyholder->replies, size,
                              MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
        keyholder->reply_count = 0;
        if (event_add(&keyholder->readable, NULL) < 0)
            close_channel(keyholder);
        return;
    }
    if ((errno == EAGAIN || errno == EINTR || errno == ENOBUFS) &&
        event_del(&keyholder->readable) == 0 &&
        event_add(&keyholder->writable, NULL) == 0)
        return;
    log_debug("the channel to the worker is broken: %s", strerror(errno));
    close_channel(keyholder);
}

static void serve(struct keyholder *keyholder, const struct sign_request *request,
                  struct sign_reply *reply)
{
    *reply = (struct sign_reply){.id = request->id, .status = SIGN_BAD_REQUEST};
    if (!sign_request_is_valid(request)) {
        warn_once(keyholder, "a request that is not well-formed");
        return;
    }
    const struct private_key *key = find_key(keyholder, request->spki_hash);
    if (!key) {
        reply->status = SIGN_UNKNOWN_KEY;
        return;
    }
    const enum sign_scheme scheme = (enum sign_scheme)request->scheme;
    if (!private_key_allows(key, scheme)) {
        warn_once(keyholder, "a request whose scheme does not fit the key");
        return;
    }
    size_t length = 0;
    if (private_key_sign(key, &keyholder->rng, scheme, request->input,
                         request->input_length, reply->signature, &length)) {
        reply->status = SIGN_DONE;
        reply->signature_length = (uint16_t)length;
        return;
    }
    log_error("signing failed with a key that is in service");
    *reply = (struct sign_reply){.id = request->id, .status = SIGN_FAILED};
}

/* The worker may be ahead of us by one commit, and its handshakes behind. */
static const struct private_key *find_key(const struct keyholder *keyholder,
                                          const uint8_t hash[SPKI_HASH_BYTES])
{
    const struct private_key *key = keyring_find(keyholder->current, hash);
    if (!key)
        key = keyring_find(keyholder->prepared, hash);
    for (const struct retired *r = keyholder->retired; r && !key; r = r->next)
        key = keyring_find(r->ring, hash);
    return key;
}

static void warn_once(struct keyholder *keyholder, const char *what)
{
    if (!keyholder->warned)
        log_warning("the worker sent %s; more of its kind will not be logged", what);
    keyholder->warned = true;
}

static void close_channel(struct keyholder *keyholder)
{
    if (keyholder->channel_fd < 0)
        return;
    (void)event_del(&keyholder->readable);
    (void)event_del(&keyholder->writable);
    (void)close(keyholder->channel_fd);
    keyholder->channel_fd = -1;
    keyholder->reply_count = 0;
}

static void retire(struct keyholder *keyholder, struct keyring *ring, uint64_t wait_ms)
{
    struct retired *retired = calloc(1, sizeof *retired);
    if (!retired) {
        keyring_free(ring);
        return;
    }
    retired->keyholder = keyholder;
    retired->ring = ring;
    retired->next = keyholder->retired;
    keyholder->retired = retired;
    const struct timeval wait = {.tv_sec = (time_t)(wait_ms / 1000),
                                 .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};
    if (evtimer_assign(&retired->timer, keyholder->base, on_retired, retired) < 0 ||
        evtimer_add(&retired->timer, &wait) < 0) {
        log_error("cannot time the end of the former keys; they are wiped at once");
        retired_free(retired);
    }
}

static void on_retired(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    retired_free(argument);
    log_debug("the former private keys are wiped");
}

static void retired_free(struct retired *retired)
{
    struct retired **link = &retired->keyholder->retired;
    while (*link != retired)
        link = &(*link)->next;
    *link = retired->next;
    (void)event_del(&retired->timer);
    keyring_free(retired->ring);
    free(retired);
}
