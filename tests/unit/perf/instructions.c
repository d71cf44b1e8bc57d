#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "perf/instructions.h"

static char path[64];
static perf_instruction_counts counts;

static void setup(void)
{
    strcpy(path, "/tmp/hotlane-budget-XXXXXX");
    close(mkstemp(path));
    for (uint32_t i = 0; i < PERF_INSTRUCTION_CASES; i++)
        counts.per_event[i] = 400;
    cr_assert_eq(perf_budget_write(path, &counts, NULL), HL_OK);
}

static void teardown(void)
{
    unlink(path);
}

TestSuite(perf_instructions, .init = setup, .fini = teardown);

static void append(const char *line)
{
    FILE *const file = fopen(path, "ae");
    fputs(line, file);
    fclose(file);
}

Test(perf_instructions, a_budget_holds_what_it_was_written_from)
{
    cr_assert_eq(perf_budget_check(path, &counts, NULL), HL_OK);
    counts.per_event[2] = 400.3;
    cr_assert_eq(perf_budget_check(path, &counts, NULL), HL_OK, "within 0.1 %%");
}

Test(perf_instructions, more_than_the_budget_is_refused_by_name)
{
    hl_error error;
    counts.per_event[2] = 400.5;
    cr_assert_eq(perf_budget_check(path, &counts, &error), HL_LIMIT);
    cr_assert(strstr(error.text, perf_instructions_case(2)) != NULL);
    cr_assert(strstr(error.text, "find out why") != NULL);
}

Test(perf_instructions, less_than_the_budget_asks_for_a_new_one)
{
    hl_error error;
    counts.per_event[1] = 399;
    cr_assert_eq(perf_budget_check(path, &counts, &error), HL_LIMIT);
    cr_assert(strstr(error.text, "it came down") != NULL);
    cr_assert_eq(perf_budget_write(path, &counts, NULL), HL_OK);
    cr_assert_eq(perf_budget_check(path, &counts, NULL), HL_OK);
}

Test(perf_instructions, routes_that_grow_are_refused_whatever_the_budget_says)
{
    hl_error error;
    counts.per_event[PERF_INSTRUCTION_CASES - 1] = 409;
    cr_assert_eq(perf_budget_write(path, &counts, NULL), HL_OK);
    cr_assert_eq(perf_budget_check(path, &counts, &error), HL_LIMIT);
    cr_assert(strstr(error.text, "grows") != NULL);
}

Test(perf_instructions, a_budget_of_another_build_is_not_compared)
{
    hl_error error;
    counts.per_event[1] = 9999;
    append("build tcc 0.9\n");
    cr_assert_eq(perf_budget_check(path, &counts, &error), HL_UNSUPPORTED);
    cr_assert(strstr(error.text, "not compared") != NULL);
}

Test(perf_instructions, a_bad_line_is_named_by_its_number)
{
    hl_error error;
    append("no_such_case 12\n");
    cr_assert_eq(perf_budget_check(path, &counts, &error), HL_BAD_INPUT);
    cr_assert(strstr(error.text, ":15:") != NULL, "%s", error.text);
}

Test(perf_instructions, the_counted_program_runs_without_valgrind_too)
{
    hl_error error = {.text = ""};
    cr_assert_eq(perf_instructions_workload(&error), HL_OK, "%s", error.text);
}
