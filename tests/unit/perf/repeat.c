#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "perf/repeat.h"

Test(perf_repeat, the_median_of_an_odd_count_is_the_middle)
{
    double values[] = {9, 1, 5};
    const perf_summary summary = perf_summarise(values, 3);
    cr_assert_eq(summary.min, 1);
    cr_assert_eq(summary.median, 5);
    cr_assert_eq(summary.max, 9);
    cr_assert_eq(summary.count, 3);
}

Test(perf_repeat, the_median_of_an_even_count_is_the_mean_of_the_middle_two)
{
    double values[] = {8, 2, 4, 100};
    cr_assert_eq(perf_summarise(values, 4).median, 6);
}

Test(perf_repeat, one_value_is_all_three)
{
    double values[] = {3};
    const perf_summary summary = perf_summarise(values, 1);
    cr_assert(summary.min == 3 && summary.median == 3 && summary.max == 3);
}

typedef struct traced {
    char letter;
    double next;
} traced;

static char trace[64];

static hl_status note(void *context, double *ret_values, hl_error *error)
{
    (void)error;
    traced *const self = context;
    strncat(trace, &self->letter, 1);
    ret_values[0] = self->next++;
    ret_values[1] = -ret_values[0];
    return HL_OK;
}

Test(perf_repeat, cases_take_turns_and_each_repeat_begins_with_another)
{
    traced a = {'a', 10}, b = {'b', 20}, c = {'c', 30};
    perf_summary of_a[2], of_b[2], of_c[2];
    const perf_case cases[] = {
        {"a", note, &a, 2, of_a}, {"b", note, &b, 2, of_b}, {"c", note, &c, 2, of_c}};
    trace[0] = '\0';
    cr_assert_eq(perf_repeat(cases, 3, 4, NULL, NULL), HL_OK);
    cr_assert_str_eq(trace, "abcbcacababc");
    cr_assert(of_b[0].min == 20 && of_b[0].max == 23 && of_b[0].median == 21.5);
    cr_assert(of_b[1].min == -23 && of_b[1].max == -20);
    cr_assert_eq(of_c[0].count, 4);
}

/* A machine whose pace is a script: one letter a probe, n(ear), f(ar). */
static double probe_script(void *context)
{
    const char **const next = context;
    const char letter = **next;
    if (letter != '\0')
        (*next)++;
    return letter == 'f' ? 490 : 120;
}

Test(perf_repeat, measurements_of_another_pace_are_left_out_and_made_again)
{
    traced a = {'a', 10};
    perf_summary of_a[2];
    const perf_case cases[] = {{"a", note, &a, 2, of_a}};
    const char *script = "nn" /* 10 */ "ff" /* 11 */ "nf" /* 12 */ "nn" /* 13 */ "nn" /* 14 */;
    perf_pace pace = {.probe = probe_script, .context = &script};
    cr_assert_eq(perf_repeat_at_one_pace(cases, 1, 3, &pace, NULL, NULL), HL_OK);
    cr_assert(of_a[0].min == 10 && of_a[0].median == 13 && of_a[0].max == 14);
    cr_assert_eq(of_a[0].count, 3);
    cr_assert(pace.measured == 5 && pace.left_out == 2 && pace.pace == 0);
    cr_assert_eq(pace.probed, 120);
}

static void note_pace(void *listener, uint32_t pace)
{
    char *const paces = listener;
    const char digit[] = {(char)('0' + pace), '\0'};
    strcat(paces, digit);
}

Test(perf_repeat, each_measurement_is_told_its_pace)
{
    traced a = {'a', 10};
    perf_summary of_a[2];
    const perf_case cases[] = {{"a", note, &a, 2, of_a}};
    const char *script = "nn"
                         "ff"
                         "fn"
                         "nn";
    char paces[8] = "";
    perf_pace pace = {
        .probe = probe_script, .context = &script, .measured_at = note_pace, .listener = paces};
    cr_assert_eq(perf_repeat_at_one_pace(cases, 1, 2, &pace, NULL, NULL), HL_OK);
    cr_assert_str_eq(paces, "0180"); /* 8: PERF_NO_PACE */
}

Test(perf_repeat, with_no_pace_common_to_all_cases_all_is_in_and_it_says_so)
{
    traced a = {'a', 10}, b = {'b', 20};
    perf_summary of_a[2], of_b[2];
    const perf_case cases[] = {{"a", note, &a, 2, of_a}, {"b", note, &b, 2, of_b}};
    /* One repeat, so up to four rounds: ab ba ab ba, a always near, b always far. */
    const char *script = "nnff"
                         "ffnn"
                         "nnff"
                         "ffnn";
    perf_pace pace = {.probe = probe_script, .context = &script};
    cr_assert_eq(perf_repeat_at_one_pace(cases, 2, 1, &pace, NULL, NULL), HL_OK);
    cr_assert(pace.pace == PERF_NO_PACE && pace.measured == 8 && pace.left_out == 0);
    cr_assert_eq(of_a[0].count, 4);
    cr_assert_eq(of_b[0].median, 21.5);
}

static hl_status fail(void *context, double *ret_values, hl_error *error)
{
    (void)context;
    (void)ret_values;
    return hl_error_set(error, HL_NOT_CONSERVED, "3 messages sent, 2 came");
}

Test(perf_repeat, a_failure_ends_it_and_names_the_case)
{
    traced a = {'a', 1};
    perf_summary of_a[2] = {{0}}, of_b = {.median = 42};
    const perf_case cases[] = {{"a", note, &a, 2, of_a}, {"broken", fail, NULL, 1, &of_b}};
    hl_error error;
    cr_assert_eq(perf_repeat(cases, 2, 5, NULL, &error), HL_NOT_CONSERVED);
    cr_assert_str_eq(error.text, "broken: 3 messages sent, 2 came");
    cr_assert_eq(of_b.median, 42, "summaries are untouched");
}

Test(perf_repeat, refuses_no_repeats_and_too_many)
{
    hl_error error;
    cr_assert_eq(perf_repeat(NULL, 0, 0, NULL, &error), HL_INVALID);
    cr_assert_eq(perf_repeat(NULL, 0, PERF_REPEATS_MAX + 1, NULL, &error), HL_INVALID);
    cr_assert(strstr(error.text, "1001") != NULL);
}
