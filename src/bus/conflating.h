/*
 * Conflating lanes: instead of rings, one table for all publishers that keeps the newest event of
 * each (topic, key) until the partition takes it (ring/conflate.h). Never full, whatever the
 * partition does; only `state` topics lie there. The table is made when the first publisher opens
 * the lane, and lasts as long as the bus.
 *
 * A publisher fills the event in a spare cell of the table, so that nothing is copied. So does a
 * handler with its first claim of a call; what it publishes besides is staged in a ring, as
 * everywhere, and copied when it returns HL_OK.
 *
 *   SEATED  seat.taken of a lane's shared outlet: a thread takes a seat (compare-and-swap, acquire)
 *           for one claim and gives it back (store release): it has the former one's use behind it.
 */
#ifndef HL_BUS_CONFLATING_H
#define HL_BUS_CONFLATING_H

#include "bus/executor.h"
#include "ring/conflate.h"

#define HL_CONFLATING_SHARED_SEATS 16 /* claims open at once in a lane's shared outlet */

/* A publisher's place at the table. */
struct hl_conflating_seat {
    alignas(128) hl_conflate_publisher publisher;
    hl_conflate_place place; /* of the claim that is open */
    uint32_t taken;          /* SEATED: a claim is open */
};

/* Whether events of that partition and priority are conflated. */
bool hl_lane_conflates(const hl_partition *partition, hl_priority priority);

/*
 * Fills request->outlet: without a ring, with a seat at the lane's table (which is made when it is
 * the first), HL_CONFLATING_SHARED_SEATS of them for a shared one. Under the bus's lock. HL_OK;
 * HL_NO_MEMORY, HL_LIMIT with the bus's sentence.
 */
hl_status hl_conflating_outlet_make(hl_bus *bus, hl_lane_request *request);

/* Gives an outlet whose handler stages in a ring a seat at the lane's table. Likewise. */
hl_status hl_conflating_seat_make(hl_bus *bus, hl_outlet *outlet);

/* Gives the seats back and frees them; NULL is nothing. Their publisher no longer uses them. */
void hl_conflating_seats_free(hl_outlet *outlet);

/*
 * Begins a claim: a free seat and the cell to be filled. The publisher's thread.
 * - HL_OK: *ret_seat is to be given to hl_conflating_commit or _abort, by any thread.
 * - HL_BUSY: an exclusive publisher's claim is open, or as many as a shared one can have.
 * - HL_LIMIT: the key is new and the table has no room for another.
 */
hl_status hl_conflating_claim(hl_outlet *outlet, uint32_t topic, uint64_t key, uint32_t *ret_seat,
                              hl_event **ret_event);

/* The cell becomes the newest of its key; the partition is woken when the key was not waiting. */
void hl_conflating_commit(hl_outlet *outlet, uint32_t seat);
void hl_conflating_abort(hl_outlet *outlet, uint32_t seat);

/* The key waits now, and did not before: tells the partition. */
void hl_conflating_tell(hl_outlet *outlet);

/* Makes sure that the key has room, for a handler that stages elsewhere. HL_BUSY: it has, as
 * hl_conflating_claim would say; HL_LIMIT. */
hl_status hl_conflating_admit(hl_outlet *outlet, uint32_t topic, uint64_t key);

/* Makes a copy of an event that a handler has staged the newest of its key. HL_OK, HL_LIMIT. */
hl_status hl_conflating_put(hl_outlet *outlet, const hl_event *event);

/* ---- an exclusive publisher's outlet, whose one seat, 0, is its own: the same in fewer steps ----
 */

static inline hl_status hl_conflating_claim_alone(hl_outlet *outlet, uint32_t topic, uint64_t key,
                                                  hl_event **ret_event)
{
    hl_conflating_seat *const at = &outlet->seats[0];
    void *cell = NULL;
    if (at->taken != 0)
        return HL_BUSY;
    const hl_status status = hl_conflate_try_claim(&at->publisher, topic, key, &at->place, &cell);
    at->taken = status == HL_OK;
    *ret_event = cell;
    return status;
}

static inline void hl_conflating_commit_alone(hl_outlet *outlet)
{
    hl_conflating_seat *const at = &outlet->seats[0];
    at->taken = 0;
    if (!hl_conflate_commit(&at->publisher, at->place))
        hl_conflating_tell(outlet);
}

#endif
