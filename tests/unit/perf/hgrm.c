#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "perf/hgrm.h"

static hl_histogram *histogram;
static char *text;

static void setup(void)
{
    histogram = hl_allocate(1, hl_histogram_size_bytes(3));
    hl_histogram_init(histogram, 3);
}

static void teardown(void)
{
    free(histogram);
    free(text);
}

static void write_text(double ns_per_unit)
{
    size_t bytes;
    FILE *const stream = open_memstream(&text, &bytes);
    perf_hgrm_write(histogram, ns_per_unit, stream);
    fclose(stream);
}

TestSuite(perf_hgrm, .init = setup, .fini = teardown);

Test(perf_hgrm, every_line_is_a_percentile_of_the_histogram)
{
    for (uint64_t i = 1; i <= 100000; i++)
        hl_histogram_record(histogram, i * 37 % 100003 + 100);
    write_text(1);
    double last_value = 0, last_fraction = -1;
    uint64_t lines = 0, last_count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        double value, fraction, inverse;
        uint64_t count;
        const int fields =
            sscanf(line, "%lf %lf %" SCNu64 " %lf", &value, &fraction, &count, &inverse);
        if (fields < 3)
            continue;
        lines++;
        cr_assert_geq(value, last_value);
        cr_assert_gt(fraction, last_fraction);
        cr_assert_geq(count, last_count);
        cr_assert_geq((double)count, fraction * 100000 - 1, "%s", line);
        cr_assert_float_eq(value,
                           (double)hl_histogram_value_at_percentile(histogram, fraction * 100),
                           value * 0.001 + 1, "%s", line);
        if (fields == 4)
            cr_assert_float_eq(inverse, 1 / (1 - fraction), 0.01 * inverse);
        last_value = value;
        last_fraction = fraction;
        last_count = count;
    }
    cr_assert_gt(lines, 30);
    cr_assert_eq(last_fraction, 1);
    cr_assert_eq(last_count, 100000);
    cr_assert_eq(last_value, (double)hl_histogram_max(histogram));
}

Test(perf_hgrm, the_tail_has_mean_deviation_maximum_and_count)
{
    hl_histogram_record_n(histogram, 1000, 3);
    hl_histogram_record(histogram, 5000);
    write_text(1000);
    double mean, deviation, max;
    uint64_t count;
    cr_assert_eq(
        sscanf(strstr(text, "#[Mean"), "#[Mean = %lf, StdDeviation = %lf]", &mean, &deviation), 2);
    cr_assert_eq(
        sscanf(strstr(text, "#[Max"), "#[Max = %lf, Total count = %" SCNu64 "]", &max, &count), 2);
    cr_assert_float_eq(mean, 2, 0.002);
    cr_assert_float_eq(deviation, 1.732, 0.002);
    cr_assert_eq(max, 5);
    cr_assert_eq(count, 4);
    cr_assert(strstr(text, "#[Buckets = ") != NULL);
}

Test(perf_hgrm, an_empty_histogram_has_no_lines)
{
    write_text(1);
    cr_assert_eq(
        strncmp(text, "       Value     Percentile TotalCount 1/(1-Percentile)\n\n#[Mean", 63 - 1),
        0);
}
