#include "proxy/console.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "proxy/log.h"
#include "proxy/master.h"
#include "proxy/status_facts.h"

/* What descriptors are called that are handed over. */
#define HANDED_SOCKET "console"
#define HANDED_CLIENT "console-client-%u"

enum { HANDED_NAME_MAX = 32 };

static const struct timeval PAUSE = {.tv_usec = 200000};
static const struct timeval TICK = {.tv_sec = 1};

static void console_adopt(struct console *console, int fd);
static bool console_watch(struct console *console);
static void console_on_accept(evutil_socket_t fd, short what, void *argument);
static struct console_client *console_find_free(struct console *console);
static bool console_lets_in(int fd, struct error *error);
static void console_turn_away(int fd, const char *words);
static void console_on_request(void *argument, struct console_client *client,
                               const char *line, size_t length);
static void console_on_client_free(void *argument);
static void console_on_pause_end(evutil_socket_t fd, short what, void *argument);
static void console_on_tick(evutil_socket_t fd, short what, void *argument);

static const struct console_client_events EVENTS = {
    .on_request = console_on_request,
    .on_free = console_on_client_free,
};

struct console *console_new(struct master *master, struct error *error)
{
    struct console *console = calloc(1, sizeof(*console));

    if (!console) {
        (void)error_set(error, "out of memory");
        return NULL;
    }
    console->master = master;
    console->current.fd = console->next.fd = -1;
    console->pause_timer = event_new(master->base, -1, 0, console_on_pause_end, console);
    console->tick = event_new(master->base, -1, EV_PERSIST, console_on_tick, console);
    console->listing = listing_new(master, console_on_listing, console);
    if (console->pause_timer && console->tick && console->listing)
        return console;
    (void)error_set(error, "out of memory");
    console_free(console, 1);
    return NULL;
}

void console_prepare(struct console *console, const struct config *config,
                     struct report *report)
{
    const char *control = config->proxy.control;
    char path[CONSOLE_PATH_MAX];
    bool in_use;
    struct error error;

    console_abort(console);
    console_socket_resolve(control, path);
    if (path[0] != '\0' && strcmp(console->current.path, path) == 0 &&
        console_socket_is_ours(&console->current))
        return;
    console->next_is_other = true;
    if (path[0] == '\0' || console_socket_open(&console->next, path, &in_use, &error))
        return;
    /* What nobody asked for by name may be missing, but not be another's. */
    if (strcmp(control, CONTROL_AUTO) == 0 && !in_use)
        report_add(report, REPORT_WARNING, config->file, config->proxy.control_line,
                   "there will be no control socket (\"control\" in [proxy]): %s",
                   error.text);
    else
        report_add(report, REPORT_ERROR, config->file, config->proxy.control_line,
                   "%s; \"control\" in [proxy] gives this one a path of its own, or off",
                   error.text);
}

void console_commit(struct console *console)
{
    status_facts_free(console->facts);
    console->facts = NULL;
    if (!console->next_is_other)
        return;
    if (console->accept_event)
        event_free(console->accept_event);
    console->accept_event = NULL;
    console_socket_close(&console->current);
    console->current = console->next;
    console->next = (struct console_socket){.fd = -1};
    console->next_is_other = false;
    if (console->current.fd < 0)
        log_debug("there is no control socket");
    else if (!console_watch(console))
        log_error("nobody can be let in on %s: out of memory", console->current.path);
}

void console_abort(struct console *console)
{
    console_socket_close(&console->next);
    console->next_is_other = false;
}

void console_on_reload_begun(struct console *console)
{
    for (size_t i = 0; i < CONSOLE_CLIENTS; i++) {
        struct console_client *client = &console->clients[i];
        if (console_client_waits(client, CONSOLE_WAIT_RELOAD))
            client->begun = true;
    }
}

void console_hand_over(struct console *console,
                       bool (*keep)(struct master *master, const char *name, int fd))
{
    struct master *master = console->master;
    char name[HANDED_NAME_MAX];
    unsigned handed = 0;

    if (console->current.fd >= 0)
        (void)keep(master, HANDED_SOCKET, fcntl(console->current.fd, F_DUPFD_CLOEXEC, 0));
    for (size_t i = 0; i < CONSOLE_CLIENTS; i++) {
        const struct console_client *client = &console->clients[i];
        if (!console_client_waits(client, CONSOLE_WAIT_UPGRADE))
            continue;
        (void)snprintf(name, sizeof(name), HANDED_CLIENT, handed++);
        (void)keep(master, name,
                   fcntl(bufferevent_getfd(client->stream), F_DUPFD_CLOEXEC, 0));
    }
}

void console_take_over(struct console *console,
                       int (*take)(struct master *master, const char *name))
{
    struct master *master = console->master;
    char name[HANDED_NAME_MAX];

    int fd = take(master, HANDED_SOCKET);
    if (fd >= 0)
        console_adopt(console, fd);
    for (unsigned i = 0; i < CONSOLE_CLIENTS; i++) {
        (void)snprintf(name, sizeof(name), HANDED_CLIENT, i);
        fd = take(master, name);
        if (fd >= 0 && !console_client_resume(&console->clients[i], master->base, fd,
                                              &EVENTS, console, CONSOLE_WAIT_UPGRADE))
            close(fd);
    }
}

void console_free(struct console *console, int exit_code)
{
    if (!console)
        return;
    for (size_t i = 0; i < CONSOLE_CLIENTS; i++) {
        struct console_client *client = &console->clients[i];
        if (console_client_waits(client, CONSOLE_WAIT_STOP)) {
            console_client_say(client, '+', "stopped");
            console_client_end(client, exit_code);
        } else if (client->state == CONSOLE_CLIENT_WAITS) {
            console_client_say(client, '-', "Pawl has stopped meanwhile");
            console_client_end(client, 1);
        }
        console_client_drop(client);
    }
    listing_free(console->listing);
    status_facts_free(console->facts);
    if (console->accept_event)
        event_free(console->accept_event);
    if (console->pause_timer)
        event_free(console->pause_timer);
    if (console->tick)
        event_free(console->tick);
    console_socket_close(&console->next);
    console_socket_close(&console->current);
    free(console);
}

/* It is kept when a configuration asks for its path, and let go otherwise. */
static void console_adopt(struct console *console, int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNSPEC};
    socklen_t length = sizeof(address);
    char path[CONSOLE_PATH_MAX] = "";

    if (getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
        address.sun_family == AF_UNIX)
        (void)snprintf(path, sizeof(path), "%.*s", (int)sizeof(address.sun_path) - 1,
                       address.sun_path);
    if (console->current.fd < 0 && path[0] != '\0' &&
        console_socket_adopt(&console->current, fd, path)) {
        if (!console_watch(console))
            log_error("nobody can be let in on %s: out of memory", path);
        return;
    }
    close(fd);
}

static bool console_watch(struct console *console)
{
    console->accept_event = event_new(console->master->base, console->current.fd,
                                      EV_READ | EV_PERSIST, console_on_accept, console);
    return console->accept_event && event_add(console->accept_event, NULL) == 0;
}

/* While there is no room, whoever else comes waits in the socket's queue. */
static void console_on_accept(evutil_socket_t listener, short what, void *argument)
{
    struct console *console = argument;
    struct console_client *client;
    struct error error;

    (void)what;
    while ((client = console_find_free(console)) != NULL) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd < 0)
            break;
        if (!console_lets_in(fd, &error)) {
            console_turn_away(fd, error.text);
            continue;
        }
        if (console_client_open(client, console->master->base, fd, &EVENTS, console))
            continue;
        close(fd);
        break;
    }
    (void)event_del(console->accept_event);
    evtimer_add(console->pause_timer, &PAUSE);
}

static struct console_client *console_find_free(struct console *console)
{
    for (size_t i = 0; i < CONSOLE_CLIENTS; i++) {
        if (console->clients[i].state == CONSOLE_CLIENT_FREE)
            return &console->clients[i];
    }
    return NULL;
}

/* The file's mode says the same; this holds should somebody change that. */
static bool console_lets_in(int fd, struct error *error)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return error_set_errno(error, errno, "it cannot be seen who you are");
    return peer.uid == 0 || peer.uid == geteuid() ||
           error_set(error, "only root and user %u may ask, and you are user %u",
                     (unsigned)geteuid(), (unsigned)peer.uid);
}

static void console_turn_away(int fd, const char *words)
{
    char text[ERROR_TEXT_MAX + 64];
    int length = snprintf(text, sizeof(text), "pawl %d %s\n-%s\n=1\n", CONSOLE_PROTOCOL,
                          PAWL_VERSION, words);

    log_warning("somebody was turned away from the control socket: %s", words);
    (void)send(fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void console_on_request(void *argument, struct console_client *client,
                               const char *line, size_t length)
{
    struct console *console = argument;
    struct console_request request;
    struct error error;

    if (console_request_read(&request, line, length, &error)) {
        console_answer(console, client, &request);
    } else {
        console_client_say(client, '-', "%s", error.text);
        console_client_end(client, 2);
    }
    if (console_client_waits(client, CONSOLE_WAIT_STOP) &&
        !evtimer_pending(console->tick, NULL))
        event_add(console->tick, &TICK);
}

static void console_on_client_free(void *argument)
{
    struct console *console = argument;

    if (!evtimer_pending(console->pause_timer, NULL) || !console->accept_event)
        return;
    (void)evtimer_del(console->pause_timer);
    (void)event_add(console->accept_event, NULL);
}

static void console_on_pause_end(evutil_socket_t fd, short what, void *argument)
{
    struct console *console = argument;

    (void)fd;
    (void)what;
    if (console->accept_event)
        (void)event_add(console->accept_event, NULL);
}

static void console_on_tick(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    console_report_progress(argument);
}
