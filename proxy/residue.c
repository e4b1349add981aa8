#include "proxy/residue.h"

#include <string.h>

/* A handshake was seen to use 18 KiB below the event loop. */
enum { STACK_BYTES = 32 * 1024 };

static void residue_wipe_stack(void);

void residue_wipe(struct scratch *scratch)
{
    explicit_bzero(scratch->plain, sizeof(scratch->plain));
    residue_wipe_stack();
}

/* Its frame covers what lies below the caller's. */
__attribute__((noinline)) static void residue_wipe_stack(void)
{
    uint8_t below[STACK_BYTES];

    explicit_bzero(below, sizeof(below));
}
