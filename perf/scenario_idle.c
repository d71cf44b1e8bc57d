/*
 * idle: what a bus with nothing to do takes of a CPU under each wait strategy, all of its threads
 * together, and how long the first event after a pause takes to its handler.
 */
#include "scenario.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/latency.h"
#include "perf/payload.h"
#include "perf/threads.h"

/* Between two events: long enough to poll, yield, nap and fall asleep in, and not in step with the
 * housekeeper's 10 ms. */
#define PAUSE_NS 3700000

enum { CPU_PERCENT, WAKE_P50, WAKE_P99, WAKE_MAX, VALUES };
static const perf_metric metrics[VALUES] = {
    [CPU_PERCENT] = {"cpu", "percent", true},
    [WAKE_P50] = {"wake.p50", "ns", true},
    [WAKE_P99] = {"wake.p99", "ns", true},
    [WAKE_MAX] = {"wake.max", "ns", true},
};

typedef struct idle {
    perf_run *run;
    perf_bus bus;
    hl_topic topic;
    alignas(HL_LINE_PAIR) perf_latency latency; /* the handler's */
    uint64_t handled;
    uint64_t wrong;
    alignas(HL_LINE_PAIR) uint64_t sent; /* the publisher's */
    hl_status failed;
} idle;

static hl_status on_event(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    idle *const self = context;
    const uint64_t now = perf_timer_ticks(&self->run->timer);
    const void *const payload = hl_payload(event);
    self->wrong += !perf_payload_is(payload, PERF_BUS_PAYLOAD_BYTES, self->handled);
    self->handled++;
    perf_latency_record(&self->latency, perf_payload_time(payload), now);
    return HL_OK;
}

static void pause_ns(long ns)
{
    const struct timespec pause = {ns / 1000000000, ns % 1000000000};
    nanosleep(&pause, NULL);
}

static void send_rarely(void *context)
{
    idle *const self = context;
    const perf_timer *const timer = &self->run->timer;
    const uint64_t start = perf_timer_ticks(timer);
    const uint64_t end = start + perf_timer_ticks_of(timer, self->run->options->seconds * 1e9);
    /* Read by the handler, after the first commit. */
    self->latency.start = start;
    do {
        pause_ns(PAUSE_NS);
        hl_claim claim;
        const uint64_t now = perf_timer_ticks(timer);
        self->failed =
            hl_try_claim(self->bus.publisher, self->topic, 0, PERF_BUS_PAYLOAD_BYTES, &claim);
        if (self->failed != HL_OK)
            return;
        perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->sent++, now);
        hl_commit(&claim);
    } while (perf_timer_ticks(timer) < end);
}

static double process_cpu_s(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* While this thread sleeps, the process's CPU time is the bus's. */
static double watch_cpu_percent(const perf_run *run)
{
    /* What starting it up took is not idling. */
    pause_ns(20000000);
    const double used_before = process_cpu_s();
    const uint64_t before = perf_timer_ticks(&run->timer);
    pause_ns((long)(run->options->seconds * 1e9));
    const double used_s = process_cpu_s() - used_before;
    return 100.0 * used_s * 1e9 /
           perf_timer_ns(&run->timer, perf_timer_ticks(&run->timer) - before);
}

typedef struct idle_context {
    perf_run *run;
    const char *name;
    hl_wait wait;
} idle_context;

static hl_status run_bus(idle *self, hl_wait wait, double *ret_cpu_percent, hl_error *error)
{
    const perf_cores *const cores = &self->run->cores;
    const perf_bus_options options = {.cores = cores, .wait = wait};
    const perf_thread thread = {"publisher", cores->publisher, send_rarely, self};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = perf_bus_topic(&self->bus, "market_data.rare", NULL, &self->topic, error);
    if (status == HL_OK)
        status = perf_bus_subscribe(&self->bus, "market_data.rare", on_event, self, error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    if (status == HL_OK) {
        *ret_cpu_percent = watch_cpu_percent(self->run);
        status = perf_threads_run(&thread, 1, error);
    }
    status = perf_bus_close(&self->bus, status, NULL, error);
    if (status == HL_OK && self->failed != HL_OK)
        return perf_bus_publish_error(self->failed, error);
    if (status == HL_OK && (self->wrong != 0 || self->handled != self->sent))
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%" PRIu64 " events sent, %" PRIu64 " handled, %" PRIu64 " damaged",
                            self->sent, self->handled, self->wrong);
    return status;
}

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const idle_context *const asked = context;
    idle *const self = hl_allocate(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    self->run = asked->run;
    hl_status status = perf_latency_create(&asked->run->timer, asked->run->options->seconds,
                                           &self->latency, error);
    if (status == HL_OK) {
        const hl_histogram *const ns = self->latency.ns;
        status = run_bus(self, asked->wait, &ret_values[CPU_PERCENT], error);
        ret_values[WAKE_P50] = (double)hl_histogram_value_at_percentile(ns, 50);
        ret_values[WAKE_P99] = (double)hl_histogram_value_at_percentile(ns, 99);
        ret_values[WAKE_MAX] = (double)hl_histogram_max(ns);
        if (status == HL_OK)
            perf_result_add_distribution(asked->run->result, asked->name, ns);
        perf_latency_destroy(&self->latency);
    }
    free(self);
    return status;
}

hl_status perf_scenario_idle(perf_run *run, hl_error *error)
{
    static const perf_task like = {.measure = measure,
                                   .metrics = metrics,
                                   .metric_count = VALUES,
                                   .floor = PERF_FLOOR_ONE_WAY};
    idle_context contexts[] = {{run, "spin", HL_WAIT_SPIN},
                               {run, "backoff", HL_WAIT_BACKOFF},
                               {run, "park", HL_WAIT_PARK}};
    perf_task tasks[3];
    for (size_t i = 0; i < 3; i++)
        tasks[i] = perf_task_of(&like, contexts[i].name, &contexts[i]);
    perf_result_note(run->result,
                     "cpu: of one CPU, an executor on CPU %u and the housekeeper on CPU %u "
                     "together; wake: an event every %.1f ms, from before its claim",
                     run->cores.consumer, run->cores.housekeeper, PAUSE_NS / 1e6);
    return perf_run_tasks(run, tasks, 3, error);
}
