#include "proxy/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/bundle.h"
#include "config/expand.h"
#include "config/passphrase.h"
#include "proxy/layout.h"
#include "proxy/program.h"

struct capture {
    const struct config *config;
    struct bundle_builder *chains; /* owned */
    struct bundle_builder *keys;   /* owned */
    struct report *report;
    int passphrase_fd; /* owned; of the section in line passphrase_line; -1: it has none
                          that can be had */
    unsigned passphrase_line;
    bool command_hung; /* one has; no other is run */
};

static char *generation_read_text(const struct source *source, size_t *length,
                                  struct report *report);
static char *generation_read_fd(int fd, size_t *length, struct error *error);
static void generation_capture_files(struct generation *generation,
                                     const struct source *source, const char *text,
                                     size_t length, struct report *report);
static bool generation_find_certificates(struct generation *generation,
                                         const struct source *source,
                                         struct capture *capture, struct error *error);
static bool capture_certificate(struct capture *capture,
                                const struct config_certificate *certificate);
static void capture_passphrase(struct capture *capture,
                               const struct config_certificate *certificate);
static void fetch_passphrase(struct capture *capture,
                             const struct config_certificate *certificate);
static void capture_clients(struct capture *capture,
                            const struct config_clients *clients);
static void capture_policy_file(struct capture *capture,
                                const struct config_clients *clients, const char *path,
                                size_t most_bytes);
static bool capture_file(struct capture *capture, struct bundle_builder *builder,
                         const struct config_certificate *certificate, const char *path);
static void capture_staple(struct capture *capture,
                           const struct config_certificate *certificate);
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
    generation->text = text;
    return generation;
}

struct generation *generation_restore(uint32_t number, int bundle_fd, int keys_fd,
                                      struct report *report, struct error *error)
{
    struct generation *generation = calloc(1, sizeof(*generation));
    struct bundle *bundle = generation ? bundle_open(bundle_fd, error) : NULL;

    if (!bundle) {
        if (!generation)
            (void)error_set(error, "out of memory");
        free(generation);
        close(bundle_fd);
        close(keys_fd);
        return NULL;
    }
    *generation =
        (struct generation){.number = number, .bundle_fd = bundle_fd, .keys_fd = keys_fd};
    const struct blob text = bundle_find(bundle, CONFIG_BLOB_TEXT);
    generation->text = text.data ? strndup((const char *)text.data, text.size) : NULL;
    generation->config = config_read_bundle(bundle, report);
    bundle_close(bundle);
    if (!generation->text || !generation->config) {
        (void)error_set(error, "the configuration in service cannot be read again");
        generation_free(generation);
        return NULL;
    }
    const struct config *config = generation->config;
    cert_set_fill(&generation->offered, config->certificate_count);
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (config->certificates[i].left_out)
            cert_set_remove(&generation->offered, i);
    }
    return generation;
}

void generation_free(struct generation *generation)
{
    if (!generation)
        return;
    config_free(generation->config);
    free(generation->text);
    file_list_close(&generation->files);
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
    char *text = malloc(CONFIG_TEXT_MAX + 2);
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
        if (got == 0) {
            text[*length] = '\0';
            return text;
        }
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
    struct capture capture = {.config = config, .report = report, .passphrase_fd = -1};
    struct error error;

    capture.chains = bundle_builder_new("pawl-bundle", &error);
    capture.keys = bundle_builder_new("pawl-keys", &error);
    if (!capture.chains || !capture.keys ||
        !generation_find_certificates(generation, source, &capture, &error) ||
        !bundle_add(capture.chains, CONFIG_BLOB_TEXT, text, length, &error) ||
        !bundle_add(capture.chains, CONFIG_BLOB_FILE, source->file, strlen(source->file),
                    &error))
        goto fail;
    cert_set_fill(&generation->offered, config->certificate_count);
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (!capture_certificate(&capture, &config->certificates[i]))
            cert_set_remove(&generation->offered, i);
    }
    if (capture.passphrase_fd >= 0)
        close(capture.passphrase_fd);
    for (size_t i = 0; i < config->clients_count; i++)
        capture_clients(&capture, &config->clients[i]);
    if (!generation_add_left_out(generation, capture.chains, &error))
        goto fail;
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

/* Lists the files and directories, notes their state, and only then takes down what the
 * directories hold: what changes after the state was noted is known to have changed. */
static bool generation_find_certificates(struct generation *generation,
                                         const struct source *source,
                                         struct capture *capture, struct error *error)
{
    struct config *config = generation->config;
    struct file_list *files = &generation->files;
    const size_t sections = config->certificate_count;
    size_t size = 0;

    for (size_t i = 0; i < config->certificate_count; i++) {
        const struct config_certificate *certificate = &config->certificates[i];
        if (certificate->chain)
            (void)file_list_add(files, certificate->chain);
        if (certificate->key)
            (void)file_list_add(files, certificate->key);
        if (certificate->passphrase_file)
            (void)file_list_add(files, certificate->passphrase_file);
        if (certificate->staple)
            (void)file_list_add(files, certificate->staple);
    }
    for (size_t i = 0; i < config->clients_count; i++) {
        if (config->clients[i].ca)
            (void)file_list_add(files, config->clients[i].ca);
        if (config->clients[i].crl)
            (void)file_list_add(files, config->clients[i].crl);
    }
    free(layout_scan(config, source->older, files, NULL, &size));
    generation->files_state = file_list_state(files);
    char *index = layout_scan(config, source->older, NULL, capture->report, &size);
    bool ok =
        index && expand_directories(config, index, size) &&
        (size == 0 || bundle_add(capture->chains, CONFIG_BLOB_INDEX, index, size, error));
    free(index);
    if (!ok)
        return error_set(error, "there is no memory for the certificates' names");
    if (sections > 0 && config->certificate_count == 0)
        report_add(capture->report, REPORT_ERROR, config->file, 0,
                   "there is no certificate that can be served");
    return true;
}

bool generation_add_left_out(const struct generation *generation,
                             struct bundle_builder *chains, struct error *error)
{
    struct cert_set left_out = {.bits = {0}};

    for (size_t i = 0; i < generation->config->certificate_count; i++) {
        if (!cert_set_has(&generation->offered, i))
            cert_set_add(&left_out, i);
    }
    return cert_set_count(&left_out) == 0 ||
           bundle_add(chains, CONFIG_BLOB_LEFT_OUT, &left_out, sizeof(left_out), error);
}

/* False: the certificate is not to be offered.  What stands without its key in a
 * directory may hold the key itself, and does not go to a worker. */
static bool capture_certificate(struct capture *capture,
                                const struct config_certificate *certificate)
{
    if (certificate->key &&
        capture_file(capture, capture->keys, certificate, certificate->key))
        capture_warn_of_readable_key(capture, certificate);
    else if (certificate->directory)
        return false;
    if (certificate->chain)
        (void)capture_file(capture, capture->chains, certificate, certificate->chain);
    if (certificate->passphrase_file || certificate->passphrase_command)
        capture_passphrase(capture, certificate);
    if (certificate->staple)
        capture_staple(capture, certificate);
    return true;
}

/* The certificates of a directory have one; it is fetched once. */
static void capture_passphrase(struct capture *capture,
                               const struct config_certificate *certificate)
{
    char name[PASSPHRASE_NAME_MAX];
    struct error error;

    if (capture->passphrase_line != certificate->section.line)
        fetch_passphrase(capture, certificate);
    passphrase_name(certificate, name);
    if (bundle_has(capture->keys, name))
        return; /* NAME.pem and NAME/ of a directory */
    if (capture->passphrase_fd < 0
            ? !bundle_add(capture->keys, name, "", 0, &error)
            : !bundle_add_fd(capture->keys, name, capture->passphrase_fd,
                             CONFIG_PASSPHRASE_MAX, &error))
        report_add(capture->report, REPORT_ERROR, capture->config->file, 0, "%s",
                   error.text);
}

static void fetch_passphrase(struct capture *capture,
                             const struct config_certificate *certificate)
{
    bool is_file = certificate->passphrase_file != NULL;
    struct error error;

    if (capture->passphrase_fd >= 0)
        close(capture->passphrase_fd);
    capture->passphrase_line = certificate->section.line;
    if (is_file)
        capture->passphrase_fd =
            bundle_open_file(certificate->passphrase_file, CONFIG_PASSPHRASE_MAX, &error);
    else
        capture->passphrase_fd =
            program_run(certificate->passphrase_command, CONFIG_PASSPHRASE_MAX,
                        &capture->command_hung, &error);
    if (capture->passphrase_fd < 0)
        report_add(capture->report, REPORT_FAULT, capture->config->file,
                   is_file ? certificate->passphrase_file_line
                           : certificate->passphrase_command_line,
                   "certificate \"%s\": no passphrase for its key: %s",
                   certificate->section.name, error.text);
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
    report_add(capture->report, REPORT_FAULT, capture->config->file,
               is_key ? certificate->key_line : certificate->chain_line,
               "certificate \"%s\": %s%s", certificate->section.name, error.text,
               is_key && certificate->directory
                   ? "; if the key is in the certificate's file, split that: processes "
                     "that face the network map it, and must never have a key"
                   : "");
    if (!bundle_add(builder, path, "", 0, &error))
        report_add(capture->report, REPORT_ERROR, capture->config->file, 0, "%s",
                   error.text);
    return false;
}

/* What cannot be read is not sent, and the certificate serves as well. */
static void capture_staple(struct capture *capture,
                           const struct config_certificate *certificate)
{
    struct error error;

    if (bundle_add_file(capture->chains, certificate->staple, CONFIG_STAPLE_MAX, &error))
        return;
    report_add(capture->report, REPORT_WARNING, capture->config->file,
               certificate->staple_line, "certificate \"%s\": no OCSP response: %s",
               certificate->section.name, error.text);
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
