#include "proxy/prove_process.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_MAX = 8192, PATH_ROOM = 64, LINK_ROOM = 64, LINE_ROOM = 512 };

static bool is_unix_socket(pid_t pid, unsigned long inode, bool *known);

bool prove_process_read(pid_t pid, struct prove_process *process, struct error *error)
{
    char path[PATH_ROOM], text[STATUS_MAX];

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_errno(error, errno, "cannot read %s", path);
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    return prove_process_parse(text, process) ||
           error_set(error, "%s is not understood", path);
}

bool prove_process_parse(const char *text, struct prove_process *process)
{
    unsigned number = 0;
    bool uid = false;

    *process = (struct prove_process){.capabilities = UINT64_MAX};
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (sscanf(line, "NoNewPrivs: %u", &number) == 1)
            process->no_new_privs = number == 1;
        else if (sscanf(line, "Uid: %*u %u", &process->uid) == 1)
            uid = true;
        else if (sscanf(line, "Name: %31s", process->name) == 1 ||
                 sscanf(line, "Seccomp: %u", &process->seccomp) == 1 ||
                 sscanf(line, "CapEff: %" SCNx64, &process->capabilities) == 1)
            continue;
    }
    return uid && process->name[0] != '\0';
}

bool prove_process_count_sockets(pid_t pid, unsigned *descriptors, unsigned *sockets,
                                 unsigned *of_network, struct error *error)
{
    char path[PATH_ROOM], target[LINK_ROOM];
    const struct dirent *entry;
    bool known = true;

    *descriptors = *sockets = *of_network = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return error_set_errno(error, errno, "cannot look into %s", path);
    while ((entry = readdir(directory)) != NULL && known) {
        unsigned long inode = 0;
        ssize_t length =
            readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        ++*descriptors;
        if (sscanf(target, "socket:[%lu]", &inode) != 1)
            continue;
        ++*sockets;
        *of_network += !is_unix_socket(pid, inode, &known);
    }
    (void)closedir(directory);
    return known ||
           error_set(error, "cannot read the unix sockets of process %d", (int)pid);
}

/* Whether the process's own list of unix sockets has it. */
static bool is_unix_socket(pid_t pid, unsigned long inode, bool *known)
{
    char path[PATH_ROOM], line[LINE_ROOM];
    unsigned long listed;
    bool found = false;

    (void)snprintf(path, sizeof(path), "/proc/%d/net/unix", (int)pid);
    FILE *file = fopen(path, "re");
    *known = file != NULL;
    while (file && !found && fgets(line, sizeof(line), file))
        found =
            sscanf(line, "%*s %*s %*s %*s %*s %*s %lu", &listed) == 1 && listed == inode;
    if (file)
        (void)fclose(file);
    return found;
}
