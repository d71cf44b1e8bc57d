#include "affinity/plan.h"

#include <limits.h>

#include "machines.h"
#include "tests/random.h"

/* The default domains and two feeds, as a bus would ask for them. */
static const hl_thread_request pipeline[] = {
    {"market_data", HL_ROLE_PARTITION, "market_data", 1, "signal", HL_WAIT_AUTO},
    {"signal", HL_ROLE_PARTITION, "signal", 2, "order", HL_WAIT_AUTO},
    {"order", HL_ROLE_PARTITION, "order", 0, "fill, system", HL_WAIT_AUTO},
    {"fill", HL_ROLE_PARTITION, "fill", 0, "account", HL_WAIT_AUTO},
    {"account", HL_ROLE_PARTITION, "account", 3, NULL, HL_WAIT_AUTO},
    {"system", HL_ROLE_PARTITION, "system", 4, NULL, HL_WAIT_AUTO},
    {"feed.a", HL_ROLE_PUBLISHER, NULL, 1, "market_data", HL_WAIT_AUTO},
    {"feed.b", HL_ROLE_PUBLISHER, NULL, 1, "market_data", HL_WAIT_AUTO},
    {"housekeeping", HL_ROLE_HOUSEKEEPER, NULL, 0, NULL, HL_WAIT_AUTO}};
enum { MARKET_DATA, SIGNAL, ORDER, FILL, ACCOUNT, SYSTEM, FEED_A, FEED_B, HOUSEKEEPING, THREADS };
static const hl_plan_request whole_pipeline = {pipeline, THREADS, NULL, NULL, 0};

static hl_plan *make(const hl_topology *topology, const hl_plan_request *request)
{
    hl_plan *plan = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_plan_make(topology, request, &plan, &error), HL_OK, "%s", error.text);
    cr_assert_eq(plan->thread_count, request->thread_count);
    return plan;
}

static bool warns(const hl_plan *plan, const char *words)
{
    for (uint32_t i = 0; i < plan->warning_count; i++)
        if (strstr(plan->warnings[i], words) != NULL)
            return true;
    return false;
}

static uint32_t usable_cores(const hl_topology *topology)
{
    uint32_t count = 0;
    for (uint32_t i = 0, last = UINT32_MAX; i < topology->cpu_count; i++) {
        if (!topology->cpus[i].allowed || topology->cpus[i].core == last)
            continue;
        last = topology->cpus[i].core;
        count++;
    }
    return count;
}

static bool is_hot(const hl_plan_thread *thread)
{
    return thread->role != HL_ROLE_HOUSEKEEPER;
}

static bool is_empty_sibling(const hl_plan *plan, uint32_t cpu)
{
    for (uint32_t i = 0; i < plan->empty_sibling_count; i++)
        if (plan->empty_siblings[i] == cpu)
            return true;
    return false;
}

static void check_thread(const hl_topology *topology, const hl_plan *plan, uint32_t index,
                         const char *name)
{
    const hl_plan_thread *const thread = &plan->threads[index];
    const hl_cpu *const cpu = hl_topology_cpu(topology, (uint32_t)thread->cpu);
    cr_assert_not_null(cpu, "%s: %s is on no CPU", name, thread->name);
    cr_expect(cpu->allowed, "%s: %s is on forbidden CPU %d", name, thread->name, thread->cpu);
    cr_expect(thread->core == cpu->core && thread->package == cpu->package &&
                  thread->l3 == cpu->l3 && thread->numa_node == cpu->numa_node,
              "%s: the facts of %s are not its CPU's", name, thread->name);
    cr_expect_neq(thread->wait, HL_WAIT_AUTO, "%s: %s", name, thread->name);
    cr_expect_str_neq(thread->why, "", "%s: %s", name, thread->name);
    bool shares_cpu = false, shares_core = false;
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        shares_cpu |= i != index && plan->threads[i].cpu == thread->cpu;
        shares_core |= i != index && plan->threads[i].core == thread->core;
    }
    cr_expect_eq(thread->shares_cpu, shares_cpu, "%s: %s", name, thread->name);
    cr_expect_eq(thread->shares_core_with[0] != '\0', shares_core, "%s: %s", name, thread->name);
    if (is_hot(thread))
        cr_expect_eq(thread->wait, shares_core ? HL_WAIT_PARK : HL_WAIT_SPIN, "%s: %s", name,
                     thread->name);
    else
        cr_expect_eq(thread->wait, HL_WAIT_PARK, "%s: %s", name, thread->name);
}

/* While there are cores: one hot thread a core, siblings empty and listed, no warning of shortage.
 * Else: a warning, and everything that is short of a core shares it. */
static void check_sharing(const hl_topology *topology, const hl_plan *plan, uint32_t hot,
                          const char *name)
{
    const bool enough = hot < usable_cores(topology);
    bool shared = false;
    for (uint32_t i = 0; i < plan->thread_count; i++)
        shared |= plan->threads[i].shares_core_with[0] != '\0';
    cr_expect_eq(shared, !enough, "%s", name);
    cr_expect_eq(warns(plan, "too few cores"), !enough, "%s", name);
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        uint32_t on_cpu = 0, on_core = 0;
        for (uint32_t t = 0; t < plan->thread_count; t++) {
            on_cpu += plan->threads[t].cpu == (int)cpu->os_index;
            on_core += plan->threads[t].core == cpu->core;
        }
        cr_expect_eq(is_empty_sibling(plan, cpu->os_index),
                     cpu->allowed && on_core > 0 && on_cpu == 0, "%s: CPU %u", name, cpu->os_index);
        if (enough)
            cr_expect_leq(on_core, 1, "%s: core %u", name, cpu->core);
    }
}

/* No hot thread on a slow core while a fast one is free of hot threads. */
static void check_kinds(const hl_topology *topology, const hl_plan *plan, const char *name)
{
    uint32_t slowest_used = UINT32_MAX;
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        const hl_cpu *const cpu = hl_topology_cpu(topology, (uint32_t)plan->threads[i].cpu);
        if (is_hot(&plan->threads[i]) && cpu->efficiency_class < slowest_used)
            slowest_used = cpu->efficiency_class;
    }
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        bool used = false;
        for (uint32_t t = 0; t < plan->thread_count; t++)
            used |= plan->threads[t].core == cpu->core;
        if (cpu->allowed && !used)
            cr_expect_leq(cpu->efficiency_class, slowest_used, "%s: CPU %u is faster and idle",
                          name, cpu->os_index);
    }
}

static void check_plan(const hl_topology *topology, const hl_plan_request *request,
                       const char *name)
{
    hl_plan *const plan = make(topology, request);
    hl_plan *const again = make(topology, request);
    uint32_t hot = 0;
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        check_thread(topology, plan, i, name);
        hot += is_hot(&plan->threads[i]);
        cr_expect_eq(memcmp(&plan->threads[i], &again->threads[i], sizeof plan->threads[i]), 0,
                     "%s: two plans differ for %s", name, plan->threads[i].name);
    }
    check_sharing(topology, plan, hot, name);
    check_kinds(topology, plan, name);
    hl_plan_free(plan);
    hl_plan_free(again);
}

/* The pipeline, parts of it, and far more threads than most machines have cores. */
static void check_requests(const hl_topology *topology, const char *name)
{
    for (uint32_t first = 0; first < HOUSEKEEPING; first++) {
        const hl_plan_request part = {pipeline + first, THREADS - first, NULL, NULL, 0};
        check_plan(topology, &part, name);
    }
    static char names[200][16];
    static hl_thread_request crowd[200];
    for (uint32_t i = 0; i < 199; i++) {
        snprintf(names[i], sizeof names[i], "book.%u", i);
        crowd[i] = (hl_thread_request){.name = names[i], .rank = i % 3};
        crowd[i].role = i % 5 == 4 ? HL_ROLE_PUBLISHER : HL_ROLE_PARTITION;
        crowd[i].domain = i % 5 == 4 ? NULL : "book";
        crowd[i].talks_to = i % 5 == 4 ? "book" : NULL;
    }
    crowd[199] = pipeline[HOUSEKEEPING];
    check_plan(topology, &(hl_plan_request){crowd, 200, NULL, NULL, 0}, name);
}

Test(plan, keeps_its_rules_on_every_real_machine)
{
    cr_assert_gt(for_each_machine_file(check_requests), 0);
}

Test(plan, keeps_its_rules_on_synthetic_machines)
{
    static const char *const machines[][2] = {{"pack:2 core:12 pu:2", NULL},
                                              {"pack:1 core:24 pu:1", NULL},
                                              {"pack:2 l3:12 core:8 pu:1", NULL},
                                              {"pack:2 l3:12 core:4 pu:2", NULL},
                                              {"pack:1 core:1 pu:1", NULL},
                                              {"pack:1 core:2 pu:1", NULL},
                                              {"pack:1 core:1 pu:2", NULL},
                                              {"pack:1 core:2 pu:2", NULL},
                                              {"pack:1 core:3 pu:1", NULL},
                                              {"pack:1 core:6 pu:4", NULL},
                                              {"pack:2 core:12 pu:2", "3"},
                                              {"pack:2 core:12 pu:2", "5,9-11"},
                                              {"pack:2 core:12 pu:2", "1,3,5,7-20"},
                                              {"pack:2 l3:12 core:8 pu:1", "0-95,100-110"},
                                              {"pack:4 numa:2 l3:2 core:4 pu:2", "8-63"}};
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        hl_topology *const topology = machine(machines[i][0], machines[i][1]);
        check_requests(topology, machines[i][0]);
        hl_topology_free(topology);
    }
}

Test(plan, on_one_cpu_all_share_and_park)
{
    hl_topology *const topology = machine("pack:1 core:1 pu:1", NULL);
    hl_plan *const plan = make(topology, &whole_pipeline);
    for (uint32_t i = 0; i < THREADS; i++) {
        cr_assert_eq(plan->threads[i].cpu, 0);
        cr_assert_eq(plan->threads[i].wait, HL_WAIT_PARK);
        cr_assert(plan->threads[i].shares_cpu);
    }
    cr_assert(warns(plan, "too few cores: 8 short (0 for 8 hot threads"));
    hl_plan_free(plan);
    hl_topology_free(topology);
}

/* Also where the two are siblings of one core. */
Test(plan, on_two_cpus_publishers_keep_house_and_one_executor_turns_all_partitions)
{
    static const char *const machines[] = {"pack:1 core:2 pu:1", "pack:2 core:1 pu:1",
                                           "pack:1 core:1 pu:2"};
    for (size_t m = 0; m < 3; m++) {
        hl_topology *const topology = machine(machines[m], NULL);
        hl_plan *const plan = make(topology, &whole_pipeline);
        for (uint32_t i = 0; i < THREADS; i++) {
            cr_expect_eq(plan->threads[i].cpu, pipeline[i].role == HL_ROLE_PARTITION ? 1 : 0,
                         "%s: %s", machines[m], plan->threads[i].name);
            cr_expect_eq(plan->threads[i].wait, HL_WAIT_PARK);
        }
        cr_assert_eq(plan->housekeeping_cpu, 0);
        hl_plan_free(plan);
        hl_topology_free(topology);
    }
}

Test(plan, on_two_cpus_a_lone_partition_spins)
{
    hl_topology *const topology = machine("pack:1 core:2 pu:1", NULL);
    const hl_thread_request threads[] = {pipeline[FEED_A], pipeline[MARKET_DATA],
                                         pipeline[HOUSEKEEPING]};
    hl_plan *const plan = make(topology, &(hl_plan_request){threads, 3, NULL, NULL, 0});
    cr_assert_eq(plan->threads[0].cpu, 0);
    cr_assert_eq(plan->threads[0].wait, HL_WAIT_PARK);
    cr_assert_eq(plan->threads[1].cpu, 1);
    cr_assert_eq(plan->threads[1].wait, HL_WAIT_SPIN);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, short_of_cores_orders_and_fills_keep_theirs)
{
    hl_topology *const topology = machine("pack:1 core:4 pu:1", NULL);
    hl_plan *const plan = make(topology, &whole_pipeline);
    cr_assert_eq(plan->threads[ORDER].wait, HL_WAIT_SPIN);
    cr_assert_eq(plan->threads[FILL].wait, HL_WAIT_SPIN);
    const int shared = plan->threads[MARKET_DATA].cpu;
    cr_assert(plan->threads[SIGNAL].cpu == shared && plan->threads[ACCOUNT].cpu == shared &&
              plan->threads[SYSTEM].cpu == shared);
    cr_assert_eq(plan->threads[FEED_A].cpu, plan->housekeeping_cpu);
    cr_assert_str_eq(plan->threads[MARKET_DATA].shares_core_with, "signal, account, system");
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, talkers_share_an_l3_where_one_has_room)
{
    hl_topology *const topology = machine("pack:2 l3:2 core:9 pu:1", NULL);
    hl_plan *const plan = make(topology, &whole_pipeline);
    for (uint32_t i = 0; i < HOUSEKEEPING; i++)
        cr_assert_eq(plan->threads[i].l3, plan->threads[ORDER].l3, "%s", plan->threads[i].name);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, small_l3_groups_keep_feeds_with_market_data_and_all_on_one_socket)
{
    hl_topology *const topology = machine("pack:2 numa:2 l3:3 core:4 pu:2", NULL);
    hl_plan *const plan = make(topology, &whole_pipeline);
    cr_assert_eq(plan->threads[FEED_A].l3, plan->threads[MARKET_DATA].l3);
    cr_assert_eq(plan->threads[FEED_B].l3, plan->threads[MARKET_DATA].l3);
    cr_assert_eq(plan->threads[FILL].l3, plan->threads[ORDER].l3);
    for (uint32_t i = 0; i < HOUSEKEEPING; i++)
        cr_assert_eq(plan->threads[i].numa_node, plan->threads[ORDER].numa_node, "%s",
                     plan->threads[i].name);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

/* Two L3s of three cores a node: node 0, short of the housekeeper's core, has no room for all six.
 */
Test(plan, a_pipeline_takes_the_numa_node_that_holds_all_of_it)
{
    hl_topology *const topology = machine("pack:2 numa:2 l3:2 core:3 pu:1", NULL);
    const hl_thread_request six[] = {pipeline[MARKET_DATA], pipeline[SIGNAL], pipeline[ORDER],
                                     pipeline[FILL],        pipeline[FEED_A], pipeline[FEED_B]};
    hl_plan *const plan = make(topology, &(hl_plan_request){six, 6, NULL, NULL, 0});
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(plan->threads[i].numa_node, 1, "%s", plan->threads[i].name);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

/* Market data and orders meet only through signals, which choose last. */
Test(plan, those_that_meet_through_a_third_share_a_package)
{
    hl_topology *const topology = machine("pack:2 l3:2 core:3 pu:1", NULL);
    const hl_thread_request four[] = {pipeline[MARKET_DATA], pipeline[SIGNAL], pipeline[ORDER],
                                      pipeline[FILL]};
    hl_plan *const plan = make(topology, &(hl_plan_request){four, 4, "housekeeping@8", NULL, 0});
    cr_assert_eq(plan->threads[0].package, plan->threads[2].package);
    cr_assert_eq(plan->threads[1].package, plan->threads[2].package);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, fast_cores_are_taken_wherever_they_are)
{
    hl_topology *const topology = machine("pack:1 core:16 pu:1", NULL);
    for (uint32_t i = 0; i < 16; i++)
        topology->cpus[i].efficiency_class = i % 2;
    check_plan(topology, &whole_pipeline, "odd cores are fast");
    hl_plan *const plan = make(topology, &whole_pipeline);
    for (uint32_t i = 0; i < HOUSEKEEPING; i++)
        cr_assert_eq(plan->threads[i].cpu % 2, 1, "%s", plan->threads[i].name);
    cr_assert_eq(plan->housekeeping_cpu, 0);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, on_two_siblings_publishers_leave_the_executor_its_own)
{
    hl_topology *const topology = machine("pack:1 core:1 pu:2", NULL);
    hl_thread_request threads[] = {pipeline[ORDER], pipeline[FEED_A], pipeline[FEED_A],
                                   pipeline[FEED_A], pipeline[FEED_B]};
    threads[2].name = "feed.c";
    threads[3].name = "feed.d";
    hl_plan *const plan = make(topology, &(hl_plan_request){threads, 5, NULL, NULL, 0});
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(plan->threads[i].cpu, i == 0 ? 1 : 0, "%s", plan->threads[i].name);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, hybrid_hot_threads_have_the_p_cores_and_housekeeping_gives_way)
{
    hl_topology *const topology = machine_from_folder("hybrid-i7-1370p-6p8e");
    hl_plan *plan = make(topology, &whole_pipeline);
    for (uint32_t i = 0; i < HOUSEKEEPING; i++)
        cr_expect_eq(plan->threads[i].cpu < 12, i != ACCOUNT && i != SYSTEM, "%s on CPU %d",
                     plan->threads[i].name, plan->threads[i].cpu);
    cr_assert_eq(plan->housekeeping_cpu, 12);
    cr_assert(warns(plan, "on slow (E) cores: account, system"));
    hl_plan_free(plan);

    const hl_plan_request five = {pipeline + SIGNAL, 5, NULL, NULL, 0};
    plan = make(topology, &five);
    cr_assert_eq(plan->housekeeping_cpu, 0);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_lt(plan->threads[i].cpu, 12);
    cr_assert_eq(plan->warning_count, 0);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, says_why)
{
    hl_topology *const topology = machine("pack:1 l3:1 core:12 pu:2", "0-3,4,6-23");
    hl_plan *const plan = make(topology, &whole_pipeline);
    cr_assert_str_eq(plan->threads[ORDER].why,
                     "core 1: own core, sibling 3 left empty, same L3 as signal on CPU 12");
    cr_assert_str_eq(plan->threads[FILL].why, "core 2: own core, sibling 5 not ours: others may "
                                              "run there, same L3 as order on CPU 2");
    cr_assert_str_eq(plan->threads[HOUSEKEEPING].why, "core 0: own core, sibling 1 left empty");
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, prints_every_thread_sibling_and_warning)
{
    hl_topology *const topology = machine("pack:1 core:4 pu:2", NULL);
    hl_plan *const plan = make(topology, &whole_pipeline);
    char *text = NULL;
    size_t size = 0;
    FILE *const file = open_memstream(&text, &size);
    hl_plan_print(plan, file);
    fclose(file);
    for (uint32_t i = 0; i < THREADS; i++)
        cr_expect_not_null(strstr(text, plan->threads[i].why), "%s", text);
    cr_expect_not_null(strstr(text, "housekeeping on CPU 0; siblings left empty: 3,5,7\n"), "%s",
                       text);
    cr_expect_not_null(
        strstr(text,
               "warning: too few cores: 5 short (3 for 8 hot threads, beside housekeeping's): "
               "market_data, signal, account, system, feed.a, feed.b share and park; with 5 more, "
               "each would spin on a core of its own\n"),
        "%s", text);
    free(text);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, a_quota_with_spinning_threads_is_an_error_and_with_parked_ones_is_not)
{
    hl_topology *const topology = machine("pack:1 core:12 pu:1", NULL);
    topology->cpu_quota = 2.5;
    hl_plan *plan = make(topology, &whole_pipeline);
    cr_assert(warns(plan, "error: the cgroup's CPU quota is 2.50 CPUs and 8 threads spin"));
    hl_plan_free(plan);
    topology->cpu_quota = 0.0;
    plan = make(topology, &whole_pipeline);
    cr_assert_eq(plan->warning_count, 0);
    hl_plan_free(plan);
    hl_topology_free(topology);

    hl_topology *const small = machine("pack:1 core:1 pu:1", NULL);
    small->cpu_quota = 0.5;
    plan = make(small, &whole_pipeline);
    cr_assert_not(warns(plan, "quota"));
    hl_plan_free(plan);
    hl_topology_free(small);
}

Test(plan, a_requested_wait_is_kept_and_a_harmful_one_is_called_an_error)
{
    hl_thread_request threads[] = {pipeline[ORDER], pipeline[FEED_A], pipeline[HOUSEKEEPING]};
    threads[0].wait = HL_WAIT_BACKOFF;
    threads[0].talks_to = threads[1].talks_to = NULL;
    threads[1].wait = HL_WAIT_SPIN;
    hl_topology *const two = machine("pack:1 core:2 pu:1", NULL);
    for (uint32_t count = 2; count <= 3; count++) { /* the housekeeper is there, asked for or not */
        hl_plan *const plan = make(two, &(hl_plan_request){threads, count, NULL, NULL, 0});
        cr_assert_eq(plan->threads[0].wait, HL_WAIT_BACKOFF);
        cr_assert_eq(plan->threads[1].wait, HL_WAIT_SPIN);
        cr_assert(warns(plan, "error: feed.a spins by request on core 0, which it shares with "
                              "housekeeping"));
        hl_plan_free(plan);
    }
    hl_topology_free(two);
}

/* One executor turns them: it may spin, as it shares its core with nobody. */
Test(plan, partitions_of_one_cpu_may_spin_by_request)
{
    hl_thread_request threads[] = {pipeline[ORDER], pipeline[FILL], pipeline[HOUSEKEEPING]};
    threads[0].wait = threads[1].wait = HL_WAIT_SPIN;
    hl_topology *const two = machine("pack:1 core:2 pu:1", NULL);
    hl_plan *const plan = make(two, &(hl_plan_request){threads, 3, NULL, NULL, 0});
    cr_assert_eq(plan->threads[0].cpu, plan->threads[1].cpu);
    cr_assert_not(warns(plan, "error: "));
    hl_plan_free(plan);
    hl_topology_free(two);
}

Test(plan, keeps_a_core_for_a_housekeeper_that_nobody_requests)
{
    hl_topology *const two = machine("pack:1 core:2 pu:1", NULL);
    hl_plan *const plan = make(two, &(hl_plan_request){&pipeline[FEED_A], 2, NULL, NULL, 0});
    cr_assert_eq(plan->housekeeping_cpu, 0);
    cr_assert_eq(plan->threads[0].cpu, 1);
    cr_assert_eq(plan->threads[1].cpu, 0);
    cr_assert_str_eq(plan->threads[1].shares_core_with, "housekeeping");
    cr_assert(plan->threads[1].shares_cpu);
    hl_plan_free(plan);
    hl_plan *const empty = make(two, &(hl_plan_request){NULL, 0, NULL, NULL, 0});
    cr_assert_eq(empty->housekeeping_cpu, 0);
    hl_plan_free(empty);
    hl_topology_free(two);
}

Test(plan, an_unknown_partner_is_warned_of_once)
{
    const hl_thread_request threads[] = {{.name = "a.0", .domain = "a", .talks_to = "a nowhere"},
                                         {.name = "a.1", .domain = "a", .talks_to = "a nowhere"}};
    hl_topology *const topology = machine("pack:1 core:4 pu:1", NULL);
    hl_plan *const plan = make(topology, &(hl_plan_request){threads, 2, NULL, NULL, 0});
    cr_assert_eq(plan->warning_count, 1);
    cr_assert_str_eq(plan->warnings[0],
                     "a.0 talks to \"nowhere\", which names no thread or domain");
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, bad_requests_are_refused_in_words)
{
    char long_name[HL_THREAD_NAME_SIZE + 1];
    memset(long_name, 'x', HL_THREAD_NAME_SIZE);
    long_name[HL_THREAD_NAME_SIZE] = '\0';
    const struct {
        hl_thread_request threads[2];
        const char *words;
    } cases[] = {{{{.name = "a"}, {.name = NULL}}, "thread 1 has no name"},
                 {{{.name = ""}, {.name = "a"}}, "thread 0 has no name"},
                 {{{.name = "a"}, {.name = "a"}}, "two threads are named \"a\""},
                 {{{.name = "a b"}, {.name = "c"}}, "\"a b\": blanks"},
                 {{{.name = "a"}, {.name = long_name}}, "thread 1 is too long: at most 71"},
                 {{{.name = "a", .domain = long_name}, {.name = "b"}}, "63 for its domain"}};
    hl_topology *const topology = machine("pack:1 core:4 pu:1", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const hl_plan_request request = {cases[i].threads, 2, NULL, NULL, 0};
        hl_plan *plan = NULL;
        hl_error error = {0};
        cr_expect_eq(hl_plan_make(topology, &request, &plan, &error), HL_INVALID);
        cr_expect_not_null(strstr(error.text, cases[i].words), "%s", error.text);
        cr_expect_null(plan);
    }
    const hl_plan_request many = {pipeline, UINT_MAX, NULL, NULL, 0};
    hl_plan *plan = NULL;
    cr_expect_eq(hl_plan_make(topology, &many, &plan, NULL), HL_INVALID);
    hl_topology_free(topology);
}

Test(plan, free_takes_null)
{
    hl_plan_free(NULL);
}

/* ---- generated machines --------------------------------------------------------------------- */

static uint32_t below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)random_below(state, limit);
}

/* A description of up to 256 CPUs and, half of the time, a list of those that are ours. */
static void generate(uint64_t *state, char description[128], char allowed[2048])
{
    const uint32_t packages = 1 + below(state, 4), l3s = 1 + below(state, 4);
    const uint32_t cores = 1 + below(state, 8), cpus = 1 + below(state, 2);
    snprintf(description, 128, "pack:%u %sl3:%u core:%u pu:%u", packages,
             below(state, 2) == 0 ? "[numa] " : "", l3s, cores, cpus);
    allowed[0] = '\0';
    if (below(state, 2) == 0)
        return;
    const uint32_t count = packages * l3s * cores * cpus;
    const uint32_t always = below(state, count);
    for (uint32_t i = 0; i < count; i++)
        if (i == always || below(state, 3) > 0)
            snprintf(allowed + strlen(allowed), 2048 - strlen(allowed), "%s%u",
                     allowed[0] == '\0' ? "" : ",", i);
}

/* Made up, as no description can say it: slow cores, isolated ones, ones that take interrupts. */
static void mark_cores(hl_topology *topology, uint64_t *state)
{
    const bool hybrid = below(state, 2) == 0, isolates = below(state, 2) == 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        hl_cpu *const cpu = &topology->cpus[i];
        if (i > 0 && cpu[-1].core == cpu->core) {
            cpu->efficiency_class = cpu[-1].efficiency_class;
            cpu->isolated = cpu[-1].isolated;
            continue;
        }
        cpu->efficiency_class = hybrid ? below(state, 2) : 0;
        cpu->isolated = isolates && below(state, 2) == 0;
        cpu->takes_interrupts = below(state, 4) == 0;
    }
    topology->efficiency_classes = hybrid ? 2 : 1;
}

/* The placement that a plan tells as lcores is the plan's. */
static void check_lcores(const hl_topology *topology, const hl_plan *plan, const char *name)
{
    char *const lcores = hl_plan_lcores(plan);
    cr_assert_not_null(lcores);
    const hl_plan_request request = {pipeline, THREADS, lcores, NULL, 0};
    hl_plan *const again = make(topology, &request);
    for (uint32_t i = 0; i < THREADS; i++)
        cr_expect_eq(again->threads[i].cpu, plan->threads[i].cpu, "%s: %s by %s", name,
                     plan->threads[i].name, lcores);
    cr_expect_eq(again->housekeeping_cpu, plan->housekeeping_cpu, "%s", name);
    hl_plan_free(again);
    free(lcores);
}

Test(plan, keeps_its_rules_on_hundreds_of_generated_machines)
{
    uint64_t state = 20240808;
    for (int round = 0; round < 400; round++) {
        char description[128], allowed[2048];
        generate(&state, description, allowed);
        hl_topology *const topology = machine(description, allowed[0] != '\0' ? allowed : NULL);
        mark_cores(topology, &state);
        check_plan(topology, &whole_pipeline, description);
        hl_plan *const plan = make(topology, &whole_pipeline);
        check_lcores(topology, plan, description);
        hl_plan_free(plan);
        hl_topology_free(topology);
    }
}

/* ---- devices, isolated cores, journals, workers --------------------------------------------- */

Test(plan, the_node_of_a_named_device_is_chosen)
{
    hl_topology *const topology = machine("pack:2 [numa] l3:1 core:12 pu:1", NULL);
    for (uint32_t node = 0; node < 2; node++) {
        const hl_plan_request request = {pipeline, THREADS, NULL, "eth2", node};
        hl_plan *const plan = make(topology, &request);
        for (uint32_t i = 0; i < HOUSEKEEPING; i++) {
            cr_expect_eq(plan->threads[i].numa_node, node, "%s", plan->threads[i].name);
            cr_expect_not_null(strstr(plan->threads[i].why, "same node as eth2"), "%s",
                               plan->threads[i].why);
        }
        hl_plan_free(plan);
    }
    hl_topology_free(topology);
}

Test(plan, an_l3_for_all_counts_more_than_the_node_of_a_device)
{
    /* Of node 1 only four cores are ours: the pipeline would not fit. */
    hl_topology *const topology = machine("pack:2 [numa] l3:1 core:12 pu:1", "0-15");
    const hl_plan_request request = {pipeline, THREADS, NULL, "eth2", 1};
    hl_plan *const plan = make(topology, &request);
    cr_expect_eq(plan->threads[ORDER].numa_node, 0);
    cr_expect_not_null(strstr(plan->threads[ORDER].why, "not the same node as eth2"), "%s",
                       plan->threads[ORDER].why);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, isolated_cores_are_for_hot_threads_and_not_for_housekeeping)
{
    hl_topology *const topology = machine("pack:1 core:16 pu:1", NULL);
    for (uint32_t i = 0; i < 8; i++)
        topology->cpus[i].isolated = true;
    hl_plan *plan = make(topology, &whole_pipeline);
    cr_expect_eq(plan->housekeeping_cpu, 8);
    for (uint32_t i = 0; i < HOUSEKEEPING; i++)
        cr_expect_lt(plan->threads[i].cpu, 8, "%s", plan->threads[i].name);
    cr_expect_eq(plan->warning_count, 0);
    hl_plan_free(plan);
    const hl_plan_request by_hand = {pipeline, THREADS, "order@9", NULL, 0};
    plan = make(topology, &by_hand);
    cr_expect(warns(plan, "not on isolated CPUs, though some are left: order"));
    hl_plan_free(plan);
    for (uint32_t i = 0; i < 16; i++)
        topology->cpus[i].isolated = true;
    plan = make(topology, &whole_pipeline);
    cr_expect_eq(plan->housekeeping_cpu, 0, "all are isolated: someone must be there");
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, cores_that_take_interrupts_are_avoided_while_there_are_others)
{
    hl_topology *const topology = machine("pack:1 core:12 pu:1", NULL);
    topology->cpus[2].takes_interrupts = topology->cpus[4].takes_interrupts = true;
    hl_plan *plan = make(topology, &whole_pipeline);
    for (uint32_t i = 0; i < HOUSEKEEPING; i++)
        cr_expect(plan->threads[i].cpu != 2 && plan->threads[i].cpu != 4, "%s on %d",
                  plan->threads[i].name, plan->threads[i].cpu);
    hl_plan_free(plan);
    for (uint32_t i = 0; i < 12; i++)
        topology->cpus[i].takes_interrupts = true;
    plan = make(topology, &whole_pipeline);
    cr_expect(warns(plan, "on CPUs that take devices' interrupts"));
    hl_plan_free(plan);
    hl_topology_free(topology);
}

static const hl_thread_request with_cold[] = {
    {"worker.0", HL_ROLE_WORKER, "workers", 0, "*", HL_WAIT_AUTO},
    {"worker.1", HL_ROLE_WORKER, "workers", 0, "*", HL_WAIT_AUTO},
    {"journal", HL_ROLE_JOURNAL, NULL, 0, NULL, HL_WAIT_AUTO},
    {"order", HL_ROLE_PARTITION, "order", 0, NULL, HL_WAIT_AUTO},
    {"feed", HL_ROLE_PUBLISHER, NULL, 1, "order", HL_WAIT_AUTO},
    {"housekeeping", HL_ROLE_HOUSEKEEPER, NULL, 0, NULL, HL_WAIT_AUTO}};

Test(plan, journals_and_workers_get_what_hot_threads_leave)
{
    /* Cores 1-6, with 0: housekeeping, order, feed, journal, two workers, one free. */
    hl_topology *topology = machine("pack:1 core:7 pu:2", NULL);
    hl_plan *plan = make(topology, &(hl_plan_request){with_cold, 6, NULL, NULL, 0});
    for (uint32_t i = 0; i < 6; i++) {
        cr_expect_str_eq(plan->threads[i].shares_core_with, "", "%s", plan->threads[i].name);
        cr_expect_eq(plan->threads[i].wait,
                     hl_thread_role_is_hot(plan->threads[i].role) ? HL_WAIT_SPIN : HL_WAIT_PARK);
    }
    cr_expect_eq(plan->warning_count, 0);
    hl_plan_free(plan);
    hl_topology_free(topology);
    /* Four cores: the journal has the last one, the workers join the housekeeper. */
    topology = machine("pack:1 core:4 pu:1", NULL);
    plan = make(topology, &(hl_plan_request){with_cold, 6, NULL, NULL, 0});
    cr_expect_eq(plan->threads[0].cpu, plan->housekeeping_cpu);
    cr_expect_eq(plan->threads[1].cpu, plan->housekeeping_cpu);
    for (uint32_t i = 2; i < 5; i++)
        cr_expect_str_eq(plan->threads[i].shares_core_with, "", "%s", plan->threads[i].name);
    cr_expect_not(warns(plan, "too few cores"), "workers park: they may share");
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, a_journal_is_near_the_housekeeper_and_workers_near_the_partitions)
{
    hl_topology *const topology = machine("pack:2 [numa] l3:1 core:4 pu:1", NULL);
    const hl_plan_request request = {with_cold, 6, "housekeeping@0,order@4,feed@5", NULL, 0};
    hl_plan *const plan = make(topology, &request);
    cr_expect_eq(plan->threads[2].package, 0, "journal");
    cr_expect_eq(plan->threads[0].package, 1, "worker.0");
    cr_expect_eq(plan->threads[1].package, 1, "worker.1");
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(plan, workers_can_be_placed_by_one_name)
{
    hl_topology *const topology = machine("pack:1 core:8 pu:1", NULL);
    const hl_plan_request request = {with_cold, 6, "workers@6-7", NULL, 0};
    hl_plan *plan = NULL;
    hl_error error = {0};
    cr_expect_eq(hl_plan_make(topology, &request, &plan, &error), HL_OK, "%s", error.text);
    cr_expect_eq(plan->threads[0].cpu, 6);
    cr_expect_eq(plan->threads[1].cpu, 7);
    hl_plan_free(plan);
    hl_topology_free(topology);
}
