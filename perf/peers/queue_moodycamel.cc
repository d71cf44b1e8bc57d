/*
 * moodycamel's queues. ReaderWriterQueue: one producer, in place at both ends (emplace; peek, pop).
 * ConcurrentQueue: producers and consumer with tokens, in bulk where there is more than one
 * message. It has no bound of its own (and its calls that do not allocate let one
 * producer keep all the room for ever), so that producers look at its size; it allocates while it
 * grows to that, and no more.
 */
#include <new>

#include <concurrentqueue/concurrentqueue.h>
#include <readerwriterqueue/readerwriterqueue.h>

#include "perf/peers/driver.h"

namespace
{

/* ---- ReaderWriterQueue ---- */

/* Filled where it comes to lie. */
struct filled_message : peer_message {
    explicit filled_message(uint64_t number)
    {
        peer_fill(payload, number);
    }
};

/* One block of all messages: the queue then never allocates. */
using reader_writer = moodycamel::ReaderWriterQueue<filled_message, PEER_SLOTS>;

void *rw_create()
{
    return new (std::nothrow) reader_writer(PEER_SLOTS - 1);
}

void rw_destroy(void *queue)
{
    delete static_cast<reader_writer *>(queue);
}

PEER_INLINE uint32_t rw_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    auto *const queue = static_cast<reader_writer *>(memory);
    for (uint32_t i = 0; i < n; i++)
        if (!queue->try_emplace(number + i))
            return i;
    return n;
}

PEER_INLINE uint32_t rw_receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    auto *const queue = static_cast<reader_writer *>(memory);
    for (uint32_t i = 0; i < n; i++) {
        const peer_message *const message = queue->peek();
        if (message == nullptr)
            return i;
        peer_take(inbox, message->payload);
        queue->pop();
    }
    return n;
}

/* ---- ConcurrentQueue ---- */

using concurrent = moodycamel::ConcurrentQueue<peer_message>;

/* Of the room that a producer saw it may take its share before it looks again: a look at the
 * queue's size goes over all producers. */
struct cq_producer {
    explicit cq_producer(concurrent &queue) : token(queue)
    {
    }
    alignas(HL_LINE_PAIR) moodycamel::ProducerToken token;
    size_t may_send = 0;
};

struct cq_queue {
    concurrent queue{PEER_SLOTS};
    cq_producer producers[PEER_PRODUCERS_MAX] = {cq_producer(queue), cq_producer(queue)};
    alignas(HL_LINE_PAIR) moodycamel::ConsumerToken consumer{queue};
};

void *cq_create()
{
    return new (std::nothrow) cq_queue;
}

void cq_destroy(void *queue)
{
    delete static_cast<cq_queue *>(queue);
}

PEER_INLINE uint32_t cq_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    auto *const self = static_cast<cq_queue *>(memory);
    cq_producer &me = self->producers[producer];
    if (me.may_send < n) {
        const size_t size = self->queue.size_approx();
        me.may_send = size < PEER_SLOTS ? (PEER_SLOTS - size) / PEER_PRODUCERS_MAX : 0;
        if (me.may_send < n)
            return 0;
    }
    me.may_send -= n;
    peer_message messages[PEER_RUN_MAX];
    for (uint32_t i = 0; i < n; i++) {
        messages[i].unused = 0;
        peer_fill(messages[i].payload, number + i);
    }
    if (n == 1)
        return self->queue.enqueue(me.token, messages[0]) ? 1 : 0;
    return self->queue.enqueue_bulk(me.token, messages, n) ? n : 0;
}

PEER_INLINE uint32_t cq_receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    auto *const self = static_cast<cq_queue *>(memory);
    peer_message messages[PEER_RUN_MAX];
    uint32_t found;
    if (n == 1)
        found = self->queue.try_dequeue(self->consumer, messages[0]) ? 1 : 0;
    else
        found = static_cast<uint32_t>(self->queue.try_dequeue_bulk(self->consumer, messages, n));
    for (uint32_t i = 0; i < found; i++)
        peer_take(inbox, messages[i].payload);
    return found;
}

} // namespace

PEER_QUEUE(peer_readerwriterqueue, rw)
PEER_QUEUE(peer_concurrentqueue, cq)
