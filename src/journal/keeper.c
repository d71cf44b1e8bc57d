#include "journal/keeper.h"

#include <stdio.h>

#include "affinity/pin.h"
#include "journal/aggregate.h"
#include "journal/progress.h"
#include "journal/retention.h"

#define LOOK_EVERY_NS   (3600 * HL_SECOND)
#define AGAIN_NS        (60 * HL_SECOND) /* after a failure */
#define AT_MOST_EACH_NS HL_SECOND        /* however fast segments are sealed */

/* Of a partition. Who looks writes; the counters are read by any thread, relaxed. */
typedef struct kept_partition {
    const char *name; /* NULL: it has no journal */
    uint64_t removed_segments, removed_bytes;
    uint32_t held; /* something that is due is still needed */
    bool held_now; /* as this look finds it */
} kept_partition;

struct hl_keeper {
    hl_bus *bus;
    const hl_feed *feeds;
    kept_partition *partitions;
    hl_retention_options options;
    hl_retention_state *states; /* read-only from the start on */
    uint64_t failures;          /* who looks writes, anyone reads: relaxed */
    /* The housekeeper's. */
    uint64_t looked_ns; /* bus time; 0: not yet */
    uint64_t segments;  /* grows with each that is begun */
    /* Under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool asked;   /* to look */
    bool failing; /* the last look has failed */
    bool thread_started;
    bool halt;
    pthread_t thread;
};

/* ---- a look: the keeper's thread ---- */

static bool goes_on(void *context)
{
    hl_keeper *const keeper = context;
    pthread_mutex_lock(&keeper->lock);
    const bool halt = keeper->halt;
    pthread_mutex_unlock(&keeper->lock);
    return !halt;
}

/* NULL: it is none of this bus. */
static kept_partition *find(const hl_keeper *keeper, const char *name)
{
    for (uint32_t i = 0; i < keeper->bus->partition_count; i++)
        if (keeper->partitions[i].name != NULL && strcmp(keeper->partitions[i].name, name) == 0)
            return &keeper->partitions[i];
    return NULL;
}

static void see_step(void *context, const hl_retention_step *step)
{
    hl_keeper *const keeper = context;
    kept_partition *const partition = find(keeper, step->partition);
    if (step->action == HL_RETENTION_REMOVED)
        hl_log(keeper->bus, HL_LOG_INFO, "journal", "removed %s: %s", step->path, step->detail);
    if (partition == NULL)
        return;
    if (step->action == HL_RETENTION_REMOVED) {
        hl_count(&partition->removed_segments, 1);
        hl_count(&partition->removed_bytes, step->bytes_before);
        return;
    }
    /* Relaxed: this thread's own. */
    if (hl_load_relaxed_u32(&partition->held) == 0)
        hl_log(keeper->bus, HL_LOG_WARNING, "journal", "%s stays beyond its limit: %s needs it",
               step->path, step->detail);
    partition->held_now = true;
    hl_store_relaxed_u32(&partition->held, 1); /* Relaxed: for statistics. */
}

/* What is wrong is said once, until it was right again. */
static void set_failing(hl_keeper *keeper, bool failing, const hl_error *error)
{
    pthread_mutex_lock(&keeper->lock);
    const bool before = keeper->failing;
    keeper->failing = failing;
    pthread_mutex_unlock(&keeper->lock);
    if (failing)
        hl_count(&keeper->failures, 1);
    if (failing && !before)
        hl_log(keeper->bus, HL_LOG_ERROR, "journal", "not kept within its limits: %s", error->text);
    else if (before && !failing)
        hl_log(keeper->bus, HL_LOG_INFO, "journal", "kept within its limits again");
}

static void look(hl_keeper *keeper)
{
    const hl_io *const io = keeper->bus->config.journal_io;
    hl_retention_result result;
    hl_error error = {.text = ""};
    for (uint32_t i = 0; i < keeper->bus->partition_count; i++)
        keeper->partitions[i].held_now = false;
    const hl_status status =
        hl_retention_apply(io != NULL ? io : hl_io_posix(), &keeper->options, &result, &error);
    for (uint32_t i = 0; status == HL_OK && i < keeper->bus->partition_count; i++)
        if (!keeper->partitions[i].held_now)
            hl_store_relaxed_u32(&keeper->partitions[i].held, 0); /* Relaxed: for statistics. */
    set_failing(keeper, status != HL_OK, &error);
}

static void *keeper_main(void *argument)
{
    hl_keeper *const keeper = argument;
    hl_error ignored; /* where it runs is a matter of taste */
    pthread_setname_np(pthread_self(), "hl-keeper");
    (void)hl_pin_self((uint32_t)keeper->bus->plan->housekeeping_cpu, &ignored);
    pthread_mutex_lock(&keeper->lock);
    while (!keeper->halt) {
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

static bool is_due(hl_keeper *keeper, uint64_t now_ns, uint64_t segments)
{
    pthread_mutex_lock(&keeper->lock);
    const bool failing = keeper->failing;
    pthread_mutex_unlock(&keeper->lock);
    const uint64_t wait_ns = segments != keeper->segments ? AT_MOST_EACH_NS
                             : failing                    ? AGAIN_NS
                                                          : LOOK_EVERY_NS;
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
        if (!keeper->thread_started && !keeper->halt)
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

hl_keeper *hl_keeper_make(hl_bus *bus, const hl_feed *feeds)
{
    hl_keeper *const keeper = hl_allocate(1, sizeof *keeper);
    kept_partition *const partitions = hl_allocate(bus->partition_count, sizeof *partitions);
    if (keeper == NULL || partitions == NULL) {
        free(keeper);
        free(partitions);
        return NULL;
    }
    *keeper = (hl_keeper){.bus = bus, .feeds = feeds, .partitions = partitions};
    for (uint32_t i = 0; i < bus->partition_count; i++)
        if (bus->partitions[i].recorder != NULL)
            partitions[i].name = bus->partitions[i].out->name;
    pthread_mutex_init(&keeper->lock, NULL);
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
    const hl_config *const config = &keeper->bus->config;
    const size_t count = count_states(keeper->bus);
    free(keeper->states);
    keeper->states = calloc(count + 1, sizeof *keeper->states);
    if (keeper->states == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the journal");
    list_states(keeper->bus, keeper->states);
    keeper->options = (hl_retention_options){.directory = config->journal_dir,
                                             .keep_ns = config->journal_ttl_ns,
                                             .keep_bytes = config->journal_max_bytes,
                                             .states = keeper->states,
                                             .state_count = count,
                                             .context = keeper,
                                             .goes_on = goes_on,
                                             .told = see_step};
    keeper->looked_ns = 0;
    keeper->halt = false;
    return HL_OK;
}

void hl_keeper_halt(hl_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->halt = true;
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
    if (keeper->thread_started)
        pthread_join(keeper->thread, NULL);
    keeper->thread_started = false;
}

void hl_keeper_stats(const hl_keeper *keeper, uint32_t partition, hl_partition_journal_stats *stats)
{
    const kept_partition *const kept = &keeper->partitions[partition];
    /* Relaxed all: counters of one writer. */
    stats->removed_segments = hl_load_relaxed_u64(&kept->removed_segments);
    stats->removed_bytes = hl_load_relaxed_u64(&kept->removed_bytes); /* as above */
    stats->removal_held = hl_load_relaxed_u32(&kept->held) != 0;      /* as above */
    stats->keep_failures = hl_load_relaxed_u64(&keeper->failures);    /* as above */
}

void hl_keeper_free(hl_keeper *keeper)
{
    if (keeper == NULL)
        return;
    pthread_mutex_destroy(&keeper->lock);
    pthread_cond_destroy(&keeper->wake);
    free(keeper->partitions);
    free(keeper->states);
    free(keeper);
}
