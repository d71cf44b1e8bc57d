/*
 * The plan as the bus applies it: each thread of a running bus has the mask that the report of the
 * same configuration names, and the caller's own mask is as it was.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hotlane/hotlane.h>

#include "affinity/cpu_set.h"
#include "affinity/plan.h"
#include "affinity/topology.h"
#include "bus/thread_request.h"

/* The plan that `hotlane topology` shows for a configuration. */
static hl_plan *reported_plan(const hl_config *config, hl_topology **ret_topology)
{
    hl_error error = {0};
    hl_thread_request *threads = NULL;
    uint32_t count;
    hl_plan *plan = NULL;
    const hl_topology_source source = {.want_devices = true};
    cr_assert_eq(hl_topology_load(&source, ret_topology, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_thread_requests_make(config, &threads, &count, &error), HL_OK);
    const hl_plan_request request = {
        .threads = threads, .thread_count = count, .lcores = config->lcores};
    cr_assert_eq(hl_plan_make(*ret_topology, &request, &plan, &error), HL_OK, "%s", error.text);
    free(threads);
    return plan;
}

/* The mask of this process's thread of that name; false when there is none. The kernel keeps 15
 * bytes of a name. */
static bool mask_of(const char *name, hl_cpu_set *ret_mask)
{
    DIR *const tasks = opendir("/proc/self/task");
    bool found = false;
    for (const struct dirent *task; !found && (task = readdir(tasks)) != NULL;) {
        char path[300], line[256], seen[32] = "", list[128] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *const file = fopen(path, "re");
        if (file == NULL)
            continue;
        while (fgets(line, sizeof line, file) != NULL) {
            sscanf(line, "Name: %31[^\n]", seen);
            sscanf(line, "Cpus_allowed_list: %127s", list);
        }
        fclose(file);
        found = strncmp(seen, name, 15) == 0 && hl_cpu_set_parse_list(list, ret_mask);
    }
    closedir(tasks);
    return found;
}

/* What the thread of an executor is called: "hl-order+fill". */
static void executor_name(const hl_plan *plan, const hl_plan_thread *thread, char name[256])
{
    strcpy(name, "hl-");
    for (uint32_t i = 0; i < plan->thread_count; i++)
        if (plan->threads[i].role == HL_ROLE_PARTITION && plan->threads[i].cpu == thread->cpu &&
            strlen(name) + strlen(plan->threads[i].name) + 2 < 256)
            strcat(strcat(name, name[3] == '\0' ? "" : "+"), plan->threads[i].name);
}

static void expect_masks(const hl_config *config)
{
    hl_topology *topology = NULL;
    hl_plan *const plan = reported_plan(config, &topology);
    cpu_set_t before, after;
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    hl_error error = {0};
    hl_bus *bus = NULL;
    cr_assert_eq(hl_bus_create(config, &bus, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        const hl_plan_thread *const thread = &plan->threads[i];
        char name[256] = "hl-housekeeper";
        if (thread->role == HL_ROLE_PUBLISHER)
            continue; /* the application's own */
        if (thread->role == HL_ROLE_PARTITION)
            executor_name(plan, thread, name);
        hl_cpu_set mask = {{0}}, planned = {{0}};
        hl_cpu_set_add(&planned, (uint32_t)thread->cpu);
        /* Nobody waits for the housekeeper when a bus starts: it may still be on its way. */
        for (int look = 0; look < 500 && !(mask_of(name, &mask) && hl_cpu_set_count(&mask) == 1);
             look++)
            usleep(10000);
        cr_assert(mask_of(name, &mask), "no thread is called %s", name);
        cr_expect(hl_cpu_set_equal(&mask, &planned), "%s is not on CPU %d alone", name,
                  thread->cpu);
    }
    cr_assert_eq(sched_getaffinity(0, sizeof after, &after), 0);
    cr_expect(CPU_EQUAL(&before, &after), "the caller's own mask was changed");
    hl_bus_stop(bus, HL_SECOND);
    hl_bus_destroy(bus);
    hl_plan_free(plan);
    hl_topology_free(topology);
}

Test(applied, every_thread_has_the_mask_of_the_plan)
{
    const hl_config config = HL_CONFIG_INIT;
    expect_masks(&config);
}

Test(applied, so_it_has_with_shards_and_publishers)
{
    uint32_t count;
    const hl_domain_config *const defaults = hl_default_domains(&count);
    hl_domain_config domains[2] = {defaults[0], defaults[2]};
    domains[0].shards = 3;
    domains[0].publishes_to = domains[1].name;
    domains[1].publishes_to = NULL;
    const char *const publishers[] = {"feed"};
    hl_config config = HL_CONFIG_INIT;
    config.domains = domains;
    config.domain_count = 2;
    config.publishers = publishers;
    config.publisher_count = 1;
    expect_masks(&config);
}

Test(applied, so_it_has_by_hand)
{
    hl_topology *topology = NULL;
    cr_assert_eq(hl_topology_load(NULL, &topology, NULL), HL_OK);
    uint32_t last = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].allowed)
            last = topology->cpus[i].os_index;
    hl_topology_free(topology);
    char lcores[64];
    snprintf(lcores, sizeof lcores, "(order,fill)@%u,housekeeping@%u", last, last);
    hl_config config = HL_CONFIG_INIT;
    config.lcores = lcores;
    expect_masks(&config);
}
