#include "mpmc_work.h"

#include <ck_ring.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/payload.h"
#include "perf/scenario.h"
#include "perf/threads.h"
#include "ring/mpmc.h"

#define STAMP_BYTES        8u
#define PAYLOAD_BYTES      (PERF_MESSAGE_BYTES - STAMP_BYTES)
#define SENDERS            2u
#define THREADS_MAX        4u
#define STEPS_A_LOOK       64u /* between two looks at the time */
#define TRIES_BEFORE_YIELD 100u

/* A message's number: who sent it, and his count. */
#define SENDER_SHIFT 56

/* As large as hotlane's, with the same payload in the same place. */
struct message {
    alignas(PERF_MESSAGE_BYTES) char bytes[PERF_MESSAGE_BYTES];
};
_Static_assert(sizeof(struct message) == PERF_MESSAGE_BYTES, "whole lines");

CK_RING_PROTOTYPE(message, message)

/*
 * Edges: SENT_ALL  finished: a producer, behind its last commit (store release) -> who consumes
 *                  (load acquire). What it sent is final, and in the ring.
 */
typedef struct mpmc_worker {
    /* On lines of its own: the others look at it when they find nothing. */
    alignas(HL_LINE_PAIR) uint32_t finished;
    alignas(HL_LINE_PAIR) struct mpmc_bench *bench;
    uint64_t sender; /* its number, where it produces */
    uint64_t sent;
    uint64_t waited_ticks;
    uint64_t elapsed_ticks;
    uint64_t received[SENDERS];    /* of each sender */
    uint64_t number_sums[SENDERS]; /* of the counts that came, modulo 2^64 */
    uint64_t next[SENDERS];        /* the least count that may come */
    uint64_t wrong;                /* damaged, or out of order */
} mpmc_worker;

typedef struct mpmc_bench {
    const perf_mpmc_work *work;
    hl_mpmc mpmc;
    uint32_t sender_count;
    mpmc_worker workers[THREADS_MAX]; /* those that produce first */
    alignas(HL_LINE_PAIR) ck_ring_t ck;
    struct message *ck_messages;
} mpmc_bench;

#define INLINE static inline __attribute__((always_inline))

/* ---- one step, with the ring known to the compiler ---- */

INLINE void fill(const mpmc_worker *self, char *slot, uint64_t count)
{
    perf_payload_fill(slot + STAMP_BYTES, PAYLOAD_BYTES, self->sender << SENDER_SHIFT | count, 0);
}

INLINE bool send_hotlane(mpmc_worker *self, uint32_t run)
{
    const hl_mpmc *const mpmc = &self->bench->mpmc;
    uint64_t position;
    if (!hl_mpmc_try_claim(mpmc, run, &position))
        return false;
    for (uint32_t i = 0; i < run; i++)
        fill(self, hl_mpmc_slot(mpmc, position + i), self->sent++);
    hl_mpmc_commit(mpmc, position, run);
    return true;
}

INLINE bool send_ck(mpmc_worker *self)
{
    mpmc_bench *const bench = self->bench;
    unsigned ticket;
    struct message *const message =
        ck_ring_enqueue_reserve_mpmc_message(&bench->ck, bench->ck_messages, &ticket);
    if (message == NULL)
        return false;
    fill(self, message->bytes, self->sent++);
    ck_ring_enqueue_commit_mpmc(&bench->ck, ticket);
    return true;
}

INLINE bool send_ck_copy(mpmc_worker *self)
{
    mpmc_bench *const bench = self->bench;
    struct message message;
    fill(self, message.bytes, self->sent);
    if (!ck_ring_enqueue_mpmc_message(&bench->ck, bench->ck_messages, &message))
        return false;
    self->sent++;
    return true;
}

/* One run, or nothing when there is no room. */
INLINE bool send_run(mpmc_worker *self, perf_mpmc_ring ring, uint32_t run)
{
    switch (ring) {
    case PERF_MPMC_HOTLANE:
        return send_hotlane(self, run);
    case PERF_MPMC_CK:
        return send_ck(self);
    default:
        return send_ck_copy(self);
    }
}

INLINE void check_message(mpmc_worker *self, const char *slot)
{
    const char *const payload = slot + STAMP_BYTES;
    const uint64_t number = perf_payload_number(payload);
    const uint64_t sender = number >> SENDER_SHIFT;
    const uint64_t count = number & ((UINT64_C(1) << SENDER_SHIFT) - 1);
    if (!perf_payload_whole(payload, PAYLOAD_BYTES) || sender >= SENDERS ||
        count < self->next[sender]) {
        self->wrong++;
        return;
    }
    self->next[sender] = count + 1;
    self->received[sender]++;
    self->number_sums[sender] += count;
}

/* How many messages came. */
INLINE uint32_t take_run(mpmc_worker *self, perf_mpmc_ring ring, uint32_t run)
{
    mpmc_bench *const bench = self->bench;
    if (ring != PERF_MPMC_HOTLANE) {
        struct message message;
        if (!ck_ring_dequeue_mpmc_message(&bench->ck, bench->ck_messages, &message))
            return 0;
        check_message(self, message.bytes);
        return 1;
    }
    uint64_t position;
    const uint32_t n = hl_mpmc_try_take(&bench->mpmc, run, &position);
    if (n == 0)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        check_message(self, hl_mpmc_slot(&bench->mpmc, position + i));
    hl_mpmc_release(&bench->mpmc, position, n);
    return n;
}

/* ---- the threads ---- */

static void wait_a_moment(const mpmc_bench *bench, uint32_t *tries)
{
    hl_pause();
    /* More threads than CPUs: who finds nothing to do makes way. */
    if (bench->work->shape == PERF_MPMC_4ON2 && ++*tries % TRIES_BEFORE_YIELD == 0)
        sched_yield();
}

static bool all_finished(const mpmc_bench *bench)
{
    for (uint32_t i = 0; i < bench->sender_count; i++)
        /* SENT_ALL: acquire, so that a look at the ring after it sees the last message. */
        if (hl_load_acquire_u32(&bench->workers[i].finished) == 0)
            return false;
    return true;
}

static uint64_t end_of(const mpmc_bench *bench, uint64_t start)
{
    return start + perf_timer_ticks_of(bench->work->timer, bench->work->seconds * 1e9);
}

INLINE void produce(mpmc_worker *self, perf_mpmc_ring ring, uint32_t run)
{
    const mpmc_bench *const bench = self->bench;
    const perf_timer *const timer = bench->work->timer;
    const uint64_t start = perf_timer_ticks(timer);
    const uint64_t end = end_of(bench, start);
    uint32_t tries = 0;
    while (perf_timer_ticks(timer) < end) {
        for (uint32_t step = 0; step < STEPS_A_LOOK; step++) {
            if (send_run(self, ring, run))
                continue;
            const uint64_t since = perf_timer_ticks(timer);
            while (!send_run(self, ring, run))
                wait_a_moment(bench, &tries);
            self->waited_ticks += perf_timer_ticks(timer) - since;
        }
    }
    self->elapsed_ticks = perf_timer_ticks(timer) - start;
    /* SENT_ALL: release, after the last commit and `sent`. */
    hl_store_release_u32(&self->finished, 1);
}

INLINE void consume(mpmc_worker *self, perf_mpmc_ring ring, uint32_t run)
{
    const mpmc_bench *const bench = self->bench;
    const perf_timer *const timer = bench->work->timer;
    const uint64_t start = perf_timer_ticks(timer);
    uint32_t tries = 0;
    for (bool finished = false; !finished;) {
        if (take_run(self, ring, run) != 0)
            continue;
        const uint64_t since = perf_timer_ticks(timer);
        /* The flags are looked at before the ring: what they end is then seen in it. */
        do {
            finished = all_finished(bench);
            wait_a_moment(bench, &tries);
        } while (take_run(self, ring, run) == 0 && !finished);
        self->waited_ticks += perf_timer_ticks(timer) - since;
    }
    while (take_run(self, ring, run) != 0)
        continue;
    self->elapsed_ticks = perf_timer_ticks(timer) - start;
}

INLINE void produce_and_consume(mpmc_worker *self, perf_mpmc_ring ring, uint32_t run)
{
    const mpmc_bench *const bench = self->bench;
    const perf_timer *const timer = bench->work->timer;
    const uint64_t start = perf_timer_ticks(timer);
    const uint64_t end = end_of(bench, start);
    while (perf_timer_ticks(timer) < end) {
        for (uint32_t step = 0; step < STEPS_A_LOOK; step++) {
            send_run(self, ring, run);
            /* Two, for the other's as well; more is there only when it was the faster. */
            if (take_run(self, ring, run) != 0)
                take_run(self, ring, run);
        }
    }
    /* SENT_ALL: release, after the last commit and `sent`. */
    hl_store_release_u32(&self->finished, 1);
    while (!all_finished(bench))
        take_run(self, ring, run);
    while (take_run(self, ring, run) != 0)
        continue;
    self->elapsed_ticks = perf_timer_ticks(timer) - start;
}

/* A run of one is a constant, so that the loops over it are none, as in an application. */
#define FOR_RINGS(part)                                            \
    switch (self->bench->work->ring) {                             \
    case PERF_MPMC_HOTLANE:                                        \
        if (self->bench->work->run == 1)                           \
            part(self, PERF_MPMC_HOTLANE, 1);                      \
        else                                                       \
            part(self, PERF_MPMC_HOTLANE, self->bench->work->run); \
        break;                                                     \
    case PERF_MPMC_CK:                                             \
        part(self, PERF_MPMC_CK, 1);                               \
        break;                                                     \
    default:                                                       \
        part(self, PERF_MPMC_CK_COPY, 1);                          \
        break;                                                     \
    }

static void producer_thread(void *worker)
{
    mpmc_worker *const self = worker;
    FOR_RINGS(produce)
}

static void consumer_thread(void *worker)
{
    mpmc_worker *const self = worker;
    FOR_RINGS(consume)
}

static void both_thread(void *worker)
{
    mpmc_worker *const self = worker;
    FOR_RINGS(produce_and_consume)
}

static hl_status run_threads(mpmc_bench *bench, hl_error *error)
{
    const uint32_t one = bench->work->cores->publisher, other = bench->work->cores->consumer;
    mpmc_worker *const workers = bench->workers;
    const perf_thread pair[] = {{"producer", one, producer_thread, &workers[0]},
                                {"consumer", other, consumer_thread, &workers[1]}};
    const perf_thread both[] = {{"producer and consumer", one, both_thread, &workers[0]},
                                {"second producer and consumer", other, both_thread, &workers[1]}};
    const perf_thread four[] = {{"producer", one, producer_thread, &workers[0]},
                                {"second producer", other, producer_thread, &workers[1]},
                                {"consumer", one, consumer_thread, &workers[2]},
                                {"second consumer", other, consumer_thread, &workers[3]}};
    bench->sender_count = bench->work->shape == PERF_MPMC_1P1C ? 1 : 2;
    for (uint32_t i = 0; i < THREADS_MAX; i++) {
        workers[i].bench = bench;
        workers[i].sender = i;
    }
    switch (bench->work->shape) {
    case PERF_MPMC_1P1C:
        return perf_threads_run(pair, 2, error);
    case PERF_MPMC_2P2C:
        return perf_threads_run(both, 2, error);
    default:
        return perf_threads_run(four, 4, error);
    }
}

/* ---- one measurement ---- */

/* Each count of a sender from 0 on exactly once: as many as it sent, with their sum; each consumer
 * saw them grow. */
static hl_status check(const mpmc_bench *bench, hl_error *error)
{
    for (uint32_t sender = 0; sender < SENDERS; sender++) {
        const uint64_t sent = sender < bench->sender_count ? bench->workers[sender].sent : 0;
        uint64_t received = 0, sum = 0, expected_sum = 0, wrong = 0;
        for (uint32_t i = 0; i < THREADS_MAX; i++) {
            received += bench->workers[i].received[sender];
            sum += bench->workers[i].number_sums[sender];
            wrong += bench->workers[i].wrong;
        }
        if (sent > 0)
            expected_sum = sent % 2 == 0 ? sent / 2 * (sent - 1) : (sent - 1) / 2 * sent;
        if (wrong != 0)
            return hl_error_set(error, HL_NOT_CONSERVED,
                                "%" PRIu64 " messages came damaged or out of order", wrong);
        if (received != sent || sum != expected_sum)
            return hl_error_set(error, HL_NOT_CONSERVED,
                                "producer %u sent %" PRIu64 " messages, %" PRIu64
                                " came, or not each once",
                                sender, sent, received);
    }
    return HL_OK;
}

static void report(const mpmc_bench *bench, double *ret_values)
{
    const bool both = bench->work->shape == PERF_MPMC_2P2C;
    uint64_t received = 0, longest = 0;
    uint64_t waited[2] = {0}, elapsed[2] = {0}; /* of producers, of consumers */
    for (uint32_t i = 0; i < THREADS_MAX; i++) {
        const mpmc_worker *const worker = &bench->workers[i];
        const bool consumes = i >= bench->sender_count;
        waited[consumes] += worker->waited_ticks;
        elapsed[consumes] += worker->elapsed_ticks;
        received += worker->received[0] + worker->received[1];
        if (worker->elapsed_ticks > longest)
            longest = worker->elapsed_ticks;
    }
    ret_values[PERF_RING_PER_S] =
        (double)received * 1e9 / perf_timer_ns(bench->work->timer, longest);
    ret_values[PERF_RING_FULL_PERCENT] =
        both ? NAN : 100.0 * (double)waited[0] / (double)elapsed[0];
    ret_values[PERF_RING_EMPTY_PERCENT] =
        both ? NAN : 100.0 * (double)waited[1] / (double)elapsed[1];
}

static hl_status measure_in(mpmc_bench *bench, void *memory, size_t bytes, double *ret_values,
                            hl_error *error)
{
    if (bench->work->ring != PERF_MPMC_HOTLANE) {
        /* Takes one message fewer than its size. */
        ck_ring_init(&bench->ck, PERF_MESSAGE_SLOTS);
        bench->ck_messages = memory;
    } else {
        const char *reason = "";
        hl_ring *const ring = hl_ring_init(memory, bytes, PERF_MESSAGE_BYTES, PERF_MESSAGE_SLOTS,
                                           HL_RING_MPMC, 0, &reason);
        if (ring == NULL)
            return hl_error_set(error, HL_INVALID, "ring: %s", reason);
        hl_mpmc_open(ring, &bench->mpmc);
    }
    hl_status status = run_threads(bench, error);
    if (status == HL_OK)
        status = check(bench, error);
    if (status == HL_OK)
        report(bench, ret_values);
    return status;
}

hl_status perf_mpmc_measure(void *work, double *ret_values, hl_error *error)
{
    /* Room for either. */
    const size_t bytes = hl_ring_size_bytes(PERF_MESSAGE_BYTES, PERF_MESSAGE_SLOTS);
    void *const memory = hl_allocate(1, bytes);
    mpmc_bench *const bench = hl_allocate(1, sizeof *bench);
    hl_status status = HL_NO_MEMORY;
    if (memory == NULL || bench == NULL) {
        hl_error_set(error, status, "no memory for %u slots", PERF_MESSAGE_SLOTS);
    } else {
        bench->work = work;
        status = measure_in(bench, memory, bytes, ret_values, error);
    }
    free(bench);
    free(memory);
    return status;
}
