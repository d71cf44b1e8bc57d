/*
 * The conflating queue: the newest value of each key, and the keys in the order of their first
 * unread put. One or many publishers, one consumer; flat, position-independent memory. For `state`
 * topics: a slow consumer sees each instrument's newest quote, the queue never holds a key twice,
 * and the memory is what max_keys needs, however far behind the consumer is.
 *
 *     hl_conflate_place place;                                        // a publisher
 *     quote *slot;
 *     if (hl_conflate_try_claim(&publisher, topic, instrument, &place, (void **)&slot) == HL_OK) {
 *         slot->bid = bid;                                 // its first 8 bytes are the queue's
 *         if (!hl_conflate_commit(&publisher, place))
 *             wake_the_consumer();                         // the key had nothing unread
 *     }
 *     uint64_t puts;                                       // the consumer
 *     for (const quote *newest; (newest = hl_conflate_take(&consumer, &puts)) != NULL;) {
 *         handle(newest);                                  // stands for `puts` puts
 *         hl_conflate_release(&consumer, 1);
 *     }
 *
 * How it works. A key's place holds one word: the number of the cell with its value, and how many
 * puts that value stands for since the consumer took the last (0: it has been read). Every
 * publisher and the consumer own spare cells. A publisher fills its spare where nobody looks, swaps
 * it into the word with a compare-and-swap that adds one to the count, and keeps the cell that was
 * there as its next spare. When that count was 0 the key was not waiting, and it alone, who made it
 * unread, queues it. The consumer takes the next key's place from the queue and swaps one of its
 * own spares in with the count 0: what it gets is whole, the newest, and its alone.
 *
 * So, per key, each put is read, or replaced by a newer one, or still there: of the puts of a key
 * the sum over takes of `puts` is those taken, each take stands for puts - 1 that were conflated,
 * and publishers are told the same by commit's answer. Never an older value after a newer one: the
 * word's modification order is the order of the puts, and the consumer only goes forward in it.
 *
 * Progress. One publisher: claim and commit are wait-free (its swap fails only when the consumer
 * took the key between, which it cannot do twice without a put). Many: lock-free, a swap fails only
 * when another's succeeded. take and release: wait-free. A publisher that is stopped between claim
 * and commit delays nobody: its spare is its own, and not to commit is to abort. One that is
 * stopped inside commit, between the swap and the queueing, hides that key from the consumer (newer
 * puts of it are conflated meanwhile); between the queue's claim and its mark, all keys queued
 * behind it. It never delays another publisher. The bad news: one locked instruction for each put,
 * two when the key was not waiting; there is no way without (H. Attiya et al., "Laws of order",
 * POPL 2011: who overwrites what another may be taking must have an atomic read-modify-write or a
 * store-load fence). Keys are never removed.
 *
 * Edges (order.h explains the words):
 *
 * - VALUE: entry.word, a publisher's swap (release) -> the consumer's, or the next publisher's
 *   (acquire). Who gets the cell sees it filled; a publisher also has the former one's writes
 *   behind it before it writes there itself.
 * - SPARE: the same word the other way, the consumer's swap (release) -> a publisher's (acquire).
 *   The consumer has read the cell that it gives away: the publisher's licence to overwrite it.
 * - QUEUED: queue[i], a publisher that made a key unread (store release) -> take (load acquire).
 *   The swap that made it unread comes before the consumer's, which so finds it unread.
 * - TURN: queue_claimed, publisher -> publisher (fetch-and-add, acq_rel). No mark is overwritten
 *   unread: were the consumer not past position q - capacity, the capacity + 1 > max_keys positions
 *   from there to q would hold some key twice. But a key is queued again only after its take, which
 *   came after those of all positions before; the publisher that queued it again has that take
 *   behind it through SPARE, and who claims later has it through TURN.
 * - ADMITTED: admission, a publisher that has admitted a key (compare-and-swap, release) -> one
 *   that looks for a place (acquire). It sees the entry named and admitted: so it neither admits it
 *   again nor takes it for missing when the limit is reached.
 * - SEAT: seat.is_free, a publisher that closes (store release) -> the next to take its seat
 *   (compare-and-swap, acquire). It has the former one's spares and last claim behind it.
 *
 * A new key's place is found by two words that are each set once, from 0, by compare-and-swap; who
 * finds the first its own and the second 0 sets the second, to its own: so two publishers with one
 * key end at one place, whoever is stopped where. Then the key is admitted: `admission` counts keys
 * and names at most one place that is on its way in, which anyone completes (it gets the cell whose
 * number is the count). The limit is therefore exact, and nobody waits.
 *
 * Who may call what at once (X: the caller must exclude it):
 *
 *                     init   one handle's claim, commit, put   open, close   consumer's calls
 *   init               X                  X                         X               X
 *   a publisher's      X                  X (others': -)            -               -
 *   consumer's calls   X                  -                         -               X
 */
#ifndef HL_RING_CONFLATE_H
#define HL_RING_CONFLATE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

#include "ring/order.h"

#define HL_CONFLATE_MAX_KEYS       (1u << 24)
#define HL_CONFLATE_MAX_PUBLISHERS 4096u
#define HL_CONFLATE_MAX_HELD       65536u
#define HL_CONFLATE_MAX_SLOT_SIZE  65600u           /* bytes: as a ring's */
#define HL_CONFLATE_MAX_GROUP      (UINT32_MAX - 1) /* groups are 0 to this */

typedef struct hl_conflate_options {
    uint32_t max_keys;       /* 1 to 2^24 */
    uint32_t slot_size;      /* bytes: a multiple of 64 from 64 to 65600 */
    uint32_t publishers;     /* open at one time: 1 to 4096; with 1 a put costs less */
    uint32_t held;           /* values out at one time: 1 to 65536, rounded up to a power of two */
    uint64_t start_position; /* of the queue; any number */
} hl_conflate_options;

/* A key's place. Names: `low` and `high`, each 0 until set, never changed then. */
typedef struct hl_conflate_entry {
    uint64_t low;  /* group + 1, and the key's lower half */
    uint64_t high; /* 1, and the key's upper half */
    uint64_t word; /* VALUE, SPARE: puts unread and the cell's number + 1; 0: not admitted */
    uint64_t reserved;
} hl_conflate_entry;

/* A publisher uses its spares in turn, so that the lines of one that it has just got, which the
 * consumer or another publisher had, travel while the others are filled: worth a fifth with a slow
 * consumer, a third with one that keeps up. */
#define HL_CONFLATE_SPARES 8u

typedef struct hl_conflate_seat {
    alignas(128) uint32_t is_free; /* SEAT: 1: nobody sits there */
    /* The publisher that sits here writes. */
    uint32_t next;                       /* the spare to fill next */
    uint32_t spares[HL_CONFLATE_SPARES]; /* numbers of cells */
} hl_conflate_seat;

/* What lies at the start of the memory. */
typedef struct hl_conflate {
    /* Read-only after init. */
    alignas(128) uint64_t magic;
    uint32_t layout;
    uint32_t slot_size;
    uint32_t max_keys;
    uint32_t publishers;
    uint32_t held;        /* rounded up to a power of two */
    uint32_t queue_mask;  /* capacity - 1, a power of two of at least max_keys */
    uint32_t entry_shift; /* 64 - log2 of the number of entries */
    uint32_t reserved;
    uint64_t start_position;
    uint64_t queue_offset, entries_offset, seats_offset, held_offset, cells_offset; /* bytes */

    /* Publishers write when a key was not waiting. */
    alignas(128) uint64_t queue_claimed; /* TURN: the next position to queue a key at */

    /* Publishers write when a key is new. */
    alignas(128) uint64_t admission; /* ADMITTED: keys << 32, and the place being admitted + 1 */

    /* The consumer writes. */
    alignas(128) uint64_t taken; /* the next position to take; for statistics */
} hl_conflate;

_Static_assert(offsetof(hl_conflate, queue_claimed) == 128, "layout 1");
_Static_assert(offsetof(hl_conflate, admission) == 256, "layout 1");
_Static_assert(offsetof(hl_conflate, taken) == 384, "layout 1");
_Static_assert(sizeof(hl_conflate) == 512, "layout 1: the queue begins here");
_Static_assert(sizeof(hl_conflate_entry) == 32, "no entry lies on two lines");

/* A publisher's end: a value that one thread at a time owns and uses. */
typedef struct hl_conflate_publisher {
    hl_conflate *table;
    hl_conflate_entry *entries;
    uint64_t *queue;
    char *cells;
    hl_conflate_seat *seat;
    uint32_t slot_size;
    uint32_t entry_shift;
    bool is_alone; /* there is no other seat */
} hl_conflate_publisher;

/* The consumer's end: a value that the consumer's thread owns and alone writes. */
typedef struct hl_conflate_consumer {
    hl_conflate *table;
    hl_conflate_entry *entries;
    uint64_t *queue;
    char *cells;
    uint32_t *held;    /* cell numbers: from `released` to `position` out, else spares */
    uint64_t position; /* the next to take */
    uint64_t released;
    uint32_t slot_size;
    uint32_t held_mask;
    uint32_t queue_mask;
} hl_conflate_consumer;

/* The place of a key that was claimed. */
typedef uint32_t hl_conflate_place;

/* Bytes that a queue of these options takes; 0 when one is out of range. */
size_t hl_conflate_size_bytes(const hl_conflate_options *options);

/*
 * Makes a queue in `memory`: zeroed, aligned to 128, hl_conflate_size_bytes or more; it stays the
 * caller's and must outlive all handles. NULL when something does not fit, and then *ret_reason is
 * a sentence in static memory (ret_reason may be NULL).
 */
hl_conflate *hl_conflate_init(void *memory, size_t size, const hl_conflate_options *options,
                              const char **ret_reason);

/*
 * Takes one of the seats, `hint` modulo their number first. Lock-free, a few ns when that one is
 * free: a publisher that many threads share may open, put and close each time. Any thread.
 * - HL_OK: the handle is the caller's until hl_conflate_publisher_close.
 * - HL_BUSY: as many as options.publishers were open while it looked; try again.
 */
hl_status hl_conflate_publisher_open(hl_conflate *table, uint32_t hint,
                                     hl_conflate_publisher *ret_publisher);

/* Gives the seat back; a claim that is open is thereby aborted. */
void hl_conflate_publisher_close(hl_conflate_publisher *publisher);

/* Begins to take at the first key that waits. One consumer a queue, and once. */
void hl_conflate_consumer_open(hl_conflate *table, hl_conflate_consumer *ret_consumer);

/*
 * Makes a copy of `size` bytes the newest value of (group, key): slot and value both begin with 8
 * bytes that are the queue's, so that what is copied is value + 8 to value + size. *ret_replaced as
 * hl_conflate_commit's answer. No claim may be open. HL_TOO_LARGE: over slot_size; else as
 * hl_conflate_try_claim.
 */
hl_status hl_conflate_put(hl_conflate_publisher *publisher, uint32_t group, uint64_t key,
                          const void *value, uint32_t size, bool *ret_replaced);

/* Keys that were put so far. Any thread. */
uint32_t hl_conflate_key_count(const hl_conflate *table);

/* Keys that wait, each with one value; exact when nothing moves. Any thread. */
uint64_t hl_conflate_pending(const hl_conflate *table);

/* Puts that are not read yet: of each key that waits, those that its value stands for. Goes through
 * all entries. Only when nothing moves. */
uint64_t hl_conflate_pending_puts(const hl_conflate *table);

/* ------- A publisher's, from here on. ------- */

#define HL_CONFLATE_CELL_BITS 26 /* keys, spares and held together are fewer */
#define HL_CONFLATE_CELL_MASK ((UINT64_C(1) << HL_CONFLATE_CELL_BITS) - 1)
#define HL_CONFLATE_ONE_PUT   (UINT64_C(1) << HL_CONFLATE_CELL_BITS)

static inline uint32_t hl_conflate_cell_of(uint64_t word)
{
    return (uint32_t)(word & HL_CONFLATE_CELL_MASK) - 1;
}

static inline uint64_t hl_conflate_puts_of(uint64_t word)
{
    return word >> HL_CONFLATE_CELL_BITS;
}

static inline void *hl_conflate_cell(char *cells, uint32_t slot_size, uint32_t cell)
{
    return cells + (size_t)cell * slot_size;
}

static inline uint64_t hl_conflate_low(uint32_t group, uint64_t key)
{
    return ((uint64_t)group + 1) << 32 | (uint32_t)key;
}

static inline uint64_t hl_conflate_high(uint64_t key)
{
    return UINT64_C(1) << 32 | key >> 32;
}

/* Multiplicative hashing (D. E. Knuth, TAOCP 3, 6.4): the upper bits of the product. */
static inline uint32_t hl_conflate_home(uint32_t entry_shift, uint64_t low, uint64_t high)
{
    return (uint32_t)(((low + (high << 32 | high >> 32)) * UINT64_C(0x9e3779b97f4a7c15)) >>
                      entry_shift);
}

/* Where the number of the cell is that is filled now. */
static inline uint32_t *hl_conflate_spare(const hl_conflate_publisher *publisher)
{
    return &publisher->seat->spares[publisher->seat->next];
}

/* For a key that is not at its home, or new: finds it, or enters and admits it. HL_OK; HL_LIMIT. */
hl_status hl_conflate_find(hl_conflate *table, uint64_t low, uint64_t high,
                           hl_conflate_place *ret_place);

/*
 * The place of (group, key), which is admitted when it is new; nothing is claimed.
 * - HL_OK
 * - HL_LIMIT: the key is new and max_keys are there; nothing is changed.
 * - HL_INVALID: group is over HL_CONFLATE_MAX_GROUP.
 */
static inline hl_status hl_conflate_admit(const hl_conflate_publisher *publisher, uint32_t group,
                                          uint64_t key, hl_conflate_place *ret_place)
{
    if (group > HL_CONFLATE_MAX_GROUP)
        return HL_INVALID;
    const uint64_t low = hl_conflate_low(group, key), high = hl_conflate_high(key);
    const hl_conflate_place place = hl_conflate_home(publisher->entry_shift, low, high);
    const hl_conflate_entry *const home = &publisher->entries[place];
    /* Relaxed all: the names are set once; that a key is admitted is all that `word` says here, and
     * what lies in its cell follows from the swap. */
    if (hl_load_relaxed_u64(&home->low) != low || hl_load_relaxed_u64(&home->high) != high ||
        hl_load_relaxed_u64(&home->word) == 0)
        return hl_conflate_find(publisher->table, low, high, ret_place);
    *ret_place = place;
    return HL_OK;
}

/*
 * Begins a put of (group, key): *ret_slot is the caller's to fill, slot_size bytes all but the
 * first 8, with whatever was there before; then commit. A claim that is not committed is aborted by
 * the next one.
 * Statuses as hl_conflate_admit.
 */
static inline hl_status hl_conflate_try_claim(hl_conflate_publisher *publisher, uint32_t group,
                                              uint64_t key, hl_conflate_place *ret_place,
                                              void **ret_slot)
{
    const hl_status status = hl_conflate_admit(publisher, group, key, ret_place);
    if (status != HL_OK)
        return status;
    *ret_slot =
        hl_conflate_cell(publisher->cells, publisher->slot_size, *hl_conflate_spare(publisher));
    return HL_OK;
}

/* Puts a key that has just become unread into the queue. */
static inline void hl_conflate_queue(hl_conflate_publisher *publisher, hl_conflate_place place)
{
    hl_conflate *const table = publisher->table;
    uint64_t position;
    if (publisher->is_alone) {
        /* Relaxed both: nobody else writes it while this publisher sits. */
        position = hl_load_relaxed_u64(&table->queue_claimed);
        hl_store_relaxed_u64(&table->queue_claimed, position + 1);
    } else {
        /* TURN: acq_rel, so that the mark that lay here has been read. */
        position = hl_fetch_add_acq_rel_u64(&table->queue_claimed, 1);
    }
    /* QUEUED: release, so that who takes the key finds it unread. */
    hl_store_release_u64(&publisher->queue[position & table->queue_mask],
                         (position + 1) << 32 | place);
}

/*
 * Makes what was claimed last the newest value of its key. True: it replaced one that was not read,
 * which now never will be (conflated). False: the key was not waiting and now is: the consumer may
 * have to be woken.
 */
static inline bool hl_conflate_commit(hl_conflate_publisher *publisher, hl_conflate_place place)
{
    uint64_t *const word = &publisher->entries[place].word;
    uint32_t *const spare = hl_conflate_spare(publisher);
    /* Relaxed: what the swap expects; the swap finds out whether it is so. */
    uint64_t before = hl_load_relaxed_u64(word);
    uint64_t after;
    do {
        /* 2^38 puts of a key without a take would take an hour; then they are counted no further.
         */
        const uint64_t puts = hl_conflate_puts_of(before) == UINT64_MAX >> HL_CONFLATE_CELL_BITS
                                  ? before & ~HL_CONFLATE_CELL_MASK
                                  : (before & ~HL_CONFLATE_CELL_MASK) + HL_CONFLATE_ONE_PUT;
        after = puts | (*spare + 1);
        /* VALUE, SPARE: acq_rel, so that who gets the new cell sees it filled, and the old one is
         * written only after it was read. */
    } while (!hl_compare_exchange_acq_rel_u64(word, &before, after));
    *spare = hl_conflate_cell_of(before);
    publisher->seat->next = (publisher->seat->next + 1) % HL_CONFLATE_SPARES;
    /* It is filled again some puts later: the lines travel meanwhile. */
    char *const later = hl_conflate_cell(publisher->cells, publisher->slot_size, *spare);
    hl_prefetch_write(later);
    hl_prefetch_write(later + 64);
    if (hl_conflate_puts_of(before) != 0)
        return true;
    hl_conflate_queue(publisher, place);
    return false;
}

/* ------- The consumer's thread only, from here on. ------- */

/* Whether a key waits. */
static inline bool hl_conflate_ready(const hl_conflate_consumer *consumer)
{
    /* Relaxed: only whether to take; the take orders what is read. */
    const uint64_t mark =
        hl_load_relaxed_u64(&consumer->queue[consumer->position & consumer->queue_mask]);
    return (uint32_t)(mark >> 32) == (uint32_t)(consumer->position + 1);
}

/*
 * Takes the next key's newest value: slot_size bytes as the publisher filled them, the consumer's,
 * to read and to write, until released. *ret_puts: of how many puts it is the newest, at least 1.
 * NULL: no key waits, or options.held values are out; *ret_puts is untouched.
 */
static inline void *hl_conflate_take(hl_conflate_consumer *consumer, uint64_t *ret_puts)
{
    const uint64_t position = consumer->position;
    if (position - consumer->released > consumer->held_mask)
        return NULL;
    /* QUEUED: acquire, so that the key is found unread. */
    const uint64_t mark = hl_load_acquire_u64(&consumer->queue[position & consumer->queue_mask]);
    if ((uint32_t)(mark >> 32) != (uint32_t)(position + 1))
        return NULL;
    uint32_t *const spare = &consumer->held[position & consumer->held_mask];
    /* VALUE, SPARE: acq_rel, so that the value is whole, and the spare's reader is done with it. */
    const uint64_t before =
        hl_exchange_acq_rel_u64(&consumer->entries[(uint32_t)mark].word, (uint64_t)*spare + 1);
    *spare = hl_conflate_cell_of(before);
    consumer->position = position + 1;
    /* Relaxed: a number for statistics. */
    hl_store_relaxed_u64(&consumer->table->taken, position + 1);
    *ret_puts = hl_conflate_puts_of(before);
    return hl_conflate_cell(consumer->cells, consumer->slot_size, *spare);
}

/* Gives back the n values that were taken first and are still out. */
static inline void hl_conflate_release(hl_conflate_consumer *consumer, uint32_t n)
{
    consumer->released += n;
}

#endif
