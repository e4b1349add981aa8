#include "proxy/console_client.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/console_request.h"

enum { OUTPUT_MAX = 8 * 1024 * 1024, WASTE_READS_MAX = 64 };

static const struct timeval PATIENCE = {.tv_sec = 5};

static bool client_start(struct console_client *client, struct event_base *base, int fd,
                         const struct console_client_events *events, void *owner);
static void client_on_read(struct bufferevent *stream, void *argument);
static void client_on_written(struct bufferevent *stream, void *argument);
static void client_on_event(struct bufferevent *stream, short what, void *argument);
static void client_take_request(struct console_client *client, const char *line,
                                size_t length);
static bool client_has_room(struct console_client *client, size_t length);

bool console_client_open(struct console_client *client, struct event_base *base, int fd,
                         const struct console_client_events *events, void *owner)
{
    if (!client_start(client, base, fd, events, owner))
        return false;
    client->state = CONSOLE_CLIENT_ASKS;
    bufferevent_setwatermark(client->stream, EV_READ, 0, CONSOLE_REQUEST_MAX);
    (void)bufferevent_enable(client->stream, EV_READ);
    (void)evbuffer_add_printf(bufferevent_get_output(client->stream), "pawl %d %s\n",
                              CONSOLE_PROTOCOL, PAWL_VERSION);
    return true;
}

bool console_client_resume(struct console_client *client, struct event_base *base, int fd,
                           const struct console_client_events *events, void *owner,
                           enum console_wait wait)
{
    if (!client_start(client, base, fd, events, owner))
        return false;
    console_client_wait(client, wait);
    return true;
}

void console_client_wait(struct console_client *client, enum console_wait wait)
{
    client->state = CONSOLE_CLIENT_WAITS;
    client->wait = wait;
    client->begun = false;
}

bool console_client_waits(const struct console_client *client, enum console_wait wait)
{
    return client->state == CONSOLE_CLIENT_WAITS && client->wait == wait;
}

void console_client_say(struct console_client *client, char kind, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0 || !client_has_room(client, (size_t)length))
        goto done;
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    (void)evbuffer_add_printf(bufferevent_get_output(client->stream), "%c%s\n", kind,
                              text);
done:
    free(text);
}

void console_client_print(struct console_client *client, const char *text, size_t length)
{
    if (!client_has_room(client, length))
        return;
    struct evbuffer *output = bufferevent_get_output(client->stream);
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t part = end ? (size_t)(end - text) : length;
        (void)evbuffer_add(output, "+", 1);
        (void)evbuffer_add(output, text, part);
        (void)evbuffer_add(output, "\n", 1);
        part += end ? 1 : 0;
        text += part;
        length -= part;
    }
}

void console_client_end(struct console_client *client, int code)
{
    client->state = CONSOLE_CLIENT_ENDS;
    if (client->overflown)
        code = 1;
    (void)evbuffer_add_printf(bufferevent_get_output(client->stream), "=%d\n", code);
}

void console_client_drop(struct console_client *client)
{
    if (client->state == CONSOLE_CLIENT_FREE)
        return;
    struct evbuffer *output = bufferevent_get_output(client->stream);
    int fd = bufferevent_getfd(client->stream);
    char waste[4096];

    (void)evbuffer_unfreeze(output, 1);
    (void)evbuffer_write(output, fd);
    /* What was sent behind the request would turn the end into a reset. */
    for (int i = 0;
         i < WASTE_READS_MAX && recv(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0; i++)
        continue;
    bufferevent_free(client->stream);
    client->stream = NULL;
    client->state = CONSOLE_CLIENT_FREE;
    client->events->on_free(client->owner);
}

static bool client_start(struct console_client *client, struct event_base *base, int fd,
                         const struct console_client_events *events, void *owner)
{
    struct bufferevent *stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    if (!stream)
        return false;
    *client = (struct console_client){.stream = stream, .events = events, .owner = owner};
    bufferevent_setcb(stream, client_on_read, client_on_written, client_on_event, client);
    (void)bufferevent_set_timeouts(stream, &PATIENCE, &PATIENCE);
    (void)bufferevent_enable(stream, EV_WRITE);
    return true;
}

static void client_on_read(struct bufferevent *stream, void *argument)
{
    struct console_client *client = argument;
    struct evbuffer *input = bufferevent_get_input(stream);
    size_t length = 0;

    if (client->state != CONSOLE_CLIENT_ASKS)
        return;
    char *line = evbuffer_readln(input, &length, EVBUFFER_EOL_LF);
    if (line)
        client_take_request(client, line, length);
    else if (evbuffer_get_length(input) >= CONSOLE_REQUEST_MAX)
        client_take_request(client, "", CONSOLE_REQUEST_MAX);
    free(line);
}

/* Whatever comes behind the request is of no interest. */
static void client_take_request(struct console_client *client, const char *line,
                                size_t length)
{
    (void)bufferevent_disable(client->stream, EV_READ);
    client->events->on_request(client->owner, client, line, length);
}

static void client_on_written(struct bufferevent *stream, void *argument)
{
    struct console_client *client = argument;

    if (client->state == CONSOLE_CLIENT_ENDS &&
        evbuffer_get_length(bufferevent_get_output(stream)) == 0)
        console_client_drop(client);
}

static void client_on_event(struct bufferevent *stream, short what, void *argument)
{
    struct console_client *client = argument;

    (void)stream;
    if (client->state == CONSOLE_CLIENT_ASKS && (what & BEV_EVENT_TIMEOUT) &&
        (what & BEV_EVENT_READING)) {
        console_client_say(client, '-', "no request has come in time");
        console_client_end(client, 1);
        return;
    }
    console_client_drop(client);
}

static bool client_has_room(struct console_client *client, size_t length)
{
    size_t kept = evbuffer_get_length(bufferevent_get_output(client->stream));

    if (length < OUTPUT_MAX && kept < OUTPUT_MAX - length)
        return true;
    client->overflown = true;
    return false;
}
