/*
 * churn: subscriptions come and go while events flow. One loop on the publisher's CPU sends and,
 * when it is due, subscribes or unsubscribes a second handler of the same topic, by turns; the
 * executor is on the consumer's CPU. At full speed for the throughput, on a schedule of 100,000
 * events a second for the latency.
 *
 * Two latencies: from the intended time, which has the time that the control call itself took from
 * the sending loop, and from the commit, which has only what the executor felt of it.
 */
#include "scenario.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/latency.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define PACED_PER_S    100000.0
#define UNSUBSCRIBE_NS HL_SECOND

enum {
    PER_S,
    CHANGES_PER_S,
    SERVICE_P50,
    SERVICE_P99,
    SERVICE_P999,
    RESPONSE_P50,
    RESPONSE_P99,
    RESPONSE_P999,
    VALUES
};

static const perf_metric metrics[VALUES] = {
    [PER_S] = {"throughput", "msgs_per_s", false},
    [CHANGES_PER_S] = {"changes", "changes_per_s", false},
    [SERVICE_P50] = {"from_commit.p50", "ns", true},
    [SERVICE_P99] = {"from_commit.p99", "ns", true},
    [SERVICE_P999] = {"from_commit.p99.9", "ns", true},
    [RESPONSE_P50] = {"from_intended.p50", "ns", true},
    [RESPONSE_P99] = {"from_intended.p99", "ns", true},
    [RESPONSE_P999] = {"from_intended.p99.9", "ns", true},
};

typedef struct churn {
    perf_run *run;
    bool paced;
    double changes_per_s; /* 0: none */
    perf_bus bus;
    hl_topic topic;
    /* The handlers'. */
    alignas(HL_LINE_PAIR) perf_latency service;
    perf_latency response;
    uint64_t handled; /* read by the publisher at the end: relaxed, a number */
    uint64_t wrong;
    uint64_t passing; /* events that the coming and going handler saw */
    /* The publisher's. */
    alignas(HL_LINE_PAIR) perf_schedule schedule;
    hl_subscription *second; /* NULL: not subscribed just now */
    uint64_t sent;
    uint64_t changes;
    uint64_t next_change; /* ticks; UINT64_MAX: none */
    double elapsed_s;
    hl_status failed;
    hl_error error;
} churn;

static hl_status on_event(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    churn *const self = context;
    const void *const payload = hl_payload(event);
    self->wrong += !perf_payload_is(payload, PERF_BUS_PAYLOAD_BYTES, self->handled);
    if (self->paced) {
        const uint64_t now = perf_timer_ticks(&self->run->timer);
        perf_latency_record(&self->service, perf_payload_time(payload), now);
        perf_latency_record(&self->response, event->key, now); /* the key: the intended time */
    }
    /* Relaxed: a number; the publisher asks for it when it has sent all. */
    hl_store_relaxed_u64(&self->handled, self->handled + 1);
    return HL_OK;
}

static hl_status on_passing(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    churn *const self = context;
    self->passing++;
    return HL_OK;
}

static void change(churn *self)
{
    if (self->second == NULL) {
        self->failed =
            hl_subscribe(self->bus.bus, "market_data.trade", on_passing, self, NULL, &self->second);
        if (self->failed != HL_OK)
            hl_bus_error(self->bus.bus, &self->error);
    } else {
        self->failed = hl_unsubscribe(self->second, UNSUBSCRIBE_NS, &self->error);
        self->second = NULL;
    }
    self->changes++;
}

/* Behind its schedule it makes one change an event, and does not catch up afterwards. */
static void change_when_due(churn *self, uint64_t now)
{
    if (now < self->next_change)
        return;
    change(self);
    self->next_change += perf_timer_ticks_of(&self->run->timer, 1e9 / self->changes_per_s);
    if (self->next_change < now)
        self->next_change = now;
}

static void send(churn *self, uint64_t intended)
{
    hl_claim claim;
    hl_status status;
    while ((status = hl_try_claim(self->bus.publisher, self->topic, intended,
                                  PERF_BUS_PAYLOAD_BYTES, &claim)) == HL_FULL)
        hl_pause();
    if (status != HL_OK) {
        self->failed = perf_bus_publish_error(status, &self->error);
        return;
    }
    perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->sent++,
                      self->paced ? perf_timer_ticks(&self->run->timer) : 0);
    hl_commit(&claim);
}

static void publish(void *context)
{
    churn *const self = context;
    const perf_timer *const timer = &self->run->timer;
    perf_schedule_begin(&self->schedule, timer, self->run->options->seconds);
    /* Read by the handler, after the first commit. */
    self->service.start = self->response.start = self->schedule.start;
    self->next_change = self->changes_per_s > 0 ? self->schedule.start : UINT64_MAX;
    uint64_t now = self->schedule.start;
    while (now < self->schedule.end && self->failed == HL_OK) {
        change_when_due(self, now);
        const uint64_t intended = self->paced ? perf_schedule_next(&self->schedule) : now;
        if (intended == UINT64_MAX)
            break;
        if (intended <= now && self->failed == HL_OK) {
            send(self, intended);
            perf_schedule_advance(&self->schedule);
        }
        now = perf_timer_ticks(timer);
    }
    const uint64_t patience = perf_timer_after(timer, PERF_BUS_DRAIN_NS);
    /* Relaxed: a number. */
    while (hl_load_relaxed_u64(&self->handled) < self->sent && perf_timer_ticks(timer) < patience)
        hl_pause();
    self->elapsed_s = perf_timer_ns(timer, perf_timer_ticks(timer) - self->schedule.start) / 1e9;
    if (self->second != NULL && self->failed == HL_OK)
        self->failed = hl_unsubscribe(self->second, UNSUBSCRIBE_NS, &self->error);
}

static hl_status check(const churn *self, hl_error *error)
{
    if (self->failed != HL_OK)
        return hl_error_set(error, self->failed, "%s", self->error.text);
    if (self->wrong != 0 || self->handled != self->sent)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%" PRIu64 " events sent, %" PRIu64 " handled, %" PRIu64
                            " damaged or out of order",
                            self->sent, self->handled, self->wrong);
    if (self->passing > self->sent)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "the second handler saw %" PRIu64 " events of %" PRIu64, self->passing,
                            self->sent);
    return HL_OK;
}

static hl_status run_bus(churn *self, hl_error *error)
{
    const perf_cores *const cores = &self->run->cores;
    const perf_bus_options options = {.cores = cores, .wait = HL_WAIT_SPIN};
    const perf_thread thread = {"publisher", cores->publisher, publish, self};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = perf_bus_topic(&self->bus, "market_data.trade", NULL, &self->topic, error);
    if (status == HL_OK)
        status = perf_bus_subscribe(&self->bus, "market_data.trade", on_event, self, error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    if (status == HL_OK)
        status = perf_threads_run(&thread, 1, error);
    status = perf_bus_close(&self->bus, status, NULL, error);
    return status == HL_OK ? check(self, error) : status;
}

typedef struct churn_context {
    perf_run *run;
    const char *name;
    double changes_per_s;
} churn_context;

static void report_paced(const churn *self, const churn_context *asked, double *ret_values)
{
    static const double percentiles[] = {50, 99, 99.9};
    for (uint32_t i = 0; i < 3; i++) {
        ret_values[SERVICE_P50 + i] =
            (double)hl_histogram_value_at_percentile(self->service.ns, percentiles[i]);
        ret_values[RESPONSE_P50 + i] =
            (double)hl_histogram_value_at_percentile(self->response.ns, percentiles[i]);
    }
    ret_values[CHANGES_PER_S] =
        asked->changes_per_s > 0 ? (double)self->changes / self->elapsed_s : NAN;
    perf_result_add_distribution(asked->run->result, asked->name, self->response.ns);
}

static hl_status measure_one(const churn_context *asked, bool paced, double *ret_values,
                             hl_error *error)
{
    churn *const self = hl_allocate(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    const perf_timer *const timer = &asked->run->timer;
    const double seconds = asked->run->options->seconds;
    self->run = asked->run;
    self->paced = paced;
    self->changes_per_s = asked->changes_per_s;
    perf_schedule_init(&self->schedule, timer, PACED_PER_S, false);
    hl_status status = perf_latency_create(timer, seconds, &self->service, error);
    if (status == HL_OK)
        status = perf_latency_create(timer, seconds, &self->response, error);
    if (status == HL_OK)
        status = run_bus(self, error);
    if (status == HL_OK && paced)
        report_paced(self, asked, ret_values);
    else if (status == HL_OK)
        ret_values[PER_S] = (double)self->sent / self->elapsed_s;
    perf_latency_destroy(&self->response);
    perf_latency_destroy(&self->service);
    free(self);
    return status;
}

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const hl_status status = measure_one(context, false, ret_values, error);
    return status == HL_OK ? measure_one(context, true, ret_values, error) : status;
}

hl_status perf_scenario_churn(perf_run *run, hl_error *error)
{
    static const perf_task like = {.measure = measure,
                                   .metrics = metrics,
                                   .metric_count = VALUES,
                                   .floor = PERF_FLOOR_ONE_WAY};
    churn_context contexts[] = {{run, "none", 0},
                                {run, "1_a_second", 1},
                                {run, "1000_a_second", 1000},
                                {run, "100000_a_second", 100000}};
    perf_task tasks[4];
    for (size_t i = 0; i < 4; i++)
        tasks[i] = perf_task_of(&like, contexts[i].name, &contexts[i]);
    perf_result_note(run->result,
                     "one loop on CPU %u sends and changes the subscriptions, the executor is on "
                     "CPU %u; `changes` is what was reached of the rate asked for",
                     run->cores.publisher, run->cores.consumer);
    return perf_run_tasks(run, tasks, 4, error);
}
