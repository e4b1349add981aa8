#include "proxy/console_call.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/cli.h"
#include "proxy/console_request.h"
#include "proxy/own_config.h"

enum { PATIENCE_S = 10, EXIT_PATIENCE_MS = 10000, NO_CODE = -1 };

struct connection {
    int fd;         /* owned by `stream` once there is one */
    FILE *stream;   /* owned */
    int process_fd; /* owned; of who answers; -1: not known */
    char *line;     /* owned; read last */
    size_t size;
};

static bool connection_open(struct connection *connection,
                            const struct console_call *call, struct error *error);
static bool connection_connect(struct connection *connection,
                               const struct console_call *call, struct error *error);
static bool connection_trusts(struct connection *connection,
                              const struct console_call *call, struct error *error);
static const char *connection_read(struct connection *connection,
                                   const struct console_call *call, struct error *error);
static bool connection_greets(struct connection *connection,
                              const struct console_call *call, struct error *error);
static int connection_listen(struct connection *connection,
                             const struct console_call *call, struct error *error);
static void connection_close(struct connection *connection);
static void print_line(void *argument, char kind, const char *line);
static unsigned patience_of(const struct console_call *call);

bool console_find(struct console_call *call, struct error *error)
{
    const char *control = call->control;
    struct config *config = NULL;
    struct error ignored;

    if (!control) {
        config = own_config_read(call->file ? call->file : CLI_DEFAULT_FILE,
                                 call->file ? error : &ignored);
        if (!config && call->file)
            return false;
        control = config && config->proxy.control ? config->proxy.control : CONTROL_AUTO;
    }
    console_socket_resolve(control, call->path);
    bool found = call->path[0] != '\0';
    if (!found && strcmp(control, CONTROL_OFF) == 0)
        (void)error_set(error, "%s has no control socket: it says control = off",
                        config->file);
    else if (!found && strcmp(control, CONTROL_AUTO) == 0)
        (void)error_set(error, "it is not known where Pawl listens: XDG_RUNTIME_DIR is "
                               "not set; name the socket with --control, or the "
                               "configuration with -c");
    else if (!found)
        (void)error_set(error, "the path of the control socket is too long: %s", control);
    config_free(config);
    return found;
}

int console_ask(struct console_call *call, const char *request, struct error *error)
{
    struct connection connection = {.fd = -1, .process_fd = -1};
    int code = NO_CODE;

    if (console_find(call, error) && connection_open(&connection, call, error) &&
        connection_greets(&connection, call, error)) {
        /* What cannot be sent shows when there is no answer. */
        (void)send(connection.fd, request, strlen(request), MSG_NOSIGNAL);
        (void)send(connection.fd, "\n", 1, MSG_NOSIGNAL);
        code = connection_listen(&connection, call, error);
    }
    if (code == EXIT_FINE && call->until_exit && connection.process_fd >= 0) {
        struct pollfd end = {.fd = connection.process_fd, .events = POLLIN};
        if (poll(&end, 1, EXIT_PATIENCE_MS) == 0) {
            (void)error_set(error, "Pawl said that it has stopped, but its process still "
                                   "runs");
            code = NO_CODE;
        }
    }
    connection_close(&connection);
    return code;
}

static bool connection_open(struct connection *connection,
                            const struct console_call *call, struct error *error)
{
    const struct timeval patience = {.tv_sec = patience_of(call)};

    connection->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        return error_set_errno(error, errno, "cannot make a socket");
    (void)setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
                     sizeof(patience));
    (void)setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
                     sizeof(patience));
    if (!connection_connect(connection, call, error) ||
        !connection_trusts(connection, call, error))
        return false;
    connection->stream = fdopen(connection->fd, "r");
    return connection->stream || error_set(error, "out of memory");
}

static bool connection_connect(struct connection *connection,
                               const struct console_call *call, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", call->path);
    if (connect(connection->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    switch (errno) {
    case ENOENT:
    case ECONNREFUSED:
    case ENOTDIR:
        return error_set(error,
                         "no Pawl listens on %s; is it running (pawl run), with another "
                         "configuration (-c FILE), or elsewhere (--control PATH)?",
                         call->path);
    case EACCES:
    case EPERM:
        return error_set(error,
                         "permission denied on %s; ask as root or as the user whom Pawl "
                         "was started by",
                         call->path);
    case EAGAIN:
        return error_set(error, "Pawl on %s does not answer within %u s", call->path,
                         patience_of(call));
    default:
        return error_set_errno(error, errno, "cannot connect to %s", call->path);
    }
}

/* In a directory that others may write to, anybody could pose as Pawl. */
static bool connection_trusts(struct connection *connection,
                              const struct console_call *call, struct error *error)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);

    if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return error_set_errno(error, errno, "cannot see who listens on %s", call->path);
    if (peer.uid != 0 && peer.uid != geteuid() && geteuid() != 0)
        return error_set(error, "user %u listens on %s, who is neither root nor you",
                         (unsigned)peer.uid, call->path);
    if (peer.pid > 0)
        connection->process_fd = pidfd_open(peer.pid, 0);
    return true;
}

/* A line without its end, or NULL. */
static const char *connection_read(struct connection *connection,
                                   const struct console_call *call, struct error *error)
{
    errno = 0;
    ssize_t length = getline(&connection->line, &connection->size, connection->stream);
    if (length > 0 && connection->line[length - 1] == '\n') {
        connection->line[length - 1] = '\0';
        return connection->line;
    }
    if (length < 0 && errno == EAGAIN)
        (void)error_set(error, "Pawl on %s does not answer within %u s", call->path,
                        patience_of(call));
    else
        (void)error_set(error, "Pawl on %s has hung up before it gave a result",
                        call->path);
    return NULL;
}

static bool connection_greets(struct connection *connection,
                              const struct console_call *call, struct error *error)
{
    unsigned protocol = 0;
    const char *line = connection_read(connection, call, error);

    if (!line)
        return false;
    if (sscanf(line, "pawl %5u ", &protocol) != 1)
        return error_set(error, "what listens on %s is no Pawl", call->path);
    return protocol == CONSOLE_PROTOCOL ||
           error_set(error,
                     "the running Pawl speaks protocol %u, this program protocol %d: use "
                     "the program that was started",
                     protocol, CONSOLE_PROTOCOL);
}

static int connection_listen(struct connection *connection,
                             const struct console_call *call, struct error *error)
{
    void (*on_line)(void *, char, const char *) =
        call->on_line ? call->on_line : print_line;
    const char *line;

    while ((line = connection_read(connection, call, error)) != NULL) {
        if (line[0] == '+' || line[0] == '-') {
            on_line(call->argument, line[0], line + 1);
        } else if (line[0] == '=' && line[1] >= '0' && line[1] <= '2' &&
                   line[2] == '\0') {
            return line[1] - '0';
        } else {
            (void)error_set(error, "what Pawl on %s says is not understood", call->path);
            break;
        }
    }
    return NO_CODE;
}

static void connection_close(struct connection *connection)
{
    if (connection->stream)
        (void)fclose(connection->stream);
    else if (connection->fd >= 0)
        close(connection->fd);
    if (connection->process_fd >= 0)
        close(connection->process_fd);
    free(connection->line);
}

static void print_line(void *argument, char kind, const char *line)
{
    FILE *out = kind == '+' ? stdout : stderr;

    (void)argument;
    (void)fprintf(out, "%s\n", line);
    (void)fflush(out);
}

static unsigned patience_of(const struct console_call *call)
{
    return call->patience_s > 0 ? call->patience_s : PATIENCE_S;
}
