/*
 * The heavy half of a store-load pair whose light half is on the hot path.
 *
 * Two threads each store a word and then load the other's: for one of them to see the other's
 * store, both need a full fence between the two. Here the rare side pays for both: it stores, calls
 * hl_barrier_all_threads, loads; the frequent side stores, hl_fence_light (which keeps the compiler
 * from reordering, no more), loads. membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED, has every
 * running thread of the process execute a full fence meanwhile: some microseconds.
 */
#ifndef HL_BASE_BARRIER_H
#define HL_BASE_BARRIER_H

#include <stdbool.h>

static inline void hl_fence_light(void)
{
    __asm__ volatile("" ::: "memory");
}

/* Every store that any thread of this process did before its light fence, or before now, is visible
 * to the caller; what the caller stored before is visible to every load behind a light fence.
 * False: the kernel has no such call, or a filter forbids it, and nothing is promised. Any thread.
 */
bool hl_barrier_all_threads(void);

#endif
