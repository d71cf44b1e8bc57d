/*
 * The simulated venue. An order is immediate-or-cancel: it trades at once with the shares that the
 * book showed on the other side when it was decided (they travel with the order), up to its limit,
 * and the rest is cancelled. Shares that an earlier order of ours took from the same quote are not
 * there a second time. What it does not model: latency to the exchange, others who were faster,
 * and our own effect on the market.
 *
 * Every order gets an acknowledgement and then ends in exactly one outcome (filled or cancelled),
 * or it is rejected. One thread at a time; allocates only for more instruments than were reserved.
 */
#ifndef MARKET_VENUE_H
#define MARKET_VENUE_H

#include <stdbool.h>
#include <stdint.h>

#include <hotlane/status.h>

#include "market/payloads.h"
#include "market/rows.h"

/* The quote that was last traded with, and how much of it is gone. */
typedef struct market_taken {
    uint64_t exchange_ns;
    int64_t price;
    uint32_t quantity;
} market_taken;

/* Of an instrument. */
typedef struct market_taken_quotes {
    market_taken of_buys, of_sells;
} market_taken_quotes;

typedef struct market_venue {
    market_rows taken; /* market_taken_quotes for each key */
    uint64_t next_fill_id;
    uint64_t id_step;
} market_venue;

/* What the venue answers: the acknowledgement (or rejection), then the end of the order. */
typedef struct market_execution {
    market_report first; /* MARKET_ACKNOWLEDGED or MARKET_REJECTED */
    market_report last;  /* MARKET_FILLED or MARKET_CANCELLED; as `first` when rejected */
    market_fill fill;    /* quantity 0: nothing traded */
} market_execution;

/* Fill ids are `first_fill_id`, + id_step, ... HL_OK or HL_NO_MEMORY. */
hl_status market_venue_init(market_venue *venue, uint64_t first_fill_id, uint64_t id_step,
                            uint32_t expected_keys);
void market_venue_free(market_venue *venue);

/* Executes an order. Changes nothing: what it takes counts once market_venue_executed is called. */
void market_venue_execute(market_venue *venue, uint64_t key, const market_order *order,
                          market_execution *ret_execution);

/* The execution was published. */
void market_venue_executed(market_venue *venue, uint64_t key, const market_order *order,
                           const market_execution *execution);

/* Writes what it knows, and puts it into a new one. HL_OK, HL_DAMAGED, HL_NO_MEMORY. */
void market_venue_save(const market_venue *venue, hl_state_writer *writer);
hl_status market_venue_load(market_venue *venue, hl_state_reader *reader);

#endif
