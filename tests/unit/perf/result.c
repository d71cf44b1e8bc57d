#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "perf/result.h"

static perf_result *result;

static void setup(void)
{
    static const perf_environment environment;
    static const perf_floor floor;
    result = perf_result_create("some", &environment, &floor);
}

static void teardown(void)
{
    perf_result_destroy(result);
}

TestSuite(perf_result, .init = setup, .fini = teardown);

/* A measurement of one value, `ns`, so many times. */
static void measure(const char *name, uint64_t ns, uint64_t count)
{
    hl_histogram *const histogram = hl_allocate(1, hl_histogram_size_bytes(PERF_HISTOGRAM_DIGITS));
    hl_histogram_init(histogram, PERF_HISTOGRAM_DIGITS);
    hl_histogram_record_n(histogram, ns, count);
    perf_result_add_distribution(result, name, histogram);
    free(histogram);
}

Test(perf_result, distributions_of_one_name_are_merged)
{
    measure("a", 100, 3);
    measure("b", 200, 1);
    measure("a", 300, 2);
    cr_assert_eq(result->distribution_count, 2);
    cr_assert_eq(hl_histogram_count(result->distributions[0].ns), 5);
    cr_assert_eq(hl_histogram_max(result->distributions[0].ns), 300);
    cr_assert_eq(hl_histogram_count(result->distributions[1].ns), 1);
}

static void measure_at_paces(void)
{
    measure("a", 100, 3);
    perf_result_measured_at(result, 0);
    measure("a", 900, 5);
    measure("b", 800, 1);
    perf_result_measured_at(result, 1);
    measure("a", 500, 7);
    perf_result_measured_at(result, PERF_NO_PACE);
    measure("a", 110, 11);
    perf_result_measured_at(result, 0);
}

Test(perf_result, a_distribution_has_the_measurements_of_the_pace_that_counts)
{
    measure_at_paces();
    perf_result_settle_pace(result, 0);
    cr_assert_eq(hl_histogram_count(result->distributions[0].ns), 3 + 11);
    cr_assert_eq(hl_histogram_max(result->distributions[0].ns), 110);
    cr_assert_eq(hl_histogram_count(result->distributions[1].ns), 0);
}

Test(perf_result, where_no_pace_counts_a_distribution_has_all)
{
    measure_at_paces();
    perf_result_settle_pace(result, PERF_NO_PACE);
    cr_assert_eq(hl_histogram_count(result->distributions[0].ns), 3 + 5 + 7 + 11);
    cr_assert_eq(hl_histogram_count(result->distributions[1].ns), 1);
}

static void assert_figure(double figure, const char *unit, const char *wanted)
{
    char text[24];
    perf_figure_text(figure, unit, text, sizeof text);
    cr_assert_str_eq(text, wanted);
}

Test(perf_result, figures_are_told_in_units_that_fit_them)
{
    assert_figure(97300000, "msgs_per_s", "97.30 M/s");
    assert_figure(4500, "events_per_s", "4.50 k/s");
    assert_figure(3.33, "changes_per_s", "3.33 /s");
    assert_figure(312, "ns", "312.0 ns");
    assert_figure(45000, "ns_p99", "45.00 us");
    assert_figure(3e6, "ns", "3.00 ms");
    assert_figure(12.5, "percent", "12.50 %");
    assert_figure(1.5, "ratio", "1.50");
}

static void add_row(const char *name, uint32_t repeats)
{
    perf_row row = {.unit = "ns", .figure = {1, 2, 3, repeats}};
    snprintf(row.name, sizeof row.name, "%s", name);
    perf_result_add(result, &row);
}

static void assert_printed(const char *wanted)
{
    char *text = NULL;
    size_t size = 0;
    FILE *const stream = open_memstream(&text, &size);
    perf_result_print(result, stream);
    fclose(stream);
    cr_assert_not_null(strstr(text, wanted), "%s", text);
    free(text);
}

Test(perf_result, the_table_says_of_how_many_repeats_its_rows_are)
{
    add_row("a", 3);
    assert_printed("(of 3 repeats)");
    add_row("b", 2);
    assert_printed("(of 2 to 3 repeats)");
}
