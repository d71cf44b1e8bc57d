/*
 * A manual bus with workers, which the test turns as well.
 *
 *     const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSY);
 *     follower f;
 *     start_follower(&f, "market_data.*", &options);
 *     publish_values(f.feed, f.trade, 1, 3);
 *     turn_partition(f.bus, "market_data");
 *     hl_executor_turn(worker(f.bus, 0), 0);
 *     manual_stop(f.bus);
 */
#ifndef HL_TEST_ASYNC_BUS_H
#define HL_TEST_ASYNC_BUS_H

#include "bus/bus.h"
#include "manual_bus.h"

#define WORKERS 2

hl_bus *start_with_workers(uint32_t max_workers); /* all of them at work */
hl_executor *worker(hl_bus *bus, uint32_t index);
hl_executor *taps(hl_bus *bus);

/* With a queue of 4 events, ejected when 3 are behind. */
hl_subscription_options async_options(hl_async_order async, hl_contract contract);

/* A bus with WORKERS workers, the topic market_data.trade, one that publishes it, and one that is
 * subscribed to a pattern with options of the test's. */
typedef struct follower {
    hl_bus *bus;
    hl_topic trade;
    hl_publisher *feed;
    hl_subscription *subscription;
    recorder seen;
} follower;
void start_follower(follower *ret_follower, const char *pattern,
                    const hl_subscription_options *options);

/* The partition takes what there is, and looks again at what it holds. */
void turn_partition(hl_bus *bus, const char *domain);

/* Publishes first, first + 1, ..., last, each under itself as its key. */
void publish_values(hl_publisher *publisher, hl_topic to, uint64_t first, uint64_t last);

/* A subscription with those options is refused with that status, in a sentence with that text. */
void assert_refused(hl_bus *bus, const hl_subscription_options *options, hl_status status,
                    const char *text);

#endif
