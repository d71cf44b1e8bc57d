/*
 * moodycamel's ConcurrentQueue: producers with tokens, in bulk where there is more than one
 * message; the consumer with a token, or, of one producer, right from that one's part, as its
 * authors advise. It has no bound of its own (and its calls that do not allocate let one producer
 * keep all the room for ever), so that producers look at its size; it allocates while it grows to
 * that, and no more.
 */
#include <new>

#include <concurrentqueue/concurrentqueue.h>

#include "perf/peers/driver.h"

namespace
{

using concurrent = moodycamel::ConcurrentQueue<peer_message>;

/* Of the room that a producer saw it may take its share before it looks again: a look at the
 * queue's size goes over all producers. */
struct token_producer {
    explicit token_producer(concurrent &queue) : token(queue)
    {
    }
    alignas(HL_LINE_PAIR) moodycamel::ProducerToken token;
    size_t may_send = 0;
};

/* For one producer, or for PEER_PRODUCERS_MAX. */
template <bool one_producer> struct token_queue;

template <> struct token_queue<true> {
    concurrent queue{PEER_SLOTS};
    token_producer producers[1] = {token_producer(queue)};

    __attribute__((always_inline)) inline uint32_t take(peer_message *messages, uint32_t n)
    {
        if (n == 1)
            return queue.try_dequeue_from_producer(producers[0].token, messages[0]) ? 1 : 0;
        return static_cast<uint32_t>(
            queue.try_dequeue_bulk_from_producer(producers[0].token, messages, n));
    }
};

template <> struct token_queue<false> {
    concurrent queue{PEER_SLOTS};
    token_producer producers[PEER_PRODUCERS_MAX] = {token_producer(queue), token_producer(queue)};
    alignas(HL_LINE_PAIR) moodycamel::ConsumerToken consumer{queue};

    __attribute__((always_inline)) inline uint32_t take(peer_message *messages, uint32_t n)
    {
        if (n == 1)
            return queue.try_dequeue(consumer, messages[0]) ? 1 : 0;
        return static_cast<uint32_t>(queue.try_dequeue_bulk(consumer, messages, n));
    }
};

template <bool one_producer> void *create()
{
    return new (std::nothrow) token_queue<one_producer>;
}

template <bool one_producer> void destroy(void *queue)
{
    delete static_cast<token_queue<one_producer> *>(queue);
}

template <bool one_producer>
PEER_INLINE uint32_t send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    auto *const self = static_cast<token_queue<one_producer> *>(memory);
    token_producer &me = self->producers[one_producer ? 0 : producer];
    if (me.may_send < n) {
        const size_t size = self->queue.size_approx();
        me.may_send =
            size < PEER_SLOTS ? (PEER_SLOTS - size) / (one_producer ? 1 : PEER_PRODUCERS_MAX) : 0;
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

template <bool one_producer>
PEER_INLINE uint32_t receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    peer_message messages[PEER_RUN_MAX];
    const uint32_t found = static_cast<token_queue<one_producer> *>(memory)->take(messages, n);
    for (uint32_t i = 0; i < found; i++)
        peer_take(inbox, messages[i].payload);
    return found;
}

#define spsc_create  create<true>
#define spsc_destroy destroy<true>
#define spsc_send    send<true>
#define spsc_receive receive<true>
#define mpsc_create  create<false>
#define mpsc_destroy destroy<false>
#define mpsc_send    send<false>
#define mpsc_receive receive<false>

} // namespace

PEER_QUEUE(peer_concurrentqueue_spsc, spsc)
PEER_QUEUE(peer_concurrentqueue_mpsc, mpsc)
