/* However an executor waits: no event is slept over, and one CPU is enough. */
#include <string.h>

#include "own_bus.h"

#define PINGS (100000u / OWN_SHARE)

typedef struct court {
    hl_bus *bus;
    hl_topic ping, pong;
    uint64_t returned;
} court;

static hl_status return_ball(const hl_event *event, hl_publisher *out, void *context)
{
    const court *const of = context;
    const uint64_t value = own_value(event);
    return hl_try_publish(out, of->pong, event->key, &value, sizeof value);
}

static hl_status note_returned(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    court *const of = context;
    hl_store_release_u64(&of->returned, own_value(event));
    return HL_OK;
}

/* One event at a time, from outside to one partition, from there to another: each goes to sleep
 * between any two, and a wake-up that is lost stops all. */
static void play(hl_wait wait, uint64_t pings)
{
    court of = {.bus = own_start(wait)};
    of.ping = own_topic(of.bus, "market_data.ping", HL_DELTA);
    of.pong = own_topic(of.bus, "order.pong", HL_DELTA);
    own_subscribe(of.bus, "market_data.ping", return_ball, &of);
    own_subscribe(of.bus, "order.pong", note_returned, &of);
    hl_publisher *const player = own_publisher(of.bus, "player", "market_data");
    for (uint64_t i = 1; i <= pings; i++) {
        own_publish(player, of.ping, 1, i);
        own_await(&of.returned, i);
    }
    own_stop(of.bus);
}

Test(waits, a_spinning_executor_misses_nothing, .timeout = 240)
{
    play(HL_WAIT_SPIN, PINGS / 100);
}

Test(waits, a_backing_off_executor_misses_nothing, .timeout = 240)
{
    play(HL_WAIT_BACKOFF, PINGS / 10);
}

Test(waits, a_parking_executor_misses_no_wake_up, .timeout = 240)
{
    play(HL_WAIT_PARK, PINGS);
}

static hl_status note_batch(const hl_batch *batch, hl_publisher *out, void *context)
{
    (void)out;
    court *const of = context;
    hl_store_release_u64(&of->returned, own_value(batch->events[batch->count - 1]));
    return HL_OK;
}

Test(waits, a_parked_executor_wakes_when_a_batch_is_due, .timeout = 240)
{
    court of = {.bus = own_start(HL_WAIT_PARK)};
    of.ping = own_topic(of.bus, "market_data.ping", HL_DELTA);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_subscription *subscription;
    options.batch = note_batch;
    options.batch_wait_ns = 2 * HL_MILLISECOND;
    cr_assert_eq(hl_subscribe(of.bus, "market_data.ping", NULL, &of, &options, &subscription),
                 HL_OK);
    hl_publisher *const player = own_publisher(of.bus, "player", "market_data");
    for (uint64_t i = 1; i <= 200; i++) {
        own_publish(player, of.ping, 1, i);
        own_await(&of.returned, i);
    }
    hl_thread_status thread;
    uint64_t parks = 0;
    for (uint32_t i = 0; hl_bus_thread_status(of.bus, i, &thread) == HL_OK; i++)
        parks += thread.parks;
    cr_assert_gt(parks, 0, "it never slept");
    own_stop(of.bus);
}

/* ---- one CPU ---- */

static void on_one_cpu(void)
{
    cpu_set_t allowed, one;
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            CPU_SET(cpu, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
}

Test(waits, one_cpu_is_enough, .timeout = 240)
{
    on_one_cpu();
    play(HL_WAIT_AUTO, PINGS / 100);
    play(HL_WAIT_PARK, PINGS / 100);
    play(HL_WAIT_BACKOFF, PINGS / 1000);
}

Test(waits, a_spinning_executor_on_one_cpu_makes_progress, .timeout = 240)
{
    on_one_cpu();
    play(HL_WAIT_SPIN, 50);
}
