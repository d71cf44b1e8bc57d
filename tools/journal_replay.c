/*
 * hotlane journal replay: the events again, as they came.
 */
#include <inttypes.h>
#include <time.h>

#include <hotlane/duration.h>

#include "base/clock.h"
#include "journal_pipeline.h"

#ifdef HL_HAVE_MARKET
#include "run_options.h"

_Static_assert(JOURNAL_INPUTS_MAX <= MARKET_INPUTS_MAX, "all of them fit");

hl_exit journal_into_pipeline(const journal_options *options)
{
    run_options run;
    run_options_init(&run);
    for (uint32_t i = 0; i < options->input_count; i++)
        run.inputs[i] = options->inputs[i];
    run.input_count = options->input_count;
    if (run.input_count == 0)
        run.inputs[run.input_count++] = RUN_DEFAULT_INPUT;
    run.reading = options->reading;
    run.replay_dir = options->reading.directory;
    run.speed = options->speed;
    run.recompute = options->recompute;
    run.rebuild = options->rebuild || options->make;
    run.make_snapshots = options->make;
    run.json = options->json;
    return run_with(&run);
}
#else
hl_exit journal_into_pipeline(const journal_options *options)
{
    (void)options;
    fputs("hotlane journal: this build has no reference pipeline: it needs zlib and zstd\n",
          stderr);
    return HL_EXIT_FAILED;
}
#endif

/* Where in time the first event is put, and when it was. */
typedef struct pace {
    double speed;
    uint64_t began_ns, first_ns;
} pace;

static void keep_pace(pace *of, uint64_t event_ns)
{
    if (of->speed <= 0.0)
        return;
    if (of->began_ns == 0)
        *of = (pace){of->speed, hl_monotonic_ns(), event_ns};
    const uint64_t since_ns = event_ns > of->first_ns ? event_ns - of->first_ns : 0;
    const uint64_t at_ns = of->began_ns + (uint64_t)((double)since_ns / of->speed);
    if (at_ns <= hl_monotonic_ns())
        return;
    const struct timespec until = {(time_t)(at_ns / HL_SECOND), (long)(at_ns % HL_SECOND)};
    fflush(stdout); /* what came before is seen before the wait */
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static hl_status print_all(hl_journal_reader *reader, const journal_options *options,
                           hl_error *error)
{
    pace of = {.speed = options->speed};
    hl_journal_entry entry;
    hl_status status = HL_OK;
    for (uint64_t shown = 0; options->limit == 0 || shown < options->limit; shown++) {
        status = hl_journal_reader_next(reader, &entry, error);
        if (status != HL_OK || ferror(stdout))
            break;
        if (entry.event != NULL)
            keep_pace(&of, entry.event->published_ns);
        journal_print_entry(&entry, options->json, stdout);
    }
    return status == HL_NOT_FOUND ? HL_OK : status;
}

hl_exit journal_replay(const journal_options *options)
{
    hl_journal_reader *reader = NULL;
    hl_error error = {0};
    if (options->into_pipeline && options->limit == 0)
        return journal_into_pipeline(options);
    if (options->into_pipeline || options->recompute || options->input_count != 0) {
        fprintf(stderr, "journal replay: %s\n",
                options->into_pipeline ? "--limit is for printing: end with --to or --to-sequence"
                                       : "--recompute and --input are for --pipeline: add it");
        return HL_EXIT_USAGE;
    }
    hl_status status = hl_journal_reader_open(&options->reading, &reader, &error);
    if (status == HL_OK)
        status = print_all(reader, options, &error);
    hl_journal_reader_close(reader);
    return status == HL_OK ? HL_EXIT_OK : journal_failed(&error);
}
