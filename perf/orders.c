#include "orders.h"

#include <inttypes.h>

#include "base/error.h"
#include "perf/payload.h"

#define ORDERS_PER_S   10000.0
#define WARM_UP_ORDERS 5000u

static hl_status on_order(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    perf_orders *const orders = context;
    const uint64_t now = perf_timer_ticks(orders->latency.timer);
    const void *const payload = hl_payload(event);
    orders->wrong += !perf_payload_is(payload, PERF_BUS_PAYLOAD_BYTES, orders->handled);
    /* Relaxed: a number. */
    hl_store_relaxed_u64(&orders->handled, orders->handled + 1);
    if (perf_payload_time(payload) != 0)
        perf_latency_record(&orders->latency, perf_payload_time(payload), now);
    return HL_OK;
}

hl_status perf_orders_declare(perf_orders *orders, const perf_bus *bus, const char *topic,
                              hl_error *error)
{
    hl_topic_options critical = HL_TOPIC_OPTIONS_INIT;
    critical.priority = HL_CRITICAL;
    orders->bus = bus;
    const hl_status status = perf_bus_topic(bus, topic, &critical, &orders->topic, error);
    return status == HL_OK ? perf_bus_subscribe(bus, topic, on_order, orders, error) : status;
}

static void send_order(perf_orders *orders, uint64_t intended)
{
    hl_claim claim;
    hl_status status;
    while ((status = hl_try_claim(orders->bus->publisher, orders->topic, 0, PERF_BUS_PAYLOAD_BYTES,
                                  &claim)) == HL_FULL) {
        if (orders->turned != NULL)
            hl_executor_turn(orders->turned, 0);
        else
            hl_pause();
    }
    if (status != HL_OK) {
        orders->failed = status;
        return;
    }
    perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, orders->sent++, intended);
    hl_commit(&claim);
}

/* Until each is handled, or PERF_BUS_DRAIN_NS have passed: then some are lost. */
static void await_handled(const perf_orders *orders, void (*pass_time)(void *context),
                          void *context)
{
    const perf_timer *const timer = orders->latency.timer;
    const uint64_t patience = perf_timer_after(timer, PERF_BUS_DRAIN_NS);
    /* Relaxed: a number. */
    while (hl_load_relaxed_u64(&orders->handled) < orders->sent && orders->failed == HL_OK &&
           perf_timer_ticks(timer) < patience)
        pass_time(context);
}

void perf_orders_send(perf_orders *orders, void (*pass_time)(void *context), void *context)
{
    const perf_timer *const timer = orders->latency.timer;
    while (orders->sent < WARM_UP_ORDERS && orders->failed == HL_OK) {
        send_order(orders, 0);
        pass_time(context);
    }
    /* Else the first of the schedule would wait for what is left of them. */
    await_handled(orders, pass_time, context);
    perf_schedule_begin(&orders->schedule, timer, orders->seconds);
    /* Written before the first order that is recorded is committed, read in its handler. */
    orders->latency.start = orders->schedule.start;
    uint64_t intended;
    while ((intended = perf_schedule_next(&orders->schedule)) != UINT64_MAX &&
           orders->failed == HL_OK) {
        while (perf_timer_ticks(timer) < intended)
            pass_time(context);
        send_order(orders, intended);
        perf_schedule_advance(&orders->schedule);
    }
    /* The last ones, too, before anything else happens: nobody else turns their partition. */
    if (orders->turned != NULL)
        await_handled(orders, pass_time, context);
}

static hl_status check(const perf_orders *orders, hl_error *error)
{
    if (orders->failed != HL_OK)
        return perf_bus_publish_error(orders->failed, error);
    if (orders->wrong != 0 || orders->handled != orders->sent)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%" PRIu64 " orders sent, %" PRIu64 " handled, %" PRIu64
                            " damaged or out of order",
                            orders->sent, orders->handled, orders->wrong);
    return HL_OK;
}

static void report(const perf_orders *orders, const perf_run *run, const char *distribution,
                   double *ret_values)
{
    static const double percentiles[PERF_ORDERS_VALUES] = {50, 99, 99.9, 100};
    for (size_t i = 0; i < PERF_ORDERS_VALUES; i++)
        ret_values[i] =
            (double)hl_histogram_value_at_percentile(orders->latency.ns, percentiles[i]);
    perf_result_add_distribution(run->result, distribution, orders->latency.ns);
}

hl_status perf_orders_measure(perf_orders *orders, const perf_run *run, const char *distribution,
                              hl_status (*run_half)(void *context, hl_error *error), void *context,
                              double *ret_values, hl_error *error)
{
    *orders = (perf_orders){.seconds = run->options->seconds};
    perf_schedule_init(&orders->schedule, &run->timer, ORDERS_PER_S, false);
    hl_status status = perf_latency_create(&run->timer, orders->seconds, &orders->latency, error);
    if (status != HL_OK)
        return status;
    status = run_half(context, error);
    if (status == HL_OK)
        status = check(orders, error);
    if (status == HL_OK)
        report(orders, run, distribution, ret_values);
    perf_latency_destroy(&orders->latency);
    return status;
}
