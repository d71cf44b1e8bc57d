/*
 * A ward: copies of events whose handlers have failed, until their outcome; one for each partition,
 * and one for each strand of an async subscription (bus/async.h). Bounded memory made before it is
 * needed, a timer wheel; of a partition one hl_due for all of it, of a strand its `due_ns`. What
 * becomes of an event is decided in guard.c; here it is kept, counted, found by key, and brought
 * back when it is due.
 *
 * Where an event is, and what counts it in its cell:
 *
 *   IN_HAND   in the handler, or between two places    nothing (running)
 *   WAITING   in the wheel, until it is tried again    in_retry
 *   BURIED    a dead letter that found no room yet     in_retry
 *   BEHIND    behind an earlier event of its key       held
 *   HELD      its breaker is open                      held
 *
 * Of a subscription that keeps the order of each key, the first kept event of a key heads it: later
 * ones queue up behind, and the next one takes its place when it has its outcome.
 *
 * All on the thread that turns the partition, or by the worker that has the strand (HELD, async.h),
 * which alone then write ward, keepers and cells; making and freeing on the control plane. What the
 * strands of one subscription have in common is behind a lock: its breaker (hl_fuse) and its rooms.
 */
#ifndef HL_FAULT_WARD_H
#define HL_FAULT_WARD_H

#include <stdalign.h>

#include <hotlane/dlq.h>

#include "bus/async.h"
#include "bus/dispatch.h"
#include "fault/breaker.h"
#include "fault/short_lock.h"
#include "fault/timer_wheel.h"

#define HL_WARD_AT_ONCE 0 /* a due time: at the next look, not at the wheel's next tick */
#define HL_UNBURY_NS    (100 * HL_MICROSECOND) /* between two tries to hand dead letters over */

typedef struct hl_kept hl_kept;
typedef struct hl_keeper hl_keeper;

typedef enum hl_kept_place {
    HL_KEPT_IN_HAND = 0,
    HL_KEPT_WAITING,
    HL_KEPT_BURIED,
    HL_KEPT_BEHIND,
    HL_KEPT_HELD
} hl_kept_place;

/* A timer of the ward's wheel: of a kept event, or of a keeper whose held events ask again. */
typedef struct hl_ward_timer {
    hl_timer timer; /* first */
    hl_keeper *keeper;
    bool is_probe; /* a keeper's; else it is the first member of an hl_kept */
} hl_ward_timer;

/* Room for so many events, of one partition or one subscription's hold. */
typedef struct hl_kept_pool {
    bool is_shared; /* by the strands of a subscription: its list is under `lock` */
    uint32_t lock;
    unsigned char *memory;
    unsigned char *first; /* aligned */
    size_t stride_bytes;
    uint32_t capacity;
    uint32_t begun; /* of them used at least once */
    hl_kept *free;
} hl_kept_pool;

typedef struct hl_kept_queue {
    hl_kept *first, *last;
} hl_kept_queue;

struct hl_kept {
    hl_ward_timer timer; /* first */
    hl_kept_place place;
    bool heads_key;
    bool is_settled;    /* redriven: its outcome is posted */
    bool was_handled;   /* the handler has returned HL_OK for it */
    hl_kept_pool *home; /* NULL: memory of its own, of a redriven letter */
    hl_kept *next;      /* of its queue, or of the free ones */
    hl_kept_queue behind;
    hl_kept *next_of_bucket;
    hl_kept *next_of_keeper, *previous_of_keeper;
    uint32_t attempts; /* deliveries so far */
    int32_t error_code;
    hl_dead_reason reason;
    uint64_t first_failed_ns, last_failed_ns;
    uint64_t redriven_id; /* of the letter that it came from; 0: none */
    uint32_t names[2];    /* redriven: of the subscription and its pattern, as of a keeper */
    hl_outlet *full;      /* it waits for room there; NULL: it does not */
    uint32_t full_slots;
    char error_text[HL_DEAD_TEXT_BYTES];
    alignas(64) hl_event event; /* and its payload */
};

/* A breaker and what it holds: of one cell; or of an async subscription, for all its strands. */
typedef struct hl_fuse {
    hl_async *async; /* NULL: of one cell, without a lock */
    uint32_t lock;
    uint32_t state; /* hl_breaker_state of the breaker, for others to read */
    hl_breaker breaker;
    hl_kept_pool hold_pool; /* of capacity 0 unless the breaker holds */
} hl_fuse;

/* What stands by one cell (cell->guarded). */
struct hl_keeper {
    hl_ward_timer probe; /* set while events are held */
    hl_cell *cell;
    hl_ward *ward;
    hl_partition *partition; /* whose events they are */
    hl_fuse *fuse;
    hl_retry_options retry;
    uint32_t names[2]; /* of the subscription and of its pattern, in the letters' dictionary */
    bool is_ordered;
    bool has_breaker;
    hl_call force_call;    /* has the partition look at force_wanted */
    uint32_t force_wanted; /* FORCE (fuse.h): hl_breaker_force */
    uint64_t force_asked;  /* FORCE: the call is under way */
    uint64_t trip_wanted;  /* FORCE: the watchdog wants it open */
    hl_fuse own_fuse;
    hl_kept *kept; /* all of this cell */
    hl_kept_queue held;
};

struct hl_ward {
    hl_due due; /* first; open while anything is kept */
    bool is_open;
    hl_bus *bus;
    hl_partition *partition; /* NULL: it is a strand's */
    hl_strand *strand;       /* NULL: it is a partition's */
    hl_worker *worker;       /* that has the strand; NULL: a partition's, or the end */
    hl_executor *counting;   /* a strand's: whose counters (HL_KEPT) say what is kept */
    uint64_t now_ns;         /* as of the call in hand */
    bool is_flushed;         /* the bus stops: nothing waits for its time any more */
    hl_kept *in_hand;        /* delivered just now */
    hl_kept_queue buried;
    uint64_t unburied_ns;                  /* when the first of them is tried again */
    uint64_t errors_since_ns, errors_told; /* of system.error lately */
    uint64_t errors_untold;                /* others may read it */
    uint32_t count;                        /* kept in all */
    uint32_t of_level[HL_PRIORITIES];
    hl_kept_pool *pool;
    hl_kept_pool own_pool;
    hl_kept **buckets;
    uint32_t bucket_mask;
    hl_wheel wheel;
};

/* Of a partition, with rooms for `events` copies; of a strand, in a pool that is the caller's.
 * `events`: how many it has buckets for. NULL: no memory. */
hl_ward *hl_ward_make(hl_partition *partition, uint32_t events);
hl_ward *hl_ward_make_for_strand(hl_bus *bus, hl_strand *strand, hl_kept_pool *pool,
                                 uint32_t events);
void hl_ward_free(hl_ward *ward); /* NULL is nothing */

/* False: no memory. Capacity 0: always full. */
bool hl_kept_pool_make(hl_kept_pool *pool, uint32_t capacity, uint32_t slot_size_bytes);
void hl_kept_pool_free(hl_kept_pool *pool);

/* Copies an event, IN_HAND, with its attempts so far. NULL: the pool is full. */
hl_kept *hl_ward_keep(hl_keeper *keeper, hl_kept_pool *pool, const hl_event *event);

/* Takes in one that came with memory of its own, IN_HAND. */
void hl_ward_admit(hl_keeper *keeper, hl_kept *kept);

/* The kept event that heads a key of a cell, or NULL. */
hl_kept *hl_ward_find(const hl_keeper *keeper, uint64_t key);

/* One that waits for its time, or behind another of its key that does: of an event with this
 * sequence; or NULL. Of a partition's ward, not for what was redriven. */
hl_kept *hl_ward_find_waiting(const hl_ward *ward, uint64_t sequence);

/* From IN_HAND to a place; of an ordered keeper, an event that none of its key is before heads it
 * (but BEHIND). */
void hl_ward_wait(hl_kept *kept, uint64_t due_ns);
void hl_ward_wait_behind(hl_kept *kept, hl_kept *head);
void hl_ward_hold(hl_kept *kept);
void hl_ward_bury(hl_kept *kept);

/* Back to IN_HAND, from its place. The first of a queue only. */
hl_kept *hl_ward_unhold(hl_keeper *keeper);
hl_kept *hl_ward_unbury(hl_ward *ward);

/* The next that is due, IN_HAND, or the keeper whose held events ask again (*ret_probe); both NULL:
 * there is none. */
hl_kept *hl_ward_expire(hl_ward *ward, hl_keeper **ret_probe);

/* An event IN_HAND has its outcome, which is counted: the next of its key is due. Gives the room
 * back; one with memory of its own is the caller's. */
void hl_ward_release(hl_kept *kept);

/* Takes an event out of the place that it is in, which is not BEHIND: IN_HAND. */
void hl_ward_take_out(hl_kept *kept);

/* A cell with nothing kept, and a breaker that has nothing to remember, costs nothing again. After
 * either has changed. */
void hl_ward_set_state(const hl_keeper *keeper);

/* Sets, opens or closes the due by what is kept now; of a strand, says in it when it is to be
 * served. At the end of each call on the ward. */
void hl_ward_settle(hl_ward *ward);

#endif
