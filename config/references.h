/*
 * What sections say of each other by name: resolved into pointers, and checked.
 */
#ifndef CONFIG_REFERENCES_H
#define CONFIG_REFERENCES_H

#include "config/config.h"

/* Fills every pointer from one section of `config` to another.  Reports names that two
 * sections have or that lead nowhere, routes that no client could reach, and policies
 * that guard nothing.  False without memory. */
bool check_references(struct config *config, struct report *report) MUST_CHECK;

#endif
