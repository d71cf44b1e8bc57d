/*
 * atomic_queue, the kind for elements that are no atomics (AtomicQueue2), for one producer and for
 * many. By value, one at a time: it has no more. In its two ways: with calls that answer at a full
 * and an empty queue (try_push, try_pop), and with those that claim a place and wait for it (push,
 * pop), which its authors call optimist and say are the fastest; whoever uses them here first looks
 * how many places or messages there are, and then again when he has used those, so that nobody
 * waits for ever.
 */
#include <algorithm>
#include <new>

#include <atomic_queue/atomic_queue.h>

#include "perf/peers/driver.h"

namespace
{

template <bool one_producer>
using ring = atomic_queue::AtomicQueue2<peer_message, PEER_SLOTS, true, true, false, one_producer>;

template <bool one_producer> void *create()
{
    return new (std::nothrow) ring<one_producer>;
}

template <bool one_producer> void destroy(void *queue)
{
    delete static_cast<ring<one_producer> *>(queue);
}

template <bool one_producer>
PEER_INLINE uint32_t send(void *memory, uint32_t, uint32_t n, uint64_t number)
{
    auto *const queue = static_cast<ring<one_producer> *>(memory);
    for (uint32_t i = 0; i < n; i++) {
        peer_message message;
        message.unused = 0;
        peer_fill(message.payload, number + i);
        if (!queue->try_push(message))
            return i;
    }
    return n;
}

template <bool one_producer>
PEER_INLINE uint32_t receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    auto *const queue = static_cast<ring<one_producer> *>(memory);
    peer_message message;
    for (uint32_t i = 0; i < n; i++) {
        if (!queue->try_pop(message))
            return i;
        peer_take(inbox, message.payload);
    }
    return n;
}

/* ---- optimist ---- */

/* What its side has seen of the queue and not used yet. */
struct seen_side {
    alignas(HL_LINE_PAIR) uint32_t left = 0;
};

template <bool one_producer> struct optimist {
    ring<one_producer> queue;
    seen_side producers[one_producer ? 1 : PEER_PRODUCERS_MAX]; /* places, each his share */
    seen_side consumer;                                         /* messages */
};

template <bool one_producer> void *create_optimist()
{
    return new (std::nothrow) optimist<one_producer>;
}

template <bool one_producer> void destroy_optimist(void *queue)
{
    delete static_cast<optimist<one_producer> *>(queue);
}

template <bool one_producer>
PEER_INLINE uint32_t push(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    auto *const self = static_cast<optimist<one_producer> *>(memory);
    uint32_t &left = self->producers[one_producer ? 0 : producer].left;
    if (left == 0) {
        const uint32_t size = std::min(self->queue.was_size(), PEER_SLOTS);
        left = (PEER_SLOTS - size) / (one_producer ? 1 : PEER_PRODUCERS_MAX);
    }
    const uint32_t sent = std::min(n, left);
    for (uint32_t i = 0; i < sent; i++) {
        peer_message message;
        message.unused = 0;
        peer_fill(message.payload, number + i);
        self->queue.push(message);
    }
    left -= sent;
    return sent;
}

template <bool one_producer> PEER_INLINE uint32_t pop(void *memory, uint32_t n, peer_inbox *inbox)
{
    auto *const self = static_cast<optimist<one_producer> *>(memory);
    uint32_t &left = self->consumer.left;
    if (left == 0)
        left = self->queue.was_size();
    const uint32_t found = std::min(n, left);
    for (uint32_t i = 0; i < found; i++) {
        const peer_message message = self->queue.pop();
        peer_take(inbox, message.payload);
    }
    left -= found;
    return found;
}

#define optimist_spsc_create  create_optimist<true>
#define optimist_spsc_destroy destroy_optimist<true>
#define optimist_spsc_send    push<true>
#define optimist_spsc_receive pop<true>
#define optimist_mpsc_create  create_optimist<false>
#define optimist_mpsc_destroy destroy_optimist<false>
#define optimist_mpsc_send    push<false>
#define optimist_mpsc_receive pop<false>

#define spsc_create  create<true>
#define spsc_destroy destroy<true>
#define spsc_send    send<true>
#define spsc_receive receive<true>
#define mpmc_create  create<false>
#define mpmc_destroy destroy<false>
#define mpmc_send    send<false>
#define mpmc_receive receive<false>

} // namespace

PEER_QUEUE(peer_atomic_queue_spsc, spsc)
PEER_QUEUE(peer_atomic_queue_mpmc, mpmc)
PEER_QUEUE(peer_optimist_queue_spsc, optimist_spsc)
PEER_QUEUE(peer_optimist_queue_mpsc, optimist_mpsc)
