/*
 * A breaker: a state machine of outcomes and time, of one subscription on one partition; that
 * partition's thread owns it. (Nygard, "Release It!", 2007, chapter 5.)
 *
 *   CLOSED     the last outcomes are a word of bits, 1 a failure; enough of them, or a failure rate
 *              too high in a window that a failure began: OPEN
 *   OPEN       nothing is delivered; after the rest, the next event is let through: HALF_OPEN
 *   HALF_OPEN  one probe at a time; enough good ones in a row: CLOSED; a bad one: OPEN
 *
 *     switch (hl_breaker_admit(&breaker, now_ns)) { case HL_ADMIT_DELIVER: ... }
 *     ...handler...
 *     if (status == HL_OK) hl_breaker_succeeded(&breaker, now_ns);
 *     else                 hl_breaker_failed(&breaker, now_ns);
 *     if (hl_breaker_take_change(&breaker, &change)) ...publish system.breaker...
 *
 * While it is closed and all the last outcomes were good, a success changes nothing: a word of
 * zeros shifted is a word of zeros. So the way without failures is a load, a test and a branch at
 * admit, and the same after the handler (`busy`).
 */
#ifndef HL_FAULT_BREAKER_H
#define HL_FAULT_BREAKER_H

#include <hotlane/system.h>

typedef enum hl_admit {
    HL_ADMIT_DELIVER = 0, /* each of these has one outcome later: succeeded, failed or cancelled */
    HL_ADMIT_DEAD_LETTER, /* HL_DEAD_BREAKER_OPEN */
    HL_ADMIT_SKIP,
    HL_ADMIT_HOLD,     /* keep it behind those held before; hl_breaker_admit_held asks for it */
    HL_ADMIT_HOLD_FULL /* a dead letter: HL_DEAD_HOLD_FULL */
} hl_admit;

typedef struct hl_breaker_change {
    hl_breaker_state from, to;
    hl_breaker_reason cause;
    uint32_t failures; /* of the last outcomes, or in the window, when it opened */
    uint64_t at_ns;
} hl_breaker_change;

typedef struct hl_breaker {
    uint32_t busy; /* 0: closed, no failure remembered, nothing held. The usual way looks at it */
    hl_breaker_state state;
    uint64_t history; /* the last of_last outcomes, the newest in bit 0; 1: a failure */
    /* The window of the rate; window_events 0: none runs. */
    uint64_t window_end_ns;
    uint64_t window_events, window_failures;
    uint64_t opened_ns;
    uint32_t good_probes;
    bool probing; /* a probe is under way */
    hl_breaker_force force;
    uint32_t held; /* events that the owner keeps */
    bool changed;
    hl_breaker_change change;
    uint64_t opened_count; /* times it opened */
    hl_breaker_options options;
} hl_breaker;

/* Closed. `options` were checked (hl_breaker_options_check), and are copied. */
void hl_breaker_init(hl_breaker *breaker, const hl_breaker_options *options);

/* The rest of admit, succeeded: all that is not `busy == 0`. */
hl_admit hl_breaker_admit_busy(hl_breaker *breaker, uint64_t now_ns);
void hl_breaker_succeeded_busy(hl_breaker *breaker, uint64_t now_ns);

/* What to do with the next event. */
static inline hl_admit hl_breaker_admit(hl_breaker *breaker, uint64_t now_ns)
{
    if (__builtin_expect(breaker->busy == 0, 1))
        return HL_ADMIT_DELIVER;
    return hl_breaker_admit_busy(breaker, now_ns);
}

/* The handler took a delivered event. (While half-open any outcome counts as the probe's, also one
 * of an event that was delivered before it opened.) */
static inline void hl_breaker_succeeded(hl_breaker *breaker, uint64_t now_ns)
{
    if (__builtin_expect(breaker->busy != 0, 0))
        hl_breaker_succeeded_busy(breaker, now_ns);
}

/* The handler failed on a delivered event. */
void hl_breaker_failed(hl_breaker *breaker, uint64_t now_ns);

/* A delivered event has no outcome: its copy was cancelled, or it waits for room. */
void hl_breaker_cancelled(hl_breaker *breaker);

/* Whether the oldest held event may be delivered now; true: it is held no more, and has an outcome
 * later, as with HL_ADMIT_DELIVER. While any is held, hl_breaker_admit has new events wait behind
 * them, whatever the state. */
bool hl_breaker_admit_held(hl_breaker *breaker, uint64_t now_ns);

/* A held event has left the hold without being delivered. */
void hl_breaker_unhold(hl_breaker *breaker);

/* Opens now, as enough failures would (the watchdog: a handler over its budget). Nothing while it
 * is forced, or open. */
void hl_breaker_trip(hl_breaker *breaker, uint64_t now_ns);

/* Holds it open or closed until it is set free. Free of FORCED_OPEN it rests, then probes; free of
 * FORCED_CLOSED it is closed with nothing remembered. */
void hl_breaker_set_force(hl_breaker *breaker, hl_breaker_force force, uint64_t now_ns);

/* When the owner of held events must ask again: 0: now; UINT64_MAX: after a probe's outcome or a
 * change by hand. */
uint64_t hl_breaker_next_probe_ns(const hl_breaker *breaker);

/* Whether the state changed since the last call; each of the calls above changes it at most once.
 */
static inline bool hl_breaker_take_change(hl_breaker *breaker, hl_breaker_change *ret_change)
{
    if (__builtin_expect(!breaker->changed, 1))
        return false;
    breaker->changed = false;
    *ret_change = breaker->change;
    return true;
}

#endif
