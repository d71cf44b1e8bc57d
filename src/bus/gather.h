/*
 * A publisher's batches: its rings are left alone until enough events lie in one, or the oldest has
 * waited long enough by the partition's clock, or it flushes; then they are taken one behind the
 * other. The publisher itself does nothing for it. All but hl_gather_flush: on the thread that
 * turns the partition.
 *
 *   FLUSHED  flush_to: the publisher's thread stores it, the partition's loads it; relaxed, it only
 *            says what need not wait; what may be read follows from READY (ring.h).
 */
#ifndef HL_BUS_GATHER_H
#define HL_BUS_GATHER_H

#include "bus/due.h"
#include "bus/lane.h"

/* One for each inlet of a publisher that batches; made with it. */
struct hl_gather {
    hl_due due; /* first: open while the inlet is left alone */
    hl_inlet *inlet;
    uint32_t events;
    uint64_t wait_ns;
    uint64_t until; /* the position up to which what is there is taken */
    uint64_t flush_to;
};

/* Makes inlet->gather. The control plane. False: no memory. */
bool hl_gather_make(hl_inlet *inlet, const hl_lane_request *request);

/* How many of the inlet's events, at most `max`, may be taken now. 0: it was taken off its level
 * until there are enough. Only where inlet->gather is not NULL and something is ready. */
uint32_t hl_gather_take(hl_executor *executor, hl_inlet *inlet, uint32_t max);

/* What the outlet has committed so far need not wait. The publisher's thread. */
void hl_gather_flush(hl_outlet *outlet);

#endif
