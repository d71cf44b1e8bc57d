/* Promise 13: stop lets pass what it can and counts by name what is left. */
#include <string.h>
#include <time.h>

#include "own_bus.h"

Test(stopping, a_stuck_handler_is_named_and_the_stop_made_again, .timeout = 240)
{
    hl_bus *const bus = own_start(HL_WAIT_PARK);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    own_blocker slow = {0, 0, 0};
    hl_subscription *const s = own_subscribe(bus, "market_data.trade", own_block, &slow);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    for (uint64_t value = 0; value < 5; value++)
        own_publish(feed, trade, 1, value);
    own_await(&slow.entered, 1);
    hl_error error;
    hl_stop_report report;
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(hl_bus_stop(bus, 10 * HL_MILLISECOND), HL_TIMEOUT);
        hl_bus_error(bus, &error);
        cr_assert_not_null(strstr(error.text, "market_data"), "%s", error.text);
        cr_assert_eq(hl_bus_stop_report(bus, &report), HL_OK);
        cr_assert_not(report.is_final, "not stopped yet");
        cr_assert_geq(report.left_count, 1);
        cr_assert_eq(report.left[0].kind, HL_LEFT_HANDLER);
        cr_assert_eq(strncmp(report.left[0].name, "market_data.trade on ", 21), 0, "%s",
                     report.left[0].name);
        cr_assert_eq(hl_try_publish(feed, trade, 1, &trade, 4), HL_CLOSED);
    }
    hl_store_release_u64(&slow.released, 1);
    const hl_status status = hl_bus_stop(bus, 60 * HL_SECOND);
    cr_assert_eq(hl_bus_stop_report(bus, &report), HL_OK);
    /* The executor was told to end: what the handler left may pass or be left. */
    cr_assert_eq(status, report.abandoned == 0 ? HL_OK : HL_TIMEOUT);
    cr_assert_eq(slow.calls + report.abandoned, 5);
    cr_assert_eq(hl_bus_check_conservation(bus, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_unsubscribe(s, 0, NULL), HL_OK);
    hl_bus_destroy(bus);
}

static void *stop_now(void *context)
{
    hl_bus_stop_now(context);
    return NULL;
}

Test(stopping, a_stop_is_ended_at_once_from_another_thread_and_names_what_is_left, .timeout = 240)
{
    hl_bus *const bus = own_start(HL_WAIT_PARK);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    own_blocker hangs = {0, 0, 0};
    own_subscribe(bus, "market_data.trade", own_block, &hangs);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    for (uint64_t value = 0; value < 5; value++)
        own_publish(feed, trade, 1, value);
    own_await(&hangs.entered, 1);
    const pthread_t other = own_thread(stop_now, bus);
    hl_stop_report report;
    hl_error error;
    /* An hour: only the other thread ends it. */
    cr_assert_eq(hl_bus_stop(bus, 3600 * HL_SECOND), HL_TIMEOUT);
    own_join(other);
    hl_bus_error(bus, &error);
    cr_assert_not_null(strstr(error.text, "market_data.trade on "), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "in market_data/normal"), "%s", error.text);
    cr_assert_eq(hl_bus_stop_report(bus, &report), HL_OK);
    cr_assert_not(report.is_final);
    cr_assert_geq(report.abandoned, 4);
    cr_assert_eq(report.conservation.status, HL_WRONG_STATE);
    hl_store_release_u64(&hangs.released, 1);
    hl_bus_stop(bus, 60 * HL_SECOND);
    cr_assert_eq(hl_bus_stop_report(bus, &report), HL_OK);
    cr_assert(report.is_final);
    cr_assert_eq(hangs.calls + report.abandoned, 5);
    cr_assert_eq(report.conservation.status, HL_OK);
    hl_bus_destroy(bus);
}

Test(stopping, an_open_claim_at_the_deadline_is_abandoned, .timeout = 240)
{
    hl_bus *const bus = own_start(HL_WAIT_BACKOFF);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    hl_claim open;
    own_publish(feed, trade, 1, 1);
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &open), HL_OK);
    own_publish(feed, trade, 1, 2);
    hl_stop_report report;
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND / 2), HL_TIMEOUT);
    cr_assert_eq(hl_bus_stop_report(bus, &report), HL_OK);
    cr_assert_eq(report.abandoned, 2);
    cr_assert_eq(report.left_count, 1);
    cr_assert_str_eq(report.left[0].name, "market_data/normal");
    cr_assert_eq(report.left[0].events, 2);
    cr_assert_eq(report.conservation.status, HL_OK);
    const hl_lane_stats lane = own_lane(bus, "market_data");
    cr_assert_eq(lane.dispatched, 1);
    cr_assert_eq(lane.abandoned, 1);
    cr_assert_eq(lane.aborted, 1);
    hl_bus_destroy(bus);
}

typedef struct closer {
    hl_bus *bus;
    hl_topic topic;
    uint64_t started;
} closer;

static void *publish_until_closed(void *context)
{
    closer *const self = context;
    hl_publisher *const feed = own_publisher(self->bus, "feed", "market_data");
    hl_status status = HL_OK;
    for (uint64_t value = 0; status != HL_CLOSED; value++) {
        status = hl_try_publish(feed, self->topic, 1, &value, sizeof value);
        if (status == HL_FULL)
            sched_yield();
        hl_store_release_u64(&self->started, value);
    }
    hl_publisher_close(feed);
    return NULL;
}

static hl_status pass_on(const hl_event *event, hl_publisher *out, void *context)
{
    return hl_try_publish(out, *(const hl_topic *)context, event->key, NULL, 0);
}

Test(stopping, what_is_on_its_way_passes_while_publishers_are_told, .timeout = 240)
{
    for (int round = 0; round < 10; round++) {
        closer of = {.bus = own_start(round % 2 == 0 ? HL_WAIT_PARK : HL_WAIT_BACKOFF)};
        hl_topic order = own_topic(of.bus, "order.new", HL_DELTA);
        of.topic = own_topic(of.bus, "market_data.trade", HL_DELTA);
        own_subscribe(of.bus, "market_data.trade", pass_on, &order);
        const pthread_t publisher = own_thread(publish_until_closed, &of);
        own_await(&of.started, 200);
        cr_assert_eq(hl_bus_stop(of.bus, 60 * HL_SECOND), HL_OK);
        own_join(publisher);
        const hl_lane_stats lane = own_lane(of.bus, "market_data"),
                            orders = own_lane(of.bus, "order");
        cr_assert_eq(lane.dispatched, lane.committed);
        cr_assert_eq(orders.dispatched + orders.rejected, lane.dispatched);
        hl_bus_destroy(of.bus);
    }
}

#define ASKING 6

typedef struct asker {
    hl_bus *bus;
    hl_topic topic;
    const char *name;
    uint64_t asked, end;
} asker;

static void *go_on_asking(void *context)
{
    asker *const self = context;
    hl_publisher *const feed = own_publisher(self->bus, self->name, "market_data");
    for (uint64_t value = 1; hl_load_acquire_u64(&self->end) == 0; value++) {
        hl_try_publish(feed, self->topic, 1, &value, sizeof value);
        hl_store_release_u64(&self->asked, value);
    }
    return NULL;
}

/* An attempt that is refused for it is not an open claim. */
Test(stopping, who_goes_on_asking_is_nothing_that_is_left, .timeout = 240)
{
    static const char *const names[ASKING] = {"a", "b", "c", "d", "e", "f"};
    for (int round = 0; round < 4; round++) {
        hl_bus *const bus = own_start(HL_WAIT_BACKOFF);
        const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
        asker askers[ASKING];
        pthread_t threads[ASKING];
        for (int i = 0; i < ASKING; i++) {
            askers[i] = (asker){.bus = bus, .topic = trade, .name = names[i]};
            threads[i] = own_thread(go_on_asking, &askers[i]);
        }
        for (int i = 0; i < ASKING; i++)
            own_await(&askers[i].asked, 200);
        hl_stop_report report;
        const hl_status status = hl_bus_stop(bus, 60 * HL_SECOND);
        cr_assert_eq(hl_bus_stop_report(bus, &report), HL_OK);
        cr_assert_eq(report.abandoned, 0, "%lu", report.abandoned);
        cr_assert_eq(status, HL_OK, "%s", hl_status_name(status));
        for (int i = 0; i < ASKING; i++) {
            hl_store_release_u64(&askers[i].end, 1);
            own_join(threads[i]);
        }
        hl_bus_destroy(bus);
    }
}

Test(stopping, destroying_a_running_bus_ends_its_threads, .timeout = 240)
{
    own_stop(own_start(HL_WAIT_AUTO)); /* liburcu's thread comes with the first bus and stays */
    const uint32_t before = own_threads();
    for (int wait = HL_WAIT_AUTO; wait <= HL_WAIT_PARK; wait++) {
        hl_bus *const bus = own_start((hl_wait)wait);
        const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
        hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
        for (uint64_t value = 0; value < 50; value++)
            own_publish(feed, trade, 1, value);
        cr_assert_gt(own_threads(), before);
        hl_bus_destroy(bus);
        const time_t begin = time(NULL);
        while (own_threads() > before)
            cr_assert_lt(time(NULL) - begin, 60, "%u threads, not %u", own_threads(), before);
    }
}

Test(stopping, a_second_start_leaves_a_running_bus_alone, .timeout = 240)
{
    for (int wait = HL_WAIT_AUTO; wait <= HL_WAIT_PARK; wait++) {
        hl_bus *const bus = own_start((hl_wait)wait);
        const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
        own_guest *const guest = own_guest_make();
        own_subscribe(bus, "market_data.trade", own_visit, guest);
        hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
        own_publish(feed, trade, 1, 1);
        cr_assert_eq(hl_bus_start(bus), HL_WRONG_STATE);
        own_publish(feed, trade, 1, 2);
        own_stop(bus);
        cr_assert_eq(own_guest_free(guest), 2);
    }
}
