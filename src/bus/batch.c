#include "bus/batch.h"

#include "bus/bus.h"

/* Events of a batch that is not yet full. The partition's thread. */
typedef struct hl_batch_box {
    hl_due due; /* first: open while there is an event in it */
    hl_batch_handler handler;
    uint32_t max_events;
    bool urgent;
    uint64_t wait_ns;
    uint32_t count;  /* events in it */
    uint32_t copied; /* of them in `copies` */
    const hl_event **events;
    unsigned char *copies;
    uint32_t slot_size_bytes;
    hl_cell *cell;
} hl_batch_box;

static void set_count(hl_batch_box *box, uint32_t count)
{
    box->count = count;
    hl_store_relaxed_u64(&box->cell->queued, count); /* Relaxed: a counter. */
}

static void empty(hl_partition *partition, hl_batch_box *box)
{
    set_count(box, 0);
    box->copied = 0;
    partition->open_boxes--;
    hl_due_close(partition, &box->due);
}

static void run(hl_partition *partition, hl_cell *cell, const hl_event *const *events,
                uint32_t count)
{
    if (hl_subscription_is_ending(cell->subscription)) {
        hl_count(&cell->cancelled, count);
        return;
    }
    const hl_batch_box *const box = cell->waiting;
    const hl_batch batch = {events, count};
    partition->out->batch_count = count;
    hl_dispatch_set_cause(partition, events[count - 1]);
    hl_store_relaxed_ptr((void **)(void *)&partition->current, cell); /* Relaxed: for statistics. */
    const hl_status status = box->handler(&batch, partition->out, cell->subscription->context);
    partition->out->batch_count = 0;
    hl_dispatch_finish(partition, cell, status, events, count);
    hl_dispatch_clear_cause(partition);
}

static void deliver(hl_partition *partition, hl_batch_box *box)
{
    const uint32_t count = box->count;
    set_count(box, 0); /* they are running, no more queued */
    run(partition, box->cell, box->events, count);
    empty(partition, box);
}

static void again(hl_partition *partition, hl_cell *cell, const hl_event *event)
{
    run(partition, cell, &event, 1);
}

static uint32_t serve(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    hl_batch_box *const box = (hl_batch_box *)(void *)due;
    const uint32_t count = box->count;
    (void)now_ns; /* a batch is due whole */
    deliver(partition, box);
    return count;
}

static void take(hl_partition *partition, hl_cell *cell, const hl_event *event)
{
    hl_batch_box *const box = cell->waiting;
    if (event->priority <= HL_HIGH && !box->urgent) {
        run(partition, cell, &event, 1);
        hl_dispatch_set_cause(partition, event);
        return;
    }
    if (box->count == 0) {
        box->due.due_ns = hl_due_after(partition->executor->now_ns, box->wait_ns);
        box->due.level = event->priority;
        partition->open_boxes++;
        hl_due_open(partition, &box->due);
    }
    if (event->priority < box->due.level)
        box->due.level = event->priority;
    if (hl_cell_is_flushed(cell, event)) {
        box->due.due_ns = partition->executor->now_ns;
        hl_due_advance(partition, &box->due);
    }
    box->events[box->count] = event;
    set_count(box, box->count + 1);
    if (box->count == box->max_events) {
        deliver(partition, box);
        hl_dispatch_set_cause(partition, event);
    }
}

static const hl_event *copy_event(const hl_batch_box *box, uint32_t place, const hl_event *event)
{
    unsigned char *const copy = box->copies + (size_t)place * box->slot_size_bytes;
    memcpy(copy, event, sizeof *event + event->payload_size);
    return (const hl_event *)(const void *)copy;
}

void hl_boxes_end_run(hl_partition *partition, bool interrupted)
{
    hl_due *due = partition->open_dues;
    while (due != NULL) {
        hl_due *const next = due->next;
        hl_batch_box *const box = (hl_batch_box *)(void *)due;
        if (due->serve != serve) {
            due = next;
            continue;
        }
        /* Not one event and a batch before what is higher: it is due already, at the next look. */
        if (box->wait_ns == 0 && !interrupted)
            deliver(partition, box);
        for (; box->copied < box->count; box->copied++)
            box->events[box->copied] = copy_event(box, box->copied, box->events[box->copied]);
        due = next;
    }
}

/* ---- a replay ---- */

static uint32_t place_of(const hl_batch_box *box, uint64_t sequence)
{
    uint32_t place = 0;
    while (place < box->count && box->events[place]->sequence != sequence)
        place++;
    return place;
}

/* The one that is due first, of those that hold the event; NULL: none does. */
static hl_batch_box *box_of(const hl_partition *partition, uint64_t sequence)
{
    hl_batch_box *first = NULL;
    for (hl_due *due = partition->open_dues; due != NULL; due = due->next) {
        hl_batch_box *const box = (hl_batch_box *)(void *)due;
        if (due->serve == serve && (first == NULL || due->due_ns < first->due.due_ns) &&
            place_of(box, sequence) != box->count)
            first = box;
    }
    return first;
}

bool hl_boxes_hurry(hl_partition *partition, uint64_t sequence)
{
    hl_batch_box *const box = box_of(partition, sequence);
    if (box == NULL)
        return false;
    const uint32_t count = place_of(box, sequence) + 1;
    const uint32_t left = box->count - count;
    set_count(box, left);
    run(partition, box->cell, box->events, count);
    if (left == 0) {
        empty(partition, box);
        return true;
    }
    /* Each to where its copy would be made, so that none is written over. */
    for (uint32_t i = 0; i < left; i++)
        box->events[i] = copy_event(box, i, box->events[count + i]);
    box->copied = left;
    box->due.due_ns = hl_due_after(box->events[0]->published_ns, box->wait_ns);
    hl_due_advance(partition, &box->due);
    return true;
}

/* ---- when it ends ---- */

static void flush(hl_partition *partition, hl_cell *cell)
{
    hl_batch_box *const box = cell->waiting;
    if (box->count != 0)
        deliver(partition, box);
}

static void cancel(hl_partition *partition, hl_cell *cell)
{
    hl_batch_box *const box = cell->waiting;
    if (box->count == 0)
        return;
    hl_count(&cell->cancelled, box->count);
    empty(partition, box);
}

static bool make(hl_cell *cell, const hl_partition *partition)
{
    const hl_subscription_options *const options = &cell->subscription->options;
    hl_batch_box *const box = hl_allocate(1, sizeof *box);
    if (box == NULL)
        return false;
    cell->waiting = box;
    box->cell = cell;
    box->due.serve = serve;
    box->handler = options->batch;
    box->max_events = options->batch_events;
    box->urgent = options->batch_urgent;
    box->wait_ns = options->batch_wait_ns;
    box->slot_size_bytes = partition->domain->config.slot_size_bytes;
    box->events = calloc(box->max_events, sizeof *box->events);
    box->copies = hl_allocate(box->max_events, box->slot_size_bytes);
    return box->events != NULL && box->copies != NULL;
}

static void free_box(hl_cell *cell)
{
    hl_batch_box *const box = cell->waiting;
    if (box == NULL)
        return;
    free(box->events);
    free(box->copies);
    free(box);
}

const hl_delivery hl_batch_delivery = {make, take, again, cancel, flush, free_box};
