#include "plot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

#define COLOURS 8u /* of gnuplot's lines, before the first comes again */

static bool is_throughput(const perf_row *row)
{
    return strcmp(row->unit, "msgs_per_s") == 0;
}

static uint32_t throughput_count(const perf_result *result)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < result->row_count; i++)
        count += is_throughput(&result->rows[i]);
    return count;
}

/* The data blocks that the plots below name. */
static void write_distribution(const perf_distribution *distribution, uint32_t number, FILE *stream)
{
    fprintf(stream, "$distribution%u << end\n", number);
    const hl_histogram *const ns = distribution->ns;
    const uint64_t total = hl_histogram_count(ns);
    uint64_t below = 0;
    hl_histogram_bucket bucket;
    for (uint32_t at = 0; hl_histogram_next(ns, &at, &bucket);) {
        /* A value belongs to the percentiles from that of the values below it on. */
        fprintf(stream, "%.6f %" PRIu64 "\n", (double)total / (double)(total - below),
                bucket.highest);
        below += bucket.count;
    }
    fprintf(stream, "%" PRIu64 " %" PRIu64 "\nend\n", total, hl_histogram_max(ns));
}

static void write_throughputs(const perf_result *result, FILE *stream)
{
    fputs("$throughputs << end\n", stream);
    uint32_t number = 0;
    for (uint32_t i = 0; i < result->row_count; i++) {
        const perf_row *const row = &result->rows[i];
        if (is_throughput(row))
            fprintf(stream, "%u %.6f %.6f %.6f \"%s\"\n", number++, row->figure.median / 1e6,
                    row->figure.min / 1e6, row->figure.max / 1e6, row->name);
    }
    fputs("end\n", stream);
}

static void plot_distributions(const perf_result *result, FILE *stream)
{
    fputs("set title 'Latency by percentile'\n"
          "set xlabel 'percentile'\nset ylabel 'latency (ns)'\n"
          "set logscale xy\n"
          "set xtics rotate by 0 ('50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' 10000, "
          "'99.999' 100000, '99.9999' 1000000)\n"
          "set format y '%.0f'\nset grid xtics ytics\nset key outside right\n"
          "set xrange [1:*]\nset yrange [*:*]\n"
          "plot ",
          stream);
    for (uint32_t i = 0; i < result->distribution_count; i++)
        fprintf(stream, "%s$distribution%u using 1:2 with lines linewidth 2 dashtype %u title '%s'",
                i == 0 ? "" : ", ", i, i / COLOURS + 1, result->distributions[i].name);
    fputc('\n', stream);
}

static void plot_throughputs(uint32_t bars, FILE *stream)
{
    fputs("unset logscale\nunset key\nset grid noxtics ytics\n"
          "set title 'Throughput, median with the range of the repeats'\n"
          "set xlabel 'case'\nset ylabel 'million a second (M/s)'\n"
          "set xtics rotate by -45 autofreq\nset style fill solid 0.6\nset boxwidth 0.7\n"
          "set yrange [0:*]\nset format y '%g'\n",
          stream);
    fprintf(stream, "set xrange [-0.6:%u-0.4]\n", bars);
    /* The ranges are vectors: around the points of errorbars gnuplot leaves a white disc. */
    fputs("plot $throughputs using 1:2:xtic(5) with boxes linecolor '#4878a8' notitle, "
          "$throughputs using 1:3:(0):($4-$3) with vectors heads size graph 0.006,90 "
          "linecolor black notitle\n",
          stream);
}

/* The picture goes to gnuplot's output. */
static void write_script(const perf_result *result, FILE *stream)
{
    const bool latencies = result->distribution_count != 0;
    const uint32_t bars = throughput_count(result);
    const uint32_t plots = (latencies ? 1u : 0u) + (bars != 0 ? 1u : 0u);
    /* A bar and its slanted name take some 26 pixels. */
    const uint32_t width = bars * 26 + 300 > 1000 ? bars * 26 + 300 : 1000;
    for (uint32_t i = 0; i < result->distribution_count; i++)
        write_distribution(&result->distributions[i], i, stream);
    write_throughputs(result, stream);
    fprintf(stream,
            "set encoding utf8\nset termoption noenhanced\n"
            "set terminal svg size %u,%u noenhanced background 'white' font 'sans,12'\n",
            width, plots * 560);
    fprintf(stream, "set multiplot layout %u,1 title 'hotlane perf %s: %s'\n", plots,
            result->scenario, result->environment.cpu);
    if (latencies)
        plot_distributions(result, stream);
    if (bars != 0)
        plot_throughputs(bars, stream);
    fputs("unset multiplot\n", stream);
}

hl_status perf_plot_ready(hl_error *error)
{
    if (system("command -v gnuplot >/dev/null 2>&1") == 0)
        return HL_OK;
    return hl_error_set(error, HL_UNSUPPORTED,
                        "plot: gnuplot is not installed (Debian: gnuplot-nox): no picture can be "
                        "drawn");
}

/* Starts gnuplot on the script; its picture is then read from *ret_picture, a file of the
 * caller's. */
static hl_status start_gnuplot(FILE *script, pid_t *ret_process, FILE **ret_picture,
                               hl_error *error)
{
    static char *const arguments[] = {(char *)"gnuplot", NULL};
    extern char **environ;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return hl_error_set(error, HL_SYSTEM, "plot: pipe: %s", strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(script), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    const int failure = posix_spawnp(ret_process, "gnuplot", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failure == 0) {
        *ret_picture = fdopen(ends[0], "r");
        return HL_OK;
    }
    close(ends[0]);
    return hl_error_set(error, HL_SYSTEM, "plot: gnuplot cannot be started: %s", strerror(failure));
}

/* All that gnuplot says, into the file: its own writing would not notice a full disk, and would go
 * to our standard output where the path cannot be opened. */
static bool copy_picture(FILE *picture, const char *path)
{
    FILE *const file = fopen(path, "we");
    if (file == NULL)
        return false;
    char part[4096];
    for (size_t bytes; (bytes = fread(part, 1, sizeof part, picture)) != 0;)
        fwrite(part, 1, bytes, file);
    const bool failed = ferror(file) != 0;
    return fclose(file) == 0 && !failed;
}

static hl_status draw(FILE *script, const char *path, hl_error *error)
{
    pid_t process;
    FILE *picture = NULL;
    const hl_status status = start_gnuplot(script, &process, &picture, error);
    if (status != HL_OK)
        return status;
    errno = 0;
    const bool copied = picture != NULL && copy_picture(picture, path);
    const int reason = errno;
    if (picture != NULL)
        fclose(picture);
    int outcome = -1;
    waitpid(process, &outcome, 0);
    if (!copied)
        return hl_error_set(error, HL_SYSTEM, "plot: %s: %s", path, strerror(reason));
    if (!WIFEXITED(outcome) || WEXITSTATUS(outcome) != 0)
        return hl_error_set(error, HL_SYSTEM,
                            "plot: gnuplot failed to draw %s; what it says stands above", path);
    return HL_OK;
}

hl_status perf_plot_write(const perf_result *result, const char *path, hl_error *error)
{
    if (result->distribution_count == 0 && throughput_count(result) == 0)
        return hl_error_set(error, HL_NOT_FOUND,
                            "plot: %s has neither latencies nor throughputs to draw",
                            result->scenario);
    hl_status status = perf_plot_ready(error);
    if (status != HL_OK)
        return status;
    FILE *const script = tmpfile();
    if (script == NULL)
        return hl_error_set(error, HL_SYSTEM, "plot: no temporary file: %s", strerror(errno));
    write_script(result, script);
    rewind(script); /* and so written: gnuplot reads from the start */
    status = draw(script, path, error);
    fclose(script);
    return status;
}
