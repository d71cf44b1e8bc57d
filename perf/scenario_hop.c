/*
 * hop: from publish to handler. An open-loop schedule, latency from the intended time of each
 * event, all of the bus in between. One way: the handler records, on the executor that the bus runs
 * on the consumer's CPU. Round trip: the handler there publishes the same payload to a second
 * partition, which the sending thread turns itself, and the handler there records.
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

#define WARM_UP_EVENTS 20000u /* more than a lap of the ring; their time is 0: not recorded */
#define WARM_EVERY_NS  5e3
/* Of a round trip, at one time: a handler cannot wait for room in the lane back. */
#define UNDER_WAY_MAX (PERF_BUS_RING_SLOTS / 2)

typedef struct hop_case {
    const char *name;
    double per_s;
    bool poisson;
    bool round_trip;
    bool warm; /* the sender keeps its way warm while it waits */
} hop_case;

static const hop_case hop_cases[] = {
    {.name = "one_way_1k", .per_s = 1e3},
    {.name = "one_way_warm_1k", .per_s = 1e3, .warm = true},
    {.name = "one_way_10k", .per_s = 1e4},
    {.name = "one_way_warm_10k", .per_s = 1e4, .warm = true},
    {.name = "one_way_100k", .per_s = 1e5},
    {.name = "one_way_1M", .per_s = 1e6},
    {.name = "one_way_poisson_100k", .per_s = 1e5, .poisson = true},
    {.name = "round_trip_1k", .per_s = 1e3, .round_trip = true},
    {.name = "round_trip_10k", .per_s = 1e4, .round_trip = true},
    {.name = "round_trip_100k", .per_s = 1e5, .round_trip = true},
    {.name = "round_trip_1M", .per_s = 1e6, .round_trip = true},
    {.name = "round_trip_poisson_100k", .per_s = 1e5, .poisson = true, .round_trip = true},
};
#define HOP_CASES (sizeof hop_cases / sizeof *hop_cases)

enum { RATE = PERF_LATENCY_VALUES, HOP_VALUES };
static const perf_metric metrics[HOP_VALUES] = {
    PERF_LATENCY_METRICS, [RATE] = {"rate", "events_per_s", false}};

/* One measurement. */
typedef struct hop {
    perf_run *run;
    const hop_case *asked;
    perf_bus bus;
    hl_topic there, back;
    /* The recording handler's. */
    alignas(HL_LINE_PAIR) perf_latency latency;
    uint64_t recorded; /* events seen by it, warm-up included; read by the sender, relaxed: a
                          number */
    uint64_t wrong;
    /* The sender's. */
    alignas(HL_LINE_PAIR) perf_schedule schedule;
    uint64_t sent;
    hl_status failed; /* a publish that answered something else than HL_OK or HL_FULL */
    /* The sender -> the thread that turns the far partition (round trip): relaxed, it carries no
     * data; the bus's own stop takes over what is left. */
    alignas(HL_LINE_PAIR) uint32_t done;
    uint32_t refused; /* the far handler's: an event found no lane back and is lost */
} hop;

static hl_status record(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    hop *const self = context;
    const uint64_t now = perf_timer_ticks(&self->run->timer);
    const void *const payload = hl_payload(event);
    const uint64_t intended = perf_payload_time(payload);
    self->wrong += !perf_payload_is(payload, PERF_BUS_PAYLOAD_BYTES, self->recorded);
    /* Relaxed, as said above. */
    hl_store_relaxed_u64(&self->recorded, self->recorded + 1);
    if (intended != 0)
        perf_latency_record(&self->latency, intended, now);
    return HL_OK;
}

static hl_status send_back(const hl_event *event, hl_publisher *out, void *context)
{
    hop *const self = context;
    const hl_status status =
        hl_try_publish(out, self->back, event->key, hl_payload(event), PERF_BUS_PAYLOAD_BYTES);
    /* Relaxed: whoever sees it gives up waiting. */
    if (status != HL_OK)
        hl_store_relaxed_u32(&self->refused, 1);
    return status;
}

/* Waits for room: what that takes shows in the latency of this event and of those behind it. */
static void send(hop *self, uint64_t intended, hl_executor *near)
{
    hl_claim claim;
    hl_status status;
    /* Relaxed: a flag that ends the wait, sooner or later. */
    while (near != NULL && self->sent - self->recorded >= UNDER_WAY_MAX &&
           hl_load_relaxed_u32(&self->refused) == 0)
        hl_executor_turn(near, 0);
    while ((status = hl_try_claim(self->bus.publisher, self->there, 0, PERF_BUS_PAYLOAD_BYTES,
                                  &claim)) == HL_FULL) {
        if (near != NULL)
            hl_executor_turn(near, 0);
        hl_pause();
    }
    if (status != HL_OK) {
        self->failed = status;
        return;
    }
    perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->sent++, intended);
    hl_commit(&claim);
}

/* Until each is handled, or PERF_BUS_DRAIN_NS have passed: then some are lost. */
static void await_recorded(const hop *self, hl_executor *near)
{
    const perf_timer *const timer = &self->run->timer;
    const uint64_t patience = perf_timer_after(timer, PERF_BUS_DRAIN_NS);
    /* Relaxed, as said above. */
    while (hl_load_relaxed_u64(&self->recorded) < self->sent && perf_timer_ticks(timer) < patience)
        if (near != NULL)
            hl_executor_turn(near, 0);
}

static void wait_until(hop *self, uint64_t intended, hl_executor *near)
{
    const perf_timer *const timer = &self->run->timer;
    uint64_t warm_at = self->asked->warm ? perf_timer_after(timer, WARM_EVERY_NS) : UINT64_MAX;
    for (uint64_t now; (now = perf_timer_ticks(timer)) < intended;) {
        if (near != NULL)
            hl_executor_turn(near, 0);
        if (now >= warm_at) {
            const hl_status status = hl_warm(self->bus.publisher, self->there, 0);
            if (status != HL_OK && status != HL_FULL)
                self->failed = status;
            warm_at = perf_timer_after(timer, WARM_EVERY_NS);
        }
    }
}

static void send_all(void *context)
{
    hop *const self = context;
    const perf_timer *const timer = &self->run->timer;
    const perf_options *const options = self->run->options;
    hl_executor *const near = self->asked->round_trip ? hl_bus_executor(self->bus.bus, 1) : NULL;
    while (self->sent < WARM_UP_EVENTS && self->failed == HL_OK)
        send(self, 0, near);
    /* Else the first of the schedule would wait for what is left of them. */
    await_recorded(self, near);
    perf_schedule_begin(&self->schedule, timer, options->seconds);
    /* Written before the first event that is recorded is committed, read in its handler. */
    self->latency.start = self->schedule.start;
    uint64_t stall_at =
        options->stall_ms > 0 ? self->schedule.start / 2 + self->schedule.end / 2 : UINT64_MAX;
    uint64_t intended;
    while ((intended = perf_schedule_next(&self->schedule)) != UINT64_MAX &&
           self->failed == HL_OK) {
        if (intended >= stall_at) {
            perf_timer_spend(timer, perf_timer_ticks_of(timer, options->stall_ms * 1e6));
            stall_at = UINT64_MAX;
        }
        wait_until(self, intended, near);
        send(self, intended, near);
        perf_schedule_advance(&self->schedule);
    }
    /* Of a round trip: what is still under way comes back to this thread. */
    if (near != NULL)
        await_recorded(self, near);
    /* Relaxed, as said above. */
    hl_store_relaxed_u32(&self->done, 1);
}

static void turn_far(void *context)
{
    hop *const self = context;
    hl_executor *const far = hl_bus_executor(self->bus.bus, 0);
    /* Relaxed, as said above. */
    while (hl_load_relaxed_u32(&self->done) == 0)
        hl_executor_turn(far, 0);
}

static hl_status subscribe(hop *self, hl_error *error)
{
    const bool round_trip = self->asked->round_trip;
    hl_status status = perf_bus_topic(&self->bus, "market_data.there", NULL, &self->there, error);
    if (status == HL_OK && round_trip)
        status = perf_bus_topic(&self->bus, "order.back", NULL, &self->back, error);
    if (status == HL_OK && round_trip)
        status = perf_bus_subscribe(&self->bus, "market_data.there", send_back, self, error);
    if (status == HL_OK)
        status = perf_bus_subscribe(&self->bus, round_trip ? "order.back" : "market_data.there",
                                    record, self, error);
    return status;
}

static hl_status run_threads(hop *self, hl_error *error)
{
    const perf_cores *const cores = &self->run->cores;
    const perf_thread threads[] = {{"publisher", cores->publisher, send_all, self},
                                   {"consumer", cores->consumer, turn_far, self}};
    const hl_status status = perf_threads_run(threads, self->asked->round_trip ? 2 : 1, error);
    if (status == HL_OK && self->failed != HL_OK)
        return perf_bus_publish_error(self->failed, error);
    return status;
}

static hl_status run_bus(hop *self, hl_error *error)
{
    const perf_bus_options options = {.cores = &self->run->cores,
                                      .wait = HL_WAIT_SPIN,
                                      .manual = self->asked->round_trip,
                                      .two_domains = self->asked->round_trip};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = subscribe(self, error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    if (status == HL_OK)
        status = run_threads(self, error);
    status = perf_bus_close(&self->bus, status, NULL, error);
    if (status == HL_OK && (self->wrong != 0 || self->recorded != self->sent))
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%" PRIu64 " events sent, %" PRIu64 " came, %" PRIu64
                            " of them damaged or out of order",
                            self->sent, self->recorded, self->wrong);
    return status;
}

typedef struct hop_context {
    perf_run *run;
    const hop_case *asked;
} hop_context;

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const hop_context *const asked = context;
    hop *const self = hl_allocate(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    self->run = asked->run;
    self->asked = asked->asked;
    const double seconds = asked->run->options->seconds;
    perf_schedule_init(&self->schedule, &asked->run->timer, asked->asked->per_s,
                       asked->asked->poisson);
    hl_status status = perf_latency_create(&asked->run->timer, seconds, &self->latency, error);
    if (status == HL_OK) {
        status = run_bus(self, error);
        perf_latency_values(&self->latency, ret_values);
        ret_values[RATE] = (double)hl_histogram_count(self->latency.ns) / seconds;
        if (status == HL_OK)
            perf_result_add_distribution(asked->run->result, asked->asked->name, self->latency.ns);
        perf_latency_destroy(&self->latency);
    }
    free(self);
    return status;
}

hl_status perf_scenario_hop(perf_run *run, hl_error *error)
{
    static const perf_task like = {.measure = measure,
                                   .metrics = metrics,
                                   .metric_count = HOP_VALUES,
                                   .floor = PERF_FLOOR_ONE_WAY};
    perf_task tasks[HOP_CASES];
    hop_context contexts[HOP_CASES];
    for (size_t i = 0; i < HOP_CASES; i++) {
        contexts[i] = (hop_context){run, &hop_cases[i]};
        tasks[i] = perf_task_of(&like, hop_cases[i].name, &contexts[i]);
        if (hop_cases[i].round_trip)
            tasks[i].floor = PERF_FLOOR_ROUND_TRIP;
    }
    perf_result_note(run->result,
                     "one way: the sender on CPU %u, the bus's executor on CPU %u, its housekeeper "
                     "on CPU %u; the floor is half a round trip of two lines",
                     run->cores.publisher, run->cores.consumer, run->cores.housekeeper);
    perf_result_note(run->result,
                     "warm: in the gaps between two events the sender calls hl_warm each %g us",
                     WARM_EVERY_NS / 1e3);
    perf_result_note(run->result,
                     "round trip: CPU %u sends and turns the partition that receives, CPU %u turns "
                     "the one that sends back; the floor is a round trip of two lines",
                     run->cores.publisher, run->cores.consumer);
    if (run->options->seconds * 1e9 > PERF_WINDOW_NS * PERF_WINDOWS_MAX)
        perf_result_note(run->result,
                         "p99_worst_half_second: of %u parts of the measurement, which here are of "
                         "%.1f s",
                         PERF_WINDOWS_MAX, run->options->seconds / PERF_WINDOWS_MAX);
    if (run->options->stall_ms > 0)
        perf_result_note(run->result, "the sender stopped for %g ms in mid-run, as asked for",
                         run->options->stall_ms);
    return perf_run_tasks(run, tasks, HOP_CASES, error);
}
