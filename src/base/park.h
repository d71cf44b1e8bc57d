/*
 * Putting an idle thread to sleep, and waking it from a publish, with Concurrency Kit's event count
 * on a futex. One sleeper, any number of wakers.
 *
 * The sleeper:  hl_sleeper_prepare; look for work once more; none: hl_sleeper_sleep.
 *               (some: hl_sleeper_cancel)
 * The waker:    store the work (release), then hl_sleeper_notify.
 *
 *   ASLEEP  a store-load pair (barrier.h). Waker, on every publish: stores the work (a slot's
 * stamp, or the executor's `commands`), light fence, loads `asleep`. Sleeper: stores `asleep`,
 *           barrier of all threads, loads the work. One of the two sees the other's store, so that
 * no work is left behind with its consumer asleep. Where the kernel has no such barrier, a sleep
 * lasts at most a millisecond, and the sleeper looks again.
 *
 * hl_sleeper_notify: wait-free; one load of a line that is rarely written, and a system call only
 * when the sleeper sleeps. Executors that spin have no sleeper at all.
 */
#ifndef HL_BASE_PARK_H
#define HL_BASE_PARK_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include <ck_ec.h>

#include "base/barrier.h"
#include "ring/order.h"

typedef struct hl_sleeper {
    /* The sleeper writes it, and the one waker that takes it back to 0. */
    alignas(128) uint32_t asleep;
    bool barrier_failed; /* the sleeper's own */
    /* Wakers write; apart from `asleep`, which every publish reads. */
    alignas(128) struct ck_ec32 count;
} hl_sleeper;

void hl_sleeper_init(hl_sleeper *sleeper);

/* Says that the thread is about to sleep; gives the ticket for hl_sleeper_sleep. */
uint32_t hl_sleeper_prepare(hl_sleeper *sleeper);
void hl_sleeper_cancel(hl_sleeper *sleeper);

/* Sleeps until woken, at most `timeout_ns` (UINT64_MAX: for ever). */
void hl_sleeper_sleep(hl_sleeper *sleeper, uint32_t ticket, uint64_t timeout_ns);

/* The slow half of hl_sleeper_notify. */
void hl_sleeper_wake(hl_sleeper *sleeper);

static inline void hl_sleeper_notify(hl_sleeper *sleeper)
{
    /* ASLEEP: the work's store before the load of `asleep`. */
    hl_fence_light();
    /* Relaxed: the fences order it; nothing else is read through it. */
    if (hl_load_relaxed_u32(&sleeper->asleep) != 0)
        hl_sleeper_wake(sleeper);
}

#endif
