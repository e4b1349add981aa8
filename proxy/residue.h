/*
 * What finished sessions leave in a worker: the plaintext that went through its scratch
 * buffer last, and what returned functions of a key exchange left on the stack.  With
 * something to do a worker overwrites both all the time; one that has nothing to do would
 * keep them past the forward-secrecy window.
 */
#ifndef PROXY_RESIDUE_H
#define PROXY_RESIDUE_H

#include "proxy/stream.h"

/* Wipes both.  To be called from the event loop: the scratch holds nothing between
 * events, and the stack below is dead. */
void residue_wipe(struct scratch *scratch);

#endif
