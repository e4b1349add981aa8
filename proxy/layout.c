#include "proxy/layout.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/expand.h"

struct layout {
    const struct config *config; /* borrowed, as all below */
    const struct config *older;
    struct file_list *files; /* may be NULL */
    struct report *report;   /* may be NULL */
    FILE *index;
    size_t section; /* that is being looked at */
    size_t count;   /* certificates found in it */
    size_t total;
};

/* The names that a pair has in a directory of its own. */
static const struct {
    const char *chain;
    const char *key;
} pairs[] = {{"fullchain.pem", "privkey.pem"}, {"tls.crt", "tls.key"}};

static void layout_section(struct layout *layout);
static void layout_entry(struct layout *layout, const char *directory, const char *name);
static void layout_loose(struct layout *layout, const char *directory, const char *name);
static bool layout_pair(struct layout *layout, const char *directory, const char *name);
static void layout_older(struct layout *layout, const char *directory);
static const char *layout_older_chain(const struct layout *layout, const char *key);
static void layout_found(struct layout *layout, const char *name, const char *chain,
                         const char *key);
static void layout_list(const struct layout *layout, const char *path);
static void layout_fault(const struct layout *layout, const char *text,
                         const char *cause);
static int layout_is_wanted(const struct dirent *entry);
static bool exists(const char *path);

char *layout_scan(const struct config *config, const struct config *older,
                  struct file_list *files, struct report *report, size_t *size)
{
    struct layout layout = {
        .config = config, .older = older, .files = files, .report = report};
    char *index = NULL;

    *size = 0;
    layout.index = open_memstream(&index, size);
    if (!layout.index)
        return NULL;
    for (size_t i = 0; i < config->certificate_count; i++) {
        layout.section = i;
        if (config->certificates[i].directory)
            layout_section(&layout);
        else
            layout.total++;
    }
    if (fclose(layout.index) == 0)
        return index;
    free(index);
    return NULL;
}

static void layout_section(struct layout *layout)
{
    const char *directory = layout->config->certificates[layout->section].directory;
    struct dirent **entries = NULL;

    layout->count = 0;
    layout_list(layout, directory);
    if (layout_pair(layout, directory, ""))
        return;
    int count = scandir(directory, &entries, layout_is_wanted, alphasort);
    if (count < 0) {
        layout_fault(layout, "cannot read the directory", strerror(errno));
        layout_older(layout, directory);
        return;
    }
    for (int i = 0; i < count; i++) {
        layout_entry(layout, directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (layout->count == 0)
        layout_fault(
            layout, "there is no certificate in",
            "looked for NAME/fullchain.pem, NAME/tls.crt, NAME.pem and NAME.crt");
}

static void layout_entry(struct layout *layout, const char *directory, const char *name)
{
    struct stat status;
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        layout_list(layout, path);
        (void)layout_pair(layout, path, name);
        return;
    }
    layout_loose(layout, directory, name);
}

/* A file of a pair that is told by its suffix; the pair is found by the chain, or by the
 * key if that is all there is. */
static void layout_loose(struct layout *layout, const char *directory, const char *name)
{
    const char *dot = strrchr(name, '.');
    char stem[NAME_MAX + 1];
    char pem[PATH_MAX], crt[PATH_MAX], key[PATH_MAX];

    if (!dot || dot == name)
        return;
    (void)snprintf(stem, sizeof(stem), "%.*s", (int)(dot - name), name);
    if (snprintf(pem, sizeof(pem), "%s/%s.pem", directory, stem) >= (int)sizeof(pem))
        return;
    (void)snprintf(crt, sizeof(crt), "%s/%s.crt", directory, stem);
    (void)snprintf(key, sizeof(key), "%s/%s.key", directory, stem);
    if (strcmp(dot, ".crt") == 0) {
        layout_found(layout, stem, crt, key);
    } else if (strcmp(dot, ".pem") == 0 && !exists(crt)) {
        layout_found(layout, stem, pem, key);
    } else if (strcmp(dot, ".key") == 0 && !exists(crt) && !exists(pem)) {
        const char *chain = layout_older_chain(layout, key);
        layout_found(layout, stem, chain ? chain : crt, key);
    }
}

/* Whether `directory` holds a certificate of its own, or half of one. */
static bool layout_pair(struct layout *layout, const char *directory, const char *name)
{
    char chain[PATH_MAX], key[PATH_MAX];

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (snprintf(chain, sizeof(chain), "%s/%s", directory, pairs[i].chain) >=
                (int)sizeof(chain) ||
            snprintf(key, sizeof(key), "%s/%s", directory, pairs[i].key) >=
                (int)sizeof(key))
            return false;
        if (exists(chain) || exists(key)) {
            layout_found(layout, name, chain, key);
            return true;
        }
    }
    return false;
}

static void layout_older(struct layout *layout, const char *directory)
{
    const char *section = layout->config->certificates[layout->section].section.name;
    const size_t length = strlen(section);

    for (size_t i = 0; layout->older && i < layout->older->certificate_count; i++) {
        const struct config_certificate *found = &layout->older->certificates[i];
        const char *name = found->section.name;
        if (!found->directory || strcmp(found->directory, directory) != 0 ||
            strncmp(name, section, length) != 0)
            continue;
        if (name[length] == '/')
            layout_found(layout, name + length + 1, found->chain, found->key);
        else if (name[length] == '\0')
            layout_found(layout, "", found->chain, found->key);
    }
}

static const char *layout_older_chain(const struct layout *layout, const char *key)
{
    for (size_t i = 0; layout->older && i < layout->older->certificate_count; i++) {
        const struct config_certificate *found = &layout->older->certificates[i];
        if (found->key && strcmp(found->key, key) == 0)
            return found->chain;
    }
    return NULL;
}

static void layout_found(struct layout *layout, const char *name, const char *chain,
                         const char *key)
{
    layout->count++;
    if (++layout->total > CONFIG_CERTIFICATES_MAX) {
        if (layout->total == CONFIG_CERTIFICATES_MAX + 1)
            layout_fault(layout, "there are more than 10000 certificates with those of",
                         "the rest is left out");
        return;
    }
    expand_write(layout->index, layout->section, name, chain, key);
    layout_list(layout, chain);
    layout_list(layout, key);
}

static void layout_list(const struct layout *layout, const char *path)
{
    if (layout->files)
        (void)file_list_add(layout->files, path);
}

static void layout_fault(const struct layout *layout, const char *text, const char *cause)
{
    const struct config_certificate *section =
        &layout->config->certificates[layout->section];

    if (layout->report)
        report_add(layout->report, REPORT_FAULT, layout->config->file,
                   section->directory_line, "certificate \"%s\": %s \"%s\": %s",
                   section->section.name, text, section->directory, cause);
}

/* Names that can stand in a log as they are. */
static int layout_is_wanted(const struct dirent *entry)
{
    for (const char *c = entry->d_name; *c; c++) {
        if (*c <= ' ' || *c > '~')
            return 0;
    }
    return entry->d_name[0] != '.';
}

/* Also a link to nowhere, whose target may be about to come. */
static bool exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}
