/*
 * The files and directories that a generation was captured from, and what they looked
 * like just before: enough to tell, without reading them, whether any has changed since.
 */
#ifndef PROXY_FILE_LIST_H
#define PROXY_FILE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise, then file_list_close. */
struct file_list {
    char **paths; /* owned */
    size_t count;
};

/* Adds a copy of `path`; false only without memory. */
bool file_list_add(struct file_list *list, const char *path);

/* A hash of what stat says about each path, be it that there is nothing: device, inode,
 * size, mode and times.  A directory changes when entries come and go. */
uint64_t file_list_state(const struct file_list *list);

void file_list_close(struct file_list *list);

#endif
