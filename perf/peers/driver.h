/*
 * The loops of a measurement, made anew for each queue so that its calls are compiled into them, as
 * they would be in an application (left to itself the compiler makes them calls, with a loop for
 * one message: a third of hotlane's time). For C and C++.
 *
 *     static void *mine_create(void);
 *     static void mine_destroy(void *queue);
 *     // Fills and hands over at most n messages of producer 0 or 1, the first with this number,
 *     // the next with the next. How many there was room for, from the first on.
 *     PEER_INLINE uint32_t mine_send(void *queue, uint32_t producer, uint32_t n, uint64_t number);
 *     // Takes at most n messages, hands each to peer_take, gives their places back. How many.
 *     PEER_INLINE uint32_t mine_receive(void *queue, uint32_t n, peer_inbox *inbox);
 *     PEER_QUEUE(peer_mine, mine)
 */
#ifndef HL_PERF_PEERS_DRIVER_H
#define HL_PERF_PEERS_DRIVER_H

#include <sched.h>

#include "perf/payload.h"
#include "perf/peers/queues.h"
#include "ring/order.h"

#define PEER_INLINE static inline __attribute__((always_inline))

#define PEER_SENDS_A_LOOK       64u /* sends between two looks at the time */
#define PEER_TRIES_BEFORE_YIELD 100u
#define PEER_TRIES_BEFORE_LOOK  1024u /* at the time */

/* A message's number: who sent it, and his count. */
#define PEER_SENDER_SHIFT 56

typedef uint32_t (*peer_send)(void *queue, uint32_t producer, uint32_t n, uint64_t number);
typedef uint32_t (*peer_receive)(void *queue, uint32_t n, peer_inbox *inbox);

PEER_INLINE void peer_fill(void *payload, uint64_t number)
{
    perf_payload_fill(payload, PEER_PAYLOAD_BYTES, number, 0);
}

/* Sums up every byte and looks at the order. */
PEER_INLINE void peer_take(peer_inbox *inbox, const void *payload)
{
    const uint64_t number = perf_payload_number(payload);
    const uint64_t sender = number >> PEER_SENDER_SHIFT;
    if (!perf_payload_whole(payload, PEER_PAYLOAD_BYTES) || sender >= PEER_PRODUCERS_MAX) {
        inbox->damaged++;
        return;
    }
    if (number != (sender << PEER_SENDER_SHIFT | inbox->received[sender]))
        inbox->disordered++;
    inbox->received[sender]++;
}

PEER_INLINE void peer_wait(const peer_bench *bench, uint32_t *tries)
{
    for (uint32_t i = 0; i < bench->work->pauses; i++)
        hl_pause();
    if (++*tries % PEER_TRIES_BEFORE_YIELD == 0 && bench->yields)
        sched_yield();
}

PEER_INLINE uint64_t peer_first_number(const peer_producer *self)
{
    return (uint64_t)self->number << PEER_SENDER_SHIFT;
}

PEER_INLINE uint64_t peer_end(const peer_bench *bench, uint64_t start)
{
    return start + perf_timer_ticks_of(bench->work->timer, bench->work->seconds * 1e9);
}

PEER_INLINE void peer_finish(peer_producer *self, uint64_t start)
{
    self->elapsed_ticks = perf_timer_ticks(self->bench->work->timer) - start;
    /* FINISHED: release, after the last message and `sent`. */
    hl_store_release_u32(&self->finished, 1);
}

PEER_INLINE bool peer_all_finished(const peer_bench *bench)
{
    for (uint32_t i = 0; i < bench->producer_count; i++)
        /* FINISHED: acquire, so that a look at the queue after it sees the last message. */
        if (hl_load_acquire_u32(&bench->producers[i].finished) == 0)
            return false;
    return true;
}

/* The wait for room for n messages, the first with this number; how many were then sent, 0: none in
 * PEER_PATIENCE_NS. */
PEER_INLINE uint32_t peer_send_late(peer_producer *self, uint32_t n, uint64_t number,
                                    peer_send send, uint32_t *tries)
{
    const peer_bench *const bench = self->bench;
    const perf_timer *const timer = bench->work->timer;
    const uint64_t since = perf_timer_ticks(timer);
    const uint64_t patience = perf_timer_ticks_of(timer, PEER_PATIENCE_NS);
    uint32_t sent = 0;
    do {
        peer_wait(bench, tries);
        sent = send(bench->queue, self->number, n, number);
        self->gave_up = sent == 0 && *tries % PEER_TRIES_BEFORE_LOOK == 0 &&
                        perf_timer_ticks(timer) - since > patience;
    } while (sent == 0 && !self->gave_up);
    self->full_ticks += perf_timer_ticks(timer) - since;
    return sent;
}

/* All n of them, the first with this number. How many: fewer when it gives up. */
PEER_INLINE uint32_t peer_send_all(peer_producer *self, void *queue, uint32_t producer, uint32_t n,
                                   uint64_t number, peer_send send, uint32_t *tries)
{
    for (uint32_t done = 0;;) {
        uint32_t sent = send(queue, producer, n - done, number + done);
        if (sent == 0)
            sent = peer_send_late(self, n - done, number + done, send, tries);
        done += sent;
        if (done == n || sent == 0)
            return done;
    }
}

/* `run` is a constant where it is 1, so that a queue's loop over one message is none; what a
 * message needs of the harness is in local variables, which no store of a queue's makes it read
 * again. */
PEER_INLINE void peer_produce_runs(peer_producer *self, uint32_t run, peer_send send)
{
    const peer_bench *const bench = self->bench;
    void *const queue = bench->queue;
    const uint32_t producer = self->number;
    const uint64_t first = peer_first_number(self);
    const uint64_t start = perf_timer_ticks(bench->work->timer);
    const uint64_t end = peer_end(bench, start);
    uint64_t number = first;
    uint32_t tries = 0;
    while (perf_timer_ticks(bench->work->timer) < end && !self->gave_up)
        for (uint32_t i = 0, sent = run; i < PEER_SENDS_A_LOOK && sent == run; i++) {
            sent = peer_send_all(self, queue, producer, run, number, send, &tries);
            number += sent;
        }
    self->sent = number - first;
    peer_finish(self, start);
}

PEER_INLINE void peer_produce(peer_producer *self, peer_send send)
{
    const uint32_t run = self->bench->work->run;
    if (run == 1)
        peer_produce_runs(self, 1, send);
    else
        peer_produce_runs(self, run, send);
}

PEER_INLINE void peer_consume_runs(peer_bench *bench, uint32_t run, peer_receive receive)
{
    const perf_timer *const timer = bench->work->timer;
    void *const queue = bench->queue;
    const uint64_t start = perf_timer_ticks(timer);
    uint32_t tries = 0;
    for (bool finished = false; !finished;) {
        if (receive(queue, run, &bench->inbox) != 0)
            continue;
        const uint64_t since = perf_timer_ticks(timer);
        /* The flags are looked at before the queue: what they end is then seen in it. */
        for (;;) {
            finished = peer_all_finished(bench);
            peer_wait(bench, &tries);
            if (receive(queue, run, &bench->inbox) != 0) {
                finished = false;
                break;
            }
            if (finished)
                break;
        }
        bench->empty_ticks += perf_timer_ticks(timer) - since;
    }
    bench->elapsed_ticks = perf_timer_ticks(timer) - start;
}

PEER_INLINE void peer_consume(peer_bench *bench, peer_receive receive)
{
    const uint32_t run = bench->work->run;
    if (run == 1)
        peer_consume_runs(bench, 1, receive);
    else
        peer_consume_runs(bench, run, receive);
}

/* A producer that empties the queue between its own messages, one at a time. */
PEER_INLINE void peer_produce_and_consume(peer_producer *self, peer_send send, peer_receive receive)
{
    peer_bench *const bench = self->bench;
    void *const queue = bench->queue;
    const uint32_t producer = self->number;
    const uint64_t first = peer_first_number(self);
    const perf_timer *const timer = bench->work->timer;
    const uint64_t start = perf_timer_ticks(timer);
    const uint64_t end = peer_end(bench, start);
    uint64_t number = first;
    while (perf_timer_ticks(timer) < end) {
        for (uint32_t i = 0; i < PEER_SENDS_A_LOOK; i++) {
            number += send(queue, producer, 1, number);
            /* Two, for the other producer's as well. */
            if (receive(queue, 1, &bench->inbox) != 0)
                receive(queue, 1, &bench->inbox);
        }
    }
    self->sent = number - first;
    peer_finish(self, start);
    for (bool finished = false; !finished;) {
        finished = peer_all_finished(bench);
        while (receive(queue, 1, &bench->inbox) != 0)
            continue;
    }
    bench->elapsed_ticks = perf_timer_ticks(timer) - start;
}

PEER_INLINE void peer_ask(peer_bench *bench, peer_send send, peer_receive receive)
{
    peer_producer *const self = &bench->producers[0];
    const perf_timer *const timer = bench->work->timer;
    const uint64_t start = perf_timer_ticks(timer);
    const uint64_t end = peer_end(bench, start);
    const uint64_t patience = perf_timer_ticks_of(timer, PEER_PATIENCE_NS);
    uint32_t tries = 0;
    for (uint64_t before = start; before < end && !self->gave_up;) {
        self->sent += peer_send_all(self, bench->queue, 0, 1, self->sent, send, &tries);
        while (receive(bench->back, 1, &bench->back_inbox) == 0 && !self->gave_up) {
            peer_wait(bench, &tries);
            self->gave_up =
                tries % PEER_TRIES_BEFORE_LOOK == 0 && perf_timer_ticks(timer) - before > patience;
        }
        const uint64_t after = perf_timer_ticks(timer);
        hl_histogram_record(bench->round_trips, after - before);
        before = after;
    }
    peer_finish(self, start);
}

PEER_INLINE void peer_answer(peer_bench *bench, peer_send send, peer_receive receive)
{
    uint32_t tries = 0;
    for (uint64_t answered = 0;;) {
        if (receive(bench->queue, 1, &bench->inbox) != 0) {
            while (send(bench->back, 0, 1, answered) == 0 && !peer_all_finished(bench))
                peer_wait(bench, &tries);
            answered++;
        } else if (peer_all_finished(bench)) {
            return; /* the asker does so when it has its last answer */
        } else {
            peer_wait(bench, &tries);
        }
    }
}

/* Defines `queue` (declared in queues.h) out of prefix_create, _destroy, _send, _receive. */
#define PEER_QUEUE(queue, prefix)                                                            \
    static void prefix##_produce(void *context)                                              \
    {                                                                                        \
        peer_produce((peer_producer *)context, prefix##_send);                               \
    }                                                                                        \
    static void prefix##_consume(void *context)                                              \
    {                                                                                        \
        peer_consume((peer_bench *)context, prefix##_receive);                               \
    }                                                                                        \
    static void prefix##_produce_and_consume(void *context)                                  \
    {                                                                                        \
        peer_produce_and_consume((peer_producer *)context, prefix##_send, prefix##_receive); \
    }                                                                                        \
    static void prefix##_ask(void *context)                                                  \
    {                                                                                        \
        peer_ask((peer_bench *)context, prefix##_send, prefix##_receive);                    \
    }                                                                                        \
    static void prefix##_answer(void *context)                                               \
    {                                                                                        \
        peer_answer((peer_bench *)context, prefix##_send, prefix##_receive);                 \
    }                                                                                        \
    const peer_queue queue = {prefix##_create,                                               \
                              prefix##_destroy,                                              \
                              prefix##_produce,                                              \
                              prefix##_consume,                                              \
                              prefix##_produce_and_consume,                                  \
                              prefix##_ask,                                                  \
                              prefix##_answer};

#endif
