#include "affinity/plan.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "affinity/placement.h"
#include "affinity/sentence.h"
#include "base/error.h"

#define THREAD_LIMIT 4096u

void hl_placement_warn(hl_placement *placement, const char *format, ...)
{
    hl_plan *const plan = placement->plan;
    char **const warnings =
        realloc(plan->warnings, (plan->warning_count + 1) * sizeof *plan->warnings);
    if (warnings == NULL) {
        placement->out_of_memory = true;
        return;
    }
    plan->warnings = warnings;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&warnings[plan->warning_count], format, arguments) >= 0)
        plan->warning_count++;
    else
        placement->out_of_memory = true;
    va_end(arguments);
}

static int compare_cpus(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void hl_placement_sort_cpus(uint32_t *cpus, uint32_t count)
{
    qsort(cpus, count, sizeof *cpus, compare_cpus);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static hl_status check_names_differ(const hl_plan_request *request, hl_error *error)
{
    const char **const names = calloc(request->thread_count + 1, sizeof *names);
    if (names == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "plan: no memory");
    for (uint32_t i = 0; i < request->thread_count; i++)
        names[i] = request->threads[i].name;
    qsort(names, request->thread_count, sizeof *names, compare_names);
    hl_status status = HL_OK;
    for (uint32_t i = 1; i < request->thread_count && status == HL_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = hl_error_set(error, HL_INVALID,
                                  "plan: two threads are named \"%s\"; give each its own name",
                                  names[i]);
    free(names);
    return status;
}

static hl_status check_request(const hl_plan_request *request, hl_error *error)
{
    if (request->thread_count > THREAD_LIMIT)
        return hl_error_set(error, HL_INVALID, "plan: %u threads; at most %u can be planned",
                            request->thread_count, THREAD_LIMIT);
    for (uint32_t i = 0; i < request->thread_count; i++) {
        const hl_thread_request *const thread = &request->threads[i];
        if (thread->name == NULL || thread->name[0] == '\0')
            return hl_error_set(error, HL_INVALID, "plan: thread %u has no name; give it one", i);
        if (strlen(thread->name) >= HL_THREAD_NAME_SIZE ||
            (thread->domain != NULL && strlen(thread->domain) >= HL_DOMAIN_NAME_SIZE))
            return hl_error_set(error, HL_INVALID,
                                "plan: the name of thread %u is too long: at most %d bytes, and %d "
                                "for its domain: \"%.100s\"",
                                i, HL_THREAD_NAME_SIZE - 1, HL_DOMAIN_NAME_SIZE - 1, thread->name);
        if (strpbrk(thread->name, "@,() \t\r\n") != NULL)
            return hl_error_set(error, HL_INVALID,
                                "plan: thread name \"%s\": blanks and @ , ( ) have a meaning in "
                                "lcores; use letters, digits, '_', '-' and '.'",
                                thread->name);
    }
    return check_names_differ(request, error);
}

static bool is_called(const hl_thread_request *thread, const char *name, size_t length)
{
    if (length == 1 && name[0] == '*')
        return thread->role == HL_ROLE_PARTITION;
    return (strncmp(thread->name, name, length) == 0 && thread->name[length] == '\0') ||
           (thread->domain != NULL && strncmp(thread->domain, name, length) == 0 &&
            thread->domain[length] == '\0');
}

/* Enters into the matrix whom `thread` talks to; warns of names that are nobody's when `warn`. */
static void read_talk(hl_placement *placement, uint32_t thread, bool warn)
{
    static const char separators[] = ", \t";
    const uint32_t count = placement->request->thread_count;
    const char *name = hl_placement_thread(placement, thread)->talks_to;
    for (size_t length; *(name += strspn(name, separators)) != '\0'; name += length) {
        length = strcspn(name, separators);
        bool known = false;
        for (uint32_t other = 0; other < count; other++) {
            if (!is_called(hl_placement_thread(placement, other), name, length))
                continue;
            known = true;
            placement->talk[(size_t)thread * count + other] = other != thread;
            placement->talk[(size_t)other * count + thread] = other != thread;
        }
        if (!known && warn && name[0] != '*')
            hl_placement_warn(placement, "%s talks to \"%.*s\", which names no thread or domain",
                              hl_placement_thread(placement, thread)->name, (int)length, name);
    }
}

static void read_all_talk(hl_placement *placement)
{
    const char *previous = "";
    for (uint32_t i = 0; i < placement->request->thread_count; i++) {
        const char *const names = hl_placement_thread(placement, i)->talks_to;
        if (names == NULL)
            continue;
        /* The shards of a domain all say the same: once is enough. */
        read_talk(placement, i, strcmp(names, previous) != 0);
        previous = names;
    }
}

static bool allocate(hl_placement *placement)
{
    const size_t threads = placement->request->thread_count;
    const size_t cpus = placement->topology->cpu_count;
    hl_plan *const plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return false;
    placement->plan = plan;
    plan->threads = calloc(threads + 1, sizeof *plan->threads);
    plan->empty_siblings = calloc(cpus + 1, sizeof *plan->empty_siblings);
    placement->cpu_of = calloc(threads + 1, sizeof *placement->cpu_of);
    placement->by_hand = calloc(threads + 1, sizeof *placement->by_hand);
    placement->talk = calloc(threads * threads + 1, sizeof *placement->talk);
    placement->load = calloc(cpus + 1, sizeof *placement->load);
    placement->named = calloc(cpus + 1, sizeof *placement->named);
    for (size_t i = 0; i < threads && placement->cpu_of != NULL; i++)
        placement->cpu_of[i] = HL_NO_CPU;
    return plan->threads != NULL && plan->empty_siblings != NULL && placement->cpu_of != NULL &&
           placement->by_hand != NULL && placement->talk != NULL && placement->load != NULL &&
           placement->named != NULL;
}

static hl_status place(hl_placement *placement, hl_error *error)
{
    if (!allocate(placement))
        return hl_error_set(error, HL_NO_MEMORY, "plan: no memory");
    read_all_talk(placement);
    hl_status status = HL_OK;
    if (placement->request->lcores != NULL && placement->request->lcores[0] != '\0')
        status = hl_placement_by_hand(placement, error);
    if (status == HL_OK)
        status = hl_placement_by_rules(placement, error);
    if (status != HL_OK)
        return status;
    hl_placement_tell(placement);
    return placement->out_of_memory ? hl_error_set(error, HL_NO_MEMORY, "plan: no memory") : HL_OK;
}

hl_status hl_plan_make(const hl_topology *topology, const hl_plan_request *request,
                       hl_plan **ret_plan, hl_error *error)
{
    hl_status status = check_request(request, error);
    if (status != HL_OK)
        return status;
    hl_placement placement = {.topology = topology,
                              .request = request,
                              .housekeeping = HL_NO_CPU,
                              .usable_cores = UINT32_MAX};
    status = place(&placement, error);
    free(placement.cpu_of);
    free(placement.by_hand);
    free(placement.talk);
    free(placement.load);
    free(placement.named);
    if (status == HL_OK)
        *ret_plan = placement.plan;
    else
        hl_plan_free(placement.plan);
    return status;
}

const char *hl_wait_name(hl_wait wait)
{
    static const char *const names[] = {"auto", "spin", "backoff", "park"};
    return names[wait];
}

const char *hl_thread_role_name(hl_thread_role role)
{
    static const char *const names[] = {"partition", "publisher", "housekeeper", "journal",
                                        "worker"};
    return names[role];
}

char *hl_plan_lcores(const hl_plan *plan)
{
    bool housekeeper = false;
    const size_t size = ((size_t)plan->thread_count + 1) * (HL_THREAD_NAME_SIZE + 16);
    char *const text = calloc(1, size);
    for (uint32_t i = 0; text != NULL && i < plan->thread_count; i++) {
        const hl_plan_thread *const thread = &plan->threads[i];
        housekeeper |= thread->role == HL_ROLE_HOUSEKEEPER;
        hl_sentence_add(text, size, "%s%s@%d", i == 0 ? "" : ",", thread->name, thread->cpu);
    }
    if (text != NULL && !housekeeper)
        hl_sentence_add(text, size, "%shousekeeping@%d", plan->thread_count == 0 ? "" : ",",
                        plan->housekeeping_cpu);
    return text;
}

void hl_plan_print(const hl_plan *plan, FILE *file)
{
    fprintf(file, "%-20s %4s %4s %4s %4s %4s  %-8s why\n", "thread", "CPU", "core", "L3", "node",
            "pkg", "wait");
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        const hl_plan_thread *const thread = &plan->threads[i];
        fprintf(file, "%-20s %4d %4u %4u %4u %4u  %-8s %s\n", thread->name, thread->cpu,
                thread->core, thread->l3, thread->numa_node, thread->package,
                hl_wait_name(thread->wait), thread->why);
    }
    char empty[512] = "";
    hl_sentence_add_cpus(empty, sizeof empty, plan->empty_siblings, plan->empty_sibling_count);
    fprintf(file, "housekeeping on CPU %d; siblings left empty: %s\n", plan->housekeeping_cpu,
            empty);
    for (uint32_t i = 0; i < plan->warning_count; i++)
        fprintf(file, "%s%s\n", strncmp(plan->warnings[i], "error: ", 7) == 0 ? "" : "warning: ",
                plan->warnings[i]);
}

void hl_plan_free(hl_plan *plan)
{
    if (plan == NULL)
        return;
    for (uint32_t i = 0; i < plan->warning_count; i++)
        free(plan->warnings[i]);
    free(plan->warnings);
    free(plan->empty_siblings);
    free(plan->threads);
    free(plan);
}
