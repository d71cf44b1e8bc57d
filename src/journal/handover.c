#include "journal/handover.h"

#include <stdio.h>
#include <time.h>

#include "affinity/pin.h"
#include "journal/adopt.h"
#include "journal/journals.h"
#include "journal/progress.h"
#include "journal/stream.h"

#define RUN_MOST     256 /* records read for one subscriber before another has its turn */
#define LOOK_EVERY   32 /* records between two looks at how far the partition is: its line is hot */
#define NAP_NS       (20 * HL_MICROSECOND)
#define NAP_NS_MAX   HL_MILLISECOND
#define TRY_AGAIN_NS (100 * HL_MILLISECOND) /* of a journal that cannot be read */

struct hl_past_run {
    struct hl_past_run *next;
    hl_handover *handover;
    hl_feed *feed;
    hl_async_box *box; /* NULL: not begun */
    hl_journal_filter filter;
    hl_packed_io *packed;
    hl_stream stream;
    hl_stream_item item; /* in hand, not put yet */
    bool has_item;
    uint64_t next_sequence; /* all below is put, told, or of no interest; 0: not known yet */
    uint64_t limit;         /* as last read: limit_of */
    uint64_t live_from;     /* S + 1; 0: the partition has not begun */
    uint64_t try_again_ns;  /* the journal could not be read; 0: it may be tried at once */
    bool told_that_it_waits;
};

struct hl_handover {
    hl_bus *bus;
    hl_feed *feeds;
    const hl_journal_keys *keys;
    hl_adoption names;
    hl_event *copy; /* with room for the largest payload of a slot */
    hl_past_run *runs;
    /* Under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    hl_past_run *incoming;
    bool thread_started;
    bool halt;
    pthread_t thread;
};

/* ---- the control plane ---- */

static void free_run(hl_past_run *run)
{
    hl_stream_close(&run->stream);
    hl_packed_io_free(run->packed);
    free(run);
}

/* Its names' pattern marks the topics that are wanted; the filter passes all, so that the stream
 * never reads on behind what may be shown in search of one. */
static hl_status open_stream(hl_past_run *run, const char *pattern, hl_error *error)
{
    const hl_journal_writer_options *const journal = &run->feed->options;
    hl_partition_directory name;
    char text[HL_PARTITION_DIRECTORY_SIZE];
    if (journal->shards > 1)
        snprintf(text, sizeof text, "%.64s.%u", journal->domain, journal->shard);
    else
        snprintf(text, sizeof text, "%.64s", journal->domain);
    if (!hl_partition_directory_parse(text, &name))
        return hl_error_set(error, HL_INVALID, "%s is no partition of a journal", text);
    const hl_status status = hl_stream_open(&run->stream, run->packed, journal->directory, &name,
                                            &run->filter, true, error);
    run->stream.names.pattern = pattern;
    hl_tail_view_init(&run->stream.tail, NULL); /* limit_of is its limit */
    return status;
}

static hl_status go_behind(hl_past_run *run, uint64_t sequence, bool may_miss, hl_error *error)
{
    const hl_status status = hl_stream_seek_sequence(&run->stream, sequence + 1, error);
    if (status != HL_OK || run->stream.removed_through == 0 || may_miss)
        return status;
    return hl_error_set(error, HL_GONE,
                        "%s: sequences %llu to %llu were removed by retention: begin behind them, "
                        "or say may_miss",
                        run->stream.directory, (unsigned long long)sequence + 1,
                        (unsigned long long)run->stream.removed_through);
}

static hl_status prepare(hl_partition *partition, const uint64_t *after_sequence, bool may_miss,
                         hl_past_run **ret_run, hl_error *error)
{
    hl_handover *const handover = hl_journals_handover(partition->bus);
    hl_past_run *const run = hl_allocate(1, sizeof *run);
    if (run == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory to read its past");
    run->handover = handover;
    run->feed = &handover->feeds[partition->number];
    run->packed = hl_packed_io_create(run->feed->options.io, handover->keys);
    hl_status status = run->packed != NULL
                           ? HL_OK
                           : hl_error_set(error, HL_NO_MEMORY, "no memory to read its past");
    if (status == HL_OK)
        status = open_stream(run, NULL, error);
    if (status == HL_OK)
        status = hl_stream_check_keys(&run->stream,
                                      after_sequence != NULL ? *after_sequence + 1 : 0, error);
    if (status == HL_OK && after_sequence != NULL) {
        run->next_sequence = *after_sequence + 1;
        status = go_behind(run, *after_sequence, may_miss, error);
    }
    if (status == HL_OK)
        *ret_run = run;
    else
        free_run(run);
    return status;
}

static void begin(hl_past_run *run, hl_async_box *box)
{
    hl_handover *const handover = run->handover;
    run->box = box;
    run->stream.names.pattern = box->async->subscription->pattern;
    /* What the search for the place has read of names was read without a pattern. */
    hl_segment_names_clear(&run->stream.names);
    run->stream.named_through = HL_JOURNAL_HEADER_SIZE;
    pthread_mutex_lock(&handover->lock);
    run->next = handover->incoming;
    handover->incoming = run;
    pthread_cond_signal(&handover->wake);
    pthread_mutex_unlock(&handover->lock);
}

const hl_past_source hl_handover_source = {.prepare = prepare, .discard = free_run, .begin = begin};

/* ---- reading for one subscriber ---- */

/* The last sequence that may be shown to it. */
static uint64_t limit_of(const hl_past_run *run)
{
    const hl_journal_progress *const progress = &run->feed->progress;
    /* What the partition has handed out of a sync domain is durable, or was let pass. */
    return run->feed->is_sync && run->live_from == 0 ? hl_journal_durable(progress)
                                                     : hl_journal_written(progress);
}

/* Whether it has read all that may be shown. */
static bool is_exhausted(hl_past_run *run)
{
    if (run->next_sequence > run->limit)
        run->limit = limit_of(run);
    return run->next_sequence > run->limit;
}

static void pass(hl_past_run *run, uint64_t last_sequence)
{
    if (last_sequence >= run->next_sequence)
        run->next_sequence = last_sequence + 1;
    run->has_item = false;
}

/* What is missing up to `last_sequence`, of what it does not get live. False: no room. */
static bool miss(hl_past_run *run, uint64_t first_sequence, uint64_t last_sequence)
{
    if (first_sequence < run->next_sequence)
        first_sequence = run->next_sequence;
    if (run->live_from != 0 && last_sequence >= run->live_from)
        last_sequence = run->live_from - 1;
    if (last_sequence >= first_sequence && last_sequence != 0 &&
        !hl_past_tell_missed(run->box, first_sequence, last_sequence))
        return false;
    pass(run, last_sequence);
    return true;
}

/* The event in hand under this bus's numbers. NULL: it has no room, or no topic, here. */
static const hl_event *adopt(const hl_past_run *run)
{
    hl_handover *const handover = run->handover;
    const hl_event *const event = run->item.event;
    const hl_partition *const partition = run->feed->partition;
    const hl_named_topic *const named = run->item.topic;
    if (sizeof *event + event->payload_size > hl_async_slot_bytes(partition))
        return NULL;
    const hl_topic_entry *const topic = hl_adopt_topic(&handover->names, event->topic, named->name,
                                                       (hl_topic_kind)named->kind, named->priority);
    if (topic == NULL)
        return NULL;
    hl_event *const copy = handover->copy;
    memcpy(copy, event, sizeof *event + event->payload_size);
    copy->topic = topic->number;
    copy->source = run->item.source != NULL
                       ? hl_adopt_source(&handover->names, event->source, run->item.source)
                       : 0;
    copy->flags |= HL_EVENT_REPLAYED;
    return copy;
}

static bool is_wanted(const hl_named_topic *topic)
{
    return topic != NULL && topic->name != NULL && topic->wanted == HL_TOPIC_WANTED;
}

/* Puts what is in hand. False: it has no room. */
static bool put_item(hl_past_run *run)
{
    const hl_stream_item *const item = &run->item;
    if (item->kind != HL_JOURNAL_EVENT)
        return miss(run, item->first_sequence, item->last_sequence);
    if (is_wanted(item->topic)) {
        const hl_event *const event = adopt(run);
        if (event == NULL)
            return miss(run, item->first_sequence, item->first_sequence);
        if (!hl_past_put(run->box, event))
            return false;
    }
    pass(run, item->first_sequence);
    return true;
}

/* Of what the partition had handed out when it began, nothing is on its way to the disk any more,
 * and yet it is not written: it was let pass without the journal. Or the bus stops, and the journal
 * has failed. */
static bool will_never_come(const hl_past_run *run)
{
    const hl_feed *const feed = run->feed;
    const hl_journal_state state = hl_journal_state_of(&feed->progress);
    /* GATE: relaxed; a stop waits until it is seen. */
    if (state != HL_JOURNAL_RUNNING &&
        hl_load_relaxed_u32(run->handover->bus->gate) != HL_GATE_OPEN)
        return true;
    /* FED: acquire; all that was handed out before S was known (START) is below it. */
    const uint64_t filled = hl_load_acquire_u64(&feed->filled);
    /* DONE: acquire, as the partition does: it is written, and `written` says so. */
    return hl_load_acquire_u64(&feed->done) == filled && run->next_sequence > limit_of(run);
}

static void cannot_read(hl_past_run *run, const hl_error *error)
{
    if (!run->told_that_it_waits)
        hl_past_tell_waits(run->box, run->next_sequence, error->text);
    run->told_that_it_waits = true;
    run->try_again_ns = hl_bus_now(run->handover->bus) + TRY_AGAIN_NS;
}

/* Opens it anew where it is. */
static bool try_again(hl_past_run *run)
{
    hl_error error;
    if (hl_bus_now(run->handover->bus) < run->try_again_ns)
        return false;
    hl_stream_close(&run->stream);
    hl_status status = open_stream(run, run->box->async->subscription->pattern, &error);
    if (status == HL_OK && run->next_sequence != 0)
        status = hl_stream_seek_sequence(&run->stream, run->next_sequence, &error);
    if (status != HL_OK)
        cannot_read(run, &error);
    else
        run->try_again_ns = 0;
    return status == HL_OK;
}

/* Takes the next record in hand. False: there is none now. */
static bool read_item(hl_past_run *run)
{
    hl_error error = {.text = ""};
    if (run->try_again_ns != 0 && !try_again(run))
        return false;
    if (is_exhausted(run))
        return run->live_from != 0 && will_never_come(run) &&
               miss(run, run->next_sequence, run->live_from - 1);
    const hl_status status = hl_stream_next(&run->stream, &run->item, &error);
    run->has_item = status == HL_OK;
    if (run->told_that_it_waits && (status == HL_OK || status == HL_NOT_FOUND)) {
        hl_past_tell_goes_on(run->box);
        run->told_that_it_waits = false;
    }
    if (status == HL_NOT_FOUND && hl_stream_position(&run->stream) > run->next_sequence) {
        /* Numbers that were reserved, and never given out. */
        run->next_sequence = hl_stream_position(&run->stream);
        return true;
    }
    if (status != HL_OK && status != HL_NOT_FOUND)
        cannot_read(run, &error);
    return run->has_item;
}

/* Asks the partition when it is time, and hears what it says; `look`: at how far that is. False:
 * the answer is to be waited for. */
static bool ask(hl_past_run *run, bool look)
{
    uint64_t last_sequence = 0;
    if (run->live_from != 0)
        return true;
    switch (hl_past_answered(run->box, &last_sequence)) {
    case HL_PAST_ATTACHED:
        run->live_from = last_sequence + 1;
        return true;
    case HL_PAST_ASKED:
        return false;
    case HL_PAST_LATER:
        hl_past_ask(run->box);
        return false;
    case HL_PAST_NOT_ASKED:
        break;
    }
    if (run->has_item ||
        (!is_exhausted(run) && !(look && hl_past_is_near(run->box, run->next_sequence))))
        return true;
    hl_past_ask(run->box);
    return false;
}

typedef enum run_state { RUN_MOVED, RUN_WAITS, RUN_OVER } run_state;

static run_state step(hl_past_run *run)
{
    bool moved = false;
    if (!hl_past_is_wanted(run->box))
        return hl_past_let_go(run->box) ? RUN_OVER : RUN_WAITS;
    for (uint32_t i = 0; i < RUN_MOST; i++) {
        if (!ask(run, i % LOOK_EVERY == 0))
            break;
        if (run->live_from != 0 && run->next_sequence >= run->live_from) {
            hl_past_finish(run->box);
            hl_past_let_go(run->box);
            return RUN_OVER;
        }
        if (run->has_item ? !put_item(run) : !read_item(run))
            break;
        moved = true;
    }
    return moved ? RUN_MOVED : RUN_WAITS;
}

/* ---- for all of them ---- */

static void take_incoming(hl_handover *handover)
{
    while (handover->incoming != NULL) {
        hl_past_run *const run = handover->incoming;
        handover->incoming = run->next;
        run->next = handover->runs;
        handover->runs = run;
    }
}

/* Whether anything moved. */
static bool turn(hl_handover *handover)
{
    bool moved = false;
    for (hl_past_run **at = &handover->runs; *at != NULL;) {
        hl_past_run *const run = *at;
        const run_state state = step(run);
        moved |= state != RUN_WAITS;
        if (state == RUN_OVER) {
            *at = run->next;
            free_run(run);
        } else {
            at = &run->next;
        }
    }
    return moved;
}

static void *handover_main(void *argument)
{
    hl_handover *const handover = argument;
    hl_error ignored; /* where it runs is a matter of taste */
    uint64_t nap_ns = NAP_NS;
    pthread_setname_np(pthread_self(), "hl-handover");
    (void)hl_pin_self((uint32_t)handover->bus->plan->housekeeping_cpu, &ignored);
    pthread_mutex_lock(&handover->lock);
    while (!handover->halt) {
        take_incoming(handover);
        if (handover->runs == NULL) {
            pthread_cond_wait(&handover->wake, &handover->lock);
            continue;
        }
        pthread_mutex_unlock(&handover->lock);
        if (turn(handover)) {
            nap_ns = NAP_NS;
        } else {
            /* A handler, the disk or a partition is waited for: none of them is to be burdened with
             * waking this one. */
            const struct timespec nap = {0, (long)nap_ns};
            nanosleep(&nap, NULL);
            nap_ns = 2 * nap_ns < NAP_NS_MAX ? 2 * nap_ns : NAP_NS_MAX;
        }
        pthread_mutex_lock(&handover->lock);
    }
    pthread_mutex_unlock(&handover->lock);
    return NULL;
}

void hl_handover_tick(hl_handover *handover)
{
    pthread_mutex_lock(&handover->lock);
    if (handover->bus->config.threads == HL_THREADS_MANUAL) {
        take_incoming(handover);
        pthread_mutex_unlock(&handover->lock);
        turn(handover);
        return;
    }
    if (handover->incoming != NULL && !handover->thread_started && !handover->halt)
        /* No thread now: the next tick tries again. */
        handover->thread_started =
            pthread_create(&handover->thread, NULL, handover_main, handover) == 0;
    pthread_mutex_unlock(&handover->lock);
}

void hl_handover_halt(hl_handover *handover)
{
    pthread_mutex_lock(&handover->lock);
    handover->halt = true;
    pthread_cond_signal(&handover->wake);
    pthread_mutex_unlock(&handover->lock);
    if (handover->thread_started)
        pthread_join(handover->thread, NULL);
    handover->thread_started = false;
    take_incoming(handover);
    while (handover->runs != NULL) {
        hl_past_run *const run = handover->runs;
        handover->runs = run->next;
        /* Nobody turns it any more: it is not to be waited for. */
        hl_executor_obey(run->feed->partition->executor);
        (void)hl_past_let_go(run->box);
        free_run(run);
    }
}

/* ---- made and freed ---- */

hl_handover *hl_handover_make(hl_bus *bus, hl_feed *feeds, const hl_journal_keys *keys)
{
    hl_handover *const handover = hl_allocate(1, sizeof *handover);
    uint32_t room = 0;
    if (handover == NULL)
        return NULL;
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        const uint32_t slot = hl_async_slot_bytes(&bus->partitions[i]);
        room = slot > room ? slot : room;
    }
    handover->bus = bus;
    handover->feeds = feeds;
    handover->keys = keys;
    handover->copy = hl_allocate(1, room);
    pthread_mutex_init(&handover->lock, NULL);
    pthread_cond_init(&handover->wake, NULL);
    if (hl_adoption_init(&handover->names, bus) && handover->copy != NULL)
        return handover;
    hl_handover_free(handover);
    return NULL;
}

void hl_handover_free(hl_handover *handover)
{
    if (handover == NULL)
        return;
    hl_adoption_free(&handover->names);
    pthread_mutex_destroy(&handover->lock);
    pthread_cond_destroy(&handover->wake);
    free(handover->copy);
    free(handover);
}
