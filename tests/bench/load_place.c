/* One connection after the other: handshake, request, response, end. */
#include "tests/bench/load_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { CHUNK = 65536, RECORD = 16384 };

static char chunk[CHUNK]; /* sent and received; what is in it does not matter */

static void place_close(struct place *place);
static bool place_begin(struct place *place);
static const char *place_mismatch(const struct place *place);
static void place_done(struct place *place);
static bool wants_more(const struct place *place, int returned, int *code);
static void place_shake(struct place *place);
static void place_send(struct place *place);
static bool place_take_head(struct place *place, size_t length);
static void place_receive(struct place *place);
static void place_wait_end(struct place *place);
static void note_error(const char *words);

static void place_close(struct place *place)
{
    if (place->ssl && load.options.resume && place->phase == PHASE_CLOSE) {
        wolfSSL_SESSION_free(place->session);
        place->session = wolfSSL_get1_session(place->ssl);
    }
    wolfSSL_free(place->ssl);
    place->ssl = NULL;
    if (place->fd >= 0)
        close(place->fd);
    place->fd = -1;
    place->phase = PHASE_IDLE;
    place->held = false;
    load.active--;
}

void place_fail(struct place *place, const char *doing, int code)
{
    char reason[WOLFSSL_MAX_ERROR_SZ];
    char words[LOAD_WORDS_MAX];

    if (code != 0)
        snprintf(words, sizeof words, "%s: %s", doing,
                 wolfSSL_ERR_error_string((unsigned long)code, reason));
    else
        snprintf(words, sizeof words, "%s", doing);
    note_error(words);
    place_close(place);
}

static bool place_begin(struct place *place)
{
    const int on = 1;

    place->sent = place->received = place->expected = 0;
    place->head_length = 0;
    place->phase = PHASE_HANDSHAKE;
    load.active++;
    place->fd = socket(load.options.address.ss_family,
                       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (place->fd < 0 || (connect(place->fd, (struct sockaddr *)&load.options.address,
                                  load.options.address_length) < 0 &&
                          errno != EINPROGRESS)) {
        place_fail(place, strerror(errno), 0);
        return false;
    }
    setsockopt(place->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                .data.ptr = place};
    place->ssl = wolfSSL_new(load.context);
    if (!place->ssl || epoll_ctl(load.poller, EPOLL_CTL_ADD, place->fd, &event) < 0)
        load_fail("no memory");
    wolfSSL_set_fd(place->ssl, place->fd);
    wolfSSL_UseSNI(place->ssl, WOLFSSL_SNI_HOST_NAME, "bench.example", 13);
    /* With TLS 1.2 the list is also of the curves of certificates. */
    int groups[] = {load.options.group, WOLFSSL_ECC_SECP256R1};
    wolfSSL_set_groups(place->ssl, groups, load.options.tls12 ? 2 : 1);
    if (!load.options.tls12)
        wolfSSL_UseKeyShare(place->ssl, (word16)load.options.group);
    if (place->session)
        wolfSSL_set_session(place->ssl, place->session);
    return true;
}

/* Starts operations until this place is busy or none is left to do. */
void place_go_on(struct place *place)
{
    while (place->phase == PHASE_IDLE && load.started < load.start_most &&
           (load.deadline_ms == 0 || load_now_ms() < load.deadline_ms)) {
        load.started++;
        if (place_begin(place))
            return; /* goes on when it is connected */
        if (load.results.errors > 1000 && load.results.done == 0)
            load_fail(load.results.first_error);
    }
}

/* Whether the handshake came to what was asked for. */
static const char *place_mismatch(const struct place *place)
{
    const char *group = wolfSSL_get_curve_name(place->ssl);
    const char *version = wolfSSL_get_version(place->ssl);
    bool resumed = wolfSSL_session_reused(place->ssl);

    snprintf(load.results.version, sizeof load.results.version, "%s", version);
    snprintf(load.results.cipher, sizeof load.results.cipher, "%s",
             wolfSSL_get_cipher_name(place->ssl));
    snprintf(load.results.group, sizeof load.results.group, "%s", group ? group : "");
    if (strcmp(version, load.options.tls12 ? "TLSv1.2" : "TLSv1.3") != 0)
        return "another version was negotiated";
    if (strcmp(load.results.group, load.options.group_name) != 0)
        return "another group was negotiated";
    if (load.options.cipher && strcmp(load.results.cipher, load.options.cipher) != 0)
        return "another cipher was negotiated";
    if (!load.options.resume && resumed)
        return "the session was resumed";
    load.results.resumed += resumed && load.counting;
    return NULL;
}

static void place_done(struct place *place)
{
    if (load.counting)
        load.results.done++;
    load.progress_ms = load_now_ms();
    place_close(place);
    place_go_on(place);
}

static bool wants_more(const struct place *place, int returned, int *code)
{
    *code = wolfSSL_get_error(place->ssl, returned);
    return *code == WOLFSSL_ERROR_WANT_READ || *code == WOLFSSL_ERROR_WANT_WRITE;
}

static void place_shake(struct place *place)
{
    int code;
    int returned = wolfSSL_connect(place->ssl);

    if (returned != WOLFSSL_SUCCESS) {
        if (!wants_more(place, returned, &code)) {
            place_fail(place, "handshake", code);
            place_go_on(place);
        }
        return;
    }
    const char *mismatch = place_mismatch(place);
    if (mismatch) {
        place_fail(place, mismatch, 0);
        place_go_on(place);
        return;
    }
    load.progress_ms = load_now_ms();
    if (load.options.mode != MODE_HANDSHAKE) {
        place->phase = PHASE_SEND;
        return;
    }
    (void)wolfSSL_shutdown(place->ssl);
    shutdown(place->fd, SHUT_WR);
    place->phase = PHASE_CLOSE;
}

static void place_send(struct place *place)
{
    while (place->sent < load.request_length + load.options.upload) {
        const char *from = chunk;
        uint64_t left = load.request_length + load.options.upload - place->sent;
        int code;
        if (place->sent < load.request_length) {
            from = load.request + place->sent;
            left = load.request_length - place->sent;
        }
        int written =
            wolfSSL_write(place->ssl, from, left < RECORD ? (int)left : (int)RECORD);
        if (written <= 0) {
            if (!wants_more(place, written, &code)) {
                place_fail(place, "send", code);
                place_go_on(place);
            }
            return;
        }
        place->sent += (uint64_t)written;
        load.progress_ms = load_now_ms();
    }
    place->phase = PHASE_RECEIVE;
}

/* Takes the first bytes of the response, until its length is known. */
static bool place_take_head(struct place *place, size_t length)
{
    size_t room = LOAD_HEAD_MAX - place->head_length;

    if (place->expected > 0)
        return true;
    memcpy(place->head + place->head_length, chunk, length < room ? length : room);
    place->head_length += length < room ? length : room;
    place->head[place->head_length] = '\0';
    const char *end = strstr(place->head, "\r\n\r\n");
    const char *field = strcasestr(place->head, "\r\ncontent-length: ");
    if (!end)
        return place->head_length < LOAD_HEAD_MAX;
    if (strncmp(place->head, "HTTP/1.1 200 ", 13) != 0 || !field || field > end)
        return false;
    place->expected = (uint64_t)(end + 4 - place->head) + strtoull(field + 18, NULL, 10);
    return true;
}

static void place_receive(struct place *place)
{
    for (;;) {
        int code;
        int got = wolfSSL_read(place->ssl, chunk, sizeof chunk);
        if (got > 0) {
            load.progress_ms = load_now_ms();
            place->received += (uint64_t)got;
            load.results.bytes += (uint64_t)got;
            if (!place_take_head(place, (size_t)got)) {
                place_fail(place, "not the response expected", 0);
                place_go_on(place);
                return;
            }
            place->held = load.options.mode == MODE_HOLD && place->expected > 0 &&
                          place->received == place->expected;
            continue;
        }
        if (wants_more(place, got, &code))
            return;
        /* The end, with close_notify or without: HTTP says whether this is all. */
        if (load.options.mode == MODE_HOLD || place->received != place->expected ||
            place->expected == 0) {
            place_fail(place, "the response was cut", code);
            place_go_on(place);
            return;
        }
        (void)wolfSSL_shutdown(place->ssl);
        place->phase = PHASE_CLOSE;
        place_done(place);
        return;
    }
}

/* After a handshake alone: until the server has closed. */
static void place_wait_end(struct place *place)
{
    for (;;) {
        ssize_t got = recv(place->fd, chunk, sizeof chunk, 0);
        if (got > 0)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        place_done(place);
        return;
    }
}

void place_step(struct place *place)
{
    if (place->phase == PHASE_HANDSHAKE)
        place_shake(place);
    if (place->phase == PHASE_SEND)
        place_send(place);
    if (place->phase == PHASE_RECEIVE)
        place_receive(place);
    else if (place->phase == PHASE_CLOSE)
        place_wait_end(place);
}

static void note_error(const char *words)
{
    load.results.errors++;
    if (load.results.first_error[0] == '\0')
        snprintf(load.results.first_error, sizeof load.results.first_error, "%s", words);
}
