/*
 * overload: more market data than the partition can take, orders beside it, and what the ladder
 * does. Orders (CRITICAL) come on a schedule of 10,000 a second, first alone, then in the overload,
 * in one measurement; with the ladder and without it.
 *
 *   CPU P: one loop that sends the orders and, in the overload, market data as fast as the lane
 *          takes it: of four events two of a `state` topic (10,000 keys), one of an `expendable`
 *          one (LOW), one `delta`; each handler works for HANDLER_NS, which is slower than that.
 *   CPU C: the bus's executor, of the one partition that all of it is in.
 *
 * Beside the latencies it counts what became of the load, and checks that every order and every
 * delta that was taken came, and of each key the newest value that was.
 */
#include "scenario.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/orders.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define KEYS       10000u
#define HANDLER_NS 1000.0

enum {
    IDLE_P50,
    IDLE_P999,
    LOAD_P50,
    LOAD_P99,
    LOAD_P999,
    LOAD_MAX,
    RATIO_P50,
    RATIO_P999,
    OFFERED,
    HANDLED,
    CONFLATED,
    SHED,
    THROTTLED,
    FULL,
    STEP,
    VALUES
};

static const perf_metric metrics[VALUES] = {
    [IDLE_P50] = {"idle.p50", "ns", true},
    [IDLE_P999] = {"idle.p99.9", "ns", true},
    [LOAD_P50] = {"load.p50", "ns", true},
    [LOAD_P99] = {"load.p99", "ns", true},
    [LOAD_P999] = {"load.p99.9", "ns", true},
    [LOAD_MAX] = {"load.max", "ns", true},
    [RATIO_P50] = {"load_by_idle.p50", "ratio", true},
    [RATIO_P999] = {"load_by_idle.p99.9", "ratio", true},
    [OFFERED] = {"offered", "events_per_s", false},
    [HANDLED] = {"handled", "events_per_s", false},
    [CONFLATED] = {"conflated", "percent", false},
    [SHED] = {"shed", "percent", false},
    [THROTTLED] = {"throttled", "percent", false},
    [FULL] = {"no_room", "percent", true},
    [STEP] = {"highest_step", "count", true},
};

/* One half of a measurement. */
typedef struct overload {
    perf_run *run;
    bool has_ladder;
    bool loaded;
    perf_bus bus;
    hl_topic state, expendable, delta;
    perf_orders orders;
    /* The handlers'. */
    alignas(HL_LINE_PAIR) uint64_t deltas_handled;
    uint64_t others_handled, wrong;
    uint64_t handler_ticks;
    uint64_t seen[KEYS]; /* the newest number of each key that came */
    /* The sender's. */
    alignas(HL_LINE_PAIR) uint64_t deltas_sent;
    uint64_t offered;
    uint64_t sent[KEYS]; /* the newest number of each key that was taken */
    uint32_t highest_step;
    hl_status failed;
    hl_lane_stats lanes;
} overload;

static void work(const overload *self)
{
    perf_timer_spend(&self->run->timer, self->handler_ticks);
}

static bool is_whole(const hl_event *event)
{
    return perf_payload_whole(hl_payload(event), PERF_BUS_PAYLOAD_BYTES);
}

static hl_status on_delta(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    overload *const self = context;
    self->wrong +=
        !perf_payload_is(hl_payload(event), PERF_BUS_PAYLOAD_BYTES, self->deltas_handled);
    self->deltas_handled++;
    work(self);
    return HL_OK;
}

static hl_status on_state(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    overload *const self = context;
    const uint64_t number = perf_payload_number(hl_payload(event));
    self->wrong += !is_whole(event) || number <= self->seen[event->key];
    self->seen[event->key] = number;
    self->others_handled++;
    work(self);
    return HL_OK;
}

static hl_status on_expendable(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    overload *const self = context;
    self->wrong += !is_whole(event);
    self->others_handled++;
    work(self);
    return HL_OK;
}

static bool send(overload *self, hl_topic topic, uint64_t key, uint64_t number)
{
    hl_claim claim;
    const hl_status status =
        hl_try_claim(self->bus.publisher, topic, key, PERF_BUS_PAYLOAD_BYTES, &claim);
    if (status != HL_OK) {
        if (status != HL_FULL && status != HL_THROTTLED)
            self->failed = status;
        return false;
    }
    perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, number, 0);
    hl_commit(&claim);
    return true;
}

/* One event, lest the order that is due next waits for its own sender. */
static void send_load(overload *self)
{
    const uint64_t turn = self->offered++;
    const uint64_t key = turn % KEYS, number = turn + 1;
    if (turn % 4 < 2) {
        if (send(self, self->state, key, number))
            self->sent[key] = number;
    } else if (turn % 4 == 2) {
        send(self, self->expendable, key, number);
    } else if (send(self, self->delta, key, self->deltas_sent)) {
        self->deltas_sent++;
    }
}

static void pass_time(void *context)
{
    overload *const self = context;
    if (!self->loaded)
        return;
    send_load(self);
    if (self->offered % 4096 != 0)
        return;
    hl_ladder_stats ladder;
    if (hl_bus_ladder_stats(self->bus.bus, "market_data", 0, &ladder) == HL_OK &&
        ladder.step > self->highest_step)
        self->highest_step = ladder.step;
}

static void sender_thread(void *context)
{
    overload *const self = context;
    perf_orders_send(&self->orders, pass_time, self);
}

static hl_status declare(overload *self, const char *name, hl_topic_kind kind, hl_priority priority,
                         hl_handler handler, hl_topic *ret_topic, hl_error *error)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.kind = kind;
    options.priority = (int)priority;
    options.max_keys = kind == HL_STATE ? KEYS : 0;
    const hl_status status = perf_bus_topic(&self->bus, name, &options, ret_topic, error);
    return status == HL_OK ? perf_bus_subscribe(&self->bus, name, handler, self, error) : status;
}

static hl_status declare_all(overload *self, hl_error *error)
{
    hl_status status = perf_orders_declare(&self->orders, &self->bus, "market_data.order", error);
    if (status == HL_OK)
        status =
            declare(self, "market_data.state", HL_STATE, HL_NORMAL, on_state, &self->state, error);
    if (status == HL_OK)
        status = declare(self, "market_data.expendable", HL_EXPENDABLE, HL_LOW, on_expendable,
                         &self->expendable, error);
    if (status == HL_OK)
        status =
            declare(self, "market_data.delta", HL_DELTA, HL_NORMAL, on_delta, &self->delta, error);
    return status;
}

static hl_status check(const overload *self, hl_error *error)
{
    if (self->failed != HL_OK)
        return perf_bus_publish_error(self->failed, error);
    uint64_t stale = 0;
    for (uint32_t key = 0; key < KEYS; key++)
        stale += self->seen[key] != self->sent[key];
    if (self->wrong == 0 && stale == 0 && self->deltas_handled == self->deltas_sent)
        return HL_OK;
    return hl_error_set(error, HL_NOT_CONSERVED,
                        "%" PRIu64 " deltas sent, %" PRIu64 " handled; %" PRIu64
                        " events damaged or out of order, %" PRIu64
                        " keys without their newest value",
                        self->deltas_sent, self->deltas_handled, self->wrong, stale);
}

static hl_status run_half(void *context, hl_error *error)
{
    overload *const self = context;
    const perf_cores *const cores = &self->run->cores;
    hl_ladder_options ladder = HL_LADDER_OPTIONS_INIT;
    ladder.enabled = self->has_ladder;
    ladder.step_up_ns = 20 * HL_MILLISECOND; /* within a short measurement */
    const perf_bus_options options = {.cores = cores, .wait = HL_WAIT_SPIN, .ladder = &ladder};
    const perf_thread thread = {"orders", cores->publisher, sender_thread, self};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = declare_all(self, error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    if (status == HL_OK)
        status = perf_threads_run(&thread, 1, error);
    status = perf_bus_close(&self->bus, status, &self->lanes, error);
    return status == HL_OK ? check(self, error) : status;
}

typedef struct overload_context {
    perf_run *run;
    const char *name;
    bool has_ladder;
} overload_context;

static double share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0.0 : 100.0 * (double)part / (double)whole;
}

static void read_half(const overload *self, const double *latencies, double *ret_values)
{
    if (!self->loaded) {
        ret_values[IDLE_P50] = latencies[PERF_ORDERS_P50];
        ret_values[IDLE_P999] = latencies[PERF_ORDERS_P999];
        return;
    }
    const double seconds = self->run->options->seconds;
    memcpy(&ret_values[LOAD_P50], latencies, PERF_ORDERS_VALUES * sizeof *latencies);
    ret_values[OFFERED] = (double)self->offered / seconds;
    ret_values[HANDLED] = (double)(self->deltas_handled + self->others_handled) / seconds;
    ret_values[CONFLATED] = share(self->lanes.conflated, self->offered);
    ret_values[SHED] = share(self->lanes.shed, self->offered);
    ret_values[THROTTLED] = share(self->lanes.throttled, self->offered);
    ret_values[FULL] = share(self->lanes.rejected, self->offered);
    ret_values[STEP] = (double)self->highest_step;
}

static hl_status measure_half(const overload_context *asked, bool loaded, double *ret_values,
                              hl_error *error)
{
    overload *const self = hl_allocate(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    self->run = asked->run;
    self->has_ladder = asked->has_ladder;
    self->loaded = loaded;
    self->handler_ticks = perf_timer_ticks_of(&asked->run->timer, HANDLER_NS);
    char name[96];
    double latencies[PERF_ORDERS_VALUES];
    snprintf(name, sizeof name, "%s.%s", asked->name, loaded ? "load" : "idle");
    const hl_status status =
        perf_orders_measure(&self->orders, asked->run, name, run_half, self, latencies, error);
    if (status == HL_OK)
        read_half(self, latencies, ret_values);
    free(self);
    return status;
}

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const overload_context *const asked = context;
    hl_status status = measure_half(asked, false, ret_values, error);
    if (status == HL_OK)
        status = measure_half(asked, true, ret_values, error);
    ret_values[RATIO_P50] = ret_values[LOAD_P50] / ret_values[IDLE_P50];
    ret_values[RATIO_P999] = ret_values[LOAD_P999] / ret_values[IDLE_P999];
    return status;
}

hl_status perf_scenario_overload(perf_run *run, hl_error *error)
{
    static const perf_task like = {.measure = measure,
                                   .metrics = metrics,
                                   .metric_count = VALUES,
                                   .floor = PERF_FLOOR_ONE_WAY};
    overload_context contexts[] = {{run, "ladder", true}, {run, "no_ladder", false}};
    perf_task tasks[2];
    for (size_t i = 0; i < 2; i++)
        tasks[i] = perf_task_of(&like, contexts[i].name, &contexts[i]);
    perf_result_note(run->result,
                     "CPU %u sends orders (CRITICAL) and, in the overload, market data, one loop; "
                     "the bus's executor is on CPU %u; its housekeeper, which steps the ladder, on "
                     "CPU %u",
                     run->cores.publisher, run->cores.consumer, run->cores.housekeeper);
    perf_result_note(run->result,
                     "per cent are of the events offered; a handler of market data works for %.0f "
                     "ns, an order waits for at most one",
                     HANDLER_NS);
    perf_result_note(run->result,
                     "skipped: orders and market data from a core each: that takes three, and two "
                     "are named");
    return perf_run_tasks(run, tasks, 2, error);
}
