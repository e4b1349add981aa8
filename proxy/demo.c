#include "proxy/demo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>

#include "proxy/demo_facts.h"
#include "proxy/demo_page.h"

enum {
    TIMEOUT_SECONDS = 60,
    REQUEST_HEADERS_MAX = 32 * 1024,
    REQUEST_BODY_MAX = 16 * 1024 * 1024,
    STREAM_BYTES_MAX = 1024 * 1024 * 1024,
    SLOW_MS_MAX = 60 * 1000,
    PATTERN_PERIOD = 251,
    PATTERN_BYTES =
        256 * PATTERN_PERIOD, /* one chunk; whole periods, so that each starts at 0 */
    HEADER_START_BYTES = 16,
    NONCE_TEXT_BYTES = 33
};

/* A request that is answered over time.  Ends with its answer or with its connection. */
struct demo_task {
    LIST_ENTRY(demo_task) entry;
    struct evhttp_request *request; /* owned by its connection, by us once that is gone */
    struct event timer;
    uint64_t left_bytes;
};

struct demo {
    struct event_base *base; /* borrowed */
    struct evhttp *http;     /* owned */
    /* What the newest connection on each descriptor said of itself: every connection
     * decides its entry before its first request is read, so none needs to be told when
     * one ends.  Owned, grown as descriptors come. */
    struct demo_facts **facts;
    size_t facts_count;
    LIST_HEAD(, demo_task) tasks; /* owned */
    uint8_t pattern[PATTERN_BYTES];
};

/* The process's demo, for the callback on input, which has room for one argument only. */
static struct demo *root;

static struct bufferevent *on_accept(struct event_base *base, void *arg);
static void on_request(struct evhttp_request *request, void *arg);
static void free_task(struct demo_task *task);

struct demo *demo_new(struct event_base *base, int listen_fd, struct error *error)
{
    struct demo *demo = root == NULL ? calloc(1, sizeof *demo) : NULL;
    struct evhttp *http = demo != NULL ? evhttp_new(base) : NULL;
    /* Takes the descriptor when it succeeds. */
    if (http == NULL || evhttp_accept_socket(http, listen_fd) != 0) {
        error_set(error, "cannot start the demo's web server: %s",
                  root != NULL ? "it is running already" : strerror(ENOMEM));
        if (http != NULL)
            evhttp_free(http);
        free(demo);
        close(listen_fd);
        return NULL;
    }
    demo->base = base;
    demo->http = http;
    LIST_INIT(&demo->tasks);
    for (size_t i = 0; i < sizeof demo->pattern; i++)
        demo->pattern[i] = (uint8_t)(i % PATTERN_PERIOD);
    evhttp_set_bevcb(http, on_accept, demo);
    evhttp_set_gencb(http, on_request, demo);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
    evhttp_set_max_headers_size(http, REQUEST_HEADERS_MAX);
    evhttp_set_max_body_size(http, REQUEST_BODY_MAX);
    evhttp_set_timeout(http, TIMEOUT_SECONDS);
    root = demo;
    return demo;
}

void demo_free(struct demo *demo)
{
    if (demo == NULL)
        return;
    while (!LIST_EMPTY(&demo->tasks))
        free_task(LIST_FIRST(&demo->tasks));
    evhttp_free(demo->http);
    for (size_t fd = 0; fd < demo->facts_count; fd++)
        free(demo->facts[fd]);
    free(demo->facts);
    free(demo);
    root = NULL;
}

/* The entry for a descriptor, made if it is new; NULL without memory. */
static struct demo_facts *facts_slot(struct demo *demo, int fd)
{
    if (fd < 0)
        return NULL;
    const size_t index = (size_t)fd;
    if (index >= demo->facts_count) {
        const size_t count = index + 64;
        struct demo_facts **grown = realloc(demo->facts, count * sizeof *grown);
        if (grown == NULL)
            return NULL;
        memset(grown + demo->facts_count, 0, (count - demo->facts_count) * sizeof *grown);
        demo->facts = grown;
        demo->facts_count = count;
    }
    if (demo->facts[index] == NULL)
        demo->facts[index] = calloc(1, sizeof **demo->facts);
    return demo->facts[index];
}

/* Bytes of the header that must be there before anything can be said. */
static size_t wanted_bytes(const uint8_t *bytes, size_t length)
{
    if (length < HEADER_START_BYTES)
        return HEADER_START_BYTES;
    return HEADER_START_BYTES + ((size_t)bytes[14] << 8 | bytes[15]);
}

/*
 * Sees the first bytes of a connection before evhttp does: until the header is whole the
 * low watermark keeps evhttp from being called, then the header is taken off the front.
 */
static void on_first_input(struct evbuffer *input, const struct evbuffer_cb_info *info,
                           void *arg)
{
    struct bufferevent *connection = arg;
    if (info->n_added == 0)
        return;
    uint8_t bytes[DEMO_HEADER_MAX];
    const ev_ssize_t copied = evbuffer_copyout(input, bytes, sizeof bytes);
    const size_t length = copied > 0 ? (size_t)copied : 0;
    struct demo_facts facts = {.present = false};
    size_t header_len = 0;
    const enum demo_header header = demo_facts_read(bytes, length, &facts, &header_len);
    if (header == DEMO_HEADER_INCOMPLETE) {
        bufferevent_setwatermark(connection, EV_READ, wanted_bytes(bytes, length), 0);
        return;
    }

    const evutil_socket_t fd = bufferevent_getfd(connection);
    struct demo_facts *slot = facts_slot(root, fd);
    evbuffer_remove_cb(input, on_first_input, connection);
    if (header == DEMO_HEADER_MALFORMED || slot == NULL) {
        /* evhttp sees the end of the connection and nothing else. */
        evbuffer_drain(input, evbuffer_get_length(input));
        bufferevent_setwatermark(connection, EV_READ, DEMO_HEADER_MAX, 0);
        shutdown(fd, SHUT_RDWR);
        return;
    }
    *slot = facts;
    evbuffer_drain(input, header_len);
    bufferevent_setwatermark(connection, EV_READ, 0, 0);
}

/* The connection of the next client, without its descriptor yet; NULL: evhttp makes its
 * own. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    (void)arg;
    struct bufferevent *connection =
        bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (connection == NULL)
        return NULL;
    bufferevent_setwatermark(connection, EV_READ, HEADER_START_BYTES, 0);
    if (evbuffer_add_cb(bufferevent_get_input(connection), on_first_input, connection) ==
        NULL) {
        bufferevent_free(connection);
        return NULL;
    }
    return connection;
}

static const struct demo_facts *facts_of(struct demo *demo,
                                         struct evhttp_request *request)
{
    static const struct demo_facts none;
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    const struct demo_facts *facts = facts_slot(
        demo, bufferevent_getfd(evhttp_connection_get_bufferevent(connection)));
    return facts != NULL ? facts : &none;
}

static void add_header(struct evhttp_request *request, const char *name,
                       const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

/* Also to HEAD, where evhttp would leave the length out. */
static void add_content(struct evhttp_request *request, const char *type, size_t length)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", length);
    add_header(request, "Content-Type", type);
    add_header(request, "Content-Length", text);
    add_header(request, "X-Content-Type-Options", "nosniff");
    add_header(request, "Cache-Control", "no-store");
}

static void reply(struct evhttp_request *request, int status, const char *reason,
                  const char *type, struct evbuffer *body)
{
    add_content(request, type, evbuffer_get_length(body));
    evhttp_send_reply(request, status, reason, body);
}

static void make_nonce(char text[static NONCE_TEXT_BYTES])
{
    uint8_t bytes[(NONCE_TEXT_BYTES - 1) / 2] = {0};
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        memset(bytes, 0, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static void add_page_headers(struct evhttp_request *request, const char *nonce)
{
    char policy[160];
    snprintf(policy, sizeof policy,
             "default-src 'none'; style-src 'nonce-%s'; base-uri 'none'; "
             "form-action 'none'; frame-ancestors 'none'",
             nonce);
    add_header(request, "Content-Security-Policy", policy);
    add_header(request, "Referrer-Policy", "no-referrer");
}

static void reply_note(struct evhttp_request *request, int status, const char *reason,
                       const char *text)
{
    char nonce[NONCE_TEXT_BYTES];
    make_nonce(nonce);
    struct evbuffer *body = evbuffer_new();
    if (body == NULL) {
        evhttp_send_reply(request, 500, "Out of memory", NULL);
        return;
    }
    demo_page_write_note(body, reason, text, nonce);
    add_page_headers(request, nonce);
    reply(request, status, reason, "text/html; charset=utf-8", body);
    evbuffer_free(body);
}

static void serve_page(struct demo *demo, struct evhttp_request *request,
                       const char *rest)
{
    (void)rest;
    char nonce[NONCE_TEXT_BYTES];
    make_nonce(nonce);
    struct evbuffer *body = evbuffer_new();
    if (body == NULL) {
        evhttp_send_reply(request, 500, "Out of memory", NULL);
        return;
    }
    demo_page_write_html(body, request, facts_of(demo, request), nonce);
    add_page_headers(request, nonce);
    reply(request, HTTP_OK, "OK", "text/html; charset=utf-8", body);
    evbuffer_free(body);
}

static void serve_json(struct demo *demo, struct evhttp_request *request,
                       const char *rest)
{
    (void)rest;
    struct evbuffer *body = evbuffer_new();
    if (body == NULL) {
        evhttp_send_reply(request, 500, "Out of memory", NULL);
        return;
    }
    demo_page_write_json(body, request, facts_of(demo, request));
    reply(request, HTTP_OK, "OK", "application/json", body);
    evbuffer_free(body);
}

static void serve_echo(struct demo *demo, struct evhttp_request *request,
                       const char *rest)
{
    (void)demo;
    (void)rest;
    reply(request, HTTP_OK, "OK", "application/octet-stream",
          evhttp_request_get_input_buffer(request));
}

static void free_task(struct demo_task *task)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(task->request);
    if (connection != NULL)
        evhttp_connection_set_closecb(connection, NULL, NULL);
    event_del(&task->timer);
    LIST_REMOVE(task, entry);
    free(task);
}

/* A connection that fails lets go of the request it was answering, which is then ours. */
static void on_task_closed(struct evhttp_connection *connection, void *arg)
{
    (void)connection;
    struct demo_task *task = arg;
    struct evhttp_request *request = task->request;
    const bool is_orphan = evhttp_request_get_connection(request) == NULL;
    free_task(task);
    if (is_orphan)
        evhttp_request_free(request);
}

static void on_slow_over(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct demo_task *task = arg;
    struct evhttp_request *request = task->request;
    free_task(task);
    struct evbuffer *body = evbuffer_new();
    if (body == NULL) {
        evhttp_send_reply(request, 500, "Out of memory", NULL);
        return;
    }
    evbuffer_add_printf(body, "done\n");
    reply(request, HTTP_OK, "OK", "text/plain", body);
    evbuffer_free(body);
}

/* NULL: without memory; answered. */
static struct demo_task *start_task(struct demo *demo, struct evhttp_request *request)
{
    struct demo_task *task = calloc(1, sizeof *task);
    if (task == NULL) {
        evhttp_send_reply(request, 500, "Out of memory", NULL);
        return NULL;
    }
    task->request = request;
    event_assign(&task->timer, demo->base, -1, 0, on_slow_over, task);
    LIST_INSERT_HEAD(&demo->tasks, task, entry);
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_task_closed,
                                  task);
    return task;
}

/* A decimal number up to `max` and nothing else. */
static bool read_number(const char *text, uint64_t max, uint64_t *number)
{
    *number = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        *number = *number * 10 + (uint64_t)(*text - '0');
        if (*number > max)
            return false;
    }
    return true;
}

static void serve_slow(struct demo *demo, struct evhttp_request *request,
                       const char *rest)
{
    uint64_t ms = 0;
    if (!read_number(rest, SLOW_MS_MAX, &ms)) {
        reply_note(request, 400, "Not a duration",
                   "Milliseconds from 0 to 60000, please.");
        return;
    }
    struct demo_task *task = start_task(demo, request);
    if (task == NULL)
        return;
    const struct timeval delay = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(&task->timer, &delay);
}

/* Called when the last chunk is out: at most one is held at a time, and it is only a
 * reference to the pattern. */
static void on_chunk_sent(struct evhttp_connection *connection, void *arg)
{
    (void)connection;
    struct demo_task *task = arg;
    struct evhttp_request *request = task->request;
    struct evbuffer *chunk = task->left_bytes > 0 ? evbuffer_new() : NULL;
    if (chunk == NULL) {
        free_task(task);
        evhttp_send_reply_end(request);
        return;
    }
    const size_t length =
        task->left_bytes < PATTERN_BYTES ? (size_t)task->left_bytes : PATTERN_BYTES;
    task->left_bytes -= length;
    evbuffer_add_reference(chunk, root->pattern, length, NULL, NULL);
    evhttp_send_reply_chunk_with_cb(request, chunk, on_chunk_sent, task);
    evbuffer_free(chunk);
}

static void serve_bytes(struct demo *demo, struct evhttp_request *request,
                        const char *rest)
{
    uint64_t count = 0;
    if (!read_number(rest, STREAM_BYTES_MAX, &count)) {
        reply_note(request, 400, "Not a size",
                   "A number of bytes up to 1073741824, please.");
        return;
    }
    add_content(request, "application/octet-stream", (size_t)count);
    if (count == 0 || evhttp_request_get_command(request) == EVHTTP_REQ_HEAD) {
        evhttp_send_reply(request, HTTP_OK, "OK", NULL);
        return;
    }
    struct demo_task *task = start_task(demo, request);
    if (task == NULL)
        return;
    task->left_bytes = count;
    evhttp_send_reply_start(request, HTTP_OK, "OK");
    on_chunk_sent(evhttp_request_get_connection(request), task);
}

static const struct route {
    const char *path; /* with a slash at its end: the start of one, except for "/" */
    int methods;
    const char *allow;
    void (*serve)(struct demo *demo, struct evhttp_request *request, const char *rest);
} routes[] = {
    {"/", EVHTTP_REQ_GET | EVHTTP_REQ_HEAD, "GET, HEAD", serve_page},
    {"/json", EVHTTP_REQ_GET | EVHTTP_REQ_HEAD, "GET, HEAD", serve_json},
    {"/echo", EVHTTP_REQ_POST, "POST", serve_echo},
    {"/bytes/", EVHTTP_REQ_GET | EVHTTP_REQ_HEAD, "GET, HEAD", serve_bytes},
    {"/slow/", EVHTTP_REQ_GET | EVHTTP_REQ_HEAD, "GET, HEAD", serve_slow},
};

static bool route_fits(const struct route *route, const char *path)
{
    const size_t length = strlen(route->path);
    const bool is_start = length > 1 && route->path[length - 1] == '/';
    return is_start ? strncmp(path, route->path, length) == 0
                    : strcmp(path, route->path) == 0;
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct demo *demo = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    for (size_t i = 0; path != NULL && i < sizeof routes / sizeof routes[0]; i++) {
        if (!route_fits(&routes[i], path))
            continue;
        if (routes[i].methods & (int)evhttp_request_get_command(request)) {
            routes[i].serve(demo, request, path + strlen(routes[i].path));
            return;
        }
        add_header(request, "Allow", routes[i].allow);
        reply_note(request, HTTP_BADMETHOD, "Method not allowed",
                   "This path exists, but not for this method.");
        return;
    }
    reply_note(request, HTTP_NOTFOUND, "Not found", "The demo has no such page.");
}
