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

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/latency.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define ORDERS_PER_S   10000.0
#define WARM_UP_ORDERS 5000u
#define KEYS           10000u
#define HANDLER_NS     1000.0

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
    hl_topic order, state, expendable, delta;
    /* The handlers'. */
    alignas(HL_LINE_PAIR) perf_latency latency;
    uint64_t orders_handled, deltas_handled, others_handled, wrong;
    uint64_t handler_ticks;
    uint64_t seen[KEYS]; /* the newest number of each key that came */
    /* The sender's. */
    alignas(HL_LINE_PAIR) perf_schedule schedule;
    uint64_t orders_sent, deltas_sent, offered;
    uint64_t sent[KEYS]; /* the newest number of each key that was taken */
    uint32_t highest_step;
    hl_status failed;
    hl_lane_stats lanes;
} overload;

static void work(const overload *self)
{
    const uint64_t end = perf_timer_ticks(&self->run->timer) + self->handler_ticks;
    while (perf_timer_ticks(&self->run->timer) < end)
        hl_pause();
}

static bool is_whole(const hl_event *event)
{
    return perf_payload_whole(hl_payload(event), PERF_BUS_PAYLOAD_BYTES);
}

static hl_status on_order(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    overload *const self = context;
    const uint64_t now = perf_timer_ticks(&self->run->timer);
    const void *const payload = hl_payload(event);
    self->wrong += !is_whole(event) || perf_payload_number(payload) != self->orders_handled;
    self->orders_handled++;
    if (perf_payload_time(payload) != 0)
        perf_latency_record(&self->latency, perf_payload_time(payload), now);
    return HL_OK;
}

static hl_status on_delta(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    overload *const self = context;
    self->wrong +=
        !is_whole(event) || perf_payload_number(hl_payload(event)) != self->deltas_handled;
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

static void pass_time(overload *self)
{
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

static void send_order(overload *self, uint64_t intended)
{
    hl_claim claim;
    hl_status status;
    while ((status = hl_try_claim(self->bus.publisher, self->order, 0, PERF_BUS_PAYLOAD_BYTES,
                                  &claim)) == HL_FULL)
        hl_pause();
    if (status != HL_OK) {
        self->failed = status;
        return;
    }
    perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->orders_sent++, intended);
    hl_commit(&claim);
}

static void sender_thread(void *context)
{
    overload *const self = context;
    const perf_timer *const timer = &self->run->timer;
    while (self->orders_sent < WARM_UP_ORDERS && self->failed == HL_OK) {
        send_order(self, 0);
        pass_time(self);
    }
    perf_schedule_begin(&self->schedule, timer, self->run->options->seconds);
    /* Written before the first order that is recorded is committed, read in its handler. */
    self->latency.start = self->schedule.start;
    uint64_t intended;
    while ((intended = perf_schedule_next(&self->schedule)) != UINT64_MAX &&
           self->failed == HL_OK) {
        while (perf_timer_ticks(timer) < intended)
            pass_time(self);
        send_order(self, intended);
        perf_schedule_advance(&self->schedule);
    }
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
    hl_status status =
        declare(self, "market_data.order", HL_DELTA, HL_CRITICAL, on_order, &self->order, error);
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
        return hl_error_set(error, self->failed, "publish: %s", hl_status_text(self->failed));
    uint64_t stale = 0;
    for (uint32_t key = 0; key < KEYS; key++)
        stale += self->seen[key] != self->sent[key];
    if (self->wrong == 0 && stale == 0 && self->orders_handled == self->orders_sent &&
        self->deltas_handled == self->deltas_sent)
        return HL_OK;
    return hl_error_set(error, HL_NOT_CONSERVED,
                        "%" PRIu64 " orders and %" PRIu64 " deltas sent, %" PRIu64 " and %" PRIu64
                        " handled; %" PRIu64 " events damaged or out of order, %" PRIu64
                        " keys without their newest value",
                        self->orders_sent, self->deltas_sent, self->orders_handled,
                        self->deltas_handled, self->wrong, stale);
}

static hl_status run_half(overload *self, hl_error *error)
{
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
    if (status == HL_OK)
        status = hl_bus_stop(self->bus.bus, PERF_BUS_STOP_NS);
    if (status == HL_OK)
        status = hl_bus_lane_stats(self->bus.bus, "market_data", -1, &self->lanes);
    if (status != HL_OK)
        perf_bus_error(&self->bus, status, error);
    hl_bus_destroy(self->bus.bus);
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

static void read_half(const overload *self, double *ret_values)
{
    const double percentiles[] = {50, 99, 99.9, 100};
    double latencies[4];
    for (size_t i = 0; i < 4; i++)
        latencies[i] = (double)hl_histogram_value_at_percentile(self->latency.ns, percentiles[i]);
    if (!self->loaded) {
        ret_values[IDLE_P50] = latencies[0];
        ret_values[IDLE_P999] = latencies[2];
        return;
    }
    const double seconds = self->run->options->seconds;
    for (size_t i = 0; i < 4; i++)
        ret_values[LOAD_P50 + i] = latencies[i];
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
    const perf_timer *const timer = &asked->run->timer;
    self->run = asked->run;
    self->has_ladder = asked->has_ladder;
    self->loaded = loaded;
    self->handler_ticks = perf_timer_ticks_of(timer, HANDLER_NS);
    perf_schedule_init(&self->schedule, timer, ORDERS_PER_S, false);
    hl_status status =
        perf_latency_create(timer, asked->run->options->seconds, &self->latency, error);
    if (status == HL_OK) {
        status = run_half(self, error);
        if (status == HL_OK)
            read_half(self, ret_values);
        char name[96];
        snprintf(name, sizeof name, "%s.%s", asked->name, loaded ? "load" : "idle");
        if (status == HL_OK)
            perf_result_add_distribution(asked->run->result, name, self->latency.ns);
        perf_latency_destroy(&self->latency);
    }
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
    overload_context contexts[] = {{run, "ladder", true}, {run, "no_ladder", false}};
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
                     "CPU %u sends orders (CRITICAL) and, in the overload, market data, one loop; "
                     "the bus's executor is on CPU %u; its housekeeper, which steps the ladder, on "
                     "CPU %u between two events of that loop",
                     run->cores.publisher, run->cores.consumer, run->cores.publisher);
    perf_result_note(run->result,
                     "per cent are of the events offered; a handler of market data works for %.0f "
                     "ns, an order waits for at most one",
                     HANDLER_NS);
    perf_result_note(
        run->result,
        "skipped: orders and market data from a core each, the housekeeper on a third: "
        "that takes four, and two are named");
    return perf_run_tasks(run, tasks, 2, error);
}
