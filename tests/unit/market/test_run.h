/*
 * A whole run on the test's own thread: a synthetic recording, a bus that is turned by hand under a
 * virtual clock, the pipeline and its feeds.
 */
#ifndef TEST_MARKET_TEST_RUN_H
#define TEST_MARKET_TEST_RUN_H

#include <criterion/criterion.h>
#include <string.h>

#include "market/feed.h"
#include "market/pipeline.h"
#include "market/simulation.h"

#define TEST_INPUTS_MAX 4u

typedef struct test_run {
    hl_domain_config domains[MARKET_DOMAINS];
    market_clock clock;
    market_recording recordings[TEST_INPUTS_MAX];
    market_feed *feeds[TEST_INPUTS_MAX];
    uint32_t input_count;
    hl_bus *bus;
    market_pipeline *pipeline;
} test_run;

static inline hl_domain_config *test_domain(test_run *run, const char *name)
{
    for (uint32_t index = 0; index < MARKET_DOMAINS; index++)
        if (strcmp(run->domains[index].name, name) == 0)
            return &run->domains[index];
    cr_assert_fail("no domain %s", name);
    return NULL;
}

/* Reads `input_count` synthetic days of `limit` messages, and sets the domains, which the test may
 * change before test_run_open. */
static inline void test_run_prepare(test_run *run, uint32_t input_count, uint64_t limit)
{
    memset(run, 0, sizeof *run);
    market_pipeline_domains(run->domains);
    const market_reader_options options = {.limit = limit};
    run->input_count = input_count;
    for (uint32_t input = 0; input < input_count; input++) {
        char spec[32];
        snprintf(spec, sizeof spec, "synthetic:%u", input + 1);
        hl_error error;
        cr_assert_eq(market_reader_read_all(spec, &options, &run->recordings[input], &error), HL_OK,
                     "%s", error.text);
    }
}

static inline void test_run_open(test_run *run, const market_pipeline_options *options,
                                 uint64_t passes)
{
    hl_config config = HL_CONFIG_INIT;
    config.domains = run->domains;
    config.domain_count = MARKET_DOMAINS;
    config.threads = HL_THREADS_MANUAL;
    config.clock = market_simulation_clock;
    config.clock_context = &run->clock;
    hl_error error;
    cr_assert_eq(hl_bus_create(&config, &run->bus, &error), HL_OK, "%s", error.text);
    cr_assert_eq(market_pipeline_create(run->bus, run->recordings, run->input_count, options,
                                        &run->pipeline, &error),
                 HL_OK, "%s", error.text);
    cr_assert_eq(hl_components_start(run->bus, &error), HL_OK, "%s", error.text);
    market_feed_options feed_options = MARKET_FEED_OPTIONS_INIT;
    feed_options.passes = passes;
    for (uint32_t input = 0; input < run->input_count; input++)
        cr_assert_eq(market_feed_open(run->bus, market_pipeline_feed_topic(run->pipeline), input,
                                      &run->recordings[input], &feed_options, &run->feeds[input],
                                      &error),
                     HL_OK, "%s", error.text);
    cr_assert_eq(hl_bus_start(run->bus), HL_OK);
}

/* Runs to the end and stops the bus: all has passed and the sums hold. */
static inline void test_run_to_end(test_run *run, uint64_t seed)
{
    market_simulation simulation = {.bus = run->bus,
                                    .clock = &run->clock,
                                    .feeds = run->feeds,
                                    .feed_count = run->input_count,
                                    .random = seed};
    hl_status status;
    while ((status = market_simulation_run(&simulation, 10000)) == HL_OK) {
    }
    cr_assert_eq(status, HL_NOT_FOUND);
    cr_assert_eq(hl_bus_stop(run->bus, HL_SECOND), HL_OK);
    hl_error error;
    cr_assert_eq(hl_bus_check_conservation(run->bus, &error), HL_OK, "%s", error.text);
}

static inline void test_run_close(test_run *run)
{
    for (uint32_t input = 0; input < run->input_count; input++)
        market_feed_close(run->feeds[input]);
    hl_bus_destroy(run->bus);
    market_pipeline_destroy(run->pipeline);
    for (uint32_t input = 0; input < run->input_count; input++)
        market_recording_free(&run->recordings[input]);
}

#endif
