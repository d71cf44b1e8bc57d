/* Promise 7: a full lane is an answer, never a place where one of hotlane's threads waits. */
#include <string.h>

#include "own_bus.h"

#define EVENTS (20000u / OWN_SHARE)

/* market_data -> order -> account -> market_data, each event becoming two, so that all lanes of the
 * circle run full whatever their size. */
typedef struct circle {
    hl_bus *bus;
    hl_topic topics[3];
    uint64_t full[3];
    uint64_t calls[3];
} circle;

typedef struct station {
    circle *of;
    uint32_t number;
} station;

static hl_status pass_on_twice(const hl_event *event, hl_publisher *out, void *context)
{
    const station *const self = context;
    circle *const of = self->of;
    const hl_topic next = of->topics[(self->number + 1) % 3];
    const uint64_t left = own_value(event);
    of->calls[self->number]++;
    for (int i = 0; i < 2 && left > 0; i++) {
        const uint64_t value = left - 1;
        /* hl_publish, not hl_try_publish: account's policy is to block, and must not. */
        const hl_status status = hl_publish(out, next, event->key, &value, sizeof value);
        cr_assert(status == HL_OK || status == HL_FULL, "%s", hl_status_name(status));
        of->full[self->number] += status == HL_FULL;
    }
    return HL_OK;
}

static void run(hl_wait wait)
{
    circle of = {.bus = own_start(wait)};
    static const char *const names[] = {"market_data.a", "order.b", "account.c"};
    station stations[3];
    for (uint32_t i = 0; i < 3; i++) {
        of.topics[i] = own_topic(of.bus, names[i], HL_DELTA);
        stations[i] = (station){&of, i};
        own_subscribe(of.bus, names[i], pass_on_twice, &stations[i]);
    }
    hl_publisher *const feed = own_publisher(of.bus, "feed", NULL);
    for (uint64_t i = 0; i < EVENTS; i++)
        own_publish(feed, of.topics[i % 3], i, 30);
    cr_assert_eq(hl_bus_stop(of.bus, 120 * HL_SECOND), HL_OK);
    uint64_t full = 0, rejected = 0;
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_gt(of.calls[i], EVENTS / 3);
        full += of.full[i];
    }
    /* The feed's own refusals are counted in the same lanes. */
    static const char *const domains[] = {"market_data", "order", "account"};
    for (uint32_t i = 0; i < 3; i++)
        rejected += own_lane(of.bus, domains[i]).rejected;
    cr_assert_gt(full, 0, "the circle was never full");
    cr_assert_geq(rejected, full);
    hl_bus_destroy(of.bus);
}

Test(backpressure, handlers_in_a_circle_of_full_lanes_never_wait, .timeout = 240)
{
    run(HL_WAIT_BACKOFF);
}

Test(backpressure, handlers_in_a_circle_do_not_sleep_over_a_full_lane, .timeout = 240)
{
    run(HL_WAIT_PARK);
}

/* ---- promise 8: all or nothing, under a full lane ---- */

typedef struct pairs {
    hl_topic left, right;
    uint64_t complete, seen[2];
} pairs;

/* One event on each of two lanes, or none. */
static hl_status publish_a_pair(const hl_event *event, hl_publisher *out, void *context)
{
    pairs *const of = context;
    const uint64_t value = of->complete;
    if (hl_try_publish(out, of->left, event->key, &value, sizeof value) != HL_OK ||
        hl_try_publish(out, of->right, event->key, &value, sizeof value) != HL_OK)
        return HL_FAILED;
    of->complete++;
    return HL_OK;
}

static hl_status see_left(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    pairs *const of = context;
    cr_assert_eq(own_value(event), of->seen[0]++, "a left one without a right one");
    return HL_OK;
}

static hl_status see_right(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    pairs *const of = context;
    cr_assert_eq(own_value(event), of->seen[1]++, "a right one without a left one");
    return HL_OK;
}

Test(backpressure, a_handler_that_finds_no_room_has_published_nothing, .timeout = 240)
{
    hl_bus *const bus = own_start(HL_WAIT_BACKOFF);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    pairs of = {.left = own_topic(bus, "order.left", HL_DELTA),
                .right = own_topic(bus, "account.right", HL_DELTA)};
    hl_subscription *const pairing = own_subscribe(bus, "market_data.trade", publish_a_pair, &of);
    own_subscribe(bus, "order.left", see_left, &of);
    own_subscribe(bus, "account.right", see_right, &of);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    for (uint64_t i = 0; i < 5 * EVENTS; i++)
        own_publish(feed, trade, i, i);
    cr_assert_eq(hl_bus_stop(bus, 120 * HL_SECOND), HL_OK);
    hl_subscription_stats stats;
    hl_subscription_stats_read(pairing, &stats);
    cr_assert_eq(stats.handled, of.complete);
    cr_assert_eq(stats.handled + stats.dead_lettered + stats.skipped, 5 * EVENTS);
    cr_assert_eq(of.seen[0], of.complete);
    cr_assert_eq(of.seen[1], of.complete);
    hl_bus_destroy(bus);
}

/* ---- publishers from outside may wait ---- */

static hl_status count_slowly(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    ++*(uint64_t *)context;
    sched_yield();
    return HL_OK;
}

typedef struct blocking {
    hl_bus *bus;
    hl_topic topic;
    hl_shared_publisher *shared;
} blocking;

static void *publish_and_block(void *context)
{
    const blocking *const self = context;
    for (uint64_t i = 0; i < EVENTS; i++) {
        const hl_status status = hl_shared_publish(self->shared, self->topic, 1, &i, sizeof i);
        cr_assert_eq(status, HL_OK, "%s", hl_status_name(status));
    }
    return NULL;
}

Test(backpressure, blocked_publishers_go_on_when_there_is_room, .timeout = 240)
{
    blocking of = {.bus = own_start(HL_WAIT_PARK)};
    uint64_t count = 0;
    of.topic = own_topic(of.bus, "account.pnl", HL_DELTA);
    own_subscribe(of.bus, "account.pnl", count_slowly, &count);
    cr_assert_eq(hl_shared_publisher_open(of.bus, "shared", NULL, &of.shared), HL_OK);
    hl_publisher *const mine = own_publisher(of.bus, "mine", "account");
    const pthread_t a = own_thread(publish_and_block, &of), b = own_thread(publish_and_block, &of);
    for (uint64_t i = 0; i < EVENTS; i++)
        cr_assert_eq(hl_publish(mine, of.topic, 1, &i, sizeof i), HL_OK);
    own_join(a);
    own_join(b);
    cr_assert_eq(hl_bus_stop(of.bus, 60 * HL_SECOND), HL_OK);
    cr_assert_eq(count, 3 * EVENTS);
    cr_assert_eq(own_lane(of.bus, "account").rejected, 0);
    hl_bus_destroy(of.bus);
}
