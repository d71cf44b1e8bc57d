/*
 * flood: what an order feels of saturating market data. Orders come on a schedule of 10,000 a
 * second, first alone, then in the flood, in one measurement, so that the two compare.
 *
 *   own partition   CPU P: one loop that sends the orders and turns their partition. CPU C: one
 *                   loop that turns market data's partition and, in the flood, fills it.
 *   one partition   CPU P: one loop that sends the orders (CRITICAL) and, in the flood, keeps the
 *                   NORMAL lane full, whose handler works for some time, or the lane would be as
 *                   good as empty. CPU C: the bus's executor.
 */
#include "scenario.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/orders.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define FLOOD_BURST 32u   /* events between two turns of their partition */
#define HANDLER_NS  200.0 /* of market data within one partition: longer than sending it takes */

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
    REFUSED,
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
    [REFUSED] = {"no_room", "percent", false},
};

/* One half of a measurement. */
typedef struct flood {
    perf_run *run;
    bool own_partition;
    bool flooding;
    perf_bus bus;
    hl_topic data;
    perf_orders orders;
    /* The data handler's. */
    alignas(HL_LINE_PAIR) uint64_t data_handled;
    uint64_t data_wrong;
    uint64_t handler_ticks; /* that it works for; 0: it only sums up */
    /* Whoever sends market data. */
    alignas(HL_LINE_PAIR) hl_publisher *data_publisher;
    uint64_t data_sent;
    uint64_t data_refused; /* there was no room for it */
    hl_status data_failed;
    /* The sender of orders -> the flooding thread: relaxed, it carries no data. */
    alignas(HL_LINE_PAIR) uint32_t done;
} flood;

static hl_status on_data(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    flood *const self = context;
    self->data_wrong +=
        !perf_payload_is(hl_payload(event), PERF_BUS_PAYLOAD_BYTES, self->data_handled);
    self->data_handled++;
    perf_timer_spend(&self->run->timer, self->handler_ticks);
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
            if (status == HL_FULL)
                self->data_refused++;
            else
                self->data_failed = status;
            return;
        }
        perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->data_sent++, 0);
        hl_commit(&claim);
    }
}

/* What the order thread does while no order is due. */
static void pass_time(void *context)
{
    flood *const self = context;
    if (self->own_partition)
        hl_executor_turn(self->orders.turned, 0);
    else if (self->flooding)
        send_data(self, 1); /* one, lest the order that is due next waits for its own sender */
}

static void order_thread(void *context)
{
    flood *const self = context;
    self->orders.turned = self->own_partition ? hl_bus_executor(self->bus.bus, 1) : NULL;
    perf_orders_send(&self->orders, pass_time, self);
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
    hl_status status = perf_orders_declare(
        &self->orders, &self->bus, self->own_partition ? "order.new" : "market_data.order", error);
    if (status == HL_OK)
        status = perf_bus_topic(&self->bus, "market_data.trade", NULL, &self->data, error);
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
    return perf_bus_publisher(&self->bus, "flood", &self->data_publisher, error);
}

static hl_status check(const flood *self, hl_error *error)
{
    if (self->data_failed != HL_OK)
        return perf_bus_publish_error(self->data_failed, error);
    if (self->data_wrong != 0 || self->data_handled != self->data_sent)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%" PRIu64 " events sent, %" PRIu64 " handled, %" PRIu64
                            " damaged or out of order",
                            self->data_sent, self->data_handled, self->data_wrong);
    return HL_OK;
}

static hl_status run_half(void *context, hl_error *error)
{
    flood *const self = context;
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
    status = perf_bus_close(&self->bus, status, NULL, error);
    return status == HL_OK ? check(self, error) : status;
}

typedef struct flood_context {
    perf_run *run;
    const char *name;
    bool own_partition;
} flood_context;

static void read_half(const flood *self, const double *latencies, double *ret_values)
{
    memcpy(&ret_values[self->flooding ? FLOOD_P50 : IDLE_P50], latencies,
           PERF_ORDERS_VALUES * sizeof *latencies);
    if (!self->flooding)
        return;
    const double offered = (double)(self->data_sent + self->data_refused);
    ret_values[FLOOD_PER_S] = (double)self->data_handled / self->run->options->seconds;
    /* Who turns the partition himself makes the room that he needs. */
    ret_values[REFUSED] = self->own_partition ? NAN : 100.0 * (double)self->data_refused / offered;
}

static hl_status measure_half(const flood_context *asked, bool flooding, double *ret_values,
                              hl_error *error)
{
    flood *const self = hl_allocate(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    self->run = asked->run;
    self->own_partition = asked->own_partition;
    self->flooding = flooding;
    if (!asked->own_partition)
        self->handler_ticks = perf_timer_ticks_of(&asked->run->timer, HANDLER_NS);
    char name[96];
    double latencies[PERF_ORDERS_VALUES];
    snprintf(name, sizeof name, "%s.%s", asked->name, flooding ? "flood" : "idle");
    const hl_status status =
        perf_orders_measure(&self->orders, asked->run, name, run_half, self, latencies, error);
    if (status == HL_OK)
        read_half(self, latencies, ret_values);
    free(self);
    return status;
}

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const flood_context *const asked = context;
    hl_status status = measure_half(asked, false, ret_values, error);
    if (status == HL_OK)
        status = measure_half(asked, true, ret_values, error);
    ret_values[RATIO_P50] = ret_values[FLOOD_P50] / ret_values[IDLE_P50];
    ret_values[RATIO_P999] = ret_values[FLOOD_P999] / ret_values[IDLE_P999];
    return status;
}

hl_status perf_scenario_flood(perf_run *run, hl_error *error)
{
    static const perf_task like = {.measure = measure,
                                   .metrics = metrics,
                                   .metric_count = VALUES,
                                   .floor = PERF_FLOOR_ONE_WAY};
    flood_context contexts[] = {{run, "own_partition", true}, {run, "one_partition", false}};
    perf_task tasks[2];
    for (size_t i = 0; i < 2; i++)
        tasks[i] = perf_task_of(&like, contexts[i].name, &contexts[i]);
    perf_result_note(run->result,
                     "own_partition: CPU %u sends the orders and turns their partition, one loop "
                     "(an order crosses no core); CPU %u sends market data and turns its partition",
                     run->cores.publisher, run->cores.consumer);
    perf_result_note(
        run->result,
        "one_partition: CPU %u sends orders (CRITICAL) and keeps the NORMAL lane full, "
        "one loop; the bus's executor is on CPU %u; a handler of market data works for %.0f ns, an "
        "order waits for at most one; no_room: of the events offered",
        run->cores.publisher, run->cores.consumer, HANDLER_NS);
    perf_result_note(run->result,
                     "skipped: publisher and partition of orders and of market data on a core "
                     "each: that takes four, and two are named");
    return perf_run_tasks(run, tasks, 2, error);
}
