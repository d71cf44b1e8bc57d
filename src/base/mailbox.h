/*
 * A mailbox: any thread puts messages of one size into it, one thread takes them out. An MPSC ring
 * (ring/mpsc.h, which says how to use its two ends) with memory of its own.
 */
#ifndef HL_BASE_MAILBOX_H
#define HL_BASE_MAILBOX_H

#include <stdalign.h>
#include <stdbool.h>

#include "ring/mpsc.h"

typedef struct hl_mailbox {
    /* Read-only after it is made. */
    hl_mpsc_producer in;
    /* Who takes writes. */
    alignas(HL_RING_LINE_PAIR) hl_ring_consumer out;
} hl_mailbox;

/* Makes one with `slots` messages (a power of two) of slot_size bytes (a multiple of 64), the first
 * 8 of which are the ring's. Control plane only. False: no memory, or no such sizes. */
bool hl_mailbox_make(hl_mailbox *mailbox, uint32_t slot_size, uint32_t slots);

/* Frees its memory and what lies in it. One that was not made, of zeros, is nothing. */
void hl_mailbox_free(hl_mailbox *mailbox);

#endif
