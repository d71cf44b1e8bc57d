/*
 * moodycamel's queues. ReaderWriterQueue: one producer, in place at the reading end (peek, pop).
 * ConcurrentQueue: producers and consumer with tokens, in bulk where there is more than one
 * message; the calls that never allocate.
 */
#include <new>

#include <concurrentqueue/concurrentqueue.h>
#include <readerwriterqueue/readerwriterqueue.h>

#include "perf/peers/driver.h"

namespace
{

/* ---- ReaderWriterQueue ---- */

/* One block of all messages: the queue then never allocates. */
using reader_writer = moodycamel::ReaderWriterQueue<peer_message, PEER_SLOTS>;

void *rw_create()
{
    return new (std::nothrow) reader_writer(PEER_SLOTS - 1);
}

void rw_destroy(void *queue)
{
    delete static_cast<reader_writer *>(queue);
}

uint32_t rw_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    auto *const queue = static_cast<reader_writer *>(memory);
    for (uint32_t i = 0; i < n; i++) {
        peer_message message;
        message.unused = 0;
        peer_fill(message.payload, number + i);
        if (!queue->try_enqueue(message))
            return i;
    }
    return n;
}

uint32_t rw_receive(void *memory, uint32_t n, peer_inbox *inbox)
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

struct cq_queue {
    /* As its documentation says for a fixed size: blocks for each producer, and one to spare. */
    concurrent queue{PEER_SLOTS, PEER_PRODUCERS_MAX, 0};
    alignas(HL_LINE_PAIR) moodycamel::ProducerToken first{queue};
    alignas(HL_LINE_PAIR) moodycamel::ProducerToken second{queue};
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

uint32_t cq_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    auto *const self = static_cast<cq_queue *>(memory);
    const moodycamel::ProducerToken &token = producer == 0 ? self->first : self->second;
    peer_message messages[PEER_RUN_MAX];
    for (uint32_t i = 0; i < n; i++) {
        messages[i].unused = 0;
        peer_fill(messages[i].payload, number + i);
    }
    if (n == 1)
        return self->queue.try_enqueue(token, messages[0]) ? 1 : 0;
    return self->queue.try_enqueue_bulk(token, messages, n) ? n : 0;
}

uint32_t cq_receive(void *memory, uint32_t n, peer_inbox *inbox)
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
