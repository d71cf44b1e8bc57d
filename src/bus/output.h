/*
 * What handlers publish through `out`: staged in the rings of their partition (or worker), to
 * become visible as a whole when the handler returns HL_OK, and taken back otherwise. It never
 * waits, and the bus's gate does not concern it. The thread that runs the handler.
 */
#ifndef HL_BUS_OUTPUT_H
#define HL_BUS_OUTPUT_H

#include "bus/publisher.h"

/* Outcomes as of hl_try_claim, hl_try_claim_run and hl_try_claim_priority. Three of them, for each
 * takes its arguments in registers. */
hl_status hl_output_claim_one(hl_publisher *out, hl_topic topic, uint64_t key,
                              uint32_t payload_size, hl_claim *ret_claim);
hl_status hl_output_claim_run(hl_publisher *out, hl_topic topic, uint64_t key,
                              uint32_t payload_size, uint32_t count, hl_claim *ret_claim);
hl_status hl_output_claim_priority(hl_publisher *out, hl_topic topic, uint64_t key,
                                   hl_priority priority, uint32_t payload_size,
                                   hl_claim *ret_claim);

/* What a handler commits stays where it is until the handler returns. */
void hl_output_commit(hl_outlet *outlet, hl_claim *claim);

/* Makes the events that a handler has committed visible, or takes them all back; after it has
 * returned, or has said how many of a batch it has done (hl_batch_taken). */
void hl_output_settle(hl_publisher *out, bool keep);

#endif
