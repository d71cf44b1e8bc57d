#include "journal/journals.h"

#include <stdio.h>

#include "bus/thread_request.h"
#include "journal/crypt.h"
#include "journal/handover.h"
#include "journal/keeper.h"
#include "journal/progress.h"
#include "journal/scribe.h"

struct hl_journals {
    hl_feed *feeds; /* by partition; those without a journal are all zero */
    hl_scribe *scribes;
    uint32_t scribe_count;
    hl_handover *handover; /* NULL: the bus has no workers */
    hl_keeper *keeper;     /* NULL: all is kept for ever, as it is */
};

static bool is_journaled(const hl_partition *partition)
{
    return partition->domain->config.durability != HL_DURABILITY_OFF;
}

/* ---- made and freed ---- */

/* The thread of a partition's journal: the first is that of all `async` domains, where there is
 * any; then one for each `sync` domain. */
static hl_scribe *scribe_of(hl_bus *bus, const hl_partition *partition)
{
    hl_journals *const journals = bus->journals;
    return &journals->scribes[partition->domain->journal_thread];
}

static hl_status join_scribe(hl_scribe *scribe, hl_feed *feed, hl_error *error)
{
    hl_feed **const feeds = realloc(scribe->feeds, (scribe->feed_count + 1) * sizeof(hl_feed *));
    if (feeds == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the journal's threads");
    scribe->feeds = feeds;
    feeds[scribe->feed_count++] = feed;
    feed->scribe = scribe;
    return HL_OK;
}

static hl_status make_feed(hl_bus *bus, hl_partition *partition, hl_error *error)
{
    hl_feed *const feed = &bus->journals->feeds[partition->number];
    hl_status status = hl_feed_init(feed, partition, error);
    if (status == HL_OK && bus->journals->scribe_count != 0)
        status = join_scribe(scribe_of(bus, partition), feed, error);
    if (status == HL_OK)
        status = hl_scribe_open(feed, error);
    if (status == HL_OK)
        partition->recorder = &feed->recorder;
    return status;
}

static void make_scribes(hl_bus *bus)
{
    hl_journals *const journals = bus->journals;
    const uint32_t first =
        bus->partition_count + bus->config.publisher_count + hl_worker_thread_count(&bus->config);
    for (uint32_t i = 0; i < journals->scribe_count; i++) {
        hl_scribe *const scribe = &journals->scribes[i];
        scribe->bus = bus;
        scribe->running_cpu = (uint32_t)-1;
        scribe->cpu = bus->plan->threads[first + i].cpu;
        hl_sleeper_init(&scribe->sleeper);
        snprintf(scribe->name, sizeof scribe->name, "%.63s", bus->plan->threads[first + i].name);
    }
}

hl_status hl_journals_keys(hl_bus *bus, const hl_journal_keys **ret_keys, hl_error *error)
{
    const char *const path = bus->config.journal_key_file;
    hl_error why = {.text = ""};
    hl_status status = HL_OK;
    if (bus->journal_keys == NULL)
        status = hl_crypt_keys_if_any(path, &bus->journal_keys, &why);
    if (status == HL_OK)
        *ret_keys = bus->journal_keys;
    else if (path != NULL && (status == HL_SYSTEM || status == HL_BAD_INPUT))
        status = hl_error_set(error, HL_INVALID, "journal_key_file: %s", why.text);
    else
        hl_error_set(error, status, "%s", why.text);
    return status;
}

static hl_status make_handover(hl_bus *bus, hl_error *error)
{
    if (bus->config.max_workers == 0)
        return HL_OK;
    bus->journals->handover = hl_handover_make(bus, bus->journals->feeds, bus->journal_keys);
    if (bus->journals->handover == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the journal");
    bus->past_source = &hl_handover_source;
    return HL_OK;
}

static hl_status make_keeper(hl_bus *bus, hl_error *error)
{
    const hl_config *const config = &bus->config;
    if (config->journal_ttl_ns == 0 && config->journal_max_bytes == 0 &&
        config->journal_pack_after_ns == 0)
        return HL_OK;
    bus->journals->keeper = hl_keeper_make(bus, bus->journals->feeds, bus->journal_keys);
    return bus->journals->keeper != NULL
               ? HL_OK
               : hl_error_set(error, HL_NO_MEMORY, "no memory for the journal");
}

static hl_status create(hl_bus *bus, hl_error *error)
{
    const uint32_t threads = bus->journal_threads;
    const hl_journal_keys *keys;
    /* Before anything is written: nothing is to lie there in clear for want of a key. */
    if (threads != 0 || bus->config.journal_key_file != NULL) {
        const hl_status status = hl_journals_keys(bus, &keys, error);
        if (status != HL_OK)
            return status;
    }
    if (threads == 0)
        return HL_OK;
    hl_journals *const journals = hl_allocate(1, sizeof *journals);
    if (journals == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the journal");
    bus->journals = journals;
    journals->feeds = hl_allocate(bus->partition_count, sizeof *journals->feeds);
    journals->scribes = hl_allocate(threads, sizeof *journals->scribes);
    if (journals->feeds == NULL || journals->scribes == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the journal");
    if (bus->config.threads == HL_THREADS_OWN) {
        journals->scribe_count = threads;
        make_scribes(bus);
    }
    hl_status status = HL_OK;
    for (uint32_t i = 0; i < bus->partition_count && status == HL_OK; i++)
        if (is_journaled(&bus->partitions[i]) && !bus->is_sketch)
            status = make_feed(bus, &bus->partitions[i], error);
    if (status == HL_OK)
        status = make_keeper(bus, error);
    return status == HL_OK ? make_handover(bus, error) : status;
}

hl_handover *hl_journals_handover(const hl_bus *bus)
{
    return bus->journals != NULL ? bus->journals->handover : NULL;
}

static void tick(hl_bus *bus, uint64_t now_ns)
{
    if (hl_journals_handover(bus) != NULL)
        hl_handover_tick(bus->journals->handover);
    if (bus->journals != NULL && bus->journals->keeper != NULL)
        hl_keeper_tick(bus->journals->keeper, now_ns);
}

static void halt(hl_bus *bus)
{
    if (hl_journals_handover(bus) != NULL)
        hl_handover_halt(bus->journals->handover);
    if (bus->journals != NULL && bus->journals->keeper != NULL)
        hl_keeper_halt(bus->journals->keeper);
}

static hl_status start(hl_bus *bus, hl_error *error)
{
    hl_status status = HL_OK;
    for (uint32_t i = 0; bus->journals != NULL && i < bus->journals->scribe_count; i++)
        if (status == HL_OK)
            status = hl_scribe_start(&bus->journals->scribes[i], error);
    if (status == HL_OK && bus->journals != NULL && bus->journals->keeper != NULL)
        status = hl_keeper_start(bus->journals->keeper, error);
    return status;
}

static hl_status close_all(hl_bus *bus, hl_error *error)
{
    hl_status first = HL_OK;
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        hl_error of_this;
        const hl_status status = hl_scribe_close(&bus->journals->feeds[i], &of_this);
        if (status != HL_OK && first == HL_OK) {
            first = status;
            *error = of_this;
        }
    }
    return first;
}

static hl_status stop(hl_bus *bus, hl_error *error)
{
    if (bus->journals == NULL || bus->journals->feeds == NULL)
        return HL_OK;
    for (uint32_t i = 0; i < bus->journals->scribe_count; i++)
        hl_scribe_end(&bus->journals->scribes[i]);
    /* A start that failed may be tried again. */
    return bus->control->state == HL_BUS_CREATED ? HL_OK : close_all(bus, error);
}

static void destroy(hl_bus *bus)
{
    hl_journals *const journals = bus->journals;
    hl_error ignored; /* nobody is left to be told */
    if (journals == NULL) {
        hl_journal_keys_free(bus->journal_keys);
        return;
    }
    if (journals->feeds != NULL)
        close_all(bus, &ignored);
    for (uint32_t i = 0; journals->feeds != NULL && i < bus->partition_count; i++)
        hl_feed_free(&journals->feeds[i]);
    for (uint32_t i = 0; i < journals->scribe_count; i++)
        free(journals->scribes[i].feeds);
    hl_handover_free(journals->handover);
    hl_keeper_free(journals->keeper);
    hl_journal_keys_free(bus->journal_keys);
    free(journals->feeds);
    free(journals->scribes);
    free(journals);
}

static hl_status thread_status(const hl_bus *bus, uint32_t index, hl_thread_status *ret_status)
{
    if (bus->journals == NULL || index >= bus->journals->scribe_count)
        return HL_NOT_FOUND;
    hl_scribe_status(&bus->journals->scribes[index], ret_status);
    return HL_OK;
}

const hl_part hl_journals_part = {.create = create,
                                  .start = start,
                                  .halt = halt,
                                  .stop = stop,
                                  .tick = tick,
                                  .thread_status = thread_status,
                                  .destroy = destroy};

/* ---- reading ---- */

uint64_t hl_journals_in_flight(const hl_bus *bus, uint32_t partition)
{
    const hl_feed *const feed = &bus->journals->feeds[partition];
    /* Relaxed both: figures; what is done first, so that no more is done than was filled. */
    const uint64_t done = hl_load_relaxed_u64(&feed->done);
    return hl_load_relaxed_u64(&feed->filled) - done;
}

hl_status hl_bus_journal_stats(const hl_bus *bus, uint32_t partition,
                               hl_partition_journal_stats *ret_stats)
{
    if (partition >= bus->partition_count || bus->partitions[partition].recorder == NULL)
        return HL_NOT_FOUND;
    const hl_feed *const feed = &bus->journals->feeds[partition];
    const hl_recovery *const recovery = &feed->recovery;
    const hl_journal_progress *const progress = &feed->progress;
    /* Relaxed all: counters of one writer each. */
    *ret_stats = (hl_partition_journal_stats){
        .durability = feed->is_sync ? HL_DURABILITY_SYNC : HL_DURABILITY_ASYNC,
        .state = hl_journal_state_of(progress),
        .degraded = hl_load_relaxed_u32(&feed->degraded) != 0,
        .durable_sequence = hl_journal_durable(progress),
        .written_sequence = hl_journal_written(progress),
        .last_sequence = hl_load_relaxed_u64(&bus->partitions[partition].sequence), /* as above */
        .reserved_through = hl_journal_reserved(progress),
        .unjournaled = hl_load_relaxed_u64(&feed->unjournaled) +  /* as above */
                       hl_load_relaxed_u64(&feed->refused),       /* as above */
        .degradations = hl_load_relaxed_u64(&feed->degradations), /* as above */
        .syncs = hl_progress_read(&progress->syncs),
        .written_bytes = hl_progress_read(&progress->written_bytes),
        .recovered_sequence = recovery->last_sequence,
        .recovered_segments = recovery->segments,
        .torn_bytes = recovery->torn_bytes,
        .was_clean = recovery->was_clean};
    if (bus->journals->keeper != NULL)
        hl_keeper_stats(bus->journals->keeper, partition, ret_stats);
    /* There before the state (scribe.c, keep_reason). */
    if (ret_stats->state == HL_JOURNAL_NO_SPACE || ret_stats->state == HL_JOURNAL_FAILED)
        hl_feed_reason(feed, ret_stats->reason);
    return HL_OK;
}
