#include "journal/keeper.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <hotlane/system.h>

#include "affinity/pin.h"
#include "journal/aggregate.h"
#include "journal/progress.h"
#include "journal/retention.h"

#define LOOK_EVERY_NS   (3600 * HL_SECOND)
#define AGAIN_NS        (60 * HL_SECOND) /* after a failure */
#define AT_MOST_EACH_NS HL_SECOND        /* however fast segments are sealed */
/* Then it looks anew: what is beyond the limits does not wait for all that is to be packed, nor
 * does who would pack by hand. */
#define PACK_AT_ONCE_NS (5 * HL_SECOND)
/* It rests as long as it has worked: half of the disk, and of the CPU, is others'. In pieces, so
 * that a stop does not wait for it. */
#define REST_AFTER_NS HL_MILLISECOND
#define REST_PIECE_NS (10 * HL_MILLISECOND)
#define NICENESS      19

/* Of a partition. Who looks writes; the counters are read by any thread, relaxed. */
typedef struct kept_partition {
    const char *name; /* NULL: it has no journal */
    uint64_t removed_segments, removed_bytes;
    uint64_t packed_segments, unpacked_bytes, packed_bytes;
    uint32_t held; /* something that is due is still needed */
    bool held_now; /* as this look finds it */
} kept_partition;

struct hl_keeper {
    hl_bus *bus;
    const hl_feed *feeds;
    kept_partition *partitions;
    hl_retention_options options;
    hl_retention_state *states; /* read-only from the start on */
    /* Who looks writes, anyone reads, relaxed. */
    uint64_t failures;
    uint64_t pack_in_ns; /* behind the last look; UINT64_MAX: nothing is to be packed */
    uint32_t failing;    /* the last look has failed */
    /* Who looks alone. */
    uint64_t resumed_ns;    /* since when it has not rested; system's monotonic clock */
    uint64_t pack_again_ns; /* bus time: not before, after it could not */
    hl_error not_packed;    /* of this look: a damaged segment; HL_OK: none */
    hl_remembered memory;
    /* The housekeeper's. */
    uint64_t looked_ns; /* bus time; 0: not yet */
    uint64_t segments;  /* grows with each that is begun */
    uint32_t halt;      /* who halts writes, the keeper's thread reads: relaxed */
    /* Under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool asked; /* to look */
    bool thread_started;
    pthread_t thread;
    pthread_mutex_t reason_lock; /* of: */
    char reason[160];            /* why the last look failed */
};

/* ---- a look: the keeper's thread ---- */

static bool is_halted(const hl_keeper *keeper)
{
    return hl_load_relaxed_u32(&keeper->halt) != 0; /* Relaxed: a wish; joining orders the rest. */
}

/* Between two files, or frames of one. */
static bool goes_on(void *context)
{
    hl_keeper *const keeper = context;
    if (keeper->bus->config.threads == HL_THREADS_MANUAL)
        return true;
    const uint64_t worked_ns = hl_monotonic_ns() - keeper->resumed_ns;
    if (worked_ns < REST_AFTER_NS || is_halted(keeper))
        return !is_halted(keeper);
    for (uint64_t left_ns = worked_ns; left_ns > 0 && !is_halted(keeper);) {
        const uint64_t piece_ns = left_ns < REST_PIECE_NS ? left_ns : REST_PIECE_NS;
        nanosleep(&(struct timespec){.tv_nsec = (long)piece_ns}, NULL);
        left_ns -= piece_ns;
    }
    keeper->resumed_ns = hl_monotonic_ns();
    return !is_halted(keeper);
}

/* NULL: it is none of this bus. */
static kept_partition *find(const hl_keeper *keeper, const char *name)
{
    for (uint32_t i = 0; i < keeper->bus->partition_count; i++)
        if (keeper->partitions[i].name != NULL && strcmp(keeper->partitions[i].name, name) == 0)
            return &keeper->partitions[i];
    return NULL;
}

static void see_removed(hl_keeper *keeper, kept_partition *partition, const hl_retention_step *step)
{
    hl_log(keeper->bus, HL_LOG_INFO, "journal", "removed %s: %s", step->path, step->detail);
    if (partition == NULL)
        return;
    hl_count(&partition->removed_segments, 1);
    hl_count(&partition->removed_bytes, step->bytes_before);
}

static void see_held(hl_keeper *keeper, kept_partition *partition, const hl_retention_step *step)
{
    if (partition == NULL)
        return;
    /* Relaxed: this thread's own. */
    if (hl_load_relaxed_u32(&partition->held) == 0)
        hl_log(keeper->bus, HL_LOG_WARNING, "journal", "%s stays beyond its limit: %s needs it",
               step->path, step->detail);
    partition->held_now = true;
    hl_store_relaxed_u32(&partition->held, 1); /* Relaxed: for statistics. */
}

static void see_packed(hl_keeper *keeper, kept_partition *partition, const hl_retention_step *step)
{
    hl_log(keeper->bus, HL_LOG_INFO, "journal", "packed %s: %" PRIu64 " bytes to %" PRIu64,
           step->path, step->bytes_before, step->bytes_after);
    if (partition == NULL)
        return;
    hl_count(&partition->packed_segments, 1);
    hl_count(&partition->unpacked_bytes, step->bytes_before);
    hl_count(&partition->packed_bytes, step->bytes_after);
}

static void see_step(void *context, const hl_retention_step *step)
{
    hl_keeper *const keeper = context;
    kept_partition *const partition = find(keeper, step->partition);
    switch (step->action) {
    case HL_RETENTION_REMOVED:
        see_removed(keeper, partition, step);
        break;
    case HL_RETENTION_HELD:
        see_held(keeper, partition, step);
        break;
    case HL_RETENTION_PACKED:
        see_packed(keeper, partition, step);
        break;
    case HL_RETENTION_NOT_PACKED:
        if (step->status == HL_DAMAGED && keeper->not_packed.status == HL_OK)
            hl_error_set(&keeper->not_packed, HL_DAMAGED, "%s", step->detail);
        break;
    case HL_RETENTION_REMOVED_NEEDED: /* it forces nothing */
        break;
    }
}

static void tell(hl_keeper *keeper, const hl_error *error)
{
    hl_system_keeping news = {.status = (uint32_t)error->status,
                              .failures = hl_load_relaxed_u64(&keeper->failures)}; /* its own */
    snprintf(news.text, sizeof news.text, "%.*s", (int)sizeof news.text - 1, error->text);
    hl_notice(keeper->bus, HL_TOPIC_JOURNAL_KEEPING, 0, &news, sizeof news);
    if (error->status != HL_OK)
        hl_log(keeper->bus, HL_LOG_ERROR, "journal", "not kept as it should be: %s", error->text);
    else
        hl_log(keeper->bus, HL_LOG_INFO, "journal", "kept as it should be again");
}

/* What is wrong is said once, until it was right again. `error`: HL_OK where nothing is. */
static void conclude(hl_keeper *keeper, const hl_error *error)
{
    const bool failing = error->status != HL_OK;
    const bool before = hl_load_relaxed_u32(&keeper->failing) != 0; /* Relaxed: its own. */
    pthread_mutex_lock(&keeper->reason_lock);
    snprintf(keeper->reason, sizeof keeper->reason, "%.*s", (int)sizeof keeper->reason - 1,
             error->text);
    pthread_mutex_unlock(&keeper->reason_lock);
    if (failing)
        hl_count(&keeper->failures, 1);
    hl_store_relaxed_u32(&keeper->failing, failing); /* Relaxed: the reason has its lock. */
    if (failing != before)
        tell(keeper, error);
}

static void note_pack_due(hl_keeper *keeper, const hl_retention_result *result, uint64_t now_ns)
{
    const uint64_t bus_ns = hl_bus_now(keeper->bus);
    uint64_t in_ns = UINT64_MAX;
    if (bus_ns < keeper->pack_again_ns)
        in_ns = keeper->pack_again_ns - bus_ns;
    else if (result->pack_due_ns != UINT64_MAX)
        in_ns = result->pack_due_ns > now_ns ? result->pack_due_ns - now_ns : 0;
    hl_store_relaxed_u64(&keeper->pack_in_ns, in_ns); /* Relaxed: seen sooner or later. */
}

static void look(hl_keeper *keeper)
{
    const hl_bus *const bus = keeper->bus;
    const hl_io *const io = bus->config.journal_io != NULL ? bus->config.journal_io : hl_io_posix();
    hl_retention_options options = keeper->options;
    hl_retention_result result;
    hl_error error = {.status = HL_OK};
    for (uint32_t i = 0; i < bus->partition_count; i++)
        keeper->partitions[i].held_now = false;
    keeper->resumed_ns = hl_monotonic_ns();
    keeper->not_packed = (hl_error){.status = HL_OK};
    const bool put_off = options.pack && hl_bus_now(bus) < keeper->pack_again_ns;
    options.pack &= !put_off;
    options.now_ns = io->now(io->context);
    hl_status status = hl_retention_apply(io, &options, &result, &error);
    /* Who packs by hand does it for us. */
    if (result.another_packs)
        status = error.status = HL_OK;
    /* Halted, it has not come to all: what was wrong may be so still. */
    const bool is_whole = status == HL_OK && !is_halted(keeper);
    for (uint32_t i = 0; is_whole && i < bus->partition_count; i++)
        if (!keeper->partitions[i].held_now)
            hl_store_relaxed_u32(&keeper->partitions[i].held, 0); /* Relaxed: for statistics. */
    if (result.packing != HL_OK || keeper->not_packed.status != HL_OK)
        keeper->pack_again_ns = hl_bus_now(bus) + AGAIN_NS;
    note_pack_due(keeper, &result, options.now_ns);
    /* Put off, what failed is not tried: it may be as wrong as it was. */
    if (status != HL_OK)
        conclude(keeper, &error);
    else if (keeper->not_packed.status != HL_OK || (is_whole && !put_off))
        conclude(keeper, &keeper->not_packed);
}

static void *keeper_main(void *argument)
{
    hl_keeper *const keeper = argument;
    hl_error ignored; /* where it runs is a matter of taste */
    pthread_setname_np(pthread_self(), "hl-keeper");
    (void)hl_pin_self((uint32_t)keeper->bus->plan->housekeeping_cpu, &ignored);
    /* Whatever it has from who started the process. Not SCHED_IDLE: where others keep the CPU busy
     * it would remove nothing, and the disk would fill up. */
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &(struct sched_param){0});
    /* Of this thread alone; the disk's queues go by it too. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    pthread_mutex_lock(&keeper->lock);
    while (!is_halted(keeper)) {
        if (!keeper->asked) {
            pthread_cond_wait(&keeper->wake, &keeper->lock);
            continue;
        }
        keeper->asked = false;
        pthread_mutex_unlock(&keeper->lock);
        look(keeper);
        pthread_mutex_lock(&keeper->lock);
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

/* ---- when: the housekeeper ---- */

static uint64_t segments_begun(const hl_keeper *keeper)
{
    uint64_t sum = 0; /* of their first sequences: each is above the one before */
    for (uint32_t i = 0; i < keeper->bus->partition_count; i++)
        if (keeper->partitions[i].name != NULL)
            sum += hl_progress_read(&keeper->feeds[i].progress.segment);
    return sum;
}

static bool is_due(const hl_keeper *keeper, uint64_t now_ns, uint64_t segments)
{
    /* Relaxed both: seen in the next tick if not in this. */
    const bool failing = hl_load_relaxed_u32(&keeper->failing) != 0;
    const uint64_t pack_in_ns = hl_load_relaxed_u64(&keeper->pack_in_ns); /* as said */
    uint64_t wait_ns = failing ? AGAIN_NS : LOOK_EVERY_NS;
    if (pack_in_ns < wait_ns)
        wait_ns = pack_in_ns;
    if (segments != keeper->segments || wait_ns < AT_MOST_EACH_NS)
        wait_ns = AT_MOST_EACH_NS;
    return keeper->looked_ns == 0 || now_ns - keeper->looked_ns >= wait_ns;
}

void hl_keeper_tick(hl_keeper *keeper, uint64_t now_ns)
{
    const uint64_t segments = segments_begun(keeper);
    if (!is_due(keeper, now_ns, segments))
        return;
    if (keeper->bus->config.threads == HL_THREADS_MANUAL) {
        look(keeper);
    } else {
        pthread_mutex_lock(&keeper->lock);
        if (!keeper->thread_started && !is_halted(keeper))
            /* No thread now: the next tick tries again. */
            keeper->thread_started =
                pthread_create(&keeper->thread, NULL, keeper_main, keeper) == 0;
        keeper->asked = true;
        pthread_cond_signal(&keeper->wake);
        const bool started = keeper->thread_started;
        pthread_mutex_unlock(&keeper->lock);
        if (!started)
            return;
    }
    keeper->looked_ns = now_ns;
    keeper->segments = segments;
}

/* ---- made, started, ended ---- */

static hl_retention_options options_of(hl_bus *bus, const hl_journal_keys *keys)
{
    const hl_config *const config = &bus->config;
    const bool can_pack = HL_HAVE_ZSTD || keys != NULL;
    if (config->journal_pack_after_ns != 0 && !can_pack)
        hl_log(bus, HL_LOG_WARNING, "journal",
               "sealed segments stay as they are: this hotlane was built without zstd, and there "
               "is no key to encrypt them with (journal_pack_after_ns: 0 asks for that)");
    return (hl_retention_options){.directory = config->journal_dir,
                                  .keep_ns = config->journal_ttl_ns,
                                  .keep_bytes = config->journal_max_bytes,
                                  .pack = config->journal_pack_after_ns != 0 && can_pack,
                                  .compress = HL_HAVE_ZSTD,
                                  .keys = keys,
                                  .pack_after_ns = config->journal_pack_after_ns,
                                  .pack_for_ns =
                                      config->threads == HL_THREADS_MANUAL ? 1 : PACK_AT_ONCE_NS,
                                  .goes_on = goes_on,
                                  .told = see_step};
}

hl_keeper *hl_keeper_make(hl_bus *bus, const hl_feed *feeds, const hl_journal_keys *keys)
{
    hl_keeper *const keeper = hl_allocate(1, sizeof *keeper);
    kept_partition *const partitions = hl_allocate(bus->partition_count, sizeof *partitions);
    if (keeper == NULL || partitions == NULL) {
        free(keeper);
        free(partitions);
        return NULL;
    }
    *keeper = (hl_keeper){
        .bus = bus, .feeds = feeds, .partitions = partitions, .options = options_of(bus, keys)};
    keeper->options.context = keeper;
    keeper->memory = (hl_remembered)HL_REMEMBERED_INIT;
    keeper->options.memory = &keeper->memory;
    for (uint32_t i = 0; i < bus->partition_count; i++)
        if (bus->partitions[i].recorder != NULL)
            partitions[i].name = bus->partitions[i].out->name;
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_mutex_init(&keeper->reason_lock, NULL);
    pthread_cond_init(&keeper->wake, NULL);
    return keeper;
}

static size_t count_states(const hl_bus *bus)
{
    size_t count = 0;
    const hl_aggregate *one = bus->aggregates != NULL ? bus->aggregates->first : NULL;
    for (; one != NULL; one = one->next)
        count += one->domain->config.shards;
    return count;
}

static void list_states(const hl_bus *bus, hl_retention_state *states)
{
    const hl_aggregate *one = bus->aggregates != NULL ? bus->aggregates->first : NULL;
    for (; one != NULL; one = one->next)
        for (uint32_t i = 0; i < one->domain->config.shards; i++, states++) {
            hl_aggregate_snapshot_name(one, i, states->snapshot);
            snprintf(states->partition, sizeof states->partition, "%s",
                     one->shards[i].partition->out->name);
        }
}

hl_status hl_keeper_start(hl_keeper *keeper, hl_error *error)
{
    const size_t count = count_states(keeper->bus);
    free(keeper->states);
    keeper->states = calloc(count + 1, sizeof *keeper->states);
    if (keeper->states == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the journal");
    list_states(keeper->bus, keeper->states);
    keeper->options.states = keeper->states;
    keeper->options.state_count = count;
    keeper->looked_ns = 0;
    hl_store_relaxed_u32(&keeper->halt, 0); /* Relaxed: no thread runs yet. */
    return HL_OK;
}

void hl_keeper_halt(hl_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    hl_store_relaxed_u32(&keeper->halt, 1); /* Relaxed: as is_halted says. */
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
    if (keeper->thread_started)
        pthread_join(keeper->thread, NULL);
    keeper->thread_started = false;
}

void hl_keeper_stats(hl_keeper *keeper, uint32_t partition, hl_partition_journal_stats *stats)
{
    const kept_partition *const kept = &keeper->partitions[partition];
    /* Relaxed all: counters of one writer. */
    stats->removed_segments = hl_load_relaxed_u64(&kept->removed_segments);
    stats->removed_bytes = hl_load_relaxed_u64(&kept->removed_bytes);     /* as above */
    stats->removal_held = hl_load_relaxed_u32(&kept->held) != 0;          /* as above */
    stats->packed_segments = hl_load_relaxed_u64(&kept->packed_segments); /* as above */
    stats->unpacked_bytes = hl_load_relaxed_u64(&kept->unpacked_bytes);   /* as above */
    stats->packed_bytes = hl_load_relaxed_u64(&kept->packed_bytes);       /* as above */
    stats->keep_failures = hl_load_relaxed_u64(&keeper->failures);        /* as above */
    stats->keep_failing = hl_load_relaxed_u32(&keeper->failing) != 0;     /* as above */
    if (!stats->keep_failing)
        return;
    pthread_mutex_lock(&keeper->reason_lock);
    memcpy(stats->keep_reason, keeper->reason, sizeof stats->keep_reason);
    pthread_mutex_unlock(&keeper->reason_lock);
}

void hl_keeper_free(hl_keeper *keeper)
{
    if (keeper == NULL)
        return;
    pthread_mutex_destroy(&keeper->lock);
    pthread_mutex_destroy(&keeper->reason_lock);
    pthread_cond_destroy(&keeper->wake);
    free(keeper->partitions);
    hl_remembered_release(&keeper->memory);
    free(keeper->states);
    free(keeper);
}
