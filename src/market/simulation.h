/*
 * The deterministic run: one thread turns feeds and executors in an order drawn from a seed, under
 * a virtual clock that is the data's own time. The same recordings, configuration and seed give the
 * same events in the same order in every partition, byte for byte.
 *
 * The bus must have been created with HL_THREADS_MANUAL and config.clock = market_simulation_clock,
 * config.clock_context = the market_clock that is handed in here.
 */
#ifndef MARKET_SIMULATION_H
#define MARKET_SIMULATION_H

#include <hotlane/hotlane.h>

#include "market/feed.h"

/* The virtual clock: the time of the newest message published so far, never stepping back. */
typedef struct market_clock {
    uint64_t now_ns;
} market_clock;

uint64_t market_simulation_clock(void *clock);

typedef struct market_simulation {
    hl_bus *bus;
    market_clock *clock;
    market_feed *const *feeds;
    uint32_t feed_count;
    uint64_t random; /* the seed, then the generator's state */
} market_simulation;

/*
 * Publishes what is next in the data's time, or turns one executor, as the generator says, at most
 * `steps` times. Messages are published in the order of their times over all feeds, equal times by
 * feed number. HL_OK: more to do; HL_NOT_FOUND: the feeds are at their end and every executor has
 * been idle since; else why a feed cannot go on. The starting thread only.
 */
hl_status market_simulation_run(market_simulation *simulation, uint32_t steps);

#endif
