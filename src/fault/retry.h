/*
 * When a failed event is tried again: pure functions of the options. Any thread.
 */
#ifndef HL_FAULT_RETRY_H
#define HL_FAULT_RETRY_H

#include <hotlane/fault.h>

/* Whether there is a retry after a failure of delivery `attempt` (hl_event.attempt: 0 is the
 * first). */
static inline bool hl_retry_again(const hl_retry_options *options, uint32_t attempt)
{
    return attempt < options->attempts;
}

/*
 * From the failure to retry number `attempt` (1: the first retry), ns. `options` were checked;
 * attempt 0 counts as 1. No product overflows: what would, is the cap. The jitter is a function of
 * seed, event and attempt alone, so that a replay has the same delays, whatever else happens.
 */
uint64_t hl_retry_delay_ns(const hl_retry_options *options, uint64_t event_id, uint32_t attempt);

/* Whether later events of the same key wait, in a domain of this name. */
bool hl_retry_is_ordered(const hl_retry_options *options, const char *domain);

#endif
