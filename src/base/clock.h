/*
 * The bus clock: ns since the Unix epoch, the same on every CPU, never stepping back. It counts the
 * TSC where that is invariant (else CLOCK_MONOTONIC), is anchored once to CLOCK_REALTIME, and is
 * slewed towards it by at most 500 ppm, never stepped. A clock handed in by the application
 * replaces all that (tests, backtests, simulation).
 *
 * hl_clock_now: any thread, wait-free but for a retry when it meets a slew (once a second).
 * hl_clock_slew: one thread at a time (the housekeeper).
 *
 * Sets of parameters take turns, so that a reader always has a whole one, and a slew is no step:
 *   SET   sets[index % HL_CLOCK_SETS] -> reader: hl_clock_slew fills the set of the next index,
 *         which readers by this index and the one before it do not look at, then stores `index`
 *         (release); hl_clock_now loads `index` (acquire), the set, and `index` once more.
 * A set begins HL_CLOCK_LEAD_NS after it is announced, where the line of the one before it then is;
 * until then readers go by that one. If it began at once, a reader that had just read on the old,
 * faster line would be ahead of the new one. (That could still happen to a slew that is stopped
 * for longer than half the lead between its last look at the time and its store of `index`: by
 * 500 ns for each ms.)
 */
#ifndef HL_BASE_CLOCK_H
#define HL_BASE_CLOCK_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "ring/order.h"

#define HL_CLOCK_SETS    4u
#define HL_CLOCK_LEAD_NS 100000000u

typedef struct hl_clock_set {
    uint64_t base_count; /* counter where this set begins */
    uint64_t base_ns;    /* bus time at that count */
    uint64_t scale;      /* ns per count, 32.32 fixed point */
} hl_clock_set;

typedef struct hl_clock {
    /* Written by hl_clock_slew, once a second; read by everyone. */
    alignas(128) uint64_t index;
    hl_clock_set sets[HL_CLOCK_SETS];
    /* Read-only after init. */
    bool uses_tsc;
    uint64_t nominal_scale;
    uint64_t (*external)(void *context);
    void *external_context;
} hl_clock;

/* `external` NULL: the machine's own. The first call in a process measures the TSC for 10 ms. */
void hl_clock_init(hl_clock *clock, uint64_t (*external)(void *context), void *context);

/* Brings the clock towards CLOCK_REALTIME; call it about once a second. Nothing happens while the
 * last slew has not begun yet (HL_CLOCK_LEAD_NS). */
void hl_clock_slew(hl_clock *clock);

/* CLOCK_MONOTONIC in ns: for timeouts and durations, whatever clock the bus goes by. Any thread. */
static inline uint64_t hl_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t hl_clock_count(const hl_clock *clock)
{
#if defined(__x86_64__)
    if (clock->uses_tsc)
        return __rdtsc();
#endif
    return hl_monotonic_ns();
}

/* The time at a count that is not before the set's beginning. */
static inline uint64_t hl_clock_on(const hl_clock_set *set, uint64_t count)
{
    const uint64_t elapsed = count - set->base_count;
    return set->base_ns + (uint64_t)(((unsigned __int128)elapsed * set->scale) >> 32);
}

/* The time at any count: one read just before the set began, on another CPU, must not wrap to the
 * far future. */
static inline uint64_t hl_clock_at(const hl_clock_set *set, uint64_t count)
{
    return (int64_t)(count - set->base_count) > 0 ? hl_clock_on(set, count) : set->base_ns;
}

/* The set of an index. Acquire on each field, so that the second look at `index` cannot come before
 * them: a set that is being refilled is one whose index has moved on. */
static inline hl_clock_set hl_clock_copy_set(const hl_clock *clock, uint64_t index)
{
    const hl_clock_set *const set = &clock->sets[index % HL_CLOCK_SETS];
    return (hl_clock_set){/* SET: acquire, as said above. */
                          hl_load_acquire_u64(&set->base_count),
                          /* SET: acquire, as said above. */
                          hl_load_acquire_u64(&set->base_ns),
                          /* SET: acquire, as said above. */
                          hl_load_acquire_u64(&set->scale)};
}

/* hl_clock_now for all cases: a clock handed in, no invariant TSC, a reader that meets a slew. */
uint64_t hl_clock_now_slowly(const hl_clock *clock);

/* hl_clock_now in its usual case; false in all others. */
static inline bool hl_clock_try_now(const hl_clock *clock, uint64_t *ret_now_ns)
{
#if defined(__x86_64__)
    if (__builtin_expect(clock->uses_tsc, 1)) {
        /* SET: acquire, so that the set read below is the one that this index announced. */
        const uint64_t index = hl_load_acquire_u64(&clock->index);
        /* Before the second look at `index`: a thread that is stopped here for long must not go on
         * by a set whose time is over. */
        const uint64_t count = __rdtsc();
        const hl_clock_set set = hl_clock_copy_set(clock, index);
        /* Relaxed: ordered after the fields by their acquire. */
        const bool whole = hl_load_relaxed_u64(&clock->index) == index;
        *ret_now_ns = hl_clock_on(&set, count);
        return __builtin_expect(whole && count >= set.base_count, 1);
    }
#endif
    (void)ret_now_ns;
    return false;
}

static inline uint64_t hl_clock_now(const hl_clock *clock)
{
    uint64_t now_ns = 0;
    return hl_clock_try_now(clock, &now_ns) ? now_ns : hl_clock_now_slowly(clock);
}

#endif
