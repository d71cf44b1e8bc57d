/*
 * conflated: quotes of 10,000 keys published to a lane that conflates, whose handler is a hundred
 * times as slow as the publisher: what a publish costs beside one to a plain ring, how old the
 * values are that the handler sees, how long it takes round all keys, and whether memory stays as
 * it is.
 *
 *   CPU P: publishes in bursts, and reads the clock before and after each.
 *   CPU C: the bus's executor.
 *
 * The plain ring's handler keeps up, and each burst finds the ring empty, so that what is timed is
 * publishing alone, into lines that the other core had: the best that a ring does. Both publish the
 * same events in the same loop.
 */
#include "scenario.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/latency.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define KEYS           10000u
#define BURST          (PERF_BUS_RING_SLOTS / 2)
#define WARM_UP_BURSTS 10u    /* every key, more than once */
#define HANDLER_NS     5000.0 /* about a hundred times a publish */

enum {
    RING_NS,
    CONFLATED_NS,
    RATIO,
    TIMES_SLOWER,
    AGE_P50,
    AGE_P999,
    AGE_MAX,
    AGE_BY_ROUND,
    CONFLATED_PERCENT,
    GROWTH,
    VALUES
};

static const perf_metric metrics[VALUES] = {
    [RING_NS] = {"ring_publish", "ns", true},
    [CONFLATED_NS] = {"publish", "ns", true},
    [RATIO] = {"publish_by_ring", "ratio", true},
    [TIMES_SLOWER] = {"handler_by_publish", "ratio", true},
    [AGE_P50] = {"age.p50", "ns", true},
    [AGE_P999] = {"age.p99.9", "ns", true},
    [AGE_MAX] = {"age.max", "ns", true},
    [AGE_BY_ROUND] = {"age.max_by_round_of_keys", "ratio", true},
    [CONFLATED_PERCENT] = {"conflated", "percent", false},
    [GROWTH] = {"memory_growth", "bytes", true},
};

/* One half of a measurement. */
typedef struct conflated {
    perf_run *run;
    bool is_conflating;
    perf_bus bus;
    hl_topic topic;
    uint64_t handler_ticks; /* 0: it keeps up */
    /* The handler's. `handled` is read by the publisher: relaxed, a number. */
    alignas(HL_LINE_PAIR) uint64_t handled;
    uint64_t wrong;
    uint64_t seen[KEYS]; /* newest number of each key, + 1 */
    hl_histogram *age_ns;
    uint64_t first_ticks, last_ticks; /* when it was called */
    /* The publisher's. */
    alignas(HL_LINE_PAIR) uint64_t sent;
    uint64_t timed, timed_ticks;
    double growth_bytes;
    hl_status failed;
    hl_lane_stats lane;
} conflated;

static hl_status on_quote(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    conflated *const self = context;
    const void *const payload = hl_payload(event);
    const uint64_t number = perf_payload_number(payload) + 1;
    self->wrong += !perf_payload_whole(payload, PERF_BUS_PAYLOAD_BYTES) ||
                   event->key != (number - 1) % KEYS || number <= self->seen[event->key];
    self->seen[event->key] = number;
    if (self->handler_ticks != 0) {
        self->last_ticks = perf_timer_ticks(&self->run->timer);
        if (self->first_ticks == 0)
            self->first_ticks = self->last_ticks;
        hl_histogram_record(self->age_ns, hl_bus_now_ns(self->bus.bus) - event->published_ns);
        perf_timer_spend(&self->run->timer, self->handler_ticks);
    }
    /* Relaxed: a number. */
    hl_store_relaxed_u64(&self->handled, self->handled + 1);
    return HL_OK;
}

/* BURST events; the time that their publishing took. */
static uint64_t send_burst(conflated *self)
{
    const perf_timer *const timer = &self->run->timer;
    const uint64_t start = perf_timer_ticks(timer);
    for (uint32_t i = 0; i < BURST; i++) {
        hl_claim claim;
        const uint64_t key = self->sent % KEYS;
        const hl_status status =
            hl_try_claim(self->bus.publisher, self->topic, key, PERF_BUS_PAYLOAD_BYTES, &claim);
        if (status != HL_OK) {
            self->failed = status;
            break;
        }
        perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->sent++, 0);
        hl_commit(&claim);
    }
    return perf_timer_ticks(timer) - start;
}

/* Until the ring is empty; a table need not be. */
static void let_it_drain(const conflated *self)
{
    while (!self->is_conflating && hl_load_relaxed_u64(&self->handled) < self->sent) /* Relaxed. */
        hl_pause();
}

/* Of this process, now; 0: the kernel does not say. */
static double resident_bytes(void)
{
    FILE *const file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*s %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void publish(void *context)
{
    conflated *const self = context;
    const perf_timer *const timer = &self->run->timer;
    for (uint32_t i = 0; i < WARM_UP_BURSTS && self->failed == HL_OK; i++) {
        send_burst(self);
        let_it_drain(self);
    }
    const double resident = resident_bytes();
    const uint64_t end = perf_timer_after(timer, self->run->options->seconds * 1e9);
    while (perf_timer_ticks(timer) < end && self->failed == HL_OK) {
        self->timed_ticks += send_burst(self);
        self->timed += BURST;
        let_it_drain(self);
    }
    self->growth_bytes = resident_bytes() - resident;
}

static hl_status check(const conflated *self, hl_error *error)
{
    if (self->failed != HL_OK)
        return perf_bus_publish_error(self->failed, error);
    uint64_t stale = 0;
    for (uint64_t back = 1; back <= KEYS; back++)
        stale += self->seen[(self->sent - back) % KEYS] != self->sent - back + 1;
    if (self->wrong == 0 && stale == 0 && self->handled + self->lane.conflated == self->sent)
        return HL_OK;
    return hl_error_set(error, HL_NOT_CONSERVED,
                        "%" PRIu64 " events sent, %" PRIu64 " handled, %" PRIu64
                        " conflated; %" PRIu64 " damaged or older than what came before, %" PRIu64
                        " keys without their newest value",
                        self->sent, self->handled, self->lane.conflated, self->wrong, stale);
}

static hl_status run_half(conflated *self, hl_error *error)
{
    const perf_bus_options options = {.cores = &self->run->cores,
                                      .wait = HL_WAIT_SPIN,
                                      .conflate_keys = self->is_conflating ? KEYS : 0};
    const perf_thread thread = {"publisher", self->run->cores.publisher, publish, self};
    hl_topic_options quote = HL_TOPIC_OPTIONS_INIT;
    quote.kind = HL_STATE;
    quote.max_keys = KEYS;
    quote.sampling_window_ns = 0; /* conflation alone, whatever the load */
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = perf_bus_topic(&self->bus, "market_data.quote", &quote, &self->topic, error);
    if (status == HL_OK)
        status = perf_bus_subscribe(&self->bus, "market_data.quote", on_quote, self, error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    if (status == HL_OK)
        status = perf_threads_run(&thread, 1, error);
    status = perf_bus_close(&self->bus, status, &self->lane, error);
    return status == HL_OK ? check(self, error) : status;
}

static void read_half(const conflated *self, double *ret_values)
{
    const hl_histogram *const age_ns = self->age_ns;
    const double ns = perf_timer_ns(&self->run->timer, self->timed_ticks) / (double)self->timed;
    if (!self->is_conflating) {
        ret_values[RING_NS] = ns;
        return;
    }
    const double round_ns = perf_timer_ns(&self->run->timer, self->last_ticks - self->first_ticks) /
                            (double)self->handled * KEYS;
    ret_values[CONFLATED_NS] = ns;
    ret_values[RATIO] = ns / ret_values[RING_NS];
    ret_values[TIMES_SLOWER] = HANDLER_NS / ns;
    ret_values[AGE_P50] = (double)hl_histogram_value_at_percentile(age_ns, 50);
    ret_values[AGE_P999] = (double)hl_histogram_value_at_percentile(age_ns, 99.9);
    ret_values[AGE_MAX] = (double)hl_histogram_max(age_ns);
    ret_values[AGE_BY_ROUND] = ret_values[AGE_MAX] / round_ns;
    ret_values[CONFLATED_PERCENT] = 100.0 * (double)self->lane.conflated / (double)self->sent;
    ret_values[GROWTH] = self->growth_bytes;
}

static hl_status measure_half(perf_run *run, bool is_conflating, double *ret_values,
                              hl_error *error)
{
    conflated *const self = hl_allocate(1, sizeof *self);
    hl_histogram *const age_ns = perf_histogram_make(PERF_HISTOGRAM_DIGITS);
    hl_status status = HL_OK;
    if (self == NULL || age_ns == NULL) {
        status = hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    } else {
        self->run = run;
        self->is_conflating = is_conflating;
        self->age_ns = age_ns;
        self->handler_ticks = is_conflating ? perf_timer_ticks_of(&run->timer, HANDLER_NS) : 0;
        status = run_half(self, error);
        if (status == HL_OK)
            read_half(self, ret_values);
        if (status == HL_OK && is_conflating)
            perf_result_add_distribution(run->result, "slow_handler.age", age_ns);
    }
    free(age_ns);
    free(self);
    return status;
}

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const hl_status status = measure_half(context, false, ret_values, error);
    return status == HL_OK ? measure_half(context, true, ret_values, error) : status;
}

hl_status perf_scenario_conflated(perf_run *run, hl_error *error)
{
    const perf_task task = {.name = "slow_handler",
                            .measure = measure,
                            .context = run,
                            .metrics = metrics,
                            .metric_count = VALUES,
                            .floor = PERF_FLOOR_ONE_WAY};
    perf_result_note(run->result,
                     "CPU %u publishes %u keys in turn, in bursts of %u that are timed; the bus's "
                     "executor is on CPU %u, its handler works for %.0f ns; the ring's, which the "
                     "publish is compared with, keeps up",
                     run->cores.publisher, KEYS, BURST, run->cores.consumer, HANDLER_NS);
    return perf_run_tasks(run, &task, 1, error);
}
