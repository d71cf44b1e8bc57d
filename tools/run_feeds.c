#include "run_feeds.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "config/domains.h"

/* What the pipeline has of the input, in each shard of market_data; their number. */
static uint32_t find_places(const run_feeds *feeds, uint32_t input, market_feed_place *places,
                            uint32_t *ret_first)
{
    uint32_t shards;
    *ret_first = market_pipeline_first_partition(feeds->pipeline, &shards);
    for (uint32_t i = 0; i < shards; i++)
        places[i].count = market_pipeline_taken(feeds->pipeline, input, i, &places[i].last);
    return shards;
}

static hl_status resume(const run_feeds *feeds, uint32_t input, hl_error *error)
{
    market_feed_place places[HL_PARTITIONS_MAX];
    uint32_t first;
    const uint32_t shards = find_places(feeds, input, places, &first);
    uint64_t taken = 0;
    for (uint32_t i = 0; i < shards; i++)
        taken += places[i].count;
    if (taken == 0)
        return HL_OK;
    const hl_status status = market_feed_resume(feeds->feeds[input], places, first, shards);
    if (status == HL_NO_MEMORY)
        return hl_error_set(error, status,
                            "feed-%" PRIu32 ": no memory to go on behind message %" PRIu64, input,
                            taken);
    if (status != HL_OK) {
        fprintf(stderr,
                "feed-%" PRIu32 ": the journal's last message of it is not message %" PRIu64
                " of this input: it begins at the start\n",
                input, taken);
        return HL_OK;
    }
    fprintf(stderr, "feed-%" PRIu32 ": goes on behind message %" PRIu64, input, taken);
    for (uint32_t i = 0; i < shards && shards > 1; i++)
        fprintf(stderr, "%s%" PRIu64 "%s", i == 0 ? " (" : " + ", places[i].count,
                i + 1 == shards ? " in its shards)" : "");
    fputc('\n', stderr);
    return HL_OK;
}

static hl_status start(void *context, hl_error *error)
{
    const run_feed *const own = context;
    run_feeds *const feeds = own->feeds;
    hl_status status = market_feed_open(feeds->bus, market_pipeline_feed_topic(feeds->pipeline),
                                        own->input, &feeds->recordings[own->input], &feeds->options,
                                        &feeds->feeds[own->input], error);
    if (status == HL_OK && feeds->resume)
        status = resume(feeds, own->input, error);
    if (status != HL_OK) {
        market_feed_close(feeds->feeds[own->input]); /* of NULL: nothing */
        feeds->feeds[own->input] = NULL;
    }
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
