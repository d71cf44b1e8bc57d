/*
 * Redriving: a dead letter's event goes to the one subscription that failed, by a command on its
 * partition, as a kept event with memory of its own; its outcome comes back to the housekeeper.
 */
#ifndef HL_FAULT_REDRIVE_H
#define HL_FAULT_REDRIVE_H

#include "fault/faults.h"

/* hl_dead_redriver (dead_letter.h); `context`: hl_faults. */
hl_status hl_redrive(const hl_dead_letter *letter, void *context);

/* A redriven event has its outcome: was_handled, is_settled (posted again), or neither: its letter
 * goes back as it was. The partition's thread; the event is no longer its. */
void hl_redrive_spend(hl_faults *faults, hl_kept *kept);

/* Tells the letters what became of those, and frees them. The housekeeper, or who drains at the
 * end.
 */
void hl_redrive_reap(hl_faults *faults);

#endif
