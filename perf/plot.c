#include "plot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/error.h"

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
        fprintf(stream, "%s$distribution%u using 1:2 with lines linewidth 2 title '%s'",
                i == 0 ? "" : ", ", i, result->distributions[i].name);
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

/* `path` in gnuplot's single quotes, where a quote is written twice. */
static void write_quoted(const char *path, FILE *stream)
{
    fputc('\'', stream);
    for (; *path != '\0'; path++) {
        if (*path == '\'')
            fputc('\'', stream);
        fputc(*path, stream);
    }
    fputc('\'', stream);
}

static void write_script(const perf_result *result, const char *path, FILE *stream)
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
            "set terminal svg size %u,%u noenhanced background 'white' font 'sans,12'\nset output ",
            width, plots * 560);
    write_quoted(path, stream);
    fprintf(stream, "\nset multiplot layout %u,1 title 'hotlane perf %s: %s'\n", plots,
            result->scenario, result->environment.cpu);
    if (latencies)
        plot_distributions(result, stream);
    if (bars != 0)
        plot_throughputs(bars, stream);
    fputs("unset multiplot\n", stream);
}

hl_status perf_plot_write(const perf_result *result, const char *path, hl_error *error)
{
    if (result->distribution_count == 0 && throughput_count(result) == 0)
        return hl_error_set(error, HL_NOT_FOUND,
                            "plot: %s has neither latencies nor throughputs to draw",
                            result->scenario);
    if (system("command -v gnuplot >/dev/null 2>&1") != 0)
        return hl_error_set(error, HL_UNSUPPORTED,
                            "plot: gnuplot is not installed: no picture was drawn");
    FILE *const pipe = popen("gnuplot", "we");
    if (pipe == NULL)
        return hl_error_set(error, HL_SYSTEM, "plot: gnuplot cannot be started");
    write_script(result, path, pipe);
    const int outcome = pclose(pipe);
    if (outcome == -1 || !WIFEXITED(outcome) || WEXITSTATUS(outcome) != 0)
        return hl_error_set(error, HL_SYSTEM,
                            "plot: gnuplot failed to draw %s; what it says stands above", path);
    return HL_OK;
}
