/*
 * The counters that the rule of an alert may name: "lane.rejected" of "order/critical".
 */
#ifndef HL_HEALTH_COUNTER_H
#define HL_HEALTH_COUNTER_H

#include <hotlane/bus.h>
#include <hotlane/health.h>

#include "config/domains.h"

/* Whose a counter is. */
typedef enum hl_counter_scope {
    HL_COUNTER_LANE = 0,     /* of a domain, "order", or of a lane of it, "order/critical" */
    HL_COUNTER_SUBSCRIPTION, /* of all subscriptions of a name, closed ones too */
    HL_COUNTER_THREAD,
    HL_COUNTER_JOURNAL, /* of a domain */
    HL_COUNTER_BUS      /* of the bus itself: it is nobody's */
} hl_counter_scope;

typedef struct hl_counter {
    const char *name;
    hl_counter_scope scope;
    size_t offset; /* of a uint64_t in what is read of that scope */
} hl_counter;

/* NULL: there is none of that name. Pure. */
const hl_counter *hl_counter_find(const char *name);

/* Splits "order/critical" into its domain and its priority; -1: it names none. False: what stands
 * behind the '/' is no priority. Pure. */
bool hl_counter_lane(const char *of, hl_name *ret_domain, int *ret_priority);

/* What it stands at, of `of` ("": of all together). False: no memory. Takes the bus's lock; not
 * under it. */
bool hl_counter_read(hl_bus *bus, const hl_counter *counter, const char *of, uint64_t *ret_value);

#endif
