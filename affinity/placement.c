/*
 * The rules of plan.h. What is to be placed is cut into units, each of which gets a core: a hot
 * thread, or, where cores are short, the partitions that share one CPU. Units choose in the order
 * of their rank, each the best core that is left for it.
 */
#include "affinity/placement.h"

#include <stdlib.h>

#include "base/error.h"

#define NO_CORE UINT32_MAX

/* Threads that go to one CPU: `count` entries of the sorted list from `first` on. */
typedef struct hl_unit {
    const uint32_t *threads;
    uint32_t count;
    uint32_t core; /* NO_CORE until it has chosen */
} hl_unit;

typedef struct hl_chooser {
    hl_placement *placement;
    uint32_t *entry;        /* per core: its first CPU that we may use; HL_NO_CPU for none */
    bool *free;             /* per core: a unit may choose it */
    bool *noisy;            /* per core: some CPU of it takes interrupts */
    uint32_t *free_in_l3;   /* per L3 group: free cores */
    uint32_t *free_in_node; /* per NUMA node number: the same */
    uint32_t *sorted;       /* threads without a CPU, by role (see sort_by_role), then by rank */
    hl_unit *units;         /* threads with a CPU, then those that are to choose */
    uint32_t unit_count;
    uint32_t partition_count, publisher_count, cold_count; /* journals and workers are cold */
    bool *reached; /* per unit: scratch of look_around, and below, what it finds */
    uint32_t *pending;
    uint32_t *partners, *kin; /* cores of units that have one */
    uint32_t partner_count, kin_count, to_come;
} hl_chooser;

static const hl_cpu *entry_cpu(const hl_chooser *chooser, uint32_t core)
{
    return &chooser->placement->topology->cpus[chooser->entry[core]];
}

static void take_core(hl_chooser *chooser, uint32_t core)
{
    if (!chooser->free[core])
        return;
    chooser->free[core] = false;
    chooser->free_in_l3[entry_cpu(chooser, core)->l3]--;
    chooser->free_in_node[entry_cpu(chooser, core)->numa_node]--;
}

static void release(hl_chooser *chooser)
{
    free(chooser->entry);
    free(chooser->free);
    free(chooser->noisy);
    free(chooser->free_in_l3);
    free(chooser->free_in_node);
    free(chooser->sorted);
    free(chooser->units);
    free(chooser->reached);
    free(chooser->pending);
    free(chooser->partners);
    free(chooser->kin);
}

static bool allocate(hl_chooser *chooser)
{
    const hl_topology *const topology = chooser->placement->topology;
    const size_t units = (size_t)chooser->placement->request->thread_count + 1;
    uint32_t highest_node = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].numa_node > highest_node)
            highest_node = topology->cpus[i].numa_node;
    chooser->entry = calloc(topology->cores, sizeof *chooser->entry);
    chooser->free = calloc(topology->cores, sizeof *chooser->free);
    chooser->noisy = calloc(topology->cores, sizeof *chooser->noisy);
    chooser->free_in_l3 = calloc(topology->l3_groups, sizeof *chooser->free_in_l3);
    chooser->free_in_node = calloc((size_t)highest_node + 1, sizeof *chooser->free_in_node);
    chooser->sorted = calloc(units, sizeof *chooser->sorted);
    chooser->units = calloc(units, sizeof *chooser->units);
    chooser->reached = calloc(units, sizeof *chooser->reached);
    chooser->pending = calloc(units, sizeof *chooser->pending);
    chooser->partners = calloc(units, sizeof *chooser->partners);
    chooser->kin = calloc(units, sizeof *chooser->kin);
    return chooser->entry != NULL && chooser->free != NULL && chooser->noisy != NULL &&
           chooser->free_in_l3 != NULL && chooser->free_in_node != NULL &&
           chooser->sorted != NULL && chooser->units != NULL && chooser->reached != NULL &&
           chooser->pending != NULL && chooser->partners != NULL && chooser->kin != NULL;
}

/* A core is free when we may use some CPU of it and lcores names none of them. */
static void find_free_cores(hl_chooser *chooser)
{
    const hl_topology *const topology = chooser->placement->topology;
    for (uint32_t core = 0; core < topology->cores; core++)
        chooser->entry[core] = HL_NO_CPU;
    for (uint32_t i = topology->cpu_count; i-- > 0;)
        if (topology->cpus[i].allowed)
            chooser->entry[topology->cpus[i].core] = i;
    for (uint32_t core = 0; core < topology->cores; core++) {
        if (chooser->entry[core] == HL_NO_CPU)
            continue;
        chooser->free[core] = true;
        chooser->free_in_l3[entry_cpu(chooser, core)->l3]++;
        chooser->free_in_node[entry_cpu(chooser, core)->numa_node]++;
    }
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        chooser->noisy[topology->cpus[i].core] |= topology->cpus[i].takes_interrupts;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (chooser->placement->named[i])
            take_core(chooser, topology->cpus[i].core);
}

static uint32_t count_free(const hl_chooser *chooser, uint32_t lowest_class)
{
    uint32_t count = 0;
    for (uint32_t core = 0; core < chooser->placement->topology->cores; core++)
        count += chooser->free[core] && entry_cpu(chooser, core)->efficiency_class >= lowest_class;
    return count;
}

/* Insertion keeps equal ranks in the order of the request. */
static uint32_t sort_by_rank(const hl_chooser *chooser, hl_thread_role role, uint32_t *ret_sorted)
{
    const hl_placement *const placement = chooser->placement;
    uint32_t count = 0;
    for (uint32_t i = 0; i < placement->request->thread_count; i++) {
        const hl_thread_request *const thread = hl_placement_thread(placement, i);
        if (thread->role != role || placement->cpu_of[i] != HL_NO_CPU)
            continue;
        uint32_t at = count++;
        for (; at > 0 && hl_placement_thread(placement, ret_sorted[at - 1])->rank > thread->rank;
             at--)
            ret_sorted[at] = ret_sorted[at - 1];
        ret_sorted[at] = i;
    }
    return count;
}

/* Partitions, publishers, journals, workers; gives the end of it. */
static uint32_t *sort_by_role(hl_chooser *chooser)
{
    uint32_t *at = chooser->sorted;
    at += chooser->partition_count = sort_by_rank(chooser, HL_ROLE_PARTITION, at);
    at += chooser->publisher_count = sort_by_rank(chooser, HL_ROLE_PUBLISHER, at);
    const uint32_t journals = sort_by_rank(chooser, HL_ROLE_JOURNAL, at);
    at += journals;
    const uint32_t workers = sort_by_rank(chooser, HL_ROLE_WORKER, at);
    chooser->cold_count = journals + workers;
    return at + workers;
}

/* Whether every core that may be chosen is isolated, so that someone must be there. */
static bool all_are_isolated(const hl_chooser *chooser)
{
    for (uint32_t core = 0; core < chooser->placement->topology->cores; core++)
        if (chooser->free[core] && !entry_cpu(chooser, core)->isolated)
            return false;
    return true;
}

/* Rule 2. */
static uint32_t housekeeping_core(const hl_chooser *chooser)
{
    const hl_topology *const topology = chooser->placement->topology;
    const bool all_isolated = all_are_isolated(chooser);
    uint32_t first = NO_CORE, slowest = NO_CORE, fastest_class = 0;
    for (uint32_t core = 0; core < topology->cores; core++) {
        if (!chooser->free[core] || (entry_cpu(chooser, core)->isolated && !all_isolated))
            continue;
        const uint32_t class = entry_cpu(chooser, core)->efficiency_class;
        if (first == NO_CORE)
            first = core;
        if (slowest == NO_CORE || class < entry_cpu(chooser, slowest)->efficiency_class)
            slowest = core;
        if (class > fastest_class)
            fastest_class = class;
    }
    if (first == NO_CORE || entry_cpu(chooser, slowest)->efficiency_class == fastest_class)
        return first;
    const uint32_t hot = chooser->partition_count + chooser->publisher_count;
    return hot < count_free(chooser, fastest_class) ? first : slowest;
}

static void place_housekeeper(hl_chooser *chooser)
{
    hl_placement *const placement = chooser->placement;
    if (placement->housekeeping == HL_NO_CPU) {
        uint32_t core = housekeeping_core(chooser);
        /* lcores names them all: it shares the first one that we may use. */
        for (uint32_t i = 0; core == NO_CORE; i++)
            if (placement->topology->cpus[i].allowed)
                core = placement->topology->cpus[i].core;
        placement->housekeeping = chooser->entry[core];
    }
    bool requested = false;
    for (uint32_t i = 0; i < placement->request->thread_count; i++) {
        if (hl_placement_thread(placement, i)->role != HL_ROLE_HOUSEKEEPER)
            continue;
        requested = true;
        if (placement->cpu_of[i] == HL_NO_CPU)
            hl_placement_put(placement, i, placement->housekeeping);
    }
    if (!requested)
        placement->load[placement->housekeeping]++;
    take_core(chooser, placement->topology->cpus[placement->housekeeping].core);
}

static bool units_talk(const hl_placement *placement, const hl_unit *a, const hl_unit *b)
{
    const size_t count = placement->request->thread_count;
    for (uint32_t i = 0; i < a->count; i++)
        for (uint32_t j = 0; j < b->count; j++)
            if (placement->talk[a->threads[i] * count + b->threads[j]])
                return true;
    return false;
}

/*
 * Whom a unit should be near. Partners: it talks to them. Kin: it will talk to them through units
 * that have no core yet, such as an order partition and the market data that its signals come
 * from. To come: those units, itself among them, for which one L3 should have room.
 */
static void look_around(hl_chooser *chooser, uint32_t which)
{
    for (uint32_t i = 0; i < chooser->unit_count; i++)
        chooser->reached[i] = i == which;
    chooser->pending[0] = which;
    chooser->partner_count = chooser->kin_count = 0;
    chooser->to_come = 1;
    if (hl_placement_thread(chooser->placement, chooser->units[which].threads[0])->role ==
        HL_ROLE_JOURNAL)
        chooser->partners[chooser->partner_count++] =
            chooser->placement->topology->cpus[chooser->placement->housekeeping].core;
    for (uint32_t done = 0; done < chooser->to_come; done++) {
        const hl_unit *const from = &chooser->units[chooser->pending[done]];
        for (uint32_t i = 0; i < chooser->unit_count; i++) {
            const hl_unit *const other = &chooser->units[i];
            if (chooser->reached[i] || !units_talk(chooser->placement, from, other))
                continue;
            chooser->reached[i] = true;
            if (other->core == NO_CORE)
                chooser->pending[chooser->to_come++] = i;
            else if (done == 0)
                chooser->partners[chooser->partner_count++] = other->core;
            else
                chooser->kin[chooser->kin_count++] = other->core;
        }
    }
}

/* What speaks for a core, the weightiest first; more is better. */
enum {
    FAST_CORE,
    ISOLATED,
    QUIET,
    NEAR_PARTNERS,
    ROOM_IN_L3,
    NEAR_KIN,
    NEAR_NIC,
    ROOM_IN_NODE,
    CLOSE_BY,
    SCORE_PARTS
};
typedef struct hl_score {
    int64_t part[SCORE_PARTS];
} hl_score;

static int64_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int64_t nearness(const hl_chooser *chooser, const hl_cpu *cpu, const uint32_t *cores,
                        uint32_t count)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        const hl_cpu *const other = entry_cpu(chooser, cores[i]);
        if (cpu->l3 == other->l3)
            sum += 4;
        else if (cpu->package == other->package)
            sum += cpu->numa_node == other->numa_node ? 2 : 1;
    }
    return sum;
}

static hl_score score_core(const hl_chooser *chooser, uint32_t core)
{
    const hl_cpu *const cpu = entry_cpu(chooser, core);
    hl_score score;
    const hl_plan_request *const request = chooser->placement->request;
    score.part[FAST_CORE] = cpu->efficiency_class;
    score.part[ISOLATED] = cpu->isolated;
    score.part[QUIET] = !chooser->noisy[core];
    score.part[NEAR_PARTNERS] = nearness(chooser, cpu, chooser->partners, chooser->partner_count);
    score.part[ROOM_IN_L3] = smaller(chooser->free_in_l3[cpu->l3], chooser->to_come);
    score.part[NEAR_KIN] = nearness(chooser, cpu, chooser->kin, chooser->kin_count);
    score.part[NEAR_NIC] = request->nic != NULL && cpu->numa_node == request->nic_node;
    score.part[ROOM_IN_NODE] = smaller(chooser->free_in_node[cpu->numa_node], chooser->to_come);
    /* Neighbours in logical order share what hwloc knows below the L3: an L2, a cluster. */
    score.part[CLOSE_BY] = 0;
    for (uint32_t i = 0; i < chooser->partner_count; i++)
        score.part[CLOSE_BY] -= llabs((int64_t)core - (int64_t)chooser->partners[i]);
    return score;
}

static bool is_better(const hl_score *a, const hl_score *b)
{
    for (int i = 0; i < SCORE_PARTS; i++)
        if (a->part[i] != b->part[i])
            return a->part[i] > b->part[i];
    return false;
}

static void choose_core(hl_chooser *chooser, uint32_t which)
{
    hl_unit *const self = &chooser->units[which];
    look_around(chooser, which);
    hl_score best = {{-1}};
    for (uint32_t core = 0; core < chooser->placement->topology->cores; core++) {
        if (!chooser->free[core])
            continue;
        const hl_score candidate = score_core(chooser, core);
        if (!is_better(&candidate, &best))
            continue;
        best = candidate;
        self->core = core;
    }
    take_core(chooser, self->core);
    for (uint32_t i = 0; i < self->count; i++)
        hl_placement_put(chooser->placement, self->threads[i], chooser->entry[self->core]);
}

/* The least loaded CPU of the housekeeper's core, other than `avoided` if there is another. */
static uint32_t cpu_beside_housekeeper(const hl_placement *placement, uint32_t avoided)
{
    const hl_cpu *const cpus = placement->topology->cpus;
    uint32_t best = HL_NO_CPU;
    for (uint32_t i = 0; i < placement->topology->cpu_count; i++) {
        if (cpus[i].core != cpus[placement->housekeeping].core || !cpus[i].allowed ||
            i == avoided || (placement->named[i] && i != placement->housekeeping))
            continue;
        if (best == HL_NO_CPU || placement->load[i] < placement->load[best])
            best = i;
    }
    return best != HL_NO_CPU ? best : placement->housekeeping;
}

/* Rule 6: who has no core to choose goes to the housekeeper's: the partitions together, so that one
 * executor turns them, the publishers elsewhere on it if they can. */
static void join_housekeeper(hl_chooser *chooser, const uint32_t *partitions,
                             uint32_t partition_count, const uint32_t *publishers,
                             uint32_t publisher_count)
{
    uint32_t executor = HL_NO_CPU;
    if (partition_count > 0)
        executor = cpu_beside_housekeeper(chooser->placement, HL_NO_CPU);
    for (uint32_t i = 0; i < partition_count; i++)
        hl_placement_put(chooser->placement, partitions[i], executor);
    for (uint32_t i = 0; i < publisher_count; i++)
        hl_placement_put(chooser->placement, publishers[i],
                         cpu_beside_housekeeper(chooser->placement, executor));
}

static void add_unit(hl_chooser *chooser, const uint32_t *threads, uint32_t count, uint32_t core)
{
    if (count > 0)
        chooser->units[chooser->unit_count++] = (hl_unit){threads, count, core};
}

static uint32_t rank_of(const hl_chooser *chooser, const hl_unit *unit)
{
    return hl_placement_thread(chooser->placement, unit->threads[0])->rank;
}

/* Both runs are sorted by rank; partitions come first among equals. */
static void merge_units(hl_chooser *chooser, const uint32_t *publishers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        add_unit(chooser, &publishers[i], 1, NO_CORE);
        hl_unit *const units = chooser->units;
        for (uint32_t at = chooser->unit_count - 1;
             at > 0 && units[at - 1].core == NO_CORE &&
             rank_of(chooser, &units[at - 1]) > rank_of(chooser, &units[at]);
             at--) {
            const hl_unit later = units[at - 1];
            units[at - 1] = units[at];
            units[at] = later;
        }
    }
}

static void place_hot_threads(hl_chooser *chooser)
{
    const uint32_t cores = count_free(chooser, 0);
    const uint32_t partitions = chooser->partition_count, publishers = chooser->publisher_count;
    const uint32_t *const publisher = chooser->sorted + partitions;
    if (partitions + publishers > cores)
        chooser->placement->usable_cores = cores;
    if (cores == 0) {
        join_housekeeper(chooser, chooser->sorted, partitions, publisher, publishers);
        return;
    }
    const uint32_t alone = partitions <= cores ? partitions : cores - 1;
    const uint32_t left = partitions <= cores ? cores - partitions : 0;
    const uint32_t with_core = publishers <= left ? publishers : left;
    const uint32_t first = chooser->unit_count;
    for (uint32_t i = 0; i < alone; i++)
        add_unit(chooser, &chooser->sorted[i], 1, NO_CORE);
    add_unit(chooser, &chooser->sorted[alone], partitions - alone, NO_CORE);
    merge_units(chooser, publisher, with_core);
    for (uint32_t i = first; i < chooser->unit_count; i++)
        choose_core(chooser, i);
    join_housekeeper(chooser, NULL, 0, publisher + with_core, publishers - with_core);
}

/* Rule 7. */
static void place_cold_threads(hl_chooser *chooser, const uint32_t *cold)
{
    hl_placement *const placement = chooser->placement;
    for (uint32_t i = 0; i < chooser->cold_count; i++) {
        if (count_free(chooser, 0) > 0) {
            add_unit(chooser, &cold[i], 1, NO_CORE);
            choose_core(chooser, chooser->unit_count - 1);
        } else {
            hl_placement_put(placement, cold[i], cpu_beside_housekeeper(placement, HL_NO_CPU));
        }
    }
}

hl_status hl_placement_by_rules(hl_placement *placement, hl_error *error)
{
    hl_chooser chooser = {.placement = placement};
    if (!allocate(&chooser)) {
        release(&chooser);
        return hl_error_set(error, HL_NO_MEMORY, "plan: no memory");
    }
    find_free_cores(&chooser);
    uint32_t *const by_hand = sort_by_role(&chooser);
    place_housekeeper(&chooser);
    /* Who was placed by hand draws his partners near. */
    for (uint32_t i = 0, count = 0; i < placement->request->thread_count; i++) {
        if (!placement->by_hand[i])
            continue;
        by_hand[count] = i;
        add_unit(&chooser, &by_hand[count++], 1, hl_placement_cpu(placement, i)->core);
    }
    place_hot_threads(&chooser);
    place_cold_threads(&chooser,
                       chooser.sorted + chooser.partition_count + chooser.publisher_count);
    release(&chooser);
    return HL_OK;
}
