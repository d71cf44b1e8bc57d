/*
 * A lock that is held for some hundred instructions, where several workers write one breaker or one
 * pool of rooms: only when handlers fail, never on a partition's thread. A holder may be switched
 * out: who waits naps, so that one of a higher priority on the same CPU lets it go on.
 *
 *   SHORT  the word: taken with acquire, given back with release: what the last holder wrote is
 *          seen by the next.
 */
#ifndef HL_FAULT_SHORT_LOCK_H
#define HL_FAULT_SHORT_LOCK_H

#include <time.h>

#include "ring/order.h"

#define HL_SHORT_LOCK_POLLS  64
#define HL_SHORT_LOCK_NAP_NS 20000

static inline bool hl_short_lock_try(uint32_t *lock)
{
    uint32_t open = 0;
    /* SHORT: acquire, what the last holder wrote is seen. */
    return hl_compare_exchange_acq_rel_u32(lock, &open, 1);
}

static inline void hl_short_lock(uint32_t *lock)
{
    const struct timespec nap = {0, HL_SHORT_LOCK_NAP_NS};
    for (uint32_t i = 1; !hl_short_lock_try(lock); i++) {
        if (i % HL_SHORT_LOCK_POLLS == 0)
            nanosleep(&nap, NULL);
        else
            hl_pause();
    }
}

static inline void hl_short_unlock(uint32_t *lock)
{
    hl_store_release_u32(lock, 0); /* SHORT: release, as said. */
}

#endif
