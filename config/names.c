#include "config/names.h"

#include <search.h>
#include <string.h>

#include "config/suggest.h"

enum { SUGGEST_FROM_MAX = 256 }; /* names weighed for one "did you mean" */

static const struct config_section *names_at(const struct names *names, size_t index);
static int name_compare(const void *a, const void *b);
static void keep(void *node);

bool names_open(struct names *names, const struct config *config, struct report *report)
{
    names->tree = NULL;
    for (size_t i = 0; i < names->count; i++) {
        const struct config_section *section = names_at(names, i);
        const struct config_section *const *node =
            tsearch(section, &names->tree, name_compare);
        if (node == NULL) {
            return false;
        }
        if (*node != section) {
            report_add(report, REPORT_ERROR, config->file, section->line,
                       "section [%s %s] is already in line %u", names->word,
                       section->name, (*node)->line);
        }
    }
    return true;
}

const void *names_find(const struct names *names, const struct config *config,
                       const struct reference *reference, struct report *report)
{
    const void *const *node = tfind(reference->name, &names->tree, name_compare);
    if (node != NULL) {
        return *node;
    }
    struct suggestion suggestion;
    suggestion_init(&suggestion, reference->name);
    const bool kept = report->count < REPORT_ENTRIES_MAX; /* else nobody reads it */
    for (size_t i = 0; kept && i < names->count && i < SUGGEST_FROM_MAX; i++) {
        suggestion_offer(&suggestion, names_at(names, i)->name);
    }
    report_add(report, REPORT_ERROR, config->file, reference->line,
               "%s \"%s\": %s \"%s\" is not defined%s", reference->word,
               reference->section->name, names->word, reference->name,
               suggestion_words(&suggestion));
    return NULL;
}

void names_close(struct names *names)
{
    tdestroy(names->tree, keep);
    names->tree = NULL;
}

static const struct config_section *names_at(const struct names *names, size_t index)
{
    const char *items = names->items;
    return (const void *)(items + index * names->item_size);
}

/* Of two sections, or of a name and a section: sections begin with their name. */
static int name_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The tree only borrows what it orders. */
static void keep(void *node)
{
    (void)node;
}
