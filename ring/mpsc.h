/*
 * The producers' end of a ring with any number of producer threads. See ring.h for the ring, its
 * edges (READY, RELEASED, WANTED) and its consumer; use as in spsc.h.
 *
 * Claim is lock-free (a compare-and-swap that fails only because another's succeeded), commit is
 * wait-free, and neither depends on what another producer does next (under a stream of others'
 * claims a claim makes way for a moment, HL_MPSC_PAUSES). The bad news: a producer that is
 * preempted between claim and commit delays what lies behind its slots for the consumer, though no
 * other producer; one that dies there stalls the ring. A claim cannot be given back: what is not
 * wanted is committed as something that the consumer steps over.
 *
 * Edges, besides those of ring.h:
 *
 * - CLAIM: ring.claimed: a producer's compare-and-swap -> the next producer's. Relaxed: it deals
 *   out positions; who may write to a slot follows from RELEASED, who may read it from READY. It is
 *   read after `released` (or its copy) with acquire, and a claim comes before the commit, that
 *   before the release of its slot: so what is read is never behind `released`, and the difference
 *   never below zero.
 * - SEEN: ring.released_seen: the producer that re-read `released` (store release) -> the others
 *   (load acquire). Passes RELEASED on: the consumer has read the slots before it. It lies on the
 *   line of `claimed`, which a producer needs anyway, so that the consumer's line is left alone
 *   until room runs out. An older copy may overwrite a newer one: someone re-reads sooner, that is
 *   all.
 */
#ifndef HL_RING_MPSC_H
#define HL_RING_MPSC_H

#include "ring/ring.h"

/*
 * Producers that claim without a pause take the line of `claimed` from each other with every claim,
 * and the slots' lines with it. Who loses a claim for the HL_MPSC_STREAM-th time, each within
 * HL_MPSC_CLOSE positions of the one before, makes way for HL_MPSC_PAUSES pauses (some 2 us), in
 * which the other's claims stay in its own cache. Two producers, of which one consumes: 2 times as
 * many messages as without. A claim that meets another now and then tries again at once.
 */
#define HL_MPSC_CLOSE  256u
#define HL_MPSC_STREAM 4u
#define HL_MPSC_PAUSES 128u

/* Read-only after open: any thread may use it, or copies of it, at the same time. */
typedef struct hl_mpsc_producer {
    hl_ring *ring;
    char *slots;
    uint32_t slot_size;
    uint32_t capacity;
} hl_mpsc_producer;

/* Any number of times a ring. */
void hl_mpsc_open(hl_ring *ring, hl_mpsc_producer *ret_producer);

/* What a thread remembers of the claims that it lost, in whatever ring: where the last was, and how
 * many were close one behind the other. A guess at what will pay. */
typedef struct hl_mpsc_losses {
    uint64_t last_at;
    uint32_t close;
} hl_mpsc_losses;

static _Thread_local hl_mpsc_losses hl_mpsc_own_losses;

/* Another's claim came first; it ended at `claimed`. */
static inline void hl_mpsc_make_way(uint64_t claimed)
{
    hl_mpsc_losses *const losses = &hl_mpsc_own_losses;
    losses->close = claimed - losses->last_at < HL_MPSC_CLOSE ? losses->close + 1 : 1;
    losses->last_at = claimed;
    if (losses->close < HL_MPSC_STREAM)
        return;
    for (uint32_t i = 0; i < HL_MPSC_PAUSES; i++)
        hl_pause();
}

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
        hl_mpsc_make_way(claimed);
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
