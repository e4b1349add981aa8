#include "proxy/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/bundle.h"

struct capture {
    const struct config *config;
    struct bundle_builder *chains; /* owned */
    struct bundle_builder *keys;   /* owned */
    struct report *report;
};

static char *generation_read_text(const struct source *source, size_t *length,
                                  struct report *report);
static char *generation_read_fd(int fd, size_t *length, struct error *error);
static void generation_capture_files(struct generation *generation,
                                     const struct source *source, const char *text,
                                     size_t length, struct report *report);
static void capture_certificate(struct capture *capture,
                                const struct config_certificate *certificate);
static void capture_clients(struct capture *capture,
                            const struct config_clients *clients);
static void capture_policy_file(struct capture *capture,
                                const struct config_clients *clients, const char *path,
                                size_t most_bytes);
static bool capture_file(struct capture *capture, struct bundle_builder *builder,
                         const struct config_certificate *certificate, const char *path);
static void capture_warn_of_readable_key(struct capture *capture,
                                         const struct config_certificate *certificate);

struct generation *generation_capture(const struct source *source, uint32_t number,
                                      struct report *report)
{
    struct generation *generation = calloc(1, sizeof(*generation));
    size_t length = 0;

    if (!generation) {
        report_add(report, REPORT_ERROR, source->file, 0, "out of memory");
        return NULL;
    }
    *generation = (struct generation){.number = number, .bundle_fd = -1, .keys_fd = -1};
    char *text = generation_read_text(source, &length, report);
    if (text)
        generation->config = config_read(text, length, source->file, report);
    if (generation->config)
        generation_capture_files(generation, source, text, length, report);
    free(text);
    return generation;
}

void generation_free(struct generation *generation)
{
    if (!generation)
        return;
    config_free(generation->config);
    if (generation->bundle_fd >= 0)
        close(generation->bundle_fd);
    if (generation->keys_fd >= 0)
        close(generation->keys_fd);
    free(generation);
}

static char *generation_read_text(const struct source *source, size_t *length,
                                  struct report *report)
{
    struct error error;
    char *text;

    if (source->text) {
        *length = strlen(source->text);
        text = strdup(source->text);
        if (!text)
            report_add(report, REPORT_ERROR, source->file, 0, "out of memory");
        return text;
    }
    int fd = open(source->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        report_add(report, REPORT_ERROR, source->file, 0, "cannot open: %s",
                   strerror(errno));
        return NULL;
    }
    text = generation_read_fd(fd, length, &error);
    if (!text)
        report_add(report, REPORT_ERROR, source->file, 0, "%s", error.text);
    close(fd);
    return text;
}

static char *generation_read_fd(int fd, size_t *length, struct error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        (void)error_set(error, "is not a regular file");
        return NULL;
    }
    /* One byte more than allowed tells a file that is too large. */
    char *text = malloc(CONFIG_TEXT_MAX + 1);
    *length = 0;
    while (text && *length <= CONFIG_TEXT_MAX) {
        ssize_t got = read(fd, text + *length, CONFIG_TEXT_MAX + 1 - *length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            (void)error_set_errno(error, errno, "cannot read");
            free(text);
            return NULL;
        }
        if (got == 0)
            return text;
        *length += (size_t)got;
    }
    (void)error_set(error, text ? "is larger than 4 MiB" : "out of memory");
    free(text);
    return NULL;
}

static void generation_capture_files(struct generation *generation,
                                     const struct source *source, const char *text,
                                     size_t length, struct report *report)
{
    const struct config *config = generation->config;
    struct capture capture = {.config = config, .report = report};
    struct error error;

    capture.chains = bundle_builder_new("pawl-bundle", &error);
    capture.keys = bundle_builder_new("pawl-keys", &error);
    if (!capture.chains || !capture.keys ||
        !bundle_add(capture.chains, CONFIG_BLOB_TEXT, text, length, &error) ||
        !bundle_add(capture.chains, CONFIG_BLOB_FILE, source->file, strlen(source->file),
                    &error))
        goto fail;
    for (size_t i = 0; i < config->certificate_count; i++)
        capture_certificate(&capture, &config->certificates[i]);
    for (size_t i = 0; i < config->clients_count; i++)
        capture_clients(&capture, &config->clients[i]);
    generation->bundle_fd = bundle_seal(capture.chains, &error);
    generation->keys_fd =
        generation->bundle_fd < 0 ? -1 : bundle_seal(capture.keys, &error);
    if (generation->keys_fd < 0)
        goto fail;
    bundle_builder_free(capture.chains);
    bundle_builder_free(capture.keys);
    return;
fail:
    report_add(report, REPORT_ERROR, source->file, 0, "cannot capture the files: %s",
               error.text);
    bundle_builder_free(capture.chains);
    bundle_builder_free(capture.keys);
}

static void capture_certificate(struct capture *capture,
                                const struct config_certificate *certificate)
{
    if (certificate->chain)
        (void)capture_file(capture, capture->chains, certificate, certificate->chain);
    if (certificate->key &&
        capture_file(capture, capture->keys, certificate, certificate->key))
        capture_warn_of_readable_key(capture, certificate);
}

static void capture_clients(struct capture *capture, const struct config_clients *clients)
{
    if (clients->ca)
        capture_policy_file(capture, clients, clients->ca, CONFIG_CA_MAX);
    if (clients->crl)
        capture_policy_file(capture, clients, clients->crl, CONFIG_CRL_MAX);
}

static void capture_policy_file(struct capture *capture,
                                const struct config_clients *clients, const char *path,
                                size_t most_bytes)
{
    struct error error;

    if (bundle_add_file(capture->chains, path, most_bytes, &error))
        return;
    report_add(capture->report, REPORT_ERROR, capture->config->file,
               path == clients->ca ? clients->ca_line : clients->crl_line,
               "clients \"%s\": %s", clients->section.name, error.text);
    /* Two policies may share a file: then the blob is there. */
    (void)!bundle_add(capture->chains, path, "", 0, &error);
}

/* An empty blob tells the roles that the file's absence has been reported. */
static bool capture_file(struct capture *capture, struct bundle_builder *builder,
                         const struct config_certificate *certificate, const char *path)
{
    bool is_key = path == certificate->key;
    struct error error;

    if (bundle_add_file(builder, path, is_key ? CONFIG_KEY_MAX : CONFIG_CHAIN_MAX,
                        &error))
        return true;
    report_add(capture->report, REPORT_ERROR, capture->config->file,
               is_key ? certificate->key_line : certificate->chain_line,
               "certificate \"%s\": %s", certificate->section.name, error.text);
    if (!bundle_add(builder, path, "", 0, &error))
        report_add(capture->report, REPORT_ERROR, capture->config->file, 0, "%s",
                   error.text);
    return false;
}

static void capture_warn_of_readable_key(struct capture *capture,
                                         const struct config_certificate *certificate)
{
    struct stat status;

    if (stat(certificate->key, &status) < 0 || (status.st_mode & S_IRWXO) == 0)
        return;
    report_add(capture->report, REPORT_WARNING, capture->config->file,
               certificate->key_line,
               "certificate \"%s\": every user of this machine may read or replace the "
               "private key \"%s\" (chmod o= would end that)",
               certificate->section.name, certificate->key);
}
