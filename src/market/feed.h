/*
 * A feed: publishes a decoded recording as market_data events through an exclusive publisher of its
 * own, as fast as the bus takes them or paced, once or again and again with its times shifted.
 *
 *     market_feed *feed;
 *     market_feed_open(bus, topic, 0, &recording, &options, &feed, &error);
 *     market_feed_start(feed, &error);
 *     ...
 *     market_feed_stop(feed);          // or wait until market_feed_done
 *     market_feed_close(feed);
 *
 * Each pass but the first begins with a MARKET_CLEAR for every instrument that has orders, since a
 * recording begins with a book of its own; those events come on top of the recording's messages.
 * What the bus has no room for is waited for, whatever the domain's policy: a message left out
 * would be a hole in the book.
 *
 * Either the feed's own thread publishes (market_feed_start), pinned where the plan proposes, or
 * the caller's does, a message at a time (market_feed_publish). Stop, done and published may be
 * called by any thread, the rest by the one that opened it.
 */
#ifndef MARKET_FEED_H
#define MARKET_FEED_H

#include <hotlane/hotlane.h>

#include "market/reader.h"

typedef struct market_feed market_feed;

typedef struct market_feed_options {
    double speed;    /* of the data's own time: 1 as it was, 10 ten times as fast; 0: no pacing */
    uint64_t rate;   /* messages a second at even distances, instead of `speed`; 0: by speed */
    uint64_t passes; /* how often the recording is published; 0: until market_feed_stop */
    uint64_t
        burst; /* by speed: its busiest second passes in 1/burst of the time; 0, 1: as it was */
} market_feed_options;

#define MARKET_FEED_OPTIONS_INIT \
    {                            \
        0.0, 0, 1, 0             \
    }

/* The name under which the input-th feed opens its publisher, for the plan's `publishers`. */
void market_feed_name(uint32_t input, char ret_name[32]);

/*
 * Opens the publisher. `recording` must outlive the feed. HL_OK: `*ret_feed` is the caller's,
 * market_feed_close. HL_NO_MEMORY; what hl_publisher_open answers, with its sentence.
 */
hl_status market_feed_open(hl_bus *bus, hl_topic topic, uint32_t input,
                           const market_recording *recording, const market_feed_options *options,
                           market_feed **ret_feed, hl_error *error);

/* What a partition has of the feed's messages from before: how many, and the last of them (its time
 * does not matter). */
typedef struct market_feed_place {
    uint64_t count;
    market_message last;
} market_feed_place;

/*
 * Before it is started: goes on behind what was published before. `places` are of the partitions
 * from `first_partition` on that its topic goes to: each may have come another way, so the feed
 * begins with the first message that its own partition has not, and passes over those that are
 * there.
 * HL_OK; HL_NOT_FOUND: of a partition it would be another last one, so they were not this
 * recording's: the feed begins at its start. HL_NO_MEMORY.
 */
hl_status market_feed_resume(market_feed *feed, const market_feed_place *places,
                             uint32_t first_partition, uint32_t count);

/* Starts the feed's thread, which has the caller's signal mask. HL_SYSTEM when there can be none.
 */
hl_status market_feed_start(market_feed *feed, hl_error *error);

/* Asks it to end; returns at once. Any thread. */
void market_feed_stop(market_feed *feed);

/* It has published all, or was stopped, or failed. Any thread. */
bool market_feed_done(const market_feed *feed);

/* Messages published so far, clears included. Any thread. */
uint64_t market_feed_published(const market_feed *feed);

/* Waits for its thread to end. HL_OK, or why it could not go on, with a sentence. */
hl_status market_feed_join(market_feed *feed, hl_error *error);

/* Joins, closes the publisher and frees it. NULL is nothing. */
void market_feed_close(market_feed *feed);

/* Without a thread: the time of the next message in the data's own clock, shifted by the passes;
 * UINT64_MAX: there is none any more. */
uint64_t market_feed_next_ns(const market_feed *feed);

/* Without a thread: tries to publish the next message. HL_OK; HL_NOT_FOUND: there is none; else
 * what hl_try_claim answers: the message is still the next one. */
hl_status market_feed_publish(market_feed *feed);

#endif
