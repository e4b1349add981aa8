/*
 * "Did you mean": the known word that is nearest to a mistyped one.
 */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include <stddef.h>

enum { SUGGEST_WORD_MAX = 64 };

struct suggestion {
    const char *wrong; /* borrowed */
    const char *best;  /* borrowed from the words offered; NULL: none is near */
    size_t distance;   /* of best */
    char words[SUGGEST_WORD_MAX + 32];
};

void suggestion_init(struct suggestion *suggestion, const char *wrong);

/* Weighs one known word. */
void suggestion_offer(struct suggestion *suggestion, const char *known);

/* ` (did you mean "best"?)`, or "" if nothing is near; lives in the suggestion. */
const char *suggestion_words(struct suggestion *suggestion);

#endif
