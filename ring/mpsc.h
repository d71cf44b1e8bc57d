/*
 * The producers' end of a ring with any number of producer threads. See ring.h for the ring, its
 * edges (READY, RELEASED, WANTED) and its consumer; use as in spsc.h.
 *
 * Claim is lock-free (a compare-and-swap that fails only because another's succeeded), commit is
 * wait-free, and neither ever waits for another producer. The bad news: a producer that is
 * preempted between claim and commit delays what lies behind its slots for the consumer, though no
 * other producer; one that dies there stalls the ring. A claim cannot be given back: what is not
 * wanted is committed as something that the consumer steps over.
 *
 * Edges, besides those of ring.h:
 *
 *   CLAIM  ring.claimed: a producer's compare-and-swap -> the next producer's. Relaxed: it deals
 * out positions; who may write to a slot follows from RELEASED, who may read it from READY. It is
 * read after `released` (or its copy) with acquire, and a claim comes before the commit that comes
 * before the release of its slot: so what is read is never behind `released`, and the difference
 * never below zero. SEEN   ring.released_seen: the producer that re-read `released` (store release)
 * -> the others (load acquire). Passes RELEASED on: the consumer has read the slots before it. It
 * lies on the line of `claimed`, which a producer needs anyway, so that the consumer's line is left
 * alone until room runs out. An older copy may overwrite a newer one: it only makes someone re-read
 * sooner.
 */
#ifndef HL_RING_MPSC_H
#define HL_RING_MPSC_H

#include "ring/ring.h"

/* Read-only after open: any thread may use it, or copies of it, at the same time. */
typedef struct hl_mpsc_producer {
    hl_ring *ring;
    char *slots;
    uint32_t slot_size;
    uint32_t capacity;
} hl_mpsc_producer;

/* Any number of times a ring. */
void hl_mpsc_open(hl_ring *ring, hl_mpsc_producer *ret_producer);

/*
 * With no room by the shared copy: looks at the consumer's own position. False only when the ring
 * was without room for n slots at one moment of this call; then the consumer is asked to publish
 * what it has released.
 */
static inline bool hl_mpsc_find_room(const hl_mpsc_producer *producer, uint32_t n)
{
    hl_ring *const ring = producer->ring;
    /* RELEASED: acquire, so that nothing is written to a slot before the consumer has read it. */
    uint64_t released = hl_load_acquire_u64(&ring->released);
    for (;;) {
        /* CLAIM: relaxed; not behind `released`, which was read with acquire. */
        const uint64_t claimed = hl_load_relaxed_u64(&ring->claimed);
        if (claimed + n - released <= producer->capacity)
            break;
        /* RELEASED: acquire. The same before and after `claimed` was read: then it was full. If
         * not, the others have claimed and the consumer released meanwhile. */
        const uint64_t again = hl_load_acquire_u64(&ring->released);
        if (again == released) {
            hl_ring_want_room(ring, released);
            return false;
        }
        released = again;
    }
    /* SEEN: release, so that who relies on the copy also has the consumer's reads behind it. */
    hl_store_release_u64(&ring->released_seen, released);
    return true;
}

/*
 * Claims n slots, all or none; n from 1 to the capacity (more never has room). False: no room,
 * *ret_position is untouched, the consumer is asked to publish what it has released. The slots of
 * the positions *ret_position to *ret_position + n - 1 are the caller's to fill, all but the first
 * 8 bytes of each, until they are committed.
 */
static inline bool hl_mpsc_try_claim(const hl_mpsc_producer *producer, uint32_t n,
                                     uint64_t *ret_position)
{
    hl_ring *const ring = producer->ring;
    for (;;) {
        /* SEEN: acquire, so that nothing is written to a slot before the consumer has read it. */
        const uint64_t released = hl_load_acquire_u64(&ring->released_seen);
        /* CLAIM: relaxed; not behind `released`, which was read with acquire. */
        uint64_t claimed = hl_load_relaxed_u64(&ring->claimed);
        if (claimed + n - released > producer->capacity) {
            if (!hl_mpsc_find_room(producer, n))
                return false;
            continue;
        }
        /* CLAIM: relaxed. The room is still there if nobody claimed: `released` only grows. */
        if (hl_compare_exchange_relaxed_u64(&ring->claimed, &claimed, claimed + n)) {
            *ret_position = claimed;
            return true;
        }
    }
}

/* The slot of a claimed position. */
static inline void *hl_mpsc_slot(const hl_mpsc_producer *producer, uint64_t position)
{
    return hl_ring_slot_at(producer->slots, producer->slot_size, producer->capacity, position);
}

/* Hands n slots that this thread claimed, from `position` on, to the consumer. In any order. */
static inline void hl_mpsc_commit(const hl_mpsc_producer *producer, uint64_t position, uint32_t n)
{
    hl_ring_stamp(producer->slots, producer->slot_size, producer->capacity, position, n);
}

#endif
