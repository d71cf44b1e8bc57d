/*
 * journal: what being remembered costs. Events through a bus to the disk, beside one thread's plain
 * pwrite and fdatasync of the same disk in the same measurement; and what reading them again costs,
 * from the page cache.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "journal/io_uring.h"
#include "perf/bus_bench.h"
#include "perf/journal_live.h"
#include "perf/journal_place.h"
#include "perf/journal_read.h"
#include "perf/latency.h"

#define DISK          "/var/tmp"
#define MEMORY        "/dev/shm"
#define EVENT_BYTES   (sizeof(hl_event) + PERF_BUS_PAYLOAD_BYTES)
#define RECORDS       10000000.0 /* of a measurement of 0.3 s, and of longer ones */
#define RECORDS_PER_S (RECORDS / 0.3)
#define EVENTS_PER_S  10e6 /* so many are written flat out for each second of a measurement */
#define PLAIN_STEP    (1u << 20)
#define RATE_PER_S    1e5
#define ASYNC_SLOTS   65536u
#define SYNC_SLOTS    4096u
#define WRONG_USAGE   2 /* exit status of a command that is not there */

extern char **environ;

typedef struct journal_context {
    perf_run *run;
    const char *disk;
    perf_place records; /* a journal to read; path[0] == '\0': not written yet */
    uint64_t record_count;
    bool has_uring;
    const char *memory; /* where it lies; NULL: there is no memory-backed storage */
} journal_context;

static hl_histogram *make_histogram(hl_error *error)
{
    hl_histogram *const histogram = perf_histogram_make(PERF_HISTOGRAM_DIGITS);
    if (histogram == NULL)
        hl_error_set(error, HL_NO_MEMORY, "no memory for a histogram");
    return histogram;
}

static double at(const hl_histogram *ns, double percentile)
{
    return (double)hl_histogram_value_at_percentile(ns, percentile);
}

/* ---- async, flat out ---- */

enum { THROUGHPUT, PLAIN, BY_PLAIN, ASYNC_VALUES };
static const perf_metric async_metrics[ASYNC_VALUES] = {
    [THROUGHPUT] = {"", "msgs_per_s", false},
    [PLAIN] = {"plain_write", "msgs_per_s", false},
    [BY_PLAIN] = {"by_plain_write", "ratio", false},
};

/* Plainly before and after, as many bytes. */
static hl_status measure_flat_out(journal_context *self, const char *parent, bool io_uring,
                                  double *ret_values, hl_error *error)
{
    perf_run *const run = self->run;
    const uint64_t events = (uint64_t)(run->options->seconds * EVENTS_PER_S);
    const uint64_t bytes = (events * EVENT_BYTES + PLAIN_STEP) / PLAIN_STEP * PLAIN_STEP;
    double plain[2] = {0, 0};
    perf_live_result result;
    perf_place place;
    hl_status status = perf_place_make(parent, &place, error);
    if (status != HL_OK)
        return status;
    const perf_live_options options = {.journal_dir = place.path,
                                       .durability = HL_DURABILITY_ASYNC,
                                       .journal_slots = ASYNC_SLOTS,
                                       .io_uring = io_uring,
                                       .events = events};
    status = perf_place_write(&place, &run->timer, bytes, &plain[0], error);
    if (status == HL_OK)
        status = perf_live_run(run, &options, &result, error);
    if (status == HL_OK)
        status = perf_place_write(&place, &run->timer, bytes, &plain[1], error);
    perf_place_remove(&place);
    if (status != HL_OK)
        return status;
    ret_values[THROUGHPUT] = (double)result.events * 1e9 / result.ns;
    ret_values[PLAIN] = 2 / (1 / plain[0] + 1 / plain[1]) / (double)EVENT_BYTES;
    ret_values[BY_PLAIN] = ret_values[THROUGHPUT] / ret_values[PLAIN];
    return HL_OK;
}

static hl_status measure_async_disk(void *context, double *ret_values, hl_error *error)
{
    journal_context *const self = context;
    return measure_flat_out(self, self->disk, false, ret_values, error);
}

static hl_status measure_async_uring(void *context, double *ret_values, hl_error *error)
{
    journal_context *const self = context;
    return measure_flat_out(self, self->disk, true, ret_values, error);
}

static hl_status measure_async_memory(void *context, double *ret_values, hl_error *error)
{
    journal_context *const self = context;
    return measure_flat_out(self, self->memory, false, ret_values, error);
}

/* ---- async, on a schedule, beside a bus without a journal ---- */

enum {
    PUBLISH_OFF_P99,
    PUBLISH_P99,
    PUBLISH_BY_OFF,
    HANDLE_OFF_P50,
    HANDLE_P50,
    HANDLE_OFF_P99,
    HANDLE_P99,
    HANDLE_BY_OFF,
    PACED_VALUES
};
static const perf_metric paced_metrics[PACED_VALUES] = {
    [PUBLISH_OFF_P99] = {"publish_off.p99", "ns", true},
    [PUBLISH_P99] = {"publish.p99", "ns", true},
    [PUBLISH_BY_OFF] = {"publish_by_off.p99", "ratio", true},
    [HANDLE_OFF_P50] = {"handle_off.p50", "ns", true},
    [HANDLE_P50] = {"handle.p50", "ns", true},
    [HANDLE_OFF_P99] = {"handle_off.p99", "ns", true},
    [HANDLE_P99] = {"handle.p99", "ns", true},
    [HANDLE_BY_OFF] = {"handle_by_off.p99", "ratio", true},
};

static hl_status run_paced(journal_context *self, const char *directory, hl_durability durability,
                           bool io_uring, hl_histogram *publish_ns, hl_histogram *handle_ns,
                           perf_live_result *ret_result, hl_error *error)
{
    const perf_live_options options = {
        .journal_dir = directory,
        .durability = durability,
        .journal_slots = durability == HL_DURABILITY_SYNC ? SYNC_SLOTS : ASYNC_SLOTS,
        .io_uring = io_uring,
        .per_s = RATE_PER_S,
        .seconds = self->run->options->seconds,
        .publish_ns = publish_ns,
        .handle_ns = handle_ns};
    return perf_live_run(self->run, &options, ret_result, error);
}

static hl_status measure_paced_in(journal_context *self, const perf_place *place, bool io_uring,
                                  hl_histogram *const ns[4], double *ret_values, hl_error *error)
{
    perf_live_result result;
    hl_status status =
        run_paced(self, NULL, HL_DURABILITY_OFF, false, ns[0], ns[1], &result, error);
    if (status == HL_OK)
        status = run_paced(self, place->path, HL_DURABILITY_ASYNC, io_uring, ns[2], ns[3], &result,
                           error);
    ret_values[PUBLISH_OFF_P99] = at(ns[0], 99);
    ret_values[PUBLISH_P99] = at(ns[2], 99);
    ret_values[PUBLISH_BY_OFF] = at(ns[2], 99) / at(ns[0], 99);
    ret_values[HANDLE_OFF_P50] = at(ns[1], 50);
    ret_values[HANDLE_P50] = at(ns[3], 50);
    ret_values[HANDLE_OFF_P99] = at(ns[1], 99);
    ret_values[HANDLE_P99] = at(ns[3], 99);
    ret_values[HANDLE_BY_OFF] = at(ns[3], 99) / at(ns[1], 99);
    return status;
}

static hl_status measure_paced(journal_context *self, bool io_uring, double *ret_values,
                               hl_error *error)
{
    perf_place place;
    hl_histogram *ns[4] = {NULL, NULL, NULL, NULL};
    hl_status status = perf_place_make(self->disk, &place, error);
    if (status != HL_OK)
        return status;
    for (int i = 0; i < 4 && status == HL_OK; i++)
        status = (ns[i] = make_histogram(error)) != NULL ? HL_OK : HL_NO_MEMORY;
    if (status == HL_OK)
        status = measure_paced_in(self, &place, io_uring, ns, ret_values, error);
    if (status == HL_OK)
        perf_result_add_distribution(self->run->result, io_uring ? "paced_uring" : "paced_async",
                                     ns[3]);
    for (int i = 0; i < 4; i++)
        free(ns[i]);
    perf_place_remove(&place);
    return status;
}

static hl_status measure_paced_async(void *context, double *ret_values, hl_error *error)
{
    return measure_paced(context, false, ret_values, error);
}

static hl_status measure_paced_uring(void *context, double *ret_values, hl_error *error)
{
    return measure_paced(context, true, ret_values, error);
}

/* ---- sync ---- */

enum {
    SYNC_P50,
    SYNC_P99,
    FDATASYNC_P50,
    FDATASYNC_P99,
    P50_BY_FDATASYNC,
    P99_BY_FDATASYNC,
    EVENTS_A_SYNC,
    SYNC_VALUES
};
static const perf_metric sync_metrics[SYNC_VALUES] = {
    [SYNC_P50] = {"handle.p50", "ns", true},
    [SYNC_P99] = {"handle.p99", "ns", true},
    [FDATASYNC_P50] = {"fdatasync.p50", "ns", true},
    [FDATASYNC_P99] = {"fdatasync.p99", "ns", true},
    [P50_BY_FDATASYNC] = {"by_fdatasync.p50", "ratio", true},
    [P99_BY_FDATASYNC] = {"by_fdatasync.p99", "ratio", true},
    [EVENTS_A_SYNC] = {"events_a_sync", "count", false},
};

/* A journal, then plain syncs of groups as large as its own were. */
static hl_status measure_sync_in(journal_context *self, const perf_place *place,
                                 hl_histogram *handle_ns, hl_histogram *fdatasync_ns,
                                 double *ret_values, hl_error *error)
{
    perf_run *const run = self->run;
    perf_live_result result;
    hl_status status =
        run_paced(self, place->path, HL_DURABILITY_SYNC, false, NULL, handle_ns, &result, error);
    if (status != HL_OK)
        return status;
    const uint64_t syncs = result.syncs != 0 ? result.syncs : 1;
    status = perf_place_sync(place, &run->timer, result.written_bytes / syncs,
                             run->options->seconds, fdatasync_ns, error);
    ret_values[SYNC_P50] = at(handle_ns, 50);
    ret_values[SYNC_P99] = at(handle_ns, 99);
    ret_values[FDATASYNC_P50] = at(fdatasync_ns, 50);
    ret_values[FDATASYNC_P99] = at(fdatasync_ns, 99);
    ret_values[P50_BY_FDATASYNC] = at(handle_ns, 50) / at(fdatasync_ns, 50);
    ret_values[P99_BY_FDATASYNC] = at(handle_ns, 99) / at(fdatasync_ns, 99);
    ret_values[EVENTS_A_SYNC] = (double)result.events / (double)syncs;
    return status;
}

static hl_status measure_sync(void *context, double *ret_values, hl_error *error)
{
    journal_context *const self = context;
    perf_place place;
    hl_status status = perf_place_make(self->disk, &place, error);
    if (status != HL_OK)
        return status;
    hl_histogram *const handle_ns = make_histogram(error);
    hl_histogram *const fdatasync_ns = make_histogram(error);
    status = HL_NO_MEMORY;
    if (handle_ns != NULL && fdatasync_ns != NULL)
        status = measure_sync_in(self, &place, handle_ns, fdatasync_ns, ret_values, error);
    if (status == HL_OK) {
        perf_result_add_distribution(self->run->result, "paced_sync", handle_ns);
        perf_result_add_distribution(self->run->result, "fdatasync", fdatasync_ns);
    }
    free(handle_ns);
    free(fdatasync_ns);
    perf_place_remove(&place);
    return status;
}

enum { SYNC_PER_S, SYNC_FDATASYNC, SYNC_OF_RING, FLOOD_VALUES };
static const perf_metric flood_metrics[FLOOD_VALUES] = {
    [SYNC_PER_S] = {"", "msgs_per_s", false},
    [SYNC_FDATASYNC] = {"fdatasync.p50", "ns", true},
    [SYNC_OF_RING] = {"rings_a_fdatasync", "ratio", false},
};

static hl_status measure_sync_flood(void *context, double *ret_values, hl_error *error)
{
    journal_context *const self = context;
    perf_run *const run = self->run;
    perf_place place;
    perf_live_result result;
    hl_status status = perf_place_make(self->disk, &place, error);
    if (status != HL_OK)
        return status;
    hl_histogram *const ns = make_histogram(error);
    const perf_live_options options = {.journal_dir = place.path,
                                       .durability = HL_DURABILITY_SYNC,
                                       .journal_slots = SYNC_SLOTS,
                                       .events =
                                           (uint64_t)(run->options->seconds * EVENTS_PER_S / 20)};
    status = ns != NULL ? perf_live_run(run, &options, &result, error) : HL_NO_MEMORY;
    if (status == HL_OK)
        status = perf_place_sync(&place, &run->timer, SYNC_SLOTS / 2 * EVENT_BYTES,
                                 run->options->seconds, ns, error);
    if (status == HL_OK) {
        ret_values[SYNC_PER_S] = (double)result.events * 1e9 / result.ns;
        ret_values[SYNC_FDATASYNC] = at(ns, 50);
        ret_values[SYNC_OF_RING] =
            ret_values[SYNC_PER_S] * ret_values[SYNC_FDATASYNC] / 1e9 / SYNC_SLOTS;
    }
    free(ns);
    perf_place_remove(&place);
    return status;
}

/* ---- reading ---- */

/* The journal that is read, written by the first who wants it. */
static hl_status need_records(journal_context *self, hl_error *error)
{
    if (self->records.path[0] != '\0')
        return HL_OK;
    const double asked = self->run->options->seconds * RECORDS_PER_S;
    const char *parent = self->memory;
    self->record_count = (uint64_t)(asked < RECORDS ? asked : RECORDS);
    /* A spare segment lies beside it. */
    if (parent == NULL || perf_place_free_bytes(parent) < self->record_count * EVENT_BYTES * 3 / 2)
        parent = self->disk;
    perf_place place;
    hl_status status = perf_place_make(parent, &place, error);
    if (status != HL_OK)
        return status;
    self->records = place;
    perf_result_note(self->run->result, "replay, seek, verify: %.1f million records in %s",
                     (double)self->record_count / 1e6, parent);
    return perf_journal_write(place.path, self->record_count, error);
}

static const perf_metric replay_metrics[] = {{"", "msgs_per_s", false}};

static hl_status measure_replay(void *context, double *ret_values, hl_error *error)
{
    journal_context *const self = context;
    const hl_status status = need_records(self, error);
    return status == HL_OK ? perf_journal_replay(self->run, self->records.path, self->record_count,
                                                 ret_values, error)
                           : status;
}

enum { SEEK_P50, SEEK_P99, SEEK_MAX, SEEK_VALUES };
static const perf_metric seek_metrics[SEEK_VALUES] = {
    [SEEK_P50] = {"p50", "ns", true},
    [SEEK_P99] = {"p99", "ns", true},
    [SEEK_MAX] = {"max", "ns", true},
};

static hl_status measure_seek(void *context, double *ret_values, hl_error *error)
{
    journal_context *const self = context;
    hl_status status = need_records(self, error);
    if (status != HL_OK)
        return status;
    hl_histogram *const ns = make_histogram(error);
    if (ns == NULL)
        return HL_NO_MEMORY;
    status = perf_journal_seek(self->run, self->records.path, self->record_count,
                               self->run->options->seconds, ns, error);
    ret_values[SEEK_P50] = at(ns, 50);
    ret_values[SEEK_P99] = at(ns, 99);
    ret_values[SEEK_MAX] = at(ns, 100);
    if (status == HL_OK)
        perf_result_add_distribution(self->run->result, "seek_time", ns);
    free(ns);
    return status;
}

static const perf_metric verify_metrics[] = {{"", "bytes_per_s", false}};

static hl_status measure_verify(void *context, double *ret_values, hl_error *error)
{
    journal_context *const self = context;
    const hl_status status = need_records(self, error);
    return status == HL_OK ? perf_journal_check(self->run, self->records.path, ret_values, error)
                           : status;
}

/* ---- the reference pipeline's ---- */

static const perf_metric pack_metrics[] = {{"times_smaller", "ratio", false}};

/* `hotlane run` is this very program. */
static hl_status run_pipeline(const perf_place *place, hl_error *error)
{
    char self[4096], journal[600], said[600];
    const ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    if (bytes <= 0)
        return hl_error_set(error, HL_SYSTEM, "/proc/self/exe: %s", strerror(errno));
    self[bytes] = '\0';
    snprintf(journal, sizeof journal, "%s/journal", place->path);
    snprintf(said, sizeof said, "%s/said", place->path);
    char *const arguments[] = {
        self, (char *)"run", (char *)"--deterministic", (char *)"--journal", journal, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, said, O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    pid_t child;
    const int failure = posix_spawn(&child, self, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failure != 0)
        return hl_error_set(error, HL_SYSTEM, "hotlane run: %s", strerror(failure));
    int outcome;
    while (waitpid(child, &outcome, 0) == -1 && errno == EINTR)
        continue;
    if (WIFEXITED(outcome) && WEXITSTATUS(outcome) == 0)
        return HL_OK;
    if (WIFEXITED(outcome) && WEXITSTATUS(outcome) == WRONG_USAGE)
        return hl_error_set(error, HL_UNSUPPORTED, "built without the reference pipeline");
    return hl_error_set(error, HL_SYSTEM, "hotlane run --deterministic --journal failed");
}

static hl_status measure_pack(void *context, double *ret_values, hl_error *error)
{
    journal_context *const self = context;
    perf_place place;
    char journal[600];
    hl_status status =
        perf_place_make(self->memory != NULL ? self->memory : self->disk, &place, error);
    if (status != HL_OK)
        return status;
    snprintf(journal, sizeof journal, "%s/journal", place.path);
    status = run_pipeline(&place, error);
    if (status == HL_OK)
        status = perf_journal_pack(journal, ret_values, error);
    perf_place_remove(&place);
    if (status != HL_UNSUPPORTED)
        return status;
    ret_values[0] = NAN; /* no pipeline, or no zstd: no row */
    return HL_OK;
}

/* ---- all of it ---- */

static const perf_task journal_tasks[] = {
    {"async_disk", measure_async_disk, NULL, async_metrics, ASYNC_VALUES, PERF_FLOOR_NONE},
    {"uring_disk", measure_async_uring, NULL, async_metrics, ASYNC_VALUES, PERF_FLOOR_NONE},
    {"async_memory", measure_async_memory, NULL, async_metrics, ASYNC_VALUES, PERF_FLOOR_NONE},
    {"paced_async", measure_paced_async, NULL, paced_metrics, PACED_VALUES, PERF_FLOOR_NONE},
    {"paced_uring", measure_paced_uring, NULL, paced_metrics, PACED_VALUES, PERF_FLOOR_NONE},
    {"paced_sync", measure_sync, NULL, sync_metrics, SYNC_VALUES, PERF_FLOOR_NONE},
    {"flat_out_sync", measure_sync_flood, NULL, flood_metrics, FLOOD_VALUES, PERF_FLOOR_NONE},
    {"replay", measure_replay, NULL, replay_metrics, 1, PERF_FLOOR_NONE},
    {"seek_time", measure_seek, NULL, seek_metrics, SEEK_VALUES, PERF_FLOOR_NONE},
    {"verify", measure_verify, NULL, verify_metrics, 1, PERF_FLOOR_NONE},
    {"pack", measure_pack, NULL, pack_metrics, 1, PERF_FLOOR_NONE},
};
#define TASKS (sizeof journal_tasks / sizeof *journal_tasks)

static bool can_be_measured(const journal_context *self, const perf_task *task)
{
    if (task->measure == measure_async_uring || task->measure == measure_paced_uring)
        return self->has_uring;
    return task->measure != measure_async_memory || self->memory != NULL;
}

hl_status perf_scenario_journal(perf_run *run, hl_error *error)
{
    perf_task tasks[TASKS];
    uint32_t count = 0;
    journal_context context = {.run = run};
    context.disk = run->options->directory != NULL ? run->options->directory : DISK;
    if (access(MEMORY, W_OK) == 0)
        context.memory = MEMORY;
    else
        perf_result_note(run->result, "async_memory: %s is not to be written to", MEMORY);
    hl_io_uring *uring = NULL;
    hl_error refused;
    context.has_uring = hl_io_uring_create(-1, &uring, &refused) == HL_OK;
    if (!context.has_uring)
        perf_result_note(run->result, "uring_disk, paced_uring: %s", refused.text);
    hl_io_uring_free(uring);
    for (size_t i = 0; i < TASKS; i++)
        if (can_be_measured(&context, &journal_tasks[i])) {
            tasks[count] = journal_tasks[i];
            tasks[count++].context = &context;
        }
    perf_result_note(run->result,
                     "slots of 128 bytes, all of it journaled; the disk is %s; the publisher on "
                     "CPU %u, the partition on CPU %u%s",
                     context.disk, run->cores.publisher, run->cores.consumer,
                     run->cores.allowed > 2
                         ? ""
                         : ", which parks, for the journal's thread has no CPU of its own");
    const hl_status status = perf_run_tasks(run, tasks, count, error);
    if (context.records.path[0] != '\0')
        perf_place_remove(&context.records);
    return status;
}
