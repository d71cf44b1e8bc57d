#include "affinity/pin.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "affinity/plan.h"

/* Every CPU of the mask that the test was started with. */
static cpu_set_t allowed_at_start(void)
{
    cpu_set_t mask;
    cr_assert_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    return mask;
}

Test(pin, the_thread_is_on_the_cpu_and_only_there)
{
    const cpu_set_t allowed = allowed_at_start();
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        hl_error error = {0};
        cr_assert_eq(hl_pin_self(cpu, &error), HL_OK, "%s", error.text);
        cr_assert_eq(hl_thread_cpu(), (int)cpu);
        const cpu_set_t now = allowed_at_start();
        cr_assert(CPU_COUNT(&now) == 1 && CPU_ISSET(cpu, &now));
    }
}

Test(pin, a_cpu_that_is_not_there_is_refused)
{
    const cpu_set_t before = allowed_at_start();
    hl_error error = {0};
    cr_assert_eq(hl_pin_self(60000, &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "CPU 60000"), "%s", error.text);
    cr_assert_eq(hl_pin_self(UINT32_MAX, &error), HL_INVALID);
    const cpu_set_t after = allowed_at_start();
    cr_assert(CPU_EQUAL(&before, &after), "a refused pin changed the mask");
}

static void *pin_to(void *cpu)
{
    hl_error error = {0};
    return (void *)(uintptr_t)hl_pin_self(*(uint32_t *)cpu, &error);
}

Test(pin, other_threads_keep_their_mask)
{
    const cpu_set_t before = allowed_at_start();
    uint32_t cpu = (uint32_t)hl_thread_cpu();
    pthread_t thread;
    void *status;
    cr_assert_eq(pthread_create(&thread, NULL, pin_to, &cpu), 0);
    cr_assert_eq(pthread_join(thread, &status), 0);
    cr_assert_eq((hl_status)(uintptr_t)status, HL_OK);
    const cpu_set_t after = allowed_at_start();
    cr_assert(CPU_EQUAL(&before, &after));
}

/* Under `taskset -c N` a plan has only N to give, and pinning to all of it works. */
Test(pin, a_plan_made_under_a_restricted_mask_can_be_pinned)
{
    const uint32_t only = (uint32_t)hl_thread_cpu();
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(only, &mask);
    cr_assert_eq(sched_setaffinity(0, sizeof mask, &mask), 0);

    const hl_thread_request threads[] = {
        {.name = "order", .domain = "order", .role = HL_ROLE_PARTITION},
        {.name = "feed", .role = HL_ROLE_PUBLISHER, .talks_to = "order"},
        {.name = "housekeeping", .role = HL_ROLE_HOUSEKEEPER}};
    const hl_plan_request request = {threads, 3, NULL, NULL, 0};
    hl_topology *topology = NULL;
    hl_plan *plan = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_topology_load(NULL, &topology, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_plan_make(topology, &request, &plan, &error), HL_OK, "%s", error.text);
    const cpu_set_t after = allowed_at_start();
    cr_assert(CPU_EQUAL(&mask, &after), "planning moved the caller");
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        cr_assert_eq(plan->threads[i].cpu, (int)only);
        cr_assert_eq(plan->threads[i].wait, HL_WAIT_PARK);
        cr_assert_eq(hl_pin_self((uint32_t)plan->threads[i].cpu, &error), HL_OK, "%s", error.text);
    }
    hl_plan_free(plan);
    hl_topology_free(topology);
}
