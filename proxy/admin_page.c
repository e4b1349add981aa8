#include "proxy/admin_page.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/coding.h>
#include <wolfssl/wolfcrypt/hash.h>

enum { HASH_TEXT_MAX = 48 };

static bool page_hash(const char *element, char text[HASH_TEXT_MAX]);

/* The file as it is, and a NUL. */
__asm__(".section .rodata\n"
        ".global admin_page, admin_page_size\n"
        "admin_page: .incbin \"proxy/admin_page.html\"\n"
        "admin_page_end: .byte 0\n"
        ".balign 8\n"
        "admin_page_size: .quad admin_page_end - admin_page\n"
        ".previous\n");

bool admin_page_policy(char policy[ADMIN_POLICY_MAX])
{
    char style[HASH_TEXT_MAX], script[HASH_TEXT_MAX];

    if (!page_hash("style", style) || !page_hash("script", script))
        return false;
    int length = snprintf(policy, ADMIN_POLICY_MAX,
                          "default-src 'none'; style-src 'sha256-%s'; "
                          "script-src 'sha256-%s'; connect-src 'self'; img-src data:; "
                          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                          style, script);
    return length < ADMIN_POLICY_MAX;
}

/* Of what stands in the page's only `element`. */
static bool page_hash(const char *element, char text[HASH_TEXT_MAX])
{
    char open[16], close[16];
    uint8_t digest[WC_SHA256_DIGEST_SIZE];
    word32 length = HASH_TEXT_MAX;

    (void)snprintf(open, sizeof(open), "<%s>", element);
    (void)snprintf(close, sizeof(close), "</%s>", element);
    const char *start = strstr(admin_page, open);
    const char *end = strstr(admin_page, close);
    if (!start || !end || end < start)
        return false;
    start += strlen(open);
    if (wc_Sha256Hash((const byte *)start, (word32)(end - start), digest) != 0 ||
        Base64_Encode_NoNl(digest, sizeof(digest), (byte *)text, &length) != 0 ||
        length >= HASH_TEXT_MAX)
        return false;
    text[length] = '\0';
    return true;
}
