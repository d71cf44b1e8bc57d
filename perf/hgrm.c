#include "hgrm.h"

#include <inttypes.h>
#include <math.h>

#define TICKS_PER_HALVING 5.0 /* lines for each halving of what is left to 100 per cent */

/* Mean and standard deviation by the buckets' middles; an exact bucket is its own middle. */
static void moments(const hl_histogram *histogram, double *ret_mean, double *ret_deviation)
{
    const double count = (double)hl_histogram_count(histogram);
    hl_histogram_bucket bucket;
    double sum = 0;
    for (uint32_t at = 0; hl_histogram_next(histogram, &at, &bucket);)
        sum += (double)bucket.count * ((double)bucket.lowest + (double)bucket.highest) / 2;
    const double mean = count == 0 ? 0 : sum / count;
    double squares = 0;
    for (uint32_t at = 0; hl_histogram_next(histogram, &at, &bucket);) {
        const double off = ((double)bucket.lowest + (double)bucket.highest) / 2 - mean;
        squares += (double)bucket.count * off * off;
    }
    *ret_mean = mean;
    *ret_deviation = count == 0 ? 0 : sqrt(squares / count);
}

static void write_line(double value, double fraction, uint64_t count, FILE *stream)
{
    if (fraction < 1)
        fprintf(stream, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", value, fraction, count,
                1 / (1 - fraction));
    else
        fprintf(stream, "%12.3f %2.12f %10" PRIu64 "\n", value, fraction, count);
}

/* The next percentile to write a line for: evenly spaced within each halving of the rest. */
static double next_percentile(double percentile)
{
    const double halvings = floor(log2(100 / (100 - percentile))) + 1;
    return percentile + 100 / (TICKS_PER_HALVING * pow(2, halvings));
}

static void write_lines(const hl_histogram *histogram, double ns_per_unit, FILE *stream)
{
    const uint64_t total = hl_histogram_count(histogram);
    const double highest = (double)hl_histogram_max(histogram);
    double wanted = 0;
    uint64_t below = 0;
    hl_histogram_bucket bucket;
    for (uint32_t at = 0; hl_histogram_next(histogram, &at, &bucket);) {
        below += bucket.count;
        if (below == total)
            break; /* the last line says it, with the true maximum */
        const double reached = 100.0 * (double)below / (double)total;
        while (wanted <= reached) {
            write_line((double)bucket.highest / ns_per_unit, wanted / 100, below, stream);
            wanted = next_percentile(wanted);
        }
    }
    /* The last bucket: as many lines as its values make out, then 1. */
    while (100 - wanted > 100.0 / (double)total) {
        write_line(highest / ns_per_unit, wanted / 100, total, stream);
        wanted = next_percentile(wanted);
    }
    write_line(highest / ns_per_unit, 1, total, stream);
}

void perf_hgrm_write(const hl_histogram *histogram, double ns_per_unit, FILE *stream)
{
    const uint64_t total = hl_histogram_count(histogram);
    double mean, deviation;
    moments(histogram, &mean, &deviation);
    fprintf(stream, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    if (total != 0)
        write_lines(histogram, ns_per_unit, stream);
    fprintf(stream, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean / ns_per_unit,
            deviation / ns_per_unit);
    fprintf(stream, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n",
            (double)hl_histogram_max(histogram) / ns_per_unit, total);
    fprintf(stream, "#[Buckets = %12u, SubBuckets     = %12u]\n",
            histogram->bucket_count >> histogram->sub_bucket_bits,
            2u << histogram->sub_bucket_bits);
}
