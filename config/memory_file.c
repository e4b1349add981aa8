#include "config/memory_file.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { TITLE_MAX = 249 /* what memfd_create takes: NAME_MAX less "memfd:" */ };

/* Known to Linux 6.3 and newer, and to their headers. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int memory_file_new(const char *title)
{
    char name[TITLE_MAX + 1];
    const size_t length = strnlen(title, TITLE_MAX);
    memcpy(name, title, length);
    name[length] = '\0';
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    const int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
    if (fd >= 0 || errno != EINVAL) {
        return fd;
    }
    return memfd_create(name, flags);
}
