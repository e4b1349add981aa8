#include "proxy/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/memory_file.h"

int stats_page_new(const char *title, size_t size, struct error *error)
{
    int fd = memory_file_new(title);

    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    (void)error_set_errno(error, errno, "cannot make a page for counters");
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The seals keep the page from being cut under a reader, who would die of it. */
void *stats_page_map(int fd, size_t size, bool writable, struct error *error)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &status) < 0 ||
        status.st_size != (off_t)size) {
        (void)error_set(error, "what came for counters is no page of them");
        return NULL;
    }
    void *page = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                      MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        return page;
    (void)error_set_errno(error, errno, "cannot map a page of counters");
    return NULL;
}

void stats_page_unmap(const void *page, size_t size)
{
    if (page)
        (void)munmap((void *)(uintptr_t)page, size);
}

int stats_page_read_only(int fd, struct error *error)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    if (reader < 0)
        (void)error_set_errno(error, errno, "cannot open a page of counters again");
    return reader;
}

void stats_worker_begin(struct stats_worker *stats)
{
    stats->generation = 0;
    stats->signatures.waiting = 0;
    memset(stats->sessions, 0, sizeof(stats->sessions));
    for (size_t i = 0; i < STATS_BACKENDS; i++)
        stats->backends[i].down = stats->backends[i].addresses =
            stats->backends[i].addresses_down = 0;
}

struct stats_backend *stats_backend_of(struct stats_worker *stats, const char *name)
{
    size_t last = STATS_BACKENDS - 1;

    for (size_t i = 0; i < last; i++) {
        struct stats_backend *backend = &stats->backends[i];
        if (backend->name[0] == '\0')
            (void)snprintf(backend->name, sizeof(backend->name), "%s", name);
        if (strcmp(backend->name, name) == 0)
            return backend;
    }
    return &stats->backends[last];
}

uint64_t stats_clock_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
