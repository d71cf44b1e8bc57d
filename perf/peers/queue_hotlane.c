/* hotlane's own rings, through the same loops as the peers. */
#include "perf/peers/driver.h"
#include "ring/mpsc.h"
#include "ring/spsc.h"

#define SLOT_BYTES  128u
#define STAMP_BYTES 8u

typedef struct hotlane_queue {
    /* The producer's. */
    alignas(HL_LINE_PAIR) hl_spsc_producer spsc;
    alignas(HL_LINE_PAIR) hl_mpsc_producer mpsc; /* read-only: for all of them */
    /* The consumer's. */
    alignas(HL_LINE_PAIR) hl_ring_consumer consumer;
    /* The ring's memory begins behind it. */
} hotlane_queue;

static void *create(hl_ring_kind kind)
{
    const size_t bytes = hl_ring_size_bytes(SLOT_BYTES, PEER_SLOTS);
    const size_t header = hl_round_up(sizeof(hotlane_queue));
    hotlane_queue *const queue = hl_allocate(1, header + bytes);
    if (queue == NULL)
        return NULL;
    hl_ring *const ring =
        hl_ring_init((char *)queue + header, bytes, SLOT_BYTES, PEER_SLOTS, kind, 0, NULL);
    if (kind == HL_RING_SPSC)
        hl_spsc_open(ring, &queue->spsc);
    else
        hl_mpsc_open(ring, &queue->mpsc);
    hl_ring_consumer_open(ring, &queue->consumer);
    return queue;
}

PEER_INLINE uint32_t receive(void *memory, uint32_t n, peer_inbox *inbox)
{
    hotlane_queue *const queue = memory;
    void *first;
    const uint32_t found = hl_ring_peek(&queue->consumer, n, &first);
    if (found == 0)
        return 0;
    for (uint32_t i = 0; i < found; i++)
        peer_take(inbox, (const char *)first + (size_t)i * SLOT_BYTES + STAMP_BYTES);
    hl_ring_release(&queue->consumer, found);
    return found;
}

static void *spsc_create(void)
{
    return create(HL_RING_SPSC);
}

#define spsc_destroy free
#define spsc_receive receive

PEER_INLINE uint32_t spsc_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    hotlane_queue *const queue = memory;
    uint64_t position;
    if (!hl_spsc_try_claim(&queue->spsc, n, &position))
        return 0;
    if (n == 1) {
        char *const slot = hl_spsc_slot(&queue->spsc, position);
        peer_fill(slot + STAMP_BYTES, number);
        hl_spsc_commit_slot(&queue->spsc, slot, position);
        return 1;
    }
    for (uint32_t i = 0; i < n; i++)
        peer_fill((char *)hl_spsc_slot(&queue->spsc, position + i) + STAMP_BYTES, number + i);
    hl_spsc_commit(&queue->spsc, position, n);
    return n;
}

static void *mpsc_create(void)
{
    return create(HL_RING_MPSC);
}

#define mpsc_destroy free
#define mpsc_receive receive

PEER_INLINE uint32_t mpsc_send(void *memory, uint32_t producer, uint32_t n, uint64_t number)
{
    (void)producer;
    hotlane_queue *const queue = memory;
    uint64_t position;
    if (!hl_mpsc_try_claim(&queue->mpsc, n, &position))
        return 0;
    for (uint32_t i = 0; i < n; i++)
        peer_fill((char *)hl_mpsc_slot(&queue->mpsc, position + i) + STAMP_BYTES, number + i);
    hl_mpsc_commit(&queue->mpsc, position, n);
    return n;
}

PEER_QUEUE(peer_hotlane_spsc, spsc)
PEER_QUEUE(peer_hotlane_mpsc, mpsc)
