/* Promise 12: the last value is to be had, whole, while it is written; an image and then the
 * stream. */
#include <string.h>

#include "own_bus.h"

#define KEYS   8u
#define EVENTS (KEYS * (12500u / OWN_SHARE))
#define WORDS  8u

typedef struct quote {
    uint64_t words[WORDS]; /* the value, and what follows from it */
} quote;

typedef struct scene {
    hl_bus *bus;
    hl_topic quote;
    uint64_t done, found;
} scene;

static quote quote_of(uint64_t value)
{
    quote made;
    for (uint64_t i = 0; i < WORDS; i++)
        made.words[i] = value * (2 * i + 1);
    return made;
}

static void check_whole(const quote *got, uint64_t key)
{
    const quote expected = quote_of(got->words[0]);
    cr_assert_eq(memcmp(got, &expected, sizeof expected), 0, "torn: key %lu", key);
    cr_assert_eq(got->words[0] % KEYS, key);
}

static void *read_last_values(void *context)
{
    scene *const of = context;
    uint64_t newest[KEYS] = {0}, sequences[KEYS] = {0}, found = 0;
    struct {
        hl_event event;
        quote quote;
    } last;
    /* Once at least, also where the events are over before this thread begins. */
    do {
        for (uint64_t key = 0; key < KEYS; key++) {
            const hl_status status = hl_last(of->bus, of->quote, key, &last.event, sizeof last);
            if (status == HL_NOT_FOUND || status == HL_BUSY)
                continue;
            cr_assert_eq(status, HL_OK, "%s", hl_status_name(status));
            check_whole(&last.quote, key);
            cr_assert_eq(last.event.key, key);
            cr_assert_geq(last.quote.words[0], newest[key], "key %lu went back", key);
            cr_assert_geq(last.event.sequence, sequences[key]);
            newest[key] = last.quote.words[0];
            sequences[key] = last.event.sequence;
            found++;
        }
        sched_yield();
        /* DONE: acquire, as in the other loops. */
    } while (hl_load_acquire_u64(&of->done) == 0);
    hl_fetch_add_relaxed_u64(&of->found, found);
    return NULL;
}

typedef struct follower {
    uint64_t images, stream, last_sequence;
    uint64_t values[KEYS];
} follower;

static hl_status follow(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    follower *const self = context;
    const quote *const got = hl_payload(event);
    check_whole(got, event->key);
    if ((event->flags & HL_EVENT_IMAGE) != 0) {
        cr_assert_eq(self->stream, 0, "an image after the stream has begun");
        self->images++;
        if (event->sequence > self->last_sequence)
            self->last_sequence = event->sequence;
    } else {
        /* The topic is the partition's only one: the newest image is its last event. */
        cr_assert_eq(event->sequence, self->last_sequence + 1, "a gap after the image");
        self->last_sequence = event->sequence;
        self->stream++;
    }
    self->values[event->key] = got->words[0];
    return HL_OK;
}

static void *follow_for_a_while(void *context)
{
    scene *const of = context;
    while (hl_load_acquire_u64(&of->done) == 0) {
        follower self = {0};
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        hl_subscription *subscription;
        options.initial_image = true;
        cr_assert_eq(
            hl_subscribe(of->bus, "market_data.quote", follow, &self, &options, &subscription),
            HL_OK);
        for (int i = 0; i < 20; i++)
            sched_yield();
        cr_assert_eq(hl_unsubscribe(subscription, 60 * HL_SECOND, NULL), HL_OK);
        cr_assert(self.images == 0 || self.images == KEYS, "%lu keys", self.images);
    }
    return NULL;
}

Test(last_value, is_whole_and_never_goes_back_while_it_is_written, .timeout = 240)
{
    scene of = {.bus = own_start(HL_WAIT_BACKOFF)};
    of.quote = own_topic(of.bus, "market_data.quote", HL_STATE);
    hl_publisher *const feed = own_publisher(of.bus, "feed", "market_data");
    uint64_t value = 0;
    for (; value < KEYS; value++) {
        const quote first = quote_of(value);
        cr_assert_eq(hl_publish(feed, of.quote, value, &first, sizeof first), HL_OK);
    }
    while (hl_bus_sequence(of.bus, 0) < KEYS)
        sched_yield();
    const pthread_t threads[] = {own_thread(read_last_values, &of),
                                 own_thread(read_last_values, &of),
                                 own_thread(follow_for_a_while, &of)};
    for (; value < EVENTS; value++) {
        const quote next = quote_of(value);
        while (hl_try_publish(feed, of.quote, value % KEYS, &next, sizeof next) == HL_FULL)
            sched_yield();
    }
    hl_store_release_u64(&of.done, 1);
    for (int i = 0; i < 3; i++)
        own_join(threads[i]);
    cr_assert_gt(of.found, 0);
    cr_assert_eq(hl_bus_stop(of.bus, 60 * HL_SECOND), HL_OK);
    for (uint64_t key = 0; key < KEYS; key++) {
        struct {
            hl_event event;
            quote quote;
        } last;
        cr_assert_eq(hl_last(of.bus, of.quote, key, &last.event, sizeof last), HL_OK);
        cr_assert_eq(last.quote.words[0], EVENTS - KEYS + key, "the newest, after all");
    }
    hl_bus_destroy(of.bus);
}
