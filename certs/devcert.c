#include "certs/devcert.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "certs/devcert_make.h"
#include "certs/pem.h"
#include "config/config.h"

static bool make_directories(const char *directory, struct error *error);
static bool check_directory(const char *directory, struct error *error);
static bool join(char path[DEVCERT_PATH_MAX], const char *directory, const char *name,
                 struct error *error);
static bool run_child(const struct devcert *devcert, const char *ca_key, const char *lock,
                      struct error *error);
static void child(const struct devcert *devcert, const char *ca_key, const char *lock,
                  int report_fd) __attribute__((noreturn));
static bool wait_child(pid_t pid, int report_fd, struct error *error);
static bool fingerprint(const char *path, char *text, size_t size, struct error *error);

bool devcert_ensure(const char *directory, struct devcert *devcert, struct error *error)
{
    char ca_key[DEVCERT_PATH_MAX];
    char lock[DEVCERT_PATH_MAX];
    return join(devcert->ca, directory, "ca.pem", error) &&
           join(devcert->chain, directory, "localhost.pem", error) &&
           join(devcert->key, directory, "localhost.key", error) &&
           join(ca_key, directory, "ca.key", error) &&
           join(lock, directory, ".lock", error) && make_directories(directory, error) &&
           check_directory(directory, error) && run_child(devcert, ca_key, lock, error) &&
           fingerprint(devcert->chain, devcert->fingerprint, sizeof devcert->fingerprint,
                       error) &&
           fingerprint(devcert->ca, devcert->ca_fingerprint,
                       sizeof devcert->ca_fingerprint, error);
}

bool devcert_default_directory(char *path, size_t size, struct error *error)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    const struct passwd *user = NULL;
    int length;
    if (state && state[0] == '/') {
        length = snprintf(path, size, "%s/pawl", state);
    } else {
        if (!home || home[0] != '/')
            user = getpwuid(geteuid());
        if (user)
            home = user->pw_dir;
        if (!home || home[0] != '/')
            return error_set(error, "there is no home directory to keep the development "
                                    "certificate in: set HOME or XDG_STATE_HOME");
        length = snprintf(path, size, "%s/.local/state/pawl", home);
    }
    if (length < 0 || (size_t)length >= size)
        return error_set(error, "the path of the state directory is too long");
    return true;
}

static bool join(char path[DEVCERT_PATH_MAX], const char *directory, const char *name,
                 struct error *error)
{
    const int length = snprintf(path, DEVCERT_PATH_MAX, "%s/%s", directory, name);
    /* Room for the suffix of files that are being written. */
    if (length < 0 || length >= DEVCERT_PATH_MAX - 8)
        return error_set(error, "the path \"%s\" is too long", directory);
    return true;
}

static bool make_directories(const char *directory, struct error *error)
{
    char path[DEVCERT_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", directory);
    for (char *c = path + 1;; c++) {
        if (*c != '/' && *c != '\0')
            continue;
        const char end = *c;
        *c = '\0';
        struct stat status;
        if (stat(path, &status) < 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
            return error_set_errno(error, errno, "cannot create the directory \"%s\"",
                                   path);
        *c = end;
        if (end == '\0')
            return true;
    }
}

/* Whoever can write there can make browsers that trust the CA believe in anything. */
static bool check_directory(const char *directory, struct error *error)
{
    struct stat status;
    if (stat(directory, &status) < 0)
        return error_set_errno(error, errno, "cannot use the directory \"%s\"",
                               directory);
    if (!S_ISDIR(status.st_mode))
        return error_set(error, "cannot use \"%s\": it is not a directory", directory);
    if (status.st_uid != geteuid())
        return error_set(error,
                         "cannot use the directory \"%s\": it belongs to another user",
                         directory);
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return error_set(error, "cannot use the directory \"%s\": others may write to it",
                         directory);
    return true;
}

static bool run_child(const struct devcert *devcert, const char *ca_key, const char *lock,
                      struct error *error)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set_errno(error, errno, "cannot make a pipe");
    const pid_t pid = fork();
    if (pid < 0) {
        const int code = errno;
        (void)close(fds[0]);
        (void)close(fds[1]);
        return error_set_errno(error, code, "cannot start a process");
    }
    if (pid == 0)
        child(devcert, ca_key, lock, fds[1]);
    (void)close(fds[1]);
    const bool ok = wait_child(pid, fds[0], error);
    (void)close(fds[0]);
    return ok;
}

static void child(const struct devcert *devcert, const char *ca_key, const char *lock,
                  int report_fd)
{
    struct error error = {.text = ""};
    bool ok = false;
    /* Held until this process ends. */
    const int lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0)
        error_set_errno(&error, errno, "cannot lock \"%s\"", lock);
    else
        ok = devcert_make(devcert, ca_key, &error);
    if (!ok && write(report_fd, error.text, strlen(error.text)) < 0)
        _exit(2);
    _exit(ok ? 0 : 1);
}

static bool wait_child(pid_t pid, int report_fd, struct error *error)
{
    char text[ERROR_TEXT_MAX];
    size_t length = 0;
    while (length < sizeof text - 1) {
        const ssize_t got = read(report_fd, text + length, sizeof text - 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    text[length] = '\0';
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return error_set_errno(error, errno, "cannot wait for a process");
    }
    if (WIFSIGNALED(status))
        return error_set(error, "the making of the development certificate crashed: %s",
                         strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == 0)
        return true;
    return error_set(error, "%s",
                     length > 0 ? text : "cannot make the development certificate");
}

static bool read_public(const char *path, char *text, size_t *size, struct error *error)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, errno, "cannot read \"%s\"", path);
    const ssize_t got = read(fd, text, *size);
    const int code = errno;
    (void)close(fd);
    if (got < 0)
        return error_set_errno(error, code, "cannot read \"%s\"", path);
    *size = (size_t)got;
    return true;
}

static bool fingerprint(const char *path, char *text, size_t size, struct error *error)
{
    char pem[8192];
    uint8_t der[8192];
    uint8_t hash[WC_SHA256_DIGEST_SIZE];
    size_t pem_size = sizeof pem;
    size_t der_size = sizeof der;
    size_t offset = 0;
    struct pem_block block;
    if (!read_public(path, pem, &pem_size, error))
        return false;
    const struct blob blob = {(const uint8_t *)pem, pem_size};
    if (pem_next(blob, &offset, &block) != PEM_BLOCK || !pem_is(&block, "CERTIFICATE") ||
        !pem_decode(&block, der, &der_size) ||
        wc_Sha256Hash(der, (word32)der_size, hash) != 0)
        return error_set(error, "there is no certificate in \"%s\"", path);
    for (size_t i = 0; i < sizeof hash; i++)
        (void)snprintf(text + i * 3, size - i * 3, "%02X%s", hash[i],
                       i + 1 < sizeof hash ? ":" : "");
    return true;
}
