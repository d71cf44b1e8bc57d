#include "scenario.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/counters.h"

#define FLOOR_REPEATS_MAX 5u
#define FLOOR_SECONDS_MAX 0.2
#define FLOOR_CASES       3u

/* Behind a task's own values. */
enum { PER_CYCLE, MISSES, SWITCHES, COUNTED_VALUES };
static const perf_metric counted_metrics[COUNTED_VALUES] = {
    [PER_CYCLE] = {"instructions_per_cycle", "ratio", false},
    [MISSES] = {"cache_misses", "count", true},
    [SWITCHES] = {"context_switches", "count", true},
};

static const perf_scenario scenarios[] = {
    {"floor", "the hardware: a line between two cores and back, copies, the timer, gaps", false,
     false, perf_scenario_floor},
    {"ring", "the rings alone: messages a second by kind, slot, capacity and run", false, false,
     perf_scenario_ring},
    {"hop", "publish to handler on an open-loop schedule, one way and round trip", true, true,
     perf_scenario_hop},
    {"bus", "the whole path: events a second by subscribers, topics, patterns", true, false,
     perf_scenario_bus},
    {"flood", "an order's latency while market data saturates the machine", true, true,
     perf_scenario_flood},
    {"overload", "orders beside more market data than can be taken, and what the ladder does", true,
     true, perf_scenario_overload},
    {"conflated", "a lane that conflates before a slow handler: publishing, ages, memory", true,
     true, perf_scenario_conflated},
    {"failing", "orders beside a million events a second that fail, in another partition", true,
     true, perf_scenario_failing},
    {"idle", "what an idle bus burns under each wait, and its wake-up", true, true,
     perf_scenario_idle},
    {"async", "a partition to a worker: events a second by order and contract", true, false,
     perf_scenario_async},
    {"journal", "events to the disk and back: beside plain writes and syncs; replay, seeks", true,
     true, perf_scenario_journal},
    {"churn", "subscribe and unsubscribe while events flow", true, true, perf_scenario_churn},
};

const perf_scenario *perf_scenarios(uint32_t *ret_count)
{
    *ret_count = sizeof scenarios / sizeof *scenarios;
    return scenarios;
}

const perf_scenario *perf_scenario_find(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}

static hl_status check_options(const perf_options *options, hl_error *error)
{
    if (!(options->seconds >= 0.01 && options->seconds <= 3600))
        return hl_error_set(error, HL_INVALID, "seconds: %g is not in 0.01..3600",
                            options->seconds);
    if (options->repeats == 0 || options->repeats > PERF_REPEATS_MAX)
        return hl_error_set(error, HL_INVALID, "repeats: %u is not in 1..%u", options->repeats,
                            PERF_REPEATS_MAX);
    if (!(options->stall_ms >= 0 && options->stall_ms <= 60000))
        return hl_error_set(error, HL_INVALID, "stall: %g ms is not in 0..60000",
                            options->stall_ms);
    return HL_OK;
}

static hl_status measure_floor(const perf_scenario *scenario, const perf_run *run,
                               perf_floor *ret_floor, hl_error *error)
{
    perf_floor_options options = {run->options->seconds, run->options->repeats};
    /* Only where the floor is the whole question does it take as long as asked for. */
    if (scenario->run != perf_scenario_floor) {
        if (options.seconds > FLOOR_SECONDS_MAX)
            options.seconds = FLOOR_SECONDS_MAX;
        if (options.repeats > FLOOR_REPEATS_MAX)
            options.repeats = FLOOR_REPEATS_MAX;
    }
    return perf_floor_measure(&run->timer, &run->cores, &options, ret_floor, error);
}

static bool is_wanted(const perf_run *run, const char *case_name)
{
    return run->options->only == NULL || strstr(case_name, run->options->only) != NULL;
}

bool perf_run_wants(perf_run *run, const char *case_name)
{
    const bool wanted = is_wanted(run, case_name);
    const size_t length = strlen(run->case_names);
    if (length + sizeof ", " + strlen(case_name) <= sizeof run->case_names) {
        sprintf(run->case_names + length, "%s%s", length == 0 ? "" : ", ", case_name);
        run->cases_named++;
    }
    run->cases++;
    run->cases_wanted += wanted;
    return wanted;
}

static hl_status refuse_unknown_case(const perf_run *run, const char *scenario, hl_error *error)
{
    char more[32] = "";
    if (run->cases_named < run->cases)
        snprintf(more, sizeof more, " and %u more", run->cases - run->cases_named);
    return hl_error_set(error, HL_NOT_FOUND, "%s: no case has \"%s\" in its name: there are %s%s",
                        scenario, run->options->only, run->case_names, more);
}

hl_status perf_scenario_run(const perf_scenario *scenario, const perf_options *options,
                            perf_result **ret_result, hl_error *error)
{
    perf_run run = {.options = options};
    hl_status status = perf_environment_refuse_debug(error);
    if (status == HL_OK)
        status = check_options(options, error);
    if (status == HL_OK)
        status = perf_cores_choose(options->cores, &run.cores, error);
    if (status != HL_OK)
        return status;
    if (scenario->needs_two_cores && !perf_cores_are_two(&run.cores))
        return hl_error_set(error, HL_UNSUPPORTED,
                            "%s: publisher and consumer need a CPU each, and both would be on "
                            "CPU %u: allow a second one, or name two with --cores",
                            scenario->name, run.cores.publisher);
    perf_timer_init(&run.timer);
    perf_environment environment;
    perf_environment_begin(&run.cores, &environment);
    perf_floor floor;
    status = measure_floor(scenario, &run, &floor, error);
    if (status != HL_OK)
        return status;
    run.result = perf_result_create(scenario->name, &environment, &floor);
    if (run.result == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the result");
    status = scenario->run(&run, error);
    if (status == HL_OK && run.cases != 0 && run.cases_wanted == 0)
        status = refuse_unknown_case(&run, scenario->name, error);
    if (status == HL_OK && run.result->out_of_memory)
        status = hl_error_set(error, HL_NO_MEMORY, "no memory for the rows");
    if (status != HL_OK) {
        perf_result_destroy(run.result);
        return status;
    }
    perf_environment_end(&run.result->environment);
    *ret_result = run.result;
    return HL_OK;
}

/* The median that a value of this unit is a multiple of; 0: of none. */
static double floor_of(const perf_floor *floor, perf_floor_kind kind, const char *unit)
{
    const bool ns = strcmp(unit, "ns") == 0 || strncmp(unit, "ns_", 3) == 0;
    switch (kind) {
    case PERF_FLOOR_ONE_WAY:
        return ns ? floor->round_trip_2_lines_ns.median / 2 : 0;
    case PERF_FLOOR_ROUND_TRIP:
        return ns ? floor->round_trip_2_lines_ns.median : 0;
    case PERF_FLOOR_STREAM:
        return strcmp(unit, "msgs_per_s") == 0 ? floor->stream_copy_per_s.median : 0;
    default:
        return 0;
    }
}

/* A task with the counters around it. */
typedef struct counted_task {
    const perf_task *task;
    perf_counters *counters;
} counted_task;

static hl_status measure_counted(void *context, double *ret_values, hl_error *error)
{
    const counted_task *const counted = context;
    double counts[PERF_COUNTERS];
    perf_counters_begin(counted->counters);
    const hl_status status = counted->task->measure(counted->task->context, ret_values, error);
    perf_counters_end(counted->counters, counts);
    double *const values = ret_values + counted->task->metric_count;
    values[PER_CYCLE] = counts[PERF_COUNTER_INSTRUCTIONS] / counts[PERF_COUNTER_CYCLES];
    values[MISSES] = counts[PERF_COUNTER_CACHE_MISSES];
    values[SWITCHES] = counts[PERF_COUNTER_CONTEXT_SWITCHES];
    return status;
}

static void add_rows(perf_run *run, const perf_task *task, const perf_summary *summaries)
{
    for (uint32_t i = 0; i < task->metric_count + COUNTED_VALUES; i++) {
        const perf_metric *const metric =
            i < task->metric_count ? &task->metrics[i] : &counted_metrics[i - task->metric_count];
        if (isnan(summaries[i].median))
            continue;
        perf_row row = {.lower_is_better = metric->lower_is_better, .figure = summaries[i]};
        snprintf(row.name, sizeof row.name, "%s%s%s", task->name,
                 metric->name[0] == '\0' ? "" : ".", metric->name);
        snprintf(row.unit, sizeof row.unit, "%s", metric->unit);
        const double floor = floor_of(&run->result->floor, task->floor, metric->unit);
        if (floor > 0)
            row.times_floor = summaries[i].median / floor;
        perf_result_add(run->result, &row);
    }
}

/* The floor's cases that the scenarios' figures are multiples of. */
static uint32_t add_floor_cases(const perf_run *run, perf_floor_work *work, perf_case *cases)
{
    perf_floor *const floor = &run->result->floor;
    if (!floor->two_cores)
        return 0;
    *work = (perf_floor_work){&run->timer, &run->cores, run->options->seconds, floor->stream_block,
                              floor->stream_ahead};
    if (work->seconds > FLOOR_SECONDS_MAX)
        work->seconds = FLOOR_SECONDS_MAX;
    cases[2] = (perf_case){"floor, round trip of a line", perf_floor_round_trip_1_line, work, 1,
                           &floor->round_trip_1_line_ns};
    cases[0] = (perf_case){"floor, round trip", perf_floor_round_trip_2_lines, work, 1,
                           &floor->round_trip_2_lines_ns};
    cases[1] = (perf_case){"floor, stream copy", perf_floor_stream_copy, work, 1,
                           &floor->stream_copy_per_s};
    return FLOOR_CASES;
}

static void note_pace(perf_run *run, const perf_pace *pace)
{
    if (pace->pace == PERF_NO_PACE)
        perf_result_note(run->result,
                         "the CPUs were moved all the time: the figures are of different paces, "
                         "and their ratios say little: measure again, or longer");
    else if (pace->left_out != 0)
        perf_result_note(run->result,
                         "the CPUs were moved meanwhile: %u of %u measurements are left out; the "
                         "others have a line's round trip of about %.0f ns",
                         pace->left_out, pace->measured, pace->probed);
}

/* The floor and the cases in turn; with two cores, at one pace of theirs. */
static hl_status repeat_with_floor(perf_run *run, perf_case *cases, uint32_t wanted,
                                   hl_error *error)
{
    const perf_options *const options = run->options;
    perf_floor_work floor_work;
    const uint32_t floor_cases = add_floor_cases(run, &floor_work, cases + wanted);
    if (floor_cases == 0)
        return perf_repeat(cases, wanted, options->repeats, options->progress, error);
    perf_pace pace = {.probe = perf_floor_look,
                      .context = &floor_work,
                      .measured_at = perf_result_measured_at,
                      .listener = run->result};
    const hl_status status = perf_repeat_at_one_pace(cases, wanted + floor_cases, options->repeats,
                                                     &pace, options->progress, error);
    if (status == HL_OK) {
        perf_result_settle_pace(run->result, pace.pace);
        note_pace(run, &pace);
    }
    return status;
}

static hl_status run_counted(perf_run *run, const perf_task *tasks, uint32_t task_count,
                             perf_counters *counters, hl_error *error)
{
    perf_case *const cases = hl_allocate(task_count + FLOOR_CASES, sizeof *cases);
    counted_task *const counted = hl_allocate(task_count, sizeof *counted);
    perf_summary(*const summaries)[PERF_VALUES_MAX] = hl_allocate(task_count, sizeof *summaries);
    hl_status status = HL_OK;
    uint32_t wanted = 0;
    if (cases == NULL || counted == NULL || summaries == NULL)
        status = hl_error_set(error, HL_NO_MEMORY, "no memory for %u cases", task_count);
    for (uint32_t i = 0; status == HL_OK && i < task_count; i++) {
        if (!run->tasks_chosen && !perf_run_wants(run, tasks[i].name))
            continue;
        counted[i] = (counted_task){&tasks[i], counters};
        cases[wanted++] = (perf_case){tasks[i].name, measure_counted, &counted[i],
                                      tasks[i].metric_count + COUNTED_VALUES, summaries[i]};
    }
    if (status == HL_OK && wanted != 0)
        status = repeat_with_floor(run, cases, wanted, error);
    for (uint32_t i = 0; status == HL_OK && i < task_count; i++)
        if (run->tasks_chosen || is_wanted(run, tasks[i].name))
            add_rows(run, &tasks[i], summaries[i]);
    free(summaries);
    free(counted);
    free(cases);
    return status;
}

perf_task perf_task_of(const perf_task *like, const char *name, void *context)
{
    perf_task task = *like;
    task.context = context;
    snprintf(task.name, sizeof task.name, "%s", name);
    return task;
}

hl_status perf_run_tasks(perf_run *run, const perf_task *tasks, uint32_t task_count,
                         hl_error *error)
{
    perf_counters counters;
    perf_counters_open(&counters);
    if (counters.reason[0] != '\0')
        perf_result_note(run->result, "counted less than `perf stat` would: %s", counters.reason);
    const hl_status status = run_counted(run, tasks, task_count, &counters, error);
    perf_counters_close(&counters);
    return status;
}

/* The floor of this run is the result; its rows make it comparable with others. */
hl_status perf_scenario_floor(perf_run *run, hl_error *error)
{
    (void)error;
    const perf_floor *const floor = &run->result->floor;
    const perf_row rows[] = {
        {"round_trip_1_line", "ns_p50", true, floor->round_trip_1_line_ns, 0, ""},
        {"round_trip_2_lines", "ns_p50", true, floor->round_trip_2_lines_ns, 0, ""},
        {"stream_copy_128", "msgs_per_s", false, floor->stream_copy_per_s, 0, ""},
        {"core_copy_128", "msgs_per_s", false, floor->core_copy_per_s, 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (perf_run_wants(run, rows[i].name) && rows[i].figure.count != 0)
            perf_result_add(run->result, &rows[i]);
    return HL_OK;
}
