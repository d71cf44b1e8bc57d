#include "run_journal.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

static const char *const durability_names[] = {"off", "async", "sync"};
static const char *const state_names[] = {"running", "no_space", "failed", "closed"};

/* ---- the option ---- */

static hl_domain_config *find(hl_domain_config *domains, uint32_t count, const char *name,
                              size_t bytes)
{
    for (uint32_t i = 0; i < count; i++)
        if (strlen(domains[i].name) == bytes && memcmp(domains[i].name, name, bytes) == 0)
            return &domains[i];
    return NULL;
}

/* One "order=sync". */
static hl_status take_one(const char *item, size_t bytes, hl_domain_config *domains, uint32_t count,
                          hl_error *error)
{
    const char *const equals = memchr(item, '=', bytes);
    const size_t name_bytes = equals != NULL ? (size_t)(equals - item) : bytes;
    hl_domain_config *const domain = find(domains, count, item, name_bytes);
    if (domain == NULL)
        return hl_error_set(error, HL_INVALID, "--durability: '%.*s' names no domain",
                            (int)name_bytes, item);
    const char *const value = equals != NULL ? equals + 1 : item + bytes;
    const size_t value_bytes = bytes - (size_t)(value - item);
    for (int i = HL_DURABILITY_OFF; i <= HL_DURABILITY_SYNC; i++) {
        if (strlen(durability_names[i]) != value_bytes ||
            memcmp(durability_names[i], value, value_bytes) != 0)
            continue;
        domain->durability = (hl_durability)i;
        return HL_OK;
    }
    return hl_error_set(error, HL_INVALID,
                        "--durability: %s: '%.*s' is no durability: say %s=off, async or sync",
                        domain->name, (int)value_bytes, value, domain->name);
}

hl_status run_journal_durability(const char *list, hl_domain_config *domains, uint32_t count,
                                 hl_error *error)
{
    hl_status status = HL_OK;
    while (list != NULL && status == HL_OK) {
        const size_t bytes = strcspn(list, ",");
        status = take_one(list, bytes, domains, count, error);
        list = list[bytes] == ',' ? list + bytes + 1 : NULL;
    }
    return status;
}

/* ---- replay ---- */

static double seconds_since(uint64_t began_ns)
{
    return (double)(hl_monotonic_ns() - began_ns) / 1e9;
}

hl_status run_journal_replay(hl_bus *bus, const hl_journal_reader_options *reading, bool recompute,
                             double speed, hl_error *error)
{
    hl_replay_options options = HL_REPLAY_OPTIONS_INIT;
    hl_replay_report report;
    options.reading = *reading;
    options.mode = recompute ? HL_REPLAY_RECOMPUTE : HL_REPLAY_STATE;
    options.speed = speed;
    const uint64_t began_ns = hl_monotonic_ns();
    const hl_status status = hl_bus_replay(bus, &options, &report, error);
    const double elapsed_s = seconds_since(began_ns);
    fprintf(stderr,
            "%s: %" PRIu64 " events replayed in %.3f s (%.2f M/s), %" PRIu64 " external, %" PRIu64
            " missing, %" PRIu64 " of other domains",
            reading->directory, report.events, elapsed_s, (double)report.events / elapsed_s / 1e6,
            report.external, report.missing, report.foreign);
    if (recompute)
        fprintf(stderr,
                "; %" PRIu64 " outputs the same, %" PRIu64 " conflated, %" PRIu64 " not in it",
                report.compared, report.conflated, report.unrecorded);
    if (report.of_async != 0)
        fprintf(stderr, ", %" PRIu64 " of async handlers fed as they were", report.of_async);
    fputc('\n', stderr);
    return status;
}

static void say(void *context, const char *sentence)
{
    (void)context;
    fprintf(stderr, "%s\n", sentence);
}

hl_status run_journal_rebuild(hl_bus *bus, const hl_journal_reader_options *reading,
                              hl_error *error)
{
    hl_rebuild_options options = HL_REBUILD_OPTIONS_INIT;
    hl_rebuild_report report;
    options.reading = *reading;
    options.told = say;
    const uint64_t began_ns = hl_monotonic_ns();
    const hl_status status = hl_bus_rebuild(bus, &options, &report, error);
    fprintf(stderr,
            "%s: %" PRIu32 " states from snapshots, %" PRIu32 " without, %" PRIu64
            " events replayed in %.3f s, %" PRIu64 " missing, %" PRIu64
            " that were on their way published again\n",
            reading->directory, report.loaded, report.from_start, report.events,
            seconds_since(began_ns), report.missing, report.published);
    return status;
}

bool run_journal_next(const hl_bus *bus, uint32_t *domain, uint32_t *shard,
                      char ret_name[RUN_JOURNAL_NAME], hl_partition_journal_stats *ret_stats)
{
    const char *name;
    for (; (name = hl_bus_domain(bus, *domain)) != NULL; (*domain)++, *shard = 0) {
        uint32_t partition, other;
        while (hl_bus_partition(bus, name, *shard, &partition) == HL_OK) {
            const bool sharded = hl_bus_partition(bus, name, 1, &other) == HL_OK;
            if (sharded)
                snprintf(ret_name, RUN_JOURNAL_NAME, "%s.%" PRIu32, name, *shard);
            else
                snprintf(ret_name, RUN_JOURNAL_NAME, "%s", name);
            (*shard)++;
            if (hl_bus_journal_stats(bus, partition, ret_stats) == HL_OK)
                return true;
        }
    }
    return false;
}

/* ---- the component ---- */

static hl_health_status worst_partition(void *context, char *reason, size_t room)
{
    const hl_bus *const bus = context;
    hl_health_status worst = HL_HEALTH_OK;
    uint32_t domain = 0, shard = 0;
    char name[RUN_JOURNAL_NAME];
    hl_partition_journal_stats s;
    while (run_journal_next(bus, &domain, &shard, name, &s)) {
        const hl_health_status health = s.state == HL_JOURNAL_FAILED     ? HL_HEALTH_CRITICAL
                                        : s.state == HL_JOURNAL_NO_SPACE ? HL_HEALTH_CRITICAL
                                        : s.degraded || s.keep_failing   ? HL_HEALTH_DEGRADED
                                                                         : HL_HEALTH_OK;
        if (health <= worst)
            continue;
        worst = health;
        if (s.state == HL_JOURNAL_RUNNING && !s.degraded) {
            snprintf(reason, room, "the journal is not kept as it should be: %s", s.keep_reason);
            continue;
        }
        snprintf(reason, room, "the journal of %s: %s, %" PRIu64 " events are not in it", name,
                 state_names[s.state], s.unjournaled);
    }
    return worst;
}

static hl_status start(void *context, hl_error *error)
{
    char reason[128];
    return worst_partition(context, reason, sizeof reason) == HL_HEALTH_CRITICAL
               ? hl_error_set(error, HL_SYSTEM, "%s", reason)
               : HL_OK;
}

hl_status run_journal_add(hl_bus *bus, hl_error *error)
{
    hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
    options.start = start;
    options.health = worst_partition;
    return hl_component_add(bus, "journal", &options, bus, error);
}

/* ---- the report ---- */

/* What was done with what is sealed, of all partitions together. */
static void print_kept(const hl_bus *bus, FILE *stream)
{
    uint32_t domain = 0, shard = 0;
    char name[RUN_JOURNAL_NAME];
    hl_partition_journal_stats s, sum = {.keep_failures = 0};
    while (run_journal_next(bus, &domain, &shard, name, &s)) {
        sum.removed_segments += s.removed_segments;
        sum.removed_bytes += s.removed_bytes;
        sum.packed_segments += s.packed_segments;
        sum.unpacked_bytes += s.unpacked_bytes;
        sum.packed_bytes += s.packed_bytes;
        sum.keep_failures = s.keep_failures;
    }
    if (sum.removed_segments + sum.packed_segments + sum.keep_failures == 0)
        return;
    fprintf(stream,
            "  %" PRIu64 " segments removed (%" PRIu64 " bytes), %" PRIu64 " packed (%" PRIu64
            " bytes to %" PRIu64 "), %" PRIu64 " failures\n",
            sum.removed_segments, sum.removed_bytes, sum.packed_segments, sum.unpacked_bytes,
            sum.packed_bytes, sum.keep_failures);
}

void run_journal_print(const hl_bus *bus, FILE *stream)
{
    uint32_t domain = 0, shard = 0;
    char name[RUN_JOURNAL_NAME];
    hl_partition_journal_stats s;
    for (bool first = true; run_journal_next(bus, &domain, &shard, name, &s); first = false) {
        if (first)
            fprintf(stream, "\nJournal%16s %9s %12s %12s %12s %11s %7s   found\n", "durability",
                    "state", "sequence", "written", "durable", "unjournaled", "syncs");
        fprintf(stream,
                "  %-13s %8s %9s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %11" PRIu64 " %7" PRIu64
                "   ",
                name, durability_names[s.durability], state_names[s.state], s.last_sequence,
                s.written_sequence, s.durable_sequence, s.unjournaled, s.syncs);
        if (s.recovered_segments == 0)
            fprintf(stream, "nothing\n");
        else
            fprintf(stream, "up to %" PRIu64 ", %s, %" PRIu64 " torn bytes cut\n",
                    s.recovered_sequence, s.was_clean ? "closed" : "not closed", s.torn_bytes);
    }
    print_kept(bus, stream);
}

static json_t *partition_json(const hl_partition_journal_stats *s)
{
    return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, "
                     "s:I, s:I, s:I}",
                     "durability", durability_names[s->durability], "state", state_names[s->state],
                     "degraded", (int)s->degraded, "last_sequence", (json_int_t)s->last_sequence,
                     "written_sequence", (json_int_t)s->written_sequence, "durable_sequence",
                     (json_int_t)s->durable_sequence, "unjournaled", (json_int_t)s->unjournaled,
                     "syncs", (json_int_t)s->syncs, "written_bytes", (json_int_t)s->written_bytes,
                     "recovered_sequence", (json_int_t)s->recovered_sequence, "torn_bytes",
                     (json_int_t)s->torn_bytes, "was_clean", (int)s->was_clean, "removed_segments",
                     (json_int_t)s->removed_segments, "removed_bytes", (json_int_t)s->removed_bytes,
                     "keep_failures", (json_int_t)s->keep_failures, "packed_segments",
                     (json_int_t)s->packed_segments, "unpacked_bytes",
                     (json_int_t)s->unpacked_bytes, "packed_bytes", (json_int_t)s->packed_bytes);
}

bool run_journal_json(const hl_bus *bus, json_t **ret_json)
{
    uint32_t domain = 0, shard = 0;
    char name[RUN_JOURNAL_NAME];
    hl_partition_journal_stats stats;
    json_t *journal = NULL;
    while (run_journal_next(bus, &domain, &shard, name, &stats)) {
        if (journal == NULL && (journal = json_object()) == NULL)
            return false;
        if (json_object_set_new(journal, name, partition_json(&stats)) != 0) {
            json_decref(journal);
            return false;
        }
    }
    *ret_json = journal;
    return true;
}
