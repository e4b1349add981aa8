/*
 * What the configuration says about the passphrase of a certificate's key, and the name
 * under which it travels to the keyholders.  The passphrase itself is never here.
 */
#ifndef CONFIG_PASSPHRASE_H
#define CONFIG_PASSPHRASE_H

#include "config/config.h"

/* In front of the certificate's name: the name of the blob that holds the passphrase.  No
 * bytes in it: they could not be had, which has been reported. */
#define PASSPHRASE_BLOB "config.passphrase."

enum {
    PASSPHRASE_NAME_MAX = sizeof(PASSPHRASE_BLOB) + CONFIG_TITLE_MAX,
    PASSPHRASE_COMMAND_MAX = 1024, /* bytes with its NUL */
    PASSPHRASE_WORDS_MAX = 64
};

void passphrase_name(const struct config_certificate *certificate,
                     char name[PASSPHRASE_NAME_MAX]);

/* Whether `text` can be run: words with blanks between them, the first an absolute path.
 * Nothing else has a meaning, as no shell reads it. */
bool passphrase_check_command(const char *text, struct error *error) MUST_CHECK;

/* The words of a command that can be run, with NULL behind them.  They lie in `text`,
 * which is cut into pieces. */
void passphrase_split_command(char *text, char *words[PASSPHRASE_WORDS_MAX + 1]);

#endif
