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

#endif
