/*
 * hotlane run: market data through the whole bus, from feed to fill, and the sums at the end.
 *
 * The inputs are decoded ahead; then the bus is made, and what works on it is started as its
 * components: the pipeline's stages, a feed for each input, the journal's parts. The main thread
 * waits for the feeds' end, the duration's, or a signal; it stops the feeds, lets what is on its
 * way pass, stops the components, then the bus, and reports.
 */
#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "configuration.h"
#include "journal_options.h"
#include "market/simulation.h"
#include "run_acknowledge.h"
#include "run_feeds.h"
#include "run_journal.h"
#include "run_ladder.h"
#include "run_options.h"
#include "run_parts.h"
#include "run_report.h"
#include "run_signals.h"

#define SETTLE_TIMEOUT_NS   (5 * HL_SECOND)
#define STOP_TIMEOUT_NS     (10 * HL_SECOND)
#define SNAPSHOT_TIMEOUT_NS (60 * HL_SECOND)
#define LOOK_NS             (20 * HL_MILLISECOND) /* how often the main thread looks up */
#define PROGRESS_NS         (250 * HL_MILLISECOND)
#define SIMULATION_STEPS    20000u

typedef struct run_state {
    run_options options;
    market_recording recordings[MARKET_INPUTS_MAX];
    uint32_t recording_count;
    char feed_names[MARKET_INPUTS_MAX][32];
    const char *publishers[MARKET_INPUTS_MAX];
    hl_domain_config domains[MARKET_DOMAINS];
    hl_domain_config *own_domains; /* changed from those of a file; NULL: not needed */
    run_ladder ladder;
    hl_config *loaded;
    hl_config config;
    market_clock clock;
    hl_bus *bus;
    market_pipeline *pipeline;
    run_feeds feeds;
    run_acknowledge *acknowledge;
    run_recovery recovery;
    double decoding_s;
    uint64_t started_ns; /* monotonic */
    uint64_t progress_ns;
    bool shows_progress;
    bool started;
    run_signals signals;
} run_state;

/* ---- making it ----------------------------------------------------------------------------- */

static hl_status read_inputs(run_state *run, hl_error *error)
{
    const uint64_t before_ns = hl_monotonic_ns();
    const market_reader_options options = {.max_errors = run->options.max_errors,
                                           .limit = run->options.limit};
    for (uint32_t input = 0; input < run->options.input_count; input++) {
        if (run->shows_progress)
            fprintf(stderr, "\rreading %s ...", run->options.inputs[input]);
        const hl_status status = market_reader_read_all(run->options.inputs[input], &options,
                                                        &run->recordings[input], error);
        if (run->shows_progress)
            fputs("\r\033[K", stderr);
        if (status != HL_OK)
            return status;
        run->recording_count++;
    }
    run->decoding_s = (double)(hl_monotonic_ns() - before_ns) / 1e9;
    return HL_OK;
}

/* In a copy of the configuration's domains. */
static hl_status set_durability(run_state *run, hl_error *error)
{
    const uint32_t count = run->config.domain_count;
    if (run->config.domains != run->domains) {
        run->own_domains = malloc(count * sizeof *run->own_domains);
        if (run->own_domains == NULL)
            return hl_error_set(error, HL_NO_MEMORY, "no memory for %u domains", count);
        memcpy(run->own_domains, run->config.domains, count * sizeof *run->own_domains);
        run->config.domains = run->own_domains;
    }
    return run_journal_durability(run->options.durability,
                                  run->own_domains != NULL ? run->own_domains : run->domains, count,
                                  error);
}

/* Whether a full lane is load: not where the feed goes as fast as the lane lets it. */
static void set_load(run_state *run)
{
    const bool is_live = run->options.burst != 0 || run->options.ladder;
    if (is_live)
        run->domains[0].full_policy = HL_FULL_REJECT; /* market_data; the feed tries again */
    if (!is_live && run->options.rate == 0 && run->options.speed <= 0.0)
        run->config.ladder.enabled = false;
}

static hl_status configure(run_state *run, hl_error *error)
{
    run->config = (hl_config)HL_CONFIG_INIT;
    run->config.log_level = HL_LOG_NOTHING;
    if (run->options.config_path != NULL) {
        const hl_status status = configuration_load(run->options.config_path, &run->loaded, error);
        if (status != HL_OK)
            return status;
        run->config = *run->loaded;
    }
    if (run->config.domain_count == 0) {
        market_pipeline_domains(run->domains);
        run->config.domains = run->domains;
        run->config.domain_count = MARKET_DOMAINS;
    }
    set_load(run);
    if (run->options.journal_dir != NULL)
        run->config.journal_dir = run->options.journal_dir;
    if (run->options.key_file != NULL)
        run->config.journal_key_file = run->options.key_file;
    if (run->options.snapshot_events != 0 || run->options.snapshot_interval_ns != 0) {
        if (run->config.journal_dir == NULL)
            return hl_error_set(error, HL_INVALID,
                                "snapshots lie beside a journal: name it with --journal");
        run->config.snapshot_events = run->options.snapshot_events;
        run->config.snapshot_interval_ns = run->options.snapshot_interval_ns;
    }
    if (run->options.durability != NULL) {
        const hl_status status = set_durability(run, error);
        if (status != HL_OK)
            return status;
    }
    for (uint32_t input = 0; input < run->recording_count; input++) {
        market_feed_name(input, run->feed_names[input]);
        run->publishers[input] = run->feed_names[input];
    }
    run->config.publishers = run->publishers;
    run->config.publisher_count = run->recording_count;
    if (run->options.lcores != NULL)
        run->config.lcores = run->options.lcores;
    if (run->options.dlq_path != NULL)
        run->config.dlq_path = run->options.dlq_path;
    if (run->options.log_level >= 0)
        run->config.log_level = (hl_log_level)run->options.log_level;
    run->config.stall_backtrace |= run->options.stall_backtrace;
    if (run->config.journal_dir == NULL && run->options.acknowledge_path != NULL)
        return hl_error_set(error, HL_INVALID,
                            "--acknowledge tells of a journal: name it with --journal");
    if (run->options.replay_dir != NULL) {
        const hl_status status = journal_check_directory(run->options.replay_dir, error);
        if (status != HL_OK)
            return status;
        run->options.reading.salvage |= run->config.journal_salvage;
        run->config.threads = HL_THREADS_MANUAL;
        run->config.lcores = NULL;
        run->config.journal_dir = NULL;
    }
    if (run->options.deterministic) {
        run->config.threads = HL_THREADS_MANUAL;
        run->config.lcores = NULL;
        run->config.clock = market_simulation_clock;
        run->config.clock_context = &run->clock;
    }
    return market_pipeline_check(&run->config, error);
}

/* What is started with the pipeline's stages: the journal's part first, the feeds last. */
static hl_status add_parts(run_state *run, hl_error *error)
{
    const market_feed_options options = {.speed = run->options.speed,
                                         .rate = run->options.rate,
                                         .passes = run->options.passes,
                                         .burst = run->options.burst};
    const char *after = "strategy";
    hl_status status = HL_OK;
    if (run->config.journal_dir != NULL)
        status = run_journal_add(run->bus, error);
    if (status == HL_OK && run->config.journal_dir != NULL && run->options.recover) {
        after = "recovery";
        run->recovery = (run_recovery){.bus = run->bus,
                                       .directory = run->config.journal_dir,
                                       .salvage = run->config.journal_salvage};
        status = run_recovery_add(&run->recovery, error);
    }
    if (status != HL_OK)
        return status;
    run->feeds = (run_feeds){.bus = run->bus,
                             .pipeline = run->pipeline,
                             .recordings = run->recordings,
                             .options = options,
                             .resume = run->config.journal_dir != NULL && run->options.recover};
    return run_feeds_add(&run->feeds, run->recording_count, after, error);
}

static hl_status make(run_state *run, hl_error *error)
{
    hl_status status = configure(run, error);
    if (status != HL_OK)
        return status;
    status = hl_bus_create(&run->config, &run->bus, error);
    if (status == HL_INVALID && run->options.lcores == NULL && run->options.key_file == NULL)
        configuration_place(run->options.config_path, error);
    if (status != HL_OK)
        return status;
    market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    options.audit = run->options.audit;
    status = market_pipeline_create(run->bus, run->recordings, run->recording_count, &options,
                                    &run->pipeline, error);
    if (status == HL_OK && run->options.ladder)
        status = run_ladder_watch(&run->ladder, run->bus, error);
    return status == HL_OK ? add_parts(run, error) : status;
}

static void unmake(run_state *run)
{
    if (run->bus != NULL)
        hl_components_stop(run->bus);
    run_acknowledge_end(run->acknowledge, NULL);
    run_signals_forget_bus(&run->signals);
    hl_bus_destroy(run->bus);
    market_pipeline_destroy(run->pipeline);
    hl_config_free(run->loaded);
    free(run->own_domains);
    for (uint32_t input = 0; input < run->recording_count; input++)
        market_recording_free(&run->recordings[input]);
}

/* ---- running it ---------------------------------------------------------------------------- */

static void show_progress(run_state *run)
{
    const uint64_t now_ns = hl_monotonic_ns();
    if (!run->shows_progress || now_ns - run->progress_ns < PROGRESS_NS)
        return;
    run->progress_ns = now_ns;
    const double seconds = (double)(now_ns - run->started_ns) / 1e9;
    const double events = (double)run_feeds_published(&run->feeds);
    fprintf(stderr, "\r\033[K%.1f s  %.0f events  %.2f M/s  (Ctrl-C drains and reports)", seconds,
            events, events / seconds / 1e6);
}

/* Waits a moment for a signal. True: there was one, or the time is over. */
static bool interrupted(run_state *run, uint64_t wait_ns)
{
    show_progress(run);
    if (run->options.duration_ns != 0) {
        const uint64_t elapsed_ns = hl_monotonic_ns() - run->started_ns;
        if (elapsed_ns >= run->options.duration_ns)
            return true;
        if (wait_ns > run->options.duration_ns - elapsed_ns)
            wait_ns = run->options.duration_ns - elapsed_ns;
    }
    const struct timespec nap = {.tv_nsec = (long)wait_ns};
    if (wait_ns != 0 && !run_signals_any(&run->signals))
        nanosleep(&nap, NULL);
    return run_signals_any(&run->signals);
}

static hl_status run_threads(run_state *run, hl_error *error)
{
    const hl_status status = run_feeds_start(&run->feeds, error);
    while (status == HL_OK && !run_feeds_done(&run->feeds) && !interrupted(run, LOOK_NS)) {
    }
    const hl_status joined = run_feeds_join(&run->feeds, status == HL_OK ? error : NULL);
    return status == HL_OK ? joined : status;
}

static hl_status run_simulation(run_state *run, hl_error *error)
{
    market_simulation simulation = {.bus = run->bus,
                                    .clock = &run->clock,
                                    .feeds = run->feeds.feeds,
                                    .feed_count = run->feeds.count,
                                    .random = run->options.seed};
    hl_status status = HL_OK;
    while (status == HL_OK && !interrupted(run, 0))
        status = market_simulation_run(&simulation, SIMULATION_STEPS);
    if (status == HL_OK || status == HL_NOT_FOUND)
        return HL_OK;
    return hl_error_set(error, status, "the feeds cannot publish: %s", hl_status_text(status));
}

static hl_status rebuild(run_state *run, hl_error *error)
{
    const hl_status status = run_journal_rebuild(run->bus, &run->options.reading, error);
    if (status != HL_OK || !run->options.make_snapshots)
        return status;
    return hl_bus_snapshot(run->bus, SNAPSHOT_TIMEOUT_NS, error);
}

static hl_status start(run_state *run, hl_error *error)
{
    hl_status status = hl_components_start(run->bus, error);
    if (status == HL_OK && run->options.replay_dir != NULL)
        status = run->options.rebuild
                     ? rebuild(run, error)
                     : run_journal_replay(run->bus, &run->options.reading, run->options.recompute,
                                          run->options.speed, error);
    if (status != HL_OK)
        return status;
    status =
        run_acknowledge_begin(run->bus, run->options.acknowledge_path, &run->acknowledge, error);
    if (status != HL_OK)
        return status;
    status = hl_bus_start(run->bus);
    if (status != HL_OK)
        hl_bus_error(run->bus, error);
    run->started = status == HL_OK;
    run->started_ns = hl_monotonic_ns();
    return status;
}

static hl_status print_report(run_state *run, hl_error *error)
{
    run_report report = {.bus = run->bus,
                         .pipeline = run->pipeline,
                         .recordings = run->recordings,
                         .input_count = run->recording_count,
                         .config_path = run->options.config_path,
                         .ladder = run->options.ladder ? &run->ladder : NULL,
                         .paced = run->options.deterministic || run->options.rate != 0 ||
                                  run->options.speed > 0,
                         .decoding_s = run->decoding_s,
                         .elapsed_s = (double)(hl_monotonic_ns() - run->started_ns) / 1e9};
    hl_status status = hl_bus_stop_report(run->bus, &report.stop);
    if (status != HL_OK)
        return hl_error_set(error, status, "the bus has no report: %s", hl_status_text(status));
    if (!run->options.json) {
        run_report_print(&report, stdout);
        if (fflush(stdout) != 0 || ferror(stdout))
            status = HL_SYSTEM;
    } else {
        status = run_report_print_json(&report, stdout);
    }
    if (status != HL_OK)
        return hl_error_set(error, status, "the report cannot be written: %s",
                            hl_status_text(status));
    if (report.stop.conservation.status != HL_OK)
        *error = report.stop.conservation;
    return report.stop.conservation.status;
}

static hl_status write_report(run_state *run, hl_error *error)
{
    if (!run_signals_take_report(&run->signals))
        pause(); /* it is being written already, and then the process ends */
    return print_report(run, error);
}

/* Runs until the end, drains, reports. What fails first is the answer. */
static hl_status run_all(run_state *run, hl_error *error)
{
    hl_status status = start(run, error);
    if (status != HL_OK)
        return status;
    if (run->options.replay_dir == NULL)
        status = run->options.deterministic ? run_simulation(run, error) : run_threads(run, error);
    if (run->shows_progress)
        fputs("\r\033[K", stderr);
    /* The stages go when nothing is on its way to them; what is in their way is the bus's to end.
     */
    if (run_settle(run->bus, run->config.threads, SETTLE_TIMEOUT_NS))
        hl_components_stop(run->bus);
    const hl_status stopped = hl_bus_stop(run->bus, STOP_TIMEOUT_NS);
    hl_components_stop(run->bus);
    if (status == HL_OK && stopped != HL_OK && stopped != HL_NOT_CONSERVED) {
        hl_bus_error(run->bus, error);
        status = stopped;
    }
    hl_error told_error, report_error;
    const hl_status told = run_acknowledge_end(run->acknowledge, &told_error);
    run->acknowledge = NULL;
    if (status == HL_OK && told != HL_OK) {
        *error = told_error;
        status = told;
    }
    const hl_status reported = write_report(run, &report_error);
    if (status == HL_OK && reported != HL_OK) {
        *error = report_error;
        status = reported;
    }
    return status;
}

/* The report as things stand, of a run that is ended at once. */
static void report_so_far(void *context)
{
    run_state *const run = context;
    hl_error ignored; /* what it would say is in the report */
    print_report(run, &ignored);
}

static hl_exit execute(run_state *run)
{
    hl_error error = {.status = HL_OK};
    run->shows_progress = isatty(STDERR_FILENO) != 0;
    hl_status status = read_inputs(run, &error);
    if (status != HL_OK) {
        fprintf(stderr, "hotlane run: %s\n", error.text);
        unmake(run);
        return status == HL_INVALID ? HL_EXIT_USAGE : HL_EXIT_FAILED;
    }
    /* From here on a signal ends the run in good order; before, it simply ends the process. */
    run_signals_block();
    status = make(run, &error);
    /* What fails later was asked rightly. */
    const bool asked_wrongly = status == HL_INVALID || status == HL_UNKNOWN_DOMAIN;
    run->signals.bus = run->bus;
    run->signals.report = report_so_far;
    run->signals.context = run;
    if (status == HL_OK)
        status = run_signals_start(&run->signals, &error);
    if (status == HL_OK)
        status = run_all(run, &error);
    if (status != HL_OK)
        fprintf(stderr, "hotlane run: %s\n", error.text);
    unmake(run);
    run_signals_finish(&run->signals);
    if (status == HL_OK)
        return HL_EXIT_OK;
    return asked_wrongly ? HL_EXIT_USAGE : HL_EXIT_FAILED;
}

hl_exit run_with(const run_options *options)
{
    run_state *const run = calloc(1, sizeof *run); /* too large for a stack */
    if (run == NULL) {
        fputs("hotlane run: out of memory\n", stderr);
        return HL_EXIT_FAILED;
    }
    run->options = *options;
    run->options.reading.directory = options->replay_dir;
    const hl_exit answer = execute(run);
    free(run);
    return answer;
}

hl_exit hl_command_run(int argc, char **argv)
{
    run_options options;
    switch (run_options_parse(argc, argv, &options)) {
    case HL_PARSE_HELP:
        run_options_print_usage(stdout);
        return HL_EXIT_OK;
    case HL_PARSE_WRONG:
        return HL_EXIT_USAGE;
    case HL_PARSE_OK:
        break;
    }
    return run_with(&options);
}
