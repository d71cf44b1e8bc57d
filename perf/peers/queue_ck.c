/*
 * ck_ring, in its two ways. By value: the producer fills the ring's buffer in place (reserve,
 * commit), the consumer copies out, for ck_ring has no reading in place. Of pointers: to messages
 * in a pool that the producer goes round in; a little larger than the ring, so that one that is
 * still being read is not filled anew. There is no batch interface.
 */
#include <ck_ring.h>

#include "perf/peers/driver.h"

CK_RING_PROTOTYPE(message, peer_message)

#define POOL_SPARE    64u /* more than what a producer fills and the consumer reads at a time */
#define POOL_MESSAGES (PEER_SLOTS + POOL_SPARE)

typedef struct ck_queue {
    alignas(HL_LINE_PAIR) ck_ring_t ring;
    alignas(HL_LINE_PAIR) struct peer_message slots[PEER_SLOTS];
} ck_queue;

static void *value_create(void)
{
    ck_queue *const queue = hl_allocate(1, sizeof *queue);
    if (queue != NULL)
        ck_ring_init(&queue->ring, PEER_SLOTS);
    return queue;
}

/* ---- by value, one producer ---- */

#define spsc_create  value_create
#define spsc_destroy free

PEER_INLINE uint32_t spsc_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    ck_queue *const queue = memory;
    for (uint32_t i = 0; i < n; i++) {
        struct peer_message *const slot =
            ck_ring_enqueue_reserve_spsc_message(&queue->ring, queue->slots);
        if (slot == NULL)
            return i;
        peer_fill(slot->payload, number + i);
        ck_ring_enqueue_commit_spsc(&queue->ring);
    }
    return n;
}

PEER_INLINE uint32_t spsc_receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    ck_queue *const queue = memory;
    struct peer_message message;
    for (uint32_t i = 0; i < n; i++) {
        if (!ck_ring_dequeue_spsc_message(&queue->ring, queue->slots, &message))
            return i;
        peer_take(inbox, message.payload);
    }
    return n;
}

/* ---- by value, many producers ---- */

#define mpsc_create  value_create
#define mpsc_destroy free

PEER_INLINE uint32_t mpsc_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    ck_queue *const queue = memory;
    for (uint32_t i = 0; i < n; i++) {
        unsigned int ticket;
        struct peer_message *const slot =
            ck_ring_enqueue_reserve_mpsc_message(&queue->ring, queue->slots, &ticket);
        if (slot == NULL)
            return i;
        peer_fill(slot->payload, number + i);
        ck_ring_enqueue_commit_mpsc(&queue->ring, ticket);
    }
    return n;
}

PEER_INLINE uint32_t mpsc_receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    ck_queue *const queue = memory;
    struct peer_message message;
    for (uint32_t i = 0; i < n; i++) {
        if (!ck_ring_dequeue_mpsc_message(&queue->ring, queue->slots, &message))
            return i;
        peer_take(inbox, message.payload);
    }
    return n;
}

/* ---- of pointers ---- */

typedef struct ck_pool {
    alignas(HL_LINE_PAIR) uint32_t next; /* the producer's */
    alignas(HL_LINE_PAIR) struct peer_message messages[POOL_MESSAGES];
} ck_pool;

typedef struct ck_pointer_queue {
    alignas(HL_LINE_PAIR) ck_ring_t ring;
    alignas(HL_LINE_PAIR) ck_ring_buffer_t buffer[PEER_SLOTS];
    ck_pool pools[PEER_PRODUCERS_MAX]; /* by producer */
} ck_pointer_queue;

static void *pointers_create(void)
{
    ck_pointer_queue *const queue = hl_allocate(1, sizeof *queue);
    if (queue != NULL)
        ck_ring_init(&queue->ring, PEER_SLOTS);
    return queue;
}

typedef bool (*enqueue_pointer)(ck_ring_t *ring, ck_ring_buffer_t *buffer, const void *entry);

PEER_INLINE uint32_t send_pointers(ck_pointer_queue *queue, uint32_t producer, uint32_t n,
                                   uint64_t number, enqueue_pointer enqueue)
{
    ck_pool *const pool = &queue->pools[producer];
    for (uint32_t i = 0; i < n; i++) {
        struct peer_message *const message = &pool->messages[pool->next];
        peer_fill(message->payload, number + i);
        if (!enqueue(&queue->ring, queue->buffer, message))
            return i;
        pool->next = pool->next + 1 == POOL_MESSAGES ? 0 : pool->next + 1;
    }
    return n;
}

#define pointers_spsc_create  pointers_create
#define pointers_spsc_destroy free

PEER_INLINE uint32_t pointers_spsc_send(void *memory, uint32_t producer, uint32_t n,
                                        uint64_t number)
{
    return send_pointers(memory, producer, n, number, ck_ring_enqueue_spsc);
}

PEER_INLINE uint32_t pointers_spsc_receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    ck_pointer_queue *const queue = memory;
    struct peer_message *message;
    for (uint32_t i = 0; i < n; i++) {
        if (!ck_ring_dequeue_spsc(&queue->ring, queue->buffer, &message))
            return i;
        peer_take(inbox, message->payload);
    }
    return n;
}

#define pointers_mpsc_create  pointers_create
#define pointers_mpsc_destroy free

PEER_INLINE uint32_t pointers_mpsc_send(void *memory, uint32_t producer, uint32_t n,
                                        uint64_t number)
{
    return send_pointers(memory, producer, n, number, ck_ring_enqueue_mpsc);
}

PEER_INLINE uint32_t pointers_mpsc_receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    ck_pointer_queue *const queue = memory;
    struct peer_message *message;
    for (uint32_t i = 0; i < n; i++) {
        if (!ck_ring_dequeue_mpsc(&queue->ring, queue->buffer, &message))
            return i;
        peer_take(inbox, message->payload);
    }
    return n;
}

PEER_QUEUE(peer_ck_spsc, spsc)
PEER_QUEUE(peer_ck_mpsc, mpsc)
PEER_QUEUE(peer_ck_pointers_spsc, pointers_spsc)
PEER_QUEUE(peer_ck_pointers_mpsc, pointers_mpsc)
