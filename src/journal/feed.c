#include "journal/feed.h"

#include <stdio.h>

#include <hotlane/system.h>

#include "bus/batch.h"
#include "bus/hold.h"
#include "journal/progress.h"
#include "journal/scribe.h"

#define LOOK_AGAIN_NS (50 * HL_MICROSECOND)

static hl_feed *feed_of(const hl_partition *partition)
{
    return (hl_feed *)(void *)partition->recorder;
}

/* ---- going on without the disk ---- */

static void tell(const hl_feed *feed, bool degraded)
{
    const hl_system_journal news = {.partition = feed->partition->number,
                                    .state = (uint32_t)hl_journal_state_of(&feed->progress),
                                    .degraded = degraded,
                                    .unjournaled = feed->unjournaled,
                                    .sequence = feed->partition->sequence,
                                    .written_sequence = hl_journal_written(&feed->progress),
                                    .durable_sequence = hl_journal_durable(&feed->progress)};
    hl_notice(feed->partition->bus, HL_TOPIC_JOURNAL_DEGRADED, news.partition, &news, sizeof news);
}

/* Relaxed both: others read it for statistics. */
static bool is_degraded(const hl_feed *feed)
{
    return hl_load_relaxed_u32(&feed->degraded) != 0; /* Relaxed: as said. */
}

static void set_degraded(hl_feed *feed, bool degraded)
{
    hl_store_relaxed_u32(&feed->degraded, degraded); /* Relaxed: as said. */
    if (degraded)
        hl_count(&feed->degradations, 1);
    tell(feed, degraded);
}

/* Whether the policy lets events pass, now that the journal has not moved for so long. */
static bool patience_is_over(hl_feed *feed)
{
    if (!feed->goes_on)
        return false;
    const uint64_t now_ns = feed->partition->executor->now_ns;
    if (feed->stuck_since_ns == 0)
        feed->stuck_since_ns = now_ns;
    return now_ns - feed->stuck_since_ns >= feed->patience_ns;
}

/* ---- room ---- */

/* The slots before this position may be overwritten. */
static uint64_t freed(const hl_feed *feed)
{
    return feed->is_sync && feed->handed_out < feed->done_seen ? feed->handed_out : feed->done_seen;
}

static void look_at_journal(hl_feed *feed)
{
    /* DONE: acquire, what lies before it is no longer read. */
    feed->done_seen = hl_load_acquire_u64(&feed->done);
    feed->reserved_seen = hl_progress_read(&feed->progress.reserved_through);
}

/* It goes by the rules again when half of the ring is free. */
static void end_degradation(hl_feed *feed)
{
    look_at_journal(feed);
    if (hl_journal_state_of(&feed->progress) == HL_JOURNAL_RUNNING &&
        feed->filled - freed(feed) <= feed->mask / 2)
        set_degraded(feed, false);
}

static inline bool has_slot(const hl_feed *feed, uint64_t sequence)
{
    return feed->filled - freed(feed) <= feed->mask && sequence <= feed->reserved_seen;
}

static bool find_slot(hl_feed *feed, uint64_t sequence)
{
    if (has_slot(feed, sequence))
        return true;
    look_at_journal(feed);
    if (!has_slot(feed, sequence) && feed->scribe == NULL) {
        hl_scribe_turn(feed, true);
        look_at_journal(feed);
    }
    if (!has_slot(feed, sequence))
        return false;
    feed->stuck_since_ns = 0;
    return true;
}

/* There is no slot: whether the event may pass without one. Never above the reserved sequences: an
 * id would be used twice; and not before those that are in flight. */
static bool may_pass(hl_feed *feed, uint64_t sequence)
{
    if (!is_degraded(feed) && !patience_is_over(feed))
        return false;
    if (!is_degraded(feed))
        set_degraded(feed, true);
    return sequence <= feed->reserved_seen && feed->partition->in_flight == 0;
}

static bool has_room(hl_partition *partition)
{
    hl_feed *const feed = feed_of(partition);
    const uint64_t sequence = partition->sequence + 1;
    return find_slot(feed, sequence) || may_pass(feed, sequence);
}

/* ---- taking ---- */

static void copy_event(hl_feed *feed, const hl_event *event, uint8_t priority)
{
    hl_event *const copy = hl_feed_event(feed, feed->filled);
    /* What a publisher has made of the size is not to be trusted. */
    const uint32_t room = feed->slot_size_bytes - (uint32_t)sizeof *event;
    const uint32_t size = event->payload_size < room ? event->payload_size : room;
    memcpy(copy, event, sizeof *event + size);
    copy->payload_size = size;
    copy->priority = priority;
}

static void open_due(hl_feed *feed);

static __attribute__((noinline)) hl_record_outcome refuse(hl_feed *feed, uint64_t sequence)
{
    if (!may_pass(feed, sequence))
        return HL_RECORD_NO_ROOM;
    hl_count(&feed->unjournaled, 1);
    return HL_RECORD_TAKEN;
}

static hl_record_outcome take(hl_partition *partition, const hl_lane *lane, const hl_event *event)
{
    hl_feed *const feed = feed_of(partition);
    if (__builtin_expect(is_degraded(feed), 0))
        end_degradation(feed);
    if (__builtin_expect(!has_slot(feed, event->sequence), 0) && !find_slot(feed, event->sequence))
        return refuse(feed, event->sequence);
    const uint8_t priority = (uint8_t)(lane - partition->lanes);
    copy_event(feed, event, priority);
    hl_store_release_u64(&feed->filled, feed->filled + 1); /* FED: release, the copy is whole. */
    if (feed->scribe != NULL)
        hl_sleeper_notify(&feed->scribe->sleeper);
    if (!feed->is_sync)
        return HL_RECORD_TAKEN;
    feed->in_flight_of[priority]++;
    open_due(feed);
    return HL_RECORD_WITHHELD;
}

/* ---- sync: handing out what is durable ---- */

/* The highest priority in flight. */
static uint32_t level_of(const hl_feed *feed)
{
    uint32_t level = 0;
    while (level < HL_BACKGROUND && feed->in_flight_of[level] == 0)
        level++;
    return level;
}

static bool may_hand_out(hl_feed *feed)
{
    if (feed->handed_out == feed->filled)
        return false;
    return is_degraded(feed) || hl_feed_event(feed, feed->handed_out)->sequence <=
                                    hl_progress_read(&feed->progress.durable_sequence);
}

static bool is_ready(hl_partition *partition, hl_due *due)
{
    hl_feed *const feed = feed_of(partition);
    if (feed->is_blocked)
        return due->due_ns <= partition->executor->now_ns;
    if (may_hand_out(feed))
        return true;
    if (feed->scribe == NULL) {
        hl_scribe_turn(feed, true);
        return may_hand_out(feed);
    }
    if (!patience_is_over(feed))
        return false;
    set_degraded(feed, true);
    return true;
}

/* When it is to be looked at, if the journal's thread does not wake the executor before. */
static uint64_t look_at_ns(const hl_feed *feed)
{
    return feed->goes_on ? hl_due_after(feed->partition->executor->now_ns, feed->patience_ns)
                         : UINT64_MAX;
}

static uint32_t serve(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    hl_feed *const feed = feed_of(partition);
    hl_executor *const executor = partition->executor;
    uint32_t served = 0;
    (void)now_ns;
    feed->is_blocked = false;
    feed->stuck_since_ns = 0;
    while (served < HL_RUN_MAX && may_hand_out(feed)) {
        const hl_event *const event = hl_feed_event(feed, feed->handed_out);
        const uint32_t level = event->priority;
        if (!hl_dispatch_sequenced(partition, event)) {
            feed->is_blocked = true;
            break;
        }
        feed->in_flight_of[level]--;
        feed->handed_out++;
        served++;
        if (hl_command_waiting(&executor->commands) || (hl_executor_higher_stirs(executor, level) &&
                                                        hl_executor_higher_waits(executor, level)))
            break;
    }
    if (partition->open_boxes != 0)
        hl_boxes_end_run(partition, false);
    hl_count(&executor->events, served);
    if (served != 0) {
        look_at_journal(feed);
        hl_inlets_release(partition, &hl_held_by_journal);
    }
    due->level = level_of(feed);
    due->due_ns =
        feed->is_blocked ? hl_due_after(executor->now_ns, LOOK_AGAIN_NS) : look_at_ns(feed);
    if (feed->handed_out == feed->filled) {
        feed->due_is_open = false;
        hl_due_close(partition, due);
    }
    return served;
}

static void open_due(hl_feed *feed)
{
    hl_due *const due = &feed->due;
    due->level = level_of(feed);
    if (feed->due_is_open)
        return;
    feed->due_is_open = true;
    due->serve = serve;
    due->is_ready = is_ready;
    due->due_ns = look_at_ns(feed);
    hl_due_open(feed->partition, due);
}

/* ---- the application's thread, where it turns the bus itself ---- */

static void rest(hl_partition *partition)
{
    hl_feed *const feed = feed_of(partition);
    if (feed->scribe == NULL)
        hl_scribe_turn(feed, false);
}

/* ---- why it does not run ---- */

void hl_feed_set_reason(hl_feed *feed, const char *reason)
{
    pthread_mutex_lock(&feed->lock);
    snprintf(feed->reason, sizeof feed->reason, "%.159s", reason);
    pthread_mutex_unlock(&feed->lock);
}

void hl_feed_reason(const hl_feed *feed, char ret_reason[160])
{
    pthread_mutex_t *const lock = (pthread_mutex_t *)(uintptr_t)&feed->lock;
    pthread_mutex_lock(lock);
    memcpy(ret_reason, feed->reason, sizeof feed->reason);
    pthread_mutex_unlock(lock);
}

/* ---- made and freed ---- */

hl_status hl_feed_init(hl_feed *feed, hl_partition *partition, hl_error *error)
{
    const hl_bus *const bus = partition->bus;
    const hl_domain_config *const domain = &partition->domain->config;
    const hl_memory_options options = {.numa_node = partition->numa_node,
                                       .want_huge_pages = bus->config.huge_pages,
                                       .want_lock = bus->config.lock_memory,
                                       .dont_fork = true};
    feed->recorder = (hl_recorder){.take = take, .has_room = has_room, .rest = rest};
    feed->partition = partition;
    pthread_mutex_init(&feed->lock, NULL);
    feed->mask = domain->journal_slots - 1;
    feed->slot_size_bytes = domain->slot_size_bytes;
    feed->is_sync = domain->durability == HL_DURABILITY_SYNC;
    feed->goes_on = domain->journal_policy == HL_JOURNAL_GO_ON;
    feed->patience_ns = domain->journal_patience_ns;
    const hl_status status = hl_memory_map((size_t)domain->journal_slots * feed->slot_size_bytes,
                                           &options, &feed->memory, error);
    feed->slots = feed->memory.address;
    return status;
}

void hl_feed_free(hl_feed *feed)
{
    hl_io_uring_free(feed->uring);
    hl_memory_unmap(&feed->memory);
}
