/*
 * ring: the rings alone. SPSC and MPSC with slots of 64, 128, 256 bytes, capacities of 64, 4,096,
 * 65,536, one message at a time and in runs of 32; the MPSC ring contended, and rings with more
 * threads than CPUs (all that is left where there is one CPU); and MPMC, beside ck_ring's, which
 * was the other choice for it.
 */
#include "scenario.h"

#include "base/error.h"
#include "perf/mpmc_work.h"

#define TASKS_MAX 64u

static const perf_metric metrics[PERF_RING_VALUES] = {
    [PERF_RING_PER_S] = {"", "msgs_per_s", false},
    [PERF_RING_FULL_PERCENT] = {"full", "percent", true},
    [PERF_RING_EMPTY_PERCENT] = {"empty", "percent", true},
};

typedef struct ring_tasks {
    perf_task tasks[TASKS_MAX];
    perf_ring_work works[TASKS_MAX];
    perf_mpmc_work mpmc_works[TASKS_MAX];
    uint32_t count;
} ring_tasks;

static void add(ring_tasks *all, const char *shape_name, const perf_ring_work *work,
                const char *suffix)
{
    perf_task *const task = &all->tasks[all->count];
    all->works[all->count] = *work;
    *task = (perf_task){.measure = perf_ring_measure,
                        .context = &all->works[all->count],
                        .metrics = metrics,
                        .metric_count = PERF_RING_VALUES};
    snprintf(task->name, sizeof task->name, "%s_%u_%u_%s", shape_name, work->slot_size,
             work->capacity, suffix);
    /* The floor's copy is of messages of this size. */
    if (work->slot_size == PERF_MESSAGE_BYTES)
        task->floor = PERF_FLOOR_STREAM;
    all->count++;
}

static void add_mpmc(ring_tasks *all, const perf_mpmc_work *work, const char *suffix)
{
    perf_task *const task = &all->tasks[all->count];
    all->mpmc_works[all->count] = *work;
    *task = (perf_task){.measure = perf_mpmc_measure,
                        .context = &all->mpmc_works[all->count],
                        .metrics = metrics,
                        .metric_count = PERF_RING_VALUES,
                        .floor = PERF_FLOOR_STREAM};
    static const char *const rings[] = {
        [PERF_MPMC_HOTLANE] = "", [PERF_MPMC_CK] = "_ck", [PERF_MPMC_CK_COPY] = "_ck_copy"};
    snprintf(task->name, sizeof task->name, "mpmc_%u_%u_%s%s", PERF_MESSAGE_BYTES,
             PERF_MESSAGE_SLOTS, suffix, rings[work->ring]);
    all->count++;
}

static void add_all_mpmc(ring_tasks *all, const perf_run *run)
{
    perf_mpmc_work work = {
        .timer = &run->timer, .cores = &run->cores, .seconds = run->options->seconds, .run = 32};
    add_mpmc(all, &work, "run32");
    work.run = 1;
    for (uint32_t ring = PERF_MPMC_HOTLANE; ring <= PERF_MPMC_CK_COPY; ring++) {
        work.ring = (perf_mpmc_ring)ring;
        work.shape = PERF_MPMC_1P1C;
        add_mpmc(all, &work, "single");
        work.shape = PERF_MPMC_2P2C;
        add_mpmc(all, &work, "2p2c");
        work.shape = PERF_MPMC_4ON2;
        add_mpmc(all, &work, "4on2");
    }
}

/* By slot, capacity and run, between two cores. */
static void add_plain(ring_tasks *all, perf_ring_work work)
{
    static const uint32_t slot_sizes[] = {64, 128, 256};
    static const uint32_t capacities[] = {64, 4096, 65536};
    for (uint32_t shape = PERF_RING_SPSC; shape <= PERF_RING_MPSC; shape++) {
        for (uint32_t size = 0; size < 3; size++) {
            for (uint32_t capacity = 0; capacity < 3; capacity++) {
                work.shape = (perf_ring_shape)shape;
                work.slot_size = slot_sizes[size];
                work.capacity = capacities[capacity];
                const char *const name = shape == PERF_RING_SPSC ? "spsc" : "mpsc";
                work.run = 1;
                add(all, name, &work, "single");
                work.run = 32;
                add(all, name, &work, "run32");
            }
        }
    }
}

/* Two producers, and more threads than CPUs; with one CPU what needs no second one. */
static void add_contended(ring_tasks *all, perf_ring_work work)
{
    static const struct {
        perf_ring_shape shape;
        bool on_one;
        const char *ring, *suffix;
    } contended[] = {
        {PERF_RING_MPSC_2P, false, "mpsc", "2p"},     {PERF_RING_MPSC_3ON2, false, "mpsc", "3on2"},
        {PERF_RING_MPSC_8ON2, false, "mpsc", "8on2"}, {PERF_RING_SPSC_2ON1, true, "spsc", "2on1"},
        {PERF_RING_MPSC_3ON1, true, "mpsc", "3on1"},  {PERF_RING_MPSC_8ON1, true, "mpsc", "8on1"}};
    work.slot_size = PERF_MESSAGE_BYTES;
    work.capacity = PERF_MESSAGE_SLOTS;
    work.run = 1;
    for (size_t i = 0; i < sizeof contended / sizeof *contended; i++) {
        work.shape = contended[i].shape;
        if (contended[i].on_one || perf_cores_are_two(work.cores))
            add(all, contended[i].ring, &work, contended[i].suffix);
    }
}

static void add_notes(perf_run *run)
{
    if (!perf_cores_are_two(&run->cores)) {
        perf_result_note(
            run->result,
            "all threads on CPU %u; skipped, because they need a second one: all cases "
            "but on1",
            run->cores.consumer);
        return;
    }
    perf_result_note(
        run->result,
        "2p: a producer on CPU %u, one on CPU %u that also consumes; NonM: N threads, one "
        "of them the consumer, on M CPUs: 3on2: a producer on CPU %u, the others on "
        "CPU %u; 8on2: four on each; on1: all on the consumer's",
        run->cores.publisher, run->cores.consumer, run->cores.publisher, run->cores.consumer);
    perf_result_note(run->result,
                     "mpmc 2p2c: a thread on CPU %u and one on CPU %u, each produces and consumes; "
                     "4on2: a producer and a consumer on each of them; _ck, _ck_copy: the same "
                     "through ck_ring, filled "
                     "in place or copied in",
                     run->cores.publisher, run->cores.consumer);
}

hl_status perf_scenario_ring(perf_run *run, hl_error *error)
{
    static ring_tasks all;
    all.count = 0;
    const perf_ring_work work = {
        .timer = &run->timer, .cores = &run->cores, .seconds = run->options->seconds};
    const bool two_cores = perf_cores_are_two(&run->cores);
    if (two_cores)
        add_plain(&all, work);
    add_contended(&all, work);
    if (two_cores)
        add_all_mpmc(&all, run);
    add_notes(run);
    return perf_run_tasks(run, all.tasks, all.count, error);
}
