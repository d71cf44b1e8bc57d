/* Promise 6: once hl_unsubscribe has returned, the handler does not run, and its context may go. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "own_bus.h"

#define ROUNDS (100000u / OWN_SHARE)

typedef struct scene {
    hl_bus *bus;
    hl_topic trade;
    uint64_t done;
} scene;

static void *publish_without_pause(void *context)
{
    scene *const of = context;
    hl_publisher *const feed = own_publisher(of->bus, "feed", "market_data");
    for (uint64_t value = 0; hl_load_acquire_u64(&of->done) == 0; value++)
        if (hl_try_publish(feed, of->trade, 1, &value, sizeof value) == HL_FULL)
            sched_yield();
    hl_publisher_close(feed);
    return NULL;
}

static uint64_t subscribe_and_unsubscribe(scene *of, uint32_t rounds)
{
    uint64_t calls = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        own_guest *const self = own_guest_make();
        hl_subscription *const s = own_subscribe(of->bus, "market_data.trade", own_visit, self);
        if (i % 256 == 0) /* so that events do flow, however little time the publisher gets */
            own_await(&self->calls, 1);
        cr_assert_eq(hl_unsubscribe(s, 60 * HL_SECOND, NULL), HL_OK);
        calls += own_guest_free(self);
    }
    return calls;
}

static void run(hl_wait wait, uint32_t rounds)
{
    scene of = {.bus = own_start(wait)};
    of.trade = own_topic(of.bus, "market_data.trade", HL_DELTA);
    const pthread_t publisher = own_thread(publish_without_pause, &of);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const uint64_t calls = subscribe_and_unsubscribe(&of, rounds);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double seconds = (double)(end.tv_sec - begin.tv_sec) +
                           (double)(end.tv_nsec - begin.tv_nsec) / (double)HL_SECOND;
    printf("%u subscriptions came and went, %.0f a second; %lu events reached them\n", rounds,
           rounds / seconds, calls);
    hl_store_release_u64(&of.done, 1);
    own_join(publisher);
    own_stop(of.bus);
}

Test(unsubscribe, frees_the_context_at_once_while_events_flow, .timeout = 240)
{
    run(HL_WAIT_SPIN, ROUNDS);
}

Test(unsubscribe, frees_the_context_at_once_where_executors_sleep, .timeout = 240)
{
    run(HL_WAIT_PARK, ROUNDS / 10);
}

/* ---- from two threads, and from handlers ---- */

typedef struct churner {
    scene *of;
    uint32_t rounds;
} churner;

static void *churn(void *context)
{
    const churner *const self = context;
    subscribe_and_unsubscribe(self->of, self->rounds);
    return NULL;
}

Test(unsubscribe, several_threads_may_do_it_at_once, .timeout = 240)
{
    scene of = {.bus = own_start(HL_WAIT_BACKOFF)};
    of.trade = own_topic(of.bus, "market_data.trade", HL_DELTA);
    const pthread_t publisher = own_thread(publish_without_pause, &of);
    churner churners[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        churners[i] = (churner){&of, ROUNDS / 20};
        threads[i] = own_thread(churn, &churners[i]);
    }
    for (int i = 0; i < 3; i++)
        own_join(threads[i]);
    hl_store_release_u64(&of.done, 1);
    own_join(publisher);
    own_stop(of.bus);
}

typedef struct once {
    hl_subscription *subscription; /* set before the first event may come */
    uint64_t armed, calls, closed;
} once;

static hl_status leave_at_once(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    once *const self = context;
    if (hl_load_acquire_u64(&self->armed) == 1 && self->calls++ == 0)
        cr_assert_eq(hl_unsubscribe(self->subscription, HL_SECOND, NULL), HL_DEFERRED);
    return HL_OK;
}

static void say_closed(void *context)
{
    once *const self = context;
    hl_store_release_u64(&self->closed, self->closed + 1);
}

Test(unsubscribe, from_a_handler_frees_the_context_in_on_closed, .timeout = 240)
{
    scene of = {.bus = own_start(HL_WAIT_PARK)};
    of.trade = own_topic(of.bus, "market_data.trade", HL_DELTA);
    const pthread_t publisher = own_thread(publish_without_pause, &of);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.on_closed = say_closed;
    for (uint32_t i = 0; i < ROUNDS / 100; i++) {
        once *const self = calloc(1, sizeof *self);
        cr_assert_eq(hl_subscribe(of.bus, "market_data.trade", leave_at_once, self, &options,
                                  &self->subscription),
                     HL_OK);
        hl_store_release_u64(&self->armed, 1);
        own_await(&self->closed, 1);
        cr_assert_eq(self->closed, 1);
        memset(self, 0xdd, sizeof *self);
        free(self);
    }
    hl_store_release_u64(&of.done, 1);
    own_join(publisher);
    own_stop(of.bus);
}

/* ---- a handler that does not return ---- */

Test(unsubscribe, times_out_and_names_the_handler_that_runs, .timeout = 240)
{
    hl_bus *const bus = own_start(HL_WAIT_PARK);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    own_blocker slow = {0, 0, 0};
    hl_subscription *const s = own_subscribe(bus, "market_data.trade", own_block, &slow);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    own_publish(feed, trade, 1, 1);
    own_publish(feed, trade, 1, 2);
    own_await(&slow.entered, 1);
    hl_error error;
    cr_assert_eq(hl_unsubscribe(s, 10 * HL_MILLISECOND, &error), HL_TIMEOUT);
    cr_assert_not_null(strstr(error.text, "market_data.trade"), "%s", error.text);
    hl_store_release_u64(&slow.released, 1);
    cr_assert_eq(hl_unsubscribe(s, 60 * HL_SECOND, &error), HL_OK);
    memset(&slow, 0xdd, sizeof slow);
    own_stop(bus);
}
