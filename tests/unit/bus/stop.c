#include <pthread.h>
#include <string.h>

#include "manual_bus.h"
#include "ring/order.h"

static hl_stop_report report_of(const hl_bus *bus)
{
    hl_stop_report report;
    cr_assert_eq(hl_bus_stop_report(bus, &report), HL_OK);
    return report;
}

Test(stop, a_bus_is_stopped_once_after_it_was_started)
{
    hl_bus *const bus = manual_create(NULL);
    hl_stop_report report;
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_WRONG_STATE);
    assert_sentence(bus, HL_WRONG_STATE, "running");
    cr_assert_eq(hl_bus_stop_report(bus, &report), HL_WRONG_STATE);
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    cr_assert_eq(hl_bus_stop_report(bus, &report), HL_OK);
    cr_assert_not(report.is_final);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_WRONG_STATE);
    cr_assert_eq(hl_bus_start(bus), HL_WRONG_STATE);
    report = report_of(bus);
    cr_assert(report.is_final);
    cr_assert(report.drained);
    cr_assert_eq(report.left_count, 0);
    cr_assert_eq(report.abandoned, 0);
    cr_assert_eq(report.conservation.status, HL_OK);
    hl_bus_destroy(bus);
}

Test(stop, a_bus_at_rest_needs_no_time)
{
    hl_bus *const bus = manual_start(NULL);
    cr_assert_eq(hl_bus_stop(bus, 0), HL_OK);
    cr_assert(report_of(bus).drained);
    hl_bus_destroy(bus);
}

/* ---- what is on its way, and what it causes ---- */

typedef struct relay {
    hl_topic next;
    uint32_t copies;
    uint64_t calls;
} relay;

static hl_status pass_on(const hl_event *event, hl_publisher *out, void *context)
{
    relay *const self = context;
    self->calls++;
    const uint64_t value = value_of(event);
    for (uint32_t i = 0; i < self->copies; i++)
        hl_try_publish(out, self->next, event->key, &value, sizeof value);
    return HL_OK;
}

Test(stop, what_is_on_its_way_and_what_it_causes_passes)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    relay first = {topic(bus, "order.new"), 1, 0}, second = {topic(bus, "account.pnl"), 1, 0};
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, "market_data.*", pass_on, &first, NULL, &subscription), HL_OK);
    cr_assert_eq(hl_subscribe(bus, "order.*", pass_on, &second, NULL, &subscription), HL_OK);
    static recorder seen;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = record_batch;
    options.batch_wait_ns = UINT64_MAX / 2; /* for ever, but a stop asks for what there is */
    subscribe(bus, "account.*", &seen, &options);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t value = 0; value < 4; value++)
        publish(feed, trade, 1, value);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    assert_values_follow(&seen, 0, 4);
    cr_assert(report_of(bus).drained);
    hl_bus_destroy(bus);
}

Test(stop, a_story_without_end_is_cut_at_the_deadline_and_counted)
{
    hl_bus *const bus = manual_start(NULL);
    relay there = {topic(bus, "order.new"), 2, 0}, back = {topic(bus, "fill.done"), 1, 0};
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, "fill.*", pass_on, &there, NULL, &subscription), HL_OK);
    cr_assert_eq(hl_subscribe(bus, "order.*", pass_on, &back, NULL, &subscription), HL_OK);
    publish(open_publisher(bus, "feed", NULL), back.next, 1, 1);
    cr_assert_eq(hl_bus_stop(bus, 20 * HL_MILLISECOND), HL_TIMEOUT);
    const hl_stop_report report = report_of(bus);
    cr_assert_not(report.drained);
    cr_assert_gt(report.abandoned, 0);
    cr_assert_geq(report.elapsed_ns, 20 * HL_MILLISECOND);
    cr_assert_gt(there.calls, 0);
    cr_assert_eq(report.conservation.status, HL_OK);
    cr_assert_eq(lane_stats(bus, "order", -1).abandoned + lane_stats(bus, "fill", -1).abandoned,
                 report.abandoned);
    assert_conserved(bus);
    hl_bus_destroy(bus);
}

/* ---- what is left ---- */

Test(stop, an_open_claim_and_what_lies_behind_it_are_abandoned)
{
    for (int shared = 0; shared < 2; shared++) {
        hl_bus *const bus = manual_start(NULL);
        const hl_topic trade = topic(bus, "market_data.trade");
        static recorder seen;
        memset(&seen, 0, sizeof seen);
        subscribe(bus, "market_data.trade", &seen, NULL);
        hl_publisher *const feed = open_publisher(bus, "feed", NULL);
        hl_shared_publisher *feeds;
        cr_assert_eq(hl_shared_publisher_open(bus, "feeds", NULL, &feeds), HL_OK);
        hl_claim open, gone;
        const uint64_t value = 5;
        cr_assert_eq(hl_shared_publish(feeds, trade, 1, &value, 8), HL_OK);
        if (shared) {
            cr_assert_eq(hl_shared_try_claim_run(feeds, trade, 1, 8, 2, &open), HL_OK);
            cr_assert_eq(hl_shared_publish(feeds, trade, 1, &value, 8), HL_OK);
        } else {
            cr_assert_eq(hl_try_claim_run(feed, trade, 1, 8, 2, &open), HL_OK);
            cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &gone), HL_OK);
            publish(feed, trade, 1, 2);
            hl_abort(&gone);
        }
        cr_assert_eq(hl_bus_stop(bus, HL_SECOND / 5), HL_TIMEOUT);
        assert_sentence(bus, HL_TIMEOUT, "3 events");
        cr_assert_eq(report_of(bus).abandoned, 3, "two claimed, one behind them");
        cr_assert_not(report_of(bus).drained);
        const hl_lane_stats lane = lane_stats(bus, "market_data", HL_NORMAL);
        cr_assert_eq(lane.abandoned, 1);
        cr_assert_eq(lane.aborted, shared ? 2 : 3);
        cr_assert_eq(lane.pending, 0);
        cr_assert_eq(seen.count, 1);
        assert_conserved(bus);
        hl_commit(&open);
        assert_conserved(bus);
        cr_assert_eq(lane_stats(bus, "market_data", HL_NORMAL).committed, lane.committed,
                     "too late to count");
        hl_bus_destroy(bus);
    }
}

Test(stop, a_claim_that_is_settled_while_the_bus_stops_passes)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    hl_claim open;
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &open), HL_OK);
    hl_abort(&open);
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &open), HL_OK);
    hl_commit(&open);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    cr_assert_eq(lane_stats(bus, "market_data", -1).dispatched, 1);
    hl_bus_destroy(bus);
}

/* ---- with others about ---- */

typedef struct hammer {
    hl_publisher *exclusive;
    hl_shared_publisher *shared;
    hl_topic topic;
    uint32_t closed; /* told so by the bus */
    uint32_t done;
} hammer;

static void *publish_until_done(void *context)
{
    hammer *const self = context;
    const uint64_t value = 1;
    while (hl_load_acquire_u32(&self->done) == 0) {
        const hl_status status =
            self->exclusive != NULL
                ? hl_try_publish(self->exclusive, self->topic, 1, &value, 8)
                : hl_shared_try_publish(self->shared, self->topic, 1, &value, 8);
        if (status == HL_CLOSED)
            hl_store_release_u32(&self->closed, 1);
    }
    return NULL;
}

Test(stop, publishers_that_do_not_let_up_are_told_that_it_is_closed, .timeout = 120)
{
    for (int round = 0; round < 60; round++) {
        hl_bus *const bus = manual_start(NULL);
        const hl_topic trade = topic(bus, "market_data.trade");
        hammer hammers[3] = {{.exclusive = open_publisher(bus, "a", NULL), .topic = trade},
                             {.topic = trade},
                             {.topic = trade}};
        cr_assert_eq(hl_shared_publisher_open(bus, "b", NULL, &hammers[1].shared), HL_OK);
        hammers[2].shared = hammers[1].shared;
        pthread_t threads[3];
        for (int i = 0; i < 3; i++)
            pthread_create(&threads[i], NULL, publish_until_done, &hammers[i]);
        while (lane_stats(bus, "market_data", -1).attempts < 100)
            turn_all(bus);
        const hl_status status = hl_bus_stop(bus, 2 * HL_SECOND);
        hl_error error;
        hl_bus_error(bus, &error);
        cr_assert_eq(status, HL_OK, "round %d: %s", round, error.text);
        assert_conserved(bus);
        for (int i = 0; i < 3; i++) {
            while (hl_load_acquire_u32(&hammers[i].closed) == 0)
                sched_yield();
            hl_store_release_u32(&hammers[i].done, 1);
            pthread_join(threads[i], NULL);
        }
        assert_conserved(bus);
        hl_bus_destroy(bus);
    }
}

static void *stop_too(void *bus)
{
    return (void *)(uintptr_t)hl_bus_stop(bus, HL_SECOND);
}

Test(stop, of_two_that_stop_one_does_it, .timeout = 60)
{
    hl_config config = manual_config();
    config.threads = HL_THREADS_OWN;
    config.clock = NULL;
    for (int round = 0; round < 30; round++) {
        hl_bus *const bus = manual_start(&config);
        pthread_t thread;
        void *other;
        pthread_create(&thread, NULL, stop_too, bus);
        const hl_status mine = hl_bus_stop(bus, HL_SECOND);
        pthread_join(thread, &other);
        const hl_status its = (hl_status)(uintptr_t)other;
        cr_assert((mine == HL_OK && its == HL_WRONG_STATE) ||
                      (mine == HL_WRONG_STATE && its == HL_OK),
                  "%s and %s", hl_status_name(mine), hl_status_name(its));
        hl_bus_destroy(bus);
    }
}
