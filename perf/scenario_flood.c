/*
 * flood: what an order feels of saturating market data. Orders come on a schedule of 10,000 a
 * second, first alone, then in the flood, in one measurement, so that the two compare.
 *
 *   own partition   CPU P: one loop that sends the orders and turns their partition. CPU C: one
 *                   loop that turns market data's partition and, in the flood, fills it.
 *   one partition   CPU P: one loop that sends the orders (CRITICAL) and, in the flood, keeps the
 *                   NORMAL lane full. CPU C: the bus's executor.
 */
#include "scenario.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/latency.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define ORDERS_PER_S   10000.0
#define WARM_UP_ORDERS 5000u
#define FLOOD_BURST    32u /* events between two turns of their partition */

enum {
    IDLE_P50,
    IDLE_P99,
    IDLE_P999,
    IDLE_MAX,
    FLOOD_P50,
    FLOOD_P99,
    FLOOD_P999,
    FLOOD_MAX,
    RATIO_P50,
    RATIO_P999,
    FLOOD_PER_S,
    VALUES
};

static const perf_metric metrics[VALUES] = {
    [IDLE_P50] = {"idle.p50", "ns", true},
    [IDLE_P99] = {"idle.p99", "ns", true},
    [IDLE_P999] = {"idle.p99.9", "ns", true},
    [IDLE_MAX] = {"idle.max", "ns", true},
    [FLOOD_P50] = {"flood.p50", "ns", true},
    [FLOOD_P99] = {"flood.p99", "ns", true},
    [FLOOD_P999] = {"flood.p99.9", "ns", true},
    [FLOOD_MAX] = {"flood.max", "ns", true},
    [RATIO_P50] = {"flood_by_idle.p50", "ratio", true},
    [RATIO_P999] = {"flood_by_idle.p99.9", "ratio", true},
    [FLOOD_PER_S] = {"flooding", "events_per_s", false},
};

/* One half of a measurement. */
typedef struct flood {
    perf_run *run;
    bool own_partition;
    bool flooding;
    perf_bus bus;
    hl_topic orders, data;
    /* The order handler's. */
    alignas(HL_LINE_PAIR) perf_latency latency;
    uint64_t orders_handled;
    uint64_t wrong;
    /* The data handler's. */
    alignas(HL_LINE_PAIR) uint64_t data_handled;
    uint64_t data_wrong;
    /* Whoever sends market data. */
    alignas(HL_LINE_PAIR) hl_publisher *data_publisher;
    uint64_t data_sent;
    hl_status data_failed;
    /* The sender of orders. */
    alignas(HL_LINE_PAIR) perf_schedule schedule;
    uint64_t orders_sent;
    hl_status failed;
    /* The sender of orders -> the flooding thread: relaxed, it carries no data. */
    alignas(HL_LINE_PAIR) uint32_t done;
} flood;

static hl_status on_order(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    flood *const self = context;
    const uint64_t now = perf_timer_ticks(&self->run->timer);
    const void *const payload = hl_payload(event);
    if (!perf_payload_whole(payload, PERF_BUS_PAYLOAD_BYTES) ||
        perf_payload_number(payload) != self->orders_handled)
        self->wrong++;
    self->orders_handled++;
    if (perf_payload_time(payload) != 0)
        perf_latency_record(&self->latency, perf_payload_time(payload), now);
    return HL_OK;
}

static hl_status on_data(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    flood *const self = context;
    const void *const payload = hl_payload(event);
    if (!perf_payload_whole(payload, PERF_BUS_PAYLOAD_BYTES) ||
        perf_payload_number(payload) != self->data_handled)
        self->data_wrong++;
    self->data_handled++;
    return HL_OK;
}

/* Until the lane is full, at most so many. */
static void send_data(flood *self, uint32_t most)
{
    hl_claim claim;
    for (uint32_t i = 0; i < most; i++) {
        const hl_status status =
            hl_try_claim(self->data_publisher, self->data, 0, PERF_BUS_PAYLOAD_BYTES, &claim);
        if (status != HL_OK) {
            if (status != HL_FULL)
                self->data_failed = status;
            return;
        }
        perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->data_sent++, 0);
        hl_commit(&claim);
    }
}

/* What the order thread does while no order is due. */
static void pass_time(flood *self, hl_executor *orders)
{
    if (orders != NULL)
        hl_executor_turn(orders, 0);
    else if (self->flooding)
        send_data(self, 1); /* one, lest the order that is due next waits for its own sender */
}

static void send_order(flood *self, uint64_t intended, hl_executor *orders)
{
    hl_claim claim;
    hl_status status;
    while ((status = hl_try_claim(self->bus.publisher, self->orders, 0, PERF_BUS_PAYLOAD_BYTES,
                                  &claim)) == HL_FULL)
        if (orders != NULL)
            hl_executor_turn(orders, 0);
    if (status != HL_OK) {
        self->failed = status;
        return;
    }
    perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->orders_sent++, intended);
    hl_commit(&claim);
}

static void order_thread(void *context)
{
    flood *const self = context;
    const perf_timer *const timer = &self->run->timer;
    hl_executor *const orders = self->own_partition ? hl_bus_executor(self->bus.bus, 1) : NULL;
    while (self->orders_sent < WARM_UP_ORDERS && self->failed == HL_OK) {
        send_order(self, 0, orders);
        pass_time(self, orders);
    }
    perf_schedule_begin(&self->schedule, timer, self->run->options->seconds);
    /* Written before the first order that is recorded is committed, read in its handler. */
    self->latency.start = self->schedule.start;
    uint64_t intended;
    while ((intended = perf_schedule_next(&self->schedule)) != UINT64_MAX &&
           self->failed == HL_OK) {
        while (perf_timer_ticks(timer) < intended)
            pass_time(self, orders);
        send_order(self, intended, orders);
        perf_schedule_advance(&self->schedule);
    }
    /* Relaxed, as said above. */
    hl_store_relaxed_u32(&self->done, 1);
}

static void data_thread(void *context)
{
    flood *const self = context;
    hl_executor *const data = hl_bus_executor(self->bus.bus, 0);
    /* Relaxed, as said above. */
    while (hl_load_relaxed_u32(&self->done) == 0) {
        if (self->flooding)
            send_data(self, FLOOD_BURST);
        hl_executor_turn(data, 0);
    }
}

static hl_status declare(flood *self, hl_error *error)
{
    hl_topic_options critical = HL_TOPIC_OPTIONS_INIT;
    critical.priority = HL_CRITICAL;
    const char *const orders = self->own_partition ? "order.new" : "market_data.order";
    hl_status status = perf_bus_topic(&self->bus, orders, &critical, &self->orders, error);
    if (status == HL_OK)
        status = perf_bus_topic(&self->bus, "market_data.trade", NULL, &self->data, error);
    if (status == HL_OK)
        status = perf_bus_subscribe(&self->bus, orders, on_order, self, error);
    if (status == HL_OK)
        status = perf_bus_subscribe(&self->bus, "market_data.trade", on_data, self, error);
    return status;
}

/* A publisher belongs to one thread: the flooding thread has its own. */
static hl_status start(flood *self, hl_error *error)
{
    const hl_status status = perf_bus_start(&self->bus, error);
    if (status != HL_OK)
        return status;
    self->data_publisher = self->bus.publisher;
    if (!self->own_partition)
        return HL_OK;
    const hl_status opened = hl_publisher_open(self->bus.bus, "flood", NULL, &self->data_publisher);
    return opened == HL_OK ? HL_OK : perf_bus_error(&self->bus, opened, error);
}

static hl_status check(const flood *self, hl_error *error)
{
    const hl_status failed = self->failed != HL_OK ? self->failed : self->data_failed;
    if (failed != HL_OK)
        return hl_error_set(error, failed, "publish: %s", hl_status_text(failed));
    if (self->wrong != 0 || self->data_wrong != 0 || self->orders_handled != self->orders_sent ||
        self->data_handled != self->data_sent)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%" PRIu64 " orders and %" PRIu64 " others sent, %" PRIu64
                            " and %" PRIu64 " handled, %" PRIu64 " damaged or out of order",
                            self->orders_sent, self->data_sent, self->orders_handled,
                            self->data_handled, self->wrong + self->data_wrong);
    return HL_OK;
}

static hl_status run_half(flood *self, hl_error *error)
{
    const perf_cores *const cores = &self->run->cores;
    const perf_bus_options options = {.cores = cores,
                                      .wait = HL_WAIT_SPIN,
                                      .manual = self->own_partition,
                                      .two_domains = self->own_partition};
    const perf_thread threads[] = {{"orders", cores->publisher, order_thread, self},
                                   {"market data", cores->consumer, data_thread, self}};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = declare(self, error);
    if (status == HL_OK)
        status = start(self, error);
    if (status == HL_OK)
        status = perf_threads_run(threads, self->own_partition ? 2 : 1, error);
    status = perf_bus_close(&self->bus, status, error);
    return status == HL_OK ? check(self, error) : status;
}

typedef struct flood_context {
    perf_run *run;
    const char *name;
    bool own_partition;
} flood_context;

/* The four percentiles of one half go to ret_values[0..3]. */
static hl_status measure_half(const flood_context *asked, bool flooding, double *ret_values,
                              double *ret_flood_per_s, hl_error *error)
{
    flood *const self = hl_allocate(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    self->run = asked->run;
    self->own_partition = asked->own_partition;
    self->flooding = flooding;
    const double seconds = asked->run->options->seconds;
    perf_schedule_init(&self->schedule, &asked->run->timer, ORDERS_PER_S, false);
    hl_status status = perf_latency_create(&asked->run->timer, seconds, &self->latency, error);
    if (status == HL_OK) {
        static const double percentiles[] = {50, 99, 99.9, 100};
        status = run_half(self, error);
        for (size_t i = 0; i < 4; i++)
            ret_values[i] =
                (double)hl_histogram_value_at_percentile(self->latency.ns, percentiles[i]);
        *ret_flood_per_s = (double)self->data_handled / seconds;
        char name[96];
        snprintf(name, sizeof name, "%s.%s", asked->name, flooding ? "flood" : "idle");
        if (status == HL_OK)
            perf_result_add_distribution(asked->run->result, name, self->latency.ns);
        perf_latency_destroy(&self->latency);
    }
    free(self);
    return status;
}

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const flood_context *const asked = context;
    double unused;
    hl_status status = measure_half(asked, false, &ret_values[IDLE_P50], &unused, error);
    if (status == HL_OK)
        status = measure_half(asked, true, &ret_values[FLOOD_P50], &ret_values[FLOOD_PER_S], error);
    ret_values[RATIO_P50] = ret_values[FLOOD_P50] / ret_values[IDLE_P50];
    ret_values[RATIO_P999] = ret_values[FLOOD_P999] / ret_values[IDLE_P999];
    return status;
}

hl_status perf_scenario_flood(perf_run *run, hl_error *error)
{
    flood_context contexts[] = {{run, "own_partition", true}, {run, "one_partition", false}};
    perf_task tasks[2];
    for (size_t i = 0; i < 2; i++) {
        tasks[i] = (perf_task){.measure = measure,
                               .context = &contexts[i],
                               .metrics = metrics,
                               .metric_count = VALUES,
                               .floor = PERF_FLOOR_ONE_WAY};
        snprintf(tasks[i].name, sizeof tasks[i].name, "%s", contexts[i].name);
    }
    perf_result_note(run->result,
                     "own_partition: CPU %u sends the orders and turns their partition, one loop "
                     "(an order crosses no core); CPU %u sends market data and turns its partition",
                     run->cores.publisher, run->cores.consumer);
    perf_result_note(
        run->result,
        "one_partition: CPU %u sends orders (CRITICAL) and keeps the NORMAL lane full, "
        "one loop; the bus's executor is on CPU %u",
        run->cores.publisher, run->cores.consumer);
    perf_result_note(run->result,
                     "skipped: publisher and partition of orders and of market data on a core "
                     "each: that takes four, and two are named");
    return perf_run_tasks(run, tasks, 2, error);
}
