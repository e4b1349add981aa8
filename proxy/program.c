#include "proxy/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config/memory_file.h"
#include "config/passphrase.h"

enum {
    VARIABLES_MAX = 4,
    VARIABLE_MAX = 512,
    FILES_MAX = 1024, /* of the command; many programs close all that may be open */
    FILE_BYTES_MAX = 1 << 20, /* of what it prints, and of any other file it writes */
    FAILURE_FD = STDERR_FILENO + 1, /* says why the command could not be started */
    EXEC_FAILED = 127
};

/* A command that is about to run, or does. */
struct program {
    char text[PASSPHRASE_COMMAND_MAX];
    char *words[PASSPHRASE_WORDS_MAX + 1]; /* in text */
    char variables[VARIABLES_MAX][VARIABLE_MAX];
    char *environment[VARIABLES_MAX + 1]; /* in variables */
    size_t variable_count;
    int output_fd; /* owned */
    pid_t pid;
};

static bool program_check(const struct program *program, struct error *error);
static void program_set_environment(struct program *program);
static void program_set_variable(struct program *program, const char *name,
                                 const char *value);
static bool program_start(struct program *program, struct error *error);
static void program_exec(const struct program *program, int failure_fd)
    __attribute__((noreturn));
static bool program_take_descriptors(const struct program *program, int failure_fd);
static void program_set_limits(void);
static bool program_wait(const struct program *program);
static bool program_finish(const struct program *program, size_t most_bytes, bool hung,
                           struct error *error);
static int64_t now_ms(void);

int program_run(const char *text, size_t most_bytes, bool *hung, struct error *error)
{
    struct program program = {.output_fd = -1};

    (void)snprintf(program.text, sizeof(program.text), "%s", text);
    passphrase_split_command(program.text, program.words);
    if (*hung) {
        (void)error_set(error, "\"%s\" is not run, as the command before it did not end",
                        program.words[0]);
        return -1;
    }
    if (!program_check(&program, error))
        return -1;
    program_set_environment(&program);
    program.output_fd = memory_file_new("pawl-passphrase");
    if (program.output_fd < 0) {
        (void)error_set_errno(error, errno, "cannot make a memory file");
        return -1;
    }
    if (program_start(&program, error)) {
        *hung = !program_wait(&program);
        if (program_finish(&program, most_bytes, *hung, error))
            return program.output_fd;
    }
    close(program.output_fd);
    return -1;
}

/* Root may run it: then nobody else may say what it does. */
static bool program_check(const struct program *program, struct error *error)
{
    const char *path = program->words[0];
    struct stat status;

    if (stat(path, &status) < 0)
        return error_set_errno(error, errno, "cannot run \"%s\"", path);
    if (!S_ISREG(status.st_mode))
        return error_set(error, "cannot run \"%s\": not a regular file", path);
    if (status.st_mode & S_IWOTH)
        return error_set(error,
                         "\"%s\" is not run: every user of this machine may change it "
                         "(chmod o-w would end that)",
                         path);
    return true;
}

/* Nothing of ours but where systemd has put credentials. */
static void program_set_environment(struct program *program)
{
    const struct passwd *user = getpwuid(geteuid());

    program_set_variable(program, "PATH",
                         "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    program_set_variable(program, "HOME", user ? user->pw_dir : "/");
    program_set_variable(program, "LC_ALL", "C");
    program_set_variable(program, "CREDENTIALS_DIRECTORY",
                         getenv("CREDENTIALS_DIRECTORY"));
}

static void program_set_variable(struct program *program, const char *name,
                                 const char *value)
{
    char *variable = program->variables[program->variable_count];

    if (value && snprintf(variable, VARIABLE_MAX, "%s=%s", name, value) < VARIABLE_MAX)
        program->environment[program->variable_count++] = variable;
}

/* Returns when the command is running, or could not be. */
static bool program_start(struct program *program, struct error *error)
{
    int failure[2], code = 0;
    sigset_t all, before;

    if (pipe2(failure, O_CLOEXEC) < 0)
        return error_set_errno(error, errno, "cannot make a pipe");
    /* No handler of ours runs in the child. */
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    program->pid = fork();
    if (program->pid == 0)
        program_exec(program, failure[1]);
    const int fork_code = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    close(failure[1]);
    ssize_t got = 0;
    while (program->pid > 0 && (got = read(failure[0], &code, sizeof(code))) < 0 &&
           errno == EINTR)
        continue;
    close(failure[0]);
    if (program->pid < 0)
        return error_set_errno(error, fork_code, "cannot fork");
    if (got != sizeof(code))
        return true;
    (void)waitpid(program->pid, NULL, 0);
    return error_set_errno(error, code, "cannot run \"%s\"", program->words[0]);
}

/* In the child. */
static void program_exec(const struct program *program, int failure_fd)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid(); /* a group to be killed, and no terminal to ask for a passphrase */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    program_set_limits();
    (void)umask(S_IRWXG | S_IRWXO);
    if (program_take_descriptors(program, failure_fd) && chdir("/") == 0)
        (void)execve(program->words[0], program->words, program->environment);
    const int code = errno;
    (void)!write(FAILURE_FD, &code, sizeof(code));
    _exit(EXEC_FAILED);
}

/* Numbers above those that are to be made first, so that none is overwritten. */
static bool program_take_descriptors(const struct program *program, int failure_fd)
{
    const int failure = fcntl(failure_fd, F_DUPFD_CLOEXEC, FAILURE_FD + 1);
    const int to = fcntl(program->output_fd, F_DUPFD_CLOEXEC, FAILURE_FD + 1);
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int from = fcntl(null, F_DUPFD_CLOEXEC, FAILURE_FD + 1);

    if (failure < 0 || dup3(failure, FAILURE_FD, O_CLOEXEC) < 0 || to < 0 || from < 0 ||
        dup2(from, STDIN_FILENO) < 0 || dup2(to, STDOUT_FILENO) < 0)
        return false;
    (void)close_range(FAILURE_FD + 1, ~0U, 0);
    return true;
}

static void program_set_limits(void)
{
    const struct rlimit core = {0, 0};
    const struct rlimit files = {FILES_MAX, FILES_MAX};
    const struct rlimit bytes = {FILE_BYTES_MAX, FILE_BYTES_MAX};

    (void)setrlimit(RLIMIT_CORE, &core);
    (void)setrlimit(RLIMIT_NOFILE, &files);
    (void)setrlimit(RLIMIT_FSIZE, &bytes);
}

/* Whether it ends in time. */
static bool program_wait(const struct program *program)
{
    const int64_t until = now_ms() + PROGRAM_TIMEOUT_S * 1000;
    struct pollfd end = {.fd = pidfd_open(program->pid, 0), .events = POLLIN};
    int ready = 0;

    if (end.fd < 0)
        return false;
    for (int64_t left; ready <= 0 && (left = until - now_ms()) > 0;)
        ready = poll(&end, 1, (int)left);
    close(end.fd);
    return ready > 0;
}

static bool program_finish(const struct program *program, size_t most_bytes, bool hung,
                           struct error *error)
{
    const char *path = program->words[0];
    struct stat status = {.st_size = 0};
    int result = 0;

    if (hung)
        (void)kill(-program->pid, SIGKILL);
    while (waitpid(program->pid, &result, 0) < 0 && errno == EINTR)
        continue;
    if (hung)
        return error_set(error, "\"%s\" did not end within %d seconds and was killed",
                         path, PROGRAM_TIMEOUT_S);
    if (fstat(program->output_fd, &status) < 0)
        return error_set_errno(error, errno, "cannot look at what \"%s\" printed", path);
    if ((size_t)status.st_size > most_bytes)
        return error_set(error, "\"%s\" printed more than the %zu bytes allowed", path,
                         most_bytes);
    if (WIFSIGNALED(result))
        return error_set(error, "\"%s\" was killed by signal %d (%s)", path,
                         WTERMSIG(result), strsignal(WTERMSIG(result)));
    if (WEXITSTATUS(result) != 0)
        return error_set(error, "\"%s\" ended with code %d", path, WEXITSTATUS(result));
    return status.st_size > 0 || error_set(error, "\"%s\" printed nothing", path);
}

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
