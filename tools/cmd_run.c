/*
 * hotlane run: market data through the whole bus, from feed to fill, and the sums at the end.
 *
 * The inputs are decoded ahead; then the bus is made, the pipeline subscribed, a feed opened for
 * each input, and all of it started. The main thread waits for the feeds' end, the duration's, or a
 * signal; it stops the feeds, lets the bus drain, and reports.
 */
#include "command.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "market/feed.h"
#include "market/simulation.h"
#include "run_journal.h"
#include "run_ladder.h"
#include "run_options.h"
#include "run_report.h"

#define STOP_TIMEOUT_NS  (10 * HL_SECOND)
#define LOOK_NS          (20 * HL_MILLISECOND) /* how often the main thread looks up */
#define PROGRESS_NS      (250 * HL_MILLISECOND)
#define SIMULATION_STEPS 20000u

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
    market_feed *feeds[MARKET_INPUTS_MAX];
    uint32_t feed_count;
    double decoding_s;
    uint64_t started_ns; /* monotonic */
    uint64_t progress_ns;
    bool shows_progress;
    bool started;
    sigset_t signals; /* SIGINT and SIGTERM, blocked while the bus is there */
} run_state;

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * HL_SECOND + (uint64_t)now.tv_nsec;
}

/* ---- making it ----------------------------------------------------------------------------- */

static hl_status read_inputs(run_state *run, hl_error *error)
{
    const uint64_t before_ns = monotonic_ns();
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
    run->decoding_s = (double)(monotonic_ns() - before_ns) / 1e9;
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
    if (run->options.config_path != NULL) {
        const hl_status status = hl_config_load(run->options.config_path, &run->loaded, error);
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
    run->config.stall_backtrace |= run->options.stall_backtrace;
    if (run->options.replay_dir != NULL) {
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

static hl_status open_feeds(run_state *run, hl_error *error)
{
    const market_feed_options options = {.speed = run->options.speed,
                                         .rate = run->options.rate,
                                         .passes = run->options.passes,
                                         .burst = run->options.burst};
    for (uint32_t input = 0; input < run->recording_count; input++) {
        const hl_status status =
            market_feed_open(run->bus, market_pipeline_feed_topic(run->pipeline), input,
                             &run->recordings[input], &options, &run->feeds[input], error);
        if (status != HL_OK)
            return status;
        run->feed_count++;
    }
    return HL_OK;
}

static hl_status make(run_state *run, hl_error *error)
{
    hl_status status = configure(run, error);
    if (status == HL_OK)
        status = hl_bus_create(&run->config, &run->bus, error);
    if (status != HL_OK)
        return status;
    market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    options.audit = run->options.audit;
    status = market_pipeline_create(run->bus, run->recordings, run->recording_count, &options,
                                    &run->pipeline, error);
    if (status == HL_OK && run->options.ladder)
        status = run_ladder_watch(&run->ladder, run->bus, error);
    return status == HL_OK ? open_feeds(run, error) : status;
}

static void unmake(run_state *run)
{
    for (uint32_t input = 0; input < run->feed_count; input++)
        market_feed_close(run->feeds[input]);
    hl_bus_destroy(run->bus);
    market_pipeline_destroy(run->pipeline);
    hl_config_free(run->loaded);
    free(run->own_domains);
    for (uint32_t input = 0; input < run->recording_count; input++)
        market_recording_free(&run->recordings[input]);
}

/* ---- running it ---------------------------------------------------------------------------- */

static uint64_t published(const run_state *run)
{
    uint64_t sum = 0;
    for (uint32_t input = 0; input < run->feed_count; input++)
        sum += market_feed_published(run->feeds[input]);
    return sum;
}

static void show_progress(run_state *run)
{
    const uint64_t now_ns = monotonic_ns();
    if (!run->shows_progress || now_ns - run->progress_ns < PROGRESS_NS)
        return;
    run->progress_ns = now_ns;
    const double seconds = (double)(now_ns - run->started_ns) / 1e9;
    const double events = (double)published(run);
    fprintf(stderr, "\r\033[K%.1f s  %.0f events  %.2f M/s  (Ctrl-C drains and reports)", seconds,
            events, events / seconds / 1e6);
}

/* Waits a moment for a signal. True: there was one, or the time is over. */
static bool interrupted(run_state *run, uint64_t wait_ns)
{
    show_progress(run);
    if (run->options.duration_ns != 0) {
        const uint64_t elapsed_ns = monotonic_ns() - run->started_ns;
        if (elapsed_ns >= run->options.duration_ns)
            return true;
        if (wait_ns > run->options.duration_ns - elapsed_ns)
            wait_ns = run->options.duration_ns - elapsed_ns;
    }
    const struct timespec timeout = {.tv_nsec = (long)wait_ns};
    return sigtimedwait(&run->signals, NULL, &timeout) > 0;
}

static bool feeds_done(const run_state *run)
{
    for (uint32_t input = 0; input < run->feed_count; input++)
        if (!market_feed_done(run->feeds[input]))
            return false;
    return true;
}

static hl_status run_threads(run_state *run, hl_error *error)
{
    hl_status status = HL_OK;
    for (uint32_t input = 0; input < run->feed_count && status == HL_OK; input++)
        status = market_feed_start(run->feeds[input], error);
    while (status == HL_OK && !feeds_done(run) && !interrupted(run, LOOK_NS)) {
    }
    for (uint32_t input = 0; input < run->feed_count; input++)
        market_feed_stop(run->feeds[input]);
    for (uint32_t input = 0; input < run->feed_count; input++) {
        const hl_status joined =
            market_feed_join(run->feeds[input], status == HL_OK ? error : NULL);
        if (status == HL_OK)
            status = joined;
    }
    return status;
}

static hl_status run_simulation(run_state *run, hl_error *error)
{
    market_simulation simulation = {.bus = run->bus,
                                    .clock = &run->clock,
                                    .feeds = run->feeds,
                                    .feed_count = run->feed_count,
                                    .random = run->options.seed};
    hl_status status = HL_OK;
    while (status == HL_OK && !interrupted(run, 0))
        status = market_simulation_run(&simulation, SIMULATION_STEPS);
    if (status == HL_OK || status == HL_NOT_FOUND)
        return HL_OK;
    return hl_error_set(error, status, "the feeds cannot publish: %s", hl_status_text(status));
}

static hl_status start(run_state *run, hl_error *error)
{
    hl_status status = HL_OK;
    if (run->options.replay_dir != NULL)
        status = run_journal_replay(run->bus, run->options.replay_dir, run->options.recompute,
                                    run->options.speed, error);
    else if (run->options.recover && run->config.journal_dir != NULL)
        status = run_journal_replay(run->bus, run->config.journal_dir, false, 0.0, error);
    if (status != HL_OK)
        return status;
    status = hl_bus_start(run->bus);
    if (status != HL_OK)
        hl_bus_error(run->bus, error);
    run->started = status == HL_OK;
    run->started_ns = monotonic_ns();
    return status;
}

static hl_status write_report(run_state *run, hl_error *error)
{
    run_report report = {.bus = run->bus,
                         .pipeline = run->pipeline,
                         .recordings = run->recordings,
                         .input_count = run->recording_count,
                         .ladder = run->options.ladder ? &run->ladder : NULL,
                         .paced = run->options.deterministic || run->options.rate != 0 ||
                                  run->options.speed > 0,
                         .decoding_s = run->decoding_s,
                         .elapsed_s = (double)(monotonic_ns() - run->started_ns) / 1e9};
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
    const hl_status stopped = hl_bus_stop(run->bus, STOP_TIMEOUT_NS);
    if (status == HL_OK && stopped != HL_OK && stopped != HL_NOT_CONSERVED) {
        hl_bus_error(run->bus, error);
        status = stopped;
    }
    hl_error report_error;
    const hl_status reported = write_report(run, &report_error);
    if (status == HL_OK && reported != HL_OK) {
        *error = report_error;
        status = reported;
    }
    return status;
}

/* For good: a second Ctrl-C must not undo the drain of the first. */
static void block_signals(run_state *run)
{
    sigemptyset(&run->signals);
    sigaddset(&run->signals, SIGINT);
    sigaddset(&run->signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &run->signals, NULL);
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
    block_signals(run);
    status = make(run, &error);
    if (status == HL_OK)
        status = run_all(run, &error);
    if (status != HL_OK)
        fprintf(stderr, "hotlane run: %s\n", error.text);
    unmake(run);
    return status == HL_OK ? HL_EXIT_OK : HL_EXIT_FAILED;
}

hl_exit hl_command_run(int argc, char **argv)
{
    run_options options;
    switch (run_options_parse(argc, argv, &options)) {
    case RUN_PARSE_HELP:
        run_options_print_usage(stdout);
        return HL_EXIT_OK;
    case RUN_PARSE_WRONG:
        return HL_EXIT_USAGE;
    case RUN_PARSE_OK:
        break;
    }
    run_state *const run = calloc(1, sizeof *run); /* too large for a stack */
    if (run == NULL) {
        fputs("hotlane run: out of memory\n", stderr);
        return HL_EXIT_FAILED;
    }
    run->options = options;
    const hl_exit answer = execute(run);
    free(run);
    return answer;
}
