#include "tests/unit/memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW_BYTES = 1 << 16, REGION_MAX = 64 << 20 };

void memory_letters(const uint8_t secret[MEMORY_SECRET_BYTES],
                    char letters[MEMORY_LETTERS])
{
    for (size_t i = 0; i < MEMORY_SECRET_BYTES; i++) {
        letters[2 * i] = (char)('a' + (secret[i] >> 4));
        letters[2 * i + 1] = (char)('a' + (secret[i] & 15));
    }
    letters[MEMORY_LETTERS - 1] = '\0';
}

static bool is_secret(const uint8_t *at, const char *letters, bool reversed)
{
    for (size_t i = 0; i < MEMORY_SECRET_BYTES; i++) {
        const unsigned byte = at[reversed ? MEMORY_SECRET_BYTES - 1 - i : i];
        if ('a' + (int)(byte >> 4) != letters[2 * i] ||
            'a' + (int)(byte & 15) != letters[2 * i + 1])
            return false;
    }
    return true;
}

static size_t count_in_window(const uint8_t *window, size_t size, const char *letters)
{
    size_t count = 0;
    for (size_t i = 0; i + MEMORY_SECRET_BYTES <= size; i++)
        count +=
            is_secret(window + i, letters, false) || is_secret(window + i, letters, true);
    return count;
}

static size_t count_in_region(int memory, unsigned long from, unsigned long to,
                              const char *letters)
{
    static uint8_t window[WINDOW_BYTES];
    size_t count = 0;

    /* Windows overlap, so that no secret falls between two. */
    for (; from + MEMORY_SECRET_BYTES <= to; from += WINDOW_BYTES - MEMORY_SECRET_BYTES) {
        const size_t left = to - from;
        memset(window, 0, sizeof window);
        const ssize_t got = pread(
            memory, window, left < sizeof window ? left : sizeof window, (off_t)from);
        count += got > 0 ? count_in_window(window, (size_t)got, letters) : 0;
    }
    memset(window, 0, sizeof window);
    return count;
}

size_t memory_count(const char *letters)
{
    char line[512];
    size_t count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

    if (!maps || memory < 0)
        abort();
    while (fgets(line, sizeof line, maps)) {
        unsigned long from = 0, to = 0;
        char readable = '-';
        if (sscanf(line, "%lx-%lx %c", &from, &to, &readable) == 3 && readable == 'r' &&
            to - from <= REGION_MAX)
            count += count_in_region(memory, from, to, letters);
    }
    (void)fclose(maps);
    (void)close(memory);
    return count;
}
