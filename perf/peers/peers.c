#include "peers.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "perf/peers/disruptor.h"
#include "perf/peers/queues.h"

#define HOTLANE      "hotlane"
#define BUS_CASE     "bus_128_single"
#define BARE_CASE    "spsc_128_4096_single" /* whose figures of the peers stand beside the bus */
#define LOOKS        7u                     /* for a queue's best pauses: of a measurement's time */
#define LOOK_PART    0.07
#define LOOK_MIN_S   0.005
#define LOOK_REPEATS 3u
#define P99_UNIT     "ns_p99"
#define P99_SUFFIX   "_p99"
#define WARM_UP_S    1.0 /* until a virtual machine has compiled what is hot */

#ifdef PEER_HAVE_RTE
#define RTE(queue) &(queue)
#else
#define RTE(queue) NULL
#endif
#ifdef PEER_HAVE_BOOST
#define BOOST(queue) &(queue)
#else
#define BOOST(queue) NULL
#endif
#ifdef PEER_HAVE_READERWRITERQUEUE
#define READERWRITERQUEUE(queue) &(queue)
#else
#define READERWRITERQUEUE(queue) NULL
#endif
#ifdef PEER_HAVE_CONCURRENTQUEUE
#define CONCURRENTQUEUE(queue) &(queue)
#else
#define CONCURRENTQUEUE(queue) NULL
#endif
#ifdef PEER_HAVE_ATOMIC_QUEUE
#define ATOMIC_QUEUE(queue) &(queue)
#else
#define ATOMIC_QUEUE(queue) NULL
#endif

/* Without either queue: missing. */
typedef struct contender {
    const char *name;
    const char *packages;   /* Debian's */
    const peer_queue *one;  /* for one producer; NULL: others of its library do that better */
    const peer_queue *many; /* likewise */
    bool any_order;         /* its messages may pass each other; how many did is in the result */
} contender;

static const contender peers[] = {
    {HOTLANE, "", &peer_hotlane_spsc, &peer_hotlane_mpsc, false},
    {"ck_ring", "libck-dev", &peer_ck_spsc, &peer_ck_mpsc, false},
    {"ck_ring_pointers", "libck-dev", &peer_ck_pointers_spsc, &peer_ck_pointers_mpsc, false},
    {"rte_ring", "libdpdk-dev", RTE(peer_rte_spsc), RTE(peer_rte_mpsc), false},
    {"rte_ring_zc", "libdpdk-dev", RTE(peer_rte_zc_spsc), NULL, false},
    {"rte_ring_rts", "libdpdk-dev", NULL, RTE(peer_rte_rts_mpsc), false},
    {"rte_ring_hts", "libdpdk-dev", NULL, RTE(peer_rte_hts_mpsc), false},
    {"rte_ring_hts_zc", "libdpdk-dev", NULL, RTE(peer_rte_hts_zc_mpsc), false},
    {"atomic_queue", "g++ libatomic-queue-dev", ATOMIC_QUEUE(peer_atomic_queue_spsc),
     ATOMIC_QUEUE(peer_atomic_queue_mpmc), true},
    {"atomic_queue_optimist", "g++ libatomic-queue-dev", ATOMIC_QUEUE(peer_optimist_queue_spsc),
     ATOMIC_QUEUE(peer_optimist_queue_mpsc), true},
    {"readerwriterqueue", "g++ libreaderwriterqueue-dev", READERWRITERQUEUE(peer_readerwriterqueue),
     NULL, false},
    {"concurrentqueue", "g++ libconcurrentqueue-dev", CONCURRENTQUEUE(peer_concurrentqueue_spsc),
     CONCURRENTQUEUE(peer_concurrentqueue_mpsc), false},
    {"boost_spsc_queue", "g++ libboost-dev", BOOST(peer_boost_spsc), NULL, false},
    {"boost_queue", "g++ libboost-dev", NULL, BOOST(peer_boost_mpmc), false},
};
#define PEERS (sizeof peers / sizeof *peers)

/* In a process of its own instead of a queue. */
static const contender disruptor_peer = {"disruptor", "libdisruptor-java default-jdk-headless",
                                         NULL, NULL, false};

typedef struct peer_case {
    const char *name;
    peer_shape shape;
    uint32_t run;
} peer_case;

static const peer_case peer_cases[] = {
    {BARE_CASE, PEER_SPSC, 1},
    {"spsc_128_4096_run32", PEER_SPSC, 32},
    {"round_trip_128", PEER_ROUND_TRIP, 1},
    {"mpsc_128_4096_2p", PEER_MPSC_2P, 1},
    {"mpsc_128_4096_3on2", PEER_MPSC_3ON2, 1},
};
#define PEER_CASES (sizeof peer_cases / sizeof *peer_cases)

#define TASKS_MAX ((PEERS + 1) * PEER_CASES + 1) /* with the Disruptor; and the bus */

enum { PAUSES = PEER_VALUES, TASK_VALUES };
static const perf_metric stream_metrics[TASK_VALUES] = {
    [PEER_FIGURE] = {"", "msgs_per_s", false},
    [PEER_FULL_PERCENT] = {"full", "percent", true},
    [PEER_EMPTY_PERCENT] = {"empty", "percent", true},
    [PEER_DISORDERED] = {"disordered", "count", true},
    [PAUSES] = {"pauses", "count", true},
};
static const perf_metric round_trip_metrics[TASK_VALUES] = {
    [PEER_FIGURE] = {"", "ns_p50", true},
    [PEER_P99] = {"", P99_UNIT, true},
    [PEER_EMPTY_PERCENT] = {"empty", "percent", true},
    [PEER_DISORDERED] = {"disordered", "count", true},
    [PAUSES] = {"pauses", "count", true},
};
static const perf_metric bus_metrics[] = {{"", "msgs_per_s", false}};

/* ---- measuring ---- */

typedef struct peer_task {
    perf_run *run;
    const contender *peer;
    const peer_queue *queue;
    peer_disruptor *disruptor; /* instead of a queue; else NULL */
    peer_work work;
} peer_task;

static hl_status measure_once(const peer_task *task, const peer_work *work, double *ret_values,
                              hl_error *error)
{
    return task->disruptor != NULL
               ? peer_disruptor_measure(task->disruptor, work, ret_values, error)
               : peer_measure(task->queue, work, ret_values, error);
}

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const peer_task *const task = context;
    ret_values[PAUSES] =
        task->disruptor == NULL ? (double)task->work.pauses : NAN; /* it has its own way */
    const hl_status status = measure_once(task, &task->work, ret_values, error);
    if (status == HL_OK && !task->peer->any_order && ret_values[PEER_DISORDERED] != 0)
        return hl_error_set(error, HL_NOT_CONSERVED, "%.0f messages came out of order",
                            ret_values[PEER_DISORDERED]);
    return status;
}

/* The whole bus, as the scenario of that name measures it. */
static hl_status measure_bus(void *context, double *ret_values, hl_error *error)
{
    const peer_task *const task = context;
    return perf_bus_measure_single(task->run, ret_values, error);
}

/* A short look at a queue with so many pauses. */
typedef struct pause_look {
    const peer_task *task;
    peer_work work;
} pause_look;

static hl_status measure_look(void *context, double *ret_figure, hl_error *error)
{
    const pause_look *const look = context;
    double values[PEER_VALUES];
    const hl_status status = peer_measure(look->task->queue, &look->work, values, error);
    *ret_figure = values[PEER_FIGURE];
    return status;
}

/* How long this queue best pauses between two tries here: a few short looks at each, in turn and at
 * one pace of the machine, or the pace would choose. */
static hl_status find_best_pauses(peer_task *task, hl_error *error)
{
    static const uint32_t pauses[LOOKS] = {0, 1, 4, 16, 64, 256, 1024};
    pause_look looks[LOOKS];
    perf_case cases[LOOKS];
    perf_summary figures[LOOKS];
    for (uint32_t i = 0; i < LOOKS; i++) {
        looks[i] = (pause_look){task, task->work};
        looks[i].work.pauses = pauses[i];
        looks[i].work.seconds = fmax(task->work.seconds * LOOK_PART, LOOK_MIN_S);
        cases[i] = (perf_case){"a look", measure_look, &looks[i], 1, &figures[i]};
    }
    perf_floor_work floor = {.timer = task->work.timer, .cores = task->work.cores};
    perf_pace pace = {.probe = perf_floor_look, .context = &floor};
    const hl_status status =
        perf_repeat_at_one_pace(cases, LOOKS, LOOK_REPEATS, &pace, NULL, error);
    if (status != HL_OK)
        return status;
    const bool lower_is_better = task->work.shape == PEER_ROUND_TRIP;
    uint32_t best = 0;
    for (uint32_t i = 1; i < LOOKS; i++)
        if (lower_is_better ? figures[i].median < figures[best].median
                            : figures[i].median > figures[best].median)
            best = i;
    task->work.pauses = pauses[best];
    return HL_OK;
}

static hl_status warm_up(const peer_task *task, hl_error *error)
{
    double values[PEER_VALUES];
    peer_work work = task->work;
    work.seconds = WARM_UP_S;
    return measure_once(task, &work, values, error);
}

static bool is_missing(const contender *peer)
{
#ifdef PEER_HAVE_RTE
    if (strncmp(peer->name, "rte_ring", 8) == 0 && !peer_rte_load())
        return true;
#endif
    return peer->one == NULL && peer->many == NULL;
}

static const peer_queue *queue_for(const contender *peer, const peer_case *asked)
{
    const bool many = asked->shape == PEER_MPSC_2P || asked->shape == PEER_MPSC_3ON2;
    return many ? peer->many : peer->one;
}

static void note_missing_one(perf_run *run, const contender *peer)
{
    perf_result_note(run->result, "missing: %s (install %s, then build again)", peer->name,
                     peer->packages);
}

static void note_missing(perf_run *run)
{
    for (size_t i = 0; i < PEERS; i++)
        if (is_missing(&peers[i]))
            note_missing_one(run, &peers[i]);
}

typedef struct peer_plan {
    perf_task tasks[TASKS_MAX];
    peer_task contexts[TASKS_MAX];
    uint32_t count;
    peer_disruptor *disruptor; /* NULL: missing */
} peer_plan;

/* Whether --case names this queue in this case, or one that it stands beside: hotlane beside every
 * peer, the bare rings beside the bus. */
static bool is_wanted(perf_run *run, const contender *peer, const peer_case *asked,
                      const char *task_name)
{
    if (perf_run_wants(run, task_name))
        return true;
    const char *const only = run->options->only;
    if (strcmp(asked->name, BARE_CASE) == 0 && strstr(BUS_CASE, only) != NULL)
        return true;
    for (size_t i = 0; strcmp(peer->name, HOTLANE) == 0 && i <= PEERS; i++) {
        const contender *const mate = i < PEERS ? &peers[i] : &disruptor_peer;
        char beside[64];
        snprintf(beside, sizeof beside, "%s.%s", asked->name, mate->name);
        if ((mate == &disruptor_peer || queue_for(mate, asked) != NULL) &&
            strstr(beside, only) != NULL)
            return true;
    }
    return false;
}

static hl_status add_task(perf_run *run, peer_plan *plan, const contender *peer,
                          const peer_case *asked, hl_error *error)
{
    peer_task *const context = &plan->contexts[plan->count];
    perf_task *const task = &plan->tasks[plan->count];
    snprintf(task->name, sizeof task->name, "%s.%s", asked->name, peer->name);
    if (!is_wanted(run, peer, asked, task->name))
        return HL_OK;
    *context = (peer_task){
        .run = run,
        .peer = peer,
        .queue = queue_for(peer, asked),
        .disruptor = peer == &disruptor_peer ? plan->disruptor : NULL,
        .work = {&run->timer, &run->cores, run->options->seconds, asked->shape, asked->run, 0},
    };
    task->measure = measure;
    task->context = context;
    task->metrics = asked->shape == PEER_ROUND_TRIP ? round_trip_metrics : stream_metrics;
    task->metric_count = TASK_VALUES;
    task->floor = asked->shape == PEER_ROUND_TRIP ? PERF_FLOOR_ROUND_TRIP : PERF_FLOOR_STREAM;
    plan->count++;
    hl_error reason;
    const hl_status status =
        context->disruptor != NULL ? warm_up(context, &reason) : find_best_pauses(context, &reason);
    return status == HL_OK ? HL_OK : hl_error_set(error, status, "%s: %s", task->name, reason.text);
}

static void add_bus(perf_run *run, peer_plan *plan)
{
    peer_task *const context = &plan->contexts[plan->count];
    perf_task *const task = &plan->tasks[plan->count];
    snprintf(task->name, sizeof task->name, "%s.%s", BUS_CASE, HOTLANE);
    if (!perf_run_wants(run, task->name))
        return;
    context->run = run;
    task->measure = measure_bus;
    task->context = context;
    task->metrics = bus_metrics;
    task->metric_count = sizeof bus_metrics / sizeof *bus_metrics;
    task->floor = PERF_FLOOR_STREAM;
    plan->count++;
}

static hl_status add_case(perf_run *run, peer_plan *plan, const peer_case *asked, hl_error *error)
{
    hl_status status = HL_OK;
    for (size_t i = 0; status == HL_OK && i < PEERS; i++)
        if (!is_missing(&peers[i]) && queue_for(&peers[i], asked) != NULL)
            status = add_task(run, plan, &peers[i], asked, error);
    if (status == HL_OK && plan->disruptor != NULL)
        status = add_task(run, plan, &disruptor_peer, asked, error);
    return status;
}

static void start_disruptor(perf_run *run, peer_plan *plan)
{
    hl_error reason;
    const hl_status status = peer_disruptor_start(&run->cores, &plan->disruptor, &reason);
    if (status == HL_UNSUPPORTED)
        note_missing_one(run, &disruptor_peer);
    else if (status != HL_OK)
        perf_result_note(run->result, "missing: %s (%s)", disruptor_peer.name, reason.text);
}

static hl_status run_peers(perf_run *run, hl_error *error)
{
    peer_plan *const plan = hl_allocate(1, sizeof *plan);
    if (plan == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for %zu tasks", TASKS_MAX);
    run->tasks_chosen = true;
    note_missing(run);
    start_disruptor(run, plan);
    hl_status status = HL_OK;
    for (size_t i = 0; status == HL_OK && i < PEER_CASES; i++)
        status = add_case(run, plan, &peer_cases[i], error);
    add_bus(run, plan);
    if (status == HL_OK)
        status = perf_run_tasks(run, plan->tasks, plan->count, error);
    peer_disruptor_stop(plan->disruptor);
    free(plan);
    return status;
}

const perf_scenario perf_peers_scenario = {"peers", "hotlane's rings and bus beside other queues",
                                           true, false, run_peers};

/* ---- the table ---- */

/* Splits a row's name "CASE.QUEUE". False: it is no figure of a queue but what else was seen. */
static bool split_name(const perf_row *row, size_t *ret_case_length, const char **ret_queue)
{
    const char *const dot = strchr(row->name, '.');
    if (dot == NULL || strchr(dot + 1, '.') != NULL)
        return false;
    *ret_case_length = (size_t)(dot - row->name);
    *ret_queue = dot + 1;
    return true;
}

static bool is_ours(const perf_row *row, size_t *ret_case_length)
{
    const char *queue;
    return split_name(row, ret_case_length, &queue) && strcmp(queue, HOTLANE) == 0;
}

/* Calls `visit` for each peer's row that stands beside this one of ours: of the same case and unit,
 * for the bus of the bare ring's. */
static void visit_peers(const perf_result *result, const perf_row *ours,
                        void (*visit)(const perf_row *ours, const perf_row *theirs,
                                      const char *peer, void *context),
                        void *context)
{
    size_t length = 0;
    is_ours(ours, &length);
    const bool bus = length == strlen(BUS_CASE) && memcmp(ours->name, BUS_CASE, length) == 0;
    const char *const wanted = bus ? BARE_CASE : ours->name;
    const size_t wanted_length = bus ? strlen(BARE_CASE) : length;
    for (uint32_t i = 0; i < result->row_count; i++) {
        const perf_row *const row = &result->rows[i];
        const char *queue;
        if (split_name(row, &length, &queue) && length == wanted_length &&
            memcmp(row->name, wanted, length) == 0 && strcmp(row->unit, ours->unit) == 0 &&
            strcmp(queue, HOTLANE) != 0)
            visit(ours, row, queue, context);
    }
}

/* What else is shown of a queue: rows CASE.QUEUE.METRIC. */
static const char *const shown_metrics[] = {"full", "empty", "pauses"};
#define SHOWN (sizeof shown_metrics / sizeof *shown_metrics)

/* The median of such a row beside this one; NAN: there is none. */
static double metric_of(const perf_result *result, const perf_row *row, const char *metric)
{
    const size_t length = strlen(row->name);
    for (uint32_t i = 0; i < result->row_count; i++) {
        const char *const name = result->rows[i].name;
        if (strncmp(name, row->name, length) == 0 && name[length] == '.' &&
            strcmp(name + length + 1, metric) == 0)
            return result->rows[i].figure.median;
    }
    return NAN;
}

/* Where a visit to the peers' rows writes to. */
typedef struct peer_print {
    const perf_result *result;
    FILE *stream;
} peer_print;

static void print_queue(const peer_print *to, const perf_row *row, const char *queue, double ratio)
{
    char figure[24], low[24], high[24];
    perf_figure_text(row->figure.median, row->unit, figure, sizeof figure);
    perf_figure_text(row->figure.min, row->unit, low, sizeof low);
    perf_figure_text(row->figure.max, row->unit, high, sizeof high);
    fprintf(to->stream, "    %-28s %12s %12s %12s", queue, figure, low, high);
    if (isnan(ratio))
        fprintf(to->stream, " %9s", "");
    else
        fprintf(to->stream, " %9.2f", ratio);
    if (row->times_floor > 0)
        fprintf(to->stream, " %7.2f", row->times_floor);
    else
        fprintf(to->stream, " %7s", "-");
    for (size_t i = 0; i < SHOWN; i++) {
        const double seen = metric_of(to->result, row, shown_metrics[i]);
        if (isnan(seen))
            fprintf(to->stream, " %7s", "-");
        else
            fprintf(to->stream, " %7.0f", seen);
    }
    fputc('\n', to->stream);
}

static void print_peer(const perf_row *ours, const perf_row *theirs, const char *peer,
                       void *context)
{
    print_queue(context, theirs, peer, ours->figure.median / theirs->figure.median);
}

static void print_case(const perf_result *result, const perf_row *ours, size_t case_length,
                       FILE *stream)
{
    peer_print to = {result, stream};
    fprintf(stream, "  %.*s, %s (%s is better)\n", (int)case_length, ours->name, ours->unit,
            ours->lower_is_better ? "less" : "more");
    print_queue(&to, ours, HOTLANE, NAN);
    visit_peers(result, ours, print_peer, &to);
}

void perf_peers_print(const perf_result *result, FILE *stream)
{
    perf_environment_print(&result->environment, stream);
    perf_floor_print(&result->floor, stream);
    fprintf(stream, "  %-30s %12s %12s %12s %9s %7s %7s %7s %7s\n", "", "median", "min", "max",
            "hotlane/", "x floor", "full %", "empty %", "pauses");
    for (uint32_t i = 0; i < result->row_count; i++) {
        size_t case_length;
        if (is_ours(&result->rows[i], &case_length))
            print_case(result, &result->rows[i], case_length, stream);
    }
    size_t index;
    json_t *note;
    json_array_foreach(result->notes, index, note)
        fprintf(stream, "  note: %s\n", json_string_value(note));
}

/* ---- JSON ---- */

/* A row of JSON, and the result it is of. */
typedef struct peer_row {
    const perf_result *result;
    json_t *object;
} peer_row;

static void add_metrics(const peer_row *to, const perf_row *row, const char *queue)
{
    if (row->times_floor > 0)
        json_object_set_new(json_object_get(to->object, "times_floor"), queue,
                            json_real(row->times_floor));
    for (size_t i = 0; i < SHOWN; i++) {
        const double seen = metric_of(to->result, row, shown_metrics[i]);
        if (!isnan(seen))
            json_object_set_new(json_object_get(to->object, shown_metrics[i]), queue,
                                json_real(seen));
    }
}

static void add_peer(const perf_row *ours, const perf_row *theirs, const char *peer, void *context)
{
    (void)ours;
    const peer_row *const to = context;
    json_object_set_new(json_object_get(to->object, "peers"), peer,
                        json_real(theirs->figure.median));
    json_object_set_new(json_object_get(to->object, "peers_min"), peer,
                        json_real(theirs->figure.min));
    json_object_set_new(json_object_get(to->object, "peers_max"), peer,
                        json_real(theirs->figure.max));
    add_metrics(to, theirs, peer);
}

static json_t *row_json(const perf_result *result, const perf_row *ours, size_t case_length)
{
    /* Its tail has a name of its own: whoever reads rows by their case gets the median. */
    char name[sizeof ours->name + sizeof P99_SUFFIX];
    snprintf(name, sizeof name, "%.*s%s", (int)case_length, ours->name,
             strcmp(ours->unit, P99_UNIT) == 0 ? P99_SUFFIX : "");
    peer_row row = {result,
                    json_pack("{s:s, s:s, s:f, s:f, s:f, s:{}, s:{}, s:{}, s:{}}", "case", name,
                              "unit", ours->unit, "hotlane", ours->figure.median, "hotlane_min",
                              ours->figure.min, "hotlane_max", ours->figure.max, "peers",
                              "peers_min", "peers_max", "times_floor")};
    for (size_t i = 0; i < SHOWN; i++)
        json_object_set_new(row.object, shown_metrics[i], json_object());
    add_metrics(&row, ours, HOTLANE);
    visit_peers(result, ours, add_peer, &row);
    return row.object;
}

json_t *perf_peers_json(const perf_result *result)
{
    json_t *const rows = json_array();
    for (uint32_t i = 0; i < result->row_count; i++) {
        const perf_row *const ours = &result->rows[i];
        size_t case_length;
        if (is_ours(ours, &case_length))
            json_array_append_new(rows, row_json(result, ours, case_length));
    }
    return json_pack("{s:s, s:o, s:o, s:O, s:o}", "scenario", result->scenario, "environment",
                     perf_environment_json(&result->environment), "floor",
                     perf_floor_json(&result->floor), "notes", result->notes, "rows", rows);
}
