/*
 * From a finished placement to a plan that explains itself: facts, who shares with whom, how each
 * thread waits, why it is where it is, and what the reader must be warned of.
 */
#include <string.h>

#include "affinity/placement.h"
#include "affinity/sentence.h"

static bool is_requested(const hl_placement *placement, hl_thread_role role)
{
    for (uint32_t i = 0; i < placement->request->thread_count; i++)
        if (hl_placement_thread(placement, i)->role == role)
            return true;
    return false;
}

/* A housekeeper that nobody requested is there all the same. */
static bool silent_housekeeper_on(const hl_placement *placement, uint32_t core)
{
    return placement->topology->cpus[placement->housekeeping].core == core &&
           !is_requested(placement, HL_ROLE_HOUSEKEEPER);
}

/* Who else is on the thread's core, "" for nobody. Stops when the text is full, so that a crowded
 * core of thousands costs no more than a line each. */
static void list_sharers(const hl_placement *placement, uint32_t thread, hl_plan_thread *told)
{
    bool fits = true;
    for (uint32_t i = 0; i < placement->request->thread_count && fits; i++)
        if (i != thread && hl_placement_cpu(placement, i)->core == told->core)
            fits = hl_sentence_add_item(told->shares_core_with, sizeof told->shares_core_with,
                                        hl_placement_thread(placement, i)->name);
    if (fits && silent_housekeeper_on(placement, told->core))
        hl_sentence_add_item(told->shares_core_with, sizeof told->shares_core_with, "housekeeping");
}

/* "sibling 31 left empty", and which siblings others may use. */
static void tell_siblings(const hl_placement *placement, const hl_plan_thread *thread, char *why,
                          size_t size)
{
    const hl_topology *const topology = placement->topology;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        if (cpu->core == thread->core && placement->load[i] == 0)
            hl_sentence_add(why, size, ", sibling %u %s", cpu->os_index,
                            cpu->allowed ? "left empty" : "not ours: others may run there");
    }
}

typedef enum nearness { ELSEWHERE, SAME_PACKAGE, SAME_NODE, SAME_L3, SAME_CORE } nearness;

static nearness nearness_of(const hl_cpu *a, const hl_cpu *b)
{
    if (a->core == b->core)
        return SAME_CORE;
    if (a->l3 == b->l3)
        return SAME_L3;
    if (a->package != b->package)
        return ELSEWHERE;
    return a->numa_node == b->numa_node ? SAME_NODE : SAME_PACKAGE;
}

/* Names the nearest of those that the thread talks to: "same L3 as market_data on CPU 6". */
static void tell_partner(const hl_placement *placement, uint32_t thread, char *why, size_t size)
{
    const char *const relation[] = {
        "another package than", "same package as", "same NUMA node as",
        placement->topology->l3_known ? "same L3 as" : "same package as", "same core as"};
    const uint32_t count = placement->request->thread_count;
    const hl_cpu *const cpu = hl_placement_cpu(placement, thread);
    uint32_t nearest = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++)
        if (placement->talk[(size_t)thread * count + i] &&
            (nearest == UINT32_MAX || nearness_of(cpu, hl_placement_cpu(placement, i)) >
                                          nearness_of(cpu, hl_placement_cpu(placement, nearest))))
            nearest = i;
    if (nearest == UINT32_MAX)
        return;
    const hl_cpu *const other = hl_placement_cpu(placement, nearest);
    hl_sentence_add(why, size, ", %s %s on CPU %u", relation[nearness_of(cpu, other)],
                    hl_placement_thread(placement, nearest)->name, other->os_index);
}

static void tell_why(const hl_placement *placement, uint32_t thread, hl_plan_thread *told)
{
    char *const why = told->why;
    const size_t size = sizeof told->why;
    hl_sentence_add(why, size, "core %u: ", told->core);
    if (placement->by_hand[thread])
        hl_sentence_add(why, size, "by lcores, ");
    if (told->shares_core_with[0] != '\0') {
        hl_sentence_add(why, size, "%s%s %s",
                        placement->by_hand[thread] || !hl_thread_role_is_hot(told->role)
                            ? ""
                            : "too few cores: ",
                        told->shares_cpu ? "shares the CPU with" : "shares the core with",
                        told->shares_core_with);
        return;
    }
    hl_sentence_add(why, size, "own core");
    tell_siblings(placement, told, why, size);
    if (told->role != HL_ROLE_HOUSEKEEPER)
        tell_partner(placement, thread, why, size);
    const hl_plan_request *const request = placement->request;
    if (request->nic != NULL && hl_thread_role_is_hot(told->role))
        hl_sentence_add(why, size, ", %s node as %s",
                        told->numa_node == request->nic_node ? "same" : "not the same",
                        request->nic);
}

static void tell_thread(const hl_placement *placement, uint32_t thread)
{
    const hl_thread_request *const request = hl_placement_thread(placement, thread);
    const hl_cpu *const cpu = hl_placement_cpu(placement, thread);
    hl_plan_thread *const told = &placement->plan->threads[thread];
    strcpy(told->name, request->name); /* checked for length before anything was planned */
    strcpy(told->domain, request->domain != NULL ? request->domain : "");
    told->role = request->role;
    told->cpu = (int)cpu->os_index;
    told->core = cpu->core;
    told->package = cpu->package;
    told->numa_node = cpu->numa_node;
    told->l3 = cpu->l3;
    told->shares_cpu = placement->load[placement->cpu_of[thread]] > 1;
    list_sharers(placement, thread, told);
    told->wait = request->wait;
    if (told->wait == HL_WAIT_AUTO)
        told->wait = told->shares_core_with[0] == '\0' && hl_thread_role_is_hot(told->role)
                         ? HL_WAIT_SPIN
                         : HL_WAIT_PARK;
    tell_why(placement, thread, told);
}

static bool core_is_used(const hl_placement *placement, uint32_t core)
{
    for (uint32_t i = 0; i < placement->topology->cpu_count; i++)
        if (placement->topology->cpus[i].core == core && placement->load[i] > 0)
            return true;
    return false;
}

static void list_empty_siblings(const hl_placement *placement)
{
    hl_plan *const plan = placement->plan;
    for (uint32_t i = 0; i < placement->topology->cpu_count; i++) {
        const hl_cpu *const cpu = &placement->topology->cpus[i];
        if (cpu->allowed && placement->load[i] == 0 && core_is_used(placement, cpu->core))
            plan->empty_siblings[plan->empty_sibling_count++] = cpu->os_index;
    }
    hl_placement_sort_cpus(plan->empty_siblings, plan->empty_sibling_count);
}

static void warn_of_shortage(hl_placement *placement)
{
    const hl_plan *const plan = placement->plan;
    char parked[256] = "";
    uint32_t hot = 0;
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        if (!hl_thread_role_is_hot(plan->threads[i].role) || placement->by_hand[i])
            continue;
        hot++;
        if (plan->threads[i].shares_core_with[0] != '\0')
            hl_sentence_add_item(parked, sizeof parked, plan->threads[i].name);
    }
    const uint32_t missing = hot - placement->usable_cores;
    hl_placement_warn(placement,
                      "too few cores: %u short (%u for %u hot threads, beside housekeeping's): %s "
                      "share and park; with %u more, each would spin on a core of its own",
                      missing, placement->usable_cores, hot, parked, missing);
}

/* Partitions on one CPU are one executor, and may spin as one. */
static bool spins_against_others(const hl_placement *placement, uint32_t thread)
{
    const hl_plan_thread *const self = &placement->plan->threads[thread];
    if (silent_housekeeper_on(placement, self->core))
        return true;
    for (uint32_t i = 0; i < placement->plan->thread_count; i++) {
        const hl_plan_thread *const other = &placement->plan->threads[i];
        const bool one_executor = self->role == HL_ROLE_PARTITION &&
                                  other->role == HL_ROLE_PARTITION && self->cpu == other->cpu;
        if (i != thread && other->core == self->core && !one_executor)
            return true;
    }
    return false;
}

static uint32_t fastest_class(const hl_topology *topology)
{
    return topology->efficiency_classes - 1;
}

/* A core that a hot thread could have had: allowed, of the fastest kind, nobody on it. */
static bool is_left(const hl_placement *placement, const hl_cpu *cpu)
{
    return cpu->allowed && cpu->efficiency_class == fastest_class(placement->topology) &&
           !core_is_used(placement, cpu->core);
}

static bool isolated_core_is_left(const hl_placement *placement)
{
    const hl_topology *const topology = placement->topology;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].isolated && is_left(placement, &topology->cpus[i]))
            return true;
    return false;
}

/* What the rules avoid where they can, and lcores or a want of cores can bring about. */
static void warn_of_places(hl_placement *placement)
{
    const hl_plan *const plan = placement->plan;
    const bool isolated_left = isolated_core_is_left(placement);
    char slow[256] = "", crowded[256] = "", noisy[256] = "", unshielded[256] = "";
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        const hl_plan_thread *const thread = &plan->threads[i];
        const hl_cpu *const cpu = hl_placement_cpu(placement, i);
        if (!hl_thread_role_is_hot(thread->role))
            continue;
        if (cpu->efficiency_class < fastest_class(placement->topology))
            hl_sentence_add_item(slow, sizeof slow, thread->name);
        if (cpu->takes_interrupts && thread->wait == HL_WAIT_SPIN)
            hl_sentence_add_item(noisy, sizeof noisy, thread->name);
        if (!cpu->isolated && isolated_left)
            hl_sentence_add_item(unshielded, sizeof unshielded, thread->name);
        if (placement->by_hand[i] && thread->shares_core_with[0] != '\0')
            hl_sentence_add_item(crowded, sizeof crowded, thread->name);
    }
    if (slow[0] != '\0')
        hl_placement_warn(placement, "on slow (E) cores: %s", slow);
    if (noisy[0] != '\0')
        hl_placement_warn(placement, "on CPUs that take devices' interrupts: %s", noisy);
    if (unshielded[0] != '\0')
        hl_placement_warn(placement, "not on isolated CPUs, though some are left: %s", unshielded);
    if (crowded[0] != '\0')
        hl_placement_warn(placement, "lcores makes these share a core: %s", crowded);
}

static void warn_of_spinning(hl_placement *placement)
{
    const hl_plan *const plan = placement->plan;
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        const hl_plan_thread *const thread = &plan->threads[i];
        if (thread->role != HL_ROLE_HOUSEKEEPER && thread->wait == HL_WAIT_SPIN &&
            thread->shares_core_with[0] != '\0' && spins_against_others(placement, i))
            hl_placement_warn(placement,
                              "error: %s spins by request on core %u, which it shares with %s; "
                              "let it park, or give it a core",
                              thread->name, thread->core, thread->shares_core_with);
    }
}

static void warn_of_quota(hl_placement *placement)
{
    const hl_plan *const plan = placement->plan;
    uint32_t spinning = 0;
    for (uint32_t i = 0; i < plan->thread_count; i++)
        spinning += plan->threads[i].wait == HL_WAIT_SPIN;
    if (placement->topology->cpu_quota > 0.0 && spinning > 0)
        hl_placement_warn(placement,
                          "error: the cgroup's CPU quota is %.2f CPUs and %u thread%s: a group "
                          "that has used it up freezes whole; lift the quota (cpu.max) or let "
                          "all park",
                          placement->topology->cpu_quota, spinning,
                          spinning == 1 ? " spins" : "s spin");
}

void hl_placement_tell(hl_placement *placement)
{
    hl_plan *const plan = placement->plan;
    plan->thread_count = placement->request->thread_count;
    plan->housekeeping_cpu = (int)placement->topology->cpus[placement->housekeeping].os_index;
    for (uint32_t i = 0; i < plan->thread_count; i++)
        tell_thread(placement, i);
    list_empty_siblings(placement);
    if (placement->usable_cores != UINT32_MAX)
        warn_of_shortage(placement);
    warn_of_spinning(placement);
    warn_of_places(placement);
    warn_of_quota(placement);
}
