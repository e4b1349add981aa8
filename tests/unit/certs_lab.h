/*
 * A certificate authority for tests: makes keys and certificates with the openssl command
 * in a directory of its own, removed at the end, and packs them into bundles.
 */
#ifndef TESTS_CERTS_LAB_H
#define TESTS_CERTS_LAB_H

#include "config/bundle.h"
#include "config/config.h"

enum { LAB_SECTIONS_MAX = 16 };

struct lab {
    char directory[64];
    struct config config; /* sections added by lab_section */
    struct config_certificate sections[LAB_SECTIONS_MAX];
};

/* Ends the test on failure. */
void lab_open(struct lab *lab);
void lab_close(struct lab *lab);

/* Runs a shell command in the directory; must succeed. */
void lab_run(const struct lab *lab, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes NAME.key (PKCS #8).  `kind` is p256, p384, p521, ed25519, rsa2048, rsa1024... */
void lab_key(const struct lab *lab, const char *name, const char *kind);

/* Writes NAME.pem, self-signed CA over NAME.key. */
void lab_root(const struct lab *lab, const char *name);

/* Writes NAME.pem over NAME.key, signed by ISSUER; `extensions` in openssl's syntax. */
void lab_issue(const struct lab *lab, const char *name, const char *issuer, int days,
               const char *extensions);

/* Key, certificate for `dns` and chain with one intermediate in one call: NAME.pem holds
 * leaf and intermediate; lab_chain needs "root" and "middle" (lab_authorities). */
void lab_authorities(const struct lab *lab);
void lab_chain(const struct lab *lab, const char *name, const char *kind,
               const char *dns);

/* Adds a section with chain NAME.pem and key NAME.key, line = 10 * position. */
struct config_certificate *lab_section(struct lab *lab, const char *name);

void lab_forget_sections(struct lab *lab);

/* The contents of the files that `lab->config` names, under the names it has for them. */
struct bundle *lab_chains(const struct lab *lab);
struct bundle *lab_keys(const struct lab *lab);

/* A whole file; free() it. */
char *lab_read(const struct lab *lab, const char *file, size_t *size);

/* Whether one of the entries of `level` holds `text`. */
bool lab_reported(const struct report *report, enum report_level level, const char *text);

#endif
