#include "tests/unit/certs_lab.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what)
{
    (void)fprintf(stderr, "certs_lab: %s\n", what);
    abort();
}

void lab_open(struct lab *lab)
{
    *lab = (struct lab){.directory = "/tmp/pawl-test-certs-XXXXXX"};
    if (!mkdtemp(lab->directory))
        fail("cannot make a directory");
    lab->config.file = strdup("proxy.ini");
    lab->config.limits.handshake_timeout_ms = 10000;
    lab->config.certificates = lab->sections;
}

void lab_close(struct lab *lab)
{
    lab_forget_sections(lab);
    free(lab->config.file);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", lab->directory);
    if (system(command) != 0)
        fail(command);
}

void lab_run(const struct lab *lab, const char *format, ...)
{
    char command[2048];
    va_list arguments;
    const int head = snprintf(command, sizeof command, "cd '%s' && exec >>log 2>&1 && ",
                              lab->directory);
    va_start(arguments, format);
    (void)vsnprintf(command + head, sizeof command - (size_t)head, format, arguments);
    va_end(arguments);
    if (system(command) != 0)
        fail(command);
}

void lab_key(const struct lab *lab, const char *name, const char *kind)
{
    if (kind[0] == 'p')
        lab_run(
            lab,
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-%s -out %s.key",
            kind + 1, name);
    else if (strncmp(kind, "rsa", 3) == 0)
        lab_run(lab,
                "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:%s -out %s.key",
                kind + 3, name);
    else
        lab_run(lab, "openssl genpkey -algorithm %s -out %s.key", kind, name);
}

void lab_root(const struct lab *lab, const char *name)
{
    lab_run(
        lab,
        "openssl req -x509 -new -key %s.key -out %s.pem -days 3650 -subj '/CN=lab %s' "
        "-addext keyUsage=critical,keyCertSign",
        name, name, name);
}

void lab_issue(const struct lab *lab, const char *name, const char *issuer, int days,
               const char *extensions)
{
    lab_run(lab,
            "openssl req -new -key %s.key -out %s.csr -subj '/CN=lab %s' && "
            "printf '%s' > %s.ext && "
            "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial "
            "-days %d -extfile %s.ext -out %s.pem",
            name, name, name, extensions, name, name, issuer, issuer, days, name, name);
}

void lab_authorities(const struct lab *lab)
{
    lab_key(lab, "root", "p256");
    lab_root(lab, "root");
    lab_key(lab, "middle", "p256");
    lab_issue(lab, "middle", "root", 1000,
              "basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign\\n"
              "subjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n");
}

void lab_chain(const struct lab *lab, const char *name, const char *kind, const char *dns)
{
    char extensions[512];
    (void)snprintf(extensions, sizeof extensions,
                   "subjectAltName=%s\\nextendedKeyUsage=serverAuth\\n"
                   "authorityKeyIdentifier=keyid\\n",
                   dns);
    lab_key(lab, name, kind);
    lab_issue(lab, name, "middle", 365, extensions);
    lab_run(lab, "cat middle.pem >> %s.pem", name);
}

static char *path_of(const struct lab *lab, const char *name, const char *suffix)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s%s", lab->directory, name, suffix);
    return strdup(path);
}

struct config_certificate *lab_section(struct lab *lab, const char *name)
{
    if (lab->config.certificate_count == LAB_SECTIONS_MAX)
        fail("too many sections");
    struct config_certificate *section = &lab->sections[lab->config.certificate_count++];
    const unsigned line = (unsigned)lab->config.certificate_count * 10;
    *section = (struct config_certificate){.chain = path_of(lab, name, ".pem"),
                                           .chain_line = line + 1,
                                           .key = path_of(lab, name, ".key"),
                                           .key_line = line + 2};
    section->section.line = line;
    (void)snprintf(section->section.name, sizeof section->section.name, "%s", name);
    return section;
}

void lab_forget_sections(struct lab *lab)
{
    for (size_t i = 0; i < lab->config.certificate_count; i++) {
        free(lab->sections[i].chain);
        free(lab->sections[i].key);
    }
    lab->config.certificate_count = 0;
}

static struct bundle *pack(const struct lab *lab, bool keys)
{
    struct error error = {.text = ""};
    struct bundle_builder *builder = bundle_builder_new("test", &error);
    if (!builder)
        fail(error.text);
    for (size_t i = 0; i < lab->config.certificate_count; i++) {
        const struct config_certificate *section = &lab->sections[i];
        const char *path = keys && section->key ? section->key : section->chain;
        if (!bundle_add_file(builder, path, CONFIG_CHAIN_MAX, &error))
            fail(error.text);
    }
    const int fd = bundle_seal(builder, &error);
    bundle_builder_free(builder);
    struct bundle *bundle = fd < 0 ? NULL : bundle_open(fd, &error);
    if (!bundle)
        fail(error.text);
    (void)close(fd);
    return bundle;
}

struct bundle *lab_chains(const struct lab *lab)
{
    return pack(lab, false);
}

struct bundle *lab_keys(const struct lab *lab)
{
    return pack(lab, true);
}

char *lab_read(const struct lab *lab, const char *file, size_t *size)
{
    char *path = path_of(lab, file, "");
    FILE *stream = fopen(path, "rb");
    char *text = calloc(1, 65536);
    if (!stream || !text)
        fail(path);
    *size = fread(text, 1, 65535, stream);
    (void)fclose(stream);
    free(path);
    return text;
}

bool lab_reported(const struct report *report, enum report_level level, const char *text)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->entries[i].level == level && strstr(report->entries[i].text, text))
            return true;
    }
    return false;
}
