#include "proxy/console_request.h"

#include <string.h>

static const char *const VERBS[CONSOLE_VERBS] = {
    [CONSOLE_STATUS] = "status",   [CONSOLE_SESSIONS] = "sessions",
    [CONSOLE_RELOAD] = "reload",   [CONSOLE_STOP] = "stop",
    [CONSOLE_UPGRADE] = "upgrade", [CONSOLE_LOG] = "log",
    [CONSOLE_PROVE] = "prove",
};

static bool request_split(struct console_request *request, const char **verb,
                          struct error *error);

bool console_request_read(struct console_request *request, const char *line,
                          size_t length, struct error *error)
{
    const char *verb = NULL;

    *request = (struct console_request){.count = 0};
    if (length >= sizeof(request->text))
        return error_set(error, "a request is at most %d bytes long",
                         CONSOLE_REQUEST_MAX);
    if (length > 0 && line[length - 1] == '\r')
        length--;
    for (size_t i = 0; i < length; i++) {
        if (line[i] < ' ' || line[i] > '~')
            return error_set(error, "a request is printable ASCII");
    }
    memcpy(request->text, line, length);
    if (!request_split(request, &verb, error))
        return false;
    for (size_t i = 0; i < CONSOLE_VERBS; i++) {
        request->verb = (enum console_verb)i;
        if (strcmp(verb, VERBS[i]) == 0)
            return true;
    }
    return error_set(error,
                     "there is no request \"%.32s\"; there are status, sessions, reload, "
                     "stop, upgrade, log and prove",
                     verb);
}

bool console_request_take(struct console_request *request, const char *word)
{
    for (size_t i = 0; i < request->count; i++) {
        if (strcmp(request->words[i], word) != 0)
            continue;
        request->count--;
        memmove(&request->words[i], &request->words[i + 1],
                (request->count - i) * sizeof(request->words[0]));
        return true;
    }
    return false;
}

bool console_request_is_done(const struct console_request *request, struct error *error)
{
    return request->count == 0 || error_set(error, "\"%s\" does not understand \"%.64s\"",
                                            VERBS[request->verb], request->words[0]);
}

static bool request_split(struct console_request *request, const char **verb,
                          struct error *error)
{
    char *rest = NULL;

    *verb = strtok_r(request->text, " ", &rest);
    if (!*verb)
        return error_set(error, "the request is empty");
    for (;;) {
        const char *word = strtok_r(NULL, " ", &rest);
        if (!word)
            return true;
        if (request->count == CONSOLE_WORDS_MAX)
            return error_set(error, "a request has at most %d words behind its verb",
                             CONSOLE_WORDS_MAX);
        request->words[request->count++] = word;
    }
}
