#include "proxy/admin.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/listener.h>

#include "proxy/admin_guard.h"
#include "proxy/admin_page.h"
#include "proxy/log.h"
#include "proxy/metrics.h"

enum {
    TIMEOUT_S = 5,
    HEADERS_MAX = 8 * 1024,
    BODY_MAX = 1024, /* of a request, which has no use for one */
    HOST_MAX = 256,
    MISSING_MS = 3000 /* that a replacement may take */
};

struct admin_listener {
    char address[ADDRESS_TEXT_MAX];
    struct evhttp_bound_socket *socket; /* owned; NULL: this place is free */
};

struct admin {
    struct event_base *base;   /* borrowed */
    struct status *status;     /* borrowed */
    struct evhttp *http;       /* owned */
    struct admin_guard *guard; /* owned */
    struct admin_listener listeners[2 * ADDRESS_LIST_MAX];
    char policy[ADMIN_POLICY_MAX];
};

enum {
    LISTENERS = sizeof(((struct admin *)0)->listeners) / sizeof(struct admin_listener)
};

static struct bufferevent *admin_on_connection(struct event_base *base, void *argument);
static void admin_on_room(void *argument);
static void admin_pause(struct admin *admin, bool pause);
static void admin_on_request(struct evhttp_request *request, void *argument);
static bool admin_may_answer(const struct admin *admin, struct evhttp_request *request);
static void admin_add_headers(const struct admin *admin, struct evhttp_request *request,
                              const char *type);
static void admin_send_words(const struct admin *admin, struct evhttp_request *request,
                             int code, const char *words);
static bool is_healthy(const struct status *status, struct error *why);
static void free_body(const void *body, size_t size, void *argument);

struct admin *admin_new(struct event_base *base, struct status *status,
                        struct error *error)
{
    struct admin *admin = calloc(1, sizeof(*admin));

    if (!admin) {
        (void)error_set(error, "out of memory");
        return NULL;
    }
    admin->base = base;
    admin->status = status;
    if (!(admin->guard = admin_guard_new(base, error)))
        goto fail;
    admin->http = evhttp_new(base);
    if (!admin->http || !admin_page_policy(admin->policy)) {
        (void)error_set(error, "cannot make an HTTP server");
        goto fail;
    }
    evhttp_set_timeout(admin->http, TIMEOUT_S);
    evhttp_set_max_headers_size(admin->http, HEADERS_MAX);
    evhttp_set_max_body_size(admin->http, BODY_MAX);
    evhttp_set_allowed_methods(admin->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_gencb(admin->http, admin_on_request, admin);
    evhttp_set_bevcb(admin->http, admin_on_connection, admin);
    admin_guard_on_room(admin->guard, admin_on_room, admin);
    return admin;
fail:
    admin_free(admin);
    return NULL;
}

void admin_listen(struct admin *admin, const char *address, int fd)
{
    for (size_t i = 0; i < LISTENERS; i++) {
        struct admin_listener *listener = &admin->listeners[i];
        if (listener->socket)
            continue;
        listener->socket = evhttp_accept_socket_with_handle(admin->http, fd);
        if (!listener->socket)
            break;
        (void)snprintf(listener->address, sizeof(listener->address), "%s", address);
        return;
    }
    log_error("cannot accept on %s", address);
    close(fd);
}

bool admin_listens(const struct admin *admin, const char *address)
{
    for (size_t i = 0; i < LISTENERS; i++) {
        if (admin->listeners[i].socket &&
            strcmp(admin->listeners[i].address, address) == 0)
            return true;
    }
    return false;
}

void admin_retire(struct admin *admin, const struct address_list *addresses)
{
    for (size_t i = 0; i < LISTENERS; i++) {
        struct admin_listener *listener = &admin->listeners[i];
        bool stays = false;
        for (size_t j = 0; j < addresses->count; j++)
            stays = stays || strcmp(addresses->items[j].text, listener->address) == 0;
        if (stays || !listener->socket)
            continue;
        evhttp_del_accept_socket(admin->http, listener->socket);
        listener->socket = NULL;
    }
}

void admin_free(struct admin *admin)
{
    if (!admin)
        return;
    if (admin->http)
        evhttp_free(admin->http);
    admin_guard_free(admin->guard);
    free(admin);
}

static struct bufferevent *admin_on_connection(struct event_base *base, void *argument)
{
    struct admin *admin = argument;

    admin_guard_note(admin->guard);
    if (admin_guard_is_full(admin->guard))
        admin_pause(admin, true);
    return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
}

static void admin_on_room(void *argument)
{
    admin_pause(argument, false);
}

static void admin_pause(struct admin *admin, bool pause)
{
    for (size_t i = 0; i < LISTENERS; i++) {
        if (!admin->listeners[i].socket)
            continue;
        struct evconnlistener *listener =
            evhttp_bound_socket_get_listener(admin->listeners[i].socket);
        (void)(pause ? evconnlistener_disable(listener)
                     : evconnlistener_enable(listener));
    }
}

static void admin_on_request(struct evhttp_request *request, void *argument)
{
    const struct admin *admin = argument;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    struct admin_answer answer;

    if (!admin_may_answer(admin, request)) {
        admin_send_words(admin, request, HTTP_BADREQUEST,
                         "the request's Host must be localhost or an IP address\n");
        return;
    }
    if (!admin->status->config || !admin->status->master) {
        admin_send_words(admin, request, HTTP_SERVUNAVAIL, "starting\n");
        return;
    }
    status_now(admin->status);
    struct evbuffer *body = evbuffer_new();
    if (!body || !path || !admin_answer(admin->status, path, &answer)) {
        admin_send_words(admin, request, HTTP_INTERNAL, "out of memory\n");
    } else {
        admin_add_headers(admin, request, answer.type);
        if (evbuffer_add_reference(body, answer.body, answer.size, free_body, NULL) < 0)
            free(answer.body);
        evhttp_send_reply(request, answer.code, NULL, body);
    }
    if (body)
        evbuffer_free(body);
}

bool admin_answer(struct status *status, const char *path, struct admin_answer *answer)
{
    struct error why;

    answer->code = HTTP_OK;
    answer->type = "text/plain; charset=utf-8";
    FILE *out = open_memstream(&answer->body, &answer->size);
    if (!out)
        return false;
    if (strcmp(path, "/") == 0) {
        answer->type = "text/html; charset=utf-8";
        fwrite(admin_page, 1, admin_page_size, out);
    } else if (strcmp(path, "/metrics") == 0) {
        answer->type = METRICS_CONTENT_TYPE;
        metrics_write(out, status);
    } else if (strcmp(path, "/status") == 0) {
        answer->type = "application/json";
        status_write_json(out, status);
    } else if (strcmp(path, "/healthz") == 0) {
        bool healthy = is_healthy(status, &why);
        answer->code = healthy ? HTTP_OK : HTTP_SERVUNAVAIL;
        fprintf(out, "%s\n", healthy ? "ok" : why.text);
    } else if (strcmp(path, "/readyz") == 0) {
        bool ready = status_is_ready(status, &why);
        answer->code = ready ? HTTP_OK : HTTP_SERVUNAVAIL;
        fprintf(out, "%s\n", ready ? "ready" : why.text);
    } else {
        answer->code = HTTP_NOTFOUND;
        fputs("there are /, /metrics, /status, /healthz and /readyz\n", out);
    }
    if (fclose(out) == 0)
        return true;
    free(answer->body);
    return false;
}

bool admin_host_is_local(const char *host)
{
    char name[HOST_MAX];
    struct in_addr v4;
    struct in6_addr v6;

    if (!host)
        return true; /* HTTP/1.0; no browser */
    bool bracketed = host[0] == '[';
    const char *start = host + bracketed;
    size_t length = strcspn(start, bracketed ? "]" : ":");
    const char *rest = start + length + bracketed;
    if (length >= sizeof(name) || (bracketed && start[length] == '\0') ||
        (*rest != '\0' && *rest != ':'))
        return false;
    memcpy(name, start, length);
    name[length] = '\0';
    if (bracketed)
        return inet_pton(AF_INET6, name, &v6) == 1;
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &v4) == 1;
}

/* No browser comes through a unix socket, and one from elsewhere may call us anything. */
static bool admin_may_answer(const struct admin *admin, struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof(own);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));

    if (admin->status->config && admin->status->config->admin.allow_remote)
        return true;
    if (getsockname(fd, (struct sockaddr *)&own, &size) == 0 && own.ss_family == AF_UNIX)
        return true;
    return admin_host_is_local(
        evhttp_find_header(evhttp_request_get_input_headers(request), "Host"));
}

static void admin_add_headers(const struct admin *admin, struct evhttp_request *request,
                              const char *type)
{
    const struct {
        const char *name;
        const char *value;
    } headers[] = {
        {"Content-Type", type},
        {"Content-Security-Policy", admin->policy},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-store"},
        {"Connection", "close"},
    };
    struct evkeyvalq *out = evhttp_request_get_output_headers(request);

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        (void)evhttp_add_header(out, headers[i].name, headers[i].value);
}

static void admin_send_words(const struct admin *admin, struct evhttp_request *request,
                             int code, const char *words)
{
    struct evbuffer *body = evbuffer_new();

    admin_add_headers(admin, request, "text/plain; charset=utf-8");
    if (body)
        (void)evbuffer_add(body, words, strlen(words));
    evhttp_send_reply(request, code, NULL, body);
    if (body)
        evbuffer_free(body);
}

/* Whether every process that serves is there.  One that has just died is being replaced,
 * and those that end on purpose are no fault. */
static bool is_healthy(const struct status *status, struct error *why)
{
    const struct stats_master *master = status->master;
    uint64_t state = stats_read(&master->state);

    if (state != MASTER_SERVING && state != MASTER_RELOADING)
        return true;
    for (size_t i = 0; i < stats_master_process_count(master); i++) {
        const struct stats_process *process = &master->processes[i];
        uint64_t missing = stats_read(&process->missing_ms);
        if (missing != 0 && status->wall_ms > missing + MISSING_MS)
            return error_set(why, "%.*s %u has been missing for %u seconds",
                             STATS_ROLE_MAX, process->role,
                             (unsigned)stats_read(&process->index),
                             (unsigned)((status->wall_ms - missing) / 1000));
    }
    return true;
}

static void free_body(const void *body, size_t size, void *argument)
{
    (void)size;
    (void)argument;
    free((void *)(uintptr_t)body);
}
