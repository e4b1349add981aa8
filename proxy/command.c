#include "proxy/command.h"

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
                            const struct command_call *command, struct error *error);
static bool connection_connect(struct connection *connection,
                               const struct command_call *command, struct error *error);
static bool connection_trusts(struct connection *connection,
                              const struct command_call *command, struct error *error);
static const char *connection_read(struct connection *connection,
                                   const struct command_call *command,
                                   struct error *error);
static bool connection_greets(struct connection *connection,
                              const struct command_call *command, struct error *error);
static int connection_listen(struct connection *connection,
                             const struct command_call *command, struct error *error);
static void connection_close(struct connection *connection);
static void print_line(void *argument, char kind, const char *line);
static unsigned patience_of(const struct command_call *command);

bool command_find(struct command_call *command, struct error *error)
{
    const char *control = command->control;
    struct config *config = NULL;
    struct error ignored;

    if (!control) {
        config = own_config_read(command->file ? command->file : CLI_DEFAULT_FILE,
                                 command->file ? error : &ignored);
        if (!config && command->file)
            return false;
        control = config && config->proxy.control ? config->proxy.control : CONTROL_AUTO;
    }
    console_socket_resolve(control, command->path);
    bool found = command->path[0] != '\0';
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

int command_ask(struct command_call *command, const char *request, struct error *error)
{
    struct connection connection = {.fd = -1, .process_fd = -1};
    int code = NO_CODE;

    if (command_find(command, error) && connection_open(&connection, command, error) &&
        connection_greets(&connection, command, error)) {
        /* What cannot be sent shows when there is no answer. */
        (void)send(connection.fd, request, strlen(request), MSG_NOSIGNAL);
        (void)send(connection.fd, "\n", 1, MSG_NOSIGNAL);
        code = connection_listen(&connection, command, error);
    }
    if (code == EXIT_FINE && command->until_exit && connection.process_fd >= 0) {
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
                            const struct command_call *command, struct error *error)
{
    const struct timeval patience = {.tv_sec = patience_of(command)};

    connection->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        return error_set_errno(error, errno, "cannot make a socket");
    (void)setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
                     sizeof(patience));
    (void)setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
                     sizeof(patience));
    if (!connection_connect(connection, command, error) ||
        !connection_trusts(connection, command, error))
        return false;
    connection->stream = fdopen(connection->fd, "r");
    return connection->stream || error_set(error, "out of memory");
}

static bool connection_connect(struct connection *connection,
                               const struct command_call *command, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", command->path);
    if (connect(connection->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    switch (errno) {
    case ENOENT:
    case ECONNREFUSED:
    case ENOTDIR:
        return error_set(error,
                         "no Pawl listens on %s; is it running (pawl run), with another "
                         "configuration (-c FILE), or elsewhere (--control PATH)?",
                         command->path);
    case EACCES:
    case EPERM:
        return error_set(error,
                         "permission denied on %s; ask as root or as the user whom Pawl "
                         "was started by",
                         command->path);
    case EAGAIN:
        return error_set(error, "Pawl on %s does not answer within %u s", command->path,
                         patience_of(command));
    default:
        return error_set_errno(error, errno, "cannot connect to %s", command->path);
    }
}

/* In a directory that others may write to, anybody could pose as Pawl. */
static bool connection_trusts(struct connection *connection,
                              const struct command_call *command, struct error *error)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);

    if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return error_set_errno(error, errno, "cannot see who listens on %s",
                               command->path);
    if (peer.uid != 0 && peer.uid != geteuid() && geteuid() != 0)
        return error_set(error, "user %u listens on %s, who is neither root nor you",
                         (unsigned)peer.uid, command->path);
    if (peer.pid > 0)
        connection->process_fd = pidfd_open(peer.pid, 0);
    return true;
}

/* A line without its end, or NULL. */
static const char *connection_read(struct connection *connection,
                                   const struct command_call *command,
                                   struct error *error)
{
    errno = 0;
    ssize_t length = getline(&connection->line, &connection->size, connection->stream);
    if (length > 0 && connection->line[length - 1] == '\n') {
        connection->line[length - 1] = '\0';
        return connection->line;
    }
    if (length < 0 && errno == EAGAIN)
        (void)error_set(error, "Pawl on %s does not answer within %u s", command->path,
                        patience_of(command));
    else
        (void)error_set(error, "Pawl on %s has hung up before it gave a result",
                        command->path);
    return NULL;
}

static bool connection_greets(struct connection *connection,
                              const struct command_call *command, struct error *error)
{
    unsigned protocol = 0;
    const char *line = connection_read(connection, command, error);

    if (!line)
        return false;
    if (sscanf(line, "pawl %5u ", &protocol) != 1)
        return error_set(error, "what listens on %s is no Pawl", command->path);
    return protocol == CONSOLE_PROTOCOL ||
           error_set(error,
                     "the running Pawl speaks protocol %u, this program protocol %d: use "
                     "the program that was started",
                     protocol, CONSOLE_PROTOCOL);
}

static int connection_listen(struct connection *connection,
                             const struct command_call *command, struct error *error)
{
    void (*on_line)(void *, char, const char *) =
        command->on_line ? command->on_line : print_line;
    const char *line;

    while ((line = connection_read(connection, command, error)) != NULL) {
        if (line[0] == '+' || line[0] == '-') {
            on_line(command->argument, line[0], line + 1);
        } else if (line[0] == '=' && line[1] >= '0' && line[1] <= '2' &&
                   line[2] == '\0') {
            return line[1] - '0';
        } else {
            (void)error_set(error, "what Pawl on %s says is not understood",
                            command->path);
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

static unsigned patience_of(const struct command_call *command)
{
    return command->patience_s > 0 ? command->patience_s : PATIENCE_S;
}
