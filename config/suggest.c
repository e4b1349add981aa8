#include "config/suggest.h"

#include <stdio.h>
#include <string.h>

static size_t edit_distance(const char *a, size_t a_length, const char *b,
                            size_t b_length);
static size_t least(size_t a, size_t b);

void suggestion_init(struct suggestion *suggestion, const char *wrong)
{
    *suggestion = (struct suggestion){.wrong = wrong, .distance = SUGGEST_WORD_MAX};
}

void suggestion_offer(struct suggestion *suggestion, const char *known)
{
    const size_t wrong_length = strlen(suggestion->wrong);
    const size_t known_length = strlen(known);
    const size_t longer = wrong_length > known_length ? wrong_length : known_length;
    const size_t shorter = wrong_length > known_length ? known_length : wrong_length;
    /* One typing error for every three letters is near; a length differs by as many. */
    const size_t near = longer / 3;
    if (longer >= SUGGEST_WORD_MAX || longer - shorter > near) {
        return;
    }
    const size_t distance =
        edit_distance(suggestion->wrong, wrong_length, known, known_length);
    if (distance <= near && distance < suggestion->distance) {
        suggestion->distance = distance;
        suggestion->best = known;
    }
}

const char *suggestion_words(struct suggestion *suggestion)
{
    suggestion->words[0] = '\0';
    if (suggestion->best != NULL) {
        snprintf(suggestion->words, sizeof(suggestion->words), " (did you mean \"%s\"?)",
                 suggestion->best);
    }
    return suggestion->words;
}

/* Letters inserted, left out, replaced, or swapped with their neighbour.  Three rows of
 * the usual table are enough: row i holds the distances of the first i letters of `a`. */
static size_t edit_distance(const char *a, size_t a_length, const char *b,
                            size_t b_length)
{
    size_t rows[3][SUGGEST_WORD_MAX];
    for (size_t j = 0; j <= b_length; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            const size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
            }
        }
    }
    return rows[a_length % 3][b_length];
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}
