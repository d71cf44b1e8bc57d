/*
 * moodycamel's ReaderWriterQueue: one producer, in place at both ends (emplace; peek, pop). It has
 * no more than one at a time.
 */
#include <new>

#include <readerwriterqueue/readerwriterqueue.h>

#include "perf/peers/driver.h"

namespace
{

/* Filled where it comes to lie. */
struct filled_message : peer_message {
    explicit filled_message(uint64_t number)
    {
        peer_fill(payload, number);
    }
};

/* One block of all messages: the queue then never allocates. */
using reader_writer = moodycamel::ReaderWriterQueue<filled_message, PEER_SLOTS>;

void *create()
{
    return new (std::nothrow) reader_writer(PEER_SLOTS - 1);
}

void destroy(void *queue)
{
    delete static_cast<reader_writer *>(queue);
}

PEER_INLINE uint32_t send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    auto *const queue = static_cast<reader_writer *>(memory);
    for (uint32_t i = 0; i < n; i++)
        if (!queue->try_emplace(number + i))
            return i;
    return n;
}

PEER_INLINE uint32_t receive(void *memory, uint32_t n, peer_inbox *inbox)
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

#define spsc_create  create
#define spsc_destroy destroy
#define spsc_send    send
#define spsc_receive receive

} // namespace

PEER_QUEUE(peer_readerwriterqueue, spsc)
