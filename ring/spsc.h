/*
 * The producer's end of a ring with one producer thread. See ring.h for the ring, its edges (READY,
 * RELEASED, WANTED) and its consumer.
 *
 *     hl_spsc_producer producer;
 *     hl_spsc_open(ring, &producer);
 *     uint64_t position;
 *     if (hl_spsc_try_claim(&producer, 1, &position)) {
 *         struct trade *slot = hl_spsc_slot(&producer, position);
 *         slot->price = price; // anything but its first 8 bytes, which are the ring's
 *         hl_spsc_commit(&producer, position, 1);
 *     }
 *
 * All calls are wait-free, and all are the producer's thread's. Several claims may be open at once
 * and be committed in any order; the consumer sees them in the order of their positions. A build
 * with -DHL_DEBUG_OWNER aborts with a sentence when a second thread uses the handle.
 */
#ifndef HL_RING_SPSC_H
#define HL_RING_SPSC_H

#include "ring/ring.h"

/* A value that the producer's thread owns and alone writes; others may read it for statistics
 * through hl_spsc_claimed. */
typedef struct hl_spsc_producer {
    hl_ring *ring;
    char *slots;
    uint64_t position; /* the next to claim */
    uint64_t released; /* a copy of the ring's `released`, re-read only when room runs out */
    uint32_t slot_size;
    uint32_t capacity;
#if defined(HL_DEBUG_OWNER)
    int owner; /* thread id of the first to claim; 0: nobody yet */
#endif
} hl_spsc_producer;

#if defined(HL_DEBUG_OWNER)
/* Aborts, naming both threads, when the caller is not the thread that first used the handle. */
void hl_spsc_check_owner(hl_spsc_producer *producer);
#else
static inline void hl_spsc_check_owner(hl_spsc_producer *producer)
{
    (void)producer;
}
#endif

/*
 * Begins to claim behind the last committed slot. One producer a ring at a time; the thread that
 * opens need not be the one that then uses it.
 */
void hl_spsc_open(hl_ring *ring, hl_spsc_producer *ret_producer);

/* The next position to be claimed. The producer's thread; others for statistics. */
static inline uint64_t hl_spsc_claimed(const hl_spsc_producer *producer)
{
    /* Relaxed: one writer; others read a number for statistics. */
    return hl_load_relaxed_u64(&producer->position);
}

static inline void hl_spsc_move_to(hl_spsc_producer *producer, uint64_t position)
{
    /* Relaxed, as in hl_spsc_claimed. */
    hl_store_relaxed_u64(&producer->position, position);
}

/*
 * Whether n slots can be claimed now. If not, the consumer is asked to publish what it has
 * released: try again.
 */
static inline bool hl_spsc_has_room(hl_spsc_producer *producer, uint32_t n)
{
    hl_spsc_check_owner(producer);
    if (producer->position + n - producer->released <= producer->capacity)
        return true;
    /* RELEASED: acquire, so that nothing is written to a slot before the consumer has read it. */
    producer->released = hl_load_acquire_u64(&producer->ring->released);
    if (producer->position + n - producer->released <= producer->capacity)
        return true;
    hl_ring_want_room(producer->ring, producer->released);
    return false;
}

/* Slots that can be claimed now, as far as the consumer has published. */
static inline uint32_t hl_spsc_room(hl_spsc_producer *producer)
{
    hl_spsc_check_owner(producer);
    /* RELEASED: acquire, as in hl_spsc_has_room: the copy is what later claims rely on. */
    producer->released = hl_load_acquire_u64(&producer->ring->released);
    return producer->capacity - (uint32_t)(producer->position - producer->released);
}

/*
 * Claims n slots, all or none; n from 1 to the capacity (more never has room). False: no room,
 * *ret_position is untouched, the consumer is asked to publish what it has released. The slots of
 * the positions *ret_position to *ret_position + n - 1 are the caller's to fill, all but the first
 * 8 bytes of each, until they are committed or rolled back.
 */
static inline bool hl_spsc_try_claim(hl_spsc_producer *producer, uint32_t n, uint64_t *ret_position)
{
    if (!hl_spsc_has_room(producer, n))
        return false;
    *ret_position = producer->position;
    hl_spsc_move_to(producer, producer->position + n);
    return true;
}

/* The slot of a claimed position. */
static inline void *hl_spsc_slot(const hl_spsc_producer *producer, uint64_t position)
{
    return hl_ring_slot_at(producer->slots, producer->slot_size, producer->capacity, position);
}

/*
 * Hands n claimed slots from `position` on to the consumer; they may be part of a claim or several
 * claims. Claims may be committed in any order.
 */
static inline void hl_spsc_commit(hl_spsc_producer *producer, uint64_t position, uint32_t n)
{
    hl_spsc_check_owner(producer);
    hl_ring_stamp(producer->slots, producer->slot_size, producer->capacity, position, n);
}

/* The same of one claimed slot, for who still has its address: it need not be found again. */
static inline void hl_spsc_commit_slot(hl_spsc_producer *producer, void *slot, uint64_t position)
{
    hl_spsc_check_owner(producer);
    hl_ring_stamp_slot(slot, position);
}

/* Gives back all that was claimed from `position` on, none of it committed. */
static inline void hl_spsc_rollback(hl_spsc_producer *producer, uint64_t position)
{
    hl_spsc_check_owner(producer);
    hl_spsc_move_to(producer, position);
}

#endif
