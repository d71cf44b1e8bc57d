/*
 * What the housekeeper sees of a partition: how full its rings are, how long its orders waited, how
 * much comes and goes. Figures for the ladder, and the watermarks of its lanes.
 */
#ifndef HL_FLOW_WATCH_H
#define HL_FLOW_WATCH_H

#include "bus/bus.h"
#include "flow/load.h"

/* The fullest ring of a lane. */
typedef struct hl_fill {
    uint32_t used, slots; /* slots 0: there is no ring */
    uint16_t source;      /* whose it is; 0: shared */
} hl_fill;

/* Of each lane of a partition. */
typedef struct hl_fills {
    hl_fill lanes[HL_PRIORITIES];
} hl_fills;

/* Under the bus's lock. */
hl_fills hl_watch_fills(const hl_partition *partition);

/*
 * A sample for the ladder. `order_delay_ns`: of the partition's executor. Under the bus's lock.
 *
 * A publisher that blocks paces itself by the lane: in a domain whose policy it is, and on an
 * executor that turns one, a full lane and a busy thread are what was asked for. There the delay of
 * orders and the rate of arrivals alone are load.
 */
hl_load_sample hl_watch_sample(const hl_partition *partition, const hl_fills *fills,
                               uint64_t order_delay_ns, uint64_t now_ns);

/* Whether a partition's publishers block, and whether an executor turns one whose do. */
bool hl_watch_blocks(const hl_partition *partition);
bool hl_watch_executor_blocks(const hl_executor *executor);

/* Whether a lane has just passed one of its domain's watermarks. *is_above: the state, at first
 * false. Pure. */
bool hl_watch_mark(const hl_domain_config *domain, const hl_fill *fill, bool *is_above);

#endif
