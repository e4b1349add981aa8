#include "proxy/file_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t state_add(uint64_t state, uint64_t value);
static uint64_t state_add_file(uint64_t state, const char *path);

bool file_list_add(struct file_list *list, const char *path)
{
    /* The array is full whenever its count is a power of two. */
    if ((list->count & (list->count - 1)) == 0) {
        char **larger =
            reallocarray(list->paths, list->count ? list->count * 2 : 1, sizeof(*larger));
        if (!larger)
            return false;
        list->paths = larger;
    }
    char *copy = strdup(path);
    if (!copy)
        return false;
    list->paths[list->count++] = copy;
    return true;
}

uint64_t file_list_state(const struct file_list *list)
{
    uint64_t state = 0;

    for (size_t i = 0; i < list->count; i++)
        state = state_add_file(state, list->paths[i]);
    return state;
}

void file_list_close(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (struct file_list){0};
}

/* The finalizer of MurmurHash3: every bit of either counts for every bit of the result.
 */
static uint64_t state_add(uint64_t state, uint64_t value)
{
    state = (state + 0x9e3779b97f4a7c15u) ^ value;
    state = (state ^ (state >> 33)) * 0xff51afd7ed558ccdu;
    state = (state ^ (state >> 33)) * 0xc4ceb9fe1a85ec53u;
    return state ^ (state >> 33);
}

static uint64_t state_add_file(uint64_t state, const char *path)
{
    struct stat status;

    if (stat(path, &status) < 0)
        return state_add(state, (uint64_t)errno);
    state = state_add(state, (uint64_t)status.st_dev);
    state = state_add(state, (uint64_t)status.st_ino);
    state = state_add(state, (uint64_t)status.st_size);
    state = state_add(state, (uint64_t)status.st_mode);
    state = state_add(state, (uint64_t)status.st_mtim.tv_sec);
    state = state_add(state, (uint64_t)status.st_mtim.tv_nsec);
    state = state_add(state, (uint64_t)status.st_ctim.tv_sec);
    return state_add(state, (uint64_t)status.st_ctim.tv_nsec);
}
