/*
 * failing: what an order feels of a million events a second that fail in another partition, through
 * their retries to the dead letters. Orders come on a schedule of 10,000 a second, first alone,
 * then beside the failures, in one measurement, so that the two compare.
 *
 *   CPU P: one loop that sends the orders and turns their partition.
 *   CPU C: one loop that sends market data on its schedule, turns its partition, where the handler
 *          fails for each event, and keeps the bus's house, which carries the dead letters into
 *          their queue.
 *
 * Each event is counted at the door, in the handler, by the subscription and among the letters, and
 * the four must agree.
 */
#include "scenario.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <hotlane/dlq.h>
#include <hotlane/system.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/latency.h"
#include "perf/orders.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define FAILING_PER_S 1e6
#define BURST         32u /* events between two turns of their partition */
#define TURN_EVENTS   256u
#define KEYS          64u
#define HOUSE_NS      1e6 /* from one housekeeping to the next */
#define ERROR_CODE    42

enum {
    IDLE_P50,
    IDLE_P99,
    IDLE_P999,
    FAILING_P50,
    FAILING_P99,
    FAILING_P999,
    FAILING_MAX,
    RATIO_P50,
    RATIO_P99,
    RATIO_P999,
    PER_S,
    SENT,
    NO_ROOM,
    FAILURES,
    RETRIED,
    DEAD_LETTERED,
    SKIPPED,
    DROPPED,
    VALUES
};

static const perf_metric metrics[VALUES] = {
    [IDLE_P50] = {"idle.p50", "ns", true},
    [IDLE_P99] = {"idle.p99", "ns", true},
    [IDLE_P999] = {"idle.p99.9", "ns", true},
    [FAILING_P50] = {"failing.p50", "ns", true},
    [FAILING_P99] = {"failing.p99", "ns", true},
    [FAILING_P999] = {"failing.p99.9", "ns", true},
    [FAILING_MAX] = {"failing.max", "ns", true},
    [RATIO_P50] = {"failing_by_idle.p50", "ratio", true},
    [RATIO_P99] = {"failing_by_idle.p99", "ratio", true},
    [RATIO_P999] = {"failing_by_idle.p99.9", "ratio", true},
    [PER_S] = {"given_up", "events_per_s", false},
    [SENT] = {"sent", "count", false},
    [NO_ROOM] = {"no_room", "count", true},
    [FAILURES] = {"failures", "count", false},
    [RETRIED] = {"retries", "count", false},
    [DEAD_LETTERED] = {"dead_lettered", "count", false},
    [SKIPPED] = {"skipped", "count", true},
    [DROPPED] = {"letters_dropped", "count", true},
};

/* How the handler fails, and how often an event is tried again. */
typedef struct failing_case {
    const char *name;
    hl_status answer;
    uint32_t retries;
} failing_case;

static const failing_case failing_cases[] = {
    {"rejected", HL_REJECT, 0},
    {"one_retry", HL_FAILED, 1},
    {"three_retries", HL_FAILED, 3},
};

#define FAILING_CASES (sizeof failing_cases / sizeof *failing_cases)

/* One half of a measurement. */
typedef struct failing {
    perf_run *run;
    const failing_case *asked;
    bool is_failing; /* else market data is silent */
    perf_bus bus;
    hl_topic data;
    hl_subscription *subscription;
    perf_orders orders;
    /* The thread's that fails. */
    alignas(HL_LINE_PAIR) hl_publisher *data_publisher;
    perf_schedule schedule;
    uint64_t sent, no_room;
    uint64_t began, calls, wrong; /* the handler's: first attempts, all, damaged or out of order */
    uint64_t house_due;           /* ticks */
    double elapsed_ns;            /* until the last event had its outcome */
    hl_status failed;
    /* The sender of orders -> the thread that fails: relaxed, it carries no data. */
    alignas(HL_LINE_PAIR) uint32_t done;
    /* When all is over. */
    hl_subscription_stats counts;
    hl_dlq_stats letters;
} failing;

static hl_status on_data(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    failing *const self = context;
    const void *const payload = hl_payload(event);
    const bool is_first = event->attempt == 0;
    self->wrong += !perf_payload_whole(payload, PERF_BUS_PAYLOAD_BYTES) ||
                   (is_first && perf_payload_number(payload) != self->began);
    self->began += is_first;
    self->calls++;
    if (self->asked->answer == HL_FAILED)
        return hl_fail(event, ERROR_CODE, "no such instrument");
    return self->asked->answer;
}

/* What is due by now, as far as there is room, at most BURST. */
static void send_data(failing *self)
{
    const perf_timer *const timer = &self->run->timer;
    const uint64_t now = perf_timer_ticks(timer);
    for (uint32_t i = 0; i < BURST && perf_schedule_next(&self->schedule) <= now; i++) {
        hl_claim claim;
        const hl_status status = hl_try_claim(self->data_publisher, self->data, self->sent % KEYS,
                                              PERF_BUS_PAYLOAD_BYTES, &claim);
        if (status == HL_FULL) {
            self->no_room++; /* it is sent late */
            return;
        }
        if (status != HL_OK) {
            self->failed = status;
            return;
        }
        perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->sent++, 0);
        hl_commit(&claim);
        perf_schedule_advance(&self->schedule);
    }
}

static void turn_data(failing *self)
{
    const perf_timer *const timer = &self->run->timer;
    hl_executor_turn(hl_bus_executor(self->bus.bus, 0), TURN_EVENTS);
    if (perf_timer_ticks(timer) < self->house_due)
        return;
    hl_bus_housekeep(self->bus.bus);
    self->house_due = perf_timer_after(timer, HOUSE_NS);
}

static bool is_settled(failing *self)
{
    hl_subscription_stats_read(self->subscription, &self->counts);
    return self->counts.dead_lettered + self->counts.skipped == self->sent;
}

static void fail_thread(void *context)
{
    failing *const self = context;
    const perf_timer *const timer = &self->run->timer;
    perf_schedule_begin(&self->schedule, timer, self->run->options->seconds);
    while (hl_load_relaxed_u32(&self->done) == 0) { /* Relaxed, as said above. */
        if (self->is_failing && self->failed == HL_OK)
            send_data(self);
        turn_data(self);
    }
    const uint64_t patience = perf_timer_after(timer, PERF_BUS_DRAIN_NS);
    while (!is_settled(self) && perf_timer_ticks(timer) < patience)
        turn_data(self);
    self->elapsed_ns = perf_timer_ns(timer, perf_timer_ticks(timer) - self->schedule.start);
    hl_bus_housekeep(self->bus.bus); /* the last letters */
}

static void turn_orders(void *context)
{
    const failing *const self = context;
    hl_executor_turn(self->orders.turned, 0);
}

static void order_thread(void *context)
{
    failing *const self = context;
    self->orders.turned = hl_bus_executor(self->bus.bus, 1);
    perf_orders_send(&self->orders, turn_orders, self);
    hl_store_relaxed_u32(&self->done, 1); /* Relaxed, as said above. */
}

static hl_status declare(failing *self, hl_error *error)
{
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    retry.attempts = self->asked->retries;
    options.retry = &retry;
    hl_status status = perf_orders_declare(&self->orders, &self->bus, "order.new", error);
    if (status == HL_OK)
        status = perf_bus_topic(&self->bus, "market_data.trade", NULL, &self->data, error);
    if (status != HL_OK)
        return status;
    status = hl_subscribe(self->bus.bus, "market_data.trade", on_data, self, &options,
                          &self->subscription);
    return status == HL_OK ? HL_OK : perf_bus_error(&self->bus, status, error);
}

/* A publisher belongs to one thread: the one that fails has its own. */
static hl_status start(failing *self, hl_error *error)
{
    const hl_status status = perf_bus_start(&self->bus, error);
    return status == HL_OK ? perf_bus_publisher(&self->bus, "failing", &self->data_publisher, error)
                           : status;
}

/* Each count is of another place. */
static hl_status check(const failing *self, hl_error *error)
{
    const hl_subscription_stats *const counts = &self->counts;
    const hl_dlq_stats *const letters = &self->letters;
    if (self->failed != HL_OK)
        return perf_bus_publish_error(self->failed, error);
    const uint64_t kept = letters->waiting + letters->lost;
    if (self->wrong == 0 && self->began == self->sent && counts->delivered == self->sent &&
        counts->failures == self->calls && counts->handled == 0 &&
        counts->dead_lettered + counts->skipped == self->sent &&
        letters->added == counts->dead_lettered && kept == letters->added)
        return HL_OK;
    return hl_error_set(error, HL_NOT_CONSERVED,
                        "%" PRIu64 " events sent, %" PRIu64 " delivered, %" PRIu64
                        " handled first, %" PRIu64 " damaged or out of order; %" PRIu64
                        " calls failed, %" PRIu64 " counted; %" PRIu64 " dead lettered, %" PRIu64
                        " skipped; %" PRIu64 " letters taken in, %" PRIu64 " kept or dropped",
                        self->sent, counts->delivered, self->began, self->wrong, self->calls,
                        counts->failures, counts->dead_lettered, counts->skipped, letters->added,
                        kept);
}

static hl_status run_half(void *context, hl_error *error)
{
    failing *const self = context;
    const perf_cores *const cores = &self->run->cores;
    const perf_bus_options options = {.cores = cores,
                                      .wait = HL_WAIT_SPIN,
                                      .manual = true,
                                      .two_domains = true,
                                      .retry_events = 65536};
    const perf_thread threads[] = {{"orders", cores->publisher, order_thread, self},
                                   {"failing", cores->consumer, fail_thread, self}};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = declare(self, error);
    if (status == HL_OK)
        status = start(self, error);
    if (status == HL_OK)
        status = perf_threads_run(threads, 2, error);
    hl_dlq_stats_get(hl_bus_dlq(self->bus.bus), &self->letters);
    status = perf_bus_close(&self->bus, status, NULL, error);
    return status == HL_OK ? check(self, error) : status;
}

typedef struct failing_context {
    perf_run *run;
    const failing_case *asked;
} failing_context;

static void read_half(const failing *self, const double *latencies, double *ret_values)
{
    if (!self->is_failing) {
        memcpy(&ret_values[IDLE_P50], latencies, (PERF_ORDERS_P999 + 1) * sizeof *latencies);
        return;
    }
    memcpy(&ret_values[FAILING_P50], latencies, PERF_ORDERS_VALUES * sizeof *latencies);
    ret_values[PER_S] = (double)self->sent * 1e9 / self->elapsed_ns;
    ret_values[SENT] = (double)self->sent;
    ret_values[NO_ROOM] = (double)self->no_room;
    ret_values[FAILURES] = (double)self->counts.failures;
    ret_values[RETRIED] = (double)(self->calls - self->began);
    ret_values[DEAD_LETTERED] = (double)self->counts.dead_lettered;
    ret_values[SKIPPED] = (double)self->counts.skipped;
    ret_values[DROPPED] = (double)self->letters.lost;
}

static hl_status measure_half(const failing_context *asked, bool is_failing, double *ret_values,
                              hl_error *error)
{
    failing *const self = hl_allocate(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    self->run = asked->run;
    self->asked = asked->asked;
    self->is_failing = is_failing;
    perf_schedule_init(&self->schedule, &asked->run->timer, FAILING_PER_S, false);
    char name[96];
    double latencies[PERF_ORDERS_VALUES];
    snprintf(name, sizeof name, "%s.%s", asked->asked->name, is_failing ? "failing" : "idle");
    const hl_status status =
        perf_orders_measure(&self->orders, asked->run, name, run_half, self, latencies, error);
    if (status == HL_OK)
        read_half(self, latencies, ret_values);
    free(self);
    return status;
}

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const failing_context *const asked = context;
    hl_status status = measure_half(asked, false, ret_values, error);
    if (status == HL_OK)
        status = measure_half(asked, true, ret_values, error);
    for (uint32_t i = 0; status == HL_OK && i <= IDLE_P999 - IDLE_P50; i++)
        ret_values[RATIO_P50 + i] = ret_values[FAILING_P50 + i] / ret_values[IDLE_P50 + i];
    return status;
}

hl_status perf_scenario_failing(perf_run *run, hl_error *error)
{
    static const perf_task like = {.measure = measure,
                                   .metrics = metrics,
                                   .metric_count = VALUES,
                                   .floor = PERF_FLOOR_ONE_WAY};
    failing_context contexts[FAILING_CASES];
    perf_task tasks[FAILING_CASES];
    for (size_t i = 0; i < FAILING_CASES; i++) {
        contexts[i] = (failing_context){run, &failing_cases[i]};
        tasks[i] = perf_task_of(&like, failing_cases[i].name, &contexts[i]);
    }
    perf_result_note(
        run->result,
        "CPU %u sends the orders and turns their partition, one loop (an order crosses "
        "no core); CPU %u sends %.0f events a second that fail, turns their partition "
        "and keeps the bus's house, each millisecond, one loop",
        run->cores.publisher, run->cores.consumer, FAILING_PER_S);
    perf_result_note(run->result,
                     "given_up: events a second, each of which failed at every attempt; the "
                     "letters are in memory, whose oldest are dropped and counted when it is full");
    perf_result_note(run->result,
                     "skipped: publisher, partition and housekeeper on a core each: that takes "
                     "five, and two are named");
    return perf_run_tasks(run, tasks, FAILING_CASES, error);
}
