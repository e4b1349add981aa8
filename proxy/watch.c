#include "proxy/watch.h"

#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/log.h"

enum {
    QUIET_MS = 200,      /* without a further event, until a change counts */
    QUIET_MAX_MS = 2000, /* but not longer after the first */
    LOOK_MS = 60 * 1000, /* between looks for what inotify has missed */
    RETRY_MIN_MS = 1000, /* after something that does not fit */
    RETRY_MAX_MS = 900 * 1000,
    LINKS_MAX = 40, /* as the kernel has it */
    EVENTS_BYTES = 16 * 1024,
    MASK = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE |
           IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
};

struct watch {
    struct event_base *base; /* borrowed */
    void (*on_change)(void *argument);
    void *argument;
    struct file_list files; /* owned */
    uint64_t state;         /* of the files when they were last looked at */
    int fd;                 /* owned; inotify, or -1 */
    struct event *readable; /* owned; NULL without fd */
    struct event *quiet;    /* owned; runs out when events have ceased */
    struct event *look;     /* owned; the slow one */
    struct event *retry;    /* owned */
    uint64_t first_ms;      /* when the first event came that quiet waits for */
    uint64_t retry_ms;
    void *folders; /* owned tsearch tree of struct folder, by path */
    void *places;  /* owned tsearch tree of struct place */
    bool warned;   /* that inotify has reached a limit */
};

/* A directory that inotify watches. */
struct folder {
    int wd; /* -1: it could not be */
    char path[];
};

/* A name in a directory that matters; "": every name does. */
struct place {
    int wd;
    char name[];
};

/* A path on its way to what it means. */
struct walk {
    char folder[PATH_MAX]; /* resolved so far: no links in it */
    char rest[2 * PATH_MAX];
    unsigned links;
};

static void watch_on_readable(evutil_socket_t fd, short what, void *argument);
static void watch_on_quiet(evutil_socket_t fd, short what, void *argument);
static void watch_on_look(evutil_socket_t fd, short what, void *argument);
static void watch_on_retry(evutil_socket_t fd, short what, void *argument);
static void watch_look(struct watch *watch);
static void watch_arm(struct event *timer, uint64_t ms);
static void watch_open_inotify(struct watch *watch);
static void watch_close_inotify(struct watch *watch);
static void watch_add_path(struct watch *watch, const char *path);
static bool walk_step(struct watch *watch, struct walk *walk);
static bool walk_enter(struct walk *walk, const char *name);
static bool walk_follow_link(struct walk *walk, const char *link);
static void watch_add_place(struct watch *watch, const char *folder, const char *name);
static int watch_add_folder(struct watch *watch, const char *path);
static bool watch_matters(const struct watch *watch, const struct inotify_event *event);
static int folder_compare(const void *a, const void *b);
static int place_compare(const void *a, const void *b);
static uint64_t now_ms(void);

struct watch *watch_new(struct event_base *base, void (*on_change)(void *argument),
                        void *argument, struct error *error)
{
    struct watch *watch = calloc(1, sizeof(*watch));

    if (watch) {
        *watch = (struct watch){.base = base,
                                .on_change = on_change,
                                .argument = argument,
                                .fd = -1,
                                .retry_ms = RETRY_MIN_MS};
        watch->quiet = evtimer_new(base, watch_on_quiet, watch);
        watch->look = evtimer_new(base, watch_on_look, watch);
        watch->retry = evtimer_new(base, watch_on_retry, watch);
    }
    if (watch && watch->quiet && watch->look && watch->retry)
        return watch;
    watch_free(watch);
    (void)error_set(error, "out of memory");
    return NULL;
}

void watch_follow(struct watch *watch, struct file_list *files, uint64_t state, bool fits)
{
    file_list_close(&watch->files);
    watch->files = *files;
    *files = (struct file_list){0};
    watch->state = state;
    event_del(watch->retry);
    event_del(watch->look);
    watch_close_inotify(watch);
    if (watch->files.count == 0)
        return;
    watch_open_inotify(watch);
    watch_arm(watch->look, LOOK_MS);
    if (file_list_state(&watch->files) != state)
        watch_arm(watch->quiet, QUIET_MS);
    if (fits) {
        watch->retry_ms = RETRY_MIN_MS;
        return;
    }
    watch_arm(watch->retry, watch->retry_ms);
    watch->retry_ms =
        watch->retry_ms * 2 < RETRY_MAX_MS ? watch->retry_ms * 2 : RETRY_MAX_MS;
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    watch_close_inotify(watch);
    file_list_close(&watch->files);
    if (watch->quiet)
        event_free(watch->quiet);
    if (watch->look)
        event_free(watch->look);
    if (watch->retry)
        event_free(watch->retry);
    free(watch);
}

static void watch_on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct watch *watch = argument;
    _Alignas(struct inotify_event) char events[EVENTS_BYTES];
    bool matters = false;
    ssize_t got;

    (void)what;
    while ((got = read(fd, events, sizeof(events))) > 0) {
        for (const char *at = events; at < events + got;) {
            const struct inotify_event *event = (const void *)at;
            matters = matters || watch_matters(watch, event);
            at += sizeof(*event) + event->len;
        }
    }
    if (!matters)
        return;
    if (!evtimer_pending(watch->quiet, NULL))
        watch->first_ms = now_ms();
    if (now_ms() - watch->first_ms < QUIET_MAX_MS)
        watch_arm(watch->quiet, QUIET_MS);
}

static void watch_on_quiet(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    watch_look(argument);
}

static void watch_on_look(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    watch_look(argument);
}

static void watch_on_retry(evutil_socket_t fd, short what, void *argument)
{
    struct watch *watch = argument;

    (void)fd;
    (void)what;
    watch->on_change(watch->argument);
}

/* Directories may be others now.  They are watched before the files are looked at, so
 * that no change falls in between. */
static void watch_look(struct watch *watch)
{
    watch_close_inotify(watch);
    watch_open_inotify(watch);
    watch_arm(watch->look, LOOK_MS);
    uint64_t state = file_list_state(&watch->files);
    if (state == watch->state)
        return;
    watch->state = state;
    watch->retry_ms = RETRY_MIN_MS;
    watch->on_change(watch->argument);
}

static void watch_arm(struct event *timer, uint64_t ms)
{
    const struct timeval delay = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    (void)evtimer_add(timer, &delay);
}

static void watch_open_inotify(struct watch *watch)
{
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd >= 0)
        watch->readable = event_new(watch->base, watch->fd, EV_READ | EV_PERSIST,
                                    watch_on_readable, watch);
    if (watch->readable && event_add(watch->readable, NULL) == 0) {
        for (size_t i = 0; i < watch->files.count; i++)
            watch_add_path(watch, watch->files.paths[i]);
        return;
    }
    if (!watch->warned)
        log_warning("changed certificates are noticed only once a minute: cannot start "
                    "inotify: %s",
                    strerror(errno));
    watch->warned = true;
}

static void watch_close_inotify(struct watch *watch)
{
    if (watch->readable)
        event_free(watch->readable);
    if (watch->fd >= 0)
        close(watch->fd);
    watch->readable = NULL;
    watch->fd = -1;
    tdestroy(watch->places, free);
    tdestroy(watch->folders, free);
    watch->places = watch->folders = NULL;
}

static void watch_add_path(struct watch *watch, const char *path)
{
    struct walk walk = {.folder = "/"};
    struct stat status;

    if (path[0] != '/' && !getcwd(walk.folder, sizeof(walk.folder)))
        return;
    if (snprintf(walk.rest, sizeof(walk.rest), "%s", path) >= (int)sizeof(walk.rest))
        return;
    while (walk_step(watch, &walk))
        continue;
    /* What is left is a directory that the path leads to: all its entries matter. */
    if (walk.rest[0] == '\0' && lstat(walk.folder, &status) == 0 &&
        S_ISDIR(status.st_mode))
        watch_add_place(watch, walk.folder, "");
}

/* Takes one component of the path; false: there is no further one, or no way. */
static bool walk_step(struct watch *watch, struct walk *walk)
{
    char name[NAME_MAX + 1];
    char link[PATH_MAX];
    const char *from = walk->rest + strspn(walk->rest, "/");
    const size_t length = strcspn(from, "/");
    size_t folder_length = strlen(walk->folder);

    if (length == 0 || length > NAME_MAX) {
        walk->rest[0] = '\0';
        return false;
    }
    memcpy(name, from, length);
    name[length] = '\0';
    memmove(walk->rest, from + length, strlen(from + length) + 1);
    watch_add_place(watch, walk->folder, name);
    if (!walk_enter(walk, name))
        return false;
    ssize_t size = readlink(walk->folder, link, sizeof(link) - 1);
    if (size < 0)
        return true;
    link[size] = '\0';
    walk->folder[folder_length] = '\0';
    return walk_follow_link(walk, link);
}

static bool walk_enter(struct walk *walk, const char *name)
{
    size_t length = strlen(walk->folder);

    if (strcmp(name, ".") == 0)
        return true;
    if (strcmp(name, "..") == 0) {
        char *slash = strrchr(walk->folder, '/');
        slash[slash == walk->folder ? 1 : 0] = '\0';
        return true;
    }
    if (length + strlen(name) + 2 > sizeof(walk->folder))
        return false;
    (void)snprintf(walk->folder + length, sizeof(walk->folder) - length, "%s%s",
                   length > 1 ? "/" : "", name);
    return true;
}

static bool walk_follow_link(struct walk *walk, const char *link)
{
    char rest[sizeof(walk->rest)];

    if (++walk->links > LINKS_MAX)
        return false;
    if (link[0] == '/')
        (void)snprintf(walk->folder, sizeof(walk->folder), "/");
    if (snprintf(rest, sizeof(rest), "%s/%s", link, walk->rest) >= (int)sizeof(rest))
        return false;
    memcpy(walk->rest, rest, strlen(rest) + 1);
    return true;
}

static void watch_add_place(struct watch *watch, const char *folder, const char *name)
{
    struct place *place = calloc(1, sizeof(*place) + strlen(name) + 1);

    if (!place)
        return; /* the slow look remains */
    place->wd = watch_add_folder(watch, folder);
    memcpy(place->name, name, strlen(name) + 1);
    struct place *const *node =
        place->wd < 0 ? NULL : tsearch(place, &watch->places, place_compare);
    if (!node || *node != place)
        free(place);
}

static int watch_add_folder(struct watch *watch, const char *path)
{
    struct folder *folder = calloc(1, sizeof(*folder) + strlen(path) + 1);

    if (!folder)
        return -1;
    memcpy(folder->path, path, strlen(path) + 1);
    struct folder *const *node = tsearch(folder, &watch->folders, folder_compare);
    if (!node || *node != folder) {
        free(folder);
        return node ? (*node)->wd : -1;
    }
    folder->wd = inotify_add_watch(watch->fd, path, MASK);
    if (folder->wd < 0 && errno == ENOSPC && !watch->warned) {
        watch->warned = true;
        log_warning("changes of certificates below \"%s\" are noticed only once a "
                    "minute: fs.inotify.max_user_watches is too low",
                    path);
    }
    return folder->wd;
}

static bool watch_matters(const struct watch *watch, const struct inotify_event *event)
{
    union {
        struct place place;
        char bytes[sizeof(struct place) + NAME_MAX + 1];
    } wanted = {.place = {.wd = event->wd}};

    if (event->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
        return true;
    if (tfind(&wanted.place, &watch->places, place_compare))
        return true;
    if (event->len == 0)
        return false;
    (void)snprintf(wanted.bytes + offsetof(struct place, name), NAME_MAX + 1, "%s",
                   event->name);
    return tfind(&wanted.place, &watch->places, place_compare) != NULL;
}

static int folder_compare(const void *a, const void *b)
{
    return strcmp(((const struct folder *)a)->path, ((const struct folder *)b)->path);
}

static int place_compare(const void *a, const void *b)
{
    const struct place *left = a;
    const struct place *right = b;

    if (left->wd != right->wd)
        return left->wd < right->wd ? -1 : 1;
    return strcmp(left->name, right->name);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
