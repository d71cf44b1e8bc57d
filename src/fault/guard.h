/*
 * The guard of a subscription (bus/guard.h): what becomes of an event whose handler fails. Retries,
 * a breaker where one is asked for, and dead letters for what is given up.
 */
#ifndef HL_FAULT_GUARD_H
#define HL_FAULT_GUARD_H

#include "bus/bus.h"
#include "bus/guard.h"
#include "fault/ward.h"

/* hl_check_guard, hl_make_guard, hl_make_async_guard (bus.h). */
hl_status hl_guard_check(const hl_subscription_options *options, hl_error *error);
bool hl_guard_make(hl_cell *cell, hl_partition *partition);
bool hl_guard_make_async(hl_async *async);

/*
 * Takes a redriven event in, IN_HAND, with memory of its own; counted as delivered. False: the
 * subscription is not there (any more). The partition's thread, from a command.
 */
bool hl_guard_redriven(hl_partition *partition, hl_cell *cell, hl_kept *kept);

/*
 * In a replay, whose journal shows what the event of this sequence has caused: a stop does not wait
 * until what failed is due. If it waits here for its time, or behind another of its key, it (or
 * that other) is due now. False: it does not, or it waits for room. The partition's thread.
 */
bool hl_guard_hurry(hl_partition *partition, uint64_t sequence);

/* Serves a ward: the first member of `due`. */
uint32_t hl_guard_serve(hl_partition *partition, hl_due *due, uint64_t now_ns);

#endif
