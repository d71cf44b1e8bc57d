/*
 * How what the journal's thread knows reaches the others.
 *   JOURNALED  hl_journal_progress's words: the journal's thread -> any reader: whoever sees a
 *              sequence here sees the bytes of the segments up to it, and the segment's name.
 */
#ifndef HL_JOURNAL_PROGRESS_H
#define HL_JOURNAL_PROGRESS_H

#include <hotlane/journal.h>

#include "ring/order.h"

/* The journal's thread only. */
static inline void hl_progress_publish(uint64_t *word, uint64_t value)
{
    /* JOURNALED: release, so that who reads the value finds what it speaks of. */
    hl_store_release_u64(word, value);
}

static inline uint64_t hl_progress_read(const uint64_t *word)
{
    /* JOURNALED: acquire, the other end. */
    return hl_load_acquire_u64(word);
}

#endif
