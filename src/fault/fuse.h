/*
 * A fuse: a breaker where it stands in a bus, by one cell or, under a lock, by all strands of an
 * async subscription. Each change is told (system.breaker, the log); what is held asks again when
 * the breaker rests no more; forced by call, opened by the watchdog.
 *
 * Unless said otherwise: who has the keeper's ward, as of ward->now_ns; only of a keeper that
 * has_breaker.
 *
 *   FORCE  keeper.force_wanted: who forces a breaker stores it (relaxed), then exchanges
 * force_asked (acq_rel); the partition exchanges that back (acq_rel) and loads it: whichever
 * exchange came last, what was stored before it is acted upon, with one command under way.
 */
#ifndef HL_FAULT_FUSE_H
#define HL_FAULT_FUSE_H

#include "fault/ward.h"

/* False: no memory for what it holds. The control plane. */
bool hl_fuse_make(hl_fuse *fuse, const hl_breaker_options *options, uint32_t slot_size_bytes);

/* The call by which a partition looks at what is wanted of its breaker. The control plane. */
void hl_fuse_init_calls(hl_keeper *keeper);

/* What becomes of an event, and of the oldest that is held; one held is gone otherwise. */
hl_admit hl_fuse_admit(hl_keeper *keeper);
bool hl_fuse_admit_held(hl_keeper *keeper);
void hl_fuse_unhold(hl_keeper *keeper);

/* The outcome of a handler's call. `for_room`: it failed for want of room alone. */
void hl_fuse_failed(hl_keeper *keeper, bool for_room);
void hl_fuse_succeeded(hl_keeper *keeper);

/* After the breaker has changed, or what is held has: when to ask again. Of any keeper. */
void hl_fuse_arm(hl_keeper *keeper);

/* The watchdog has found the cell's handler (on a worker: of its subscription) over its budget:
 * counts it, and has the breaker open where it is to. The housekeeper, under the bus's lock. */
void hl_fuse_was_slow(hl_cell *cell);

/* How its breaker stands, on the partition where it is worst (OPEN, then HALF_OPEN); CLOSED if it
 * has none. Any thread, as long as the subscription is there. */
hl_breaker_state hl_fuse_state(const hl_subscription *subscription);

#endif
