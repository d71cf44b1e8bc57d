#include "run_feeds.h"

#include <inttypes.h>
#include <stdio.h>

static void resume(const run_feeds *feeds, uint32_t input)
{
    market_message last;
    const uint64_t taken = market_pipeline_taken(feeds->pipeline, input, &last);
    if (taken == 0)
        return;
    if (market_feed_resume(feeds->feeds[input], taken, &last) == HL_OK)
        fprintf(stderr, "feed-%" PRIu32 ": goes on behind message %" PRIu64 "\n", input, taken);
    else
        fprintf(stderr,
                "feed-%" PRIu32 ": the journal's last message of it is not message %" PRIu64
                " of this input: it begins at the start\n",
                input, taken);
}

static hl_status start(void *context, hl_error *error)
{
    const run_feed *const own = context;
    run_feeds *const feeds = own->feeds;
    const hl_status status = market_feed_open(
        feeds->bus, market_pipeline_feed_topic(feeds->pipeline), own->input,
        &feeds->recordings[own->input], &feeds->options, &feeds->feeds[own->input], error);
    if (status == HL_OK && feeds->resume)
        resume(feeds, own->input);
    return status;
}

static void stop(void *context)
{
    const run_feed *const own = context;
    market_feed_close(own->feeds->feeds[own->input]);
    own->feeds->feeds[own->input] = NULL;
}

hl_status run_feeds_add(run_feeds *feeds, uint32_t count, const char *after, hl_error *error)
{
    hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
    options.needs = after;
    options.start = start;
    options.stop = stop;
    hl_status status = HL_OK;
    for (uint32_t input = 0; input < count && status == HL_OK; input++) {
        char name[32];
        market_feed_name(input, name);
        feeds->own[input] = (run_feed){feeds, input};
        status = hl_component_add(feeds->bus, name, &options, &feeds->own[input], error);
        feeds->count += status == HL_OK;
    }
    return status;
}

hl_status run_feeds_start(run_feeds *feeds, hl_error *error)
{
    hl_status status = HL_OK;
    for (uint32_t input = 0; input < feeds->count && status == HL_OK; input++)
        status = market_feed_start(feeds->feeds[input], error);
    return status;
}

bool run_feeds_done(const run_feeds *feeds)
{
    for (uint32_t input = 0; input < feeds->count; input++)
        if (!market_feed_done(feeds->feeds[input]))
            return false;
    return true;
}

uint64_t run_feeds_published(const run_feeds *feeds)
{
    uint64_t sum = 0;
    for (uint32_t input = 0; input < feeds->count; input++)
        sum += market_feed_published(feeds->feeds[input]);
    return sum;
}

hl_status run_feeds_join(run_feeds *feeds, hl_error *error)
{
    hl_status status = HL_OK;
    for (uint32_t input = 0; input < feeds->count; input++)
        market_feed_stop(feeds->feeds[input]);
    for (uint32_t input = 0; input < feeds->count; input++) {
        const hl_status joined =
            market_feed_join(feeds->feeds[input], status == HL_OK ? error : NULL);
        if (status == HL_OK)
            status = joined;
    }
    return status;
}
