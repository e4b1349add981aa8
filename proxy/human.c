#include "proxy/human.h"

#include <inttypes.h>

enum { SECOND_MS = 1000, MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

const char *human_duration(uint64_t ms, char text[HUMAN_TEXT_MAX])
{
    uint64_t seconds = ms / SECOND_MS;

    if (ms < SECOND_MS)
        (void)snprintf(text, HUMAN_TEXT_MAX, "%" PRIu64 "ms", ms);
    else if (seconds < MINUTE)
        (void)snprintf(text, HUMAN_TEXT_MAX, "%" PRIu64 "s", seconds);
    else if (seconds < HOUR)
        (void)snprintf(text, HUMAN_TEXT_MAX, "%" PRIu64 "m%02" PRIu64 "s",
                       seconds / MINUTE, seconds % MINUTE);
    else if (seconds < DAY)
        (void)snprintf(text, HUMAN_TEXT_MAX, "%" PRIu64 "h%02" PRIu64 "m", seconds / HOUR,
                       seconds % HOUR / MINUTE);
    else
        (void)snprintf(text, HUMAN_TEXT_MAX, "%" PRIu64 "d%" PRIu64 "h", seconds / DAY,
                       seconds % DAY / HOUR);
    return text;
}

const char *human_bytes(uint64_t bytes, char text[HUMAN_TEXT_MAX])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, HUMAN_TEXT_MAX,
                   unit > 0 && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

void human_print(FILE *out, const char *bytes)
{
    for (const unsigned char *c = (const unsigned char *)bytes; *c; c++) {
        if (*c < ' ' || *c > '~' || *c == '\\')
            (void)fprintf(out, "\\x%02x", *c);
        else
            (void)fputc(*c, out);
    }
}
