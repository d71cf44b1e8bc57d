/*
 * atomic_queue, the kind for elements that are no atomics (AtomicQueue2), for one producer and for
 * many. By value, one at a time: it has no more.
 */
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
