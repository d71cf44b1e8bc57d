#include "journal_live.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/latency.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define RUN            32u   /* events a claim, flat out */
#define WARM_UP_EVENTS 8192u /* more than a lap of the ring; their time is 0: not recorded */
#define NAP_NS         20000 /* at a full lane: others may need this CPU to empty it */
/* Where the journal's thread has no CPU of its own the publisher must not keep one: its events come
 * in packets, as a feed's do, and it sleeps between them. */
#define PACKET   10u
#define AWAKE_NS 5000.0 /* so long before a packet it is awake */

typedef struct live {
    perf_run *run;
    const perf_live_options *options;
    perf_bus bus;
    hl_topic topic;
    /* The handler's. */
    alignas(
        HL_LINE_PAIR) uint64_t handled; /* the publisher reads it, relaxed: it carries no data */
    uint64_t wrong;
    /* The publisher's. */
    alignas(HL_LINE_PAIR) perf_schedule schedule;
    uint64_t sent;
    uint32_t packet; /* events of one intended time */
    uint64_t start_ticks;
    uint64_t end_ticks;
    hl_status failed;
} live;

static hl_status handle(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    live *const self = context;
    const perf_timer *const timer = &self->run->timer;
    const void *const payload = hl_payload(event);
    const uint64_t intended = perf_payload_time(payload);
    if (!perf_payload_whole(payload, PERF_BUS_PAYLOAD_BYTES) ||
        perf_payload_number(payload) != self->handled)
        self->wrong++;
    hl_store_relaxed_u64(&self->handled, self->handled + 1); /* Relaxed, as said above. */
    if (intended != 0)
        hl_histogram_record(self->options->handle_ns,
                            (uint64_t)perf_timer_ns(timer, perf_timer_ticks(timer) - intended));
    return HL_OK;
}

static void nap(void)
{
    const struct timespec pause = {0, NAP_NS};
    nanosleep(&pause, NULL);
}

static void publish_run(live *self)
{
    hl_claim claim;
    hl_status status;
    while ((status = hl_try_claim_run(self->bus.publisher, self->topic, 0, PERF_BUS_PAYLOAD_BYTES,
                                      RUN, &claim)) == HL_FULL)
        nap();
    self->failed = status;
    if (status != HL_OK)
        return;
    for (uint32_t i = 0; i < RUN; i++)
        perf_payload_fill(hl_claim_event(&claim, i) + 1, PERF_BUS_PAYLOAD_BYTES, self->sent++, 0);
    hl_commit(&claim);
}

/* Waits for room: what that takes shows in the latency of this event and of those behind it. */
static void publish_one(live *self, uint64_t intended)
{
    const perf_timer *const timer = &self->run->timer;
    hl_claim claim;
    hl_status status;
    const uint64_t before = perf_timer_ticks(timer);
    while ((status = hl_try_claim(self->bus.publisher, self->topic, 0, PERF_BUS_PAYLOAD_BYTES,
                                  &claim)) == HL_FULL)
        nap();
    self->failed = status;
    if (status != HL_OK)
        return;
    perf_payload_fill(claim.payload, PERF_BUS_PAYLOAD_BYTES, self->sent++, intended);
    hl_commit(&claim);
    if (intended != 0 && self->options->publish_ns != NULL)
        hl_histogram_record(self->options->publish_ns,
                            (uint64_t)perf_timer_ns(timer, perf_timer_ticks(timer) - before));
}

static void wait_for(const live *self, uint64_t intended)
{
    const perf_timer *const timer = &self->run->timer;
    const double left_ns =
        (double)(int64_t)(intended - perf_timer_ticks(timer)) * timer->ns_per_tick;
    if (self->packet > 1 && left_ns > AWAKE_NS) {
        const struct timespec pause = {0, (long)(left_ns - AWAKE_NS)};
        nanosleep(&pause, NULL);
    }
    while (perf_timer_ticks(timer) < intended)
        hl_pause();
}

static bool is_done(const live *self)
{
    hl_partition_journal_stats stats;
    /* Relaxed, as said above. */
    if (hl_load_relaxed_u64(&self->handled) < self->sent)
        return false;
    return self->options->journal_dir == NULL ||
           hl_bus_journal_stats(self->bus.bus, 0, &stats) != HL_OK ||
           stats.durable_sequence >= stats.last_sequence;
}

/* Until all is handled, and durable where there is a journal, or PERF_BUS_DRAIN_NS have passed. */
static void await_done(const live *self)
{
    const perf_timer *const timer = &self->run->timer;
    const uint64_t patience = perf_timer_after(timer, PERF_BUS_DRAIN_NS);
    while (!is_done(self) && perf_timer_ticks(timer) < patience)
        nap();
}

static void publish_on_schedule(live *self)
{
    const perf_timer *const timer = &self->run->timer;
    uint64_t intended;
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* else a sleep is 50 us longer than asked for */
    while (self->sent < WARM_UP_EVENTS && self->failed == HL_OK)
        publish_one(self, 0);
    /* Else the first of the schedule would wait for what is left of them. */
    await_done(self);
    perf_schedule_begin(&self->schedule, timer, self->options->seconds);
    while ((intended = perf_schedule_next(&self->schedule)) != UINT64_MAX &&
           self->failed == HL_OK) {
        wait_for(self, intended);
        for (uint32_t i = 0; i < self->packet && self->failed == HL_OK; i++)
            publish_one(self, intended);
        perf_schedule_advance(&self->schedule);
    }
}

static void publish(void *context)
{
    live *const self = context;
    const perf_timer *const timer = &self->run->timer;
    self->start_ticks = perf_timer_ticks(timer);
    if (self->options->per_s > 0)
        publish_on_schedule(self);
    else
        while (self->sent < self->options->events && self->failed == HL_OK)
            publish_run(self);
    await_done(self);
    self->end_ticks = perf_timer_ticks(timer);
}

static hl_status run_bus(live *self, perf_live_result *result, hl_error *error)
{
    const perf_cores *const cores = &self->run->cores;
    const perf_live_options *const asked = self->options;
    /* With two CPUs the journal's thread needs one of those that would else spin. */
    const perf_bus_options options = {.cores = cores,
                                      .wait = cores->allowed > 2 ? HL_WAIT_SPIN : HL_WAIT_PARK,
                                      .beside_publisher = cores->allowed <= 2,
                                      .journal_dir = asked->journal_dir,
                                      .durability = asked->durability,
                                      .journal_slots = asked->journal_slots,
                                      .journal_io_uring = asked->io_uring};
    const perf_thread threads[] = {{"publisher", cores->publisher, publish, self}};
    hl_partition_journal_stats before = {0}, after = {0};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = perf_bus_topic(&self->bus, "market_data.trade", NULL, &self->topic, error);
    if (status == HL_OK)
        status = perf_bus_subscribe(&self->bus, "market_data.trade", handle, self, error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    hl_bus_journal_stats(self->bus.bus, 0, &before);
    if (status == HL_OK)
        status = perf_threads_run(threads, 1, error);
    hl_bus_journal_stats(self->bus.bus, 0, &after);
    status = perf_bus_close(&self->bus, status, NULL, error);
    *result = (perf_live_result){
        .events = self->sent,
        .ns = perf_timer_ns(&self->run->timer, self->end_ticks - self->start_ticks),
        .syncs = after.syncs - before.syncs,
        .written_bytes = after.written_bytes - before.written_bytes};
    return status;
}

hl_status perf_live_run(perf_run *run, const perf_live_options *options,
                        perf_live_result *ret_result, hl_error *error)
{
    live *const self = hl_allocate(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    self->run = run;
    self->options = options;
    self->packet = run->cores.allowed > 2 ? 1 : PACKET;
    if (options->per_s > 0)
        perf_schedule_init(&self->schedule, &run->timer, options->per_s / self->packet, false);
    hl_status status = run_bus(self, ret_result, error);
    if (status == HL_OK && self->failed != HL_OK)
        status = perf_bus_publish_error(self->failed, error);
    if (status == HL_OK && (self->wrong != 0 || self->handled != self->sent))
        status = hl_error_set(error, HL_NOT_CONSERVED,
                              "%" PRIu64 " events sent, %" PRIu64 " handled, %" PRIu64
                              " of them damaged or out of order",
                              self->sent, self->handled, self->wrong);
    free(self);
    return status;
}
