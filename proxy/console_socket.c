#include "proxy/console_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

#define ROOT_PATH "/run/pawl/control.sock"
#define USER_PATH "/pawl/control.sock"

enum { BACKLOG = 128 };

static int socket_lock_directory(const char *path, struct error *error);
static bool socket_take_path(const struct sockaddr_un *address, bool *in_use,
                             struct error *error);
static bool socket_bind(struct console_socket *made, const struct sockaddr_un *address,
                        struct error *error);

void console_socket_resolve(const char *control, char path[CONSOLE_PATH_MAX])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int length = 0;

    path[0] = '\0';
    if (!control || strcmp(control, CONTROL_OFF) == 0)
        return;
    if (strcmp(control, CONTROL_AUTO) != 0)
        length = snprintf(path, CONSOLE_PATH_MAX, "%s", control);
    else if (geteuid() == 0)
        length = snprintf(path, CONSOLE_PATH_MAX, "%s", ROOT_PATH);
    else if (runtime && runtime[0] == '/')
        length = snprintf(path, CONSOLE_PATH_MAX, "%s%s", runtime, USER_PATH);
    if (length >= CONSOLE_PATH_MAX)
        path[0] = '\0';
}

bool console_socket_open(struct console_socket *made, const char *path, bool *in_use,
                         struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *made = (struct console_socket){.fd = -1};
    *in_use = false;
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(error, "the path of the control socket is too long: %s", path);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    /* Between looking whether somebody listens and binding nobody else may do the same.
     */
    int directory = socket_lock_directory(path, error);
    if (directory < 0)
        return false;
    bool opened =
        socket_take_path(&address, in_use, error) && socket_bind(made, &address, error);
    close(directory);
    return opened;
}

bool console_socket_adopt(struct console_socket *made, int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNSPEC};
    socklen_t length = sizeof(address);
    struct stat status;

    if (strlen(path) >= sizeof(address.sun_path) ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0 ||
        address.sun_family != AF_UNIX ||
        strncmp(address.sun_path, path, sizeof(address.sun_path)) != 0 ||
        lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return false;
    *made = (struct console_socket){
        .fd = fd, .device = status.st_dev, .inode = status.st_ino};
    (void)snprintf(made->path, sizeof(made->path), "%s", path);
    return true;
}

bool console_socket_is_ours(const struct console_socket *made)
{
    struct stat status;

    return made->fd >= 0 && lstat(made->path, &status) == 0 &&
           status.st_dev == made->device && status.st_ino == made->inode;
}

void console_socket_close(struct console_socket *made)
{
    if (made->fd < 0)
        return;
    if (console_socket_is_ours(made))
        (void)unlink(made->path);
    close(made->fd);
    made->fd = -1;
    made->path[0] = '\0';
}

/* Returns a descriptor that holds the lock until it is closed. */
static int socket_lock_directory(const char *path, struct error *error)
{
    char directory[CONSOLE_PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash)
        (void)snprintf(directory, sizeof(directory), "%.*s",
                       slash == path ? 1 : (int)(slash - path), path);
    else
        (void)snprintf(directory, sizeof(directory), ".");
    if (mkdir(directory, 0700) < 0 && errno != EEXIST) {
        (void)error_set_errno(error, errno, "cannot make the directory %s", directory);
        return -1;
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    int cause = errno;
    if (fd >= 0)
        close(fd);
    if (cause == EWOULDBLOCK)
        (void)error_set(error, "another process is just opening a control socket in %s",
                        directory);
    else
        (void)error_set_errno(error, cause, "cannot open the directory %s", directory);
    return -1;
}

/* Whatever stands at the path is taken away, unless somebody answers or it is no socket.
 */
static bool socket_take_path(const struct sockaddr_un *address, bool *in_use,
                             struct error *error)
{
    const char *path = address->sun_path;
    struct stat status;

    if (lstat(path, &status) < 0)
        return errno == ENOENT ||
               error_set_errno(error, errno, "cannot look at %s", path);
    if (!S_ISSOCK(status.st_mode))
        return error_set(error, "%s is there already and is no socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(error, errno, "cannot make a socket");
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
                   (errno == ECONNREFUSED || errno == ENOENT);
    close(fd);
    if (!refused) {
        *in_use = true;
        return error_set(error, "another Pawl listens on %s", path);
    }
    return unlink(path) == 0 || errno == ENOENT ||
           error_set_errno(error, errno, "cannot take over %s", path);
}

static bool socket_bind(struct console_socket *made, const struct sockaddr_un *address,
                        struct error *error)
{
    const char *path = address->sun_path;
    struct stat status;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return error_set_errno(error, errno, "cannot make a socket");
    /* The file never has another mode, not even for a moment. */
    mode_t before = umask(0177);
    int bound = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    int cause = errno;
    (void)umask(before);
    if (bound < 0 || lstat(path, &status) < 0 || listen(fd, BACKLOG) < 0) {
        cause = bound < 0 ? cause : errno;
        if (bound == 0)
            (void)unlink(path);
        close(fd);
        return error_set_errno(error, cause, "cannot listen on %s", path);
    }
    *made = (struct console_socket){
        .fd = fd, .device = status.st_dev, .inode = status.st_ino};
    (void)snprintf(made->path, sizeof(made->path), "%s", path);
    return true;
}
