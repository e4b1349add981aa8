/*
 * What a directory of certificates holds, seen by the master.  The usual layouts are
 * known, one level deep:
 *
 *   fullchain.pem + privkey.pem, tls.crt + tls.key    the directory is one certificate
 *   NAME/ with one of these pairs                     as certbot has them in live/
 *   NAME.pem + NAME.key, NAME.crt + NAME.key
 *
 * Of a pair of which one file is there, the other one is missed; names that begin with a
 * dot are passed over.  Only names are looked at, no file.
 */
#ifndef PROXY_LAYOUT_H
#define PROXY_LAYOUT_H

#include "config/config.h"
#include "proxy/file_list.h"

/* Writes the index (config/expand.h; the caller frees it) of all directories that
 * `config` names.  Where one cannot be read, or a key lacks its chain, it goes by what
 * `older` (NULL: nothing) found.  Lists directories and files in `files`, problems in
 * `report`; both may be NULL.  NULL without memory. */
char *layout_scan(const struct config *config, const struct config *older,
                  struct file_list *files, struct report *report,
                  size_t *size) MUST_CHECK;

#endif
