#include "market/simulation.h"

#define LONGEST_TURN 8u /* events an executor takes at most in one step */

uint64_t market_simulation_clock(void *clock)
{
    return ((const market_clock *)clock)->now_ns;
}

/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t word = *state += 0x9E3779B97F4A7C15u;
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9u;
    word = (word ^ word >> 27) * 0x94D049BB133111EBu;
    return word ^ word >> 31;
}

/* A number below `bound`. */
static uint32_t draw(uint64_t *state, uint32_t bound)
{
    return (uint32_t)((next_random(state) >> 32) * bound >> 32);
}

static market_feed *earliest_feed(const market_simulation *simulation, uint64_t *ret_ns)
{
    market_feed *earliest = NULL;
    uint64_t earliest_ns = UINT64_MAX;
    for (uint32_t index = 0; index < simulation->feed_count; index++) {
        const uint64_t next_ns = market_feed_next_ns(simulation->feeds[index]);
        if (next_ns < earliest_ns) {
            earliest_ns = next_ns;
            earliest = simulation->feeds[index];
        }
    }
    *ret_ns = earliest_ns;
    return earliest;
}

/* HL_FULL is no failure: an executor's step comes. */
static hl_status publish_next(market_simulation *simulation, market_feed *feed, uint64_t at_ns)
{
    if (at_ns > simulation->clock->now_ns)
        simulation->clock->now_ns = at_ns;
    const hl_status status = market_feed_publish(feed);
    return status == HL_FULL || status == HL_THROTTLED ? HL_OK : status;
}

/* With nothing left to publish: turns every executor once. */
static hl_status run_dry(const market_simulation *simulation)
{
    uint32_t dispatched = 0;
    const uint32_t executors = hl_bus_executor_count(simulation->bus);
    for (uint32_t index = 0; index < executors; index++)
        dispatched += hl_executor_turn(hl_bus_executor(simulation->bus, index), LONGEST_TURN);
    return dispatched == 0 ? HL_NOT_FOUND : HL_OK;
}

hl_status market_simulation_run(market_simulation *simulation, uint32_t steps)
{
    const uint32_t executors = hl_bus_executor_count(simulation->bus);
    for (uint32_t step = 0; step < steps; step++) {
        uint64_t at_ns;
        market_feed *const feed = earliest_feed(simulation, &at_ns);
        /* One choice in (executors + 1) publishes, so that lanes fill and empty at random but are
         * emptied faster than they fill. */
        const uint32_t choice = draw(&simulation->random, executors + 1);
        hl_status status = HL_OK;
        if (feed == NULL)
            status = run_dry(simulation);
        else if (choice == executors)
            status = publish_next(simulation, feed, at_ns);
        else
            hl_executor_turn(hl_bus_executor(simulation->bus, choice),
                             1 + draw(&simulation->random, LONGEST_TURN));
        if (status != HL_OK)
            return status;
    }
    return HL_OK;
}
