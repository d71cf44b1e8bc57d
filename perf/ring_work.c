#include "ring_work.h"

#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/payload.h"
#include "perf/threads.h"
#include "ring/mpsc.h"
#include "ring/spsc.h"

#define STAMP_BYTES        8u
#define PRODUCERS_MAX      7u
#define CLAIMS_A_LOOK      64u /* claims between two looks at the time */
#define TRIES_BEFORE_YIELD 100u
#define PAUSES             64u /* between two tries, as ring.h advises */

/* A message's number: who sent it, and his count. */
#define SENDER_SHIFT 56

/*
 * Edges: FINISHED  finished: a producer, behind its last commit (store release) -> the consumer
 *                  (load acquire). What it sent is final, and in the ring.
 */
typedef struct ring_producer {
    /* On lines of its own: the consumer looks at it whenever it finds nothing, and what follows is
     * written with every message. */
    alignas(HL_LINE_PAIR) uint32_t finished;
    alignas(HL_LINE_PAIR) uint64_t sent;
    uint64_t full_ticks;
    uint64_t elapsed_ticks;
    struct ring_bench *bench;
    uint32_t number;
    hl_spsc_producer spsc;
    hl_mpsc_producer mpsc;
} ring_producer;

typedef struct ring_bench {
    const perf_ring_work *work;
    bool yields; /* more threads than CPUs: who finds nothing to do makes way */
    uint32_t producer_count;
    ring_producer producers[PRODUCERS_MAX];
    /* The consumer's. */
    alignas(HL_LINE_PAIR) hl_ring_consumer consumer;
    uint64_t received[PRODUCERS_MAX]; /* of each producer */
    uint64_t wrong;                   /* damaged or out of order */
    uint64_t empty_ticks;
    uint64_t elapsed_ticks;
} ring_bench;

static inline void wait_a_moment(const ring_bench *bench, uint32_t *tries)
{
    if (bench->yields && ++*tries % TRIES_BEFORE_YIELD == 0)
        sched_yield();
    for (uint32_t i = 0; i < (bench->yields ? 1 : PAUSES); i++)
        hl_pause();
}

/* ---- what producers and consumers do, with the slot's size known to the compiler ---- */

#define INLINE static inline __attribute__((always_inline))

INLINE bool try_claim(ring_producer *self, bool spsc, uint32_t run, uint64_t *ret_position)
{
    return spsc ? hl_spsc_try_claim(&self->spsc, run, ret_position)
                : hl_mpsc_try_claim(&self->mpsc, run, ret_position);
}

/* The first of them with this number. */
INLINE void fill_and_commit(ring_producer *self, bool spsc, uint32_t slot_size, uint32_t run,
                            uint64_t position, uint64_t number)
{
    for (uint32_t i = 0; i < run; i++) {
        char *const slot = spsc ? hl_spsc_slot(&self->spsc, position + i)
                                : hl_mpsc_slot(&self->mpsc, position + i);
        perf_payload_fill(slot + STAMP_BYTES, slot_size - STAMP_BYTES, number + i, 0);
    }
    if (spsc)
        hl_spsc_commit(&self->spsc, position, run);
    else
        hl_mpsc_commit(&self->mpsc, position, run);
}

INLINE uint64_t first_number(const ring_producer *self)
{
    return (uint64_t)self->number << SENDER_SHIFT;
}

INLINE void finish(ring_producer *self, uint64_t start)
{
    self->elapsed_ticks = perf_timer_ticks(self->bench->work->timer) - start;
    /* FINISHED: release, after the last commit and `sent`. */
    hl_store_release_u32(&self->finished, 1);
}

/* The number in a local variable, which no store to a slot makes it read again. */
INLINE void produce_runs(ring_producer *self, bool spsc, uint32_t slot_size, uint32_t run)
{
    const ring_bench *const bench = self->bench;
    const perf_timer *const timer = bench->work->timer;
    const uint64_t first = first_number(self);
    uint64_t number = first;
    const uint64_t start = perf_timer_ticks(timer);
    const uint64_t end = start + perf_timer_ticks_of(timer, bench->work->seconds * 1e9);
    uint32_t tries = 0;
    while (perf_timer_ticks(timer) < end) {
        for (uint32_t claims = 0; claims < CLAIMS_A_LOOK; claims++) {
            uint64_t position;
            if (!try_claim(self, spsc, run, &position)) {
                const uint64_t since = perf_timer_ticks(timer);
                while (!try_claim(self, spsc, run, &position))
                    wait_a_moment(bench, &tries);
                self->full_ticks += perf_timer_ticks(timer) - since;
            }
            fill_and_commit(self, spsc, slot_size, run, position, number);
            number += run;
        }
    }
    self->sent = number - first;
    finish(self, start);
}

/* A run of one is a constant, so that the loops over it are none, as in an application. */
INLINE void produce(ring_producer *self, bool spsc, uint32_t slot_size)
{
    const uint32_t run = self->bench->work->run;
    if (run == 1)
        produce_runs(self, spsc, slot_size, 1);
    else
        produce_runs(self, spsc, slot_size, run);
}

/* Takes at most `run`; 0 when nothing is there. */
INLINE uint32_t take_run(ring_bench *bench, uint32_t slot_size, uint32_t run)
{
    void *first;
    const uint32_t n = hl_ring_peek(&bench->consumer, run, &first);
    if (n == 0)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        const char *const message = (const char *)first + (size_t)i * slot_size + STAMP_BYTES;
        const uint64_t number = perf_payload_number(message);
        const uint64_t sender = number >> SENDER_SHIFT;
        const bool right = perf_payload_whole(message, slot_size - STAMP_BYTES) &&
                           sender < PRODUCERS_MAX &&
                           number == (sender << SENDER_SHIFT | bench->received[sender]);
        if (right)
            bench->received[sender]++;
        else
            bench->wrong++;
    }
    hl_ring_release(&bench->consumer, n);
    return n;
}

static bool all_finished(const ring_bench *bench)
{
    for (uint32_t i = 0; i < bench->producer_count; i++)
        /* FINISHED: acquire, so that a look at the ring after it sees the last message. */
        if (hl_load_acquire_u32(&bench->producers[i].finished) == 0)
            return false;
    return true;
}

INLINE void consume_runs(ring_bench *bench, uint32_t slot_size, uint32_t run)
{
    const perf_timer *const timer = bench->work->timer;
    const uint64_t start = perf_timer_ticks(timer);
    uint32_t tries = 0;
    for (;;) {
        if (take_run(bench, slot_size, run) != 0)
            continue;
        const uint64_t since = perf_timer_ticks(timer);
        bool finished = false;
        /* The flags are looked at before the ring: what they end is then seen in it. */
        while (!finished && !hl_ring_ready(&bench->consumer)) {
            finished = all_finished(bench);
            wait_a_moment(bench, &tries);
        }
        bench->empty_ticks += perf_timer_ticks(timer) - since;
        if (finished && !hl_ring_ready(&bench->consumer))
            break;
    }
    bench->elapsed_ticks = perf_timer_ticks(timer) - start;
}

INLINE void consume(ring_bench *bench, uint32_t slot_size)
{
    const uint32_t run = bench->work->run;
    if (run == 1)
        consume_runs(bench, slot_size, 1);
    else
        consume_runs(bench, slot_size, run);
}

/* A producer that empties the ring between its own messages, one at a time. */
INLINE void produce_and_consume(ring_producer *self, uint32_t slot_size)
{
    ring_bench *const bench = self->bench;
    const perf_timer *const timer = bench->work->timer;
    const uint64_t first = first_number(self);
    uint64_t number = first;
    const uint64_t start = perf_timer_ticks(timer);
    const uint64_t end = start + perf_timer_ticks_of(timer, bench->work->seconds * 1e9);
    while (perf_timer_ticks(timer) < end) {
        for (uint32_t claims = 0; claims < CLAIMS_A_LOOK; claims++) {
            uint64_t position;
            if (try_claim(self, false, 1, &position))
                fill_and_commit(self, false, slot_size, 1, position, number++);
            /* Two, for the other producer's as well; more is there only when it was the faster. */
            if (take_run(bench, slot_size, 1) != 0)
                take_run(bench, slot_size, 1);
        }
    }
    self->sent = number - first;
    finish(self, start);
    while (!all_finished(bench))
        take_run(bench, slot_size, 1);
    while (take_run(bench, slot_size, 1) != 0)
        continue;
    bench->elapsed_ticks = perf_timer_ticks(timer) - start;
}

/* ---- the threads ---- */

#define FOR_SLOT_SIZES(call) \
    switch (slot_size) {     \
    case 64:                 \
        call(64);            \
        break;               \
    case 128:                \
        call(128);           \
        break;               \
    default:                 \
        call(256);           \
        break;               \
    }

static void spsc_producer_thread(void *context)
{
    ring_producer *const self = context;
    const uint32_t slot_size = self->bench->work->slot_size;
#define CALL(bytes) produce(self, true, bytes)
    FOR_SLOT_SIZES(CALL)
#undef CALL
}

static void mpsc_producer_thread(void *context)
{
    ring_producer *const self = context;
    const uint32_t slot_size = self->bench->work->slot_size;
#define CALL(bytes) produce(self, false, bytes)
    FOR_SLOT_SIZES(CALL)
#undef CALL
}

static void consumer_thread(void *context)
{
    ring_bench *const bench = context;
    const uint32_t slot_size = bench->work->slot_size;
#define CALL(bytes) consume(bench, bytes)
    FOR_SLOT_SIZES(CALL)
#undef CALL
}

static void both_thread(void *context)
{
    ring_producer *const self = context;
    const uint32_t slot_size = self->bench->work->slot_size;
#define CALL(bytes) produce_and_consume(self, bytes)
    FOR_SLOT_SIZES(CALL)
#undef CALL
}

typedef struct ring_shape {
    uint32_t producers; /* the first, third, ... on the publisher's CPU */
    bool spsc;
    bool one_cpu; /* all on the consumer's */
    bool yields;
} ring_shape;

static const ring_shape ring_shapes[] = {
    [PERF_RING_SPSC] = {1, true, false, false},
    [PERF_RING_MPSC] = {1, false, false, false},
    [PERF_RING_MPSC_2P] = {2, false, false, false},
    [PERF_RING_MPSC_3ON2] = {2, false, false, true},
    [PERF_RING_MPSC_8ON2] = {7, false, false, true},
    [PERF_RING_SPSC_2ON1] = {1, true, true, true},
    [PERF_RING_MPSC_3ON1] = {2, false, true, true},
    [PERF_RING_MPSC_8ON1] = {7, false, true, true},
};

static hl_status run_threads(ring_bench *bench, hl_error *error)
{
    const perf_cores *const cores = bench->work->cores;
    ring_producer *const producers = bench->producers;
    const perf_thread both[] = {
        {"producer", cores->publisher, mpsc_producer_thread, &producers[0]},
        {"producer and consumer", cores->consumer, both_thread, &producers[1]}};
    if (bench->work->shape == PERF_RING_MPSC_2P)
        return perf_threads_run(both, 2, error);
    const ring_shape *const shape = &ring_shapes[bench->work->shape];
    perf_thread threads[PRODUCERS_MAX + 1] = {
        {"consumer", cores->consumer, consumer_thread, bench}};
    for (uint32_t i = 0; i < shape->producers; i++)
        threads[i + 1] = (perf_thread){
            "producer", shape->one_cpu || i % 2 != 0 ? cores->consumer : cores->publisher,
            shape->spsc ? spsc_producer_thread : mpsc_producer_thread, &producers[i]};
    return perf_threads_run(threads, shape->producers + 1, error);
}

/* ---- one measurement ---- */

static hl_status check(const ring_bench *bench, hl_error *error)
{
    if (bench->wrong != 0)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%" PRIu64 " messages came damaged or out of order", bench->wrong);
    for (uint32_t i = 0; i < bench->producer_count; i++)
        if (bench->received[i] != bench->producers[i].sent)
            return hl_error_set(error, HL_NOT_CONSERVED,
                                "producer %u sent %" PRIu64 " messages, %" PRIu64 " came", i,
                                bench->producers[i].sent, bench->received[i]);
    return HL_OK;
}

static void report(const ring_bench *bench, double *ret_values)
{
    uint64_t received = 0, full_ticks = 0, producing_ticks = 0;
    for (uint32_t i = 0; i < bench->producer_count; i++) {
        received += bench->received[i];
        full_ticks += bench->producers[i].full_ticks;
        producing_ticks += bench->producers[i].elapsed_ticks;
    }
    const bool both = bench->work->shape == PERF_RING_MPSC_2P;
    ret_values[PERF_RING_PER_S] =
        (double)received * 1e9 / perf_timer_ns(bench->work->timer, bench->elapsed_ticks);
    /* The one of two that also consumes never waits for room. */
    ret_values[PERF_RING_FULL_PERCENT] =
        100.0 * (double)full_ticks /
        (double)(both ? bench->producers[0].elapsed_ticks : producing_ticks);
    ret_values[PERF_RING_EMPTY_PERCENT] =
        both ? NAN : 100.0 * (double)bench->empty_ticks / (double)bench->elapsed_ticks;
}

static hl_status measure_in(ring_bench *bench, void *memory, size_t bytes, double *ret_values,
                            hl_error *error)
{
    const perf_ring_work *const work = bench->work;
    const bool spsc = ring_shapes[work->shape].spsc;
    const char *reason = "";
    hl_ring *const ring = hl_ring_init(memory, bytes, work->slot_size, work->capacity,
                                       spsc ? HL_RING_SPSC : HL_RING_MPSC, 0, &reason);
    if (ring == NULL)
        return hl_error_set(error, HL_INVALID, "ring: %s", reason);
    bench->producer_count = ring_shapes[work->shape].producers;
    bench->yields = ring_shapes[work->shape].yields;
    for (uint32_t i = 0; i < bench->producer_count; i++) {
        bench->producers[i].bench = bench;
        bench->producers[i].number = i;
        if (spsc)
            hl_spsc_open(ring, &bench->producers[i].spsc);
        else
            hl_mpsc_open(ring, &bench->producers[i].mpsc);
    }
    hl_ring_consumer_open(ring, &bench->consumer);
    hl_status status = run_threads(bench, error);
    if (status == HL_OK)
        status = check(bench, error);
    if (status == HL_OK)
        report(bench, ret_values);
    return status;
}

hl_status perf_ring_measure(void *work, double *ret_values, hl_error *error)
{
    const perf_ring_work *const asked = work;
    if (asked->slot_size != 64 && asked->slot_size != 128 && asked->slot_size != 256)
        return hl_error_set(error, HL_INVALID, "slots of %u bytes: 64, 128 or 256 are measured",
                            asked->slot_size);
    const size_t bytes = hl_ring_size_bytes(asked->slot_size, asked->capacity);
    void *const memory = hl_allocate(1, bytes);
    ring_bench *const bench = hl_allocate(1, sizeof *bench);
    hl_status status = HL_NO_MEMORY;
    if (memory == NULL || bench == NULL || bytes == 0) {
        hl_error_set(error, status, "no memory for %u slots", asked->capacity);
    } else {
        bench->work = asked;
        status = measure_in(bench, memory, bytes, ret_values, error);
    }
    free(bench);
    free(memory);
    return status;
}
