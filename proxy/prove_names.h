/*
 * The names that the IANA registry gives to groups, versions and alerts of TLS.
 */
#ifndef PROXY_PROVE_NAMES_H
#define PROXY_PROVE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Named groups of all versions. */
struct prove_group {
    uint16_t id;
    const char *name;
    bool tls12;
    bool tls13;
    bool hybrid; /* or purely post-quantum */
    bool weak;   /* under 112 bits of security */
};

extern const struct prove_group prove_groups[];
extern const size_t prove_groups_count;

/* `text` is used where there is no name. */
enum { PROVE_NAME_MAX = 64 };
const char *prove_group_name(uint16_t id, char text[PROVE_NAME_MAX]);
const char *prove_version_name(uint16_t version, char text[PROVE_NAME_MAX]);
const char *prove_alert_name(uint8_t alert, char text[PROVE_NAME_MAX]);

#endif
