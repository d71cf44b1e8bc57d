/*
 * Rebuild: the newest snapshot of each state that can be loaded, and the journal behind it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "journal/aggregate.h"
#include "journal/crypt.h"
#include "journal/feed.h"
#include "journal/journals.h"
#include "journal/replay.h"

/* Clocks of threads that publish may differ by less. */
#define CLOCK_MARGIN_NS HL_SECOND

typedef struct rebuild {
    hl_bus *bus;
    const hl_rebuild_options *options;
    hl_rebuild_report *report;
    hl_error *error;
    const hl_io *io;
    const char *directory;
    const hl_journal_keys *keys; /* NULL: none */
    bool is_own;                 /* the bus's own journal */
    hl_replay_plan plan;
    uint64_t earliest_ns; /* of the snapshots that were loaded */
} rebuild;

/* ---- what is asked for ---- */

static bool is_plain(const hl_journal_reader_options *reading)
{
    const hl_journal_filter *const filter = &reading->filter;
    return filter->topic == NULL && !filter->by_key && !filter->by_correlation &&
           filter->from_sequence == 0 && filter->from_ns == 0 && reading->cursor == NULL &&
           !reading->follow;
}

static hl_status check_options(const rebuild *self)
{
    const hl_rebuild_options *const options = self->options;
    if (options->size != sizeof *options || options->reading.size != sizeof options->reading)
        return hl_error_set(self->error, HL_INVALID,
                            "rebuild: begin with HL_REBUILD_OPTIONS_INIT of this library");
    if (self->directory == NULL)
        return hl_error_set(self->error, HL_INVALID,
                            "rebuild: the bus has no journal: name a directory");
    if (!is_plain(&options->reading))
        return hl_error_set(self->error, HL_INVALID,
                            "rebuild: a state follows from all events: of the filter only "
                            "to_sequence and to_ns, no cursor, no follow");
    if (self->is_own && (options->reading.filter.to_sequence != 0 ||
                         options->reading.filter.to_ns != 0 || options->reading.partition != NULL))
        return hl_error_set(self->error, HL_NOT_ALLOWED,
                            "rebuild: this bus goes on behind the end of %s: to look at what was, "
                            "use a bus without a journal",
                            self->directory);
    return HL_OK;
}

static hl_status check_bus(const rebuild *self)
{
    hl_bus *const bus = self->bus;
    if (hl_bus_is_detached(bus))
        return hl_error_set(self->error, HL_DETACHED, "rebuild: this is a fork's child");
    if (hl_turning != NULL)
        return hl_error_set(self->error, HL_WRONG_THREAD, "rebuild: not from a handler");
    hl_bus_lock(bus);
    const bool is_new = bus->control->state == HL_BUS_CREATED &&
                        (bus->aggregates == NULL || bus->aggregates->rebuilt_from == NULL);
    hl_bus_unlock(bus);
    return is_new ? HL_OK
                  : hl_error_set(self->error, HL_WRONG_STATE,
                                 "rebuild: once, and before the bus is started");
}

/* ---- snapshots ---- */

static void tell(const rebuild *self, uint32_t count, const char *sentence)
{
    self->report->passed_over += count;
    if (self->options->told != NULL)
        self->options->told(self->options->context, sentence);
}

/* The last sequence that the journal of this partition holds; UINT64_MAX: not looked at. */
static uint64_t end_of(const rebuild *self, const hl_partition *partition)
{
    if (!self->is_own || partition->recorder == NULL)
        return UINT64_MAX;
    return ((const hl_feed *)(const void *)partition->recorder)->recovery.last_sequence;
}

/* Whether the journal holds events of it, as far as that is known before it is read. */
static bool has_events(const rebuild *self, const hl_partition *partition)
{
    return self->is_own ? partition->recorder != NULL && end_of(self, partition) != 0
                        : partition->sequence != 0;
}

/* HL_UNSUPPORTED: it is passed over, the reason was told. */
static hl_status use_snapshot(rebuild *self, hl_aggregate *aggregate, uint32_t shard,
                              const hl_snapshot *snapshot)
{
    hl_aggregate_shard *const of = &aggregate->shards[shard];
    const uint64_t end = end_of(self, of->partition);
    if (snapshot->sequence > end) {
        char sentence[256];
        snprintf(sentence, sizeof sentence,
                 "aggregate %s: its snapshot of sequence %" PRIu64
                 " is ahead of the journal, which ends at %" PRIu64 ": it has lost events",
                 aggregate->name, snapshot->sequence, end);
        tell(self, 1, sentence);
        return HL_UNSUPPORTED;
    }
    const hl_status status = hl_aggregate_load_shard(
        aggregate, shard, snapshot->version, snapshot->payload, snapshot->size, self->error);
    if (status == HL_UNSUPPORTED)
        tell(self, 1, self->error->text);
    if (status != HL_OK)
        return status;
    of->loaded_sequence = of->snapshot_sequence = snapshot->sequence;
    of->snapshot_bytes = snapshot->size;
    self->report->loaded++;
    if (snapshot->time_ns < self->earliest_ns)
        self->earliest_ns = snapshot->time_ns;
    return HL_OK;
}

/* HL_OK too when there is none. */
static hl_status load_shard(rebuild *self, hl_aggregate *aggregate, uint32_t shard)
{
    const hl_journal_filter *const filter = &self->options->reading.filter;
    const uint64_t to_ns = filter->to_ns != 0 ? filter->to_ns : UINT64_MAX;
    uint64_t to = filter->to_sequence != 0 ? filter->to_sequence : UINT64_MAX;
    hl_status status = HL_UNSUPPORTED;
    char name[HL_CURSOR_NAME_SIZE];
    hl_aggregate_snapshot_name(aggregate, shard, name);
    while (status == HL_UNSUPPORTED && to != 0) {
        hl_snapshot snapshot;
        uint32_t damaged = 0;
        status = hl_snapshot_load(self->io, self->directory, name, self->keys, to, to_ns, &snapshot,
                                  &damaged, self->error);
        if (damaged != 0 && (status == HL_OK || status == HL_NOT_FOUND))
            tell(self, damaged, self->error->text);
        if (status != HL_OK) /* without its key it is not damaged: what it holds must not be lost */
            return status == HL_NOT_FOUND ? HL_OK : status;
        to = snapshot.sequence - 1;
        status = use_snapshot(self, aggregate, shard, &snapshot);
        hl_snapshot_release(&snapshot);
    }
    return status == HL_UNSUPPORTED ? HL_OK : status;
}

/* "order", "order.3", or NULL for all. */
static bool is_wanted(const rebuild *self, const hl_partition *partition)
{
    const char *const wanted = self->options->reading.partition;
    return wanted == NULL || strcmp(wanted, partition->out->name) == 0 ||
           strcmp(wanted, partition->domain->name) == 0;
}

static hl_status load_all(rebuild *self)
{
    hl_status status = HL_OK;
    hl_aggregate *one = self->bus->aggregates != NULL ? self->bus->aggregates->first : NULL;
    for (; one != NULL; one = one->next)
        for (uint32_t i = 0; i < one->domain->config.shards && status == HL_OK; i++)
            if (!self->options->no_snapshots && is_wanted(self, one->shards[i].partition))
                status = load_shard(self, one, i);
    return status;
}

/* ---- the plan ---- */

static hl_status add_sleeper(rebuild *self, hl_cell *cell, const hl_aggregate_shard *shard)
{
    hl_replay_plan *const plan = &self->plan;
    hl_replay_sleeper *const sleepers =
        realloc(plan->sleepers, (plan->sleeper_count + 1) * sizeof *sleepers);
    if (sleepers == NULL)
        return HL_NO_MEMORY;
    plan->sleepers = sleepers;
    sleepers[plan->sleeper_count++] = (hl_replay_sleeper){.cell = cell,
                                                          .partition = shard->partition->number,
                                                          .until_sequence = shard->loaded_sequence};
    return HL_OK;
}

/* A partition is read behind the oldest of its snapshots; what feeds the others sleeps till then.
 */
static hl_status plan_partition(rebuild *self, const hl_partition *partition)
{
    hl_status status = HL_OK;
    uint64_t after = UINT64_MAX;
    const hl_aggregate *const first =
        self->bus->aggregates != NULL ? self->bus->aggregates->first : NULL;
    for (const hl_aggregate *one = first; one != NULL; one = one->next)
        if (one->domain == partition->domain &&
            one->shards[partition->shard].loaded_sequence < after)
            after = one->shards[partition->shard].loaded_sequence;
    after = after == UINT64_MAX ? 0 : after;
    self->plan.after[partition->number] = after;
    for (const hl_aggregate *one = first; one != NULL; one = one->next) {
        const hl_aggregate_shard *const shard = &one->shards[partition->shard];
        if (one->domain != partition->domain || shard->loaded_sequence <= after)
            continue;
        for (uint32_t i = 0; i < one->feed_count && status == HL_OK; i++)
            status = add_sleeper(self, &one->feeds[i]->cells[partition->shard], shard);
    }
    return status;
}

static bool goes_to_end(const rebuild *self)
{
    const hl_journal_reader_options *const reading = &self->options->reading;
    return reading->filter.to_sequence == 0 && reading->filter.to_ns == 0 &&
           reading->partition == NULL;
}

static hl_status make_plan(rebuild *self)
{
    hl_bus *const bus = self->bus;
    hl_status status = HL_OK;
    bool any_from_start = false;
    self->plan.after = calloc(bus->partition_count, sizeof *self->plan.after);
    if (self->plan.after == NULL)
        status = HL_NO_MEMORY;
    for (uint32_t i = 0; i < bus->partition_count && status == HL_OK; i++) {
        status = plan_partition(self, &bus->partitions[i]);
        any_from_start |= self->plan.after[i] == 0 && has_events(self, &bus->partitions[i]);
    }
    if (status == HL_OK && !self->options->no_outputs && goes_to_end(self)) {
        self->plan.unconfirmed = hl_unconfirmed_make(bus);
        status = self->plan.unconfirmed != NULL ? HL_OK : HL_NO_MEMORY;
        /* What the events behind a snapshot have caused lies nowhere before it was taken. */
        self->plan.confirm_from_ns = any_from_start || self->earliest_ns <= CLOCK_MARGIN_NS
                                         ? 1
                                         : self->earliest_ns - CLOCK_MARGIN_NS;
    }
    return status == HL_OK ? HL_OK : hl_error_set(self->error, status, "rebuild: no memory");
}

/* ---- behind the snapshots ---- */

static hl_status replay(rebuild *self)
{
    hl_replay_options options = HL_REPLAY_OPTIONS_INIT;
    hl_replay_report report;
    uint64_t last_ns = 0;
    options.reading = self->options->reading;
    options.reading.directory = self->directory;
    options.reading.keys = self->keys;
    const hl_status status =
        hl_replay_by_plan(self->bus, &options, &self->plan, &report, &last_ns, self->error);
    self->report->events = report.events;
    self->report->missing = report.missing;
    self->report->foreign = report.foreign;
    if (self->bus->aggregates != NULL)
        self->bus->aggregates->rebuilt_ns = last_ns;
    return status;
}

static hl_status finish(rebuild *self)
{
    hl_aggregates *const aggregates = self->bus->aggregates;
    if (self->plan.unconfirmed != NULL && self->is_own)
        hl_unconfirmed_publish(self->plan.unconfirmed, &self->report->published);
    if (aggregates == NULL)
        return HL_OK;
    aggregates->unsettled = calloc(self->bus->partition_count, sizeof *aggregates->unsettled);
    for (uint32_t i = 0; aggregates->unsettled != NULL && i < self->bus->partition_count; i++)
        aggregates->unsettled[i] = self->plan.unconfirmed != NULL && !self->is_own &&
                                   hl_unconfirmed_any_from(self->plan.unconfirmed, i);
    for (const hl_aggregate *one = aggregates->first; one != NULL; one = one->next)
        for (uint32_t i = 0; i < one->domain->config.shards; i++)
            self->report->from_start += one->shards[i].loaded_sequence == 0 &&
                                        has_events(self, one->shards[i].partition) &&
                                        is_wanted(self, one->shards[i].partition);
    aggregates->rebuilt_from = strdup(self->directory);
    /* What it was read with, its snapshots are written with. */
    const hl_journal_keys *const given = self->options->reading.keys;
    aggregates->rebuilt_keys = given != NULL ? hl_crypt_keys_copy(given) : NULL;
    return aggregates->rebuilt_from != NULL && aggregates->unsettled != NULL &&
                   (given == NULL || aggregates->rebuilt_keys != NULL)
               ? HL_OK
               : hl_error_set(self->error, HL_NO_MEMORY, "rebuild: no memory");
}

hl_status hl_bus_rebuild(hl_bus *bus, const hl_rebuild_options *options,
                         hl_rebuild_report *ret_report, hl_error *error)
{
    const hl_rebuild_options defaults = HL_REBUILD_OPTIONS_INIT;
    rebuild self = {.bus = bus,
                    .options = options != NULL ? options : &defaults,
                    .report = ret_report,
                    .error = error,
                    .earliest_ns = UINT64_MAX};
    *ret_report = (hl_rebuild_report){0};
    self.directory = self.options->reading.directory != NULL ? self.options->reading.directory
                                                             : bus->config.journal_dir;
    self.io = bus->config.journal_io != NULL ? bus->config.journal_io : hl_io_posix();
    self.is_own = bus->journals != NULL && self.directory != NULL &&
                  strcmp(self.directory, bus->config.journal_dir) == 0;
    hl_status status = check_options(&self);
    if (status == HL_OK)
        status = check_bus(&self);
    self.keys = self.options->reading.keys;
    if (status == HL_OK && self.keys == NULL)
        status = hl_journals_keys(bus, &self.keys, error);
    if (status == HL_OK)
        status = load_all(&self);
    if (status == HL_OK)
        status = make_plan(&self);
    if (status == HL_OK)
        status = replay(&self);
    if (status == HL_OK)
        status = finish(&self);
    hl_unconfirmed_free(self.plan.unconfirmed);
    free(self.plan.after);
    free(self.plan.sleepers);
    return status;
}
