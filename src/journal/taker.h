/*
 * Who takes a bus's snapshots (capture.h) and when: after so many events, so long, when it is asked
 * (hl_bus_snapshot), and a last time when the bus stops. A thread beside the housekeeper; with
 * HL_THREADS_MANUAL, before the start and after the stop it is whoever calls.
 */
#ifndef HL_JOURNAL_TAKER_H
#define HL_JOURNAL_TAKER_H

#include "bus/part.h"

/* The part: the taker's thread, and the last snapshots when a bus stops. After the journals'. */
extern const hl_part hl_aggregates_part;

#endif
