#include "proxy/cli_console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/cli.h"
#include "proxy/console_call.h"
#include "proxy/console_request.h"

/* A worker may take so long to prepare, twice: once for what it is served without. */
enum { RELOAD_PATIENCE_S = 120, STOP_PATIENCE_S = 30 };

/* An option of one command and the word that it is in the request. */
struct word {
    const char *option;
    const char *word; /* NULL: the value that follows it */
};

static int console_run(const char *name, struct console_call *call, int count,
                       char **arguments, const struct word *words);
static bool request_add(char *request, const char *word);

int cli_status(int count, char **arguments)
{
    static const struct word words[] = {{"--json", "json"}, {NULL, NULL}};
    static const struct word words_color[] = {
        {"--json", "json"}, {"", "color"}, {NULL, NULL}};
    struct console_call call = {.control = NULL};
    bool color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

    return console_run("status", &call, count, arguments, color ? words_color : words);
}

int cli_sessions(int count, char **arguments)
{
    static const struct word words[] = {
        {"--json", "json"}, {"--limit", NULL}, {NULL, NULL}};
    struct console_call call = {.control = NULL};

    return console_run("sessions", &call, count, arguments, words);
}

int cli_reload(int count, char **arguments)
{
    static const struct word words[] = {{NULL, NULL}};
    struct console_call call = {.patience_s = RELOAD_PATIENCE_S};

    return console_run("reload", &call, count, arguments, words);
}

int cli_stop(int count, char **arguments)
{
    static const struct word words[] = {
        {"--now", "now"}, {"--no-wait", "nowait"}, {NULL, NULL}};
    struct console_call call = {.patience_s = STOP_PATIENCE_S, .until_exit = true};

    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--no-wait") == 0)
            call.until_exit = false;
    }
    return console_run("stop", &call, count, arguments, words);
}

int cli_upgrade(int count, char **arguments)
{
    static const struct word words[] = {{NULL, NULL}};
    struct console_call call = {.patience_s = RELOAD_PATIENCE_S};

    return console_run("upgrade", &call, count, arguments, words);
}

int cli_log(int count, char **arguments)
{
    static const struct word words[] = {{"error", "error"},
                                        {"warning", "warning"},
                                        {"info", "info"},
                                        {"debug", "debug"},
                                        {NULL, NULL}};
    struct console_call call = {.control = NULL};

    if (count == 0)
        return cli_usage("log", "needs a level, as in", "pawl log debug");
    return console_run("log", &call, count, arguments, words);
}

/* Reads the arguments, asks, and says what went wrong.  An option of "" is always in. */
static int console_run(const char *name, struct console_call *call, int count,
                       char **arguments, const struct word *words)
{
    char request[CONSOLE_REQUEST_MAX];
    struct error error;

    (void)snprintf(request, sizeof(request), "%s", name);
    for (const struct word *word = words; word->option; word++) {
        if (word->option[0] == '\0' && !request_add(request, word->word))
            return EXIT_USAGE;
    }
    for (int i = 0; i < count; i++) {
        const char *argument = arguments[i];
        const struct word *word = words;
        if (cli_take_value(count, arguments, &i, "-c", &call->file) ||
            cli_take_value(count, arguments, &i, "--control", &call->control))
            continue;
        while (word->option && strcmp(word->option, argument) != 0)
            word++;
        if (!word->option)
            return cli_usage(name, "does not understand", argument);
        const char *value = word->word;
        if (!value && !cli_take_value(count, arguments, &i, argument, &value))
            return cli_usage(name, "needs a value after", argument);
        if (!request_add(request, value))
            return cli_usage(name, "does not understand", value);
    }
    int code = console_ask(call, request, &error);
    if (code >= 0)
        return code;
    (void)fprintf(stderr, "pawl %s: %s\nTry: pawl help %s\n", name, error.text, name);
    return EXIT_FAILED;
}

static bool request_add(char *request, const char *word)
{
    size_t length = strlen(request);
    size_t more = strlen(word);

    if (more == 0 || strpbrk(word, " \r\n") || length + more + 3 > CONSOLE_REQUEST_MAX)
        return false;
    (void)snprintf(request + length, CONSOLE_REQUEST_MAX - length, " %s", word);
    return true;
}
