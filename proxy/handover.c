#include "proxy/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/memory_file.h"

enum { SINGLE_FDS = 4, FIRST_FD = 3 };

/* A line while it is read. */
struct line {
    char *rest;
    bool ok; /* everything so far was there and within its limits */
};

static void handover_print(const struct handover *handover, FILE *out);
static char *handover_load(int fd, struct error *error);
static bool handover_parse(struct handover *handover, char *text, struct error *error);
static bool handover_read_line(struct handover *handover, struct line *line, bool *end);
static void handover_read_process(struct handover *handover, struct line *line,
                                  bool departing);
static void handover_read_fd(struct handover *handover, struct line *line,
                             enum handover_use use);
static bool handover_check_fds(const struct handover *handover, struct error *error);
static size_t handover_list_fds(const struct handover *handover, int *list);
static void line_text(struct line *line, char *text, size_t size, bool whole);
static uint64_t line_number(struct line *line, uint64_t most);
static int line_fd(struct line *line);
static int fd_compare(const void *a, const void *b);

static const char *const USE_WORDS[] = {
    [HANDOVER_SOCKET] = "socket",
    [HANDOVER_INHERITED] = "inherited",
    [HANDOVER_KEPT] = "kept",
};

void handover_init(struct handover *handover)
{
    *handover = (struct handover){
        .way_back_fd = -1, .bundle_fd = -1, .keys_fd = -1, .ring_fd = -1};
}

/* `list` with room for one item more; its room is the next power of two. */
static void *handover_grow(void *list, size_t count, size_t item)
{
    if (count >= HANDOVER_ITEMS_MAX)
        return NULL;
    if ((count & (count - 1)) != 0)
        return list;
    return reallocarray(list, count == 0 ? 1 : 2 * count, item);
}

bool handover_add_process(struct handover *handover,
                          const struct handover_process *process)
{
    struct handover_process *list =
        handover_grow(handover->processes, handover->process_count, sizeof(*list));

    if (!list)
        return false;
    handover->processes = list;
    list[handover->process_count++] = *process;
    return true;
}

bool handover_add_fd(struct handover *handover, enum handover_use use, int fd,
                     const char *name)
{
    size_t count = handover->fd_count;
    struct handover_fd *list = handover_grow(handover->fds, count, sizeof(*list));

    if (!list)
        return false;
    handover->fds = list;
    list[count] = (struct handover_fd){.use = use, .fd = fd};
    (void)snprintf(list[count].name, sizeof(list[count].name), "%s", name);
    handover->fd_count++;
    return true;
}

int handover_write(const struct handover *handover, struct error *error)
{
    int fd = memory_file_new("pawl hand-over");
    int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");

    if (out) {
        handover_print(handover, out);
        bool failed = ferror(out) != 0;
        if (fclose(out) == 0 && !failed &&
            fcntl(fd, F_ADD_SEALS,
                  F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
            return fd;
    } else if (copy >= 0) {
        close(copy);
    }
    (void)error_set_errno(error, errno, "cannot write down what is handed over");
    if (fd >= 0)
        close(fd);
    return -1;
}

bool handover_read(int fd, struct handover *handover, struct error *error)
{
    handover_init(handover);
    char *text = handover_load(fd, error);
    bool ok = text && handover_parse(handover, text, error) &&
              handover_check_fds(handover, error);

    free(text);
    if (ok)
        handover_keep_open(handover, false);
    else
        handover_close(handover);
    return ok;
}

void handover_keep_open(const struct handover *handover, bool open)
{
    size_t most = SINGLE_FDS + 2 * handover->process_count + handover->fd_count;
    int *list = calloc(most, sizeof(*list));
    size_t count = list ? handover_list_fds(handover, list) : 0;

    for (size_t i = 0; i < count; i++)
        (void)fcntl(list[i], F_SETFD, open ? 0 : FD_CLOEXEC);
    free(list);
}

void handover_close(struct handover *handover)
{
    free(handover->processes);
    free(handover->fds);
    handover_init(handover);
}

void handover_close_all(struct handover *handover)
{
    size_t most = SINGLE_FDS + 2 * handover->process_count + handover->fd_count;
    int *list = calloc(most, sizeof(*list));
    size_t count = list ? handover_list_fds(handover, list) : 0;

    for (size_t i = 0; i < count; i++)
        close(list[i]);
    free(list);
    handover_close(handover);
}

static void handover_print(const struct handover *handover, FILE *out)
{
    fprintf(out, "pawl-handover %d\nmaster %ld\nbinary %s\nway-back %d\n",
            HANDOVER_FORMAT, (long)handover->master, handover->binary,
            handover->way_back_fd);
    fprintf(out, "generation %" PRIu32 " %d %d %u %" PRIu64 "\ncounters %u\n",
            handover->generation, handover->bundle_fd, handover->keys_fd,
            handover->workers, handover->drain_ms, handover->counters);
    fprintf(out, "tickets %d %" PRIu64 "\n", handover->ring_fd, handover->window_ms);
    for (size_t i = 0; i < handover->process_count; i++) {
        const struct handover_process *process = &handover->processes[i];
        if (process->pid <= 0)
            continue;
        if (process->until_ms > 0)
            fprintf(out, "departing %s %u %ld %" PRIu64 "\n", process->role,
                    process->index, (long)process->pid, process->until_ms);
        else
            fprintf(out, "process %s %u %ld %d %d %" PRIu32 "\n", process->role,
                    process->index, (long)process->pid, process->control_fd,
                    process->stats_fd, process->generation);
    }
    for (size_t i = 0; i < handover->fd_count; i++)
        fprintf(out, "%s %d %s\n", USE_WORDS[handover->fds[i].use], handover->fds[i].fd,
                handover->fds[i].name);
    if (handover->failed[0] != '\0')
        fprintf(out, "failed %s\n", handover->failed);
    fputs("end\n", out);
}

/* Without the seals it is not what handover_write made. */
static char *handover_load(int fd, struct error *error)
{
    const int wanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat status;

    if (fd < FIRST_FD || seals < 0 || (seals & wanted) != wanted ||
        fstat(fd, &status) < 0 || status.st_size <= 0 ||
        status.st_size > HANDOVER_BYTES_MAX) {
        (void)error_set(error, "descriptor %d holds nothing that was handed over", fd);
        return NULL;
    }
    size_t size = (size_t)status.st_size;
    char *text = calloc(1, size + 1);
    if (text && pread(fd, text, size, 0) == (ssize_t)size && strlen(text) == size)
        return text;
    free(text);
    (void)error_set(error, "what was handed over cannot be read");
    return NULL;
}

static bool handover_parse(struct handover *handover, char *text, struct error *error)
{
    unsigned number = 0;
    bool end = false;

    while (!end) {
        char *next = strchr(text, '\n');
        if (!next)
            return error_set(error, "what was handed over has no end");
        *next = '\0';
        struct line line = {.rest = text, .ok = true};
        number++;
        if (number == 1 && strcmp(text, "pawl-handover 1") != 0)
            return error_set(error, "what was handed over is in another format");
        if (number > 1 && (!handover_read_line(handover, &line, &end) || !line.ok))
            return error_set(error, "line %u of what was handed over is wrong", number);
        text = next + 1;
    }
    if (handover->master != getpid())
        return error_set(error, "what was handed over is meant for another process");
    if (handover->binary[0] != '/' || handover->way_back_fd < 0 ||
        handover->bundle_fd < 0 || handover->keys_fd < 0)
        return error_set(error, "what was handed over is not complete");
    return true;
}

/* False without memory. */
static bool handover_read_line(struct handover *handover, struct line *line, bool *end)
{
    char word[HANDOVER_ROLE_MAX];

    line_text(line, word, sizeof(word), false);
    if (strcmp(word, "master") == 0) {
        handover->master = (pid_t)line_number(line, INT_MAX);
    } else if (strcmp(word, "binary") == 0) {
        line_text(line, handover->binary, sizeof(handover->binary), true);
    } else if (strcmp(word, "way-back") == 0) {
        handover->way_back_fd = line_fd(line);
    } else if (strcmp(word, "generation") == 0) {
        handover->generation = (uint32_t)line_number(line, UINT32_MAX);
        handover->bundle_fd = line_fd(line);
        handover->keys_fd = line_fd(line);
        handover->workers = (unsigned)line_number(line, HANDOVER_ITEMS_MAX);
        line->ok = line->ok && handover->workers > 0;
        handover->drain_ms = line_number(line, UINT32_MAX);
    } else if (strcmp(word, "counters") == 0) {
        handover->counters = (unsigned)line_number(line, UINT_MAX);
    } else if (strcmp(word, "tickets") == 0) {
        handover->ring_fd = line_fd(line);
        handover->window_ms = line_number(line, UINT32_MAX);
    } else if (strcmp(word, "process") == 0) {
        handover_read_process(handover, line, false);
    } else if (strcmp(word, "departing") == 0) {
        handover_read_process(handover, line, true);
    } else if (strcmp(word, "failed") == 0) {
        line_text(line, handover->failed, sizeof(handover->failed), true);
    } else if (strcmp(word, "end") == 0) {
        *end = true;
    }
    for (size_t use = 0; use < sizeof(USE_WORDS) / sizeof(USE_WORDS[0]); use++) {
        if (strcmp(word, USE_WORDS[use]) == 0)
            handover_read_fd(handover, line, (enum handover_use)use);
    }
    return line->ok;
}

static void handover_read_process(struct handover *handover, struct line *line,
                                  bool departing)
{
    struct handover_process process = {.control_fd = -1, .stats_fd = -1};

    line_text(line, process.role, sizeof(process.role), false);
    process.index = (unsigned)line_number(line, HANDOVER_ITEMS_MAX);
    process.pid = (pid_t)line_number(line, INT_MAX);
    if (departing) {
        process.until_ms = line_number(line, UINT64_MAX);
        line->ok = line->ok && process.until_ms > 0;
    } else {
        process.control_fd = line_fd(line);
        process.stats_fd = line_fd(line);
        process.generation = (uint32_t)line_number(line, UINT32_MAX);
        line->ok = line->ok && process.control_fd >= 0;
    }
    line->ok = line->ok && process.pid > 1 && handover_add_process(handover, &process);
}

static void handover_read_fd(struct handover *handover, struct line *line,
                             enum handover_use use)
{
    char name[HANDOVER_NAME_MAX];
    int fd = line_fd(line);

    line_text(line, name, sizeof(name), true);
    line->ok = line->ok && fd >= 0 && handover_add_fd(handover, use, fd, name);
}

static bool handover_check_fds(const struct handover *handover, struct error *error)
{
    size_t most = SINGLE_FDS + 2 * handover->process_count + handover->fd_count;
    int *list = calloc(most, sizeof(*list));

    if (!list)
        return error_set(error, "out of memory");
    size_t count = handover_list_fds(handover, list);
    qsort(list, count, sizeof(*list), fd_compare);
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++)
        ok = (i == 0 || list[i] != list[i - 1]) && fcntl(list[i], F_GETFD) >= 0;
    free(list);
    return ok || error_set(error, "a descriptor that was handed over is not open, or was "
                                  "handed over twice");
}

/* Those there are; `list` holds them all. */
static size_t handover_list_fds(const struct handover *handover, int *list)
{
    const int single[SINGLE_FDS] = {handover->way_back_fd, handover->bundle_fd,
                                    handover->keys_fd, handover->ring_fd};
    size_t count = 0;

    for (size_t i = 0; i < SINGLE_FDS; i++) {
        if (single[i] >= 0)
            list[count++] = single[i];
    }
    for (size_t i = 0; i < handover->process_count; i++) {
        if (handover->processes[i].control_fd >= 0)
            list[count++] = handover->processes[i].control_fd;
        if (handover->processes[i].stats_fd >= 0)
            list[count++] = handover->processes[i].stats_fd;
    }
    for (size_t i = 0; i < handover->fd_count; i++) {
        if (handover->fds[i].fd >= 0)
            list[count++] = handover->fds[i].fd;
    }
    return count;
}

/* The next word, or the whole rest; must not be empty. */
static void line_text(struct line *line, char *text, size_t size, bool whole)
{
    size_t length = whole ? strlen(line->rest) : strcspn(line->rest, " ");

    text[0] = '\0';
    if (length == 0 || length >= size) {
        line->ok = false;
        return;
    }
    memcpy(text, line->rest, length);
    text[length] = '\0';
    line->rest += length + (line->rest[length] == ' ');
}

static uint64_t line_number(struct line *line, uint64_t most)
{
    char digits[24];
    char *end = NULL;

    line_text(line, digits, sizeof(digits), false);
    if (!line->ok || digits[0] < '0' || digits[0] > '9') {
        line->ok = false;
        return 0;
    }
    errno = 0;
    uint64_t number = strtoull(digits, &end, 10);
    if (errno != 0 || *end != '\0' || number > most)
        line->ok = false;
    return line->ok ? number : 0;
}

static int line_fd(struct line *line)
{
    if (strncmp(line->rest, "-1", 2) == 0 &&
        (line->rest[2] == ' ' || line->rest[2] == '\0')) {
        line->rest += line->rest[2] == ' ' ? 3 : 2;
        return -1;
    }
    int fd = (int)line_number(line, INT_MAX);
    if (fd < FIRST_FD)
        line->ok = false;
    return line->ok ? fd : -1;
}

static int fd_compare(const void *a, const void *b)
{
    const int *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}
