#include "proxy/own_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct config *own_config_read(const char *file, struct error *error)
{
    struct report report = {0};
    struct config *config = NULL;
    FILE *stream = fopen(file, "re");
    char *text = malloc(CONFIG_TEXT_MAX + 1);
    size_t length = 0;

    if (stream && text)
        length = fread(text, 1, CONFIG_TEXT_MAX + 1, stream);
    if (!stream || !text || ferror(stream))
        (void)error_set_errno(error, errno, "cannot read \"%s\"", file);
    else if (length > CONFIG_TEXT_MAX)
        (void)error_set(error, "\"%s\" is too large", file);
    else if (!(config = config_read(text, length, file, &report)))
        (void)error_set(error, "out of memory");
    if (stream)
        (void)fclose(stream);
    free(text);
    report_close(&report);
    return config;
}
