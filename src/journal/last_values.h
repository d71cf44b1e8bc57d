/*
 * The last values of a domain's state topics, as an aggregate of the bus's own ("last.DOMAIN"):
 * what a rebuild from a snapshot would lack of the events before it. There is one for each domain
 * of a bus that has other aggregates.
 */
#ifndef HL_JOURNAL_LAST_VALUES_H
#define HL_JOURNAL_LAST_VALUES_H

#include <hotlane/bus.h>

/* Makes those that a bus lacks. The control plane, before the start. As hl_aggregate_open. */
hl_status hl_last_values_keep(hl_bus *bus, hl_error *error);

#endif
