/*
 * The n-th failure: whichever call of the system fails while a bus is made, started, used, stopped,
 * reopened, subscribed to, there is a status with a sentence, no crash, no hang, nothing leaks, and
 * conservation holds.
 *
 * usage: nth [SCENARIO [KIND [N]]]
 * For each kind of call some n, drawn evenly from all that there are, by a seed that is printed
 * (HOTLANE_SEED sets it); with HOTLANE_LONG=1 n is 1, 2, 3, ... until the scenario passes unharmed.
 * A process for each, so that nothing is left of the one before.
 */
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"
#include "tests/random.h"
#include "tests/temporary_directory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#define leaks_found() (__lsan_do_recoverable_leak_check() != 0)
#else
#define leaks_found() false /* by nobody but the shim */
#endif
#define SETTLE (2 * HL_SECOND)

/* Of the process that plays, seen by the one that watches. */
typedef struct watched {
    uint64_t calls[NTH_KINDS];
    bool fired, harmed, done;
    char broken[1024];
    int frames;
    void *place[NTH_FRAMES];
} watched;

static watched *seen;
static char base[TEMPORARY_DIRECTORY_SIZE];

void nth_broken(const nth_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(seen->broken, sizeof seen->broken, format, arguments);
    va_end(arguments);
    seen->fired = run->is_apart ? run->fired : nth_fired();
    seen->frames = nth_place(seen->place);
    _exit(1);
}

bool nth_answered(nth_run *run, const char *call, hl_status status, const char *sentence)
{
    if (status == HL_OK)
        return true;
    if (strcmp(hl_status_name(status), hl_status_name((hl_status)-1)) == 0)
        nth_broken(run, "%s answered %d, which is no status", call, (int)status);
    if (status == HL_NOT_CONSERVED)
        nth_broken(run, "%s: %s", call, sentence);
    if (strlen(sentence) < 10)
        nth_broken(run, "%s answered %s without a sentence (\"%s\")", call, hl_status_name(status),
                   sentence);
    if (!nth_fired())
        nth_broken(run, "%s answered %s though nothing failed: %s", call, hl_status_name(status),
                   sentence);
    if (getenv("HOTLANE_VERBOSE") != NULL)
        fprintf(stderr, "%s: %s: %s\n", call, hl_status_name(status), sentence);
    run->harmed = true;
    return false;
}

/* ---- folders ---- */

static void make(const char *path)
{
    if (mkdir(path, 0700) == 0)
        return;
    perror(path);
    exit(1);
}

static void copy(const char *from, const char *to)
{
    char command[1200];
    snprintf(command, sizeof command, "cp -r --sparse=always '%s' '%s'", from, to);
    if (system(command) != 0)
        exit(1);
}

static uint32_t count_entries(const char *path)
{
    uint32_t count = 0;
    DIR *const folder = opendir(path);
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        closedir(folder);
    return count;
}

/* ---- one process ---- */

/* What liburcu's thread is still to free comes a moment later. */
static void demand_nothing_is_left(nth_run *run, uint64_t blocks, uint64_t mapped, uint32_t files)
{
    const struct timespec nap = {0, 2000000};
    for (uint64_t waited = 0; waited < SETTLE; waited += 2000000) {
        if (nth_blocks() == blocks && nth_mapped_bytes() == mapped &&
            count_entries("/proc/self/fd") == files)
            return;
        nanosleep(&nap, NULL);
    }
    nth_show_blocks(4);
    nth_broken(run, "left behind: %" PRIu64 " blocks, %" PRIu64 " mapped bytes, %d files",
               nth_blocks() - blocks, nth_mapped_bytes() - mapped,
               (int)count_entries("/proc/self/fd") - (int)files);
}

static void play(const nth_scenario *scenario, nth_run *run)
{
    const uint64_t blocks = nth_blocks();
    const uint64_t mapped = nth_mapped_bytes();
    const uint32_t files = count_entries("/proc/self/fd");
    nth_limit(NTH_LIMIT_S);
    scenario->play(run);
    nth_disarm();
    for (int kind = 0; kind < NTH_KINDS; kind++)
        seen->calls[kind] = run->is_apart ? run->calls[kind] : nth_calls((nth_kind)kind);
    seen->fired = run->is_apart ? run->fired : nth_fired();
    seen->harmed = run->harmed;
    seen->frames = nth_place(seen->place);
    demand_nothing_is_left(run, blocks, mapped, files);
    if (leaks_found()) /* of what others allocated on our behalf */
        nth_broken(run, "left behind: what is said above");
    seen->done = true;
    _exit(0);
}

static bool tell(const nth_scenario *scenario, const nth_run *run, const char *what)
{
    fprintf(stderr, "%s, %s (%s) number %" PRIu64 ": %s\n", scenario->name,
            nth_kind_name(run->kind), nth_kind_calls(run->kind), run->n, what);
    if (seen->frames > 0)
        backtrace_symbols_fd(seen->place, seen->frames, STDERR_FILENO);
    return false;
}

/* False: a demand does not hold, and was told. */
static bool play_apart(const nth_scenario *scenario, nth_run *run)
{
    char own[512], copied[512], recorded[512];
    snprintf(own, sizeof own, "%s/own", base);
    snprintf(copied, sizeof copied, "%s/copy", base);
    snprintf(recorded, sizeof recorded, "%s/recorded", base);
    make(own);
    if (scenario->is_recovery)
        copy(recorded, copied);
    run->directory = own;
    run->recorded = copied;
    memset(seen, 0, sizeof *seen);
    const pid_t player = fork();
    if (player == 0)
        play(scenario, run);
    int outcome = 0;
    waitpid(player, &outcome, 0);
    temporary_directory_remove(own);
    temporary_directory_remove(copied);
    if (WIFSIGNALED(outcome))
        return tell(scenario, run,
                    WTERMSIG(outcome) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(outcome)));
    if (seen->broken[0] != '\0')
        return tell(scenario, run, seen->broken);
    return seen->done || tell(scenario, run, "it ended by itself");
}

/* ---- all of them ---- */

static uint64_t seed_state;

static uint64_t draw(uint64_t below)
{
    return random_below(&seed_state, below);
}

typedef struct tally {
    uint32_t played, harmed, broken;
} tally;

/* Whether the call came. */
static bool play_one(const nth_scenario *scenario, nth_kind kind, uint64_t n, tally *to)
{
    nth_run run = {.kind = kind, .n = n};
    to->broken += !play_apart(scenario, &run);
    to->played += seen->fired;
    to->harmed += seen->fired && seen->harmed;
    return seen->fired;
}

/* There may be a few more than were counted. */
static void play_every(const nth_scenario *scenario, nth_kind kind, uint64_t calls, tally *to)
{
    for (uint64_t n = 1; play_one(scenario, kind, n, to) || n < calls; n++) {
    }
}

/* One of each part of the calls; how many there are differs a little from time to time. */
static void play_sample(const nth_scenario *scenario, nth_kind kind, uint64_t calls, tally *to)
{
    const uint64_t parts = calls < scenario->sample ? calls : scenario->sample;
    for (uint64_t part = 0; part < parts; part++) {
        const uint64_t from = calls * part / parts, until = calls * (part + 1) / parts;
        play_one(scenario, kind, from + draw(until - from) + 1, to);
    }
}

static uint32_t play_kind(const nth_scenario *scenario, nth_kind kind, uint64_t calls, bool every)
{
    tally counts = {0};
    if (every)
        play_every(scenario, kind, calls, &counts);
    else
        play_sample(scenario, kind, calls, &counts);
    printf("%-10s %-7s %6" PRIu64 " calls, %4u failed in turn, %4u of them were answered for\n",
           scenario->name, nth_kind_name(kind), calls, counts.played, counts.harmed);
    fflush(stdout);
    return counts.broken;
}

/* NULL: of all kinds. The number of plays that broke a demand. */
static uint32_t play_kinds(const nth_scenario *scenario, const char *only, bool every)
{
    nth_run counting = {.n = 0};
    uint64_t calls[NTH_KINDS];
    uint32_t broken = 0;
    if (!play_apart(scenario, &counting))
        return 1;
    memcpy(calls, seen->calls, sizeof calls);
    for (int kind = 0; kind < NTH_KINDS; kind++)
        if (only == NULL || strcmp(only, nth_kind_name((nth_kind)kind)) == 0)
            broken += play_kind(scenario, (nth_kind)kind, calls[kind], every);
    return broken;
}

static uint32_t play_number(const nth_scenario *scenario, const char *kind, const char *number)
{
    nth_run one = {.n = strtoull(number, NULL, 10)};
    while (one.kind < NTH_KINDS && strcmp(kind, nth_kind_name(one.kind)) != 0)
        one.kind++;
    return one.kind == NTH_KINDS || !play_apart(scenario, &one);
}

static void record(void)
{
    char recorded[512];
    snprintf(recorded, sizeof recorded, "%s/recorded", base);
    make(recorded);
    const pid_t writer = fork();
    if (writer == 0)
        nth_record(recorded);
    int outcome;
    waitpid(writer, &outcome, 0);
    if (outcome != 0) {
        fprintf(stderr, "recording: %s\n", seen->broken);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const bool every = getenv("HOTLANE_LONG") != NULL;
    seed_state = random_seed((uint64_t)time(NULL));
    printf("HOTLANE_SEED=%" PRIu64 "\n", seed_state);
    fflush(stdout);
    /* In memory where it can be: what is synced a thousand times need not survive. */
    temporary_directory_make(getenv("TMPDIR") != NULL ? NULL : temporary_directory_in_memory(),
                             "nth", base);
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED)
        return 1;
    uint32_t broken = 0;
    for (uint32_t s = 0; s < nth_scenario_count; s++) {
        if (argc > 1 && strcmp(argv[1], nth_scenarios[s].name) != 0)
            continue;
        if (nth_scenarios[s].is_recovery)
            record();
        broken += argc > 3 ? play_number(&nth_scenarios[s], argv[2], argv[3])
                           : play_kinds(&nth_scenarios[s], argc > 2 ? argv[2] : NULL, every);
    }
    temporary_directory_remove(base);
    return broken != 0;
}
