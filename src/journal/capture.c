#include "journal/capture.h"

#include <inttypes.h>
#include <stdio.h>

#include <hotlane/system.h>

#include "base/clock.h"
#include "journal/feed.h"

#define ROOM_TO_GROW 4096u

/* ---- taking: the partition's thread ---- */

/* Of the last event there was, when the partition has come to `sequence`. */
static uint64_t last_event(const hl_capture *capture, uint64_t sequence)
{
    return sequence > capture->partition->sequence_base ? sequence : capture->found_sequence;
}

static bool are_whole(const hl_capture *capture)
{
    for (uint32_t i = 0; i < capture->count; i++)
        if (!hl_aggregate_is_whole(capture->copies[i].aggregate, capture->partition->shard))
            return false;
    return true;
}

static bool copy_states(hl_capture *capture)
{
    bool whole = true;
    for (uint32_t i = 0; i < capture->count; i++) {
        hl_capture_copy *const one = &capture->copies[i];
        hl_state_writer writer = {.bytes = one->bytes, .room = one->room};
        hl_aggregate_save_shard(one->aggregate, capture->partition->shard, &writer);
        one->size = writer.size;
        whole &= one->size <= one->room;
    }
    return whole;
}

/* Of conflating lanes nothing is noted: a newer value of the key will come. */
static void note_output(hl_capture *capture)
{
    const hl_publisher *const out = capture->partition->out;
    capture->mark_count = 0;
    for (uint32_t i = 0; i < capture->mark_room; i++) {
        /* LANE: acquire, the outlet is whole. */
        const hl_outlet *const outlet =
            hl_load_acquire_ptr((void *const *)(const void *)&out->outlets[i]);
        if (outlet != NULL && outlet->exclusive.ring != NULL && outlet->seats == NULL)
            capture->marks[capture->mark_count++] =
                (hl_capture_mark){outlet, hl_spsc_claimed(&outlet->exclusive)};
    }
}

static void take(hl_executor *executor, hl_call *call)
{
    hl_capture *const this = (hl_capture *)(void *)call;
    hl_capture_state state = HL_CAPTURE_POSTPONED;
    (void)executor;
    if (are_whole(this)) {
        const uint64_t began_ns = hl_monotonic_ns();
        this->sequence = last_event(this, hl_partition_handed_out(this->partition));
        this->time_ns = hl_bus_now(this->partition->bus);
        note_output(this);
        state = copy_states(this) ? HL_CAPTURE_TAKEN : HL_CAPTURE_SHORT;
        this->held_ns = hl_monotonic_ns() - began_ns;
    }
    hl_store_release_u32(&this->state, state); /* TAKEN: release, the copies are whole. */
}

/* ---- asking: the taker ---- */

static const hl_feed *feed_of(const hl_capture *capture)
{
    return (const hl_feed *)(const void *)capture->partition->recorder;
}

void hl_capture_ask(hl_capture *capture)
{
    hl_executor *const executor = capture->partition->executor;
    /* TAKEN: release, the room is there. */
    hl_store_release_u32(&capture->state, HL_CAPTURE_ASKED);
    hl_executor_command(executor, &capture->call.command);
}

hl_capture_state hl_capture_take(hl_capture *capture)
{
    take(capture->partition->executor, &capture->call);
    return (hl_capture_state)capture->state;
}

bool hl_capture_make_room(hl_capture *capture)
{
    for (uint32_t i = 0; i < capture->count; i++) {
        hl_capture_copy *const one = &capture->copies[i];
        if (one->size <= one->room)
            continue;
        const size_t room = one->size + one->size / 4 + ROOM_TO_GROW;
        unsigned char *const bytes = malloc(room);
        if (bytes == NULL)
            return false;
        memset(bytes, 0, room);
        free(one->bytes);
        one->bytes = bytes;
        one->room = room;
    }
    return true;
}

uint64_t hl_capture_sequence_now(const hl_capture *capture)
{
    /* Relaxed: a number. */
    return last_event(capture, hl_load_relaxed_u64(&capture->partition->sequence));
}

bool hl_capture_is_due(const hl_capture *capture, uint64_t now_ns)
{
    const hl_config *const config = &capture->partition->bus->config;
    if (capture->stored_sequence < capture->goal)
        return true;
    const uint64_t fresh = hl_capture_sequence_now(capture) - capture->stored_sequence;
    return fresh != 0 && capture->partition->recorder != NULL && now_ns >= capture->retry_ns &&
           ((config->snapshot_events != 0 && fresh >= config->snapshot_events) ||
            (config->snapshot_interval_ns != 0 && now_ns >= capture->due_ns));
}

/* ---- writing ---- */

bool hl_capture_may_be_written(const hl_capture *capture)
{
    if (capture->partition->recorder == NULL)
        return true;
    if (capture->sequence > capture->found_sequence &&
        hl_journal_durable(&feed_of(capture)->progress) < capture->sequence)
        return false;
    for (uint32_t i = 0; i < capture->mark_count; i++) {
        const hl_capture_mark *const one = &capture->marks[i];
        /* RELEASED: (ring.h) acquire, what was released has got its sequence. */
        const uint64_t released = hl_load_acquire_u64(&one->outlet->exclusive.ring->released);
        if ((int64_t)(released - one->position) < 0)
            return false;
    }
    return true;
}

static void tell(const hl_capture *capture, const hl_capture_copy *one, hl_status status,
                 const hl_error *error)
{
    const hl_aggregate *const aggregate = one->aggregate;
    hl_system_snapshot news = {.partition = capture->partition->number,
                               .status = (uint32_t)status,
                               .version = aggregate->options.version,
                               .sequence = capture->sequence,
                               .bytes = one->size,
                               .held_ns = capture->held_ns};
    snprintf(news.aggregate, sizeof news.aggregate, "%s", aggregate->name);
    if (status != HL_OK)
        snprintf(news.text, sizeof news.text, "%.159s", error->text);
    hl_notice(aggregate->bus,
              status == HL_OK ? HL_TOPIC_SNAPSHOT_CREATED : HL_TOPIC_SNAPSHOT_FAILED,
              news.partition, &news, sizeof news);
}

static hl_status store_one(const hl_capture *capture, const hl_capture_copy *one, hl_error *error)
{
    hl_aggregate *const aggregate = one->aggregate;
    const hl_bus *const bus = aggregate->bus;
    const hl_journal_keys *const given = bus->aggregates->rebuilt_keys;
    hl_aggregate_shard *const shard = &aggregate->shards[capture->partition->shard];
    hl_cursor_position position = {.next_sequence = capture->sequence + 1};
    hl_snapshot snapshot = {.sequence = capture->sequence,
                            .time_ns = capture->time_ns,
                            .version = aggregate->options.version,
                            .positions_count = 1,
                            .positions = &position,
                            .payload = one->bytes,
                            .size = one->size};
    snprintf(position.partition, sizeof position.partition, "%.71s", capture->partition->out->name);
    hl_aggregate_snapshot_name(aggregate, capture->partition->shard, snapshot.name);
    const hl_status status = hl_snapshot_store(
        bus->config.journal_io != NULL ? bus->config.journal_io : hl_io_posix(),
        capture->partition->recorder != NULL ? bus->config.journal_dir
                                             : bus->aggregates->rebuilt_from,
        &snapshot, given != NULL ? given : bus->journal_keys, bus->config.snapshots_kept, error);
    hl_count(status == HL_OK ? &shard->snapshots : &shard->failures, 1);
    if (status == HL_OK) {
        hl_store_relaxed_u64(&shard->snapshot_sequence, capture->sequence); /* Relaxed: a number. */
        hl_store_relaxed_u64(&shard->snapshot_bytes, one->size);            /* Relaxed: likewise. */
    }
    tell(capture, one, status, error);
    return status;
}

hl_status hl_capture_write(hl_capture *capture, hl_error *error)
{
    const struct hl_aggregates *const all = capture->partition->bus->aggregates;
    hl_status status = HL_OK;
    if (all->rebuilt_ns != 0 && capture->partition->recorder == NULL)
        capture->time_ns = all->rebuilt_ns;
    for (uint32_t i = 0; i < capture->count; i++) {
        hl_error of_this;
        const hl_status stored = store_one(capture, &capture->copies[i], &of_this);
        if (stored != HL_OK && status == HL_OK) {
            status = stored;
            *error = of_this;
        }
    }
    return status;
}

void hl_capture_count_postponed(const hl_capture *capture)
{
    for (uint32_t i = 0; i < capture->count; i++)
        hl_count(&capture->copies[i].aggregate->shards[capture->partition->shard].postponed, 1);
}

/* ---- made and freed ---- */

static uint32_t aggregates_of(const hl_bus *bus, const hl_partition *partition,
                              hl_capture_copy *copies)
{
    uint32_t count = 0;
    for (hl_aggregate *one = bus->aggregates->first; one != NULL; one = one->next)
        if (one->domain == partition->domain) {
            if (copies != NULL)
                copies[count].aggregate = one;
            count++;
        }
    return count;
}

bool hl_capture_make(hl_capture *capture, hl_partition *partition)
{
    const hl_bus *const bus = partition->bus;
    const uint32_t count = aggregates_of(bus, partition, NULL);
    capture->call =
        (hl_call){.command = {.kind = HL_COMMAND_CALL, .subject = &capture->call}, .run = take};
    capture->partition = partition;
    capture->count = count;
    capture->mark_room = bus->partition_count * HL_PRIORITIES;
    capture->copies = calloc(count, sizeof *capture->copies);
    capture->marks = calloc(capture->mark_room, sizeof *capture->marks);
    capture->due_ns = hl_due_after(hl_bus_now(bus), bus->config.snapshot_interval_ns);
    capture->found_sequence = partition->recorder != NULL ? feed_of(capture)->recovery.last_sequence
                                                          : partition->sequence;
    capture->stored_sequence = capture->found_sequence;
    if (capture->copies == NULL || capture->marks == NULL)
        return false;
    aggregates_of(bus, partition, capture->copies);
    for (uint32_t i = 0; i < count; i++) {
        const hl_aggregate *const aggregate = capture->copies[i].aggregate;
        /* What was not loaded from a snapshot is worth one. */
        if (aggregate->shards[partition->shard].loaded_sequence < capture->stored_sequence)
            capture->stored_sequence = aggregate->shards[partition->shard].loaded_sequence;
    }
    return true;
}

void hl_capture_free(hl_capture *capture)
{
    for (uint32_t i = 0; capture->copies != NULL && i < capture->count; i++)
        free(capture->copies[i].bytes);
    free(capture->copies);
    free(capture->marks);
}

/* Whether the states of a partition are what all its journal's events make of them: those that went
 * on behind a journal without a rebuild are not, and must not become a snapshot. */
static bool is_whole(const hl_bus *bus, const hl_partition *partition)
{
    const bool is_rebuilt = bus->aggregates->rebuilt_from != NULL;
    if (partition->recorder != NULL)
        return is_rebuilt || partition->sequence_base == 0;
    /* From elsewhere: who recovers from that journal has its last outputs to publish. */
    return is_rebuilt && partition->sequence != 0 && !bus->aggregates->unsettled[partition->number];
}

bool hl_capture_is_wanted(const hl_partition *partition)
{
    return aggregates_of(partition->bus, partition, NULL) != 0 &&
           is_whole(partition->bus, partition);
}
