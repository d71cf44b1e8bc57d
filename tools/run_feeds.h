/*
 * The feeds of `hotlane run`, one for each input and each a component of the bus: starting one
 * opens its publisher, stopping one closes it. They publish when the bus runs: from run_feeds_start
 * on, or by the caller's market_feed_publish. All but adding needs the components started.
 */
#ifndef HL_TOOLS_RUN_FEEDS_H
#define HL_TOOLS_RUN_FEEDS_H

#include "market/feed.h"
#include "market/pipeline.h"

typedef struct run_feeds run_feeds;

typedef struct run_feed {
    run_feeds *feeds;
    uint32_t input;
} run_feed;

struct run_feeds {
    hl_bus *bus;
    const market_pipeline *pipeline;
    const market_recording *recordings; /* by input */
    market_feed_options options;
    bool resume;                           /* behind what the pipeline has taken of it before */
    uint32_t count;                        /* of components added */
    market_feed *feeds[MARKET_INPUTS_MAX]; /* NULL: not started */
    run_feed own[MARKET_INPUTS_MAX];
};

/* Adds a component "feed.N" for each of `count` inputs, each of which needs `after`. `feeds` has
 * its first five fields set, the rest is zero; it outlives the bus. What hl_component_add answers.
 */
hl_status run_feeds_add(run_feeds *feeds, uint32_t count, const char *after, hl_error *error);

/* Starts the feeds' threads: the bus runs and the components are started. */
hl_status run_feeds_start(run_feeds *feeds, hl_error *error);

/* All have published what they had, or failed. */
bool run_feeds_done(const run_feeds *feeds);

/* Messages, of all. */
uint64_t run_feeds_published(const run_feeds *feeds);

/* Asks the threads to end and waits for them. HL_OK, or why the first could not go on; `error` may
 * be NULL. */
hl_status run_feeds_join(run_feeds *feeds, hl_error *error);

#endif
