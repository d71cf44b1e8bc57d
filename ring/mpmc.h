/*
 * A ring with any number of producer and any number of consumer threads: what a pool of workers
 * takes its work from. D. Vyukov's bounded MPMC queue (1024cores.net, 2010), with slots of any size
 * that are filled and read in place, runs, and stamps that allow a capacity of 1.
 *
 * The memory is that of ring.h, of kind HL_RING_MPMC; of ring.h's own calls only hl_ring_claimed
 * is for this kind. The first 8 bytes of a slot are its stamp, which says for which position it is
 * free or filled: 2 * position while it is free for it or being filled, 2 * position + 1 once it is
 * filled; the release makes it 2 * (position + capacity), free for the next lap. (All modulo 2^64:
 * the stamp tells positions apart that are less than 2^62 apart.)
 *
 *     hl_ring *memory = hl_ring_init(..., 128, 4096, HL_RING_MPMC, 0, &reason);
 *     hl_mpmc ring;
 *     hl_mpmc_open(memory, &ring);
 *     uint64_t position;
 *     if (hl_mpmc_try_claim(&ring, 1, &position)) {
 *         fill(hl_mpmc_slot(&ring, position));
 *         hl_mpmc_commit(&ring, position, 1);
 *     }
 *     for (uint32_t n; (n = hl_mpmc_try_take(&ring, 8, &position)) != 0;) {
 *         for (uint32_t i = 0; i < n; i++)
 *             handle(hl_mpmc_slot(&ring, position + i));
 *         hl_mpmc_release(&ring, position, n);
 *     }
 *
 * Edges (order.h explains the words):
 *
 *   FILLED  slot.stamp: a producer's commit (store release) -> a consumer's take (load acquire).
 *           The consumer sees the slot filled.
 *   FREED   slot.stamp: a consumer's release (store release) -> a producer's claim (load acquire).
 *           The producer's licence to overwrite: the consumer has read the slot.
 *
 * ring.claimed and ring.taken only deal out positions, relaxed: a compare-and-swap from p succeeds
 * once, and so each position has one producer and one consumer; that it was theirs to have they
 * know from the stamps. A stamp that says "free for p" stays so until p is claimed, and one that
 * says "filled for p" until p is taken, so that what was seen of the stamps before the
 * compare-and-swap still holds when it succeeds. A position that was read too early shows as a
 * stamp that is ahead of it, and is read again.
 *
 * Who may call what at once (X: the caller must exclude it):
 *
 *                      init/attach  claim  commit  take  release
 *   init/attach             X         X      X      X       X
 *   all others              X         -      -      -       -
 *
 * Progress: commit and release are wait-free; claim and take are lock-free as calls: they try again
 * only when another's has succeeded. The queue is not lock-free. The bad news:
 *
 *   - A producer that is preempted between claim and commit holds up its slot, and with it all that
 *     lies behind for the consumers (positions are taken in order), but no producer until the next
 *     lap comes to that slot.
 *   - A consumer that is preempted between take and release holds up its slot alone: the other
 *     consumers go on, and the producers until the next lap comes to that slot. Then the ring
 *     counts as full, however many slots behind it are free.
 *   - Who dies there stalls the ring at that slot for good. Neither a claim nor a take can be given
 *     back: what is not wanted is committed as something that is stepped over.
 *   - Messages are taken in the order of their positions, but what several consumers do with them
 *     has no order.
 *
 * Why not Concurrency Kit's ck_ring, which the project links anyway: measured beside it in the same
 * runs, by the better of its two ways to enqueue (hotlane perf ring --case mpmc; 128 bytes, 4,096
 * slots, two cores of an AMD EPYC of family 25 under one L3), this ring does
 *
 *   3.1 times its messages a second from one thread to another, and 9 to 10 times in runs of 32,
 *              which ck_ring does not have;
 *   1.2 to 1.3 times with two threads that both produce and consume;
 *   1.3 to 1.7 times with four threads on two CPUs.
 *
 * A release writes each line of a slot once more (ring.h says why): one at a time 23 million
 * messages a second without, 36 with it; in runs of 32 51 and 113; four threads 13 and 22.
 *
 * And ck_ring's producers wait in commit for the one before them, so that one that is preempted
 * stops all behind it; its consumers copy each message out; it holds one fewer than its size, and
 * counts in 32 bits. Prefetching positions or slots gained nothing here beyond the spread.
 */
#ifndef HL_RING_MPMC_H
#define HL_RING_MPMC_H

#include "ring/ring.h"

/* Read-only after open: any thread may use it, or copies of it, at the same time, for both ends. */
typedef struct hl_mpmc {
    hl_ring *ring;
    char *slots;
    uint32_t slot_size;
    uint32_t capacity;
} hl_mpmc;

/* Any number of times a ring of kind HL_RING_MPMC. */
void hl_mpmc_open(hl_ring *ring, hl_mpmc *ret_mpmc);

/* The slot of a position that is claimed or taken. */
static inline void *hl_mpmc_slot(const hl_mpmc *mpmc, uint64_t position)
{
    return hl_ring_slot_at(mpmc->slots, mpmc->slot_size, mpmc->capacity, position);
}

/* The next position to be taken. For statistics. Any thread. */
static inline uint64_t hl_mpmc_taken(const hl_mpmc *mpmc)
{
    /* Relaxed: a number for statistics. */
    return hl_load_relaxed_u64(&mpmc->ring->taken);
}

/* How far a slot's stamp is ahead of another; below zero: behind. */
static inline int64_t hl_mpmc_ahead(uint64_t stamp, uint64_t other)
{
    return (int64_t)(stamp - other);
}

/*
 * Claims n slots, all or none; n from 1 to the capacity (more never has room). False: no room, and
 * *ret_position is untouched: of the next n slots, one at least was not released before this call.
 * The slots of the positions *ret_position to *ret_position + n - 1 are the caller's to fill, all
 * but the first 8 bytes of each, until they are committed.
 */
static inline bool hl_mpmc_try_claim(const hl_mpmc *mpmc, uint32_t n, uint64_t *ret_position)
{
    /* Relaxed: a position that is out of date shows in the stamps. */
    uint64_t claimed = hl_load_relaxed_u64(&mpmc->ring->claimed);
    for (;;) {
        /* The last first: it is the one that a full ring lacks, and the lines before it are left to
         * the consumers then. All are looked at, for they are released in any order. */
        uint32_t unseen = n;
        int64_t ahead = 0;
        while (unseen > 0 && ahead == 0) {
            const uint64_t position = claimed + --unseen;
            /* FREED: acquire, so that nothing is written to a slot before it has been read. */
            const uint64_t stamp = hl_load_acquire_u64(hl_mpmc_slot(mpmc, position));
            ahead = hl_mpmc_ahead(stamp, 2 * position);
        }
        if (ahead < 0)
            return false;
        if (ahead > 0) {
            /* Relaxed: as above; others have claimed since. */
            claimed = hl_load_relaxed_u64(&mpmc->ring->claimed);
            continue;
        }
        /* Relaxed: it deals out positions. One that fails brings the new position. */
        if (hl_compare_exchange_relaxed_u64(&mpmc->ring->claimed, &claimed, claimed + n)) {
            *ret_position = claimed;
            return true;
        }
    }
}

/* Whether a claim of one slot would succeed now. The answer stands until somebody claims: it is for
 * whom is the only producer. */
static inline bool hl_mpmc_has_room(const hl_mpmc *mpmc)
{
    const uint64_t claimed = hl_ring_claimed(mpmc->ring);
    const uint64_t *const stamp = hl_mpmc_slot(mpmc, claimed);
    /* Relaxed: only whether to claim; the claim orders what is written. */
    return hl_load_relaxed_u64(stamp) == 2 * claimed;
}

/* Hands n slots that this thread claimed, from `position` on, to the consumers. In any order. */
static inline void hl_mpmc_commit(const hl_mpmc *mpmc, uint64_t position, uint32_t n)
{
    /* From the first to the last: consumers wait for the first. Any order would be right. */
    for (uint32_t i = 0; i < n; i++) {
        /* FILLED: release, so that whoever sees the stamp sees the slot filled. */
        hl_store_release_u64(hl_mpmc_slot(mpmc, position + i), 2 * (position + i) + 1);
    }
}

/*
 * Takes the run of filled slots that is next: how many, at most `max`. 0: nothing is ready, and
 * *ret_position is untouched: the next slot was not committed before this call. The slots of the
 * positions from *ret_position on are the caller's, to read and to write but for the stamp, until
 * they are released; they are one behind the other in memory but where the ring begins anew.
 */
static inline uint32_t hl_mpmc_try_take(const hl_mpmc *mpmc, uint32_t max, uint64_t *ret_position)
{
    /* Relaxed: a position that is out of date shows in the stamps. */
    uint64_t taken = hl_load_relaxed_u64(&mpmc->ring->taken);
    for (;;) {
        uint32_t n = 0;
        int64_t ahead = 0;
        while (n < max) {
            /* FILLED: acquire, so that the slot is read as it was when it was stamped. */
            const uint64_t stamp = hl_load_acquire_u64(hl_mpmc_slot(mpmc, taken + n));
            ahead = hl_mpmc_ahead(stamp, 2 * (taken + n) + 1);
            if (ahead != 0)
                break;
            n++;
        }
        if (ahead > 0) {
            /* Relaxed: as above; others have taken since. */
            taken = hl_load_relaxed_u64(&mpmc->ring->taken);
            continue;
        }
        if (n == 0)
            return 0;
        /* Relaxed: it deals out positions. One that fails brings the new position. */
        if (hl_compare_exchange_relaxed_u64(&mpmc->ring->taken, &taken, taken + n)) {
            *ret_position = taken;
            return n;
        }
    }
}

/* Gives back n slots that this thread took, from `position` on. In any order. */
static inline void hl_mpmc_release(const hl_mpmc *mpmc, uint64_t position, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        hl_ring_rewrite(hl_mpmc_slot(mpmc, position + i), hl_ring_rewritten_bytes(mpmc->slot_size));
        /* FREED: release, so that no read of the slot comes after a producer's next write. */
        hl_store_release_u64(hl_mpmc_slot(mpmc, position + i), 2 * (position + i + mpmc->capacity));
    }
}

#endif
