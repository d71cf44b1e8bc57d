/*
 * The risk check: turns a signal into an order, or says why not. It knows what it has sent and,
 * from the venue's reports, what became of it; what might still trade counts as if it had.
 *
 * One thread at a time; allocates only for more instruments than were reserved.
 */
#ifndef MARKET_RISK_H
#define MARKET_RISK_H

#include <stdbool.h>
#include <stdint.h>

#include <hotlane/status.h>

#include "market/payloads.h"
#include "market/rows.h"

typedef struct market_risk_options {
    uint32_t order_quantity;  /* shares an order asks for: 1 and more */
    uint32_t max_position;    /* shares, long or short, open orders included */
    uint32_t max_open_orders; /* per instrument */
    uint64_t first_order_id;  /* ids are this, + id_step, + 2 * id_step, ... */
    uint64_t id_step;         /* shards take turns: 1 and more */
} market_risk_options;

#define MARKET_RISK_OPTIONS_INIT \
    {                            \
        100, 1000, 4, 1, 1       \
    }

typedef enum market_risk_decision {
    MARKET_RISK_ORDER,    /* `*ret_order` is to be sent */
    MARKET_RISK_POSITION, /* refused: the position, open orders included, is at its limit */
    MARKET_RISK_OPEN,     /* refused: too many orders are open in the instrument */
    MARKET_RISK_VALUE,    /* refused: nothing is shown to trade with, or the signal is malformed */
    MARKET_RISK_MEMORY    /* refused: no memory for one more instrument */
} market_risk_decision;

/* What is at risk in one instrument. */
typedef struct market_exposure {
    int64_t position;
    uint64_t open_buys; /* shares of orders not yet done */
    uint64_t open_sells;
    uint32_t open_orders;
} market_exposure;

typedef struct market_risk {
    market_risk_options options;
    market_rows exposures; /* a market_exposure for each key */
    uint64_t next_order_id;
    uint64_t refused; /* signals that became no order */
} market_risk;

/* HL_OK or HL_NO_MEMORY. */
hl_status market_risk_init(market_risk *risk, const market_risk_options *options,
                           uint32_t expected_keys);
void market_risk_free(market_risk *risk);

/* Checks a signal. Changes nothing: an order counts once market_risk_sent is called. */
market_risk_decision market_risk_check(market_risk *risk, uint64_t key, const market_signal *signal,
                                       market_order *ret_order);

/* The order was sent. */
void market_risk_sent(market_risk *risk, uint64_t key, const market_order *order);

/* The signal was refused for good. */
void market_risk_refuse(market_risk *risk);

/* What became of an order: its shares are no longer open, what was filled is position. */
void market_risk_reported(market_risk *risk, uint64_t key, const market_report *report);

/* A sentence for a decision; static memory, shorter than a log's text. */
const char *market_risk_text(market_risk_decision decision);

/* Writes what it knows, and puts it into a new one. HL_OK, HL_DAMAGED, HL_NO_MEMORY. */
void market_risk_save(const market_risk *risk, hl_state_writer *writer);
hl_status market_risk_load(market_risk *risk, hl_state_reader *reader);

#endif
