#include "fault/ward.h"

#include "base/allocate.h"
#include "bus/bus.h"
#include "fault/guard.h"

#define FAR_NS (UINT64_MAX - 1) /* a time that all are due at */

/* ---- room ---- */

/* Bytes of an hl_kept for an event with its payload. */
static size_t kept_size_bytes(uint32_t payload_size)
{
    return (sizeof(hl_kept) + payload_size + alignof(hl_kept) - 1) / alignof(hl_kept) *
           alignof(hl_kept);
}

bool hl_kept_pool_make(hl_kept_pool *pool, uint32_t capacity, uint32_t slot_size_bytes)
{
    *pool = (hl_kept_pool){.capacity = capacity,
                           .stride_bytes =
                               kept_size_bytes(slot_size_bytes - (uint32_t)sizeof(hl_event))};
    if (capacity == 0)
        return true;
    /* calloc: pages that no failure uses are never touched. */
    pool->memory = calloc(capacity + 1, pool->stride_bytes);
    const uintptr_t address = (uintptr_t)pool->memory;
    pool->first = pool->memory + (-address & (alignof(hl_kept) - 1));
    return pool->memory != NULL;
}

void hl_kept_pool_free(hl_kept_pool *pool)
{
    free(pool->memory);
    pool->memory = NULL;
}

static hl_kept *take_unshared(hl_kept_pool *pool)
{
    hl_kept *const kept = pool->free;
    if (kept != NULL) {
        pool->free = kept->next;
        return kept;
    }
    if (pool->begun == pool->capacity)
        return NULL;
    return (hl_kept *)(void *)(pool->first + pool->stride_bytes * pool->begun++);
}

static hl_kept *take_room(hl_kept_pool *pool)
{
    if (!pool->is_shared)
        return take_unshared(pool);
    hl_short_lock(&pool->lock);
    hl_kept *const kept = take_unshared(pool);
    hl_short_unlock(&pool->lock);
    return kept;
}

static void give_room_back(hl_kept *kept)
{
    hl_kept_pool *const pool = kept->home;
    if (pool->is_shared)
        hl_short_lock(&pool->lock);
    kept->next = pool->free;
    pool->free = kept;
    if (pool->is_shared)
        hl_short_unlock(&pool->lock);
}

static hl_ward *make(hl_bus *bus, hl_kept_pool *pool, uint32_t events)
{
    hl_ward *const ward = hl_allocate(1, sizeof *ward);
    if (ward == NULL)
        return NULL;
    uint32_t buckets = 1;
    while (buckets < events)
        buckets *= 2;
    ward->bus = bus;
    ward->pool = pool != NULL ? pool : &ward->own_pool;
    ward->bucket_mask = buckets - 1;
    ward->buckets = calloc(buckets, sizeof(hl_kept *));
    hl_wheel_init(&ward->wheel, HL_WHEEL_SHIFT, hl_bus_now(bus));
    if (ward->buckets != NULL)
        return ward;
    hl_ward_free(ward);
    return NULL;
}

hl_ward *hl_ward_make(hl_partition *partition, uint32_t events)
{
    hl_ward *const ward = make(partition->bus, NULL, events);
    if (ward == NULL)
        return NULL;
    ward->partition = partition;
    ward->due.serve = hl_guard_serve;
    if (hl_kept_pool_make(ward->pool, events, partition->domain->config.slot_size_bytes))
        return ward;
    hl_ward_free(ward);
    return NULL;
}

hl_ward *hl_ward_make_for_strand(hl_bus *bus, hl_strand *strand, hl_kept_pool *pool,
                                 uint32_t events)
{
    hl_ward *const ward = make(bus, pool, events);
    if (ward != NULL)
        ward->strand = strand;
    return ward;
}

void hl_ward_free(hl_ward *ward)
{
    if (ward == NULL)
        return;
    hl_kept_pool_free(&ward->own_pool);
    free(ward->buckets);
    free(ward);
}

/* ---- queues ---- */

static void append(hl_kept_queue *queue, hl_kept *kept)
{
    kept->next = NULL;
    if (queue->first == NULL)
        queue->first = kept;
    else
        queue->last->next = kept;
    queue->last = kept;
}

static hl_kept *take_first(hl_kept_queue *queue)
{
    hl_kept *const first = queue->first;
    if (first != NULL)
        queue->first = first->next;
    return first;
}

static void remove_from(hl_kept_queue *queue, const hl_kept *kept)
{
    hl_kept_queue rest = {NULL, NULL};
    for (hl_kept *each; (each = take_first(queue)) != NULL;)
        if (each != kept)
            append(&rest, each);
    *queue = rest;
}

/* ---- keys ---- */

static hl_kept **bucket_of(const hl_keeper *keeper, uint64_t key)
{
    const uint64_t mixed = (key ^ (uintptr_t)keeper >> 6) * 0x9E3779B97F4A7C15u;
    return &keeper->ward->buckets[(uint32_t)(mixed >> 32) & keeper->ward->bucket_mask];
}

hl_kept *hl_ward_find(const hl_keeper *keeper, uint64_t key)
{
    hl_kept *kept = *bucket_of(keeper, key);
    while (kept != NULL && (kept->timer.keeper != keeper || kept->event.key != key))
        kept = kept->next_of_bucket;
    return kept;
}

static void head_key(hl_kept *kept)
{
    const hl_keeper *const keeper = kept->timer.keeper;
    if (!keeper->is_ordered || kept->heads_key)
        return;
    hl_kept **const bucket = bucket_of(keeper, kept->event.key);
    kept->heads_key = true;
    kept->next_of_bucket = *bucket;
    *bucket = kept;
}

static void unhead_key(hl_kept *kept)
{
    hl_kept **at = bucket_of(kept->timer.keeper, kept->event.key);
    while (*at != kept)
        at = &(*at)->next_of_bucket;
    *at = kept->next_of_bucket;
    kept->heads_key = false;
}

/* ---- sequences ---- */

hl_kept *hl_ward_find_waiting(const hl_ward *ward, uint64_t sequence)
{
    const hl_kept_pool *const pool = ward->pool;
    for (uint32_t i = 0; ward->count != 0 && i < pool->begun; i++) {
        /* A room that is free is IN_HAND: that is how it was given back. */
        hl_kept *kept = (hl_kept *)(void *)(pool->first + pool->stride_bytes * i);
        if (kept->place == HL_KEPT_IN_HAND || kept->event.sequence != sequence)
            continue;
        if (kept->place == HL_KEPT_BEHIND)
            kept = hl_ward_find(kept->timer.keeper, kept->event.key);
        if (kept != NULL && kept->place == HL_KEPT_WAITING && kept->full == NULL)
            return kept;
    }
    return NULL;
}

/* ---- places ---- */

static uint64_t *counter_of(const hl_kept *kept)
{
    hl_cell *const cell = kept->timer.keeper->cell;
    switch (kept->place) {
    case HL_KEPT_WAITING:
    case HL_KEPT_BURIED:
        return &cell->in_retry;
    case HL_KEPT_BEHIND:
    case HL_KEPT_HELD:
        return &cell->held;
    case HL_KEPT_IN_HAND:
        break;
    }
    return NULL;
}

static void move(hl_kept *kept, hl_kept_place place)
{
    uint64_t *const from = counter_of(kept);
    if (from != NULL)
        hl_count(from, (uint64_t)-1);
    kept->place = place;
    uint64_t *const to = counter_of(kept);
    if (to != NULL)
        hl_count(to, 1);
}

void hl_ward_admit(hl_keeper *keeper, hl_kept *kept)
{
    hl_ward *const ward = keeper->ward;
    kept->timer.keeper = keeper;
    kept->next_of_keeper = keeper->kept;
    if (keeper->kept != NULL)
        keeper->kept->previous_of_keeper = kept;
    keeper->kept = kept;
    ward->count++;
    if (ward->strand != NULL)
        hl_count(&ward->counting->handed[HL_KEPT], 1); /* DRAINED: before it leaves its queue */
    ward->of_level[kept->event.priority % HL_PRIORITIES]++;
}

hl_kept *hl_ward_keep(hl_keeper *keeper, hl_kept_pool *pool, const hl_event *event)
{
    hl_kept *const kept = take_room(pool);
    if (kept == NULL)
        return NULL;
    memset(kept, 0, offsetof(hl_kept, error_text) + 1);
    memcpy(&kept->event, event, sizeof *event + event->payload_size);
    kept->home = pool;
    kept->attempts = event->attempt;
    hl_ward_admit(keeper, kept);
    return kept;
}

void hl_ward_wait(hl_kept *kept, uint64_t due_ns)
{
    hl_ward *const ward = kept->timer.keeper->ward;
    head_key(kept);
    move(kept, HL_KEPT_WAITING);
    hl_wheel_add(&ward->wheel, &kept->timer.timer, due_ns, ward->now_ns);
}

void hl_ward_wait_behind(hl_kept *kept, hl_kept *head)
{
    move(kept, HL_KEPT_BEHIND);
    append(&head->behind, kept);
}

void hl_ward_hold(hl_kept *kept)
{
    head_key(kept);
    move(kept, HL_KEPT_HELD);
    append(&kept->timer.keeper->held, kept);
}

void hl_ward_bury(hl_kept *kept)
{
    hl_ward *const ward = kept->timer.keeper->ward;
    if (hl_ward_find(kept->timer.keeper, kept->event.key) == NULL)
        head_key(kept);
    move(kept, HL_KEPT_BURIED);
    append(&ward->buried, kept);
    ward->unburied_ns = hl_due_after(ward->now_ns, HL_UNBURY_NS);
}

hl_kept *hl_ward_unhold(hl_keeper *keeper)
{
    hl_kept *const kept = take_first(&keeper->held);
    move(kept, HL_KEPT_IN_HAND);
    return kept;
}

hl_kept *hl_ward_unbury(hl_ward *ward)
{
    hl_kept *const kept = take_first(&ward->buried);
    if (kept != NULL)
        move(kept, HL_KEPT_IN_HAND);
    return kept;
}

hl_kept *hl_ward_expire(hl_ward *ward, hl_keeper **ret_probe)
{
    const uint64_t now_ns = ward->is_flushed ? FAR_NS : ward->now_ns;
    hl_ward_timer *timer = NULL;
    /* A call may use its budget moving timers down: it is made again, a bounded number of times. */
    while (timer == NULL && hl_wheel_is_due(&ward->wheel, now_ns))
        timer = (hl_ward_timer *)(void *)hl_wheel_expire(&ward->wheel, now_ns);
    *ret_probe = timer != NULL && timer->is_probe ? timer->keeper : NULL;
    if (timer == NULL || timer->is_probe)
        return NULL;
    hl_kept *const kept = (hl_kept *)(void *)timer;
    move(kept, HL_KEPT_IN_HAND);
    return kept;
}

/* The next one of the key takes its place, and is due. */
static void promote(hl_kept *head)
{
    hl_kept *const next = take_first(&head->behind);
    unhead_key(head);
    if (next == NULL)
        return;
    next->behind = head->behind;
    hl_ward_wait(next, HL_WARD_AT_ONCE);
}

void hl_ward_take_out(hl_kept *kept)
{
    hl_keeper *const keeper = kept->timer.keeper;
    switch (kept->place) {
    case HL_KEPT_WAITING:
        hl_wheel_cancel(&keeper->ward->wheel, &kept->timer.timer);
        break;
    case HL_KEPT_BURIED:
        remove_from(&keeper->ward->buried, kept);
        break;
    case HL_KEPT_HELD:
        remove_from(&keeper->held, kept);
        break;
    case HL_KEPT_BEHIND:
    case HL_KEPT_IN_HAND:
        break;
    }
    move(kept, HL_KEPT_IN_HAND);
}

void hl_ward_release(hl_kept *kept)
{
    hl_keeper *const keeper = kept->timer.keeper;
    hl_ward *const ward = keeper->ward;
    if (kept->heads_key)
        promote(kept);
    if (kept->previous_of_keeper != NULL)
        kept->previous_of_keeper->next_of_keeper = kept->next_of_keeper;
    else
        keeper->kept = kept->next_of_keeper;
    if (kept->next_of_keeper != NULL)
        kept->next_of_keeper->previous_of_keeper = kept->previous_of_keeper;
    ward->count--;
    ward->of_level[kept->event.priority % HL_PRIORITIES]--;
    if (ward->strand != NULL) {
        uint64_t *const finished = &ward->counting->finished[HL_KEPT];
        /* DRAINED: (executor.h) release, after what its handler published is counted. */
        hl_store_release_u64(finished, hl_load_relaxed_u64(finished) + 1);
    }
    if (kept->home != NULL)
        give_room_back(kept);
}

/* ---- when ---- */

static uint64_t next_due_ns(const hl_ward *ward)
{
    const uint64_t timers_ns = hl_wheel_next_due(&ward->wheel);
    const uint64_t buried_ns = ward->buried.first != NULL ? ward->unburied_ns : UINT64_MAX;
    return timers_ns < buried_ns ? timers_ns : buried_ns;
}

void hl_ward_settle(hl_ward *ward)
{
    if (ward->strand != NULL) {
        const uint64_t due_ns = ward->count != 0 ? next_due_ns(ward) : UINT64_MAX;
        hl_store_relaxed_u64(&ward->strand->due_ns, due_ns); /* Relaxed: a hint to others. */
        return;
    }
    if (ward->count == 0) {
        if (ward->is_open)
            hl_due_close(ward->partition, &ward->due);
        ward->is_open = false;
        return;
    }
    ward->due.due_ns = next_due_ns(ward);
    ward->due.level = 0;
    while (ward->of_level[ward->due.level] == 0)
        ward->due.level++;
    if (ward->is_open)
        hl_due_advance(ward->partition, &ward->due);
    else
        hl_due_open(ward->partition, &ward->due);
    ward->is_open = true;
}

void hl_ward_set_state(const hl_keeper *keeper)
{
    hl_cell *const cell = keeper->cell;
    /* Relaxed: this thread alone writes it. */
    const uint32_t state = hl_load_relaxed_u32(&cell->state);
    if (state != HL_CELL_ATTACHED && state != HL_CELL_GUARDED)
        return;
    /* Of a strand, async.wary says it of the breaker. */
    const hl_fuse *const fuse = keeper->fuse;
    const bool guarded = keeper->kept != NULL ||
                         (keeper->has_breaker && fuse->async == NULL && fuse->breaker.busy != 0);
    const uint32_t wanted = guarded ? HL_CELL_GUARDED : HL_CELL_ATTACHED;
    /* START: (subscription.h) relaxed: start_sequence was published with the first state. */
    if (state != wanted)
        hl_store_relaxed_u32(&cell->state, wanted);
}
