#include "instructions.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <spawn.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/payload.h"

#define EVENTS        16384u /* counted, of each case */
#define WARM_UP       20480u /* more than a lap of the ring, and every one of the topics */
#define EVENTS_A_TURN 64u
#define TOPICS_MAX    10000u
#define TOLERANCE     0.001
#define GROWTH_MAX    0.02

/* callgrind counts between these two, and then writes its count. Outside of it they do nothing. */
#if defined(CALLGRIND_START_INSTRUMENTATION)
#define HAVE_CALLGRIND   true
#define BEGIN_COUNTING() CALLGRIND_START_INSTRUMENTATION
#define END_COUNTING()                  \
    do {                                \
        CALLGRIND_STOP_INSTRUMENTATION; \
        CALLGRIND_DUMP_STATS;           \
    } while (0)
#else
#define HAVE_CALLGRIND   false
#define BEGIN_COUNTING() ((void)0)
#define END_COUNTING()   ((void)0)
#endif

typedef struct counted_case {
    const char *name;
    uint32_t run; /* events a claim */
    uint32_t topics;
    uint32_t subscribers; /* of each topic */
    const char *pattern;  /* of one subscription to all topics; NULL: each by its name */
} counted_case;

enum { HARNESS = 0, SINGLE = 1, MANY_SUBSCRIPTIONS = 7 };

static const counted_case cases[PERF_INSTRUCTION_CASES] = {
    [HARNESS] = {"harness", 1, 0, 0, NULL},
    [SINGLE] = {"single", 1, 1, 1, NULL},
    {"run32", 32, 1, 1, NULL},
    {"4_subscribers", 1, 1, 4, NULL},
    {"16_subscribers", 1, 1, 16, NULL},
    {"pattern", 1, 1, 1, "market_data.>"},
    {"10000_topics", 1, 10000, 1, "market_data.>"},
    [MANY_SUBSCRIPTIONS] = {"10000_subscriptions", 1, 10000, 1, NULL},
};

const char *perf_instructions_case(uint32_t index)
{
    return cases[index].name;
}

const char *perf_instructions_build(void)
{
#if defined(__clang__)
    return "clang " __clang_version__ " " PERF_BUILD_FLAGS;
#else
    return "gcc " __VERSION__ " " PERF_BUILD_FLAGS;
#endif
}

/* ---- the counted program ------------------------------------------------------------------- */

typedef struct counted {
    const counted_case *asked;
    perf_bus bus;
    hl_executor *executor;
    hl_topic *topics;
    uint64_t number; /* of the next event */
    uint64_t sum;    /* the handler's */
    uint64_t damaged;
    hl_status failed;
    /* Of the case without a bus. */
    alignas(64) unsigned char slots[EVENTS_A_TURN][128];
    hl_handler handler;
} counted;

static hl_status on_event(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    counted *const self = context;
    const void *const payload = hl_payload(event);
    self->damaged += !perf_payload_whole(payload, PERF_BUS_PAYLOAD_BYTES);
    self->sum += perf_payload_number(payload);
    return HL_OK;
}

static inline void publish_turn(counted *self, uint32_t *topic)
{
    const uint32_t run = self->asked->run;
    for (uint32_t i = 0; i < EVENTS_A_TURN; i += run) {
        hl_claim claim;
        const hl_status status = run == 1
                                     ? hl_try_claim(self->bus.publisher, self->topics[*topic], 0,
                                                    PERF_BUS_PAYLOAD_BYTES, &claim)
                                     : hl_try_claim_run(self->bus.publisher, self->topics[*topic],
                                                        0, PERF_BUS_PAYLOAD_BYTES, run, &claim);
        if (status != HL_OK) {
            self->failed = status;
            return;
        }
        for (uint32_t k = 0; k < run; k++)
            perf_payload_fill(hl_claim_event(&claim, k) + 1, PERF_BUS_PAYLOAD_BYTES, self->number++,
                              0);
        hl_commit(&claim);
        *topic = *topic + 1 == self->asked->topics ? 0 : *topic + 1;
    }
    while (hl_executor_turn(self->executor, 0) != 0)
        continue;
}

static inline void harness_turn(counted *self)
{
    for (uint32_t i = 0; i < EVENTS_A_TURN; i++)
        perf_payload_fill(self->slots[i] + sizeof(hl_event), PERF_BUS_PAYLOAD_BYTES, self->number++,
                          0);
    for (uint32_t i = 0; i < EVENTS_A_TURN; i++)
        self->handler((const hl_event *)(const void *)self->slots[i], NULL, self);
}

static void run_turns(counted *self, uint32_t events)
{
    uint32_t topic = 0;
    for (uint32_t done = 0; done < events && self->failed == HL_OK; done += EVENTS_A_TURN) {
        if (self->asked->topics == 0)
            harness_turn(self);
        else
            publish_turn(self, &topic);
    }
}

/* Not inlined: the same code for every case, and a name in callgrind's annotation. */
static __attribute__((noinline)) void run_counted(counted *self)
{
    BEGIN_COUNTING();
    run_turns(self, EVENTS);
    END_COUNTING();
}

static hl_status declare(counted *self, hl_error *error)
{
    const counted_case *const asked = self->asked;
    hl_status status = HL_OK;
    for (uint32_t t = 0; status == HL_OK && t < asked->topics; t++) {
        char name[64];
        snprintf(name, sizeof name, "market_data.i%u", t);
        status = perf_bus_topic(&self->bus, name, NULL, &self->topics[t], error);
        for (uint32_t s = 0; status == HL_OK && asked->pattern == NULL && s < asked->subscribers;
             s++)
            status = perf_bus_subscribe(&self->bus, name, on_event, self, error);
    }
    if (status == HL_OK && asked->pattern != NULL)
        status = perf_bus_subscribe(&self->bus, asked->pattern, on_event, self, error);
    return status;
}

static hl_status count_with_bus(counted *self, hl_error *error)
{
    const perf_cores nowhere = {0}; /* no thread is started, none is pinned */
    const perf_bus_options options = {.cores = &nowhere, .wait = HL_WAIT_SPIN, .manual = true};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = declare(self, error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    if (status == HL_OK) {
        self->executor = hl_bus_executor(self->bus.bus, 0);
        run_turns(self, WARM_UP);
        run_counted(self);
        if (self->failed != HL_OK)
            status = perf_bus_publish_error(self->failed, error);
    }
    return perf_bus_close(&self->bus, status, NULL, error);
}

static hl_status count_case(const counted_case *asked, counted *self, hl_error *error)
{
    hl_topic *const topics = self->topics;
    *self = (counted){.asked = asked, .topics = topics, .handler = on_event};
    hl_status status = HL_OK;
    if (asked->topics == 0)
        run_counted(self);
    else
        status = count_with_bus(self, error);
    if (status == HL_OK && self->damaged != 0)
        return hl_error_set(error, HL_NOT_CONSERVED, "%s: %" PRIu64 " events came damaged",
                            asked->name, self->damaged);
    return status;
}

hl_status perf_instructions_workload(hl_error *error)
{
    counted *const self = hl_allocate(1, sizeof *self);
    hl_topic *const topics = hl_allocate(TOPICS_MAX, sizeof *topics);
    hl_status status = HL_OK;
    if (self == NULL || topics == NULL)
        status = hl_error_set(error, HL_NO_MEMORY, "no memory for the counted events");
    else
        self->topics = topics;
    for (uint32_t i = 0; status == HL_OK && i < PERF_INSTRUCTION_CASES; i++)
        status = count_case(&cases[i], self, error);
    free(topics);
    free(self);
    return status;
}

/* ---- counting it --------------------------------------------------------------------------- */

/* Runs it with what it says kept in DIR/said. */
static hl_status run_valgrind(const char *folder, hl_error *error)
{
    char self[4096];
    const ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    if (bytes <= 0)
        return hl_error_set(error, HL_SYSTEM, "/proc/self/exe: %s", strerror(errno));
    self[bytes] = '\0';
    char out[256], said[256];
    snprintf(out, sizeof out, "--callgrind-out-file=%s/out", folder);
    snprintf(said, sizeof said, "%s/said", folder);
    char *const arguments[] = {
        (char *)"valgrind", (char *)"--tool=callgrind", (char *)"--instr-atstart=no", out, self,
        (char *)"perf",     (char *)"instructions",     (char *)"--workload",         NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, said, O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    pid_t child;
    const int failure = posix_spawnp(&child, "valgrind", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failure == ENOENT)
        return hl_error_set(error, HL_UNSUPPORTED,
                            "valgrind is not installed: nothing was counted");
    if (failure != 0)
        return hl_error_set(error, HL_SYSTEM, "valgrind: %s", strerror(failure));
    int outcome;
    while (waitpid(child, &outcome, 0) == -1 && errno == EINTR)
        continue;
    if (!WIFEXITED(outcome) || WEXITSTATUS(outcome) != 0)
        return hl_error_set(error, HL_SYSTEM, "valgrind failed; what it said is in %s", said);
    return HL_OK;
}

/* The count of one dump: the line "totals: N". */
static hl_status read_dump(const char *path, double *ret_count, hl_error *error)
{
    FILE *const file = fopen(path, "re");
    if (file == NULL)
        return hl_error_set(error, HL_SYSTEM, "%s: %s", path, strerror(errno));
    char *line = NULL;
    size_t room = 0;
    uint64_t count = 0;
    bool found = false;
    while (!found && getline(&line, &room, file) > 0)
        found = sscanf(line, "totals: %" SCNu64, &count) == 1;
    free(line);
    fclose(file);
    if (!found)
        return hl_error_set(error, HL_SYSTEM, "%s: has no line \"totals: N\"", path);
    *ret_count = (double)count;
    return HL_OK;
}

static void remove_folder(const char *folder)
{
    char path[256];
    for (uint32_t i = 0; i <= PERF_INSTRUCTION_CASES + 1; i++) {
        snprintf(path, sizeof path, "%s/out.%u", folder, i);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/out", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/said", folder);
    unlink(path);
    rmdir(folder);
}

hl_status perf_instructions_count(perf_instruction_counts *ret_counts, hl_error *error)
{
    if (!HAVE_CALLGRIND)
        return hl_error_set(error, HL_UNSUPPORTED,
                            "this was built without valgrind/callgrind.h: install valgrind and "
                            "build again");
    char folder[] = "/tmp/hotlane-perf-XXXXXX";
    if (mkdtemp(folder) == NULL)
        return hl_error_set(error, HL_SYSTEM, "%s: %s", folder, strerror(errno));
    perf_instruction_counts counts;
    hl_status status = run_valgrind(folder, error);
    for (uint32_t i = 0; status == HL_OK && i < PERF_INSTRUCTION_CASES; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/out.%u", folder, i + 1);
        status = read_dump(path, &counts.per_event[i], error);
        counts.per_event[i] /= EVENTS;
    }
    /* What a failed valgrind said is worth keeping. */
    if (status != HL_SYSTEM)
        remove_folder(folder);
    if (status == HL_OK)
        *ret_counts = counts;
    return status;
}

void perf_instructions_print(const perf_instruction_counts *counts, FILE *stream)
{
    const double harness = counts->per_event[HARNESS];
    fprintf(stream, "%-22s %12s %16s\n", "instructions an event", "all", "without harness");
    for (uint32_t i = 0; i < PERF_INSTRUCTION_CASES; i++)
        fprintf(stream, "  %-20s %12.2f %16.2f\n", cases[i].name, counts->per_event[i],
                counts->per_event[i] - harness);
    fprintf(stream, "build: %s\n", perf_instructions_build());
}

json_t *perf_instructions_json(const perf_instruction_counts *counts)
{
    json_t *const rows = json_object();
    for (uint32_t i = 0; i < PERF_INSTRUCTION_CASES; i++)
        json_object_set_new(rows, cases[i].name, json_real(counts->per_event[i]));
    return json_pack("{s:s, s:o}", "build", perf_instructions_build(), "instructions_per_event",
                     rows);
}

/* ---- the budget ---------------------------------------------------------------------------- */

typedef struct budget {
    char build[256];
    double per_event[PERF_INSTRUCTION_CASES]; /* NAN: the file does not say */
} budget;

/* A line of the file, without its end; false: it is none. */
static bool read_budget_line(const char *line, budget *into)
{
    char name[64];
    double count;
    if (line[0] == '#' || line[0] == '\0')
        return true;
    if (strncmp(line, "build ", 6) == 0) {
        snprintf(into->build, sizeof into->build, "%s", line + 6);
        return true;
    }
    if (sscanf(line, "%63s %lf", name, &count) != 2)
        return false;
    for (uint32_t i = 0; i < PERF_INSTRUCTION_CASES; i++) {
        if (strcmp(name, cases[i].name) == 0) {
            into->per_event[i] = count;
            return true;
        }
    }
    return false;
}

static hl_status read_budget(const char *path, budget *ret_budget, hl_error *error)
{
    FILE *const file = fopen(path, "re");
    if (file == NULL)
        return hl_error_set(error, HL_SYSTEM, "%s: %s", path, strerror(errno));
    *ret_budget = (budget){.build = ""};
    for (uint32_t i = 0; i < PERF_INSTRUCTION_CASES; i++)
        ret_budget->per_event[i] = NAN;
    char *line = NULL;
    size_t room = 0;
    hl_status status = HL_OK;
    for (uint32_t number = 1; status == HL_OK && getline(&line, &room, file) > 0; number++) {
        line[strcspn(line, "\n")] = '\0';
        if (!read_budget_line(line, ret_budget))
            status = hl_error_set(error, HL_BAD_INPUT,
                                  "%s:%u: \"%s\" is neither a comment, nor `build TEXT`, nor "
                                  "`CASE COUNT` of a case that is counted",
                                  path, number, line);
    }
    free(line);
    fclose(file);
    return status;
}

static hl_status check_growth(const perf_instruction_counts *counts, hl_error *error)
{
    const double one = counts->per_event[SINGLE];
    const double many = counts->per_event[MANY_SUBSCRIPTIONS];
    if (many > one * (1 + GROWTH_MAX))
        return hl_error_set(error, HL_LIMIT,
                            "%s takes %.2f instructions an event, more than %.0f %% above the "
                            "%.2f of one topic and one subscription: the routes cost something "
                            "that grows",
                            cases[MANY_SUBSCRIPTIONS].name, many, GROWTH_MAX * 100, one);
    return HL_OK;
}

hl_status perf_budget_check(const char *path, const perf_instruction_counts *counts,
                            hl_error *error)
{
    budget held;
    hl_status status = read_budget(path, &held, error);
    if (status != HL_OK)
        return status;
    if (strcmp(held.build, perf_instructions_build()) != 0)
        return hl_error_set(error, HL_UNSUPPORTED,
                            "%s is of another build (%s; this one: %s): not compared", path,
                            held.build, perf_instructions_build());
    for (uint32_t i = 0; i < PERF_INSTRUCTION_CASES; i++) {
        const double count = counts->per_event[i];
        if (!(fabs(count - held.per_event[i]) <= held.per_event[i] * TOLERANCE))
            return hl_error_set(error, HL_LIMIT,
                                "%s takes %.2f instructions an event, the budget is %.2f (%s): "
                                "%s `hotlane perf instructions --budget %s --update`",
                                cases[i].name, count, held.per_event[i], path,
                                count < held.per_event[i]
                                    ? "it came down, keep it there with"
                                    : "find out why, or, where it is worth it, raise it with",
                                path);
    }
    return check_growth(counts, error);
}

hl_status perf_budget_write(const char *path, const perf_instruction_counts *counts,
                            hl_error *error)
{
    FILE *const file = fopen(path, "we");
    if (file == NULL)
        return hl_error_set(error, HL_SYSTEM, "%s: %s", path, strerror(errno));
    fputs("# Instructions an event, from claim to the end of its inline handler, payload of 64\n"
          "# bytes, counted by callgrind (perf/instructions.h). `harness` is the loop, the fill\n"
          "# and the handler without a bus: it is in all the others. A test holds the counts to\n"
          "# 0.1 % on this build, both ways. After a change that is worth it:\n"
          "#     hotlane perf instructions --budget perf/instruction_budget.txt --update\n",
          file);
    fprintf(file, "build %s\n", perf_instructions_build());
    for (uint32_t i = 0; i < PERF_INSTRUCTION_CASES; i++)
        fprintf(file, "%s %.2f\n", cases[i].name, counts->per_event[i]);
    const bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return hl_error_set(error, HL_SYSTEM, "%s: cannot be written", path);
    return HL_OK;
}
