/*
 * The page for people: admin_page.html, part of the program.  It holds its style and its
 * script itself; the policy that goes with it allows these two by their hash, requests to
 * where it came from, and nothing else.
 */
#ifndef PROXY_ADMIN_PAGE_H
#define PROXY_ADMIN_PAGE_H

#include <stdbool.h>
#include <stddef.h>

extern const char admin_page[];
extern const size_t admin_page_size;

enum { ADMIN_POLICY_MAX = 512 };

/* The value of Content-Security-Policy. */
bool admin_page_policy(char policy[ADMIN_POLICY_MAX]);

#endif
