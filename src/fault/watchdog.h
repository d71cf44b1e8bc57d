/*
 * The watchdog: the housekeeper's look, each 10 ms, at whose handler runs on each partition and how
 * long already, and whether each executor makes progress. It reads counters that the partitions'
 * threads write anyway, so that it costs them nothing; what it sees is at most a tick late, and a
 * handler that ends between two ticks was never seen.
 */
#ifndef HL_FAULT_WATCHDOG_H
#define HL_FAULT_WATCHDOG_H

#include "bus/bus.h"

typedef struct hl_watchdog hl_watchdog;

/* NULL: no memory. */
hl_watchdog *hl_watchdog_make(const hl_bus *bus);
void hl_watchdog_free(hl_watchdog *watchdog);

/* The housekeeper, without the bus's lock. */
void hl_watchdog_look(hl_watchdog *watchdog, hl_bus *bus, uint64_t now_ns);

/* As of the last look, the housekeeper: how long an executor has made no progress; and how much of
 * its budget a subscription's handler has used since it was called, on the partition or worker
 * where it runs for the longest. 0: it does well. */
uint64_t hl_watchdog_stalled_ns(const hl_watchdog *watchdog, uint32_t executor, uint64_t now_ns);
uint64_t hl_watchdog_budget_pct(const hl_watchdog *watchdog, const hl_subscription *subscription,
                                uint64_t now_ns);

#endif
