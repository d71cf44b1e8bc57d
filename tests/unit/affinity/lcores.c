/* Placement by hand, through hl_plan_make: what the grammar takes, and the words for the rest. */
#include "affinity/plan.h"

#include "machines.h"

static const hl_thread_request threads[] = {
    {.name = "market_data.0", .domain = "market_data", .rank = 1},
    {.name = "market_data.1", .domain = "market_data", .rank = 1},
    {.name = "market_data.2", .domain = "market_data", .rank = 1},
    {.name = "order", .domain = "order"},
    {.name = "fill", .domain = "fill"},
    {.name = "feed", .role = HL_ROLE_PUBLISHER, .rank = 1},
    {.name = "housekeeping", .role = HL_ROLE_HOUSEKEEPER}};
enum { MARKET_DATA_0, MARKET_DATA_1, MARKET_DATA_2, ORDER, FILL, FEED, HOUSEKEEPING, THREADS };

/* 24 cores of two CPUs: core c has CPUs 2c and 2c + 1. */
static const char machine_24[] = "pack:2 l3:1 core:12 pu:2";

static hl_plan *make(const hl_topology *topology, const char *lcores)
{
    const hl_plan_request request = {threads, THREADS, lcores, NULL, 0};
    hl_plan *plan = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_plan_make(topology, &request, &plan, &error), HL_OK, "%s: %s", lcores,
                 error.text);
    return plan;
}

/* -1: planned, not by hand. */
typedef struct good_case {
    const char *lcores;
    int cpus[THREADS];
} good_case;

static const good_case good_cases[] = {
    {"order@2", {-1, -1, -1, 2, -1, -1, -1}},
    {"order@2,fill@4", {-1, -1, -1, 2, 4, -1, -1}},
    {" order @ 2 ,\tfill@ 4 ", {-1, -1, -1, 2, 4, -1, -1}},
    {"market_data@6", {6, 6, 6, -1, -1, -1, -1}},
    {"market_data@(6,8)", {6, 8, 6, -1, -1, -1, -1}},
    {"market_data@6-8", {6, 7, 8, -1, -1, -1, -1}},
    {"market_data@(10,6-7)", {10, 6, 7, -1, -1, -1, -1}},
    {"market_data.1@9", {-1, 9, -1, -1, -1, -1, -1}},
    {"(market_data.2,market_data.0)@(9,11)", {11, -1, 9, -1, -1, -1, -1}},
    {"(order,fill)@4", {-1, -1, -1, 4, 4, -1, -1}},
    {"( order , fill )@( 4 , 6 )", {-1, -1, -1, 4, 6, -1, -1}},
    {"(fill,order)@(4,6)", {-1, -1, -1, 6, 4, -1, -1}},
    {"feed@47,housekeeping@46", {-1, -1, -1, -1, -1, 47, 46}},
    {"order@2,fill@4,market_data@(6,8),workers@10-15,housekeeping@0", {6, 8, 6, 2, 4, -1, 0}},
};

static bool is_named(const good_case *good, int cpu)
{
    for (int i = 0; i < THREADS; i++)
        if (good->cpus[i] == cpu)
            return true;
    return false;
}

Test(lcores, places_by_hand_and_plans_the_rest_elsewhere)
{
    hl_topology *const topology = machine(machine_24, NULL);
    for (size_t c = 0; c < sizeof good_cases / sizeof good_cases[0]; c++) {
        const good_case *const want = &good_cases[c];
        hl_plan *const plan = make(topology, want->lcores);
        for (int i = 0; i < THREADS; i++) {
            const hl_plan_thread *const thread = &plan->threads[i];
            if (want->cpus[i] >= 0) {
                cr_expect_eq(thread->cpu, want->cpus[i], "%s: %s on %d", want->lcores, thread->name,
                             thread->cpu);
                cr_expect_not_null(strstr(thread->why, "by lcores"), "%s", thread->why);
                continue;
            }
            cr_expect_null(strstr(thread->why, "by lcores"), "%s", thread->why);
            cr_expect_eq(thread->shares_core_with[0], '\0', "%s: %s shares with %s", want->lcores,
                         thread->name, thread->shares_core_with);
            cr_expect_not(is_named(want, thread->cpu & ~1) || is_named(want, thread->cpu | 1),
                          "%s: %s is on a core that was taken", want->lcores, thread->name);
        }
        hl_plan_free(plan);
    }
    hl_topology_free(topology);
}

Test(lcores, cpus_of_workers_stay_free)
{
    hl_topology *const topology = machine("pack:1 core:8 pu:1", NULL);
    hl_plan *const plan = make(topology, "workers@1-4");
    for (int i = 0; i < THREADS; i++)
        cr_assert(plan->threads[i].cpu == 0 || plan->threads[i].cpu >= 5);
    cr_assert_str_eq(plan->warnings[0],
                     "lcores: workers@1-4: 0 threads for 4 CPUs: kept empty: 1-4");
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(lcores, what_is_left_without_cores_joins_housekeeping)
{
    hl_topology *const topology = machine("pack:1 core:2 pu:1", NULL);
    hl_plan *plan = make(topology, "order@1,housekeeping@0");
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(plan->threads[i].cpu, i == ORDER ? 1 : 0);
    cr_assert_eq(plan->threads[ORDER].wait, HL_WAIT_SPIN);
    cr_assert_eq(plan->threads[FILL].wait, HL_WAIT_PARK);
    hl_plan_free(plan);
    plan = make(topology, "order@0,fill@1");
    cr_assert_eq(plan->housekeeping_cpu, 0);
    cr_assert_eq(plan->threads[ORDER].wait, HL_WAIT_PARK, "housekeeping had to join it");
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(lcores, threads_on_siblings_park_and_are_warned_of)
{
    hl_topology *const topology = machine(machine_24, NULL);
    hl_plan *const plan = make(topology, "order@4,fill@5");
    cr_assert_eq(plan->threads[ORDER].wait, HL_WAIT_PARK);
    cr_assert_not(plan->threads[ORDER].shares_cpu);
    cr_assert_str_eq(plan->threads[ORDER].shares_core_with, "fill");
    cr_assert_str_eq(plan->threads[ORDER].why, "core 2: by lcores, shares the core with fill");
    cr_assert_str_eq(plan->warnings[0], "lcores makes these share a core: order, fill");
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(lcores, a_planned_thread_comes_near_its_partner_placed_by_hand)
{
    hl_thread_request pair[] = {threads[ORDER], threads[FEED]};
    pair[1].talks_to = "order";
    const hl_plan_request request = {pair, 2, "order@30", NULL, 0};
    hl_topology *const topology = machine(machine_24, NULL);
    hl_plan *plan = NULL;
    cr_assert_eq(hl_plan_make(topology, &request, &plan, NULL), HL_OK);
    cr_assert_eq(plan->threads[1].l3, 1);
    cr_assert_eq(plan->threads[0].core, 15);
    cr_assert_eq(plan->threads[1].core, 14, "the next core, as it may share an L2");
    cr_assert_not_null(strstr(plan->threads[1].why, "same L3 as order on CPU 30"));
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(lcores, housekeeping_can_be_placed_without_a_thread)
{
    const hl_plan_request request = {threads, HOUSEKEEPING, "housekeeping@7", NULL, 0};
    hl_topology *const topology = machine(machine_24, NULL);
    hl_plan *plan = NULL;
    cr_assert_eq(hl_plan_make(topology, &request, &plan, NULL), HL_OK);
    cr_assert_eq(plan->housekeeping_cpu, 7);
    cr_assert_eq(plan->warning_count, 0);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

typedef struct bad_case {
    const char *lcores, *sentence;
} bad_case;

static const bad_case bad_cases[] = {
    {"order@1,fill@99", "lcores: column 14: CPU 99 is not allowed here; allowed are 0-3"},
    {"order@4", "lcores: column 7: CPU 4 is not allowed here; allowed are 0-3"},
    {"order@(1,2-5)", "lcores: column 10: CPU 4 is not allowed here; allowed are 0-3"},
    {"order@18446744073709551617",
     "lcores: column 7: a CPU number has at most 9 digits, this one 20"},
    {"orders@1", "lcores: column 1: no thread or domain is named \"orders\"; there are "
                 "market_data, order, fill, feed, housekeeping"},
    {"order@1,(fill,x)@2", "lcores: column 15: no thread or domain is named \"x\"; there are "
                           "market_data, order, fill, feed, housekeeping"},
    {"order@1,2", "lcores: column 9: expected a name, found the number 2; several CPUs of one "
                  "item stand in parentheses: market_data@(6,8)"},
    {"order@1,order@2", "lcores: column 9: order has its CPU already, by column 1; name it once"},
    {"market_data@1,market_data.1@2",
     "lcores: column 15: market_data.1 has its CPU already, by column 1; name it once"},
    {"(order,order)@1", "lcores: column 8: order has its CPU already, by column 2; name it once"},
    {"order@(1,1)", "lcores: column 10: CPU 1 is in this list already; list it once"},
    {"order@3-1", "lcores: column 7: the range 3-1 runs backwards; write 1-3"},
    {"order@()", "lcores: column 7: the group is empty; put at least one entry in it"},
    {"( )@1", "lcores: column 1: the group is empty; put at least one entry in it"},
    {"order@(1", "lcores: column 7: the group opened here is not closed; end it with ')'"},
    {"(order@1", "lcores: column 7: expected ',' or ')', found '@'; a group is (6,8)"},
    {"order", "lcores: column 6: expected '@', found the end; an item is NAME@CPU: order@2"},
    {"order 1", "lcores: column 7: expected '@', found '1'; an item is NAME@CPU: order@2"},
    {"order@", "lcores: column 7: expected a CPU number, found the end; an item is NAME@CPU: "
               "order@2, order@(2,4-6)"},
    {"order@-1", "lcores: column 7: expected a CPU number, found '-'; an item is NAME@CPU: "
                 "order@2, order@(2,4-6)"},
    {"order@1-", "lcores: column 9: expected a CPU number, found the end; an item is NAME@CPU: "
                 "order@2, order@(2,4-6)"},
    {"order@1x", "lcores: column 8: expected ',', found 'x'; items stand apart by commas: "
                 "order@2,fill@4"},
    {"order@1 fill@2", "lcores: column 9: expected ',', found 'f'; items stand apart by commas: "
                       "order@2,fill@4"},
    {"order@1,", "lcores: column 9: expected the name of a thread or domain, found the end; an "
                 "item is NAME@CPU: order@2"},
    {",order@1", "lcores: column 1: expected the name of a thread or domain, found ','; an item "
                 "is NAME@CPU: order@2"},
    {"@1", "lcores: column 1: expected the name of a thread or domain, found '@'; an item is "
           "NAME@CPU: order@2"},
    {"   ", "lcores: column 4: expected the name of a thread or domain, found the end; an item "
            "is NAME@CPU: order@2"},
};

Test(lcores, says_the_column_and_what_would_be_right)
{
    hl_topology *const topology = machine("pack:1 core:4 pu:2", "0-3");
    for (size_t i = 0; i < sizeof bad_cases / sizeof bad_cases[0]; i++) {
        const hl_plan_request request = {threads, THREADS, bad_cases[i].lcores, NULL, 0};
        hl_plan *plan = NULL;
        hl_error error = {0};
        cr_expect_eq(hl_plan_make(topology, &request, &plan, &error), HL_INVALID, "%s",
                     bad_cases[i].lcores);
        cr_expect_eq(error.status, HL_INVALID);
        cr_expect_str_eq(error.text, bad_cases[i].sentence, "%s:\n%s", bad_cases[i].lcores,
                         error.text);
        cr_expect_null(plan);
    }
    hl_topology_free(topology);
}

Test(lcores, an_empty_text_is_none)
{
    hl_topology *const topology = machine(machine_24, NULL);
    hl_plan *const by_rules = make(topology, NULL);
    hl_plan *const empty = make(topology, "");
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(by_rules->threads[i].cpu, empty->threads[i].cpu);
    hl_plan_free(by_rules);
    hl_plan_free(empty);
    hl_topology_free(topology);
}

/* Any text at all is either taken or refused with a column; never a crash. */
Test(lcores, random_texts_are_taken_or_refused)
{
    static const char *const pieces[] = {"order", "fill", "market_data", "@", "@", ",", ",", "(",
                                         ")",     "0",    "1-3",         "-", " ", "7", "x"};
    hl_topology *const topology = machine("pack:1 core:4 pu:2", NULL);
    uint32_t seed = 12345, taken = 0;
    for (int round = 0; round < 20000; round++) {
        char text[128] = "";
        for (int i = 0; i < 3 + round % 7; i++) {
            seed = seed * 1664525 + 1013904223;
            if ((seed >> 28) < 15)
                strcat(text, pieces[seed >> 28]);
        }
        const hl_plan_request request = {threads, THREADS, text, NULL, 0};
        hl_plan *plan = NULL;
        hl_error error = {0};
        const hl_status status = hl_plan_make(topology, &request, &plan, &error);
        if (status == HL_OK) {
            taken++;
            hl_plan_free(plan);
            continue;
        }
        cr_assert_eq(status, HL_INVALID, "%s", text);
        cr_assert_eq(strncmp(error.text, "lcores: column ", 15), 0, "%s: %s", text, error.text);
    }
    cr_assert_gt(taken, 0);
    hl_topology_free(topology);
}
