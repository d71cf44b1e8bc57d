#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "perf/compare.h"

/* What a test has parsed: comparisons point into it until the test ends. */
static json_t *parsed[64];
static size_t parsed_count;

static json_t *parse(const char *text)
{
    json_error_t place;
    json_t *const value = json_loads(text, 0, &place);
    cr_assert_not_null(value, "%s", place.text);
    cr_assert_lt(parsed_count, sizeof parsed / sizeof *parsed);
    return parsed[parsed_count++] = value;
}

static void forget_parsed(void)
{
    while (parsed_count > 0)
        json_decref(parsed[--parsed_count]);
}

TestSuite(perf_compare, .fini = forget_parsed);

#define ROW(name, better, min, median, max)                                                 \
    "{\"case\": \"" name "\", \"unit\": \"ns\", \"better\": \"" better "\", \"min\": " #min \
    ", \"median\": " #median ", \"max\": " #max "}"

static perf_comparison compare(const char *before, const char *after)
{
    perf_comparison comparison;
    hl_error error = {.text = ""};
    cr_assert_eq(perf_compare(parse(before), parse(after), &comparison, &error), HL_OK, "%s",
                 error.text);
    return comparison;
}

static perf_verdict verdict_of(const char *before_row, const char *after_row)
{
    char before[512], after[512];
    snprintf(before, sizeof before, "{\"rows\": [%s]}", before_row);
    snprintf(after, sizeof after, "{\"rows\": [%s]}", after_row);
    perf_comparison comparison = compare(before, after);
    const perf_verdict verdict = comparison.changes[0].verdict;
    cr_assert_eq(comparison.counts[verdict], 1);
    perf_compare_free(&comparison);
    return verdict;
}

Test(perf_compare, ranges_that_touch_say_nothing)
{
    cr_assert_eq(verdict_of(ROW("a", "lower", 10, 12, 14), ROW("a", "lower", 14, 20, 30)),
                 PERF_SAME);
    cr_assert_eq(verdict_of(ROW("a", "higher", 14, 20, 30), ROW("a", "higher", 10, 12, 14)),
                 PERF_SAME);
}

Test(perf_compare, a_range_wholly_above_is_better_or_worse_by_what_it_measures)
{
    cr_assert_eq(verdict_of(ROW("a", "lower", 10, 12, 14), ROW("a", "lower", 15, 20, 30)),
                 PERF_WORSE);
    cr_assert_eq(verdict_of(ROW("a", "higher", 10, 12, 14), ROW("a", "higher", 15, 20, 30)),
                 PERF_BETTER);
    cr_assert_eq(verdict_of(ROW("a", "lower", 15, 20, 30), ROW("a", "lower", 10, 12, 14)),
                 PERF_BETTER);
    cr_assert_eq(verdict_of(ROW("a", "higher", 15, 20, 30), ROW("a", "higher", 10, 12, 14)),
                 PERF_WORSE);
}

Test(perf_compare, rows_that_one_side_lacks_are_named)
{
    perf_comparison comparison = compare("{\"rows\": [" ROW("a", "lower", 1, 2, 3) "]}",
                                         "{\"rows\": [" ROW("b", "lower", 1, 2, 3) "]}");
    cr_assert_eq(comparison.count, 2);
    cr_assert_eq(comparison.counts[PERF_ONLY_BEFORE], 1);
    cr_assert_eq(comparison.counts[PERF_ONLY_AFTER], 1);
    cr_assert_str_eq(comparison.changes[1].name, "b");
    perf_compare_free(&comparison);
}

Test(perf_compare, reads_the_rows_of_a_run_beside_peers)
{
    const char *const before = "{\"case\": \"spsc\", \"unit\": \"msgs_per_s\", \"hotlane\": 10, "
                               "\"hotlane_min\": 9, \"hotlane_max\": 11}";
    const char *const after = "{\"case\": \"spsc\", \"unit\": \"msgs_per_s\", \"hotlane\": 20, "
                              "\"hotlane_min\": 19, \"hotlane_max\": 21}";
    cr_assert_eq(verdict_of(before, after), PERF_BETTER);
}

Test(perf_compare, says_what_differs_in_the_environments)
{
    perf_comparison comparison =
        compare("{\"environment\": {\"cpu\": \"A\", \"kernel\": \"6\"}, \"rows\": []}",
                "{\"environment\": {\"cpu\": \"B\", \"kernel\": \"6\"}, \"rows\": []}");
    cr_assert_eq(comparison.difference_count, 1);
    cr_assert_str_eq(comparison.differences[0], "cpu");
    perf_compare_free(&comparison);
}

Test(perf_compare, says_that_the_floor_is_of_another_pace)
{
    const char *const near = "{\"floor\": {\"round_trip_1_line_ns\": 120.0}, \"rows\": []}";
    const char *const as_near = "{\"floor\": {\"round_trip_1_line_ns\": 140.0}, \"rows\": []}";
    const char *const far = "{\"floor\": {\"round_trip_1_line_ns\": 490.0}, \"rows\": []}";
    perf_comparison comparison = compare(near, far);
    cr_assert_eq(comparison.difference_count, 1);
    cr_assert_str_eq(comparison.differences[0], "the floor");
    perf_compare_free(&comparison);
    comparison = compare(far, near);
    cr_assert_eq(comparison.difference_count, 1);
    perf_compare_free(&comparison);
    comparison = compare(near, as_near);
    cr_assert_eq(comparison.difference_count, 0);
    perf_compare_free(&comparison);
    comparison = compare(near, "{\"rows\": []}");
    cr_assert_eq(comparison.difference_count, 0);
    perf_compare_free(&comparison);
}

Test(perf_compare, says_that_a_range_of_few_repeats_is_none)
{
    const char *const one = "{\"rows\": [{\"case\": \"a\", \"unit\": \"ns\", \"min\": 1, "
                            "\"median\": 1, \"max\": 1, \"repeats\": 1}]}";
    const char *const five = "{\"rows\": [{\"case\": \"a\", \"unit\": \"ns\", \"min\": 2, "
                             "\"median\": 2, \"max\": 3, \"repeats\": 5}]}";
    perf_comparison comparison = compare(one, five);
    cr_assert_eq(comparison.few_repeats, 1);
    char *text = NULL;
    size_t size = 0;
    FILE *const stream = open_memstream(&text, &size);
    perf_compare_print(&comparison, stream);
    fclose(stream);
    cr_assert_not_null(strstr(text, "1 rows are of fewer than 3 repeats"), "%s", text);
    free(text);
    perf_compare_free(&comparison);
    comparison = compare(five, five);
    cr_assert_eq(comparison.few_repeats, 0);
    perf_compare_free(&comparison);
}

Test(perf_compare, refuses_two_scenarios)
{
    perf_comparison unused;
    hl_error error;
    cr_assert_eq(perf_compare(parse("{\"scenario\": \"ring\", \"rows\": []}"),
                              parse("{\"scenario\": \"hop\", \"rows\": []}"), &unused, &error),
                 HL_INVALID);
    cr_assert(strstr(error.text, "ring and hop") != NULL);
}

/* Loads a file of that text; its path is then in `ret_path`, and the file is gone. */
static hl_status load(const char *text, char ret_path[64], hl_error *error)
{
    strcpy(ret_path, "/tmp/hotlane-compare-XXXXXX");
    const int file = mkstemp(ret_path);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
    json_t *result = NULL;
    const hl_status status = perf_compare_load(ret_path, &result, error);
    unlink(ret_path);
    cr_assert_eq(result != NULL, status == HL_OK);
    json_decref(result);
    return status;
}

Test(perf_compare, names_file_and_row_of_what_is_no_row)
{
    char path[64], place[128];
    hl_error error;
    cr_assert_eq(load("{\"rows\": [" ROW("a", "lower", 1, 2, 3) "]}", path, &error), HL_OK);
    cr_assert_eq(
        load("{\"rows\": [" ROW("a", "lower", 1, 2, 3) ", {\"case\": \"b\"}]}", path, &error),
        HL_BAD_INPUT);
    snprintf(place, sizeof place, "%s: rows[1]: lacks", path);
    cr_assert_not_null(strstr(error.text, place), "%s", error.text);
    cr_assert_eq(load("{\"rows\": 3}", path, &error), HL_BAD_INPUT);
    cr_assert_not_null(strstr(error.text, path), "%s", error.text);
}

Test(perf_compare, names_file_and_line_of_what_is_not_json)
{
    char path[64];
    hl_error error;
    cr_assert_eq(load("{\n  \"rows\": [,]\n}\n", path, &error), HL_BAD_INPUT);
    cr_assert(strstr(error.text, ":2:") != NULL, "%s", error.text);
    json_t *result = NULL;
    cr_assert_eq(perf_compare_load(path, &result, &error), HL_SYSTEM);
    cr_assert_null(result);
    cr_assert(strstr(error.text, path) != NULL);
}
