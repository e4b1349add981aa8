#include "proxy/cli.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "certs/tls_policy.h"
#include "config/keys.h"
#include "proxy/check.h"
#include "proxy/cli_console.h"
#include "proxy/dev.h"
#include "proxy/master.h"
#include "proxy/prove.h"
#include "proxy/stats_table.h"

struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    const char *help;
    int (*run)(int count, char **arguments); /* of what follows the command's name */
};

static int cli_run_proxy(int count, char **arguments);
static int cli_check(int count, char **arguments);
static int cli_dev(int count, char **arguments);
static int cli_demo(int count, char **arguments);
static int cli_prove(int count, char **arguments);
static int cli_keys(int count, char **arguments);
static int cli_metrics(int count, char **arguments);
static int cli_version(int count, char **arguments);
static int cli_help(int count, char **arguments);
static const struct command *cli_find(const char *name);
static void cli_print_overview(FILE *out);

#define CONTROL_HELP                                                                     \
    "  -c FILE          the configuration that says where its control socket is "        \
    "(default\n"                                                                         \
    "                   " CLI_DEFAULT_FILE ", if it can be read)\n"                      \
    "  --control PATH   the socket itself\n"

static const struct command COMMANDS[] = {
    {"run", "[-c FILE] [--trial]", "serve, in the foreground, until told to end",
     "Reads FILE (default " CLI_DEFAULT_FILE ") and serves it.  Logs to standard error,\n"
     "or where [log] says.\n"
     "Signals: TERM (or QUIT) finishes the sessions and ends, INT ends at once, HUP "
     "reads\n"
     "FILE again (a file with errors changes nothing), USR2 puts the binary that is now "
     "at\n"
     "the path of this one in its place, without losing a connection.\n"
     "  --trial  prepare everything as for serving, then end: 0 if it could be served;\n"
     "           what USR2 asks a new binary first\n",
     cli_run_proxy},
    {"check", "[FILE]", "find everything wrong with a configuration",
     "Checks FILE (default " CLI_DEFAULT_FILE ") with all files it names as `pawl run`\n"
     "would, prints every problem as FILE:LINE: text, and ends with 0 if it can be "
     "served.\n",
     cli_check},
    {"dev", "PORT|ADDRESS [--listen ADDRESS]", "HTTPS on localhost in front of your app",
     "Serves https://localhost:8443 in front of the app on PORT of this machine (or on\n"
     "ADDRESS: HOST:PORT or unix:PATH) with a development certificate.  Needs no file "
     "and\n"
     "no root.\n\n"
     "  --listen ADDRESS        serve here instead\n"
     "  --unsafe-without PARTS  do without parts of the sandbox that this machine "
     "lacks:\n"
     "                          user, landlock, seccomp, with commas between them\n",
     cli_dev},
    {"demo", "[--listen ADDRESS]", "HTTPS on localhost in front of a built-in demo app",
     "Like `pawl dev`, in front of an app that shows the request and the TLS facts; "
     "takes\n"
     "the same options.\n",
     cli_demo},
    {"status", "[--json] [-c FILE]", "how the running Pawl is doing",
     "Asks the running Pawl over its control socket and shows what is wrong first: "
     "failed\n"
     "reloads, restarts, certificates about to expire; then configuration, window, "
     "processes,\n"
     "certificates, backends.\n"
     "  --json           print one JSON object\n" CONTROL_HELP,
     cli_status},
    {"sessions", "[--limit N] [--json] [-c FILE]", "the live sessions, the oldest first",
     "Shows client, state, age, time since the last byte, bytes, name, backend and TLS "
     "of "
     "the\n"
     "oldest sessions.\n"
     "  --limit N        so many of them (default 100, at most 10000)\n"
     "  --json           print one JSON object\n" CONTROL_HELP,
     cli_sessions},
    {"reload", "[-c FILE]", "read the configuration and all files again",
     "Like the signal HUP, but waits for the outcome and prints every problem.  Ends "
     "with "
     "1 if\n"
     "the configuration was refused; the one in service then stays.\n" CONTROL_HELP,
     cli_reload},
    {"stop", "[--now] [--no-wait] [-c FILE]", "finish the sessions and end",
     "Like the signal TERM: takes no new clients, lets the sessions end within "
     "drain_timeout,\n"
     "says once a second how many are left, and ends when all processes have.\n"
     "  --now            end at once, like the signal INT\n"
     "  --no-wait        do not wait for the end\n" CONTROL_HELP,
     cli_stop},
    {"upgrade", "[-c FILE]", "replace the program by the one on disk",
     "Has the program that is now on disk take over sockets and sessions to come, "
     "without\n"
     "refusing a client.\n" CONTROL_HELP,
     cli_upgrade},
    {"log", "error|warning|info|debug", "set what is logged, until the next reload",
     "Has every process log lines of this level and the more important ones, until the "
     "next\n"
     "reload.\n" CONTROL_HELP,
     cli_log},
    {"prove", "[HOST:PORT | --listener NAME]", "ask a TLS server what it agrees to",
     "Makes connections to any TLS server, or to a listener of the configuration file\n"
     "(the first, unless named), and shows what it agrees to and what it refuses, with\n"
     "the evidence; of the running Pawl also the age of its ticket keys and how its\n"
     "processes are shut in.  Ends with 1 if a line says FAIL.\n"
     "  -c FILE          the configuration (default " CLI_DEFAULT_FILE ")\n"
     "  --control PATH   its control socket, if not as the configuration says\n"
     "  --listener NAME  the listener to ask\n"
     "  --sni NAME       ask for this name, and look for it in the certificate\n"
     "  --ca FILE        verify the chain against these certificates\n"
     "  --json           print one JSON object\n",
     cli_prove},
    {"keys", "[--markdown|--ini|--man]", "list every configuration key",
     "Prints section, key, type, default and meaning of every key; with --markdown as "
     "the\n"
     "table of the README, with --ini as a commented configuration file, with --man as "
     "part\n"
     "of proxy.ini(5).\n",
     cli_keys},
    {"metrics", "[--markdown]", "list every figure that is counted",
     "Prints name, labels and meaning of every figure at /metrics; with --markdown as a\n"
     "table.\n",
     cli_metrics},
    {"version", "[-v]", "print the version; with -v prove what TLS can do",
     "With -v also checks the linked TLS library: that nothing without forward secrecy "
     "is\n"
     "compiled in, and that the fast code is.  Ends with 1 if a property is missing.\n",
     cli_version},
    {"help", "[COMMAND]", "explain a command", "Explains COMMAND, or lists them all.\n",
     cli_help},
};

enum { CLI_NAME_MAX = 253 }; /* of a host, in DNS */

enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

int cli_run(int count, char **arguments)
{
    if (count < 2) {
        cli_print_overview(stderr);
        return EXIT_USAGE;
    }
    const char *name = arguments[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0)
        name = "version";
    const struct command *command = cli_find(name);
    if (!command)
        return cli_usage(NULL, "there is no command", name);
    if (count > 2 &&
        (strcmp(arguments[2], "--help") == 0 || strcmp(arguments[2], "-h") == 0)) {
        char *about[] = {arguments[1]};
        return cli_help(1, about);
    }
    return command->run(count - 2, arguments + 2);
}

static int cli_run_proxy(int count, char **arguments)
{
    const char *file = CLI_DEFAULT_FILE;
    bool trial = false;

    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], TRIAL_OPTION) == 0) {
            trial = true;
            continue;
        }
        if (strcmp(arguments[i], "-c") != 0)
            return cli_usage("run", "does not understand", arguments[i]);
        if (++i == count)
            return cli_usage("run", "needs a file after", "-c");
        file = arguments[i];
    }
    /* What follows the command's name is what main got less two. */
    const struct master_options options = {.source = {.file = file, .demo_fd = -1},
                                           .arguments = arguments - 2,
                                           .trial = trial};
    return master_run(&options);
}

static int cli_check(int count, char **arguments)
{
    if (count > 1)
        return cli_usage("check", "takes one file, not", arguments[1]);
    if (count == 1 && arguments[0][0] == '-')
        return cli_usage("check", "does not understand", arguments[0]);
    return check_run(count == 1 ? arguments[0] : CLI_DEFAULT_FILE);
}

bool cli_take_value(int count, char **arguments, int *i, const char *option,
                    const char **value)
{
    if (strcmp(arguments[*i], option) != 0 || *i + 1 == count)
        return false;
    *value = arguments[++*i];
    return true;
}

/* Reads what `dev` and `demo` have in common; returns EXIT_FINE or EXIT_USAGE. */
static int cli_read_dev(const char *name, int count, char **arguments,
                        struct dev_options *options)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--listen") == 0) {
            if (++i == count)
                return cli_usage(name, "needs an address after", "--listen");
            options->listen = arguments[i];
        } else if (cli_take_value(count, arguments, &i, "--unsafe-without",
                                  &options->unsafe_without)) {
            continue;
        } else if (arguments[i][0] == '-' || options->backend) {
            return cli_usage(name, "does not understand", arguments[i]);
        } else {
            options->backend = arguments[i];
        }
    }
    return EXIT_FINE;
}

static int cli_dev(int count, char **arguments)
{
    struct dev_options options = {0};

    if (cli_read_dev("dev", count, arguments, &options) != EXIT_FINE)
        return EXIT_USAGE;
    if (!options.backend)
        return cli_usage("dev", "needs the port of your app, as in", "pawl dev 3000");
    return dev_run(&options);
}

static int cli_demo(int count, char **arguments)
{
    struct dev_options options = {0};

    if (cli_read_dev("demo", count, arguments, &options) != EXIT_FINE)
        return EXIT_USAGE;
    if (options.backend)
        return cli_usage("demo", "does not understand", options.backend);
    return dev_run(&options);
}

static int cli_prove(int count, char **arguments)
{
    struct prove_options options = {0};

    for (int i = 0; i < count; i++) {
        if (cli_take_value(count, arguments, &i, "--listener", &options.listener) ||
            cli_take_value(count, arguments, &i, "-c", &options.file) ||
            cli_take_value(count, arguments, &i, "--control", &options.control) ||
            cli_take_value(count, arguments, &i, "--ca", &options.ca) ||
            cli_take_value(count, arguments, &i, "--sni", &options.name))
            continue;
        if (strcmp(arguments[i], "--json") == 0)
            options.json = true;
        else if (arguments[i][0] == '-' || options.host)
            return cli_usage("prove", "does not understand", arguments[i]);
        else
            options.host = arguments[i];
    }
    if (options.host && (options.listener || options.file || options.control))
        return cli_usage("prove",
                         "takes a listener or a server, not both:", options.host);
    if (options.name && strlen(options.name) > CLI_NAME_MAX)
        return cli_usage("prove", "takes no name as long as", options.name);
    if (!options.file)
        options.file = CLI_DEFAULT_FILE;
    return prove_run(&options);
}

static int cli_keys(int count, char **arguments)
{
    enum keys_style style = KEYS_PLAIN;

    if (count > 0 && strcmp(arguments[0], "--markdown") == 0)
        style = KEYS_MARKDOWN;
    else if (count > 0 && strcmp(arguments[0], "--ini") == 0)
        style = KEYS_INI;
    else if (count > 0 && strcmp(arguments[0], "--man") == 0)
        style = KEYS_MAN;
    else if (count > 0)
        return cli_usage("keys", "does not understand", arguments[0]);
    keys_print(stdout, style);
    return EXIT_FINE;
}

static int cli_metrics(int count, char **arguments)
{
    bool markdown = count == 1 && strcmp(arguments[0], "--markdown") == 0;

    if (count > 0 && !markdown)
        return cli_usage("metrics", "does not understand", arguments[0]);
    stats_table_print(stdout, markdown);
    return 0;
}

static int cli_version(int count, char **arguments)
{
    struct report report = {0};
    bool verbose = count > 0 && strcmp(arguments[0], "-v") == 0;

    if (count > (verbose ? 1 : 0))
        return cli_usage("version", "does not understand", arguments[verbose ? 1 : 0]);
    printf("pawl %s (wolfSSL %s, libevent %s)\n", PAWL_VERSION, wolfSSL_lib_version(),
           event_get_version());
    if (!verbose)
        return EXIT_FINE;
    tls_policy_self_check(stdout, &report);
    bool fine = report.errors == 0;
    report_close(&report);
    return fine ? EXIT_FINE : EXIT_FAILED;
}

static int cli_help(int count, char **arguments)
{
    if (count == 0) {
        cli_print_overview(stdout);
        return EXIT_FINE;
    }
    const struct command *command = cli_find(arguments[0]);
    if (!command)
        return cli_usage(NULL, "there is no command", arguments[0]);
    printf("usage: pawl %s %s\n\n%s", command->name, command->arguments, command->help);
    return EXIT_FINE;
}

static const struct command *cli_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(COMMANDS[i].name, name) == 0)
            return &COMMANDS[i];
    }
    return NULL;
}

static void cli_print_overview(FILE *out)
{
    fprintf(out, "pawl terminates TLS, forward-secret connections only, and hands the "
                 "plaintext to a local backend.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  pawl %-8s %-34s %s\n", COMMANDS[i].name, COMMANDS[i].arguments,
                COMMANDS[i].summary);
    fprintf(out, "\nTo see it work: pawl demo\n");
}

int cli_usage(const char *name, const char *problem, const char *word)
{
    const struct command *command = name ? cli_find(name) : NULL;

    if (!command) {
        fprintf(stderr, "pawl: %s \"%s\"\nTry: pawl help\n", problem, word);
        return EXIT_USAGE;
    }
    fprintf(stderr, "pawl %s: %s \"%s\"\nusage: pawl %s %s\nTry: pawl help %s\n", name,
            problem, word, name, command->arguments, name);
    return EXIT_USAGE;
}
