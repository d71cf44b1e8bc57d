/*
 * boost::lockfree. spsc_queue: an array of messages at once pushed by value, read in place
 * (consume_one, consume_all: all that is there, given back at once). queue: by value, one at a time
 * (it has no more), of a fixed number of nodes.
 */
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <new>

#include "perf/peers/driver.h"

namespace
{

/* ---- spsc_queue ---- */

using spsc_ring = boost::lockfree::spsc_queue<peer_message, boost::lockfree::capacity<PEER_SLOTS>>;

void *spsc_create()
{
    return new (std::nothrow) spsc_ring;
}

void spsc_destroy(void *queue)
{
    delete static_cast<spsc_ring *>(queue);
}

PEER_INLINE uint32_t spsc_send(void *queue, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    auto *const ring = static_cast<spsc_ring *>(queue);
    peer_message messages[PEER_RUN_MAX];
    for (uint32_t i = 0; i < n; i++) {
        messages[i].unused = 0;
        peer_fill(messages[i].payload, number + i);
    }
    if (n == 1)
        return ring->push(messages[0]) ? 1 : 0;
    return static_cast<uint32_t>(ring->push(messages, n));
}

PEER_INLINE uint32_t spsc_receive(void *queue, uint32_t n, peer_inbox *inbox)
{
    auto *const ring = static_cast<spsc_ring *>(queue);
    const auto take = [inbox](const peer_message &message) { peer_take(inbox, message.payload); };
    if (n == 1)
        return ring->consume_one(take) ? 1 : 0;
    return static_cast<uint32_t>(ring->consume_all(take));
}

/* ---- queue ---- */

using mpmc_queue = boost::lockfree::queue<peer_message, boost::lockfree::capacity<PEER_SLOTS>>;

void *mpmc_create()
{
    return new (std::nothrow) mpmc_queue;
}

void mpmc_destroy(void *queue)
{
    delete static_cast<mpmc_queue *>(queue);
}

PEER_INLINE uint32_t mpmc_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    auto *const queue = static_cast<mpmc_queue *>(memory);
    for (uint32_t i = 0; i < n; i++) {
        peer_message message;
        message.unused = 0;
        peer_fill(message.payload, number + i);
        if (!queue->bounded_push(message))
            return i;
    }
    return n;
}

PEER_INLINE uint32_t mpmc_receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    auto *const queue = static_cast<mpmc_queue *>(memory);
    peer_message message;
    for (uint32_t i = 0; i < n; i++) {
        if (!queue->pop(message))
            return i;
        peer_take(inbox, message.payload);
    }
    return n;
}

} // namespace

PEER_QUEUE(peer_boost_spsc, spsc)
PEER_QUEUE(peer_boost_mpmc, mpmc)
