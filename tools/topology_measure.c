#include "topology_measure.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "affinity/pin.h"
#include "affinity/sentence.h"
#include "base/clock.h"
#include "base/error.h"
#include "observe/histogram.h"
#include "ring/order.h"

#define HOP_ROUNDS  5u
#define HOP_TURNS   500u /* there and back, a round */
#define TIMER_LOOKS 200000u
#define SYNC_BYTES  4096u
#define SYNC_MAX    2000u

/* ---- pinned threads that begin together ----------------------------------------------------- */

enum { WAIT = 0, GO = 1, GIVE_UP = 2 };

typedef struct team {
    alignas(128) uint64_t arrived;  /* workers that are where they should be, or cannot */
    alignas(128) uint64_t decision; /* WAIT until all have arrived */
    alignas(128) uint64_t ball;     /* what two of them pass to and fro */
    uint64_t misplaced;             /* workers that could not be pinned */
} team;

typedef struct worker {
    pthread_t thread;
    team *team;
    uint32_t cpu;
    void (*work)(struct worker *worker);
    double seconds;       /* of counting gaps */
    topology_gaps *gaps;  /* its result */
    hl_histogram *looks;  /* its memory */
    bool serves;          /* of two that pass the ball: begins, and takes the time */
    double best_round_ns; /* its result */
} worker;

static void *run_worker(void *argument)
{
    worker *const self = argument;
    hl_error ignored;
    if (hl_pin_self(self->cpu, &ignored) != HL_OK)
        hl_fetch_add_relaxed_u64(&self->team->misplaced, 1); /* ARRIVED carries it */
    /* ARRIVED: release, so that who decides sees `misplaced`. */
    hl_fetch_add_release_u64(&self->team->arrived, 1);
    uint64_t decision;
    /* DECISION: acquire; nothing is handed over with it but the word itself. */
    while ((decision = hl_load_acquire_u64(&self->team->decision)) == WAIT)
        sched_yield(); /* others may have to arrive on this CPU */
    if (decision == GO)
        self->work(self);
    return NULL;
}

/* Starts them all, lets them begin together, and waits for their end. */
static hl_status run_team(worker *workers, uint32_t count, hl_error *error)
{
    team *const together = aligned_alloc(alignof(team), sizeof *together);
    if (together == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "measure: no memory");
    memset(together, 0, sizeof *together);
    uint32_t started = 0;
    for (; started < count; started++) {
        workers[started].team = together;
        if (pthread_create(&workers[started].thread, NULL, run_worker, &workers[started]) != 0)
            break;
    }
    /* ARRIVED: acquire, as said there. */
    while (hl_load_acquire_u64(&together->arrived) < started)
        sched_yield();
    const uint64_t misplaced = together->misplaced;
    /* DECISION: release. */
    hl_store_release_u64(&together->decision, started == count && misplaced == 0 ? GO : GIVE_UP);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    free(together);
    if (started < count)
        return hl_error_set(error, HL_SYSTEM, "measure: thread %u of %u cannot be started",
                            started + 1, count);
    if (misplaced > 0)
        return hl_error_set(error, HL_INVALID, "measure: %llu of %u CPUs cannot be used here",
                            (unsigned long long)misplaced, count);
    return HL_OK;
}

/* ---- gaps of a busy loop -------------------------------------------------------------------- */

static void count_gaps(worker *self)
{
    static const uint64_t limits_ns[TOPOLOGY_GAP_LIMITS] = {1000, 10000, 100000, 1000000};
    topology_gaps *const gaps = self->gaps;
    const uint64_t begin = hl_monotonic_ns();
    const uint64_t end = begin + (uint64_t)(self->seconds * 1e9);
    uint64_t before = begin;
    while (before < end) {
        const uint64_t now = hl_monotonic_ns();
        const uint64_t gap = now - before;
        hl_histogram_record(self->looks, gap);
        for (int i = 0; i < TOPOLOGY_GAP_LIMITS && gap > limits_ns[i]; i++)
            gaps->over[i]++;
        before = now;
    }
    gaps->seconds = (double)(before - begin) / 1e9;
    gaps->p50_ns = hl_histogram_value_at_percentile(self->looks, 50.0);
    gaps->p99_ns = hl_histogram_value_at_percentile(self->looks, 99.0);
    gaps->p999_ns = hl_histogram_value_at_percentile(self->looks, 99.9);
    gaps->max_ns = hl_histogram_max(self->looks);
}

static hl_status measure_gaps(topology_measures *measures, double seconds, hl_error *error)
{
    const uint32_t count = measures->cpu_count;
    const size_t size = hl_histogram_size_bytes(2);
    worker *const workers = calloc(count, sizeof *workers);
    char *const memory = aligned_alloc(128, size * count);
    hl_status status;
    if (workers != NULL && memory != NULL) {
        for (uint32_t i = 0; i < count; i++) {
            hl_histogram *const looks = (hl_histogram *)(void *)(memory + size * i);
            hl_histogram_init(looks, 2);
            measures->gaps[i].cpu = measures->cpus[i];
            workers[i] = (worker){.cpu = measures->cpus[i],
                                  .work = count_gaps,
                                  .seconds = seconds,
                                  .gaps = &measures->gaps[i],
                                  .looks = looks};
        }
        status = run_team(workers, count, error);
    } else {
        status = hl_error_set(error, HL_NO_MEMORY, "measure: no memory");
    }
    free(memory);
    free(workers);
    return status;
}

/* ---- from core to core ---------------------------------------------------------------------- */

/* The ball's number is even when the server has it. The best round counts: what disturbs it can
 * only make it longer. */
static void pass_ball(worker *self)
{
    uint64_t *const ball = &self->team->ball;
    uint64_t mine = self->serves ? 0 : 1;
    self->best_round_ns = INFINITY;
    for (uint32_t round = 0; round < HOP_ROUNDS; round++) {
        const uint64_t begin = hl_monotonic_ns();
        for (uint32_t turn = 0; turn < HOP_TURNS; turn++, mine += 2) {
            /* BALL: acquire and release, as between two threads that hand over a ring's slot. */
            while (hl_load_acquire_u64(ball) != mine)
                hl_pause();
            /* BALL: release, as said above. */
            hl_store_release_u64(ball, mine + 1);
        }
        self->best_round_ns = fmin(self->best_round_ns, (double)(hl_monotonic_ns() - begin));
    }
}

static hl_status measure_hops(topology_measures *measures, hl_error *error)
{
    const uint32_t count = measures->cpu_count;
    hl_status status = HL_OK;
    for (uint32_t i = 0; i < count && status == HL_OK; i++)
        for (uint32_t j = i + 1; j < count && status == HL_OK; j++) {
            worker pair[2] = {{.cpu = measures->cpus[i], .work = pass_ball, .serves = true},
                              {.cpu = measures->cpus[j], .work = pass_ball}};
            status = run_team(pair, 2, error);
            const double way_ns = pair[0].best_round_ns / (2.0 * HOP_TURNS);
            measures->hops_ns[i * count + j] = measures->hops_ns[j * count + i] = way_ns;
        }
    return status;
}

/* ---- the timer ------------------------------------------------------------------------------ */

static void measure_timer(topology_measures *measures)
{
    struct timespec now;
    uint64_t begin = hl_monotonic_ns();
    for (uint32_t i = 0; i < TIMER_LOOKS; i++)
        clock_gettime(CLOCK_MONOTONIC, &now);
    measures->clock_ns = (double)(hl_monotonic_ns() - begin) / TIMER_LOOKS;
    hl_clock clock;
    hl_clock_init(&clock, NULL, NULL);
    if (!clock.uses_tsc)
        return;
    volatile uint64_t count;
    begin = hl_monotonic_ns();
    for (uint32_t i = 0; i < TIMER_LOOKS; i++)
        count = hl_clock_count(&clock);
    (void)count;
    measures->tsc_ns = (double)(hl_monotonic_ns() - begin) / TIMER_LOOKS;
}

/* ---- the disk ------------------------------------------------------------------------------- */

/* A file without a name: it is gone when it is closed, whatever happens. Where the file system
 * cannot do that, one that is unlinked at once. */
static int open_nameless(const char *folder)
{
    const int file = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (file >= 0)
        return file;
    char path[512];
    const int length = snprintf(path, sizeof path, "%s/.hotlane-measure-XXXXXX", folder);
    if (length < 0 || (size_t)length >= sizeof path)
        return -1;
    const int named = mkostemp(path, O_CLOEXEC);
    if (named >= 0)
        unlink(path);
    return named;
}

static void sync_repeatedly(int file, double seconds, hl_histogram *times,
                            topology_measures *measures)
{
    static const char block[SYNC_BYTES];
    const uint64_t end = hl_monotonic_ns() + (uint64_t)(seconds * 1e9);
    uint64_t begin;
    while ((begin = hl_monotonic_ns()) < end && measures->sync_count < SYNC_MAX) {
        if (write(file, block, sizeof block) != (ssize_t)sizeof block || fdatasync(file) != 0) {
            hl_sentence_add_item(measures->note, sizeof measures->note,
                                 "fdatasync: a write failed");
            break;
        }
        hl_histogram_record(times, hl_monotonic_ns() - begin);
        measures->sync_count++;
    }
    measures->sync_p50_ns = hl_histogram_value_at_percentile(times, 50.0);
    measures->sync_p99_ns = hl_histogram_value_at_percentile(times, 99.0);
    measures->sync_max_ns = hl_histogram_max(times);
}

static void measure_disk(topology_measures *measures, const char *folder, double seconds)
{
    hl_histogram *const times = aligned_alloc(128, hl_histogram_size_bytes(3));
    const int file = open_nameless(folder);
    if (file < 0 || times == NULL) {
        char sentence[160];
        snprintf(sentence, sizeof sentence, "fdatasync: no file can be made in %.100s", folder);
        hl_sentence_add_item(measures->note, sizeof measures->note, sentence);
    } else {
        snprintf(measures->folder, sizeof measures->folder, "%s", folder);
        hl_histogram_init(times, 3);
        sync_repeatedly(file, seconds, times, measures);
    }
    if (file >= 0)
        close(file);
    free(times);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static topology_measures *make(const topology_measure_options *options)
{
    topology_measures *const measures = calloc(1, sizeof *measures);
    if (measures == NULL)
        return NULL;
    const size_t count = options->cpu_count;
    measures->cpu_count = options->cpu_count;
    measures->cpus = calloc(count, sizeof *measures->cpus);
    measures->gaps = calloc(count, sizeof *measures->gaps);
    measures->hops_ns = calloc(count * count, sizeof *measures->hops_ns);
    if (measures->cpus == NULL || measures->gaps == NULL || measures->hops_ns == NULL) {
        topology_measures_free(measures);
        return NULL;
    }
    memcpy(measures->cpus, options->cpus, count * sizeof *measures->cpus);
    return measures;
}

hl_status topology_measure(const topology_measure_options *options,
                           topology_measures **ret_measures, hl_error *error)
{
    if (options->cpu_count == 0 || !(options->seconds >= 0.01 && options->seconds <= 600.0))
        return hl_error_set(error, HL_INVALID,
                            "measure: %u CPUs for %.3f s: use one or more, for 0.01 to 600 s",
                            options->cpu_count, options->seconds);
    topology_measures *const measures = make(options);
    if (measures == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "measure: no memory");
    hl_status status = measure_gaps(measures, options->seconds, error);
    if (status == HL_OK)
        status = measure_hops(measures, error);
    if (status != HL_OK) {
        topology_measures_free(measures);
        return status;
    }
    measure_timer(measures);
    if (options->folder != NULL)
        measure_disk(measures, options->folder, options->seconds);
    *ret_measures = measures;
    return HL_OK;
}

void topology_measures_free(topology_measures *measures)
{
    if (measures == NULL)
        return;
    free(measures->cpus);
    free(measures->gaps);
    free(measures->hops_ns);
    free(measures);
}
