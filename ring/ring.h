/*
 * The ring: slots in flat, position-independent memory (huge pages, shared memory, a file), and the
 * consumer's end, which is the same for one producer (spsc.h) and for many (mpsc.h). A ring with
 * many consumers lies in the same memory, but its stamps and both its ends are its own: mpmc.h.
 *
 * A position counts slots since the ring began, modulo 2^64; its slot is position modulo capacity.
 * The first 8 bytes of a slot are its stamp, the ready mark: position + 1 once the slot is filled.
 * A fresh slot carries the stamp of one lap before, so that none looks ready, whatever position the
 * ring starts at. The rest of the slot is the user's (in hotlane: the rest of an hl_event).
 *
 *     hl_ring *ring = hl_ring_init(memory, size, 128, 4096, HL_RING_SPSC, 0, &reason);
 *     hl_ring_consumer consumer;
 *     hl_ring_consumer_open(ring, &consumer);
 *     void *first;
 *     for (uint32_t n; (n = hl_ring_peek(&consumer, 32, &first)) != 0;) {
 *         for (uint32_t i = 0; i < n; i++)
 *             handle(hl_ring_slot(&consumer, i));
 *         hl_ring_release(&consumer, n);
 *     }
 *
 * Edges (order.h explains the words):
 *
 * - READY, slot.stamp: a producer's commit (store release) -> the consumer's peek (load acquire).
 *   The consumer sees the slot filled. Each stamp stands for its slot alone.
 * - RELEASED, ring.released: the consumer's publish (store release) -> a producer's look for room
 *   (load acquire). The producer's licence to overwrite: the consumer has read the slot.
 * - WANTED, ring.room_wanted: a producer that finds no room leaves here the `released` that it
 *   found; the consumer that sees its own published position there publishes at its next release.
 *   Relaxed both ways: it carries a request, no data. A request that is answered needs no clearing,
 *   for `released` has moved on; one that comes late is no harm, for the producer reads `released`
 *   anew at each try, and the consumer publishes all it has whenever it finds nothing ready.
 *
 * mpsc.h adds CLAIM and SEEN.
 *
 * Who may call what at once (X: the caller must exclude it):
 *
 *                       init/attach  consumer's calls  producers' claims, commits  claimed/released
 *   init/attach              X              X                      X                       X
 *   consumer's calls         X              X                      -                       -
 *   producers' calls         X              -           SPSC: X   MPSC: -                  -
 *
 * Progress: all of the consumer's calls are wait-free. What it may have to wait for is the data: a
 * producer that is preempted between claim and commit delays all that lies behind its slot.
 *
 * The position is published lazily (after an eighth of the ring, when room was asked for, and when
 * nothing is ready), because each publish takes the line away from a producer that reads it. A
 * consumer that stops without having peeked in vain, or goes into a long handler, calls
 * hl_ring_release_publish first. A producer that finds no room does best to pause some 64 times
 * before its next try: one that looks all the time gets each slot as it becomes free, and the two
 * then work on neighbouring lines (one at a time, from one L3 to another: 14 million messages a
 * second with one pause, 42 with 64).
 *
 * A released slot is written once more, unchanged, by one of the next peeks or before it is
 * published: a word in each line of its first HL_RING_REWRITTEN_BYTES, which in the first is the
 * stamp. A line that the consumer has only read is shared between two cores, and the producer's
 * next stores to it wait, one line after the other, until the other copy is gone; lines that the
 * consumer has written move in one go, and the next ones are fetched ahead. Each line counts.
 * Measured on two cores of a Zen 4, 128-byte slots: with the first line alone written, 28 million
 * messages a second one at a time and 48 in runs of 32; with both, 62 and 180, and 102 and 206
 * where the two sides pause 64 times between two tries. To fetch them for writing instead
 * (prefetchw), before or after they are read, gains nothing. By the release itself, what the
 * consumer then sends waits behind these stores: a round trip of 660 ns is one of 570 so.
 *
 * It does not pay where the slots leave the second-level cache before the producer comes back to
 * them: in a ring of more than HL_RING_CACHED_BYTES whose producer is half the ring ahead. There
 * the lines go out dirty, to be fetched from the other side's memory. A consumer looks how far
 * ahead it is each time that it publishes. (A pipeline fed from a recording through a ring of 2
 * MiB, from one L3 to another: 11 million messages a second without, 4.7 with.)
 */
#ifndef HL_RING_RING_H
#define HL_RING_RING_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/order.h"

/* Groups of fields lie two lines apart, because lines are prefetched in pairs. */
#define HL_RING_LINE_PAIR 128

#define HL_RING_MIN_SLOT_SIZE 64u    /* bytes; slot sizes are multiples of it */
#define HL_RING_MAX_SLOT_SIZE 65600u /* bytes: 64 of header and 64 KiB of payload */
#define HL_RING_MAX_CAPACITY  (1u << 30)

/* Of a slot, what a release writes once more. What lies behind it in a larger slot is seldom used.
 */
#define HL_RING_REWRITTEN_BYTES    256u
#define HL_RING_REWRITTEN_TOGETHER 8u /* slots: one by one it is an eighth of a message's time */
#define HL_RING_LINE               64u
#define HL_RING_CACHED_BYTES       (1u << 20) /* what a core's second-level cache is sure to hold */

#define HL_RING_MAGIC  UINT64_C(0x31676e69724c4f48) /* "HOLring1" in memory */
#define HL_RING_LAYOUT 1u

typedef enum hl_ring_kind {
    HL_RING_SPSC = 1, /* one producer thread: spsc.h */
    HL_RING_MPSC = 2, /* any number of producer threads: mpsc.h */
    HL_RING_MPMC = 3  /* any number of producer and of consumer threads: mpmc.h */
} hl_ring_kind;

/* What lies at the start of the memory; the slots follow. */
typedef struct hl_ring {
    /* Read-only after init. */
    alignas(HL_RING_LINE_PAIR) uint64_t magic;
    uint32_t layout;
    uint32_t kind;       /* hl_ring_kind */
    uint64_t generation; /* how often the memory was taken up: 1 by init, one more by each attach */
    uint32_t slot_size;  /* bytes */
    uint32_t capacity;   /* slots, a power of two */
    uint64_t start_position;

    /* The consumer writes: it needs no slot before this position any more. */
    alignas(HL_RING_LINE_PAIR) uint64_t released;
    uint64_t taken; /* instead, the consumers of an MPMC ring: the next position to take */

    /* A producer without room writes: the `released` that was not enough. */
    alignas(HL_RING_LINE_PAIR) uint64_t room_wanted;

    /* Producers of an MPSC or MPMC ring write. */
    alignas(HL_RING_LINE_PAIR) uint64_t claimed; /* the next position to claim */
    uint64_t released_seen;                      /* MPSC: a copy of `released`, maybe old */
} hl_ring;

_Static_assert(offsetof(hl_ring, released) == 128, "layout 1");
_Static_assert(offsetof(hl_ring, room_wanted) == 256, "layout 1");
_Static_assert(offsetof(hl_ring, claimed) == 384, "layout 1");
_Static_assert(sizeof(hl_ring) == 512, "layout 1: the slots begin here");

/* The consumer's end: a value that the consumer's thread owns and alone writes. */
typedef struct hl_ring_consumer {
    hl_ring *ring;
    char *slots;
    uint64_t position;  /* the next to read */
    uint64_t published; /* what `released` holds */
    uint64_t rewritten; /* released slots before this position were written once more */
    uint32_t slot_size;
    uint32_t capacity;
    uint32_t publish_after;   /* slots: an eighth of the ring, at least one */
    uint32_t rewritten_bytes; /* of a slot: HL_RING_REWRITTEN_BYTES, or all of it */
    bool is_large;            /* more than HL_RING_CACHED_BYTES */
    bool is_far_behind;       /* large, and the producer was half of it ahead */
} hl_ring_consumer;

/*
 * Bytes that a ring takes. slot_size: a multiple of 64 from 64 to 65600; capacity: a power of two
 * from 1 to 2^30. 0 when either is out of range.
 */
size_t hl_ring_size_bytes(uint32_t slot_size, uint32_t capacity);

/*
 * Makes a ring in `memory`: zeroed, aligned to 128, `size` bytes or more than hl_ring_size_bytes
 * says; it stays the caller's and must outlive all handles. The first claim is of `start_position`,
 * which may be anything. NULL when something does not fit, and then *ret_reason is a sentence in
 * static memory (ret_reason may be NULL).
 */
hl_ring *hl_ring_init(void *memory, size_t size, uint32_t slot_size, uint32_t capacity,
                      hl_ring_kind kind, uint64_t start_position, const char **ret_reason);

/*
 * Takes up a ring that an earlier process left in `memory`, which nobody else uses now. What was
 * committed and not released is still there: the consumer goes on at the published position (it may
 * see again up to an eighth of the ring), an SPSC producer behind the last committed slot, MPSC
 * producers behind the last claimed, as both ends of an MPMC ring do. A claim that was left
 * uncommitted with committed ones behind it stalls the consumer there, as it did before; a slot of
 * an MPMC ring that was taken and not released stalls the producers there: drain it, and init it
 * anew. NULL with a reason, and the memory untouched, when the header or a stamp is not what a ring
 * of this layout can hold.
 */
hl_ring *hl_ring_attach(void *memory, size_t size, const char **ret_reason);

/* Begins to read at the published position. One consumer a ring at a time; not of an MPMC ring. */
void hl_ring_consumer_open(hl_ring *ring, hl_ring_consumer *ret_consumer);

/*
 * The position up to which slots were given back, as published: up to an eighth of the ring behind
 * the consumer. For statistics. Any thread.
 */
static inline uint64_t hl_ring_released(const hl_ring *ring)
{
    /* Relaxed: a number for statistics. */
    return hl_load_relaxed_u64(&ring->released);
}

/*
 * The next position to be claimed of an MPSC or MPMC ring. Of an SPSC ring only its producer knows
 * it: there this is the start position. For statistics. Any thread.
 */
static inline uint64_t hl_ring_claimed(const hl_ring *ring)
{
    /* Relaxed: a number for statistics. */
    return hl_load_relaxed_u64(&ring->claimed);
}

/* The slot of a position. `slots` is what lies behind the header. */
static inline void *hl_ring_slot_at(char *slots, uint32_t slot_size, uint32_t capacity,
                                    uint64_t position)
{
    return slots + (position & (capacity - 1)) * slot_size;
}

/* Says "filled" of the slot of one position; for spsc.h and mpsc.h. */
static inline void hl_ring_stamp_slot(void *slot, uint64_t position)
{
    /* READY: release, so that whoever sees the stamp sees the slot filled. */
    hl_store_release_u64(slot, position + 1);
}

/*
 * Says "filled" of the slots of n positions from `position` on; for spsc.h and mpsc.h.
 *
 * From the last to the first: a consumer that waits for the first then finds the whole run behind
 * it, and does not pull at lines that are being stamped. Any order would be right.
 */
static inline void hl_ring_stamp(char *slots, uint32_t slot_size, uint32_t capacity,
                                 uint64_t position, uint32_t n)
{
    while (n-- > 0)
        hl_ring_stamp_slot(hl_ring_slot_at(slots, slot_size, capacity, position + n), position + n);
}

/*
 * Asks the consumer to publish what it has released behind `released`; for spsc.h and mpsc.h. One
 * that was asked already is not asked again: each store takes the line away from it.
 */
static inline void hl_ring_want_room(hl_ring *ring, uint64_t released)
{
    /* WANTED: relaxed; `released` is read anew at the next try. */
    if (hl_load_relaxed_u64(&ring->room_wanted) != released)
        hl_store_relaxed_u64(&ring->room_wanted, released);
}

/* Of a slot, what a release writes once more. */
static inline uint32_t hl_ring_rewritten_bytes(uint32_t slot_size)
{
    return slot_size < HL_RING_REWRITTEN_BYTES ? slot_size : HL_RING_REWRITTEN_BYTES;
}

/* For a consumer: makes the lines of released slots this core's own, for the sake of the producer
 * that fills them next. */
static inline void hl_ring_rewrite(char *lines, size_t bytes)
{
#pragma GCC unroll 4
    for (const char *const end = lines + bytes; lines != end; lines += HL_RING_LINE) {
        uint64_t *const word = (uint64_t *)(void *)lines;
        /* Relaxed: the value that is there, in a slot that is still the consumer's; what gives it
         * back puts it before the producer's next. */
        hl_store_relaxed_u64(word, hl_load_relaxed_u64(word));
    }
}

/* The slots of the positions from `position` up to `end`, of a slot `bytes`. */
static inline void hl_ring_rewrite_slots(char *slots, uint32_t slot_size, uint32_t capacity,
                                         uint32_t bytes, uint64_t position, uint64_t end)
{
    if (bytes == slot_size) { /* in one piece, up to the ring's end */
        const uint32_t index = (uint32_t)(position & (capacity - 1));
        const uint64_t count = end - position;
        const uint64_t before_end = count < capacity - index ? count : capacity - index;
        hl_ring_rewrite(slots + (size_t)index * slot_size, before_end * slot_size);
        hl_ring_rewrite(slots, (count - before_end) * slot_size);
        return;
    }
    for (; position != end; position++)
        hl_ring_rewrite(hl_ring_slot_at(slots, slot_size, capacity, position), bytes);
}

/* ------- The consumer's thread only, from here on. ------- */

/* Whether there is something to read. */
static inline bool hl_ring_ready(const hl_ring_consumer *consumer)
{
    const uint64_t *const stamp = hl_ring_slot_at(consumer->slots, consumer->slot_size,
                                                  consumer->capacity, consumer->position);
    /* Relaxed: only whether to peek; the peek orders what is read. */
    return hl_load_relaxed_u64(stamp) == consumer->position + 1;
}

/* The position of the next slot to read: how many were consumed since start_position. */
static inline uint64_t hl_ring_consumed(const hl_ring_consumer *consumer)
{
    return consumer->position;
}

/* Writes the slots released since the last time once more. Not within the release: what the caller
 * then sends would wait behind these stores. */
static inline void hl_ring_rewrite_released(hl_ring_consumer *consumer)
{
    if (consumer->is_far_behind)
        consumer->rewritten = consumer->position;
    const uint64_t end = consumer->position;
    hl_ring_rewrite_slots(consumer->slots, consumer->slot_size, consumer->capacity,
                          consumer->rewritten_bytes, consumer->rewritten, end);
    consumer->rewritten = end;
}

/* Whether the producer is half the ring ahead. */
static inline bool hl_ring_is_far_behind(const hl_ring_consumer *consumer)
{
    const uint64_t ahead = consumer->position + consumer->capacity / 2;
    const uint64_t *const stamp =
        hl_ring_slot_at(consumer->slots, consumer->slot_size, consumer->capacity, ahead);
    /* Relaxed: a guess at what will pay. */
    return hl_load_relaxed_u64(stamp) == ahead + 1;
}

/* Lets the producers have all that was released. Nothing is written when they have it already. */
static inline void hl_ring_release_publish(hl_ring_consumer *consumer)
{
    if (consumer->published == consumer->position)
        return;
    hl_ring_rewrite_released(consumer);
    if (consumer->is_large)
        consumer->is_far_behind = hl_ring_is_far_behind(consumer);
    consumer->published = consumer->position;
    /* RELEASED: release, so that no read of these slots comes after a producer's next write. */
    hl_store_release_u64(&consumer->ring->released, consumer->position);
}

/*
 * The run of filled slots at the read position: how many, at most `max`, one behind the other in
 * memory (a run ends where the memory does, the next peek goes on at its start). 0: nothing is
 * ready, *ret_first_slot is untouched, and all that was released is published. The slots stay the
 * consumer's, to read and to write but for the stamp, until they are released.
 */
static inline uint32_t hl_ring_peek(hl_ring_consumer *consumer, uint32_t max, void **ret_first_slot)
{
    const uint64_t position = consumer->position;
    if (position - consumer->rewritten >= HL_RING_REWRITTEN_TOGETHER)
        hl_ring_rewrite_released(consumer);
    const uint32_t slot_size = consumer->slot_size;
    const uint32_t index = (uint32_t)(position & (consumer->capacity - 1));
    const uint32_t before_end = consumer->capacity - index;
    /* One always lies before the end; where the caller says 1 the rest is not compiled. */
    const uint32_t most = max == 1 || max < before_end ? max : before_end;
    char *const first = consumer->slots + (size_t)index * slot_size;
    const char *slot = first;
    uint32_t n = 0;
    while (n < most) {
        /* READY: acquire, so that the slot is read as it was when it was stamped. */
        if (hl_load_acquire_u64((const uint64_t *)(const void *)slot) != position + n + 1)
            break;
        slot += slot_size;
        n++;
    }
    if (n == 0) {
        hl_ring_release_publish(consumer);
        return 0;
    }
    *ret_first_slot = first;
    return n;
}

/* The i-th slot of the run that the last peek found, before any of it is released. */
static inline void *hl_ring_slot(const hl_ring_consumer *consumer, uint32_t i)
{
    return hl_ring_slot_at(consumer->slots, consumer->slot_size, consumer->capacity,
                           consumer->position + i);
}

/*
 * Gives back the first n slots of the run. They are published now when an eighth of the ring has
 * gathered or a producer asked for room, else with a later call.
 */
static inline void hl_ring_release(hl_ring_consumer *consumer, uint32_t n)
{
    const uint64_t position = consumer->position + n;
    const uint64_t published = consumer->published;
    consumer->position = position;
    /* WANTED: relaxed. One look a call is enough: the line is written only when a ring is full, so
     * that until then it is read from this core's own cache. */
    if (position - published >= consumer->publish_after ||
        hl_load_relaxed_u64(&consumer->ring->room_wanted) == published)
        hl_ring_release_publish(consumer);
}

#endif
