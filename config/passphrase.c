#include "config/passphrase.h"

#include <stdio.h>
#include <string.h>

static const char blanks[] = " \t";

void passphrase_name(const struct config_certificate *certificate,
                     char name[PASSPHRASE_NAME_MAX])
{
    snprintf(name, PASSPHRASE_NAME_MAX, "%s%s", PASSPHRASE_BLOB,
             certificate->section.name);
}

bool passphrase_check_command(const char *text, struct error *error)
{
    size_t count = 0;
    if (text[0] != '/') {
        return error_set(error,
                         "\"%s\" does not begin with an absolute path (no shell "
                         "looks for it)",
                         text);
    }
    if (strlen(text) >= PASSPHRASE_COMMAND_MAX) {
        return error_set(error, "the command is over the %d bytes allowed",
                         PASSPHRASE_COMMAND_MAX - 1);
    }
    for (const char *word = text; *word != '\0'; word += strspn(word, blanks)) {
        word += strcspn(word, blanks);
        count++;
    }
    return count <= PASSPHRASE_WORDS_MAX ||
           error_set(error, "the command has over the %d words allowed",
                     PASSPHRASE_WORDS_MAX);
}

void passphrase_split_command(char *text, char *words[PASSPHRASE_WORDS_MAX + 1])
{
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, blanks, &rest);
         word != NULL && count < PASSPHRASE_WORDS_MAX;
         word = strtok_r(NULL, blanks, &rest)) {
        words[count++] = word;
    }
    words[count] = NULL;
}
