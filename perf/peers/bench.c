#include "bench.h"

#include <inttypes.h>
#include <math.h>

#include "base/error.h"
#include "perf/threads.h"

#define HISTOGRAM_DIGITS 3u

static hl_status run_threads(peer_bench *bench, const peer_queue *queue, hl_error *error)
{
    const uint32_t publisher = bench->work->cores->publisher;
    const uint32_t consumer = bench->work->cores->consumer;
    peer_producer *const producers = bench->producers;
    const perf_thread threads[] = {
        {"producer", publisher, queue->produce, &producers[0]},
        {"consumer", consumer, queue->consume, bench},
        {"second producer", consumer, queue->produce, &producers[1]},
    };
    const perf_thread both[] = {
        {"producer", publisher, queue->produce, &producers[0]},
        {"producer and consumer", consumer, queue->produce_and_consume, &producers[1]},
    };
    const perf_thread round_trip[] = {
        {"asker", publisher, queue->ask, bench},
        {"answerer", consumer, queue->answer, bench},
    };
    switch (bench->work->shape) {
    case PEER_SPSC:
        return perf_threads_run(threads, 2, error);
    case PEER_MPSC_2P:
        return perf_threads_run(both, 2, error);
    case PEER_MPSC_3ON2:
        return perf_threads_run(threads, 3, error);
    default:
        return perf_threads_run(round_trip, 2, error);
    }
}

static hl_status check(const peer_bench *bench, hl_error *error)
{
    for (uint32_t i = 0; i < bench->producer_count; i++)
        if (bench->producers[i].gave_up)
            return hl_error_set(error, HL_TIMEOUT, "producer %u had no %s for %g s", i,
                                bench->back != NULL ? "answer, or no room," : "room",
                                PEER_PATIENCE_NS / 1e9);
    if (bench->inbox.damaged + bench->back_inbox.damaged != 0)
        return hl_error_set(error, HL_NOT_CONSERVED, "%" PRIu64 " messages came damaged",
                            bench->inbox.damaged + bench->back_inbox.damaged);
    for (uint32_t i = 0; i < bench->producer_count; i++)
        if (bench->inbox.received[i] != bench->producers[i].sent)
            return hl_error_set(error, HL_NOT_CONSERVED,
                                "producer %u sent %" PRIu64 " messages, %" PRIu64 " came", i,
                                bench->producers[i].sent, bench->inbox.received[i]);
    if (bench->back != NULL && bench->back_inbox.received[0] != bench->producers[0].sent)
        return hl_error_set(error, HL_NOT_CONSERVED, "%" PRIu64 " asked, %" PRIu64 " answered",
                            bench->producers[0].sent, bench->back_inbox.received[0]);
    return HL_OK;
}

static void report_round_trips(const peer_bench *bench, double *ret_values)
{
    const perf_timer *const timer = bench->work->timer;
    ret_values[PEER_FIGURE] =
        perf_timer_ns(timer, hl_histogram_value_at_percentile(bench->round_trips, 50));
    ret_values[PEER_P99] =
        perf_timer_ns(timer, hl_histogram_value_at_percentile(bench->round_trips, 99));
    ret_values[PEER_EMPTY_PERCENT] = NAN;
}

static void report_stream(const peer_bench *bench, double *ret_values)
{
    uint64_t received = 0, full_ticks = 0, producing_ticks = 0;
    for (uint32_t i = 0; i < bench->producer_count; i++) {
        received += bench->inbox.received[i];
        full_ticks += bench->producers[i].full_ticks;
        producing_ticks += bench->producers[i].elapsed_ticks;
    }
    const bool both = bench->work->shape == PEER_MPSC_2P;
    ret_values[PEER_FIGURE] =
        (double)received * 1e9 / perf_timer_ns(bench->work->timer, bench->elapsed_ticks);
    /* The one of two that also consumes never waits for room. */
    ret_values[PEER_FULL_PERCENT] =
        100.0 * (double)full_ticks /
        (double)(both ? bench->producers[0].elapsed_ticks : producing_ticks);
    ret_values[PEER_EMPTY_PERCENT] =
        both ? NAN : 100.0 * (double)bench->empty_ticks / (double)bench->elapsed_ticks;
}

static hl_status measure_in(peer_bench *bench, const peer_queue *queue, double *ret_values,
                            hl_error *error)
{
    const peer_shape shape = bench->work->shape;
    bench->producer_count = shape == PEER_MPSC_2P || shape == PEER_MPSC_3ON2 ? 2 : 1;
    bench->yields = shape == PEER_MPSC_3ON2;
    for (uint32_t i = 0; i < bench->producer_count; i++) {
        bench->producers[i].bench = bench;
        bench->producers[i].number = i;
    }
    hl_status status = run_threads(bench, queue, error);
    if (status == HL_OK)
        status = check(bench, error);
    ret_values[PEER_DISORDERED] = (double)(bench->inbox.disordered + bench->back_inbox.disordered);
    if (status == HL_OK && shape == PEER_ROUND_TRIP)
        report_round_trips(bench, ret_values);
    else if (status == HL_OK)
        report_stream(bench, ret_values);
    return status;
}

hl_status peer_measure(const peer_queue *queue, const peer_work *work, double *ret_values,
                       hl_error *error)
{
    const bool round_trip = work->shape == PEER_ROUND_TRIP;
    peer_bench *const bench = hl_allocate(1, sizeof *bench);
    hl_histogram *const ticks = hl_allocate(1, hl_histogram_size_bytes(HISTOGRAM_DIGITS));
    void *const there = queue->create();
    void *const back = round_trip ? queue->create() : NULL;
    hl_status status = HL_NO_MEMORY;
    if (bench == NULL || ticks == NULL || there == NULL || (round_trip && back == NULL)) {
        hl_error_set(error, status, "no memory for a queue of %u messages", PEER_SLOTS);
    } else {
        hl_histogram_init(ticks, HISTOGRAM_DIGITS);
        bench->work = work;
        bench->queue = there;
        bench->back = back;
        bench->round_trips = ticks;
        status = measure_in(bench, queue, ret_values, error);
    }
    if (back != NULL)
        queue->destroy(back);
    if (there != NULL)
        queue->destroy(there);
    free(ticks);
    free(bench);
    return status;
}
