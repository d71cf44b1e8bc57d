/*
 * A hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP
 * 1987, scheme 7): timers by when they are due, in 10 levels of 64 slots each. Level 0 holds the
 * ticks of the running block of 64, level 1 the running block of 64 blocks, and so on: between them
 * any 64-bit time.
 *
 *     hl_wheel_init(&wheel, HL_WHEEL_SHIFT, now_ns);
 *     hl_wheel_add(&wheel, &retry->timer, now_ns + delay_ns, now_ns);
 *     ...each turn:
 *     if (hl_wheel_is_due(&wheel, now_ns))
 *         for (hl_timer *timer; (timer = hl_wheel_expire(&wheel, now_ns)) != NULL;)
 *             ...
 *
 * Guarantees: a timer never comes before it is due, and is due for at most one tick when it comes,
 * given a caller that looks; timers come by tick, those of one tick in the order of adding (one
 * that is late when it is added comes at the next look, among those that are due). Add and cancel
 * are O(1) in the worst case. hl_wheel_expire does at most HL_WHEEL_BUDGET moves a call: a timer is
 * moved down at most once a level, so that expiry is O(1) amortised and bounded each time.
 *
 * The nodes are the caller's, so the wheel allocates nothing, and is bounded by how many nodes
 * there are. One thread owns it; nothing in it is atomic. The clock is handed in; one that steps
 * back brings nothing early: timers then wait until it is again where it was. An empty wheel begins
 * anew at the time of the first timer's adding, whatever it was before.
 */
#ifndef HL_FAULT_TIMER_WHEEL_H
#define HL_FAULT_TIMER_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HL_WHEEL_LEVELS 10u
#define HL_WHEEL_SLOTS  64u
#define HL_WHEEL_SHIFT  14u /* the usual tick: 16,384 ns */
#define HL_WHEEL_BUDGET 64u /* timers moved down a level in one call */

/* A timer: a part of what it is for. Zeroed, it is in no wheel. */
typedef struct hl_timer {
    struct hl_timer *next, *previous; /* in a circle with the slot's head; NULL: in no wheel */
    uint64_t tick;                    /* when it is due */
    uint32_t slot;                    /* level * HL_WHEEL_SLOTS + slot of the level */
} hl_timer;

typedef struct hl_wheel {
    uint64_t attention_ns; /* nothing is due before this; UINT64_MAX: it is empty */
    uint64_t tick;         /* the time that the slots are laid out by; goes back only when empty */
    uint32_t shift;        /* a tick is 2^shift ns */
    uint32_t levels_used;  /* bit l: level l has timers */
    uint64_t count;        /* timers in it */
    uint64_t slots_used[HL_WHEEL_LEVELS];
    hl_timer heads[HL_WHEEL_LEVELS * HL_WHEEL_SLOTS];
    hl_timer moving; /* head of a slot's timers on their way down, in order */
    uint32_t moving_level;
} hl_wheel;

/* An empty wheel. shift: 4..30. */
void hl_wheel_init(hl_wheel *wheel, uint32_t shift, uint64_t now_ns);

/* Adds a timer that is in no wheel. A due time in the past: due at the next look. */
void hl_wheel_add(hl_wheel *wheel, hl_timer *timer, uint64_t due_ns, uint64_t now_ns);

/* Takes a timer out; false: it was in no wheel. Allowed at any time, also between two expiries. */
bool hl_wheel_cancel(hl_wheel *wheel, hl_timer *timer);

/* The next timer that is due, taken out; NULL: none now. (With hl_wheel_is_due still true, the call
 * has used its budget moving timers down: call again.) */
hl_timer *hl_wheel_expire(hl_wheel *wheel, uint64_t now_ns);

/* Whether hl_wheel_expire has something to do: one comparison. UINT64_MAX is no time, but never. */
static inline bool hl_wheel_is_due(const hl_wheel *wheel, uint64_t now_ns)
{
    return now_ns >= wheel->attention_ns;
}

/* How long the owner may sleep: no timer is due before this time. It may be early by what lies
 * between the levels, never late. UINT64_MAX: the wheel is empty. */
static inline uint64_t hl_wheel_next_due(const hl_wheel *wheel)
{
    return wheel->attention_ns;
}

static inline bool hl_timer_is_set(const hl_timer *timer)
{
    return timer->next != NULL;
}

#endif
