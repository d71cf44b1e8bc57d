#include <criterion/criterion.h>
#include <string.h>

#include "affinity/pin.h"
#include "perf/cores.h"
#include "perf/threads.h"

typedef struct seen {
    int cpu;
    int runs;
} seen;

static void look(void *context)
{
    seen *const self = context;
    self->cpu = hl_thread_cpu();
    self->runs++;
}

Test(perf_threads, each_runs_once_on_its_cpu)
{
    perf_cores cores;
    hl_error error = {.text = ""};
    cr_assert_eq(perf_cores_choose(NULL, &cores, &error), HL_OK);
    seen first = {-1, 0}, second = {-1, 0};
    const perf_thread threads[] = {{"first", cores.publisher, look, &first},
                                   {"second", cores.consumer, look, &second}};
    cr_assert_eq(perf_threads_run(threads, 2, &error), HL_OK, "%s", error.text);
    cr_assert_eq(first.runs, 1);
    cr_assert_eq(second.runs, 1);
    cr_assert_eq(first.cpu, (int)cores.publisher);
    cr_assert_eq(second.cpu, (int)cores.consumer);
}

Test(perf_threads, none_runs_when_one_cannot_be_pinned)
{
    perf_cores cores;
    hl_error error;
    cr_assert_eq(perf_cores_choose(NULL, &cores, &error), HL_OK);
    seen first = {-1, 0}, second = {-1, 0};
    const perf_thread threads[] = {{"first", cores.publisher, look, &first},
                                   {"second", 99999, look, &second}};
    cr_assert_neq(perf_threads_run(threads, 2, &error), HL_OK);
    cr_assert_eq(strncmp(error.text, "second: ", 8), 0, "%s", error.text);
    cr_assert_eq(first.runs + second.runs, 0);
}
